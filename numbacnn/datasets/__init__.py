"""Data sets by name: ``mnist``, read or downloaded, and ``digits``, drawn by the program itself."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from numbacnn.errors import DataError

DATASETS = ("mnist", "digits")


@dataclass(frozen=True)
class Dataset:
    """Labelled images in two parts.

    Args:
        name: as in ``--dataset``.
        train_images, test_images: pixels, uint8 (n, height, width, channels), ink bright on black.
        train_labels, test_labels: uint8 (n,), indices into ``class_names``.
        class_names: what the labels mean.
        source: where the images came from, in words.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]
    class_names: tuple[str, ...]
    source: str


DIGIT_NAMES = tuple("0123456789")


def load_dataset(
    name: str,
    data_dir: Path,
    *,
    train_limit: int | None = None,
    test_limit: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Dataset:
    """Load a data set, or the first images of its two parts.

    Args:
        name: one of ``DATASETS``.
        data_dir: where MNIST's files are, or are downloaded to; ``digits`` needs none.
        train_limit, test_limit: how many images of each part, None for all, 0 for none.
        progress: called with a file's name, bytes so far and bytes in all while it is downloaded.
        notice: called with a sentence when something worth knowing happens.

    Raises:
        DataError: there is no such data set, or its files are missing, corrupt or cannot be fetched.
    """
    if name == "digits":
        from numbacnn.datasets import digits  # each data set loads only what it needs: start-up time

        return Dataset(name, *digits.load(train_limit, test_limit), DIGIT_NAMES, "drawn by numbacnn")
    if name == "mnist":
        from numbacnn.datasets import mnist

        *_, source = loaded = mnist.load(data_dir, train_limit, test_limit, progress=progress, notice=notice)
        return Dataset(name, *loaded[:4], DIGIT_NAMES, source)
    raise DataError(f"no data set {name!r}. There are: {', '.join(DATASETS)}")
