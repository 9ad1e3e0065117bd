"""Files that a command draws anew: those that are there already stay, and so does what the user has under their names."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from numbacnn.errors import DataError
from numbacnn.files import write_atomically
from numbacnn.reading import read_bounded


def write_new(files: Mapping[Path, bytes], holds: Callable[[Path], bool], what: str, force: bool) -> list[Path]:
    """Write the files that are not there; nothing, if one of the names is taken by another file.

    Args:
        files: the content of each.
        holds: whether a file has its content already.
        what: a file holds, for messages: ``the picture to be drawn``.
        force: replace other files of these names.

    Returns:
        the files written.

    Raises:
        DataError: a name is taken, or a file cannot be written.
    """
    missing = [path for path in files if not holds(path)]
    taken = [] if force else [path for path in missing if os.path.lexists(path)]
    if taken:
        others = f" (and so for {len(taken) - 1} more)" if len(taken) > 1 else ""
        raise DataError(
            f"{taken[0]}: expected no file or {what}, got another file{others}. Nothing was written. "
            f"Give another folder, or --force to replace {'them' if others else 'it'}"
        )
    for path in missing:
        write_atomically(path, files[path], error=DataError, advice="Make room or give another folder")
    return missing


def has_content(path: Path, content: bytes) -> bool:
    """Whether a file is there and holds these bytes."""
    try:
        return read_bounded(path, len(content)) == content
    except OSError:
        return False
