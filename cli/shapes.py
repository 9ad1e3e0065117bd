"""``numbacnn shapes``: the shape of an image after each layer of a network. Needs neither numpy nor numba."""

from dataclasses import asdict
from typing import Any

import click

from numbacnn.remarks import remarks
from numbacnn.summary import Summary, summarise

from . import options
from .model_source import read_model
from .paths import MODEL


@click.command()
@click.argument("model", type=MODEL, default="cnn")
@click.option("--input", "input_shape", type=options.InputShape(), help="Trace images of this size instead of the model's own.")
@click.option(
    "--batch-size",
    type=options.COUNT,
    default=1,
    show_default=True,
    metavar="N",
    help="Images in a batch, for the memory column and the plan.",
)
@click.option("--plan", "with_plan", is_flag=True, help="Show how this machine's CPU computes a batch of this size.")
@options.reporting
def shapes(model: str, input_shape: tuple[int, ...] | None, batch_size: int, with_plan: bool, output_format: str) -> None:
    """Trace the shapes, parameters and cost of a network.

    MODEL is the name of a preset, a .toml model file, or a trained .safetensors file.

    \b
    Example: numbacnn shapes cnn --batch-size 100
             numbacnn shapes cnn --batch-size 100 --plan
    """
    graph = read_model(model, input_shape).graph
    if with_plan:
        from .plans import show_plan  # needs numba, to know the CPU

        show_plan(graph, batch_size, output_format)
        return
    summary = summarise(graph, batch_size)
    if output_format == "json":
        from .console import print_json

        print_json(_as_dict(summary) | {"remarks": remarks(graph, summary)})
        return
    from .console import stdout
    from .tables import shapes_remark, shapes_table

    console = stdout()
    console.print(shapes_table(summary))
    for line in (*shapes_remark(summary), *remarks(graph, summary)):
        console.print(line)


def _as_dict(summary: Summary) -> dict[str, Any]:
    return asdict(summary) | {"parameters": summary.parameters, "macs": summary.macs}
