"""``numbacnn lecture figure``: the geometry of a convolution as an animation."""

from pathlib import Path
from typing import Any

import click

from numbacnn.lecture.sliding import Sliding
from numbacnn.quoting import short
from numbacnn.shapes import Pair

from . import options
from .console import print_json, stdout
from .new_files import has_content, write_new
from .paths import OutputFile

FORMS = (".gif", ".svg")


class Sides(click.ParamType):
    """``3`` or ``3,2``: rows and columns."""

    name = "N or H,W"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Pair:
        parts = str(value).replace("x", ",").split(",")
        if not 1 <= len(parts) <= 2 or not all(part.strip().isdecimal() and len(part) < 9 and int(part) > 0 for part in parts):
            self.fail(
                f"expected a number of cells, such as 3, or HEIGHT,WIDTH, such as 5,7, each at least 1, got {short(value)}.",
                param,
                ctx,
            )
        return int(parts[0]), int(parts[-1])


@click.command("figure")
@click.argument("kind", type=click.Choice(["conv"]), metavar="conv")
@click.option(
    "--input", "size", type=Sides(), default="5,7", show_default=True, metavar="H,W", help="Rows and columns of the input."
)
@click.option(
    "--kernel", type=Sides(), default="3", show_default=True, metavar="K", help="Side of the filter, or its rows and columns."
)
@click.option(
    "--stride", type=Sides(), default="2", show_default=True, metavar="S", help="Cells between two places, or down and across."
)
@click.option(
    "--padding", type=click.Choice(["valid", "same"]), default="same", show_default=True, help="Whether zeros are put around."
)
@click.option(
    "--output",
    type=OutputFile(*FORMS),
    default=Path("conv.gif"),
    show_default=True,
    metavar="FILE.gif|FILE.svg",
    help="File to write.",
)
@options.force
@options.reporting
def lecture_figure(
    kind: str, size: Pair, kernel: Pair, stride: Pair, padding: str, output: Path, force: bool, output_format: str
) -> None:
    """Draw how a filter slides over its input: a frame for each cell of the output, with the rows and columns that it reads.

    Padding is grey. An .svg moves in browsers. The defaults are Geron's figure 14-4.

    \b
    Example: numbacnn lecture figure conv --output conv.gif
             numbacnn lecture figure conv --input 6,6 --kernel 3 --stride 1 --padding valid --output valid.svg
    """
    sliding = Sliding(size, kernel, stride, padding)
    content = sliding.gif() if output.suffix.lower() == ".gif" else sliding.svg().encode()
    written = write_new({output: content}, lambda path: has_content(path, content), "the figure to be written", force, "file")
    places = list(sliding.places())
    if output_format == "json":
        print_json({
            "input": size, "kernel": kernel, "strides": stride, "padding": padding, "output": sliding.window.out, "file": str(output),
            "wrote": bool(written), "frames": len(places), "places": [place._asdict() for place in places],
        })  # fmt: skip
        return
    console = stdout()
    console.print(sliding.title)
    console.print_wrapped(f"{'wrote' if written else 'in place:'} {output}: {len(places)} frames")
