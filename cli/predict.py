"""``numbacnn predict``: what a trained network tells of pictures."""

import os
import re
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from numbacnn.checkpoint import TrainedNetwork, load_likeness, load_network
from numbacnn.doubts import UNLIKE, doubts
from numbacnn.errors import CheckpointError
from numbacnn.features import features
from numbacnn.likeness import Likeness
from numbacnn.network import to_device
from numbacnn.ops import Ops
from numbacnn.picture_forms import DIGITS
from numbacnn.pictures import Picture
from numbacnn.training.run_folder import FEATURES_FILE

from . import options
from .compiling import announced_compilations
from .console import error, notice, print_json, stdout
from .device import open_device
from .model_source import trained_model
from .paths import PICTURE
from .picture_files import picture_form, read, sources
from .pictures import draw_picture


@click.command()
@click.argument("files", nargs=-1, required=True, type=PICTURE, metavar="PNG...")
@options.trained_model
@click.option(
    "--top", type=options.COUNT, default=3, show_default=True, metavar="N", help="Number of classes to list for each picture."
)
@click.option("--show", is_flag=True, help="Show the steps and the converted picture of each file; of a single file, always.")
@options.picture_forms
@options.computing
@options.reporting
def predict(
    files: tuple[str, ...],
    model: Path | None,
    top: int,
    show: bool,
    invert: Any,
    pictures_as: str | None,
    device: str,
    threads: int | None,
    exact_conv: bool,
    output_format: str,
) -> int:
    """Tell what is in pictures: files, folders, or - for stdin.

    Any size, mode and colour; each picture is converted to the form of the training images: a digit is centred by its ink, a
    photograph only scaled. The steps are shown for a single file, and for several with --show; else each file has one line.

    Where the answer may be wrong, it says why it is unsure: the picture is unlike every training image, has several parts as two digits
    have, reaches the edge, or the probability is low. A picture without any ink is an error.

    \b
    Example: numbacnn predict data/samples
             numbacnn predict data/samples --show
             numbacnn predict photo.png --top 5 --format json
    """
    path = trained_model(model)
    network = load_network(path)
    form = picture_form(network, path, pictures_as)
    ops = open_device(device, threads, exact_conv)
    with announced_compilations():
        predictor = network.predictor(ops)  # before any picture is scaled to the size that the network asks for
        likeness = _likeness(path, network)
        results = [read(name, source, form, invert, network.graph.input_shape) for name, source in sources(files)]
        pictures = [result for result in results if isinstance(result, Picture)]
        images = np.array([picture.pixels for picture in pictures], np.uint8).reshape(-1, *network.graph.input_shape)
        seen = zip(pictures, predictor(images).probabilities, _distances(network, ops, likeness, images), strict=True)
    answers = iter([_row(picture, shares, distance, likeness, form, network.class_names) for picture, shares, distance in seen])
    rows = [next(answers) if isinstance(result, Picture) else {"file": result[0], "error": result[1]} for result in results]
    if output_format == "json":
        print_json([{key: value for key, value in row.items() if key != "picture"} for row in rows])
    else:
        _print(rows, network.class_names, top, likeness, show or len(rows) == 1)
    return 1 if any("error" in row for row in rows) else 0


def _likeness(model: Path, network: TrainedNetwork) -> Likeness | None:
    """What tells pictures unlike the training images, from the file beside the network's; else None, and the reason on stderr."""
    path = model.with_name(FEATURES_FILE)
    if not os.path.lexists(path):
        return None
    try:
        return load_likeness(path, network.graph, network.parameters)
    except CheckpointError as problem:
        notice(f"whether a picture is unlike all training images is not told: {problem}")
        return None


def _distances(network: TrainedNetwork, ops: Ops, likeness: Likeness | None, images: NDArray[np.uint8]) -> list[float | None]:
    """The distance of each image from the training images; None without what tells it."""
    if likeness is None:
        return [None] * len(images)
    on_device = to_device(ops, network.parameters)
    return likeness.distances(features(network.graph, ops, on_device, images, network.normalisation)).tolist()


def _row(
    picture: Picture,
    probabilities: Any,
    distance: float | None,
    likeness: Likeness | None,
    form: str,
    class_names: tuple[str, ...],
) -> dict[str, Any]:
    best = int(np.argmax(probabilities))
    probability, unlike = (
        float(probabilities[best]),
        None if likeness is None or distance is None else likeness.is_unlike(distance),
    )
    parts = picture.parts if form == DIGITS else None
    return {
        "file": picture.name,
        "label": label_of(class_names[best]),
        "probability": probability,
        "probabilities": [float(p) for p in probabilities],
        "unlike": unlike,
        "distance": distance,
        "parts": parts,
        "unsure": list(doubts(probability, unlike=unlike, parts=parts, guesses=picture.guesses)),
        "preprocessing": list(picture.steps),
        "picture": picture.pixels,
    }


def label_of(name: str) -> int | str:
    """A class as JSON has it: a number if its name is one."""
    return int(name) if re.fullmatch("0|[1-9][0-9]{0,8}", name) else name


def _print(rows: list[dict[str, Any]], class_names: tuple[str, ...], top: int, likeness: Likeness | None, show: bool) -> None:
    """The answers as text.

    Args:
        show: whether each answer comes with its distance, steps and picture, or in one line.
    """
    console = stdout()
    for row in rows:
        if "error" in row:
            error(row["error"])
            continue
        order = np.argsort(row["probabilities"])[::-1][:top]
        shares = ", ".join(f"{class_names[k]} {row['probabilities'][k]:.2%}" for k in order)
        reasons = [
            f"{reason}: distance {row['distance']:.3f}, usually at most {likeness.threshold:.3f}"
            if show and reason == UNLIKE and likeness is not None
            else reason
            for reason in row["unsure"]
        ]
        remark = f"  (unsure: {'; '.join(reasons)})" if reasons else ""
        if not show:  # the first of the shares is the label's
            console.print_wrapped(f"{row['file']}: {shares}{remark}")
            continue
        console.print_wrapped(f"{row['file']}: {row['label']}{remark}")
        console.print_wrapped(f"  {shares}")
        console.print_wrapped(f"  {'; '.join(row['preprocessing']) or 'taken as it is'}")
        console.print(draw_picture(row["picture"], console), soft_wrap=True)
