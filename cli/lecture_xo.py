"""``numbacnn lecture xo``: the toy network for X and O, layer by layer."""

from pathlib import Path
from typing import Any

import click
import numpy as np

from numbacnn.backends import get_ops
from numbacnn.lecture import xo
from numbacnn.lecture.checks_xo import truncated

from . import options
from .compiling import announced_compilations
from .console import notice, print_json, stdout
from .paths import PathText

MAP_SIDE = 7


class CellOfMap(click.ParamType):
    """``cross,3,3``: a map by its filter's name or number, a row and a column, from 0 on."""

    name = "map,i,j"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int, int]:
        parts = [part.strip() for part in str(value).split(",")]
        numbers = {str(number): name for number, name in enumerate(xo.FILTERS)}
        which = numbers.get(parts[0], parts[0])
        places = [str(place) for place in range(MAP_SIDE)]
        if len(parts) != 3 or which not in xo.FILTERS or any(part not in places for part in parts[1:]):
            self.fail(
                f"expected MAP,ROW,COLUMN, of the maps {', '.join(xo.FILTERS)} (or 0, 1, 2) and of rows and columns 0 to {MAP_SIDE - 1}, "
                f"got {value!r}. An example: cross,3,3",
                param, ctx,
            )  # fmt: skip
        return which, int(parts[1]), int(parts[2])


@click.command("xo")
@click.option(
    "--image", type=PathText("X, deformed, O, or a picture of 9x9 pixels", "Use --image X."), default="X", show_default=True,
    metavar="X|deformed|O|FILE", help="One of the lecture's images, or your own picture of 9x9 pixels.",
)  # fmt: skip
@click.option("--cell", type=CellOfMap(), help="Show one cell of a map as the sum of its nine products, as in cross,3,3.")
@options.reporting
def lecture_xo(image: str, cell: tuple[str, int, int] | None, output_format: str) -> None:
    """Tell X from O by the lecture's toy network: three filters, ReLU, two poolings, and two votes.

    Numbers are cut to two decimals, as on the slides; --format json has them whole.

    \b
    Example: numbacnn lecture xo --image deformed
             numbacnn lecture xo --cell cross,3,3
    """
    if image in xo.IMAGES:
        pixels = xo.lecture_image(image)
    else:
        pixels, inverted = xo.read_image(Path(image))
        if inverted:
            notice(f"{image}: dark strokes on light; inverted, since the lecture's are light")
    with announced_compilations():
        answer = xo.classify(get_ops("cpu", plain=True), pixels)
    place = None if cell is None else xo.explain(pixels, *cell)
    if output_format == "json":
        values = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in answer._asdict().items()}
        print_json(values if place is None else values | {"cell": place._asdict()})
        return
    console = stdout()
    if place is not None:
        console.print(f"map {place.map}, row {place.row}, column {place.column}: nine pixels times nine weights")
        for row, column, pixel, weight, product in place.products:
            console.print(f"  pixel ({row}, {column})  {pixel:>2} * {weight:>2} = {product:>2}")
        console.print(f"  sum {place.sum}, divided by 9: {_cut(place.mean)}")
        return
    console.print("image")
    for line in answer.image:
        console.print("  " + " ".join("#" if pixel > 0 else "." for pixel in line))
    layers = (
        ("maps: mean of nine products", answer.maps), ("ReLU: no negative values", answer.relu),
        ("pooled: largest of each 2x2", answer.pooled), ("pooled again", answer.pooled_again),
    )  # fmt: skip
    for title, maps in layers:
        console.print(f"{title}, {len(maps)} of {maps.shape[1]}x{maps.shape[2]}")
        for name, each in zip(xo.FILTERS, maps, strict=True):
            console.print(f"  {name}")
            for line in each:
                console.print("    " + " ".join(f"{_cut(value):>5}" for value in line))
    votes = ", ".join(f"{name} {value:.3f}" for name, value in answer.votes.items())
    console.print(f"votes: {votes}. It is {'undecided' if answer.label is None else f'an {answer.label}'}.")
    equal = ", ".join(f"{count} of the lecture's {name}" for name, count in answer.equal_pixels.items())
    console.print(f"pixel by pixel, of 81: equal to {equal}")


def _cut(value: float) -> str:
    """Two decimals, the others cut off."""
    return f"{truncated(np.array(value)).item() + 0.0:.2f}"
