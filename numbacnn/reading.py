"""Reading files that people name: without waiting for a device or a pipe, and no more bytes than a bound."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, or a link to one, for reading; the file is closed by the caller.

    Raises:
        OSError: it cannot be opened, or is a folder, pipe, socket or device; ``strerror`` says so in words.
    """
    # Checked before, since opening a device may set it going, and again on the open file, since the path may have changed.
    check_regular(path, os.stat(path).st_mode)
    file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115  the caller's to close
    try:
        check_regular(path, os.fstat(file.fileno()).st_mode)
    except OSError:
        file.close()
        raise
    return file


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file of at most ``max_bytes`` bytes.

    Raises:
        OSError: as ``open_regular``, or the file is longer; ``strerror`` says so in words.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        # Bounded all the same: a file may grow, and files of the system itself have a size of 0.
        data = file.read(max_bytes + 1) if size <= max_bytes else b""
    if data is None:
        raise OSError(errno.EAGAIN, "expected a file, got one without data so far", str(path))
    if max(size, len(data)) > max_bytes:
        raise OSError(errno.EFBIG, f"expected at most {max_bytes} bytes, got {max(size, len(data))}", str(path))
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # else a pipe would wait for a writer


def check_regular(path: Path, mode: int) -> None:
    """Raise OSError, with the kind in words, if a path of this mode (``st_mode``) is no regular file."""
    if stat.S_ISREG(mode):
        return
    kind = next((words for is_kind, words in _KINDS if is_kind(mode)), "something else")
    raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, f"expected a file, got {kind}", str(path))


_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
