"""``numbacnn evaluate``: the accuracy of a trained network, and the classes that it confuses."""

from pathlib import Path
from typing import NamedTuple

import click

from numbacnn.checkpoint import load_network
from numbacnn.datasets import Dataset
from numbacnn.metrics import Evaluation
from numbacnn.metrics import evaluate as evaluate_prediction

from . import options
from .compiling import announced_compilations
from .console import print_json, stdout
from .device import open_device
from .model_source import trained_model
from .tables import class_table, confusion_table, percent
from .trained_on import data_for


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
    ops = open_device(device, threads, exact_conv)
    with announced_compilations():
        dataset, data = data_for(network, path, dataset, data_dir, train_limit=0, test_limit=test_limit)
        logits = network.predictor(ops)(data.test_images)
    return Measured(path, dataset, data, evaluate_prediction(logits, data.test_labels))
