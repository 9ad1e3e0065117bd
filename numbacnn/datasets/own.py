"""Data of one's own, by their path: class folders of pictures, ``.npz``, ``.csv``, or a folder of IDX files.

Each form has a file of its own, which returns ``Arrays``; here they become a data set. Class folders choose their pictures before they
are decoded, and make the data set themselves.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.dataset_names import DATASETS
from numbacnn.datasets import Dataset
from numbacnn.datasets.arrays import numbered_names, take_images, take_labels
from numbacnn.datasets.checks import check_class_names
from numbacnn.datasets.parts import hold_out, in_words, limited
from numbacnn.errors import DataError, ShapeError
from numbacnn.normalisation import NUMBERS, PIXELS, Normalisation
from numbacnn.quoting import listed, plain, short

Progress = Callable[[str, int, int], None]
Notice = Callable[[str], None]
Shape = tuple[int, int, int]

LEFT_OUT = "left out"
"""In each notice of files that are not used."""
FORMS = "class folders of pictures, an .npz or a .csv file, or a folder of IDX files"
MOST_CLASSES = 10_000
"""More different labels than these are no classes but, say, prices."""


@dataclass(frozen=True)
class Arrays:
    """What a file of one's own holds: images and labels of each part, as they are in it; None for a part that it lacks."""

    train: tuple[NDArray[Any], NDArray[Any]]
    test: tuple[NDArray[Any], NDArray[Any]] | None = None
    validation: tuple[NDArray[Any], NDArray[Any]] | None = None
    class_names: Sequence[str] | None = None
    source: str = ""


class Classes(NamedTuple):
    """The classes of a data set.

    Args:
        names: one for each class.
        numbers: the label of each class in the file, ascending; None for 0, 1, 2 and so on.
    """

    names: tuple[str, ...]
    numbers: NDArray[np.integer[Any]] | None = None


def load(
    path: str | Path,
    input_shape: Sequence[int] | None = None,
    *,
    train_limit: int | None = None,
    test_limit: int | None = None,
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> Dataset:
    """The data set in a folder or file.

    Args:
        path: see ``FORMS``.
        input_shape: (height, width, channels) of the images: pictures are scaled to it, and rows of numbers folded; None for their own.
        train_limit, test_limit: the number of images of each part; None for all.
        progress: called with a text, what is done, and what there is to do.
        notice: called with one line for each thing that the user should know.

    Raises:
        DataError, ShapeError: there are no such data; the message says what was expected, what came, and what to do.
    """
    path = Path(os.path.expanduser(path))
    shape = None if input_shape is None else _checked_shape(input_shape)
    progress, tell = progress or (lambda *_: None), notice or (lambda _: None)
    if path.is_dir():
        from numbacnn.datasets import folders, idx_folder

        if not idx_folder.is_one(path):
            return folders.load(path, shape, train_limit, test_limit, progress, tell)
        arrays = idx_folder.read(path)
    elif path.suffix.lower() == ".npz":
        from numbacnn.datasets import npz

        arrays = npz.read(path)
    elif path.suffix.lower() in (".csv", ".tsv"):
        from numbacnn.datasets import csv_files

        arrays = csv_files.read(path)
    else:
        raise DataError(f"{path}: expected {FORMS}, got {_kind(path)}")
    return _dataset(path, arrays, shape, train_limit, test_limit, tell)


def label(path: str | Path) -> str:
    """A short name for data of one's own, for reports and the folder of a run: never that of another data set."""
    path = Path(os.path.abspath(os.path.expanduser(path)))
    name = (path.name if path.is_dir() else path.stem) or "data"
    return f"own-{name}" if name in DATASETS else name


def _kind(path: Path) -> str:
    advice = {
        ".zip": "an archive. Unpack it first", ".gz": "an archive. Unpack it first", ".tar": "an archive. Unpack it first",
        ".npy": "a single array. Save images and labels with np.savez(file, x=images, y=labels)",
        ".mat": "a MATLAB file. Save images and labels with np.savez(file, x=images, y=labels)",
        ".h5": "an HDF5 file. Save images and labels with np.savez(file, x=images, y=labels)",
    }  # fmt: skip
    if not os.path.lexists(path):
        return f"nothing at that place. Check the path; it is looked for from {Path.cwd()}"
    return advice.get(path.suffix.lower(), f"a file that ends in {plain(path.suffix) or 'nothing'}. Convert it to one of them")


def _checked_shape(shape: Sequence[int]) -> Shape:
    values = tuple(shape) if isinstance(shape, Sequence | np.ndarray) else ()
    if len(values) == 2:
        values = (*values, 1)
    if len(values) != 3 or not all(isinstance(side, (int, np.integer)) and side > 0 for side in values):
        raise ShapeError(f"input_shape: expected (height, width, channels), got {short(shape)}. Give, say, (32, 32, 3)")
    height, width, channels = map(int, values)
    return height, width, channels


# --- arrays ---------------------------------------------------------------------------------------------------------------------


def _dataset(
    path: Path, arrays: Arrays, shape: Shape | None, train_limit: int | None, test_limit: int | None, tell: Notice
) -> Dataset:
    """The arrays as a data set: images in the form of a network's, classes numbered, a share held out where there is no test part."""
    images, labels = arrays.train
    train_images, normalisation = as_images(f"{path}: images", images, shape)
    given_names = None if arrays.class_names is None else Classes(check_class_names(arrays.class_names))
    train_labels, classes = number_classes(f"{path}: labels", labels, given_names)
    names = classes.names
    _check_count(path, train_images, train_labels)
    if len(names) < 2:
        raise DataError(
            f"{path}: expected labels of two classes or more, got {listed(names)} alone{arrays.source}. Check the labels"
        )
    if classes.numbers is not None and names != numbered_names(len(names)):
        tell(f"{path}: the labels are {len(names)} different numbers, {listed(names)}: each of them is a class")

    def other(part: str, given: tuple[NDArray[Any], NDArray[Any]]) -> tuple[NDArray[Any], NDArray[np.integer[Any]]]:
        pixels, _ = as_images(f"{path}: {part} images", given[0], train_images.shape[1:], normalisation)
        numbers, _ = number_classes(f"{path}: {part} labels", given[1], classes)
        _check_count(path, pixels, numbers)
        return pixels, numbers

    given_test = arrays.test or arrays.validation
    if given_test is None:
        chosen, held = hold_out(train_labels)
        tell(f"{path}: {in_words()}: {len(held):,} of {len(train_labels):,}")
        test_images, test_labels = train_images, train_labels
    else:
        chosen = np.arange(len(train_labels))
        test_images, test_labels = other("test", given_test)
        held = np.arange(len(test_labels))
    chosen, held = limited(chosen, train_limit), limited(held, test_limit)
    data = Dataset(
        label(path), train_images[chosen], train_labels[chosen], test_images[held], test_labels[held], names,
        str(path) + (f", {in_words()}" if given_test is None else "") + arrays.source, normalisation,
    )  # fmt: skip
    if arrays.test and arrays.validation:
        return data.with_validation(*other("validation", arrays.validation))
    return data


def as_images(
    who: str, array: NDArray[Any], shape: tuple[int, ...] | None, normalisation: Normalisation | None = None
) -> tuple[NDArray[Any], Normalisation]:
    """Images of a file in the form of a data set: pixels 0...255 of any integer type as uint8, floats as they are.

    Args:
        who: their name in messages.
        array: (n, height, width), (n, height, width, channels), or rows of numbers (n, height * width * channels).
        shape: of each image; rows are folded to it. None folds them to a square, of 1 or else 3 channels.
        normalisation: of the images of another part; None infers it.

    Raises:
        DataError, ShapeError: they are no such images.
    """
    if array.ndim == 2:
        array = array.reshape(len(array), *_folded(who, array.shape[1], shape))
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 3):
        raise ShapeError(f"{who}: expected channels last, got shape {array.shape}. Save np.moveaxis(images, 1, -1)")
    if array.dtype.kind in "iu":
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        if low < 0 or high > 255:
            raise DataError(
                f"{who}: expected pixels 0...255, got numbers from {low} to {high}. Scale them, or save floats of about 0...1"
            )
        array = array.astype(np.uint8, copy=False)
    elif array.dtype.kind == "f":
        array = _checked_floats(who, array)
    found = normalisation or (NUMBERS if array.dtype.kind == "f" else PIXELS)
    if (array.dtype.kind == "f") != (found == NUMBERS) and array.dtype.kind in "uf":
        raise DataError(
            f"{who}: expected {found.dtype}, as the training images are, got {array.dtype}. Save both in the same form"
        )
    # A shape that differs is refused where it is known what the network takes, with other advice.
    return take_images(who, array, None, found)


def number_classes(who: str, labels: NDArray[Any], classes: Classes | None = None) -> tuple[NDArray[np.integer[Any]], Classes]:
    """Class numbers from 0 on, and the classes.

    Args:
        who: the name of the labels in messages.
        labels: names, one-hot rows, or whole numbers; where no classes are known, the different numbers are the classes.
        classes: those of the training images, or their names.

    Raises:
        DataError, ShapeError: they are no labels, or one of them is no class.
    """
    labels = _plain_labels(who, labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        numbers, names = take_labels(who, labels, None if classes is None else classes.names)
        return numbers, classes or Classes(names or numbered_names(labels.shape[-1]))
    known_numbers = None if classes is None else classes.numbers
    if classes is not None and known_numbers is None:
        return labels, classes
    numbers = np.unique(labels) if known_numbers is None else known_numbers
    if classes is None and len(numbers) > MOST_CLASSES:
        raise DataError(
            f"{who}: expected at most {MOST_CLASSES:,} classes, got {len(numbers):,} different numbers. Are they labels?"
        )
    unknown = np.setdiff1d(labels, numbers)
    if len(unknown):
        known = listed(map(str, numbers.tolist()))
        raise DataError(
            f"{who}: expected the classes of the training images, {known}, got {unknown[0]}. Add images of it for training"
        )
    return np.searchsorted(numbers, labels), classes or Classes(tuple(map(str, numbers.tolist())), numbers)


def _plain_labels(who: str, labels: NDArray[Any]) -> NDArray[Any]:
    """Texts of bytes as texts, a column as a row, and whole numbers as integers."""
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 1 and labels.dtype.kind == "f":
        wrong = labels[~(np.isfinite(labels) & (labels == np.rint(labels)) & (np.abs(labels) < 2**53))]
        if len(wrong):
            raise DataError(f"{who}: expected classes, got the number {wrong[0]}. Give each class a whole number or a name")
        labels = labels.astype(np.int64)
    return labels


def _checked_floats(who: str, array: NDArray[Any]) -> NDArray[Any]:
    """Floats, unless they are pixels in disguise: a network would see numbers 255 times too large."""
    high = float(np.abs(array).max(initial=0))
    if 16 < high <= 255 and float(array.min()) >= 0 and (array == np.rint(array)).all():
        raise DataError(
            f"{who}: expected floats of about 0...1, got whole numbers up to {high:g}: pixels, it seems. "
            "Save them as pixels, images.astype('uint8'), or divided by 255"
        )
    return array


def _folded(who: str, count: int, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape of an image in a row of numbers."""
    if shape is not None and int(np.prod(shape)) == count:
        return shape
    for channels in (1, 3):
        side = round((count / channels) ** 0.5)
        if channels * side * side == count and side:
            return side, side, channels
    wanted = "" if shape is None else f", or {int(np.prod(shape)):,} for images of shape {shape}"
    index = round((count - 1) ** 0.5) ** 2 == count - 1 and count > 2
    advice = "One column more may be an index: save without it (index=False)" if index else "Give --input H,W,C"
    raise ShapeError(f"{who}: expected as many numbers in a row as a square image has{wanted}, got {count:,}. {advice}")


def _check_count(path: Path, images: NDArray[Any], labels: NDArray[Any]) -> None:
    if len(images) != len(labels):
        raise ShapeError(
            f"{path}: expected one label for each of {len(images):,} images, got {len(labels):,}. Save as many of both"
        )
    if not len(images):
        raise DataError(f"{path}: expected images, got none. Add some")
