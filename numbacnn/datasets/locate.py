"""Finding a data set's file below a folder, wherever its users' tools have put it.

It is looked for in several layouts, under several names, whatever the case of the letters. It may also lie in a folder of its own
with one of its names, as Kaggle and unpackers make them.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def locate(data_dir: Path, layouts: Sequence[str], names: Sequence[str]) -> Path | None:
    """The path of a file; the first layout wins, and in it the first name.

    A folder with one of the names, but without the file, is returned where there is no file: reading it gives the message.

    Args:
        data_dir: the folder to search.
        layouts: folders below it, in this order, as "MNIST/raw"; "." is the folder itself.
        names: the file's names.
    """
    empty_folder = None
    for folder in _folders(data_dir, layouts):
        for path in _named(folder, names):
            if not os.path.isdir(path):
                return path
            inside = next((inner for inner in _named(path, names) if not os.path.isdir(inner)), None)
            if inside is not None:
                return inside
            empty_folder = empty_folder or path
    return empty_folder


def folder_of(path: Path, names: Sequence[str]) -> Path:
    """The folder in which ``locate`` found a file, or the file's own folder."""
    has_own_folder = path.parent.name.lower() in (name.lower() for name in names)
    return path.parent.parent if has_own_folder else path.parent


def _folders(data_dir: Path, layouts: Sequence[str]) -> Iterator[Path]:
    """The folders of the layouts that exist, one by one: usually the first one has all files."""
    for layout in layouts:
        folders = [data_dir]
        for part in Path(layout).parts:
            folders = [inner for folder in folders for inner in _named(folder, (part,))]
        yield from folders


def _named(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """The entries of a folder with one of the names, in that order; then those that differ from one in the case of letters."""
    yield from (folder / name for name in names if os.path.lexists(folder / name))
    try:
        others = sorted(set(os.listdir(folder)) - set(names))
    except OSError:  # no folder, or one that may not be listed
        return
    lowered = {name.lower() for name in names}
    yield from (folder / other for other in others if other.lower() in lowered)
