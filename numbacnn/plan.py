"""A graph made ready to run: what can be fused is fused, and all that depends on the graph alone is settled once.

Fusion is a rewrite of the graph: a convolution with ReLU (or nothing) after it, read by one max pooling and nobody else, becomes
one step. It computes the same numbers.
"""

from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from numbacnn.graph import Graph, Node
from numbacnn.layers import Conv2D, Layer, MaxPool2D
from numbacnn.layers.fused import PooledConv2D


class Step(NamedTuple):
    """One layer, or two fused.

    Args:
        name: of the layer whose output this is.
        layer: what computes it.
        inputs: names of the steps it reads.
        parameters: (key, ``<layer>/<parameter>``) of each of its parameters.
        place: position in the graph, which dropout masks depend on.
        has_gradient: whether a trainable parameter lies here or before; if not, no gradient is wanted.
        needs_dx: whether one lies before.
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...]
    place: int
    has_gradient: bool
    needs_dx: bool


@lru_cache(maxsize=64)
def make_plan(graph: Graph, fuse: bool = True) -> tuple[Step, ...]:
    """The steps of a graph, in order."""
    fused = _pools_to_fuse(graph) if fuse else {}
    swallowed = {conv.name for conv in fused.values()}
    steps: list[Step] = []
    reached: set[str] = set()
    for place, node in enumerate(graph.nodes):
        if node.name in swallowed:
            continue
        owner = fused.get(node.name, node)
        layer = PooledConv2D(owner.layer, node.layer) if owner is not node else node.layer  # type: ignore[arg-type]
        specs = owner.layer.parameters(*graph.input_shapes(owner))
        needs_dx = any(name in reached for name in owner.inputs)
        has_gradient = needs_dx or any(spec.trainable for spec in specs.values())
        if has_gradient:
            reached.add(node.name)
        keys = tuple((key, f"{owner.name}/{key}") for key in specs)
        steps.append(Step(node.name, layer, owner.inputs, keys, place, has_gradient, needs_dx))
    return tuple(steps)


def _pools_to_fuse(graph: Graph) -> dict[str, Node]:
    """Each max pooling that can be fused, by name, with its convolution."""
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    nodes = {node.name: node for node in graph.nodes}
    fused: dict[str, Node] = {}
    for node in graph.nodes:
        before = nodes.get(node.inputs[0])
        alone = isinstance(node.layer, MaxPool2D) and before is not None and readers[before.name] == 1
        if alone and isinstance(before.layer, Conv2D) and before.layer.activation in (None, "relu"):  # type: ignore[union-attr]
            fused[node.name] = before  # type: ignore[assignment]
    return fused
