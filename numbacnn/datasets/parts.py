"""Own data in parts: a share is held out where there is no test part, and limits take images of every class.

Both are drawn by a fixed seed: equal data are divided equally, whatever the seed of a training, and wherever they are read from.
"""

import numpy as np
from numpy.typing import NDArray

from numbacnn.random_numbers import permutation, stream

HELD_OUT = 6
"""One image of so many of each class is held out for the test."""

_HOLD_OUT_STREAM, _LIMIT_STREAM = 0, 1

Indices = NDArray[np.int64]


def hold_out(labels: NDArray[np.integer]) -> tuple[Indices, Indices]:
    """The indices to train on and those held out for the test, both ascending.

    Of each class a sixth is held out, at least one image; a class of one image is trained on.

    Args:
        labels: class numbers (n,).
    """
    held = [np.zeros(0, np.int64)]
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        order = places[permutation(stream(_HOLD_OUT_STREAM, int(label)), len(places))]
        held.append(order[: max(1, len(places) // HELD_OUT) if len(places) > 1 else 0])
    test = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), test), test


def limited(indices: Indices, limit: int | None) -> Indices:
    """At most ``limit`` of the indices, drawn at random, ascending: the first ones might all be of one class."""
    if limit is None or limit >= len(indices):
        return indices
    return np.sort(indices[permutation(stream(_LIMIT_STREAM), len(indices))[:limit]])


def in_words() -> str:
    """What ``hold_out`` does, for the user."""
    return f"one image in {HELD_OUT} of each class held out for the test"
