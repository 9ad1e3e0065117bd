"""Arrays of one's own as a data set: the grey axis, the classes and their names are inferred, and nothing is guessed.

Images are pixels (uint8) or numbers (floats); labels are class numbers, class names, or one-hot rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn.datasets.checks import check_array, check_images
from numbacnn.errors import DataError, ShapeError
from numbacnn.normalisation import NUMBERS, PIXELS, Normalisation
from numbacnn.quoting import short
from numbacnn.spelling import did_you_mean

GREY_AXES = 3


def take_images(
    who: str, images: object, shape: tuple[int, ...] | None = None, normalisation: Normalisation | None = None
) -> tuple[NDArray[Any], Normalisation]:
    """Images in the form of a data set, and their normalisation.

    Args:
        who: the name of the images in messages.
        images: an array or nested lists, (n, height, width, channels), or (n, height, width) if grey: pixels 0...255 of type uint8, or
            floats, taken as they are.
        shape: (height, width, channels) that a network takes; None for any.
        normalisation: of that network; None infers it from the type.

    Raises:
        DataError: they are no such numbers. ShapeError: they have another shape.
    """
    array = as_array(who, images)
    if normalisation is None:
        normalisation = NUMBERS if array.dtype.kind == "f" else PIXELS
    if array.ndim == GREY_AXES and (shape is None or array.shape[1:] == shape[:2]):
        array = array[..., None]
    return check_images(who, array, shape, normalisation), normalisation


def take_labels(
    who: str, labels: object, class_names: Sequence[str] | None = None
) -> tuple[NDArray[np.integer[Any]], tuple[str, ...]]:
    """Class numbers, and the name of each class.

    Args:
        who: the name of the labels in messages.
        labels: class numbers from 0 on, class names, or rows with a single 1 at the place of the class; an array or a list.
        class_names: of all classes; None takes the names that occur, in alphabetical order, or the numbers up to the largest one.

    Raises:
        DataError: they are neither, or one of them is no class. ShapeError: they are not one for each image.
    """
    array = as_array(who, labels)
    if array.dtype.kind == "O" and all(isinstance(label, str) for label in array.flat):
        array = array.astype(str)
    if array.dtype.kind == "U" and array.ndim == 1:
        return _named(who, array, class_names)
    if array.ndim == 2:
        array = _from_one_hot(who, array)
    if class_names is None and array.ndim == 1 and array.dtype.kind in "iu" and len(array):
        class_names = _numbered(who, array)
    return array, tuple(class_names or ())


def numbered_names(classes: int) -> tuple[str, ...]:
    """The names of classes that are numbers."""
    return tuple(map(str, range(classes)))


def _named(who: str, names: NDArray[np.str_], known: Sequence[str] | None) -> tuple[NDArray[np.integer[Any]], tuple[str, ...]]:
    found, inverse = np.unique(names, return_inverse=True)
    if known is None:
        return inverse, tuple(map(str, found))
    index = {name: number for number, name in enumerate(known)}
    for name in map(str, found):
        if name not in index:
            position = int(np.flatnonzero(names == name)[0])
            raise DataError(
                f"{who}: expected names of classes, got {short(name)} at position {position}.{did_you_mean(name, known)} "
                f"Classes: {short(', '.join(known))}"
            )
    return np.array([index[str(name)] for name in found], np.int64)[inverse], tuple(known)


MOST_NUMBERED_CLASSES = 100_000
"""A label beyond this is no class number but, say, a price or an identity."""


def _numbered(who: str, labels: NDArray[np.integer[Any]]) -> tuple[str, ...]:
    if int(labels.max()) >= MOST_NUMBERED_CLASSES:
        raise DataError(
            f"{who}: expected class numbers from 0 on, got {labels.max()}. Number the classes: np.unique(labels, return_inverse=True)[1]"
        )
    return numbered_names(int(labels.max()) + 1)


def _from_one_hot(who: str, rows: NDArray[Any]) -> NDArray[np.integer[Any]]:
    """The classes of one-hot rows."""
    if rows.dtype.kind not in "biuf" or rows.shape[1] < 2:
        raise ShapeError(
            f"{who}: expected one class per image, got shape {rows.shape} of type {rows.dtype}. Use labels.reshape(-1)"
        )
    is_one = rows == 1
    if not (is_one.sum(axis=1) == 1).all() or not ((rows == 0) | is_one).all():
        position = int(np.flatnonzero((is_one.sum(axis=1) != 1) | ~((rows == 0) | is_one).all(axis=1))[0])
        raise DataError(
            f"{who}: expected one class per image, or rows with a single 1 and else 0, got {short(rows[position].tolist())} at position "
            f"{position}. Use labels.argmax(axis=1) if the largest value marks the class"
        )
    return is_one.argmax(axis=1)


def as_array(who: str, values: object) -> NDArray[Any]:
    """Arrays as they are, and lists and array-likes as arrays."""
    if isinstance(values, np.ndarray):
        return check_array(who, values)
    if isinstance(values, (str, bytes)) or values is None or not hasattr(values, "__len__"):
        raise DataError(f"{who}: expected an array, got {short(values)}. Give a NumPy array or a list")
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        raise DataError(
            f"{who}: expected lists of equal lengths, got different ones. Scale the images to one size, and give np.array(...)"
        ) from None
    except (TypeError, RuntimeError) as error:  # an array on a GPU, say
        raise DataError(
            f"{who}: expected an array, got {type(values).__name__}: {short(str(error))}. Give a NumPy array"
        ) from None
    return check_array(who, array)
