"""The report of ``numbacnn shapes``: shapes, costs and receptive fields of a graph's layers."""

from dataclasses import dataclass

from numbacnn.graph import INPUT, Graph, Node
from numbacnn.layers import Dense
from numbacnn.shapes import Pair, Shape, cells

FLOAT_BYTES = 4

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


@dataclass(frozen=True)
class _Reach:
    """Receptive field and jump of a node's cells, both axes."""

    field: Pair
    jump: Pair


def summarise(graph: Graph, batch_size: int = 1) -> Summary:
    """The summary of a graph, for batches of ``batch_size`` images.

    Receptive fields follow r' = r + (k - 1) * j and j' = j * s (Araujo et al. 2019, Distill, "Computing Receptive Fields").
    """
    reach = {INPUT: _Reach((1, 1), (1, 1))}
    rows = []
    for node in graph.nodes:
        reach[node.name] = _grow(graph, node, reach)
        rows.append(_row(graph, node, reach[node.name], batch_size))
    return Summary(graph.name, graph.input_shape, batch_size, tuple(rows))


def _row(graph: Graph, node: Node, reach: _Reach, batch_size: int) -> LayerSummary:
    inputs = graph.input_shapes(node)
    output = graph.shapes[node.name]
    return LayerSummary(
        name=node.name,
        type=type(node.layer).__name__,
        inputs=node.inputs,
        input_shape=inputs[0],
        output_shape=output,
        parameters=sum(cells(spec.shape) for spec in node.layer.parameters(*inputs).values()),
        macs=node.layer.macs(*inputs),
        receptive_field=reach.field,
        jump=reach.jump,
        activation_bytes=batch_size * cells(output) * FLOAT_BYTES,
    )


def _grow(graph: Graph, node: Node, reach: dict[str, _Reach]) -> _Reach:
    before = [reach[name] for name in node.inputs]
    if isinstance(node.layer, Dense):
        return _Reach((graph.input_shape[0], graph.input_shape[1]), (0, 0))
    window = node.layer.window(*graph.input_shapes(node))
    widest = _Reach(
        (max(r.field[0] for r in before), max(r.field[1] for r in before)),
        (max(r.jump[0] for r in before), max(r.jump[1] for r in before)),
    )
    if window is None:
        return widest
    (rows, columns), (field, jump) = window, (widest.field, widest.jump)
    return _Reach(
        _bounded(field[0] + (rows.kernel - 1) * jump[0], field[1] + (columns.kernel - 1) * jump[1]),
        _bounded(jump[0] * rows.stride, jump[1] * columns.stride),
    )


def _bounded(rows: int, columns: int) -> Pair:
    return min(rows, LONGEST_REACH), min(columns, LONGEST_REACH)
