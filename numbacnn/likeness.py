"""Whether an image is unlike every image that a network was trained on.

The largest probability does not tell: softmax only says which class is nearest. The cosine distance of an image's features
(``features.py``) to those of training images does: ``NEIGHBOUR`` of them are nearer to nearly every image of the kind that the
network knows. How far away they may be is measured on such images.

The features are kept as whole numbers of 8 bits, at most ``WIDTH`` for each image. Sums of products of such numbers are exact in
float32, so that distances do not depend on the order in which a library adds.
"""

from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from numbacnn.features import distances_to, hidden_layer
from numbacnn.graph import Graph
from numbacnn.shapes import cells

NEIGHBOUR = 5
"""The distance to this neighbour counts: a single training image may be an odd one."""

WIDTH = 128
"""The most numbers for an image. Features of more are projected, which keeps the angles between them roughly."""

REFUSED = 0.015
"""The share of images held out that are beyond the threshold. The network has seen many of them in training, and others are a little
further away: of MNIST's test images it is 2 % at most."""

MOST_HELD_OUT = 5_000
"""Images that the threshold is measured on."""

LEAST_IMAGES = 100
"""Fewer do not show what is usual."""

_LARGEST = 127  # of a whole number with a sign and 8 bits
_SEED = 0  # of the directions of projections


@dataclass(frozen=True)
class Likeness:
    """The compressed features of training images, and how far from them an image of the same kind may be.

    Args:
        bank: int8 (m, width), of ``compressed``.
        threshold: the largest usual distance to the ``NEIGHBOUR``-th nearest of the bank.
    """

    bank: NDArray[np.int8]
    threshold: float

    def distances(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The cosine distance, 0...2, of each image's features (n, width) to the ``NEIGHBOUR``-th nearest of the bank, (n,).

        Raises:
            ShapeError: the features are those of another network.
        """
        return self.nearest(compressed(features))

    def is_unlike(self, distance: float) -> bool:
        """Whether an image at this distance is unlike every training image."""
        return distance > self.threshold

    def nearest(self, small: NDArray[np.int8], neighbour: int = NEIGHBOUR) -> NDArray[np.float64]:
        """The same for compressed features, and for another neighbour."""
        return distances_to(small.astype(np.float32), self._rows, neighbour)

    @cached_property
    def _rows(self) -> NDArray[np.float32]:
        return self.bank.astype(np.float32)


def measure_likeness(bank: NDArray[np.int8], others: NDArray[np.int8] | None) -> Likeness | None:
    """Measure the threshold: ``REFUSED`` of the images held out lie beyond it.

    Args:
        bank: compressed features of training images (m, width).
        others: those of images held out of training; None takes ``MOST_HELD_OUT`` images of the bank, each held out of the bank.

    Returns:
        None if there are fewer than ``LEAST_IMAGES``.
    """
    if min(len(bank), len(bank if others is None else others)) < LEAST_IMAGES:
        return None
    likeness = Likeness(bank, 0.0)
    # The nearest of all to an image of the bank is the image itself.
    some = bank[:: -(-len(bank) // MOST_HELD_OUT)]
    distances = likeness.nearest(some, NEIGHBOUR + 1) if others is None else likeness.nearest(others)
    distances.sort()
    return replace(likeness, threshold=float(distances[-1 - int(REFUSED * len(distances))]))


def width_for(graph: Graph) -> int:
    """The numbers for each image in a bank of this network."""
    return min(WIDTH, cells(graph.shapes[hidden_layer(graph)]))


def compressed(features: NDArray[np.float32]) -> NDArray[np.int8]:
    """Features as whole numbers -127...127, of which one of each image has the largest size: (n, width), width at most ``WIDTH``."""
    whole = _whole_numbers(features)
    if features.shape[1] <= WIDTH:
        return whole
    return _whole_numbers(whole.astype(np.float32) @ _directions(features.shape[1]))


def _whole_numbers(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    return np.rint(vectors * (_LARGEST / np.where(largest > 0, largest, 1))).astype(np.int8)


@cache
def _directions(width: int) -> NDArray[np.float32]:
    """``WIDTH`` directions in a space of ``width`` dimensions, numbers 1 and -1 (width, WIDTH): the same in every version of NumPy.

    Source: D. Achlioptas, "Database-friendly random projections", 2003.
    """
    bits = np.random.PCG64(_SEED).random_raw(width * WIDTH // 64).astype("<u8")
    return 1 - 2 * np.unpackbits(bits.view(np.uint8)).reshape(width, WIDTH).astype(np.float32)
