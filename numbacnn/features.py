"""What a network's last hidden layer makes of images: the closer two images are there, the more alike the network finds them.

A class is read off these numbers by one layer alone, so that a network cannot tell images apart that have the same ones.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.errors import ShapeError
from numbacnn.graph import INPUT, Graph, up_to, without_softmax
from numbacnn.network import batches
from numbacnn.normalisation import PIXELS, Normalisation
from numbacnn.ops import Ops
from numbacnn.prediction import Predictor
from numbacnn.values import Array

_QUERIES = 1_000  # whose similarities to a whole bank are in memory at once


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


def features(
    graph: Graph, ops: Ops, parameters: Mapping[str, Array], images: NDArray, normalisation: Normalisation = PIXELS
) -> NDArray[np.float32]:
    """The values of the last hidden layer for images (n, h, w, c), as vectors of length 1: float32 (n, width).

    An image's vector does not depend on the other images; it is zero where all of the layer's values are.

    Args:
        parameters: of the network, on the device or as NumPy arrays.
        normalisation: of the images that the network was trained on.

    Raises:
        ModelError, ShapeError, DataError, NotFiniteError: as for ``Predictor``.
    """
    name = hidden_layer(graph)
    if name == INPUT:
        values = images.astype(np.float32) * normalisation.scale
    else:
        values = Predictor(up_to(graph, name), ops, parameters, normalisation)(images).logits
    return unit_length(values.reshape(len(images), -1))


def unit_length(vectors: NDArray) -> NDArray[np.float32]:
    """Vectors (n, width) divided by their lengths, float32; zeros stay zeros."""
    lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def nearest(vectors: NDArray[np.float32], bank: NDArray[np.float32], k: int) -> Nearest:
    """The ``k`` rows of a bank that are nearest to each vector by cosine distance; of equal ones, that with the lower index.

    Args:
        vectors: of length 1, (n, width).
        bank: of length 1, (m, width), m at least ``k``.

    Raises:
        ShapeError: the widths differ, or the bank has fewer than ``k`` rows.
    """
    if bank.ndim != 2 or vectors.ndim != 2 or vectors.shape[1] != bank.shape[1]:
        raise ShapeError(f"features: expected rows of one width, got shapes {vectors.shape} and {bank.shape}")
    if not 0 < k <= len(bank):
        raise ShapeError(f"features: expected a bank of at least {k} rows, got {len(bank)}")
    indices, distances = np.empty((len(vectors), k), np.int64), np.empty((len(vectors), k))
    for rows in batches(len(vectors), _QUERIES):
        # For one vector, NumPy's own loop: the threads of a BLAS library take longer to wake than the product takes.
        one = len(vectors) == 1
        similarities = np.einsum("ik,jk->ij", vectors, bank) if one else vectors[rows] @ bank.T
        least = np.partition(similarities, -k, axis=1)[:, -k]
        for row, similar in enumerate(similarities, rows.start):
            near = np.flatnonzero(similar >= least[row - rows.start])  # few, unless many are equal
            indices[row] = near[np.argsort(-similar[near], kind="stable")[:k]]
            distances[row] = 1 - similar[indices[row]].astype(np.float64)
    return Nearest(indices, distances)
