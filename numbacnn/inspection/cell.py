"""One output of a layer as the sum of its products: the numbers that it reads, times the weights of its filter."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.errors import ModelError, ShapeError
from numbacnn.graph import Graph, Node, up_to
from numbacnn.layers import Context, Conv2D, Dense, DepthwiseConv2D, Dropout, Flatten, Layer
from numbacnn.network import take_parameters
from numbacnn.ops import Ops
from numbacnn.quoting import listed, plain
from numbacnn.receptive import Range, receptive
from numbacnn.shapes import Window2D
from numbacnn.summary import IMAGE_AXES
from numbacnn.values import Array

WEIGHTED = (Conv2D, DepthwiseConv2D, Dense)
"""The layers whose outputs are sums of products."""


class Term(NamedTuple):
    """One product: kernel cell (u, v) of channel c, over the number x under it. A dense layer has u = v = 0, and c counts its input."""

    u: int
    v: int
    c: int
    x: float
    weight: float
    product: float


class CellSum(NamedTuple):
    """One output of a layer.

    Args:
        layer, cell: its name, and (row, column, map) or (unit,).
        reads: the name of the layer that it reads, or ``"input"``.
        receptive_field: ((first row, last row), (first column, last column)) of that layer, as far as they exist; None if the cell
            reads padding alone, or a vector.
        image_field: the same of the image; of a dense layer, all of it.
        terms: the products, the largest first; where the window lies in padding there is none.
        sum: of the products, in float64.
        bias: 0 if the layer has none.
        value: sum + bias: the output before the activation.
        kernel_value: the same, where the layer's kernel has summed the products in float32.
        activation: its name, or None.
        output: the layer's output, after the activation.
        places: where each term's number is from: (row, column, channel) of the layer ``of``; (index,) if that has a vector.
        of: the layer that it reads, or the one before that has maps, if it reads these in a row, as after a Flatten.
    """

    layer: str
    cell: tuple[int, ...]
    reads: str
    receptive_field: tuple[Range, Range] | None
    image_field: tuple[Range, Range] | None
    terms: tuple[Term, ...]
    sum: float
    bias: float
    value: float
    kernel_value: float
    activation: str | None
    output: float
    places: tuple[tuple[int, ...], ...]
    of: str

    @property
    def bound(self) -> float:
        """The largest difference of ``value`` and ``kernel_value`` by rounding, of K products: 2 K eps times the sum of their sizes.

        Any order of summation stays below; only sums by transforms may not.

        Source: Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 4.2.
        """
        sizes = math.fsum(abs(term.product) for term in self.terms)
        return 2 * len(self.terms) * float(np.finfo(np.float32).eps) * sizes


def explain_cell(
    graph: Graph,
    ops: Ops,
    parameters: Mapping[str, Array],
    outputs: Mapping[str, NDArray[np.float32]],
    layer: str,
    cell: Sequence[int],
) -> CellSum:
    """One output of a layer as the sum of its products, beside the value that the layer's own kernel computes.

    value = bias[f] + sum_{u,v,c} x[i*s-p+u*d, j*s-p+v*d, c] * kernel[u,v,c,f]

    Args:
        ops: of direct summation (``exact_conv``). A transform's rounding depends on all its inputs.
        parameters: by ``<layer>/<parameter>``, float32, NumPy's or the device's.
        outputs: of each layer for one image, and of ``"input"``: float32.
        layer: its name.
        cell: (row, column, map) of a convolution, (unit,) of a dense layer, from 0 on.

    Raises:
        ModelError: there is no such layer, or its outputs are no sums of products. ShapeError: there is no such cell.

    Source: the lecture's slides "Convolutional Layer (4/4)" and "Stacking Multiple Feature Maps".
    """
    node = up_to(graph, layer).nodes[-1]
    place = check_cell(graph, layer, cell)
    x = outputs[node.inputs[0]]
    own = take_parameters(graph, ops, parameters, x.dtype)
    kernel, bias = (own.get(f"{layer}/{name}") for name in ("kernel", "bias"))
    found = list(_terms(node, graph, x, ops.to_host(kernel), place))
    found.sort(key=lambda pair: -abs(pair[0].product))
    total = math.fsum(term.product for term, _ in found)
    shift = 0.0 if bias is None else float(ops.to_host(bias)[place[-1]])
    field, image_field = fields(graph, node, place)
    # Without the bias: where it is far larger than the sum, its rounding would hide whether the sums agree.
    sums = replace(node.layer, activation=None, use_bias=False)  # type: ignore[type-var]
    return CellSum(
        layer, place, node.inputs[0], field, image_field, tuple(term for term, _ in found), total, shift, total + shift,
        _computed(node, sums, ops, own, x, place) + shift, node.layer.activation,  # type: ignore[attr-defined]
        _computed(node, node.layer, ops, own, x, place),
        *_placed(graph, node.inputs[0], [where for _, where in found]),
    )  # fmt: skip


def _placed(graph: Graph, reads: str, places: list[tuple[int, ...]]) -> tuple[tuple[tuple[int, ...], ...], str]:
    """The places in the layer that is read; in maps, if only flattening lies between."""
    nodes = {node.name: node for node in graph.nodes}
    of = reads
    while len(graph.shapes[of]) != IMAGE_AXES and isinstance(nodes[of].layer, (Flatten, Dropout)):
        of = nodes[of].inputs[0]
    shape = graph.shapes[of]
    if of == reads or len(shape) != IMAGE_AXES:
        return tuple(places), reads
    _, columns, maps = shape
    return tuple((c // (columns * maps), c // maps % columns, c % maps) for (c,) in places), of


def check_cell(graph: Graph, layer: str, cell: Sequence[int]) -> tuple[int, ...]:
    """The cell, which exists.

    Raises:
        ModelError: there is no such layer, or its outputs are no sums of products. ShapeError: there is no such cell.
    """
    node = up_to(graph, layer).nodes[-1]
    if not isinstance(node.layer, WEIGHTED):
        weighted = [each.name for each in graph.nodes if isinstance(each.layer, WEIGHTED)]
        have = f"Name one that has: {listed(weighted)}" if weighted else f"{plain(graph.name)} has none"
        raise ModelError(f"{plain(node.name)}: expected a layer with weights, got {type(node.layer).__name__}. {have}")
    shape = graph.shapes[node.name]
    names = ("row", "column", "map") if len(shape) == IMAGE_AXES else ("unit",)
    if len(cell) != len(shape) or not all(0 <= index < side for index, side in zip(cell, shape, strict=True)):
        ranges = [f"a {name} from 0 to {side - 1}" for name, side in zip(names, shape, strict=True)]
        wanted = f"{', '.join(ranges[:-1])} and {ranges[-1]}" if len(ranges) > 1 else ranges[0]
        example = ",".join([plain(node.name), *(str(side // 2) for side in shape)])
        raise ShapeError(f"{plain(node.name)}: expected {wanted}, got {', '.join(map(str, cell))}. An example: {example}")
    return tuple(int(index) for index in cell)


def _terms(
    node: Node, graph: Graph, x: NDArray, kernel: NDArray, place: tuple[int, ...]
) -> Iterator[tuple[Term, tuple[int, ...]]]:
    """Each product with its place in the input; products of two float32 are exact in float64."""
    layer = node.layer
    if isinstance(layer, Dense):
        for c, (value, weight) in enumerate(zip(x.tolist(), kernel[:, place[0]].tolist(), strict=True)):
            yield Term(0, 0, c, value, weight, value * weight), (c,)
        return
    i, j, f = place
    depth, multiplier = kernel.shape[2], getattr(layer, "depth_multiplier", None)
    if multiplier:  # a map has a channel of its own
        channels, weights = [f // multiplier], kernel[:, :, f // multiplier : f // multiplier + 1, f % multiplier]
    else:
        first = f // (layer.filters // layer.groups) * depth  # type: ignore[attr-defined]
        channels, weights = list(range(first, first + depth)), kernel[:, :, :, f]
    window = layer.window(*graph.input_shapes(node))
    assert isinstance(window, Window2D)
    for u, row in window.rows.under(i):
        for v, column in window.columns.under(j):
            for c, weight in zip(channels, weights[u, v].tolist(), strict=True):
                value = float(x[row, column, c])
                yield Term(u, v, c, value, weight, value * weight), (row, column, c)


def fields(graph: Graph, node: Node, place: tuple[int, ...]) -> tuple[tuple[Range, Range] | None, tuple[Range, Range] | None]:
    """What a cell depends on of its layer's first input and of the image: ((first row, last row), (first column, last column)).

    None where that is padding alone; of its input, None for a cell without rows and columns, too.
    """
    if len(place) != IMAGE_AXES:
        height, width, _ = graph.input_shape
        return None, ((0, height - 1), (0, width - 1))
    reads = {read.name: read for read in receptive(graph, node.name, (place[0], place[1]))}
    found = [
        None if read.rows is None or read.columns is None else (read.rows, read.columns)
        for read in (reads[node.inputs[0]], reads["input"])
    ]
    return found[0], found[1]


def _computed(node: Node, layer: Layer, ops: Ops, parameters: Mapping[str, Array], x: NDArray, place: tuple[int, ...]) -> float:
    """The output of the node's layer, or of one with the same kernel, at the cell."""
    own = {key: parameters[f"{node.name}/{key}"] for key in layer.parameters(x.shape)}
    with ops.reuse_memory():
        y = layer.forward(ops, own, [ops.asarray(np.ascontiguousarray(x[None]))], Context(training=False)).y
        return float(ops.to_host(y)[(0, *place)])
