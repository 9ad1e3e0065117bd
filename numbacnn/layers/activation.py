"""Activations: the function between a weighted sum and the next layer."""

from collections.abc import Sequence
from dataclasses import dataclass

from numbacnn.errors import ModelError
from numbacnn.layers.base import Backward, Cache, Context, Forward, Layer, Parameters, check_choice, check_fraction
from numbacnn.ops import NEGATIVE_SLOPE, Ops
from numbacnn.shapes import Shape
from numbacnn.values import Array

ACTIVATIONS = ("relu", "leaky_relu", "relu6", "elu", "sigmoid", "hard_sigmoid", "tanh", "silu", "hard_swish", "softmax")
"""The activations; softmax is along the last axis. Each is two ops of this name: ``Ops.relu`` and ``Ops.relu_backward``."""

OF_INPUT = frozenset({"silu", "hard_swish"})
"""Activations whose derivative is a function of the input x, not of the output y: they fall and rise, so y does not determine it."""


def activate(ops: Ops, activation: str | None, z: Array, *numbers: float) -> tuple[Array, Array]:
    """y = activation(z), and the array that ``activate_backward`` takes: z for those of ``OF_INPUT``, else y. None is the identity.

    Args:
        numbers: further arguments of the op, such as the slope of ``leaky_relu``.
    """
    if activation is None:
        return z, z
    y = getattr(ops, activation)(z, *numbers)
    return y, z if activation in OF_INPUT else y


def activate_backward(ops: Ops, activation: str | None, kept: Array, dy: Array, *numbers: float) -> Array:
    """dz, given dy and the array that ``activate`` returned to keep."""
    return dy if activation is None else getattr(ops, f"{activation}_backward")(kept, dy, *numbers)


def check_activation(activation: object) -> None:
    """Raise ModelError unless ``activation`` is None or a known name."""
    if activation is not None:
        check_choice("activation", activation, ACTIVATIONS)


@dataclass(frozen=True)
class Activation(Layer):
    """An activation as a separate layer.

    Args:
        activation: one of ``ACTIVATIONS``.
        negative_slope: of ``leaky_relu`` below 0, in [0, 1). The others have none, and ``leaky_relu`` as the activation of another
            layer has the default.

    Source: the lecture's slide "Activation Function".
    """

    label = "activation"

    activation: str
    negative_slope: float = NEGATIVE_SLOPE

    def __post_init__(self) -> None:
        check_choice("activation", self.activation, ACTIVATIONS)
        check_fraction("negative_slope", self.negative_slope)
        if self.activation != "leaky_relu" and self.negative_slope != NEGATIVE_SLOPE:
            raise ModelError(f"negative_slope: expected none for {self.activation}, got {self.negative_slope}. Use leaky_relu")

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        return Forward(*activate(ops, self.activation, inputs[0], *self._numbers))

    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        return Backward([activate_backward(ops, self.activation, cache, dy, *self._numbers)])

    @property
    def _numbers(self) -> tuple[float, ...]:
        return (self.negative_slope,) if self.activation == "leaky_relu" else ()
