"""What a network's last hidden layer makes of images: the closer two images are there, the more alike the network finds them.

A class is read off these numbers by one layer alone, so that a network cannot tell images apart that have the same ones.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.errors import ShapeError
from numbacnn.graph import INPUT, Graph, up_to, without_softmax
from numbacnn.network import batches
from numbacnn.normalisation import PIXELS, Normalisation
from numbacnn.ops import Ops
from numbacnn.prediction import Predictor
from numbacnn.shapes import cells
from numbacnn.values import Array

_QUERIES = 64  # whose similarities to a whole bank are in memory at once, and stay in the cache


class Nearest(NamedTuple):
    """The k rows of a bank that are nearest to each of n vectors, the nearest first.

    Args:
        indices: of the rows, int64 (n, k).
        distances: cosine distances, 0 (the same direction) ... 2, float64 (n, k).
    """

    indices: NDArray[np.int64]
    distances: NDArray[np.float64]


def hidden_layer(graph: Graph) -> str:
    """The name of the layer that the last layer with weights reads; ``graph.INPUT`` if that is the image itself."""
    logits = without_softmax(graph)
    weighted = [node for node in logits.nodes if node.layer.parameters(*logits.input_shapes(node))]
    return weighted[-1].inputs[0] if weighted else INPUT


class FeatureReader:
    """``features`` for many calls: a device prepares the network once. Its arguments and errors are those of ``features``."""

    def __init__(self, graph: Graph, ops: Ops, parameters: Mapping[str, Array], normalisation: Normalisation = PIXELS) -> None:
        name = hidden_layer(graph)
        self._width, self._scale = cells(graph.shapes[name]), normalisation.scale
        self._predictor = None if name == INPUT else Predictor(up_to(graph, name), ops, parameters, normalisation)

    def __call__(self, images: NDArray) -> NDArray[np.float32]:
        """The features of images."""
        values = images.astype(np.float32) * self._scale if self._predictor is None else self._predictor(images).logits
        return rooted(values.reshape(len(images), self._width))


def features(
    graph: Graph, ops: Ops, parameters: Mapping[str, Array], images: NDArray, normalisation: Normalisation = PIXELS
) -> NDArray[np.float32]:
    """The square roots of the last hidden layer's values for images (n, h, w, c), as vectors of length 1: float32 (n, width).

    A negative value gives a negative root. An image's vector does not depend on the other images; it is zero where all of the layer's
    values are. The roots keep a few strong neurons from drowning out the others: without them, the letter A, turned a little or drawn by
    a thicker pen, was near the fours of MNIST.

    Args:
        parameters: of the network, on the device or as NumPy arrays.
        normalisation: of the images that the network was trained on.

    Raises:
        ModelError, ShapeError, DataError, NotFiniteError: as for ``Predictor``.
    """
    return FeatureReader(graph, ops, parameters, normalisation)(images)


def rooted(values: NDArray) -> NDArray[np.float32]:
    """The vectors that ``features`` makes of a layer's values (n, width)."""
    return unit_length(np.copysign(np.sqrt(np.abs(values)), values))


def unit_length(vectors: NDArray) -> NDArray[np.float32]:
    """Vectors (n, width) divided by their lengths, float32; zeros stay zeros."""
    return (vectors / _lengths(vectors)).astype(np.float32)


def nearest(vectors: NDArray[np.float32], bank: NDArray[np.float32], k: int) -> Nearest:
    """The ``k`` rows of a bank that are nearest to each vector by cosine distance; of equal ones, that with the lower index.

    Args:
        vectors: of any length, (n, width); one of zeros is at a distance of 1 from all.
        bank: of any length, (m, width), m at least ``k``.

    Raises:
        ShapeError: the widths differ, or the bank has fewer than ``k`` rows.
    """
    lengths = _lengths(vectors)
    indices, distances = np.empty((len(vectors), k), np.int64), np.empty((len(vectors), k))
    for rows, similarities, least in _similarities(vectors, bank, k):
        for row, similar in enumerate(similarities, rows.start):
            near = np.flatnonzero(similar >= least[row - rows.start])  # few, unless many are equal
            indices[row] = near[np.argsort(-similar[near], kind="stable")[:k]]
            distances[row] = 1 - similar[indices[row]].astype(np.float64) / lengths[row]
    return Nearest(indices, distances)


def distances_to(vectors: NDArray[np.float32], bank: NDArray[np.float32], k: int) -> NDArray[np.float64]:
    """The distance of each vector to the ``k``-th nearest row alone, (n,): what ``nearest`` has in its last column, sooner.

    Raises:
        ShapeError: as for ``nearest``.
    """
    found = [least for _, _, least in _similarities(vectors, bank, k)]
    return 1 - np.concatenate([*found, np.empty(0, np.float32)]).astype(np.float64) / _lengths(vectors)[:, 0]


def _similarities(
    vectors: NDArray[np.float32], bank: NDArray[np.float32], k: int
) -> Iterator[tuple[slice, NDArray[np.float32], NDArray[np.float32]]]:
    """Some vectors at a time: which, their products with all rows of the bank, each divided by that row's length, and the k-th largest.

    The products lie in memory that the next ones take: fresh memory for each would take longer than the arithmetic.
    """
    if bank.ndim != 2 or vectors.ndim != 2 or vectors.shape[1] != bank.shape[1]:
        raise ShapeError(f"features: expected rows of one width, got shapes {vectors.shape} and {bank.shape}")
    if not 0 < k <= len(bank):
        raise ShapeError(f"features: expected a bank of at least {k} rows, got {len(bank)}")
    inverse = (1 / _lengths(bank).T).astype(np.float32)
    memory, sorted_memory = np.empty((2, min(len(vectors), _QUERIES), len(bank)), np.float32)
    for rows in batches(len(vectors), _QUERIES):
        # For one vector, NumPy's own loop: the threads of a BLAS library take longer to wake than the product takes.
        similarities, in_parts = (each[: rows.stop - rows.start] for each in (memory, sorted_memory))
        if len(vectors) == 1:
            np.einsum("ik,jk->ij", vectors, bank, out=similarities)
        else:
            np.matmul(vectors[rows], bank.T, out=similarities)
        similarities *= inverse
        in_parts[:] = similarities
        in_parts.partition(-k, axis=1)
        yield rows, similarities, in_parts[:, -k].copy()


def _lengths(vectors: NDArray) -> NDArray[np.float64]:
    """The length of each vector, (n, 1); 1 for zeros."""
    lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
    return np.where(lengths > 0, lengths, 1)
