"""Running a graph: forward through its nodes, and backward again. All of it is pure: numbers come in and go out."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from numbacnn.graph import INPUT, Graph
from numbacnn.layers import Context
from numbacnn.ops import Array, DropoutKey, Moving, Ops, Product
from numbacnn.plan import Step, make_plan

PIXEL_SCALE = 1 / 255
"""Pixels 0...255 become numbers 0...1."""


Gradients = dict[str, Array | Product]
"""By ``<layer>/<parameter>``."""


class Forward(NamedTuple):
    """A forward pass: the output, what the backward pass needs, how moving averages are to move on, and the steps taken."""

    y: Array
    caches: dict[str, Any]
    updates: dict[str, Moving]
    plan: tuple[Step, ...]


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
        parameters: the device's arrays by ``<layer>/<parameter>``.
        x: images (n, h, w, c).
        training: whether dropout drops and batch normalisation uses the batch.
        seed, step: what dropout masks depend on.
        fuse: whether layers may be computed in one go; changes no number.
    """
    plan = make_plan(graph, fuse)
    outputs: dict[str, Array] = {INPUT: x}
    caches: dict[str, Any] = {}
    updates: dict[str, Moving] = {}
    for each in plan:
        own = {key: parameters[name] for key, name in each.parameters}
        context = Context(training, DropoutKey(seed, step, each.place))
        result = each.layer.forward(ops, own, [outputs[name] for name in each.inputs], context)
        outputs[each.name], caches[each.name] = result.y, result.cache
        if result.updates:
            names = dict(each.parameters)
            updates |= {names[key]: value for key, value in result.updates.items()}
    return Forward(outputs[plan[-1].name], caches, updates, plan)


def backward(ops: Ops, parameters: Mapping[str, Array], passed: Forward, dy: Array) -> Gradients:
    """The gradient of every trainable parameter, given that of the output.

    Where several layers read one output, their gradients add up. Nothing is computed for the image, nor for what lies before the
    first trainable layer.
    """
    arriving: dict[str, Array] = {passed.plan[-1].name: dy}
    gradients: Gradients = {}
    reached = {each.name for each in passed.plan if each.has_gradient}
    for each in reversed(passed.plan):
        if not each.has_gradient:
            continue
        own = {key: parameters[name] for key, name in each.parameters}
        dxs, own_gradients = each.layer.backward(ops, own, passed.caches[each.name], arriving.pop(each.name), each.needs_dx)
        names = dict(each.parameters)
        gradients |= {names[key]: value for key, value in own_gradients.items()}
        for name, dx in zip(each.inputs, dxs, strict=True):
            if name in reached:
                arriving[name] = ops.add(arriving[name], dx) if name in arriving else dx
    return gradients


def batches(count: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` that cover ``count`` items; the last may be shorter."""
    return (slice(first, min(first + size, count)) for first in range(0, count, size))


def to_device(ops: Ops, arrays: Mapping[str, NDArray]) -> dict[str, Array]:
    """Bring named arrays to the device."""
    return {name: ops.asarray(array) for name, array in arrays.items()}
