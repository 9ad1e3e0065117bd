"""NaN and infinity: found by a sum, which costs little, and then traced to the layer where they begin."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from numbacnn.errors import NotFiniteError
from numbacnn.graph import INPUT, Graph
from numbacnn.layers import Context
from numbacnn.ops import Ops
from numbacnn.plan import fuse_nothing, make_plan
from numbacnn.values import Array, DropoutKey, FactoredGradient


def is_finite(values: Any) -> bool:
    """Whether all values of a NumPy array are finite. A sum of one that is not, is not: so most arrays are read once, and quickly."""
    return _have_finite_sum([values]) or bool(np.isfinite(values).all())


def _have_finite_sum(arrays: Iterable[Any]) -> bool:
    """Whether the sum of all values is finite; a sum of finite ones may overflow too."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(sum(float(np.add.reduce(values.reshape(-1))) for values in arrays))


def check_parameters(ops: Ops, parameters: Mapping[str, Array], names: Iterable[str]) -> None:
    """Raise NotFiniteError unless all values of the parameters of these names are finite."""
    for name in names:
        if problem := _problem(ops.to_host(parameters[name]), "values"):
            message = f"{name}: expected finite numbers, got others: {problem}. Use the weights of another training"
            raise NotFiniteError(message, f"the weights {name}: {problem}")


def first_gradient_that_is_not_finite(ops: Ops, gradients: Mapping[str, Any]) -> str | None:
    """The first of some gradients, in the order of the backward pass, with values that are not finite; None if there is none.

    Of a ``FactoredGradient`` only dy is looked at, unless something is wrong: x is large, and has passed through the loss.
    """
    parts = (each.dy if isinstance(each, FactoredGradient) else each for each in gradients.values())
    if _have_finite_sum(map(ops.to_host, parts)):
        return None
    for name, gradient in gradients.items():
        if problem := _problem(ops.to_host(gradient), "values"):
            return f"the gradient of {name}: {problem}"
    return None


def first_layer_that_is_not_finite(
    graph: Graph, ops: Ops, parameters: Mapping[str, Array], x: Array, *, training: bool = False, seed: int = 0, step: int = 0
) -> str | None:
    """Run a batch layer by layer, and describe the first parameter or output with values that are not finite; None if there is none.

    Arguments as for ``network.forward``, whose result it would be.
    """
    outputs = {INPUT: x}
    for planned in make_plan(graph, fuse_nothing):
        for _, name in planned.parameters:
            if problem := _problem(ops.to_host(parameters[name]), "values"):
                return f"the weights {name}: {problem}"
        own = {key: parameters[name] for key, name in planned.parameters}
        context = Context(training, DropoutKey(seed, step, planned.position))
        outputs[planned.name] = planned.layer.forward(ops, own, [outputs[name] for name in planned.inputs], context).y
        if problem := _problem(ops.to_host(outputs[planned.name]), "outputs"):
            return f"the layer {planned.name}: {problem}; its inputs and weights are finite"
    return None


def _problem(values: Any, what: str) -> str | None:
    """How many values are not finite, and the first of them; None if all are."""
    if is_finite(values):
        return None
    bad = values[~np.isfinite(values)]
    return f"{bad.size:,} of {values.size:,} {what} are not finite, the first is {bad[0]}"
