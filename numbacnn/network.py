"""The forward and the backward pass of a graph, as pure functions of arrays."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.errors import DataError, ModelError, ShapeError
from numbacnn.graph import INPUT, Graph
from numbacnn.layers import Context
from numbacnn.layers import Forward as LayerForward
from numbacnn.ops import Ops
from numbacnn.plan import PlannedLayer, fuse_nothing, make_plan
from numbacnn.quoting import listed, plain
from numbacnn.values import Array, DropoutKey, FactoredGradient, Moving

Gradients = dict[str, Array | FactoredGradient]
"""The gradient of each trainable parameter, by ``<layer>/<parameter>``; that of the images as ``graph.INPUT``, if it was asked for."""


class Forward(NamedTuple):
    """The result of a forward pass.

    Args:
        y: the output.
        caches: values that the backward pass needs, by planned layer.
        updates: next values of the moving averages, by ``<layer>/<parameter>``.
        plan: the planned layers, in order.
        of_image: whether ``backward`` is to give the gradient of the images too.
    """

    y: Array
    caches: dict[str, Any]
    updates: dict[str, Moving]
    plan: tuple[PlannedLayer, ...]
    of_image: bool = False


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
    of_image: bool = False,
) -> Forward:
    """Run a batch through a graph.

    Args:
        parameters: the device's arrays by ``<layer>/<parameter>``, of x's type.
        x: images (n, h, w, c), float32 or float64.
        training: whether dropout drops values, and batch normalisation uses the batch's mean and variance.
        seed, step: keys of the dropout masks.
        fuse: whether the device may fuse layers; it changes no number.
        of_image: whether ``backward`` is to give the gradient of the images too.

    Raises:
        ShapeError, DataError, ModelError: the images or a parameter do not fit the graph.
    """
    plan = make_plan(graph, ops.can_fuse if fuse else fuse_nothing, of_image)
    caches: dict[str, Any] = {}
    updates: dict[str, Moving] = {}
    outputs: dict[str, Array] = {}
    for planned, result in _run(graph, ops, parameters, x, plan, outputs, training, seed, step):
        caches[planned.name] = result.cache
        if result.updates:
            names = dict(planned.parameters)
            updates |= {names[key]: value for key, value in result.updates.items()}
    return Forward(outputs[plan[-1].name], caches, updates, plan, of_image)


def trace(graph: Graph, ops: Ops, parameters: Mapping[str, Array], x: Array, *, fuse: bool = False) -> dict[str, Array]:
    """The output of every layer for a batch, as in a prediction: no layer is fused, and dropout drops nothing.

    Args:
        parameters, x: as for ``forward``.
        fuse: whether the device may fuse layers: of two that are fused, the output of the second alone is known.

    Returns:
        arrays (n, *shape) of the device, by the layers' names, in the graph's order; before them x, as ``graph.INPUT``. They lie in the
        memory of the step: copy what is to outlive it.

    Raises:
        ShapeError, DataError, ModelError: as for ``forward``.
    """
    outputs: dict[str, Array] = {}
    for _ in _run(graph, ops, parameters, x, make_plan(graph, ops.can_fuse if fuse else fuse_nothing), outputs):
        pass
    return outputs


def _run(
    graph: Graph,
    ops: Ops,
    parameters: Mapping[str, Array],
    x: Array,
    plan: tuple[PlannedLayer, ...],
    outputs: dict[str, Array],
    training: bool = False,
    seed: int = 0,
    step: int = 0,
) -> Iterator[tuple[PlannedLayer, LayerForward]]:
    """The planned layers with their results, in order; fills ``outputs``."""
    outputs[INPUT] = x = _take_batch(graph, ops, x)
    parameters = take_parameters(graph, ops, parameters, x.dtype)
    first = ops.ranks.share(len(x)).first
    for planned in plan:
        own = {key: parameters[name] for key, name in planned.parameters}
        context = Context(training, DropoutKey(seed, step, planned.position, first))
        result = planned.layer.forward(ops, own, [outputs[name] for name in planned.inputs], context)
        outputs[planned.name] = result.y
        yield planned, result


def backward(ops: Ops, parameters: Mapping[str, Array], forward_pass: Forward, dy: Array) -> Gradients:
    """The gradient of every trainable parameter, given that of the output.

    If several layers read one output, their gradients are added. The image and the layers before the first trainable one get no
    gradient, unless ``forward`` was told that the image's is needed. That of a prediction leaves out what ``BatchNorm`` learns.

    Raises:
        ShapeError, DataError: ``dy`` has another shape or type than the output.
    """
    if tuple(dy.shape) != tuple(forward_pass.y.shape):
        raise ShapeError(f"dy: expected the output's shape {tuple(forward_pass.y.shape)}, got {tuple(dy.shape)}")
    if dy.dtype != forward_pass.y.dtype:
        raise DataError(f"dy: expected {forward_pass.y.dtype}, as the output, got {dy.dtype}. Convert it with .astype")
    arriving: dict[str, Array] = {forward_pass.plan[-1].name: _on_device(ops, dy)}
    gradients: Gradients = {}
    reached = {planned.name for planned in forward_pass.plan if planned.has_gradient} | (
        {INPUT} if forward_pass.of_image else set()
    )
    for planned in reversed(forward_pass.plan):
        if not planned.has_gradient:
            continue
        own = {key: parameters[name] for key, name in planned.parameters}
        cache = forward_pass.caches[planned.name]
        result = planned.layer.backward(ops, own, cache, arriving.pop(planned.name), planned.needs_dx)
        names = dict(planned.parameters)
        gradients |= {names[key]: value for key, value in result.gradients.items()}
        for name, dx in zip(planned.inputs, result.dx, strict=True):
            if name in reached:
                arriving[name] = ops.add(arriving[name], dx) if name in arriving else dx
    if forward_pass.of_image:
        gradients[INPUT] = arriving[INPUT]
    return gradients


def take_parameters(graph: Graph, ops: Ops, parameters: Mapping[str, Array], dtype: Any) -> dict[str, Array]:
    """The parameters of a graph on the device, checked: kernels rely on their shape, type and layout.

    Args:
        parameters: the device's arrays, or NumPy arrays in any memory layout.
        dtype: the type of all parameters.

    Raises:
        ModelError: a parameter is missing. ShapeError: one has another shape. DataError: one has another type.
    """
    taken: dict[str, Array] = {}
    for name, spec in graph.parameters.items():
        if name not in parameters:
            raise ModelError(
                f"{plain(name)}: expected this parameter of {plain(graph.name)}, and it is missing. There are: {listed(parameters)}"
            )
        array = parameters[name]
        if tuple(array.shape) != spec.shape:
            raise ShapeError(f"{plain(name)}: expected shape {spec.shape} in {plain(graph.name)}, got {tuple(array.shape)}")
        if array.dtype != dtype:
            raise DataError(f"{plain(name)}: expected {dtype}, got {array.dtype}. Convert it with .astype('{dtype}')")
        taken[name] = _on_device(ops, array)
    return taken


def _take_batch(graph: Graph, ops: Ops, x: Array) -> Array:
    if len(x.shape) != 4 or tuple(x.shape[1:]) != graph.input_shape:
        raise ShapeError(
            f"{plain(graph.name)}: expected images (n, {', '.join(map(str, graph.input_shape))}), got shape {tuple(x.shape)}"
        )
    if x.dtype not in (np.float32, np.float64):
        raise DataError(f"{plain(graph.name)}: expected images of float32 or float64, got {x.dtype}. Multiply pixels by 1/255")
    return _on_device(ops, x)


def _on_device(ops: Ops, array: Array) -> Array:
    return ops.asarray(array) if isinstance(array, np.ndarray) else array


def batches(count: int, size: int) -> Iterator[slice]:
    """Slices of ``size`` items that cover ``count`` items; the last may be shorter."""
    return (slice(first, min(first + size, count)) for first in range(0, count, size))


def to_device(ops: Ops, arrays: Mapping[str, NDArray]) -> dict[str, Array]:
    """Named arrays, on the device."""
    return {name: ops.asarray(array) for name, array in arrays.items()}
