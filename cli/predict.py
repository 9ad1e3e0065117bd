"""``numbacnn predict``: what a trained network tells of pictures."""

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from numbacnn.checkpoint import load_network
from numbacnn.errors import DataError, ModelError, NumbaCNNError
from numbacnn.normalisation import PIXELS
from numbacnn.picture_forms import FORMS, PHOTOGRAPHS
from numbacnn.pictures import MAX_FILE_BYTES, Picture, read_photograph, read_picture
from numbacnn.pictures.files import PICTURE_ENDINGS, entries, in_other_formats, is_picture, is_picture_in_other_format
from numbacnn.prediction import Predictor

from . import options
from .compiling import announced_compilations
from .console import error, notice, print_json, stdout
from .device import open_device
from .model_source import trained_model
from .paths import PICTURE
from .pictures import draw_picture

STDIN = "-"
UNSURE = 0.5


@click.command()
@click.argument("files", nargs=-1, required=True, type=PICTURE, metavar="PNG...")
@options.trained_model
@click.option(
    "--top", type=options.COUNT, default=3, show_default=True, metavar="N", help="Number of classes to list for each picture."
)
@click.option("--invert", type=click.Choice(["auto", "yes", "no"]), default="auto", show_default=True,
              help="Whether the ink is dark on light; auto looks at the border.")  # fmt: skip
@click.option("--pictures", "pictures_as", type=click.Choice(list(FORMS)),
              help="How a picture takes the form of the training images; by default as the network's file says.")  # fmt: skip
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
    height, width, channels = network.graph.input_shape
    if channels not in (1, 3):
        raise ModelError(f"{path}: takes images of {channels} channels; pictures have 1 or 3. Choose another --model")
    if network.normalisation.dtype != PIXELS.dtype:
        raise ModelError(
            f"{path}: was trained on floats, whose scale only you know; pictures are pixels. Use nc.load(...).predict(images), "
            "or train on pixels 0...255 (uint8)"
        )
    form = PHOTOGRAPHS if channels == 3 else pictures_as or network.pictures
    ops = open_device(device, threads, exact_conv)
    with announced_compilations():
        predictor = network.predictor(ops)  # before any picture is scaled to the size that the network asks for
        results = [_read(name, source, form, invert, (height, width, channels)) for name, source in _sources(files)]
        pictures = [result for result in results if isinstance(result, Picture)]
        probabilities = iter(_probabilities(predictor, pictures))
    rows = [_row(result, next(probabilities) if isinstance(result, Picture) else None, network.class_names) for result in results]
    if output_format == "json":
        print_json([{key: value for key, value in row.items() if key != "picture"} for row in rows])
    else:
        _print(rows, network.class_names, top)
    return 1 if any("error" in row for row in rows) else 0


def _sources(files: tuple[str, ...]) -> Iterator[tuple[str, Path | io.BytesIO | DataError]]:
    """The names and pictures of the arguments; a folder stands for its pictures in natural order, or for an error if it has none."""
    for name in files:
        path = Path(name)
        if name == STDIN:
            yield name, io.BytesIO(sys.stdin.buffer.read(MAX_FILE_BYTES + 1))
        elif path.is_dir():
            inside, unread = _pictures_in(path)
            yield from ((str(p), p) for p in inside)
            if not inside:
                yield name, _no_pictures(name, unread)
            elif unread:
                notice(f"{name}: left out: {in_other_formats(unread)}")
        else:
            yield name, path


def _pictures_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures in a folder, and those in formats that are not read."""
    try:
        files = [path for path in entries(folder) if path.is_file()]
    except OSError:
        files = []
    return [path for path in files if is_picture(path)], [path for path in files if is_picture_in_other_format(path)]


def _no_pictures(name: str, unread: list[Path]) -> DataError:
    got = in_other_formats(unread) if unread else "none. Folders inside of it are not searched: name one of them"
    return DataError(f"{name}: expected a folder of files that end in {', '.join(sorted(PICTURE_ENDINGS))}, got {got}")


def _read(
    name: str, source: Path | io.BytesIO | DataError, form: str, invert: Any, shape: tuple[int, int, int]
) -> Picture | tuple[str, str]:
    """A picture, or its name and the error: one bad file does not stop the others."""
    if isinstance(source, DataError):
        return name, str(source)
    try:
        height, width, channels = shape
        if form == PHOTOGRAPHS:
            return read_photograph(source, name=name, size=(height, width), channels=channels)
        return read_picture(source, name=name, invert=invert, size=(height, width))
    except NumbaCNNError as error:
        return name, str(error)


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
        "label": _label(class_names[best]),
        "probability": float(probabilities[best]),
        "probabilities": [float(p) for p in probabilities],
        "preprocessing": list(result.steps),
        "picture": result.pixels,
    }


def _label(name: str) -> int | str:
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
