"""The door for data: images, labels and class names are checked before anything is computed with them.

Kernels trust shapes and indices, so a caller's data pass these checks first.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn.errors import DataError, ShapeError
from numbacnn.normalisation import PIXELS, Normalisation
from numbacnn.quoting import short

IMAGE_AXES = 4


LARGEST_NUMBER = 1e6
"""The largest absolute value of images that are numbers; a network learns from values of about 1."""


def check_images(
    who: str, images: object, shape: tuple[int, ...] | None = None, normalisation: Normalisation = PIXELS
) -> NDArray[Any]:
    """The images as a plain array of the normalisation's type; nothing is copied but floats of another size.

    Args:
        who: the name of the images in messages.
        images: (n, height, width, channels), in any memory layout: pixels 0...255 of type uint8, or, for a normalisation of numbers,
            floats.
        shape: (height, width, channels) of each image; None for any.
        normalisation: of the network that is to see them.

    Raises:
        DataError: they are no array, masked, of another type, or numbers that are not finite or beyond ``LARGEST_NUMBER``.
        ShapeError: they have another shape.
    """
    array = check_array(who, images)
    if normalisation.dtype == "uint8" and array.dtype != np.uint8:
        raise DataError(f"{who}: expected pixels 0...255 of type uint8, got {array.dtype}. {_pixel_advice(array)}")
    if normalisation.dtype != "uint8":
        array = _numbers(who, array)
    if array.ndim != IMAGE_AXES:
        raise ShapeError(f"{who}: expected (n, height, width, channels), got shape {array.shape}. {_axes_advice(array, shape)}")
    if shape is not None and array.shape[1:] != shape:
        raise ShapeError(f"{who}: expected images of shape {shape}, got {array.shape[1:]}. {_shape_advice(array, shape)}")
    if 0 in array.shape[1:]:
        raise ShapeError(f"{who}: expected images of at least one pixel and channel, got shape {array.shape}")
    return array


def _numbers(who: str, array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind != "f":
        raise DataError(
            f"{who}: expected floats, got {array.dtype}. Convert them with images.astype('float32'), scaled as in training"
        )
    largest = float(np.abs(array).max(initial=0))  # nan if there is one
    if not largest <= LARGEST_NUMBER:
        index = tuple(int(i) for i in np.argwhere(~(np.abs(array) <= LARGEST_NUMBER))[0])
        raise DataError(
            f"{who}: expected finite numbers of at most {LARGEST_NUMBER:g}, got {array[index]} at {index}. "
            "Replace missing values, and scale the others to about 0...1"
        )
    return array.astype(np.float32, copy=False)


def check_labels(who: str, labels: object, count: int, classes: int) -> NDArray[np.integer[Any]]:
    """The labels as a plain array; nothing is copied.

    Args:
        who: the name of the labels in messages.
        labels: class numbers from 0 on, of any integer type (n,).
        count: the number of images.
        classes: the number of classes.

    Raises:
        DataError: they are no array, masked, no integers, or one is no class. ShapeError: there is not one for each image.
    """
    array = check_array(who, labels)
    if array.ndim != 1:
        raise ShapeError(
            f"{who}: expected one class number per image, shape ({count},), got shape {array.shape}. {_one_hot_advice(array, classes)}"
        )
    if array.dtype.kind not in "iu":
        raise DataError(f"{who}: expected class numbers of an integer type, got {array.dtype}. {_label_advice(array)}")
    if len(array) != count:
        raise ShapeError(f"{who}: expected one label for each of {count:,} images, got {len(array):,}. Give as many of both")
    if count and not (int(array.min()) >= 0 and int(array.max()) < classes):
        index = int(np.flatnonzero((array < 0) | (array >= classes))[0])
        raise DataError(
            f"{who}: expected class numbers 0...{classes - 1}, got {array[index]} at position {index}. "
            f"Count classes from 0; there are {classes}"
        )
    return array


def check_class_names(names: object) -> tuple[str, ...]:
    """The names as a tuple.

    Raises:
        DataError: they are no sequence of texts, none, empty, or not distinct.
    """
    if not isinstance(names, (Sequence, np.ndarray)) or isinstance(names, (str, bytes)):
        raise DataError(f"class_names: expected a text for each class, got {short(names)}. Give a tuple, as in ('cat', 'dog')")
    if len(names) == 0:
        raise DataError("class_names: expected at least one class, got none. Name the meaning of each label")
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"class_names: expected a text that is not empty, got {short(name)} at position {index}")
        if name in seen:
            raise DataError(f"class_names: expected distinct names, got {short(name)} at positions {seen[name]} and {index}")
        seen[str(name)] = index
    return tuple(seen)


def check_array(who: str, value: object) -> NDArray[Any]:
    """The value as a plain array that shares its memory.

    Raises:
        DataError: it is no NumPy array, or has a mask, which would be lost.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise DataError(
            f"{who}: expected an array without a mask, got a masked one. Fill it with .filled(0), or drop the masked items"
        )
    if not isinstance(value, np.ndarray):
        raise DataError(f"{who}: expected a NumPy array, got {type(value).__name__}. Convert it with np.asarray(...)")
    return np.asarray(value).view()


def _pixel_advice(array: NDArray[Any]) -> str:
    if array.dtype.kind == "b":
        return "Multiply by 255 and convert to uint8: 255 * images.astype('uint8')"
    if array.dtype.kind not in "iuf":
        return "Give numbers"
    largest = array.max() if array.size else 0
    if array.dtype.kind == "f" and not largest > 1:
        return (
            "Pixels are scaled to 0...1 here: multiply by 255 and convert to uint8, as in (255 * images).round().astype('uint8')"
        )
    if array.size == 0 or (array.min() >= 0 and largest <= np.iinfo(np.uint8).max):
        return f"Convert them with images{'.round()' if array.dtype.kind == 'f' else ''}.astype('uint8')"
    return f"They go from {array.min()} to {largest}: bring them to 0...255 and convert to uint8"


def _axes_advice(array: NDArray[Any], shape: tuple[int, ...] | None) -> str:
    if array.size == 0:
        return f"No images are np.zeros({(0, *(shape or (28, 28, 1)))}, np.uint8)"
    if shape is not None and array.shape in (shape, shape[:2]):
        return "Add the axis of a single image: images[None]"
    if array.ndim == IMAGE_AXES - 1 and shape is not None and array.shape[2] == shape[2] > 1:
        return f"A single image is images[None], scaled to {shape[:2]}"
    if array.ndim == IMAGE_AXES - 1 and shape is not None and array.shape[1:] != shape[:2]:
        return f"The network takes images of shape {shape}: scale them to {shape[:2]}"
    if array.ndim == IMAGE_AXES - 1:
        return "Add the channel axis of grey images: images[..., None]"
    return "Use images.reshape(n, height, width, channels)"


def _shape_advice(array: NDArray[Any], shape: tuple[int, ...]) -> str:
    if array.shape[1:] == (shape[2], shape[0], shape[1]):
        return "Channels come last: np.moveaxis(images, 1, -1)"
    if array.shape[1:3] == shape[:2]:
        grey, colour = "np.repeat(images, 3, axis=-1)", "images.mean(axis=-1, keepdims=True).astype(images.dtype)"
        return f"Grey images in {shape[2]} channels are {grey}" if array.shape[3] == 1 else f"In grey they are {colour}"
    return "Scale or crop them to that size"


def _one_hot_advice(array: NDArray[Any], classes: int) -> str:
    if array.ndim == 2 and array.shape[1] == 1:
        return "Use labels[:, 0]"
    if array.ndim == 2 and array.shape[1] == classes:
        return "They look one-hot: use labels.argmax(axis=1)"
    return "Use labels.reshape(-1)" if array.ndim else "Give an array"


def _label_advice(array: NDArray[Any]) -> str:
    if array.dtype.kind in "bf":
        return "Convert them with labels.astype(int)"
    return "Give the index of each class in class_names: np.array([class_names.index(label) for label in labels])"
