"""``datasets.mnist.load_data()``: a data set by its name, as arrays."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn.datasets import load_dataset
from numbacnn.keras.arguments import no_such_name

Part = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class Named:
    """A data set of Keras's name.

    Args:
        name: numbacnn's name of it.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def load_data(self, path: str | None = None) -> tuple[Part, Part]:
        """``(x_train, y_train), (x_test, y_test)``: grey pixels 0...255 of type uint8 (n, height, width), and class numbers (n,).

        The files are read from the folder that ``NUMBACNN_DATA_DIR`` names, else from ``data``, and downloaded to it if they are missing.

        Args:
            path: Keras's name of its file; it means nothing here.

        Raises:
            DataError: the files are corrupt, or missing and cannot be fetched.
        """
        from numbacnn_cli.console import notice
        from numbacnn_cli.progress import DownloadView

        folder = Path(os.environ.get("NUMBACNN_DATA_DIR") or "data").expanduser()
        data = load_dataset(self._name, folder, progress=DownloadView(), notice=notice)
        return _part(data.train_images, data.train_labels), _part(data.test_images, data.test_labels)


def _part(images: NDArray[Any], labels: NDArray[Any]) -> Part:
    """The arrays of a part, which the caller may write into."""
    return np.array(images[..., 0]), labels.astype(np.uint8)


mnist = Named("mnist")
fashion_mnist = Named("fashion-mnist")

__all__ = ["fashion_mnist", "mnist"]


def __getattr__(name: str) -> Any:
    raise no_such_name("numbacnn.keras.datasets", name, __all__)
