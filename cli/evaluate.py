"""``numbacnn evaluate``: the accuracy of a trained network, and the classes that it confuses."""

import os
import tomllib
from pathlib import Path
from typing import NamedTuple

import click

from numbacnn.checkpoint import TrainedNetwork, load_network
from numbacnn.config import MAX_FILE_BYTES
from numbacnn.dataset_names import DATASETS
from numbacnn.datasets import Dataset, load_dataset
from numbacnn.errors import CheckpointError, ShapeError
from numbacnn.metrics import Evaluation
from numbacnn.metrics import evaluate as evaluate_prediction
from numbacnn.quoting import listed, short
from numbacnn.reading import read_bounded

from . import options
from .compiling import announced_compilations
from .console import notice, print_json, stdout
from .device import open_device
from .model_source import trained_model
from .progress import DownloadView
from .tables import class_table, confusion_table, percent
from .train_data import fingerprint_of_test_part


@click.command()
@options.trained_model
@options.dataset_trained_on
@options.data_dir
@options.test_limit
@options.computing
@options.reporting
def evaluate(
    model: Path | None,
    dataset: str | None,
    data_dir: Path,
    test_limit: int | None,
    device: str,
    threads: int | None,
    exact_conv: bool,
    output_format: str,
) -> None:
    """Measure a trained network on the test images: accuracy, each class, and the confusion matrix.

    \b
    Example: numbacnn evaluate
             numbacnn evaluate --model runs/cnn-digits/model.safetensors --dataset mnist
    """
    path, dataset, data, result = measured(model, dataset, data_dir, test_limit, device, threads, exact_conv)
    if output_format == "json":
        print_json({
            "model": str(path), "dataset": dataset, "images": len(data.test_images), "loss": result.loss, "accuracy": result.accuracy,
            "confusion": result.confusion.tolist(),
        })  # fmt: skip
        return
    console = stdout()
    console.print(class_table(result.per_class(data.class_names)))
    console.print()
    console.print(confusion_table(result, data.class_names))
    console.print()
    console.print(f"{path} on {len(data.test_images):,} test images of {dataset}", soft_wrap=True)
    console.print(f"accuracy {percent(result.accuracy)}, loss {result.loss:.4f}")


class Measured(NamedTuple):
    """A network's result on a data set."""

    path: Path
    dataset: str
    data: Dataset
    result: Evaluation


def measured(
    model: Path | None,
    dataset: str | None,
    data_dir: Path,
    test_limit: int | None,
    device: str,
    threads: int | None,
    exact_conv: bool,
) -> Measured:
    """Let a network read the test images of a data set; the arguments are the options of ``evaluate``.

    Raises:
        CheckpointError, DataError, DeviceError, ShapeError: the network or the data cannot be had, or do not fit each other.
    """
    path = trained_model(model)
    network = load_network(path)
    if dataset is None:
        dataset = _trained_on(network, path)
        notice(f"--dataset {dataset}, which {path} was trained on")
    ops = open_device(device, threads, exact_conv)
    with announced_compilations():
        data = load_dataset(
            dataset, data_dir, train_limit=0, test_limit=test_limit, input_shape=network.graph.input_shape,
            progress=DownloadView(), notice=notice,
        )  # fmt: skip
        if network.graph.input_shape != data.test_images.shape[1:] or network.class_names != data.class_names:
            raise ShapeError(
                f"{path}: expected {len(network.class_names)} classes ({listed(network.class_names)}) and images of shape "
                f"{network.graph.input_shape}, got {dataset} with {len(data.class_names)} classes ({listed(data.class_names)}) and images "
                f"of shape {data.test_images.shape[1:]}. Choose another --dataset or --model"
            )
        if test_limit is None:
            _compare(network, data, dataset)
        logits = network.predictor(ops)(data.test_images)
    return Measured(path, dataset, data, evaluate_prediction(logits, data.test_labels))


def _compare(network: TrainedNetwork, data: Dataset, dataset: str) -> None:
    """Say it if a data set has other test images than when the network was trained on it."""
    then, digest = network.summary.get("test_images"), network.summary.get("test_sha256")
    if data.name == network.summary.get("dataset") and isinstance(digest, str) and digest != fingerprint_of_test_part(data):
        notice(
            f"{dataset}: the test images are not those of the training: {len(data.test_images):,} now, {short(then)} then. "
            "The network may have been trained on some of them"
        )


def _trained_on(network: TrainedNetwork, path: Path) -> str:
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


def _own_data(path: Path) -> str | None:
    """The path of the data set in the settings beside a network."""
    try:
        settings = tomllib.loads(read_bounded(path.parent / "config.toml", MAX_FILE_BYTES).decode())
    except (OSError, ValueError):  # of TOML and UTF-8, too
        return None
    dataset = settings.get("dataset")
    return dataset if isinstance(dataset, str) and os.path.isabs(dataset) else None
