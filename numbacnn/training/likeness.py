"""What a trained network keeps of its training images, to tell pictures that are unlike all of them; see ``numbacnn.likeness``."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn.checkpoint import Arrays
from numbacnn.datasets import Dataset
from numbacnn.features import FeatureReader
from numbacnn.likeness import MOST_HELD_OUT, Likeness, compressed, measure_likeness
from numbacnn.network import batches, to_device
from numbacnn.ops import Ops
from numbacnn.training.order import held_out, sample
from numbacnn.training.state import State

MOST_IMAGES = 20_000
"""Of the training images, in the bank: 2.6 MB at most. Twice as many flag hardly more pictures."""

_AT_ONCE = 500  # images


def likeness_of(
    state: State, parameters: Arrays, dataset: Dataset, ops: Ops, looked_at: Callable[[int], None] = lambda count: None
) -> Likeness | None:
    """The features of a sample of the training images, drawn by the seed, and the distance that is usual.

    Args:
        parameters: of the network that is kept.
        looked_at: told now and then how many images more have been looked at.

    Returns:
        None if there are too few images to say what is usual.

    Raises:
        NotFiniteError: the outputs of a layer are beyond float32.
    """
    training, held = held_out(dataset, state.settings)
    seed = state.settings.seed
    features = FeatureReader(state.graph, ops, to_device(ops, parameters), dataset.normalisation)

    def small(images: NDArray[Any], indices: NDArray[np.int64]) -> NDArray[np.int8]:
        """The compressed features of some images; those of a few at once are in memory."""
        parts = []
        for part in batches(len(indices), _AT_ONCE):
            found = features(images[indices[part]])
            parts.append(compressed(found))
            looked_at(len(found))
        return np.concatenate(parts)

    bank = small(dataset.train_images, sample(training, MOST_IMAGES, seed))
    if not len(held.images):
        return measure_likeness(bank, None)
    return measure_likeness(bank, small(held.images, sample(np.arange(len(held.images)), MOST_HELD_OUT, seed)))
