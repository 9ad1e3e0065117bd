"""The one rule for files that a command writes where the user says: no file takes the place of another one without ``--force``.

A file that holds what is to be written stays as it is; one that holds something else is refused. Where the content is the result of
long work, any file of that name is refused before the work. Only what ``train`` and ``plot`` keep in the folder of a run is replaced:
these files are the program's own.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from numbacnn.errors import DataError
from numbacnn.files import check_replaceable, write_atomically
from numbacnn.reading import read_bounded


def check_new(path: Path | None, force: bool, option: str | None = None) -> None:
    """Raise before the work if its result could not be written there.

    Args:
        path: of a file; None if none is asked for.
        force: replace another file of that name.
        option: that names the file, for the message; None for one that is always written.

    Raises:
        UsageError: ``--force``, and no file is asked for.
        CheckpointError: no file can be written there. DataError: the name is taken.
    """
    if path is None:
        if force:
            raise click.UsageError(f"--force goes with {option}.")
        return
    check_replaceable(path, "Give another file")
    if not force and os.path.lexists(path):
        raise DataError(f"{path}: expected no file of that name, got one. Give another name, or --force to replace it")


def write_file(path: Path, content: bytes) -> None:
    """Write a file that ``check_new`` has let pass."""
    write_atomically(path, content, error=DataError, advice="Make room or give another file")


def write_new(
    files: Mapping[Path, bytes], holds: Callable[[Path], bool], what: str, force: bool, place: str = "folder"
) -> list[Path]:
    """Write the files that are not there; nothing, if one of the names is taken by another file.

    Args:
        files: the content of each.
        holds: whether a file has its content already.
        what: a file holds, for messages: ``the picture to be drawn``.
        force: replace other files of these names.
        place: what the user may give another of, for messages.

    Returns:
        the files written.

    Raises:
        CheckpointError: a file cannot be written. DataError: a name is taken, or the disk is full.
    """
    missing = [path for path in files if not holds(path)]
    for one in {path.parent: path for path in missing}.values():  # one file of each folder
        check_replaceable(one, f"Give another {place}")
    taken = [] if force else [path for path in missing if os.path.lexists(path)]
    if taken:
        others = f" (and so for {len(taken) - 1} more)" if len(taken) > 1 else ""
        raise DataError(
            f"{taken[0]}: expected no file or {what}, got another file{others}. Nothing was written. "
            f"Give another {place}, or --force to replace {'them' if others else 'it'}"
        )
    for path in missing:
        write_atomically(path, files[path], error=DataError, advice=f"Make room or give another {place}")
    return missing


def has_content(path: Path, content: bytes) -> bool:
    """Whether a file is there and holds these bytes."""
    try:
        return read_bounded(path, len(content)) == content
    except OSError:
        return False
