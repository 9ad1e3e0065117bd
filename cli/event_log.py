"""The event file of ``train --log-dir``: training does not end because it cannot be written."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from numbacnn.errors import CheckpointError
from numbacnn.training.events import EpochRecord

if TYPE_CHECKING:
    from numbacnn.training.event_files import EventFile


class EventLog:
    """Writes the records of epochs to an event file; nothing without a folder.

    Args:
        folder: of event files.

    Raises:
        DeviceError: the package ``tensorboardX`` is missing. CheckpointError: the folder cannot be written to.
    """

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._file: EventFile | None = None
        if folder is not None:
            from numbacnn.training.event_files import check_log_folder

            check_log_folder(folder)

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def write(self, record: EpochRecord, tell: Callable[[str], None]) -> None:
        """Write an epoch; after a failure tell the user, and write no more.

        Args:
            record: of the epoch; the first one makes the file.
        """
        if self._folder is None:
            return
        from numbacnn.training.event_files import EventFile

        try:
            if self._file is None:
                self._file = EventFile(self._folder, record.epoch)
            self._file.write(record)
        except (OSError, CheckpointError) as error:
            words = str(error) if isinstance(error, CheckpointError) else error.strerror or error
            tell(f"training goes on without event files: {self._folder}: {words}")
            self._close()
            self._folder = None

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
