"""Data sets by name: ``mnist``, read or downloaded, and ``digits``, drawn by the program itself."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn.datasets.checks import check_class_names, check_images, check_labels
from numbacnn.errors import DataError
from numbacnn.shapes import short
from numbacnn.spelling import did_you_mean

DATASETS = ("mnist", "digits")


@dataclass(frozen=True)
class Dataset:
    """Labelled images in two parts, checked: wrong data are refused here, before a kernel sees them.

    Args:
        name: as in ``--dataset``.
        train_images, test_images: pixels, uint8 (n, height, width, channels), ink bright on black; any memory layout. Either part
            may be empty, of shape (0, height, width, channels).
        train_labels, test_labels: whole numbers of any type (n,), indices into ``class_names``.
        class_names: the meaning of each label, distinct texts.
        source: the origin of the images, in words.

    Raises:
        DataError: an array is no NumPy array, masked or of another type, a label is no class, or class names are not distinct.
        ShapeError: images are not of one shape, or their number is not that of the labels.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.integer[Any]]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.integer[Any]]
    class_names: tuple[str, ...]
    source: str

    def __post_init__(self) -> None:
        names = check_class_names(self.class_names)
        train = check_images("train_images", self.train_images)
        test = check_images("test_images", self.test_images, train.shape[1:])
        checked = {
            "class_names": names,
            "train_images": train,
            "test_images": test,
            "train_labels": check_labels("train_labels", self.train_labels, len(train), len(names)),
            "test_labels": check_labels("test_labels", self.test_labels, len(test), len(names)),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)


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
        data_dir: the folder of MNIST's files, which are downloaded to it where they are missing; ``digits`` needs none.
        train_limit, test_limit: the number of images of each part, None for all, 0 for none.
        progress: called with a file's name, the bytes received and the bytes of the file while it is downloaded.
        notice: called with one line for each event of a download.

    Raises:
        DataError: there is no such data set, or its files are missing, corrupt or cannot be fetched.
    """
    for part, limit in (("train_limit", train_limit), ("test_limit", test_limit)):
        if limit is not None and (not isinstance(limit, (int, np.integer)) or limit < 0):
            raise DataError(f"{part}: expected 0 images or more, or None for all, got {short(limit)}.")
    if name == "digits":
        from numbacnn.datasets import digits  # each data set loads only what it needs: start-up time

        return Dataset(name, *digits.load(train_limit, test_limit), DIGIT_NAMES, "drawn by numbacnn")
    if name == "mnist":
        from numbacnn.datasets import mnist

        *_, source = loaded = mnist.load(data_dir, train_limit, test_limit, progress=progress, notice=notice)
        return Dataset(name, *loaded[:4], DIGIT_NAMES, source)
    raise DataError(f"data set: expected {' or '.join(DATASETS)}, got {short(name)}.{did_you_mean(str(name), DATASETS)}")
