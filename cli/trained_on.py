"""The data set that a network was trained on, or another one that fits it."""

import os
import tomllib
from pathlib import Path

from numbacnn.checkpoint import TrainedNetwork
from numbacnn.config import MAX_FILE_BYTES
from numbacnn.dataset_names import DATASETS
from numbacnn.datasets import Dataset, load_dataset, named
from numbacnn.errors import CheckpointError, ShapeError
from numbacnn.quoting import listed, short
from numbacnn.reading import read_bounded

from .console import notice
from .options import DATA_DIR
from .progress import DownloadView


def data_for(
    network: TrainedNetwork,
    path: Path,
    dataset: str | None,
    data_dir: Path | None,
    *,
    train_limit: int | None,
    test_limit: int | None,
) -> tuple[str, Dataset]:
    """A data set that fits a network, and its name: the one given, or that which the network was trained on, with a notice.

    Args:
        path: of the network's file.
        data_dir: the folder given; None for that of the training.
        train_limit, test_limit: as for ``load_dataset``.

    Raises:
        CheckpointError, DataError, ShapeError: the data set is not known or cannot be had, or does not fit.
    """
    is_of_training = dataset is None
    if dataset is None:
        dataset = trained_on(network, path)
    folder = folder_of_data(dataset, data_dir, path)
    if is_of_training:
        place = "" if data_dir is not None or folder == DATA_DIR else f" --data-dir {folder}"
        notice(f"--dataset {dataset}{place}, which {path} was trained on")
    data = load_dataset(
        dataset, folder, train_limit=train_limit, test_limit=test_limit, input_shape=network.graph.input_shape,
        progress=DownloadView(), notice=notice,
    )  # fmt: skip
    if network.graph.input_shape != data.test_images.shape[1:] or network.class_names != data.class_names:
        raise ShapeError(
            f"{path}: expected {len(network.class_names)} classes ({listed(network.class_names)}) and images of shape "
            f"{network.graph.input_shape}, got {dataset} with {len(data.class_names)} classes ({listed(data.class_names)}) and images "
            f"of shape {data.test_images.shape[1:]}. Choose another --dataset or --model"
        )
    return dataset, data


def trained_on(network: TrainedNetwork, path: Path) -> str:
    """The data set that a network was trained on, as its file says."""
    name = network.summary.get("dataset")
    if not isinstance(name, str) or name not in DATASETS:
        found = "its file does not say on what it was trained" if name is None else f"it was trained on {short(name)}"
        own = _own_data(path)
        if own is not None and os.path.lexists(own):
            return own
        if own is not None:
            raise CheckpointError(f"{path}: it was trained on {own}, which is not there any more. Give --dataset PATH")
        raise CheckpointError(f"{path}: {found}; this version has {', '.join(DATASETS)}. Give --dataset NAME|PATH")
    return str(name)


def folder_of_data(dataset: str, given: Path | None, path: Path) -> Path:
    """The folder of the files of a data set: the one given, or that of a network's training if they are there, or the usual one.

    Args:
        path: of the network's file.
    """
    if given is not None:
        return given
    remembered = _setting(path, "data_dir")
    if dataset in DATASETS and dataset != "digits" and remembered and named.find(dataset, Path(remembered)):
        return Path(remembered)
    return DATA_DIR


def _own_data(path: Path) -> str | None:
    """The path of the data set in the settings beside a network."""
    dataset = _setting(path, "dataset")
    return dataset if dataset is not None and os.path.isabs(dataset) else None


def _setting(path: Path, name: str) -> str | None:
    """A text in the settings beside a network; None if there is none."""
    try:
        settings = tomllib.loads(read_bounded(path.parent / "config.toml", MAX_FILE_BYTES).decode())
    except (OSError, ValueError):  # of TOML and UTF-8, too
        return None
    value = settings.get(name)
    return value if isinstance(value, str) and "\0" not in value else None
