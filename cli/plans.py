"""``numbacnn shapes --plan``: what is computed in one go, and which way convolutions are done."""

from typing import Any

from numbacnn.backends import vector_unit
from numbacnn.backends.cpu.conv.algorithm import choose
from numbacnn.graph import Graph
from numbacnn.layers import Conv2D
from numbacnn.layers.fused import PooledConv2D
from numbacnn.plan import Step, make_plan

from .console import print_json, stdout
from .tables import table, text


def show_plan(graph: Graph, batch_size: int, output_format: str) -> None:
    """Print the plan of a network on this machine."""
    instructions, lanes = vector_unit()
    steps = [_row(graph, step, batch_size, lanes) for step in make_plan(graph)]
    if output_format == "json":
        print_json({"model": graph.name, "batch_size": batch_size, "vectors": instructions, "lanes": lanes, "steps": steps})
        return
    rows = table("step", text("computes"), text("convolution"), text("why"))
    for step in steps:
        rows.add_row(step["step"], step["computes"], step["algorithm"] or "", step["reason"] or "")
    console = stdout()
    console.print(rows)
    console.print(
        f"batches of {batch_size} image(s), {instructions}: {lanes} float32 values a vector; the same choice every time."
    )


def _row(graph: Graph, step: Step, batch_size: int, lanes: int) -> dict[str, Any]:
    layer = step.layer
    conv = layer.conv if isinstance(layer, PooledConv2D) else layer
    parts = [type(conv).__name__, getattr(conv, "activation", None) or "", "MaxPool2D" if conv is not layer else ""]
    row: dict[str, Any] = {"step": step.name, "computes": " + ".join(filter(None, parts)), "algorithm": None, "reason": None}
    if isinstance(conv, Conv2D):
        shape = graph.shapes[step.inputs[0]]
        choice = choose(batch_size, conv.window(shape), shape[2], conv.filters, lanes)
        row |= choice._asdict()
        if choice.size is not None:
            row["algorithm"] = f"{choice.algorithm}, {choice.size[0]} x {choice.size[1]}"
    return row
