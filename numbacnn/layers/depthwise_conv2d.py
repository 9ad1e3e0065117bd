"""Depthwise convolution: each channel has filters of its own. With a 1x1 convolution after it, it makes MobileNet's block."""

from collections.abc import Sequence
from dataclasses import dataclass

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
from numbacnn.layers.conv2d import check_image, sliding_window
from numbacnn.layers.initialization import INITIALIZERS
from numbacnn.ops import Ops
from numbacnn.shapes import Padding2D, Pair, Shape, Window2D, padding2d, pair
from numbacnn.values import Array, ConvBlock


@dataclass(frozen=True)
class DepthwiseConv2D(Layer):
    """A depthwise convolutional layer: (h, w, c) to (oh, ow, c * depth_multiplier).

    Feature map c*m + k is that of filter k of channel c, where m is ``depth_multiplier``. So it equals
    ``Conv2D(filters=c*m, groups=c)``, whose number of groups would have to be known.

    Args:
        kernel_size: height and width of a filter, in cells; one number for a square.
        strides: step down and across, in cells.
        padding: ``"valid"`` (none), ``"same"`` (TensorFlow's rule) or ``((top, bottom), (left, right))`` zeros.
        depth_multiplier: number of filters of each channel.
        activation: None, or one of ``ACTIVATIONS``.
        use_bias: whether to add one number per feature map.
        dilation_rate: distance between neighbouring cells of a filter, down and across; 1 leaves no gaps.
        kernel_initializer: distribution of the initial filters; see ``INITIALIZERS``.

    Source: Howard et al. 2017, "MobileNets" (arXiv:1704.04861), section 3.1; names and the kernel's shape (kh, kw, c, m) as in Keras.
    """

    label = "conv"

    kernel_size: int | Pair
    strides: int | Pair = 1
    padding: Padding2D = "valid"
    depth_multiplier: int = 1
    activation: str | None = None
    use_bias: bool = True
    dilation_rate: int | Pair = 1
    kernel_initializer: str = "glorot_uniform"

    def __post_init__(self) -> None:
        for field in ("kernel_size", "strides", "dilation_rate"):
            object.__setattr__(self, field, pair(getattr(self, field), field))
        object.__setattr__(self, "padding", padding2d(self.padding))
        check_positive("depth_multiplier", self.depth_multiplier)
        check_activation(self.activation)
        check_flag("use_bias", self.use_bias)
        check_choice("kernel_initializer", self.kernel_initializer, tuple(INITIALIZERS))

    def window(self, *inputs: Shape) -> Window2D:
        height, width, _ = check_image(inputs[0])
        return sliding_window(self, height, width)

    def output_shape(self, *inputs: Shape) -> Shape:
        return *self.window(*inputs).out, inputs[0][2] * self.depth_multiplier

    def parameters(self, *inputs: Shape) -> dict[str, ParameterSpec]:
        (kh, kw), channels, multiplier = pair(self.kernel_size, "kernel_size"), inputs[0][2], self.depth_multiplier
        kernel = ParameterSpec((kh, kw, channels, multiplier), self.kernel_initializer, kh * kw, kh * kw * multiplier)
        return {"kernel": kernel} | ({"bias": ParameterSpec((channels * multiplier,), "zeros")} if self.use_bias else {})

    def macs(self, *inputs: Shape) -> int:
        rows, columns, maps = self.output_shape(*inputs)
        kh, kw = pair(self.kernel_size, "kernel_size")
        return rows * columns * maps * kh * kw

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        (x,) = inputs
        block = ConvBlock(self.window(x.shape[1:]), self.activation == "relu", None)
        z, saved = ops.conv2d_block(x, _filters(parameters), parameters.get("bias"), block)
        y, kept = (z, z) if block.relu else activate(ops, self.activation, z)
        return Forward(y, cache=(saved, block, kept))

    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        saved, block, kept = cache
        dz = dy if block.relu else activate_backward(ops, self.activation, kept, dy)
        dx, dkernel, dbias = ops.conv2d_block_backward(saved, _filters(parameters), dz, block, needs_dx=needs_dx)
        return Backward(
            [dx], {"kernel": dkernel.reshape(parameters["kernel"].shape)} | ({"bias": dbias} if self.use_bias else {})
        )


def _filters(parameters: Parameters) -> Array:
    """The kernel as ``Ops.conv2d`` takes it: (kh, kw, 1, c*m), in as many groups as there are channels."""
    kh, kw, channels, multiplier = parameters["kernel"].shape
    return parameters["kernel"].reshape(kh, kw, 1, channels * multiplier)
