"""The named data sets that are files: where each is described, its class names, and how pictures take its form."""

from pathlib import Path

from numbacnn.datasets import DIGIT_NAMES, Dataset, emnist, mnist
from numbacnn.datasets.download import Notice, Progress
from numbacnn.datasets.mnist import FourFiles
from numbacnn.picture_forms import DIGITS, PHOTOGRAPHS


def description(name: str) -> FourFiles:
    """The four files of a data set."""
    if name == "mnist":
        return mnist.description()
    if name in emnist.SPLITS:
        return emnist.description(name)
    from numbacnn.datasets import mnist_likes

    return {"fashion-mnist": mnist_likes.FASHION_MNIST, "kmnist": mnist_likes.KMNIST}[name]


def class_names(name: str) -> tuple[str, ...]:
    """The meaning of each label."""
    from numbacnn.datasets.mnist_likes import FASHION_NAMES, KMNIST_NAMES

    if name in emnist.SPLITS:
        return emnist.SPLITS[name].class_names
    return {"fashion-mnist": FASHION_NAMES, "kmnist": KMNIST_NAMES}.get(name, DIGIT_NAMES)


def load(
    name: str,
    data_dir: Path,
    train_limit: int | None,
    test_limit: int | None,
    *,
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> Dataset:
    """A data set, downloaded first if it is missing; see ``load_dataset``."""
    if name in emnist.SPLITS:
        loaded = emnist.load(name, data_dir, train_limit, test_limit, progress=progress, notice=notice)
    else:
        loaded = mnist.load(data_dir, train_limit, test_limit, of=description(name), progress=progress, notice=notice)
    pictures = PHOTOGRAPHS if name == "fashion-mnist" else DIGITS
    return Dataset(name, *loaded[:4], class_names(name), loaded[4], pictures=pictures)


def find(name: str, data_dir: Path) -> bool:
    """Whether a data set's files are there; none of them is read."""
    return mnist.find(data_dir, description(name)) is not None


def download(name: str, data_dir: Path, *, progress: Progress | None = None, notice: Notice | None = None) -> Path:
    """Complete the files of a data set; returns the folder that they are downloaded to.

    Raises:
        DataError: see ``mnist.download``.
    """
    if name in emnist.SPLITS:
        return emnist.download(name, data_dir, progress=progress, notice=notice)
    return mnist.download(data_dir, of=description(name), progress=progress, notice=notice)
