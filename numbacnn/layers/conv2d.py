"""Convolution: a bank of filters slides over an image, and each filter makes a feature map."""

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
from numbacnn.shapes import Padding2D, Pair, Shape, Window2D, padding2d, pair, window2d
from numbacnn.values import Array, ConvBlock


@dataclass(frozen=True)
class Conv2D(Layer):
    """A convolutional layer: (h, w, c) to (oh, ow, filters).

    Args:
        filters: number of filters, and of feature maps in the output.
        kernel_size: height and width of a filter, in cells; one number for a square.
        strides: step down and across, in cells.
        padding: ``"valid"`` (none), ``"same"`` (TensorFlow's rule) or ``((top, bottom), (left, right))`` zeros.
        activation: None, or one of ``ACTIVATIONS``.
        use_bias: whether to add one number per filter.
        kernel_initializer: distribution of the initial filters; see ``INITIALIZERS``.

    Source: the lecture's slides "Convolutional Layer (4/4)", "Padding", "Stride" and "Stacking Multiple Feature Maps".
    """

    label = "conv"

    filters: int
    kernel_size: int | Pair
    strides: int | Pair = 1
    padding: Padding2D = "valid"
    activation: str | None = None
    use_bias: bool = True
    kernel_initializer: str = "glorot_uniform"

    def __post_init__(self) -> None:
        check_positive("filters", self.filters)
        object.__setattr__(self, "kernel_size", pair(self.kernel_size, "kernel_size"))
        object.__setattr__(self, "strides", pair(self.strides, "strides"))
        object.__setattr__(self, "padding", padding2d(self.padding))
        check_activation(self.activation)
        check_flag("use_bias", self.use_bias)
        check_choice("kernel_initializer", self.kernel_initializer, tuple(INITIALIZERS))

    def window(self, *inputs: Shape) -> Window2D:
        height, width, _ = check_image(inputs[0])
        return window2d((height, width), pair(self.kernel_size, "kernel_size"), pair(self.strides, "strides"), self.padding)

    def output_shape(self, *inputs: Shape) -> Shape:
        return *self.window(*inputs).out, self.filters

    def parameters(self, *inputs: Shape) -> dict[str, ParameterSpec]:
        kh, kw = pair(self.kernel_size, "kernel_size")
        channels = inputs[0][2]
        fan_in, fan_out = kh * kw * channels, kh * kw * self.filters
        kernel = ParameterSpec((kh, kw, channels, self.filters), self.kernel_initializer, fan_in, fan_out, can_be_prepared=True)
        return {"kernel": kernel} | ({"bias": ParameterSpec((self.filters,), "zeros")} if self.use_bias else {})

    def macs(self, *inputs: Shape) -> int:
        window = self.window(*inputs)
        kernel = window.rows.kernel * window.columns.kernel * inputs[0][2] * self.filters
        return window.rows.out * window.columns.out * kernel

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        window = self.window(inputs[0].shape[1:])
        return self.forward_block(ops, parameters, inputs[0], ConvBlock(window, self.activation == "relu", None))

    def forward_block(self, ops: Ops, parameters: Parameters, x: Array, block: ConvBlock) -> Forward:
        """The convolution together with the layers fused to it."""
        z, saved = ops.conv2d_block(x, parameters["kernel"], parameters.get("bias"), block)
        y = z if block.relu else activate(ops, self.activation, z)
        return Forward(y, cache=(saved, block, y))

    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        saved, block, y = cache
        dz = dy if block.relu else activate_backward(ops, self.activation, y, dy)
        dx, dkernel, dbias = ops.conv2d_block_backward(saved, parameters["kernel"], dz, block, needs_dx=needs_dx)
        return Backward([dx], {"kernel": dkernel} | ({"bias": dbias} if self.use_bias else {}))


def check_image(shape: Shape) -> tuple[int, int, int]:
    """The height, width and channels of an image.

    Raises:
        ShapeError: the shape is not an image's.
    """
    if len(shape) != 3:
        raise ShapeError(
            f"expected an image (height, width, channels) as input, got {shape}. "
            "Put this layer before Flatten and Dense, or give input_shape a channel axis, as in [28, 28, 1]"
        )
    return shape[0], shape[1], shape[2]
