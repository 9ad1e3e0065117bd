"""Dense: every output depends on every input. One dense layer with softmax is the lecture's first network."""

from collections.abc import Sequence
from dataclasses import dataclass

from numbacnn.errors import ShapeError
from numbacnn.layers.activation import activate, activate_backward, check_activation
from numbacnn.layers.base import (
    Backward,
    Cache,
    Context,
    Forward,
    Layer,
    Parameters,
    ParameterSpec,
    check_choice,
    check_flag,
    check_positive,
)
from numbacnn.layers.initialization import INITIALIZERS
from numbacnn.ops import Ops
from numbacnn.shapes import Shape
from numbacnn.values import Array


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer: (k,) to (units,), y = activation(x @ kernel + bias).

    Args:
        units: number of neurons.
        activation: None, or one of ``ACTIVATIONS``.
        use_bias: whether to add one number per neuron.
        kernel_initializer: distribution of the initial weights; see ``INITIALIZERS``.

    Source: the lecture's slides "One-Layer Network For Classifying MNIST (3/4)" and "Fully Connected Layer".
    """

    label = "dense"

    units: int
    activation: str | None = None
    use_bias: bool = True
    kernel_initializer: str = "glorot_uniform"

    def __post_init__(self) -> None:
        check_positive("units", self.units)
        check_activation(self.activation)
        check_flag("use_bias", self.use_bias)
        check_choice("kernel_initializer", self.kernel_initializer, tuple(INITIALIZERS))

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(inputs[0]) != 1:
            raise ShapeError(
                f"expected a vector (k,) as input, got {inputs[0]}. Put Flatten() before it, or GlobalAvgPool2D() for one number per map"
            )
        return (self.units,)

    def parameters(self, *inputs: Shape) -> dict[str, ParameterSpec]:
        (fan_in,) = inputs[0]
        kernel = ParameterSpec((fan_in, self.units), self.kernel_initializer, fan_in, self.units, can_be_prepared=True)
        return {"kernel": kernel} | ({"bias": ParameterSpec((self.units,), "zeros")} if self.use_bias else {})

    def macs(self, *inputs: Shape) -> int:
        return inputs[0][0] * self.units

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        (x,) = inputs
        if self.activation == "relu":
            y = kept = ops.dense(x, parameters["kernel"], parameters.get("bias"), relu=True)
        else:
            y, kept = activate(ops, self.activation, ops.dense(x, parameters["kernel"], parameters.get("bias")))
        return Forward(y, cache=(x, kept))

    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        x, kept = cache
        kernel = parameters["kernel"]
        if self.activation == "relu":
            dx, dkernel, dbias = ops.dense_relu_backward(x, kernel, kept, dy, needs_dx=needs_dx, factored=True)
        else:
            dz = activate_backward(ops, self.activation, kept, dy)
            dx, dkernel, dbias = ops.dense_backward(x, kernel, dz, needs_dx=needs_dx, factored=True)
        return Backward([dx], {"kernel": dkernel} | ({"bias": dbias} if self.use_bias else {}))
