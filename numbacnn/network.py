"""Running a graph: forward through its nodes, and backward again. All of it is pure: numbers come in and go out."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.errors import DataError, ModelError, ShapeError
from numbacnn.graph import INPUT, Graph
from numbacnn.layers import Context
from numbacnn.ops import Ops
from numbacnn.plan import PlannedLayer, fuse_nothing, make_plan
from numbacnn.values import Array, DropoutKey, FactoredGradient, Moving

PIXEL_SCALE = 1 / 255
"""Pixels 0...255 become numbers 0...1."""


Gradients = dict[str, Array | FactoredGradient]
"""By ``<layer>/<parameter>``."""


class Forward(NamedTuple):
    """A forward pass: the output, what the backward pass needs, how moving averages are to move on, and the steps taken."""

    y: Array
    caches: dict[str, Any]
    updates: dict[str, Moving]
    plan: tuple[PlannedLayer, ...]


def forward(
    graph: Graph,
    ops: Ops,
    parameters: Mapping[str, Array],
    x: Array,
    *,
    training: bool = False,
    seed: int = 0,
    step: int = 0,
    fuse: bool = True,
) -> Forward:
    """Run a batch through a graph.

    Args:
        parameters: the device's arrays by ``<layer>/<parameter>``, of x's type.
        x: images (n, h, w, c), float32 or float64.
        training: whether dropout drops and batch normalisation uses the batch.
        seed, step: what dropout masks depend on.
        fuse: whether layers may be computed in one go; changes no number.

    Raises:
        ShapeError, DataError, ModelError: the images or a parameter are not what the graph takes.
    """
    x = _take_batch(graph, ops, x)
    parameters = take_parameters(graph, ops, parameters, x.dtype)
    plan = make_plan(graph, ops.can_fuse if fuse else fuse_nothing)
    outputs: dict[str, Array] = {INPUT: x}
    caches: dict[str, Any] = {}
    updates: dict[str, Moving] = {}
    for each in plan:
        own = {key: parameters[name] for key, name in each.parameters}
        context = Context(training, DropoutKey(seed, step, each.position))
        result = each.layer.forward(ops, own, [outputs[name] for name in each.inputs], context)
        outputs[each.name], caches[each.name] = result.y, result.cache
        if result.updates:
            names = dict(each.parameters)
            updates |= {names[key]: value for key, value in result.updates.items()}
    return Forward(outputs[plan[-1].name], caches, updates, plan)


def backward(ops: Ops, parameters: Mapping[str, Array], forward_pass: Forward, dy: Array) -> Gradients:
    """The gradient of every trainable parameter, given that of the output.

    Where several layers read one output, their gradients add up. Nothing is computed for the image, nor for what lies before the
    first trainable layer.

    Raises:
        ShapeError, DataError: ``dy`` is not shaped as the output, or of another type.
    """
    if tuple(dy.shape) != tuple(forward_pass.y.shape):
        raise ShapeError(f"dy: expected the output's shape {tuple(forward_pass.y.shape)}, got {tuple(dy.shape)}")
    if dy.dtype != forward_pass.y.dtype:
        raise DataError(f"dy: expected {forward_pass.y.dtype}, as the output, got {dy.dtype}. Convert it with .astype")
    arriving: dict[str, Array] = {forward_pass.plan[-1].name: _on_device(ops, dy)}
    gradients: Gradients = {}
    reached = {each.name for each in forward_pass.plan if each.has_gradient}
    for each in reversed(forward_pass.plan):
        if not each.has_gradient:
            continue
        own = {key: parameters[name] for key, name in each.parameters}
        result = each.layer.backward(ops, own, forward_pass.caches[each.name], arriving.pop(each.name), each.needs_dx)
        names = dict(each.parameters)
        gradients |= {names[key]: value for key, value in result.gradients.items()}
        for name, dx in zip(each.inputs, result.dx, strict=True):
            if name in reached:
                arriving[name] = ops.add(arriving[name], dx) if name in arriving else dx
    return gradients


def take_parameters(graph: Graph, ops: Ops, parameters: Mapping[str, Array], dtype: Any) -> dict[str, Array]:
    """The parameters of a graph, checked, on the device: kernels trust their shape, type and layout.

    Args:
        parameters: the device's arrays, or NumPy arrays in any memory layout.
        dtype: which type all must have.

    Raises:
        ModelError: one is missing. ShapeError: one has another shape. DataError: another type.
    """
    taken: dict[str, Array] = {}
    for name, spec in graph.parameters.items():
        if name not in parameters:
            raise ModelError(f"{name}: {graph.name} needs this parameter, and it is missing. There are: {', '.join(parameters)}")
        array = parameters[name]
        if tuple(array.shape) != spec.shape:
            raise ShapeError(f"{name}: expected shape {spec.shape} in {graph.name}, got {tuple(array.shape)}")
        if array.dtype != dtype:
            raise DataError(f"{name}: expected {dtype}, got {array.dtype}. Convert it with .astype('{dtype}')")
        taken[name] = _on_device(ops, array)
    return taken


def _take_batch(graph: Graph, ops: Ops, x: Array) -> Array:
    if len(x.shape) != 4 or tuple(x.shape[1:]) != graph.input_shape:
        raise ShapeError(
            f"{graph.name}: expected images (n, {', '.join(map(str, graph.input_shape))}), got shape {tuple(x.shape)}"
        )
    if x.dtype not in (np.float32, np.float64):
        raise DataError(f"{graph.name}: expected images of float32 or float64, got {x.dtype}. Pixels times PIXEL_SCALE are")
    return _on_device(ops, x)


def _on_device(ops: Ops, array: Array) -> Array:
    return ops.asarray(array) if isinstance(array, np.ndarray) else array


def batches(count: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` that cover ``count`` items; the last may be shorter."""
    return (slice(first, min(first + size, count)) for first in range(0, count, size))


def to_device(ops: Ops, arrays: Mapping[str, NDArray]) -> dict[str, Array]:
    """Bring named arrays to the device."""
    return {name: ops.asarray(array) for name, array in arrays.items()}
