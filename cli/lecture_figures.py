"""``numbacnn lecture figures``: the figures of the lecture as SVG files, and a page that shows them."""

from pathlib import Path

import click

from numbacnn.backends import get_ops
from numbacnn.files import make_folder
from numbacnn.lecture.figures import DRAWN, PAGE, figures, page

from . import options
from .compiling import announced_compilations
from .console import print_json, stdout
from .new_files import has_content, write_new
from .paths import UserPath


@click.command("figures")
@click.option("--output", type=UserPath(), default=Path("figures"), show_default=True, metavar="DIR", help="Folder to write to.")
@click.option("--section", type=click.Choice(list(DRAWN)), help="Draw the figures of one section only.")
@options.force
@options.reporting
def lecture_figures(output: Path, section: str | None, force: bool, output_format: str) -> None:
    """Draw the figures of the lecture as SVG, with numbers computed by the program and texts for those who do not see them.

    index.html shows them all, with the titles of their slides. The same files are written again; others of these names stay.

    \b
    Example: numbacnn lecture figures --output figures
             numbacnn lecture figures --section xo --output xo
    """
    with announced_compilations():
        drawn = figures(get_ops("cpu", plain=True), section)
    contents = {output / f"{each.name}.svg": each.svg.encode() for group in drawn.values() for each in group}
    contents[output / PAGE] = page(drawn).encode()
    make_folder(output)
    written = write_new(contents, lambda path: has_content(path, contents[path]), "the figure to be drawn", force)
    if output_format == "json":
        rows = [
            {"section": name, "slide": each.slide, "title": each.title, "alt": each.alt, "file": str(output / f"{each.name}.svg")}
            for name, group in drawn.items()
            for each in group
        ]
        print_json({"folder": str(output), "page": str(output / PAGE), "figures": rows, "wrote": list(map(str, written))})
        return
    console = stdout()
    console.print_wrapped(f"{len(contents) - 1} figures and {PAGE} in {output}; {len(written)} files written")
