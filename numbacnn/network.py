"""Running a graph: forward through its nodes, and backward again. All of it is pure: numbers come in and go out."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.graph import INPUT, Graph, Node
from numbacnn.layers import Context
from numbacnn.ops import Array, DropoutKey, Ops

PIXEL_SCALE = 1 / 255
"""Pixels 0...255 become numbers 0...1."""

INFERENCE_BATCH = 500


class Forward(NamedTuple):
    """A forward pass: the output, what the backward pass needs, and new values of moving averages."""

    y: Array
    caches: dict[str, Any]
    updates: dict[str, Array]


def forward(
    graph: Graph, ops: Ops, parameters: Mapping[str, Array], x: Array, *, training: bool = False, seed: int = 0, step: int = 0
) -> Forward:
    """Run a batch through a graph.

    Args:
        parameters: the device's arrays by ``<layer>/<parameter>``.
        x: images (n, h, w, c).
        training: whether dropout drops and batch normalisation uses the batch.
        seed, step: what dropout masks depend on.
    """
    outputs: dict[str, Array] = {INPUT: x}
    caches: dict[str, Any] = {}
    updates: dict[str, Array] = {}
    for place, node in enumerate(graph.nodes):
        context = Context(training, DropoutKey(seed, step, place))
        result = node.layer.forward(ops, _own(graph, node, parameters), [outputs[name] for name in node.inputs], context)
        outputs[node.name], caches[node.name] = result.y, result.cache
        updates |= {f"{node.name}/{key}": value for key, value in result.updates.items()}
    return Forward(outputs[graph.nodes[-1].name], caches, updates)


def backward(graph: Graph, ops: Ops, parameters: Mapping[str, Array], passed: Forward, dy: Array) -> dict[str, Array]:
    """The gradient of every trainable parameter, given that of the output.

    Where several nodes read one output, their gradients add up. Nothing is computed for the image, nor for what lies before the
    first trainable layer.
    """
    wanted = _nodes_with_weights_before(graph)
    arriving: dict[str, Array] = {graph.nodes[-1].name: dy}
    gradients: dict[str, Array] = {}
    for node in reversed(graph.nodes):
        if node.name not in wanted:
            continue
        needs_dx = any(name in wanted for name in node.inputs)
        own = _own(graph, node, parameters)
        dxs, own_gradients = node.layer.backward(ops, own, passed.caches[node.name], arriving.pop(node.name), needs_dx)
        gradients |= {f"{node.name}/{key}": value for key, value in own_gradients.items()}
        for name, dx in zip(node.inputs, dxs, strict=True):
            if name in wanted:
                arriving[name] = ops.add(arriving[name], dx) if name in arriving else dx
    return gradients


def batches(count: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` that cover ``count`` items; the last may be shorter."""
    return (slice(first, min(first + size, count)) for first in range(0, count, size))


class Prediction(NamedTuple):
    """What a network says of images: logits (n, classes) on the host."""

    logits: NDArray

    @property
    def probabilities(self) -> NDArray:
        """Softmax of the logits, float64 (n, classes)."""
        z = self.logits.astype(np.float64)
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)


def predict(graph: Graph, ops: Ops, parameters: Mapping[str, Array], images: NDArray) -> Prediction:
    """The logits of images, whatever their number.

    Args:
        graph: up to its logits; see ``without_softmax``.
        images: pixels, uint8 (n, h, w, c).
    """
    device_images = ops.asarray(images)
    parts = []
    for batch in batches(len(images), INFERENCE_BATCH):
        x = ops.gather_images(device_images, ops.asarray(np.arange(batch.start, batch.stop)), PIXEL_SCALE)
        parts.append(ops.to_host(forward(graph, ops, parameters, x).y))
    return Prediction(np.concatenate(parts) if parts else np.zeros((0, graph.output_shape[0]), np.float32))


def to_device(ops: Ops, arrays: Mapping[str, NDArray]) -> dict[str, Array]:
    """Bring named arrays to the device."""
    return {name: ops.asarray(array) for name, array in arrays.items()}


def _own(graph: Graph, node: Node, parameters: Mapping[str, Array]) -> dict[str, Array]:
    return {key: parameters[f"{node.name}/{key}"] for key in node.layer.parameters(*graph.input_shapes(node))}


def _nodes_with_weights_before(graph: Graph) -> set[str]:
    """Nodes whose output depends on a trainable parameter: those that a gradient has to reach."""
    wanted: set[str] = set()
    for node in graph.nodes:
        specs = node.layer.parameters(*graph.input_shapes(node)).values()
        if any(spec.trainable for spec in specs) or any(name in wanted for name in node.inputs):
            wanted.add(node.name)
    return wanted
