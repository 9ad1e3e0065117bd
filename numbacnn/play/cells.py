"""One cell of a layer, told: the products that it is the sum of, or the values that a pooling looks at."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn.errors import ModelError, ShapeError
from numbacnn.graph import Graph, Node
from numbacnn.inspection.cell import WEIGHTED, CellSum, explain_cell, fields
from numbacnn.layers import AvgPool2D, GlobalAvgPool2D, MaxPool2D
from numbacnn.ops import Ops
from numbacnn.quoting import listed, short
from numbacnn.summary import IMAGE_AXES
from numbacnn.values import Array

MOST_TERMS = 30
"""Lines of the page's table."""


def told_cell(
    graph: Graph,
    ops: Ops,
    parameters: Mapping[str, Array],
    outputs: Mapping[str, NDArray[np.float32]],
    layer: str,
    cell: tuple[int, ...],
) -> dict[str, Any]:
    """How one value of a layer comes about, as plain values: a sentence, and the largest terms.

    Args:
        graph, ops, parameters, outputs, layer, cell: as for ``explain_cell``; of a pooling, (row, column, map) or (map,).

    Raises:
        ModelError: there is no such layer. ShapeError: there is no such cell.
    """
    node = next((node for node in graph.nodes if node.name == layer), None)
    if node is None:
        raise ModelError(
            f"layer: expected one of {listed(each.name for each in graph.nodes)}, got {short(layer)}. Reload the page"
        )
    shape = graph.shapes[layer]
    if len(cell) != len(shape) or not all(0 <= index < side for index, side in zip(cell, shape, strict=True)):
        raise ShapeError(f"{layer}: expected a cell of shape {shape}, got {cell}. Choose another")
    if isinstance(node.layer, WEIGHTED):
        return _sum(explain_cell(graph, ops, parameters, outputs, layer, cell))
    value = float(outputs[layer][cell])
    found: dict[str, Any] = {
        "layer": layer, "cell": list(cell), "kind": "value", "reads": node.inputs[0], "value": value, "terms": [], "rest": "",
        "image_field": fields(graph, node, cell)[1],
        "sentence": f"{_number(value)}, by {type(node.layer).__name__} of {listed(node.inputs)}.",
    }  # fmt: skip
    if isinstance(node.layer, (MaxPool2D, AvgPool2D, GlobalAvgPool2D)):
        found |= _pooled(graph, node, outputs, cell, value)
    return found


def _sum(found: CellSum) -> dict[str, Any]:
    terms, rest = found.terms[:MOST_TERMS], found.terms[MOST_TERMS:]
    count = sum(term.product != 0 for term in found.terms)
    activation = f", and after {found.activation} {_number(found.output)}" if found.activation else ""
    others = sum(term.product for term in rest)
    return {
        "layer": found.layer, "cell": list(found.cell), "kind": "sum", "reads": found.reads, "image_field": found.image_field,
        "terms": [
            {"place": list(place), "x": term.x, "weight": term.weight, "product": term.product}
            for term, place in zip(terms, found.places, strict=False)
        ],
        "rest": f"The other {len(rest):,} products add up to {_number(others)}." if rest else "",
        "sum": found.sum, "bias": found.bias, "value": found.value, "kernel_value": found.kernel_value, "output": found.output,
        "sentence": (
            f"{len(found.terms):,} products ({count:,} not 0): sum {_number(found.sum)} + bias {_number(found.bias)} = "
            f"{_number(found.value)}; the kernel computed {_number(found.kernel_value)}{activation}."
        ),
    }  # fmt: skip


def _pooled(
    graph: Graph, node: Node, outputs: Mapping[str, NDArray[np.float32]], cell: tuple[int, ...], value: float
) -> dict[str, Any]:
    x = outputs[node.inputs[0]]
    window = node.layer.window(*graph.input_shapes(node))
    assert window is not None
    row, column = cell[:2] if len(cell) == IMAGE_AXES else (0, 0)
    places = [(i, j, cell[-1]) for _, i in window.rows.under(row) for _, j in window.columns.under(column)]
    places.sort(key=lambda place: -float(x[place]))
    is_max = isinstance(node.layer, MaxPool2D)
    rest = len(places) - MOST_TERMS
    return {
        "kind": "maximum" if is_max else "mean",
        "terms": [{"place": list(place), "x": float(x[place])} for place in places[:MOST_TERMS]],
        "rest": f"And {rest:,} smaller ones." if rest > 0 else "",
        "sentence": f"{_number(value)} is the {'greatest' if is_max else 'mean'} of {len(places)} values of {node.inputs[0]}.",
    }


def _number(value: float) -> str:
    return f"{value:.6g}"
