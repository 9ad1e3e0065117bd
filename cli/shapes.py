"""``numbacnn shapes``: the shape of an image after each layer of a network. Needs neither numpy nor numba, but for ``--image``."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from numbacnn.graph import Graph
from numbacnn.quoting import plain
from numbacnn.remarks import remarks
from numbacnn.summary import Summary, summarise

from . import options
from .model_source import read_model
from .paths import MODEL, OutputFile, PathText
from .usage import usage_of

if TYPE_CHECKING:
    from numbacnn.receptive import Read

    from .tracing import Traced

DEFAULT = "cnn"
DIAGRAMS = (".svg", ".mmd")


class Cell(NamedTuple):
    """One cell of a layer's feature maps."""

    layer: str
    row: int
    column: int


class CellName(click.ParamType):
    """``conv2,4,9``"""

    name = "LAYER,i,j"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Cell:
        layer, *place = str(value).rsplit(",", 2)
        if len(place) != 2 or not layer or not all(part.strip().isdecimal() and len(part) < 9 for part in place):
            self.fail(f"{value!r} is not LAYER,ROW,COLUMN, counted from 0, such as conv2,4,9.", param, ctx)
        return Cell(layer, int(place[0]), int(place[1]))


@click.command()
@click.argument("model", type=MODEL, required=False)
@click.option("--input", "input_shape", type=options.InputShape(), help="Trace images of this size instead of the model's own.")
@click.option(
    "--batch-size",
    type=options.COUNT,
    default=1,
    show_default=True,
    metavar="N",
    help="Images in a batch, for the memory column and the plan.",
)
@click.option("--receptive", "cell", type=CellName(), help="Show what one cell reads: rows and columns, back to the image's.")
@click.option("--compare", type=MODEL, metavar="MODEL", help="Show another network beside it.")
@click.option(
    "--image",
    type=PathText("a picture's file, or test:N"),
    metavar="FILE|test:N",
    help="Let a picture through, or image N of the test part of the network's data set: what each layer makes of it.",
)
@options.dataset_trained_on
@options.data_dir_trained_on
@click.option("--diagram", type=OutputFile(*DIAGRAMS), metavar="FILE", help="Draw the network to a file, .svg or .mmd (Mermaid).")
@options.force
@click.option("--plan", "with_plan", is_flag=True, help="Show how this machine's CPU computes a batch of this size.")
@options.reporting
def shapes(
    model: str,
    input_shape: tuple[int, ...] | None,
    batch_size: int,
    cell: Cell | None,
    compare: str | None,
    image: str | None,
    dataset: str | None,
    data_dir: Path | None,
    diagram: Path | None,
    force: bool,
    with_plan: bool,
    output_format: str,
) -> None:
    """Trace the shapes, parameters and cost of a network.

    MODEL is the name of a preset, a .toml model file, a trained .safetensors file or the folder of its run; by default cnn, and with
    --image the network trained last.

    \b
    Example: numbacnn shapes cnn --batch-size 100
             numbacnn shapes cnn --receptive conv2,4,9
             numbacnn shapes cnn --compare small --diagram cnn.svg
             numbacnn shapes cnn --batch-size 100 --plan
             numbacnn shapes runs/small-mnist/model.safetensors --image test:7
    """
    if with_plan and (cell or compare or diagram):
        raise click.UsageError("--plan does not go with --receptive, --compare or --diagram.")
    if image is not None and (with_plan or compare or input_shape):
        raise click.UsageError("--image does not go with --plan, --compare or --input.")
    if dataset and image is None:
        raise click.UsageError("--dataset goes with --image.")
    if diagram is not None or force:
        from .new_files import check_new  # files are seldom written

        check_new(diagram, force, "--diagram")
    traced = _traced(model, image, dataset, data_dir) if image is not None else None
    graph = traced.network.graph if traced else read_model(model or DEFAULT, input_shape).graph
    if with_plan:
        from .plans import show_plan  # needs numba, to know the CPU

        show_plan(graph, batch_size, output_format)
        return
    summary = summarise(graph, batch_size)
    other = summarise(read_model(compare, input_shape).graph, batch_size) if compare else None
    reads = _reads(graph, cell) if cell else None
    if diagram is not None:
        _draw(summary, diagram)
    if output_format == "json":
        from .console import print_json

        found = _as_dict(summary) | {"remarks": remarks(graph, summary)}
        if cell and reads:
            found["receptive"] = _receptive_dict(cell, reads)
        if other is not None:
            found["compare"] = _as_dict(other)
        if traced is not None:
            found |= traced.as_dict()
            for row, layer in zip(found["layers"], traced.trace.layers, strict=True):
                row |= layer.numbers()
        if diagram is not None:
            found["diagram"] = str(diagram)
        print_json(found)
        return
    _print(graph, summary, cell, reads, other, traced, diagram)


def _traced(model: str | None, image: str, dataset: str | None, data_dir: Path | None) -> "Traced":
    from .tracing import trace_model  # needs numba

    return trace_model(model, image, dataset, data_dir)


def _reads(graph: Graph, cell: Cell) -> "list[Read]":
    from numbacnn.receptive import receptive  # seldom needed

    with usage_of("--receptive"):
        return receptive(graph, cell.layer, (cell.row, cell.column))


def _print(
    graph: Graph,
    summary: Summary,
    cell: Cell | None,
    reads: "list[Read] | None",
    other: Summary | None,
    traced: "Traced | None",
    diagram: Path | None,
) -> None:
    """The answers to what was asked for; the network's own table where nothing was."""
    from .console import stdout
    from .tables import comparison_tables, receptive_remark, receptive_table, shapes_remark, shapes_table

    console = stdout()
    if cell and reads:
        console.print(receptive_table(reads))
        for line in receptive_remark(f"{plain(cell.layer)}[{cell.row},{cell.column}]", reads):
            console.print(line)
    if other is not None:
        if reads:
            console.print()
        figures, layers = comparison_tables(summary, other)
        console.print(figures)
        console.print()
        console.print(layers)
    if traced is not None:
        from .tracing import print_traced

        if reads:
            console.print()
        print_traced(traced)
    elif not reads and other is None:
        console.print(shapes_table(summary))
        for line in (*shapes_remark(summary), *remarks(graph, summary)):
            console.print(line)
    if diagram is not None:
        console.print_wrapped(f"wrote {diagram}")


def _draw(summary: Summary, path: Path) -> None:
    from numbacnn.diagram import mermaid, svg

    from .new_files import write_file

    text = svg(summary) if path.suffix.lower() == ".svg" else mermaid(summary)
    write_file(path, text.encode())


def _as_dict(summary: Summary) -> dict[str, Any]:
    return asdict(summary) | {"parameters": summary.parameters, "macs": summary.macs}


def _receptive_dict(cell: Cell, reads: "list[Read]") -> dict[str, Any]:
    image = reads[-1]
    return {
        "layer": cell.layer,
        "cell": [cell.row, cell.column],
        "receptive_field": None if image.rows is None else [image.rows, image.columns],
        "unclipped": [image.unclipped_rows, image.unclipped_columns],
        "reads": [read._asdict() for read in reads],
    }
