"""Data sets by name, read or downloaded, or (``digits``) drawn by the program itself; and data of one's own, by their path."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn.dataset_names import DATASETS
from numbacnn.datasets.checks import check_class_names, check_images, check_labels
from numbacnn.errors import DataError, ShapeError
from numbacnn.normalisation import PIXELS, Normalisation
from numbacnn.picture_forms import DIGITS, PHOTOGRAPHS
from numbacnn.quoting import short
from numbacnn.spelling import did_you_mean


@dataclass(frozen=True, repr=False)
class Dataset:
    """Labelled images in two parts, checked: wrong data are refused here, before a kernel sees them.

    Args:
        name: as in ``--dataset``.
        train_images, test_images: (n, height, width, channels) in any memory layout: pixels of type uint8, or floats for a
            normalisation of numbers. Either part may be empty, of shape (0, height, width, channels).
        train_labels, test_labels: whole numbers of any type (n,), indices into ``class_names``.
        class_names: the meaning of each label, distinct texts.
        source: the origin of the images, in words.
        normalisation: from the images' values to numbers.
        validation_images, validation_labels: a third part, on which training chooses the best epoch; None to hold out a share of the
            training images.
        pictures: how a picture is brought into the images' form; one of ``picture_forms.FORMS``.

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
    normalisation: Normalisation = PIXELS
    validation_images: NDArray[np.uint8] | None = None
    validation_labels: NDArray[np.integer[Any]] | None = None
    pictures: str = PHOTOGRAPHS

    def __post_init__(self) -> None:
        names = check_class_names(self.class_names)
        train = check_images("train_images", self.train_images, None, self.normalisation)
        test = check_images("test_images", self.test_images, train.shape[1:], self.normalisation)
        checked = {
            "class_names": names,
            "train_images": train,
            "test_images": test,
            "train_labels": check_labels("train_labels", self.train_labels, len(train), len(names)),
            "test_labels": check_labels("test_labels", self.test_labels, len(test), len(names)),
        }
        if self.validation_images is not None:
            images = check_images("validation_images", self.validation_images, train.shape[1:], self.normalisation)
            if not len(images):
                raise ShapeError("validation_images: expected at least one image, got none. Give some, or leave them out")
            labels = check_labels("validation_labels", self.validation_labels, len(images), len(names))
            checked |= {"validation_images": images, "validation_labels": labels}
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_arrays(
        cls,
        images: object,
        labels: object,
        test: tuple[object, object] | None = None,
        class_names: Sequence[str] | None = None,
        *,
        name: str = "arrays",
    ) -> "Dataset":
        """A data set of arrays in memory.

        Args:
            images: (n, height, width), if grey, or (n, height, width, channels): pixels of type uint8, or floats, taken as they are.
            labels: class numbers from 0 on (n,), class names (n,), or one-hot rows (n, classes).
            test: images and labels of the same kinds.
            class_names: of all classes; by default those in the labels.
            name: for reports.

        Raises:
            DataError, ShapeError: something else came; the message says what was expected.

        >>> data = Dataset.from_arrays(images, ["cat", "dog", "cat"])
        """
        from numbacnn.datasets.arrays import take_images, take_labels

        names = None if class_names is None else check_class_names(class_names)
        train_images, normalisation = take_images("images", images)
        train_labels, found = take_labels("labels", labels, names)
        shape = train_images.shape[1:]
        if test is None:
            test = np.zeros((0, *shape), train_images.dtype), np.zeros(0, np.int64)
        test_images, _ = take_images("test images", test[0], shape, normalisation)
        test_labels, _ = take_labels("test labels", test[1], found)
        return cls(name, train_images, train_labels, test_images, test_labels, found, "given as arrays", normalisation)

    @classmethod
    def from_folder(
        cls,
        path: str | Path,
        input_shape: Sequence[int] | None = None,
        *,
        progress: Callable[[str, int, int], None] | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> "Dataset":
        """A data set of one's own: class folders of pictures, an ``.npz`` or ``.csv`` file, or a folder of IDX files.

        Args:
            path: of the folder or file. Class folders may lie in train/ and test/ (and val/); where there is no test part, one
                image in six of each class is held out, always the same ones.
            input_shape: (height, width, channels) to which pictures are scaled; by default their own, if it is the same for all.
            progress: called with a text, the pictures read, and the pictures in all.
            notice: called with one line for each thing to know; by default, files that are left out are a UserWarning.

        Raises:
            DataError, ShapeError: there are no such data; the message says what was expected, what came, and what to do.

        >>> data = nc.Dataset.from_folder("photos", (32, 32, 3))
        """
        from numbacnn.datasets import own

        def warn(text: str) -> None:
            if own.LEFT_OUT in text:
                warnings.warn(text, stacklevel=4)

        return own.load(path, input_shape, progress=progress, notice=notice or warn)

    def __repr__(self) -> str:
        parts = {"training": self.train_images, "test": self.test_images, "validation": self.validation_images}
        counts = ", ".join(f"{len(images):,} {part}" for part, images in parts.items() if images is not None and len(images))
        shape = self.train_images.shape[1:]
        return f"Dataset({self.name}: {counts or 'no'} images of shape {shape}, {len(self.class_names)} classes, {self.source})"

    def with_validation(self, images: NDArray[Any], labels: NDArray[np.integer[Any]]) -> "Dataset":
        """The same with images on which training chooses the best epoch."""
        return replace(self, validation_images=images, validation_labels=labels)


DIGIT_NAMES = tuple("0123456789")


def load_dataset(
    name: str | Path,
    data_dir: Path = Path("data"),
    *,
    train_limit: int | None = None,
    test_limit: int | None = None,
    input_shape: Sequence[int] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Dataset:
    """Load a data set, or some images of its two parts: the first ones, or a draw of one's own data.

    Args:
        name: one of ``DATASETS``, or the path of one's own data (see ``Dataset.from_folder``).
        data_dir: the folder of files, which are downloaded to it where they are missing; ``digits`` needs none.
        train_limit, test_limit: the number of images of each part, None for all, 0 for none.
        input_shape: (height, width, channels) to which pictures of one's own are scaled.
        progress: called with a file's name, the bytes received and the bytes of the file while it is downloaded; or with a text, the
            pictures read and the pictures in all.
        notice: called with one line for each event of a download, and each thing to know about one's own data.

    Raises:
        DataError: there is no such data set, or its files are missing, corrupt or cannot be fetched.
    """
    for part, limit in (("train_limit", train_limit), ("test_limit", test_limit)):
        if limit is not None and (not isinstance(limit, (int, np.integer)) or limit < 0):
            raise DataError(f"{part}: expected 0 images or more, or None for all, got {short(limit)}.")
    if name == "digits":
        from numbacnn.datasets import digits  # each data set loads only what it needs: start-up time

        return Dataset("digits", *digits.load(train_limit, test_limit), DIGIT_NAMES, "drawn by numbacnn", pictures=DIGITS)
    if name in DATASETS:
        from numbacnn.datasets import named

        return named.load(str(name), data_dir, train_limit, test_limit, progress=progress, notice=notice)
    if isinstance(name, Path) or (isinstance(name, str) and _may_be_path(name)):
        from numbacnn.datasets import own

        return own.load(name, input_shape, train_limit=train_limit, test_limit=test_limit, progress=progress, notice=notice)
    known = f"{', '.join(DATASETS)}, or the path of your own data"
    raise DataError(f"data set: expected {known}, got {short(name)}.{did_you_mean(str(name), DATASETS)}")


def _may_be_path(name: str) -> bool:
    return bool(name) and (any(character in name for character in "/\\.~") or os.path.lexists(name))
