"""Activations: the function between a weighted sum and the next layer."""

from collections.abc import Sequence
from dataclasses import dataclass

from numbacnn.layers.base import Backward, Cache, Context, Forward, Layer, Parameters, check_choice
from numbacnn.ops import Ops
from numbacnn.shapes import Shape
from numbacnn.values import Array

ACTIVATIONS = ("relu", "sigmoid", "tanh", "softmax")
"""The activations; softmax is along the last axis. Each is two ops of this name: ``Ops.relu`` and ``Ops.relu_backward``."""


def activate(ops: Ops, activation: str | None, z: Array) -> Array:
    """y = activation(z); None is the identity."""
    return z if activation is None else getattr(ops, activation)(z)


def activate_backward(ops: Ops, activation: str | None, y: Array, dy: Array) -> Array:
    """dz, given dy. The derivative of each activation is a function of its output y."""
    return dy if activation is None else getattr(ops, f"{activation}_backward")(y, dy)


def check_activation(activation: object) -> None:
    """Raise ModelError unless ``activation`` is None or a known name."""
    if activation is not None:
        check_choice("activation", activation, ACTIVATIONS)


@dataclass(frozen=True)
class Activation(Layer):
    """An activation as a separate layer.

    Args:
        activation: one of ``ACTIVATIONS``.

    Source: the lecture's slide "Activation Function".
    """

    label = "activation"

    activation: str

    def __post_init__(self) -> None:
        check_choice("activation", self.activation, ACTIVATIONS)

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        y = activate(ops, self.activation, inputs[0])
        return Forward(y, cache=y)

    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        return Backward([activate_backward(ops, self.activation, cache, dy)])
