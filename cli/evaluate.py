"""``numbacnn evaluate``: the accuracy of a trained network, and the classes that it confuses."""

from pathlib import Path
from typing import Any, NamedTuple

import click

from numbacnn.checkpoint import TrainedNetwork, load_network
from numbacnn.dataset_names import DATASETS
from numbacnn.datasets import Dataset
from numbacnn.inspection.sheet import Captioned, mistakes_sheet
from numbacnn.inspection.tiles import image_pixels
from numbacnn.metrics import Evaluation, Mistake, worst_mistakes
from numbacnn.metrics import evaluate as evaluate_prediction
from numbacnn.prediction import Prediction
from numbacnn.quoting import counted, plain, short

from . import options
from .answers import label_of
from .compiling import announced_compilations
from .console import notice, print_json, stdout
from .device import open_device
from .model_source import trained_model
from .new_files import check_new, write_file
from .paths import OutputFile
from .tables import class_table, confusion_table, percent
from .train_data import fingerprint_of_test_part
from .trained_on import data_for

MOST_MISTAKES = 42
"""Images on a sheet."""


@click.command()
@options.trained_model
@options.dataset_trained_on
@options.data_dir_trained_on
@options.test_limit
@click.option("--sheet", type=OutputFile(".png"), metavar="FILE.png", help="Draw the worst mistakes, with their probabilities.")
@options.force
@options.computing
@options.reporting
def evaluate(
    model: Path | None,
    dataset: str | None,
    data_dir: Path | None,
    test_limit: int | None,
    sheet: Path | None,
    force: bool,
    device: str,
    threads: int | None,
    exact_conv: bool,
    precision: str,
    output_format: str,
) -> None:
    """Measure a trained network on the test images: accuracy, each class, and the confusion matrix.

    \b
    Example: numbacnn evaluate
             numbacnn evaluate --model runs/cnn-digits/model.safetensors --dataset mnist
             numbacnn evaluate --sheet mistakes.png
    """
    check_new(sheet, force, "--sheet")
    computing = device, threads, exact_conv, precision
    path, dataset, data, result, prediction = measured(model, dataset, data_dir, test_limit, *computing)
    worst = None if sheet is None else worst_mistakes(prediction, data.test_labels, MOST_MISTAKES)
    if sheet is not None and worst is not None:
        has_numbers = dataset in DATASETS or test_limit is None  # of own data, a limit takes others than the first
        write_file(sheet, _drawn(worst, path, dataset, data, result, has_numbers))
    if output_format == "json":
        found = {
            "model": str(path), "dataset": dataset, "images": len(data.test_images), "loss": result.loss, "accuracy": result.accuracy,
            "confusion": result.confusion.tolist(),
        }  # fmt: skip
        if worst is not None:
            found |= {"sheet": str(sheet), "mistakes": [_as_dict(mistake, data.class_names) for mistake in worst]}
        print_json(found)
        return
    console = stdout()
    console.print(class_table(result.per_class(data.class_names)))
    console.print()
    console.print(confusion_table(result, data.class_names))
    console.print()
    console.print_wrapped(f"{path} on {len(data.test_images):,} test images of {dataset}")
    console.print(f"accuracy {percent(result.accuracy)}, loss {result.loss:.4f}")
    if worst is not None:
        count, there = len(worst), mistakes_in(result)
        shown = f"the {count} worst of {there:,} mistakes" if count < there else counted(count, "mistake")
        console.print_wrapped(f"wrote {sheet}: {shown}")


def mistakes_in(result: Evaluation) -> int:
    """The number of images taken for another class."""
    return int(result.confusion.sum() - result.confusion.trace())


def _drawn(worst: list[Mistake], path: Path, dataset: str, data: Dataset, result: Evaluation, has_numbers: bool) -> bytes:
    names = [plain(name) for name in data.class_names]
    images = []
    for each in worst:
        number = f" (test:{each.number})" if has_numbers else ""
        words = f"{names[each.label]} taken for {names[each.answer]}, {each.probability:.1%}{number}"
        images.append(Captioned(image_pixels(data.test_images[each.number]), words))
    title = f"{counted(mistakes_in(result), 'mistake')} in {counted(len(data.test_images), 'test image')}"
    return mistakes_sheet(images, title, f"{path} on {dataset}; the worst first: where the true class is least probable")


def _as_dict(mistake: Mistake, names: tuple[str, ...]) -> dict[str, Any]:
    return mistake._asdict() | {"label": label_of(names[mistake.label]), "answer": label_of(names[mistake.answer])}


class Measured(NamedTuple):
    """A network's result on a data set."""

    path: Path
    dataset: str
    data: Dataset
    result: Evaluation
    prediction: Prediction


def measured(
    model: Path | None,
    dataset: str | None,
    data_dir: Path | None,
    test_limit: int | None,
    device: str,
    threads: int | None,
    exact_conv: bool,
    precision: str,
) -> Measured:
    """Let a network read the test images of a data set; the arguments are the options of ``evaluate``.

    Raises:
        CheckpointError, DataError, DeviceError, ShapeError: the network or the data cannot be had, or do not fit each other.
    """
    path = trained_model(model)
    network = load_network(path)
    ops = open_device(device, threads, exact_conv, precision)
    with announced_compilations():
        dataset, data = data_for(network, path, dataset, data_dir, train_limit=0, test_limit=test_limit)
        if test_limit is None:
            _compare(network, data, dataset)
        prediction = network.predictor(ops)(data.test_images)
    return Measured(path, dataset, data, evaluate_prediction(prediction, data.test_labels), prediction)


def _compare(network: TrainedNetwork, data: Dataset, dataset: str) -> None:
    """Say it if a data set has other test images than when the network was trained on it."""
    then, digest = network.summary.get("test_images"), network.summary.get("test_sha256")
    if data.name == network.summary.get("dataset") and isinstance(digest, str) and digest != fingerprint_of_test_part(data):
        notice(
            f"{dataset}: the test images are not those of the training: {len(data.test_images):,} now, {short(then)} then. "
            "The network may have been trained on some of them"
        )
