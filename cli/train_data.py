"""The data set of a training run."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from numbacnn.datasets import Dataset, load_dataset, named
from numbacnn.errors import DataError
from numbacnn.normalisation import RAW_PIXELS

from .console import notice
from .origin import Origin, is_own
from .progress import DownloadView


def load(origin: Origin, data_dir: Path, input_shape: Sequence[int]) -> Dataset:
    """Load, download or draw the images that a run is trained on; pictures of the user's own are scaled to the model's input.

    Raises:
        DataError: they cannot be had; or they are to be fed as raw pixels, and are floats.
    """
    dataset = load_dataset(
        origin.dataset,
        data_dir,
        train_limit=origin.train_limit,
        test_limit=origin.test_limit,
        input_shape=input_shape,
        progress=DownloadView(),
        notice=notice,
    )
    if not origin.raw_pixels:
        return dataset
    if dataset.normalisation.dtype != RAW_PIXELS.dtype:
        raise DataError(
            f"{dataset.name}: expected pixels 0...255 for --raw-pixels, got floats, which are fed as they are. "
            "Leave --raw-pixels out"
        )
    return replace(dataset, normalisation=RAW_PIXELS)


def class_count(name: str) -> int:
    """The number of classes of a named data set, which is known before it is there."""
    return len(named.class_names(name))


def load_ahead(origin: Origin, data_dir: Path, input_shape: Sequence[int]) -> Callable[[], Dataset]:
    """Begin to load in the background if the files are there: reading them takes as long as importing Numba.

    Returns:
        a function that waits for the data set.
    """
    work = partial(load, origin, data_dir, input_shape)
    if is_own(origin.dataset) or origin.dataset == "digits" or not named.find(origin.dataset, data_dir):
        return work
    outcome: Future[Dataset] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()  # a daemon: Ctrl-C does not wait for it
    return outcome.result


def fingerprint(dataset: Dataset) -> str:
    """The sha256 of every label and of about a thousand training images."""
    return _digest(_sample(dataset.train_images), dataset.train_labels, dataset.test_labels)


def fingerprint_of_test_part(dataset: Dataset) -> str:
    """The sha256 of every test label and of about a thousand test images."""
    return _digest(_sample(dataset.test_images), dataset.test_labels)


def _sample(images: NDArray[Any]) -> NDArray[Any]:
    return images[:: max(len(images) // 1000, 1)]


def _digest(*arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode() + array.tobytes())
    return digest.hexdigest()
