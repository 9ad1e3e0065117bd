"""Writing files so that a crash, a full disk or a lost machine leaves either the old file or the new one, never half of one."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from numbacnn.errors import CheckpointError


def write_atomically(path: Path, content: bytes | Callable[[str], None]) -> None:
    """Write beside the target, flush to the disk, then rename.

    Args:
        path: the target.
        content: bytes, or a function that writes to the file of the given name and raises OSError where it cannot.

    Raises:
        CheckpointError: it cannot be written; an earlier file is untouched.
    """
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=temporary_prefix(path))
        with os.fdopen(handle, "wb") as file:
            if not callable(content):
                file.write(content)
        if callable(content):
            content(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        raise CheckpointError(
            f"{path}: cannot be written: {error.strerror or error}. What was there before is untouched. "
            "Make room or give another folder with --output"
        ) from None


def temporary_prefix(path: Path) -> str:
    """The beginning of the name under which a file is written, in its folder, before it is renamed."""
    return f".{path.name}-"


def make_folder(folder: Path, advice: str = "Give another folder") -> None:
    """Make a folder in which files can be made; ``advice`` ends the message of the error.

    Raises:
        CheckpointError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written to: {error.strerror or error}. {advice}") from None


def _umask() -> int:
    """The process's file mode mask, which the system returns only where it is set."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
