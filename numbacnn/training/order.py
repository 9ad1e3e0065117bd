"""Which images are trained on, and in which order: functions of the seed, so a checkpoint has no generator's state to lose."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.datasets import Dataset
from numbacnn.errors import TrainingError
from numbacnn.random_numbers import permutation, stream
from numbacnn.training.settings import Settings

SHUFFLE_STREAM, VALIDATION_STREAM, SAMPLE_STREAM = 1, 2, 3


def divide(count: int, settings: Settings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide training images at random, by the seed alone.

    Returns:
        the indices to train on and those held out for validation, both ascending.

    Raises:
        TrainingError: no image would be left to train on, or none held out though validation asks for some.
    """
    held_out = round(count * settings.validation)
    if count - held_out < 1 or (settings.validation and not held_out):
        raise TrainingError(
            f"validation {settings.validation:g}: expected at least one image on either side, got {count - held_out} to train on "
            f"and {held_out} held out of {count}. Use more images, or another share"
        )
    if not held_out:
        return np.arange(count), np.arange(0)
    order = permutation(stream(settings.seed, VALIDATION_STREAM), count)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


class Held(NamedTuple):
    """Images held out of training, and their labels; there may be none."""

    images: NDArray[Any]
    labels: NDArray[np.integer[Any]]


def held_out(dataset: Dataset, settings: Settings) -> tuple[NDArray[np.int64], Held]:
    """The indices of the images to train on, and the validation images: the data set's own, or those that ``divide`` holds out.

    Raises:
        TrainingError: see ``divide``.
    """
    count = len(dataset.train_images)
    if dataset.validation_images is not None and dataset.validation_labels is not None:
        training, _ = divide(count, replace(settings, validation=0.0, early_stop=None))
        return training, Held(dataset.validation_images, dataset.validation_labels)
    training, indices = divide(count, settings)
    return training, Held(dataset.train_images[indices], dataset.train_labels[indices])


def epoch_order(indices: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """The indices in the order of an epoch, counted from 0."""
    return indices[permutation(stream(seed, SHUFFLE_STREAM, epoch), len(indices))]


def sample(indices: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """At most ``count`` of the indices, drawn by the seed alone, in ascending order."""
    return np.sort(indices[permutation(stream(seed, SAMPLE_STREAM), len(indices))[:count]])
