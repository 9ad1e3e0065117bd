"""The report of ``numbacnn shapes``: shapes, costs and receptive fields of a graph's layers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from numbacnn.graph import INPUT, Graph, Node
from numbacnn.layers import Dense
from numbacnn.quoting import printable
from numbacnn.shapes import Pair, Shape, Window, cells

FLOAT_BYTES, IMAGE_AXES = 4, 3

LONGEST_REACH = 10**15
"""Upper bound of receptive fields and jumps, in pixels. Strides multiply: without it, a file's layers could make them too long to print."""


@dataclass(frozen=True)
class LayerSummary:
    """One layer's row.

    Args:
        macs: multiply-accumulates for one image, biases not counted.
        receptive_field: height and width, in pixels, of the part of the image on which one output cell depends.
        jump: distance between the receptive fields of neighbouring cells, in pixels; 0 after a dense layer, whose cells have no
            neighbours.
        activation_bytes: size of the output for the whole batch, as float32.
        window: height and width of the sliding window, in cells; None for a layer without one, as are the three that follow.
        stride: its step down and across.
        padding: ((top, bottom), (left, right)), in cells.
        dilation: distance between neighbouring cells of the window, down and across.
        fan_in: the numbers that one neuron reads, or one cell of a pooling; None for a layer that has neither.
        parameter_share, mac_share: of the whole network, in 0...1; 0 where the network has none.
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    input_shape: Shape
    output_shape: Shape
    parameters: int
    macs: int
    receptive_field: Pair
    jump: Pair
    activation_bytes: int
    window: Pair | None = None
    stride: Pair | None = None
    padding: tuple[Pair, Pair] | None = None
    dilation: Pair | None = None
    fan_in: int | None = None
    parameter_share: float = 0.0
    mac_share: float = 0.0


@dataclass(frozen=True)
class Summary:
    """The rows of a graph's layers, and their totals."""

    model: str
    input_shape: Shape
    batch_size: int
    layers: tuple[LayerSummary, ...]

    @property
    def parameters(self) -> int:
        """The number of parameters, moving averages included."""
        return sum(row.parameters for row in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(row.macs for row in self.layers)

    def _repr_html_(self) -> str:
        """The rows as a table, for notebooks."""
        titles = ("layer", "type", "output", "window", "stride", "fan-in", "parameters", "MACs", "sees")
        lines = [_html_row("th", titles)]
        for row in self.layers:
            pairs = (row.output_shape, row.window, row.stride)
            sides = (" x ".join(map(str, pair)) if pair else "-" for pair in pairs)
            numbers = (f"{row.parameters:,}", f"{row.macs:,}", " x ".join(map(str, row.receptive_field)))
            lines.append(_html_row("td", (row.name, row.type, *sides, f"{row.fan_in:,}" if row.fan_in else "-", *numbers)))
        lines.append(_html_row("th", (self.model, *[""] * 5, f"{self.parameters:,}", f"{self.macs:,}", "")))
        return f"<table>{''.join(lines)}</table>"


def _html_row(tag: str, texts: Sequence[str]) -> str:
    from html import escape  # of no use to `shapes`

    return f"<tr>{''.join(f'<{tag}>{escape(printable(text))}</{tag}>' for text in texts)}</tr>"


class _Reach(NamedTuple):
    """The pixels of one axis on which cell i depends by one way through the graph: i*jump + first ... i*jump + last."""

    jump: int
    first: int
    last: int


_Reaches = tuple[list[_Reach], list[_Reach]]
"""Rows and columns, each with one reach for each distinct jump: branches of equal jump are joined."""


def summarise(graph: Graph, batch_size: int = 1) -> Summary:
    """The summary of a graph, for batches of ``batch_size`` images.

    Along one way through the graph, receptive fields follow r' = r + (k - 1) * d * j and j' = j * s (Araujo et al. 2019, Distill,
    "Computing Receptive Fields"). Where branches meet, a cell depends on what any of them reaches: the field goes from the first of
    these pixels to the last, padding included.
    """
    reach: dict[str, _Reaches] = {INPUT: ([_Reach(1, 0, 0)], [_Reach(1, 0, 0)])}
    rows = []
    for node in graph.nodes:
        reach[node.name] = _grow(graph, node, reach)
        rows.append(_row(graph, node, reach[node.name], batch_size))
    parameters, macs = sum(row.parameters for row in rows), sum(row.macs for row in rows)
    shared = [
        replace(row, parameter_share=row.parameters / max(parameters, 1), mac_share=row.macs / max(macs, 1)) for row in rows
    ]
    return Summary(graph.name, graph.input_shape, batch_size, tuple(shared))


def _row(graph: Graph, node: Node, reach: _Reaches, batch_size: int) -> LayerSummary:
    inputs = graph.input_shapes(node)
    output = graph.shapes[node.name]
    rows, columns = output[:2] if len(output) == IMAGE_AXES else (1, 1)
    parameters, window = node.layer.parameters(*inputs), node.layer.window(*inputs)
    row = LayerSummary(
        name=node.name,
        type=type(node.layer).__name__,
        inputs=node.inputs,
        input_shape=inputs[0],
        output_shape=output,
        parameters=sum(cells(spec.shape) for spec in parameters.values()),
        macs=node.layer.macs(*inputs),
        receptive_field=(_field(reach[0], rows), _field(reach[1], columns)),
        jump=(max(r.jump for r in reach[0]), max(r.jump for r in reach[1])),
        activation_bytes=batch_size * cells(output) * FLOAT_BYTES,
        fan_in=parameters["kernel"].fan_in if "kernel" in parameters else None,
    )
    if window is None:
        return row
    down, across = window
    return replace(
        row,
        window=(down.kernel, across.kernel),
        stride=(down.stride, across.stride),
        padding=((down.pad_before, down.pad_after), (across.pad_before, across.pad_after)),
        dilation=(down.dilation, across.dilation),
        fan_in=row.fan_in or down.kernel * across.kernel,
    )


def _grow(graph: Graph, node: Node, reach: dict[str, _Reaches]) -> _Reaches:
    if isinstance(node.layer, Dense):
        height, width, _ = graph.input_shape
        return [_Reach(0, 0, height - 1)], [_Reach(0, 0, width - 1)]
    rows, columns = (_joined([r for name in node.inputs for r in reach[name][axis]]) for axis in (0, 1))
    window = node.layer.window(*graph.input_shapes(node))
    if window is None:
        return rows, columns
    return _through(window.rows, rows), _through(window.columns, columns)


def _joined(reaches: list[_Reach]) -> list[_Reach]:
    """One reach for each jump, from the first pixel of any branch to the last of any."""
    by_jump: dict[int, _Reach] = {}
    for jump, first, last in reaches:
        before = by_jump.get(jump, _Reach(jump, first, last))
        by_jump[jump] = _Reach(jump, min(before.first, first), max(before.last, last))
    return list(by_jump.values())


def _through(window: Window, reaches: list[_Reach]) -> list[_Reach]:
    """The reaches after a sliding window: cell i sees the cells from i*s - p to i*s - p + span - 1."""
    before, after = -window.pad_before, window.span - 1 - window.pad_before
    return _joined(
        [_bounded(_Reach(r.jump * window.stride, r.first + before * r.jump, r.last + after * r.jump)) for r in reaches]
    )


def _bounded(reach: _Reach) -> _Reach:
    jump, first, last = reach
    return _Reach(min(jump, LONGEST_REACH), max(first, -LONGEST_REACH), min(last, LONGEST_REACH))


def _field(reaches: list[_Reach], count: int) -> int:
    """The largest receptive field of ``count`` cells. Jumps that differ move branches apart: the first or the last cell has it."""
    ends = ((max(i * r.jump + r.last for r in reaches), min(i * r.jump + r.first for r in reaches)) for i in (0, count - 1))
    return min(max(last - first + 1 for last, first in ends), LONGEST_REACH)
