"""The plan of a graph: its layers, fused where the device can, with geometry and names that depend on the graph alone.

A convolution with ReLU or no activation and the max pooling that is its only reader become one layer. The numbers stay the same.
Convolutions with dilation or groups are computed by separate ops, and so not fused.
"""

from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from numbacnn.graph import INPUT, Graph, Node
from numbacnn.layers import Conv2D, Layer, MaxPool2D
from numbacnn.layers.planned import PlannedConv2D
from numbacnn.shapes import Window2D
from numbacnn.values import ConvBlock


class PlannedLayer(NamedTuple):
    """One layer, or two fused.

    Args:
        name: of the layer in the graph; of the pooling, if two are fused.
        layer: computes the output.
        inputs: names of the planned layers that it reads.
        parameters: (key, ``<layer>/<parameter>``) of each parameter.
        position: index of the layer in the graph, part of the key of dropout masks.
        has_gradient: whether this layer, or one that it depends on, has a trainable parameter, or the image's gradient is needed;
            otherwise backward skips it.
        needs_dx: whether a layer that it depends on has a trainable parameter, so that the gradient of its input is needed; or the
            image's gradient is.
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...]
    position: int
    has_gradient: bool
    needs_dx: bool


def fuse_nothing(pool: Window2D) -> bool:
    """An argument of ``make_plan``: no pooling is fused."""
    return False


@lru_cache(maxsize=64)
def make_plan(graph: Graph, can_fuse: Callable[[Window2D], bool], of_image: bool = False) -> tuple[PlannedLayer, ...]:
    """The planned layers of a graph, in order.

    Args:
        can_fuse: a device's ``Ops.can_fuse``, or ``fuse_nothing``.
        of_image: whether the gradient of the image is needed, which training does without.
    """
    fused = _pools_to_fuse(graph, can_fuse)
    fused_convs = {conv.name for conv in fused.values()}
    planned: list[PlannedLayer] = []
    reached: set[str] = {INPUT} if of_image else set()
    for position, node in enumerate(graph.nodes):
        if node.name in fused_convs:
            continue
        owner = fused.get(node.name, node)
        specs = owner.layer.parameters(*graph.input_shapes(owner))
        needs_dx = any(name in reached for name in owner.inputs)
        has_gradient = needs_dx or any(spec.trainable for spec in specs.values())
        if has_gradient:
            reached.add(node.name)
        keys = tuple((key, f"{owner.name}/{key}") for key in specs)
        layer = _planned(graph, owner, node)
        planned.append(PlannedLayer(node.name, layer, owner.inputs, keys, position, has_gradient, needs_dx))
    return tuple(planned)


def _planned(graph: Graph, owner: Node, node: Node) -> Layer:
    """The layer of ``owner``; if it is a convolution, with its geometry, and with the pooling of ``node`` if the two are fused."""
    conv = owner.layer
    if not isinstance(conv, Conv2D):
        return conv
    pool = node.layer if isinstance(node.layer, MaxPool2D) else None
    window = conv.window(*graph.input_shapes(owner))
    pool_window = pool.window(graph.shapes[owner.name]) if pool else None
    return PlannedConv2D(conv, pool, ConvBlock(window, conv.activation == "relu", pool_window))


def _pools_to_fuse(graph: Graph, can_fuse: Callable[[Window2D], bool]) -> dict[str, Node]:
    """The convolution to which each max pooling is fused, by the name of the pooling."""
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    nodes = {node.name: node for node in graph.nodes}
    fused: dict[str, Node] = {}
    for node in graph.nodes:
        before = nodes.get(node.inputs[0])
        if before is None or not isinstance(node.layer, MaxPool2D) or not isinstance(before.layer, Conv2D):
            continue
        reads_alone = readers[before.name] == 1 and before.layer.activation in (None, "relu")
        is_standard = before.layer.is_standard(*graph.input_shapes(before))
        if reads_alone and is_standard and can_fuse(node.layer.window(graph.shapes[before.name])):
            fused[node.name] = before
    return fused
