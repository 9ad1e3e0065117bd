"""Good data for a small network, to be made wrong, and the memory layouts in which arrays come."""

from collections.abc import Callable
from typing import Any

import numpy as np
from networks import net, stripes

from numbacnn.backends import get_ops
from numbacnn.datasets import Dataset
from numbacnn.graph import without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.prediction import Predictor

NAMES = ("rows", "columns", "flat")
IMAGES = stripes(12, 0).train_images
LABELS = stripes(12, 0).train_labels


def dataset(**changes: Any) -> Dataset:
    given = {
        "train_images": IMAGES, "train_labels": LABELS, "test_images": IMAGES[:3], "test_labels": LABELS[:3], "class_names": NAMES,
    }  # fmt: skip
    return Dataset("stripes", source="drawn here", **(given | changes))


def predictor() -> Predictor:
    graph = without_softmax(net())
    return Predictor(graph, get_ops("cpu"), initial_parameters(graph, 0))


def read_only(array: np.ndarray) -> np.ndarray:
    frozen = array.copy()
    frozen.flags.writeable = False
    return frozen


def backwards(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array[(slice(None, None, -1),) * array.ndim])[(slice(None, None, -1),) * array.ndim]


def every_other(array: np.ndarray) -> np.ndarray:
    wide = np.full([2 * side for side in array.shape], 99, array.dtype)
    wide[(slice(None, None, 2),) * array.ndim] = array
    return wide[(slice(None, None, 2),) * array.ndim]


class Sub(np.ndarray):
    """A subclass of arrays, as memory maps are."""


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "fortran": np.asfortranarray, "read-only": read_only, "backwards": backwards, "every other": every_other,
    "a subclass": lambda array: array.view(Sub),
}  # fmt: skip
