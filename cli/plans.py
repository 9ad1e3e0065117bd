"""``numbacnn shapes --plan``: which layers are fused, and how each convolution is computed."""

from typing import Any

from numbacnn.backends import vector_unit
from numbacnn.backends.cpu.conv.algorithm import choose_algorithm, is_depthwise
from numbacnn.backends.cpu.conv.pooling import can_fuse
from numbacnn.graph import Graph
from numbacnn.layers import Conv2D, DepthwiseConv2D
from numbacnn.layers.planned import PlannedConv2D
from numbacnn.plan import PlannedLayer, make_plan
from numbacnn.quoting import counted

from .console import print_json, stdout
from .tables import table, text


def show_plan(graph: Graph, batch_size: int, output_format: str) -> None:
    """Print the plan of a network on this machine."""
    instructions, lanes = vector_unit()
    steps = [_row(graph, step, batch_size) for step in make_plan(graph, can_fuse)]
    if output_format == "json":
        print_json({"model": graph.name, "batch_size": batch_size, "vectors": instructions, "lanes": lanes, "steps": steps})
        return
    rows = table("step", text("computes"), text("convolution"), text("why"))
    for step in steps:
        rows.add_row(step["step"], step["computes"], step["algorithm"] or "", step["reason"] or "")
    console = stdout()
    console.print(rows)
    console.print(
        f"batches of {counted(batch_size, 'image')}, {instructions}: {lanes} float32 values a vector; the same choice on every machine."
    )


def _row(graph: Graph, step: PlannedLayer, batch_size: int) -> dict[str, Any]:
    layer = step.layer.conv if isinstance(step.layer, PlannedConv2D) else step.layer
    pool = "MaxPool2D" if isinstance(step.layer, PlannedConv2D) and step.layer.pool else ""
    parts = [type(layer).__name__, getattr(layer, "activation", None) or "", pool]
    row: dict[str, Any] = {"step": step.name, "computes": " + ".join(filter(None, parts)), "algorithm": None, "reason": None}
    if not isinstance(layer, (Conv2D, DepthwiseConv2D)):
        return row
    image = graph.shapes[step.inputs[0]]
    if isinstance(layer, DepthwiseConv2D) or not layer.is_standard(image):
        kernel, channels = layer.parameters(image)["kernel"].shape, image[2]
        if isinstance(layer, DepthwiseConv2D) or is_depthwise(channels, kernel):
            return row | {"algorithm": "depthwise", "reason": "each filter sees one channel"}
        return row | {"algorithm": "readable", "reason": "dilation, or groups of channels"}
    if isinstance(step.layer, PlannedConv2D):
        channels = image[2]
        choice = choose_algorithm(batch_size, step.layer.block.window, channels, step.layer.conv.filters)
        row |= choice._asdict()
        if choice.size is not None:
            row["algorithm"] = f"{choice.algorithm}, {choice.size[0]} x {choice.size[1]}"
    return row
