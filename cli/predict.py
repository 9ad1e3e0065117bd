"""``numbacnn predict``: what a trained network tells of pictures."""

import re
from pathlib import Path
from typing import Any

import click
import numpy as np

from numbacnn.checkpoint import load_network
from numbacnn.pictures import Picture
from numbacnn.prediction import Predictor

from . import options
from .compiling import announced_compilations
from .console import error, print_json, stdout
from .device import open_device
from .model_source import trained_model
from .paths import PICTURE
from .picture_files import picture_form, read, sources
from .pictures import draw_picture

UNSURE = 0.5


@click.command()
@click.argument("files", nargs=-1, required=True, type=PICTURE, metavar="PNG...")
@options.trained_model
@click.option(
    "--top", type=options.COUNT, default=3, show_default=True, metavar="N", help="Number of classes to list for each picture."
)
@options.picture_forms
@options.computing
@options.reporting
def predict(
    files: tuple[str, ...],
    model: Path | None,
    top: int,
    invert: Any,
    pictures_as: str | None,
    device: str,
    threads: int | None,
    exact_conv: bool,
    output_format: str,
) -> int:
    """Tell what is in pictures: files, folders, or - for stdin.

    Any size, mode and colour; each picture is converted to the form of the training images, and the steps are shown: a digit is
    centred by its ink, a photograph only scaled.

    \b
    Example: numbacnn predict data/samples
             numbacnn predict photo.png --top 5 --format json
    """
    path = trained_model(model)
    network = load_network(path)
    form = picture_form(network, path, pictures_as)
    ops = open_device(device, threads, exact_conv)
    with announced_compilations():
        predictor = network.predictor(ops)  # before any picture is scaled to the size that the network asks for
        results = [read(name, source, form, invert, network.graph.input_shape) for name, source in sources(files)]
        pictures = [result for result in results if isinstance(result, Picture)]
        probabilities = iter(_probabilities(predictor, pictures))
    rows = [_row(result, next(probabilities) if isinstance(result, Picture) else None, network.class_names) for result in results]
    if output_format == "json":
        print_json([{key: value for key, value in row.items() if key != "picture"} for row in rows])
    else:
        _print(rows, network.class_names, top)
    return 1 if any("error" in row for row in rows) else 0


def _probabilities(predictor: Predictor, pictures: list[Picture]) -> Any:
    images = np.array([picture.pixels for picture in pictures], np.uint8).reshape(-1, *predictor.graph.input_shape)
    return predictor(images).probabilities


def _row(result: Picture | tuple[str, str], probabilities: Any, class_names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(result, Picture):
        name, error = result
        return {"file": name, "error": error}
    best = int(np.argmax(probabilities))
    return {
        "file": result.name,
        "label": label_of(class_names[best]),
        "probability": float(probabilities[best]),
        "probabilities": [float(p) for p in probabilities],
        "preprocessing": list(result.steps),
        "picture": result.pixels,
    }


def label_of(name: str) -> int | str:
    """A class as JSON has it: a number if its name is one."""
    return int(name) if re.fullmatch("0|[1-9][0-9]{0,8}", name) else name


def _print(rows: list[dict[str, Any]], class_names: tuple[str, ...], top: int) -> None:
    console = stdout()
    for row in rows:
        if "error" in row:
            error(row["error"])
            continue
        order = np.argsort(row["probabilities"])[::-1][:top]
        shares = ", ".join(f"{class_names[k]} {row['probabilities'][k]:.2%}" for k in order)
        unsure = "  (unsure)" if row["probability"] < UNSURE else ""
        console.print(f"{row['file']}: {row['label']}{unsure}", soft_wrap=True)
        console.print(f"  {shares}", soft_wrap=True)
        console.print(f"  {'; '.join(row['preprocessing']) or 'taken as it is'}", soft_wrap=True)
        console.print(draw_picture(row["picture"], console), soft_wrap=True)
