"""Writing files so that a crash, a full disk or a lost machine leaves either the old file or the new one, never half of one.

A file is written under a temporary name in its folder, flushed to the disk, and renamed; then the folder is flushed. The writer
holds a lock on its temporary file, which ends with the process: what nobody has locked was left by a process that was killed.
"""

import contextlib
import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from numbacnn.errors import CheckpointError, NumbaCNNError
from numbacnn.reading import check_regular

try:
    import fcntl
except ImportError:  # Windows, which removes no file that a process has open: there, the open file is the lock
    fcntl = None  # type: ignore[assignment]

Content = bytes | Iterable[bytes | memoryview]
"""The bytes of a file, or its parts in order."""

_MOST_BYTES = 1 << 26  # for one call: macOS refuses 2 GiB
_NAME_LENGTH = 48  # of the target's name within the temporary one, which may have 255 bytes
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}
"""Errors of file systems that cannot flush a folder."""


class UnconfirmedError(OSError):
    """A file has been written and renamed, but the disk failed to confirm the new name: it may be lost with the power."""


def write_atomically(
    path: Path,
    content: Content,
    *,
    mode: int | None = None,
    error: type[NumbaCNNError] = CheckpointError,
    advice: str = "Make room or give another folder with --output",
) -> None:
    """Write a file whole or not at all, as ``write_whole``, with errors for the user.

    Args:
        error: the class of the error; ``advice`` ends its message.

    Raises:
        error: it cannot be written; an earlier file is untouched.
    """
    try:
        write_whole(path, content, mode)
    except UnconfirmedError as problem:
        raise error(f"{path}: written, but the disk failed to confirm it: {problem.strerror}. {advice}") from None
    except OSError as problem:
        raise error(
            f"{path}: cannot be written: {problem.strerror or problem}. What was there before is untouched. {advice}"
        ) from None


def write_whole(path: Path, content: Content, mode: int | None = None) -> None:
    """Write beside the target, flush to the disk, rename, and flush the folder.

    A link is replaced by the file; what it points to stays. Temporary files that killed processes left of this target are removed.

    Args:
        mode: the file's mode, whatever the umask; None: as any new file.

    Raises:
        OSError: it cannot be written, an earlier file is untouched; or the path is that of a folder, pipe or device.
        UnconfirmedError: the file is there, but its name may not be on the disk.
    """
    with contextlib.suppress(FileNotFoundError):
        check_regular(path, os.stat(path).st_mode)
    remove_leftovers(path)
    with _opened_folder(path.parent) as folder:  # before anything is written: where it fails, nothing has changed
        temporary, handle = _create_beside(path, 0o666 if mode is None else mode)
        try:
            for part in (content,) if isinstance(content, bytes) else content:
                _write(handle, part)
            if mode is not None:
                os.chmod(temporary, mode)
            os.fsync(handle)
            if fcntl is None:  # Windows renames no file that is open
                os.close(handle)
                handle = -1
            os.replace(temporary, path)
        except BaseException as problem:
            _close(handle)
            handle = -1
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            if isinstance(problem, OSError):
                problem.filename, problem.filename2 = str(path), None  # the temporary name tells nobody anything
            raise
        finally:
            _close(handle)  # only now, as it has the lock
        try:
            _sync(folder)
        except OSError as problem:
            raise UnconfirmedError(problem.errno, problem.strerror or str(problem), str(path)) from None


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote this file; each may be as large as the file."""
    pattern = re.compile(re.escape(_prefix(path)) + r"[0-9a-f]{8}\.partial")
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove_unlocked(entry.path)


def remove_file(path: Path) -> None:
    """Remove a file, if there is one.

    Raises:
        CheckpointError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be removed: {error.strerror or error}. Try again, or give another folder with --output"
        ) from None


def make_folder(folder: Path, advice: str = "Give another folder") -> None:
    """Make a folder in which files can be made; ``advice`` ends the message of the error.

    Raises:
        CheckpointError: it cannot be made or written to.
    """
    try:
        create_folder(folder)
        check_writable(folder)
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written to: {error.strerror or error}. {advice}") from None


def create_folder(folder: Path) -> None:
    """Make a folder and its missing parents, and flush their names to the disk. Raises OSError if that fails."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def check_replaceable(path: Path, advice: str = "Give another path") -> None:
    """Raise if ``write_atomically`` could write no file there, before the work whose result it is to hold.

    Raises:
        CheckpointError: its folder is missing or cannot be written to, or the path is that of a folder, pipe or device.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            check_regular(path, os.stat(path).st_mode)
        check_writable(path.parent)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: expected a folder to write it to, got none: {path.parent} does not exist. Make it, or {advice[0].lower()}{advice[1:]}"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror or error}. {advice}") from None


def check_writable(folder: Path) -> None:
    """Make a file without a name in a folder. Raises OSError if none can be made."""
    with tempfile.TemporaryFile(dir=folder):
        pass


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk. Raises OSError if the disk fails; does nothing where folders cannot be flushed."""
    with _opened_folder(folder) as handle:
        _sync(handle)


def sync_file(path: Path) -> None:
    """Flush a file that another function has written to the disk. Raises OSError if the disk fails."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _prefix(path: Path) -> str:
    return f".{path.name[:_NAME_LENGTH]}-"


def _create_beside(path: Path, mode: int) -> tuple[str, int]:
    """A new file in the target's folder, locked by this process: its name and its handle."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    for _ in range(100):
        name = os.path.join(path.parent, f"{_prefix(path)}{os.urandom(4).hex()}.partial")
        try:
            handle = os.open(name, flags, mode)
        except FileExistsError:
            continue
        if lock(handle) is not False and os.path.exists(name):
            return name, handle
        _close(handle)  # another process took it for a leftover, in the instant before it was locked
    raise FileExistsError(errno.EEXIST, "no temporary file can be kept in its folder", str(path))


def lock(handle: int) -> bool | None:
    """Lock an open file: True; False if another process has it; None if the system or the file system has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_unlocked(path: str) -> None:
    """Remove a temporary file, unless the process that writes it still runs, or nobody can tell."""
    if fcntl is None:
        os.unlink(path)
        return
    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        if stat.S_ISREG(os.stat(handle).st_mode) and lock(handle):
            os.unlink(path)
    finally:
        os.close(handle)


def _write(handle: int, part: bytes | memoryview) -> None:
    rest = memoryview(part)
    while len(rest):
        rest = rest[os.write(handle, rest[:_MOST_BYTES]) :]


@contextlib.contextmanager
def _opened_folder(folder: Path) -> Iterator[int | None]:
    """The handle of a folder, to flush it; None where the system has none, or the user may write to the folder and not read it."""
    handle = None
    if fcntl is not None:
        with contextlib.suppress(PermissionError):
            handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        if handle is not None:
            _close(handle)


def _sync(folder: int | None) -> None:
    if folder is None:
        return
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


def _close(handle: int) -> None:
    """Close a handle, if it is one. What matters has been flushed: an error here has nothing to tell."""
    if handle >= 0:
        with contextlib.suppress(OSError):
            os.close(handle)
