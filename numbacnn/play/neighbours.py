"""The training images that a network finds most like a picture, by the values of its last hidden layer."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.checkpoint import TrainedNetwork
from numbacnn.errors import DataError, ShapeError
from numbacnn.features import features, nearest, rooted
from numbacnn.network import to_device
from numbacnn.ops import Ops
from numbacnn.quoting import short
from numbacnn.summary import summarise

MOST_IMAGES = 10_000
"""Whose features are kept: 1,024 numbers each take 40 MB."""
AT_ONCE = 100
"""Most images that are read in one go."""
MOST_MACS, MACS_AT_ONCE = 2_000_000_000_000, 2_000_000_000
"""Multiply-accumulates for all images, and in one go, for which an answer may have to wait: a large network reads fewer images."""


class Neighbour(NamedTuple):
    """A training image: its label, its cosine distance from the picture, 0 ... 2, and its pixels, uint8 (height, width)."""

    label: str
    distance: float
    pixels: NDArray[np.uint8]


class Neighbours:
    """Training images with their features, which are computed a few at a time.

    Args:
        network: of grey images.
        ops: the device.
        images: uint8 (n, height, width, 1).
        labels: whole numbers (n,), indices into the network's class names.

    Raises:
        ShapeError: the images are not of the network's size. DataError: a label has no class.
    """

    def __init__(self, network: TrainedNetwork, ops: Ops, images: NDArray[np.uint8], labels: NDArray[np.integer[Any]]) -> None:
        if tuple(images.shape[1:]) != network.graph.input_shape:
            raise ShapeError(f"training images: expected shape {network.graph.input_shape}, got {tuple(images.shape[1:])}")
        if len(labels) and int(labels.max()) >= len(network.class_names):
            raise DataError(f"training images: expected labels below {len(network.class_names)}, got {short(int(labels.max()))}")
        self._network, self._ops = network, ops
        self._parameters = to_device(ops, network.parameters)
        macs = max(summarise(network.graph).macs, 1)
        self._at_once = min(AT_ONCE, max(1, MACS_AT_ONCE // macs))
        most = min(MOST_IMAGES, max(self._at_once, MOST_MACS // macs))
        self._images, self._labels = images[:most], labels[:most]
        self._bank: NDArray[np.float32] | None = None
        self.count = 0
        """The images read so far."""

    def __len__(self) -> int:
        """The images to be read in all."""
        return len(self._images)

    def read_more(self) -> bool:
        """Compute the features of the next few images; returns whether there are more."""
        network, rows = self._network, slice(self.count, self.count + self._at_once)
        if self.count < len(self):
            vectors = features(network.graph, self._ops, self._parameters, self._images[rows], network.normalisation)
            if self._bank is None:
                self._bank = np.zeros((len(self), vectors.shape[1]), np.float32)
            self._bank[rows] = vectors
            self.count += len(vectors)
        return self.count < len(self)

    def nearest(self, hidden: NDArray[np.float32], k: int = 5) -> list[Neighbour]:
        """The ``k`` nearest of the images read so far, or fewer if there are no more.

        Args:
            hidden: the values of the last hidden layer for the picture, of any shape.
        """
        if self._bank is None:
            return []
        found = nearest(rooted(hidden.reshape(1, -1)), self._bank[: self.count], min(k, self.count))
        return [
            Neighbour(self._network.class_names[int(self._labels[index])], float(distance), self._images[index, :, :, 0])
            for index, distance in zip(found.indices[0], found.distances[0], strict=True)
        ]
