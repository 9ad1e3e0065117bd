"""The one image that ``inspect`` and ``shapes --image`` look at: a picture, or an image of a data set's test part."""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.checkpoint import TrainedNetwork
from numbacnn.dataset_names import DATASETS
from numbacnn.errors import DataError

from .picture_files import picture_form, sources
from .picture_reading import Reading, Unread
from .trained_on import data_for, trained_on

TEST = "test:"


class Subject(NamedTuple):
    """One image in the form of a network's.

    Args:
        name: as given.
        image: (height, width, channels).
        steps: the changes that were made to a picture, or where a test image is from, in words.
        label: the class number of a test image, which is known; None for a picture.
        dataset: that of a test image.
    """

    name: str
    image: NDArray[Any]
    steps: tuple[str, ...]
    label: int | None = None
    dataset: str | None = None


def read_subject(
    text: str,
    network: TrainedNetwork,
    path: Path,
    *,
    dataset: str | None,
    data_dir: Path | None,
    invert: str = "auto",
    pictures_as: str | None = None,
) -> Subject:
    """The image that the user names: a picture's file, ``-`` for stdin, or ``test:N``.

    Args:
        path: of the network, for messages.
        dataset: of ``test:N``; None for the one that the network was trained on.

    Raises:
        DataError, CheckpointError, ModelError, ShapeError: it cannot be had, or does not fit the network.
    """
    if text.startswith(TEST) and not os.path.lexists(text):
        return _test_image(text, network, path, dataset, data_dir)
    form = picture_form(network, path, pictures_as)
    source, *others = sources((text,))
    if others or Path(text).is_dir():
        raise DataError(f"{text}: expected one picture, got a folder. Name one of its files, as 'numbacnn predict' lists them")
    found = Reading(form, invert, network.graph.input_shape).one(source)
    if isinstance(found, Unread):
        raise DataError(found.error)
    return Subject(found.name, found.pixels.reshape(network.graph.input_shape), found.steps)


def _test_image(text: str, network: TrainedNetwork, path: Path, dataset: str | None, data_dir: Path | None) -> Subject:
    number = text.removeprefix(TEST)
    if not re.fullmatch("[0-9]{1,9}", number):
        raise DataError(f"{text}: expected test:N with the number of a test image, from 0 on, or a picture's file. As in test:0")
    is_named = (dataset or trained_on(network, path)) in DATASETS
    limit = int(number) + 1 if is_named else None  # of own data, a limit takes others than the first
    name, data = data_for(network, path, dataset, data_dir, train_limit=0, test_limit=limit)
    images = data.test_images
    if int(number) >= len(images):
        raise DataError(f"{text}: expected a number from 0 to {len(images) - 1:,}, a test image of {name}, got {number}")
    image, label = np.ascontiguousarray(images[int(number)]), int(data.test_labels[int(number)])
    return Subject(text, image, (f"image {number} of the test part of {name}",), label, name)
