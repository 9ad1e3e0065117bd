"""Event files, which TensorBoard draws: the figures of each epoch as scalars. It needs the extra ``log``."""

import os
import time
from pathlib import Path
from typing import Any

from numbacnn.errors import CheckpointError, DeviceError
from numbacnn.files import make_folder
from numbacnn.training.events import EpochRecord

ANOTHER_FOLDER = "Give another folder with --log-dir"

TAGS = {
    "loss/train": "loss",
    "loss/validation": "validation_loss",
    "loss/test": "test_loss",
    "accuracy/train": "accuracy",
    "accuracy/validation": "validation_accuracy",
    "accuracy/test": "test_accuracy",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
}
"""The fields of an ``EpochRecord`` by their tags; what stands before the stroke shares a chart."""


def check_log_folder(folder: Path) -> None:
    """Raise if no event file can be made, before a training starts. Nothing is written: the training may not start for another reason.

    Raises:
        DeviceError: the package ``tensorboardX`` is missing. CheckpointError: the folder cannot be written to.
    """
    try:
        import tensorboardX.event_file_writer  # noqa: F401
    except ImportError as error:
        raise DeviceError(
            f"event files: expected tensorboardX 2.6 or later, got {error}. Run pip install 'numbacnn[log]'"
        ) from None
    nearest = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        got = f"that {nearest} is no folder" if not nearest.is_dir() else f"no right to write to {nearest}"
        raise CheckpointError(f"{folder}: expected a folder for event files, got {got}. {ANOTHER_FOLDER}")


class EventFile:
    """One event file, made when it is opened.

    Args:
        folder: where it is made; TensorBoard reads all files of a folder as one run.
        epoch: the first epoch to come. A viewer drops what earlier files of the folder have of it and of later ones, so a run that is
            repeated or resumed makes one curve.

    Raises:
        DeviceError: the package ``tensorboardX`` is missing. CheckpointError, OSError: the folder cannot be written to.
    """

    def __init__(self, folder: Path, epoch: int = 1):
        check_log_folder(folder)
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        make_folder(folder, ANOTHER_FOLDER)
        # Not its SummaryWriter, whose thread would keep to itself that a disk is full. Its names have whole seconds only.
        self._writer = EventsWriter(str(folder / "events"), f".{time.time_ns()}")
        self._put(epoch, session_log=SessionLog(status=SessionLog.START))

    def write(self, record: EpochRecord) -> None:
        """Write the figures of an epoch; they are on the disk when this returns.

        Raises:
            OSError: they cannot be written.
        """
        from tensorboardX.proto.summary_pb2 import Summary

        figures = {tag: getattr(record, field) for tag, field in TAGS.items()}
        values = [Summary.Value(tag=tag, simple_value=figure) for tag, figure in figures.items() if figure is not None]
        self._put(record.epoch, summary=Summary(value=values))

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _put(self, epoch: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._writer.write_event(Event(wall_time=time.time(), step=epoch, **content))
        self._writer.flush()
