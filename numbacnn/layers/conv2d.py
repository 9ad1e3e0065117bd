"""Convolution: a bank of filters slides over an image, and each filter makes a feature map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numbacnn.errors import ModelError, ShapeError
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
from numbacnn.shapes import Padding2D, Pair, Shape, Window2D, cells, is_standard, padding2d, pair, window2d
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
        dilation_rate: distance between neighbouring cells of a filter, down and across; 1 leaves no gaps.
        groups: number of groups into which channels and filters are divided, in order; a filter sees its own group of channels.

    Source: the lecture's slides "Convolutional Layer (4/4)", "Padding", "Stride" and "Stacking Multiple Feature Maps". Dilation: Yu &
    Koltun 2016 (arXiv:1511.07122); groups: Krizhevsky et al. 2012, section 3.5.
    """

    label = "conv"

    filters: int
    kernel_size: int | Pair
    strides: int | Pair = 1
    padding: Padding2D = "valid"
    activation: str | None = None
    use_bias: bool = True
    kernel_initializer: str = "glorot_uniform"
    dilation_rate: int | Pair = 1
    groups: int = 1

    def __post_init__(self) -> None:
        check_positive("filters", self.filters)
        object.__setattr__(self, "kernel_size", pair(self.kernel_size, "kernel_size"))
        object.__setattr__(self, "strides", pair(self.strides, "strides"))
        object.__setattr__(self, "padding", padding2d(self.padding))
        check_activation(self.activation)
        check_flag("use_bias", self.use_bias)
        check_choice("kernel_initializer", self.kernel_initializer, tuple(INITIALIZERS))
        object.__setattr__(self, "dilation_rate", pair(self.dilation_rate, "dilation_rate"))
        check_positive("groups", self.groups)
        if self.filters % self.groups:
            raise ModelError(f"groups: expected a number that divides the {self.filters} filters, got {self.groups}")

    def window(self, *inputs: Shape) -> Window2D:
        height, width, _ = check_image(inputs[0])
        return sliding_window(self, height, width)

    def output_shape(self, *inputs: Shape) -> Shape:
        out, channels = self.window(*inputs).out, inputs[0][2]
        if channels % self.groups:
            raise ShapeError(
                f"groups: expected a number that divides the {channels} channels of the input, got {self.groups}. "
                "Use another number of groups, or of filters in the layer before"
            )
        return *out, self.filters

    def is_standard(self, *inputs: Shape) -> bool:
        """Whether the filters have no gaps and see all channels, so that fast algorithms apply."""
        return is_standard(self.window(*inputs), inputs[0][2], self._kernel_shape(inputs[0][2]))

    def _kernel_shape(self, channels: int) -> Shape:
        return *pair(self.kernel_size, "kernel_size"), channels // self.groups, self.filters

    def parameters(self, *inputs: Shape) -> dict[str, ParameterSpec]:
        shape = self._kernel_shape(inputs[0][2])
        kh, kw, depth, _ = shape
        fan_in, fan_out = kh * kw * depth, kh * kw * (self.filters // self.groups)
        kernel = ParameterSpec(shape, self.kernel_initializer, fan_in, fan_out, can_be_prepared=self.is_standard(*inputs))
        return {"kernel": kernel} | ({"bias": ParameterSpec((self.filters,), "zeros")} if self.use_bias else {})

    def macs(self, *inputs: Shape) -> int:
        rows, columns = self.window(*inputs).out
        return rows * columns * cells(self._kernel_shape(inputs[0][2]))

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        window = self.window(inputs[0].shape[1:])
        return self.forward_block(ops, parameters, inputs[0], ConvBlock(window, self.activation == "relu", None))

    def forward_block(self, ops: Ops, parameters: Parameters, x: Array, block: ConvBlock) -> Forward:
        """The convolution together with the layers fused to it."""
        z, saved = ops.conv2d_block(x, parameters["kernel"], parameters.get("bias"), block)
        y, kept = (z, z) if block.relu else activate(ops, self.activation, z)
        return Forward(y, cache=(saved, block, kept))

    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        saved, block, kept = cache
        dz = dy if block.relu else activate_backward(ops, self.activation, kept, dy)
        dx, dkernel, dbias = ops.conv2d_block_backward(saved, parameters["kernel"], dz, block, needs_dx=needs_dx)
        return Backward([dx], {"kernel": dkernel} | ({"bias": dbias} if self.use_bias else {}))


def sliding_window(layer: Any, height: int, width: int) -> Window2D:
    """The window of a convolution over images of this size, from the layer's fields."""
    kernel, strides = pair(layer.kernel_size, "kernel_size"), pair(layer.strides, "strides")
    return window2d((height, width), kernel, strides, layer.padding, pair(layer.dilation_rate, "dilation_rate"))


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
