"""Class folders: a folder for each class, with its pictures; perhaps in train/ and test/ (and val/).

Names are sorted as people do, 2 before 10. The parts are chosen first, then decoded, so that no picture is decoded in vain.
"""

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from numbacnn import memory
from numbacnn.backends import threads
from numbacnn.datasets import Dataset
from numbacnn.datasets.own import LEFT_OUT, Notice, Progress, Shape, label
from numbacnn.datasets.parts import Indices, hold_out, in_words, limited
from numbacnn.errors import DataError, ShapeError
from numbacnn.pictures import picture_bytes, read_photograph
from numbacnn.pictures.decode import shape_of
from numbacnn.pictures.files import entries, in_other_formats, is_picture, is_picture_in_other_format
from numbacnn.quoting import counted, listed

PARTS = {"train": ("train", "training"), "test": ("test", "testing"), "validation": ("val", "valid", "validation")}
MOST_UNREADABLE = 0.1
"""Share of the pictures of a part that may be unreadable."""
MOST_THREADS = 8
"""Bounds the memory of pictures that are decoded at the same time. Pillow's decoders run side by side in threads."""


@dataclass(frozen=True)
class Part:
    """The pictures of a part: their files, and the class number of each."""

    name: str
    paths: Sequence[Path]
    labels: NDArray[np.int64]

    def chosen(self, indices: Indices, name: str | None = None) -> "Part":
        return Part(name or self.name, [self.paths[index] for index in indices], self.labels[indices])


def load(
    folder: Path, shape: Shape | None, train_limit: int | None, test_limit: int | None, progress: Progress, tell: Notice
) -> Dataset:
    """The data set in class folders; see ``own.load``.

    Args:
        shape: to which the pictures are scaled; None for their own, which must be the same for all.

    Raises:
        DataError: there are no classes, a class has too few pictures, or too many pictures cannot be read.
    """
    if shape is not None and shape[2] not in (1, 3):
        raise ShapeError(f"{folder}: expected an input of 1 channel (grey) or 3 (colour), got {shape[2]}. Give --input H,W,3")
    roots = _roots(folder)
    names = _class_names(roots["train"])
    parts = {name: _listed(name, root, names, tell) for name, root in roots.items()}
    _check_classes(parts["train"], names, roots["train"], least=1 if len(parts) > 1 else 2)
    held = ""
    if len(parts) == 1:
        train, test = hold_out(parts["train"].labels)
        parts = {"train": parts["train"].chosen(train), "test": parts["train"].chosen(test, "test")}
        held = f", {in_words()}"
        tell(f"{folder}: {in_words()}: {len(test):,} of {len(train) + len(test):,}")
    elif "test" not in parts:
        parts["test"] = parts.pop("validation")
    limits = {"train": train_limit, "test": test_limit}
    parts = {name: part.chosen(limited(np.arange(len(part.paths)), limits.get(name))) for name, part in parts.items()}
    shape = shape or _common_shape(folder, [path for part in parts.values() for path in part.paths])
    if shape[2] == 1 and (colour := _first_in_colour(parts["train"].paths)):
        tell(
            f"{folder}: pictures in colour ({colour.name}) are read as grey: the network takes 1 channel. --input H,W,3 keeps colours"
        )
    decoded = {name: _decoded(folder, part, shape, progress, tell) for name, part in parts.items()}
    data = Dataset(label(folder), *decoded["train"], *decoded["test"], names, f"{folder}{held}")
    return data.with_validation(*decoded["validation"]) if "validation" in decoded else data


# --- which pictures ---------------------------------------------------------------------------------------------------------------


def _roots(folder: Path) -> dict[str, Path]:
    """The folder of each part; that of the classes alone where there are no parts."""
    inside = {path.name.lower(): path for path in _entries(folder) if path.is_dir()}
    found = {part: next((inside[name] for name in names if name in inside), None) for part, names in PARTS.items()}
    roots = {part: path for part, path in found.items() if path is not None}
    return (
        roots
        if "train" in roots and len(roots) > 1
        else {"train": roots["train"]}
        if set(inside) == {"train"}
        else {"train": folder}
    )


def _class_names(root: Path) -> tuple[str, ...]:
    inside = _entries(root)
    names = tuple(path.name for path in inside if path.is_dir())
    pictures = sum(is_picture(path) for path in inside)
    if len(names) < 2:
        got = f"one, {names[0]}" if names else "none"
        advice = "Put the pictures of each class into a folder with its name"
        if names and any(path.is_dir() for path in _entries(root / names[0])):
            advice = f"Give the folder above the classes, {root / names[0]} perhaps"
        elif pictures:
            got += f", and {pictures:,} pictures without a class"
        raise DataError(f"{root}: expected a folder for each of two classes or more, got {got}. {advice}")
    return names


def _listed(part: str, root: Path, names: tuple[str, ...], tell: Notice) -> Part:
    """The pictures of a part, class by class, in natural order."""
    paths: list[Path] = []
    labels: list[int] = []
    others: list[Path] = []
    unread: list[Path] = []
    for path in _entries(root):
        if not path.is_dir():
            others.append(path)
        elif path.name not in names:
            raise DataError(
                f"{path}: expected the classes of the training images, {listed(names)}, got another. Add images of it to train on"
            )
        else:
            for file in _files_below(path):
                if is_picture(file):
                    paths.append(file)
                    labels.append(names.index(path.name))
                else:
                    (unread if is_picture_in_other_format(file) else others).append(file)
    if unread and paths:
        tell(f"{root}: {LEFT_OUT}: {in_other_formats(unread)}")
    if others:
        tell(
            f"{root}: {counted(len(others), 'file')} {LEFT_OUT}, as no {'picture' if len(others) == 1 else 'pictures'} of a class: "
            f"{listed(path.name for path in others)}"
        )
    if not paths:
        got = in_other_formats(unread) if unread else "none. Add some, or leave the folder out"
        raise DataError(f"{root}: expected pictures in the class folders, got {got}")
    return Part(part, paths, np.array(labels, np.int64))


def _check_classes(part: Part, names: tuple[str, ...], root: Path, least: int) -> None:
    counts = np.bincount(part.labels, minlength=len(names))
    for name, count in zip(names, counts.tolist(), strict=True):
        if count < least:
            why = ", one of them for the test" if least > 1 else ""
            raise DataError(
                f"{root / name}: expected at least {counted(least, 'picture')} of each class{why}, got {count or 'none'}. "
                "Add some, or move the folder elsewhere"
            )


def _entries(folder: Path) -> list[Path]:
    try:
        return entries(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed: {error.strerror or error}. Give another folder") from None


def _files_below(folder: Path) -> Iterator[Path]:
    for path in _entries(folder):
        if path.is_dir() and not path.is_symlink():  # a link may lead in a circle
            yield from _files_below(path)
        else:
            yield path


# --- decoding ---------------------------------------------------------------------------------------------------------------------


def _common_shape(folder: Path, paths: Sequence[Path]) -> Shape:
    """The size of all pictures, and their channels: 3 if any of them has colours.

    Raises:
        DataError: their sizes differ.
    """
    first: tuple[Path, tuple[int, int]] | None = None
    channels = 1
    for path in paths:
        try:
            height, width, found = shape_of(picture_bytes(path, str(path)), str(path))
        except DataError:
            continue  # it is told of when it is decoded
        channels = max(channels, found)
        first = first or (path, (height, width))
        if first[1] != (height, width):
            raise DataError(
                f"{folder}: expected pictures of one size, got {first[1]} ({first[0].name}) and {(height, width)} ({path.name}). "
                f"Give the (height, width, channels) to scale them to: --input or input_shape, as in {max(16, min(height, width, 128))},"
                f"{max(16, min(height, width, 128))},{channels}"
            )
    if first is None:
        raise DataError(f"{folder}: expected pictures, got none that can be read. Save them as PNG or JPEG")
    return (*first[1], channels)


def _first_in_colour(paths: Sequence[Path]) -> Path | None:
    """A picture in colour among the first of each ten; None if there is none."""
    for path in paths[:: max(len(paths) // 10, 1)]:
        try:
            if shape_of(picture_bytes(path, str(path)), str(path))[2] > 1:
                return path
        except DataError:
            continue
    return None


def _decoded(
    folder: Path, part: Part, shape: Shape, progress: Progress, tell: Notice
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The pictures of a part as images, uint8 (n, *shape), and their labels, without those that cannot be read."""
    count, title = len(part.paths), f"{label(folder)}, {part.name}"
    memory.check(
        count * int(np.prod(shape)), f"{folder}: {count:,} images of shape {shape}", "Use fewer or smaller ones", DataError
    )
    images = np.empty((count, *shape), np.uint8)
    errors: list[str] = []
    is_read = np.zeros(count, bool)
    read = partial(_read, size=shape[:2], channels=shape[2])
    for index, result in enumerate(_in_threads(read, part.paths)):
        if isinstance(result, str):
            errors.append(result)
        else:
            images[index], is_read[index] = result, True
        progress(title, index + 1, count)
    if errors:
        some = "; ".join(errors[:3]) + ("; ..." if len(errors) > 3 else "")
        if len(errors) > MOST_UNREADABLE * count:
            raise DataError(f"{folder}: expected pictures, got {len(errors):,} of {count:,} that cannot be read: {some}")
        tell(f"{folder}: {len(errors):,} of {count:,} {part.name} pictures cannot be read and are {LEFT_OUT}: {some}")
        return images[is_read], part.labels[is_read]
    return images, part.labels


def _read(path: Path, size: tuple[int, int], channels: int) -> NDArray[np.uint8] | str:
    """The pixels of a picture, or the error."""
    try:
        return read_photograph(path, size=size, channels=channels).pixels
    except DataError as error:
        return str(error)


def _in_threads(work: "partial[NDArray[np.uint8] | str]", paths: Sequence[Path]) -> Iterator[NDArray[np.uint8] | str]:
    """The results in order. Few pictures are in memory at a time, and an interruption waits for those alone."""
    waiting = iter(paths)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, which threads cannot switch off for themselves
        pool = ThreadPoolExecutor(min(threads.available(), MOST_THREADS))
        try:
            ahead = [pool.submit(work, path) for path in islice(waiting, 4 * MOST_THREADS)]
            while ahead:
                yield ahead.pop(0).result()
                ahead += [pool.submit(work, path) for path in islice(waiting, 1)]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
