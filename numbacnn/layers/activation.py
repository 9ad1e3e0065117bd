"""Activations: the step from a weighted sum to what the next layer sees."""

from collections.abc import Sequence
from dataclasses import dataclass

from numbacnn.layers.base import Backward, Cache, Context, Forward, Layer, Parameters, check_choice
from numbacnn.ops import Ops
from numbacnn.shapes import Shape
from numbacnn.values import Array

ACTIVATIONS = ("relu", "sigmoid", "tanh", "softmax")


def activate(ops: Ops, activation: str | None, z: Array) -> Array:
    """y = activation(z); None is the identity."""
    return z if activation is None else getattr(ops, activation)(z)


def activate_backward(ops: Ops, activation: str | None, y: Array, dy: Array) -> Array:
    """dz from dy; every activation's derivative is a function of its output y."""
    return dy if activation is None else getattr(ops, f"{activation}_backward")(y, dy)


def check_activation(activation: object) -> None:
    """Raise unless it is None or a known name."""
    if activation is not None:
        check_choice("activation", activation, ACTIVATIONS)


@dataclass(frozen=True)
class Activation(Layer):
    """An activation as a layer of its own.

    Args:
        activation: ``"relu"``, ``"sigmoid"``, ``"tanh"`` or ``"softmax"`` (along the last axis).
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
