"""``numbacnn lecture filter``: a filter slides over a picture."""

import os
from pathlib import Path
from typing import Any

import click
import numpy as np

from numbacnn.backends import get_ops
from numbacnn.errors import DataError
from numbacnn.lecture.flashlight import FILTERS, MOST_FRAMES, activate, gif, read_pixels, stride_of_gif
from numbacnn.reading import read_bounded
from numbacnn.spelling import did_you_mean

from . import options
from .compiling import announced_compilations
from .console import notice, print_json, stdout
from .matrix import read_matrix
from .new_files import check_new, write_file
from .paths import OutputFile, PathText, UserPath

MOST_BYTES = 100_000_000
GREYS = " .:-=+*#%@"
"""From 0, or less, to the largest value of the map."""


@click.command("filter")
@click.argument("image", type=UserPath())
@click.option(
    "--filter", "filter_name", type=PathText(f"{', '.join(FILTERS)}, or a file"), default="curve", show_default=True,
    metavar="curve|edge-h|edge-v|blur|FILE", help="A filter, or a text file with a row of weights in each line.",
)  # fmt: skip
@click.option("--stride", type=options.COUNT, metavar="N",
              help="Pixels between two places; by default 1, or as many as a .gif of a large picture needs.")  # fmt: skip
@click.option(
    "--gif", "gif_path", type=OutputFile(".gif"), metavar="FILE", help="Draw the filter at each place in turn, as a .gif."
)
@options.force
@options.reporting
def lecture_filter(
    image: Path, filter_name: str, stride: int | None, gif_path: Path | None, force: bool, output_format: str
) -> None:
    """Slide a filter over a picture: the map, its strongest place, and the products there.

    A picture of more than 64 pixels is scaled down, and one of dark strokes is inverted.

    \b
    Example: numbacnn lecture filter digit.png --filter edge-v
             numbacnn lecture filter digit.png --filter curve --stride 2 --gif flashlight.gif
    """
    check_new(gif_path, force, "--gif")
    weights = _weights(filter_name)
    steps: list[str] = []
    try:
        data = read_bounded(image, MOST_BYTES)
    except OSError as error:
        raise DataError(f"{image}: cannot be read: {error.strerror or error}. Give another picture") from None
    pixels = read_pixels(data, str(image), steps)
    if stride is None:
        stride = 1 if gif_path is None else stride_of_gif(pixels, weights)
        if stride > 1:
            steps.append(
                f"--stride {stride}, as a .gif has at most {MOST_FRAMES:,} places of the filter; give another one to change it"
            )
    with announced_compilations():
        found = activate(get_ops("cpu", plain=True), pixels, weights, stride)
    if gif_path is not None:
        write_file(gif_path, gif(found))
    strongest = float(found.map[found.row, found.column])
    if output_format == "json":
        print_json({
            "image": found.pixels.tolist(), "filter": found.weights.tolist(), "map": found.map.tolist(), "steps": steps,
            "strongest": {"row": found.row, "column": found.column, "value": strongest, "products": found.products()},
            "gif": None if gif_path is None else str(gif_path),
        })  # fmt: skip
        return
    for step in steps:
        notice(f"{image}: {step}")
    console = stdout()
    (height, width), (rows, columns) = found.pixels.shape, found.map.shape
    console.print(f"{height}x{width} pixels, a filter of {weights.shape[0]}x{weights.shape[1]}, a map of {rows}x{columns}")
    for line in drawn(found.map, console.width):
        console.print(line)
    console.print(f"strongest at row {found.row}, column {found.column}: {strongest:.10g}, the sum of")
    for row, column, pixel, weight, product in found.products():
        console.print(f"  pixel ({row}, {column})  {pixel:.10g} * {weight:.10g} = {product:.10g}")
    if gif_path is not None:
        console.print_wrapped(f"wrote {gif_path}: {found.map.size} frames")


def _weights(name: str) -> Any:
    if name in FILTERS:
        return np.array(FILTERS[name], np.float64)
    if not os.path.lexists(name):
        raise DataError(
            f"filter: expected {', '.join(FILTERS)}, or a file of weights, got {name!r}.{did_you_mean(name, FILTERS)}"
        )
    try:
        return read_matrix(Path(name))
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}. Give another file") from None


def drawn(values: Any, width: int) -> list[str]:
    """A map as characters: two for each cell, which is about as wide as a line is high.

    A map too wide for that has one for two cells, one above the other, or for more of them: their largest.
    """
    rows, columns = values.shape
    if 2 * columns > width:
        side = -(-columns // width)  # cells beside each other in a character
        padded = np.full((-(-rows // (2 * side)) * 2 * side, -(-columns // side) * side), -np.inf)
        padded[:rows, :columns] = values
        values = padded.reshape(-1, 2 * side, padded.shape[1] // side, side).max(axis=(1, 3))
    largest = max(float(values.max()), 1e-300)
    steps = np.clip(np.rint(values / largest * (len(GREYS) - 1)), 0, len(GREYS) - 1).astype(int)
    return ["".join(GREYS[step] * (2 if 2 * columns <= width else 1) for step in row).rstrip() for row in steps.tolist()]
