"""Pooling: one number for each window. It has no weights, and leaves less to compute for the layers after it."""

from collections.abc import Sequence
from dataclasses import dataclass

from numbacnn.layers.base import Backward, Cache, Context, Forward, Layer, Parameters, check_flag
from numbacnn.layers.conv2d import check_image
from numbacnn.ops import Ops
from numbacnn.shapes import Padding2D, Pair, Shape, Window2D, padding2d, pair, pool_window2d, window2d
from numbacnn.values import Array


@dataclass(frozen=True)
class _Pool2D(Layer):
    """The window of a max or mean pooling.

    Args:
        pool_size: height and width of the window, in cells.
        strides: step down and across, in cells; by default ``pool_size``.
        padding: ``"valid"``, ``"same"`` or ``((top, bottom), (left, right))``; padding does not enter the result.
    """

    label = "pool"

    pool_size: int | Pair = 2
    strides: int | Pair | None = None
    padding: Padding2D = "valid"

    def __post_init__(self) -> None:
        object.__setattr__(self, "pool_size", pair(self.pool_size, "pool_size"))
        strides = self.pool_size if self.strides is None else self.strides
        object.__setattr__(self, "strides", pair(strides, "strides"))
        object.__setattr__(self, "padding", padding2d(self.padding))

    def window(self, *inputs: Shape) -> Window2D:
        height, width, _ = check_image(inputs[0])
        assert self.strides is not None  # set in __post_init__
        return pool_window2d((height, width), pair(self.pool_size, "pool_size"), pair(self.strides, "strides"), self.padding)

    def output_shape(self, *inputs: Shape) -> Shape:
        return *self.window(*inputs).out, inputs[0][2]


@dataclass(frozen=True)
class MaxPool2D(_Pool2D):
    """The largest value under each window: (h, w, c) to (oh, ow, c). Source: the lecture's slide "Pooling Layer (2/2)"."""

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        window = self.window(inputs[0].shape[1:])
        y, winners = ops.max_pool2d(inputs[0], window)
        return Forward(y, cache=(winners, window))

    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        winners, window = cache
        return Backward([ops.max_pool2d_backward(dy, winners, window)])


@dataclass(frozen=True)
class AvgPool2D(_Pool2D):
    """The mean under each window: (h, w, c) to (oh, ow, c).

    Args:
        count_include_pad: whether padding counts, as zeros, as in PyTorch and ONNX; Keras and the default leave it out.

    Source: the lecture's slide "Pooling Layer (2/2)".
    """

    count_include_pad: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("count_include_pad", self.count_include_pad)

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        window = self.window(inputs[0].shape[1:])
        return Forward(ops.avg_pool2d(inputs[0], window, self.count_include_pad), cache=window)

    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        return Backward([ops.avg_pool2d_backward(dy, cache, self.count_include_pad)])


@dataclass(frozen=True)
class GlobalAvgPool2D(Layer):
    """The mean of each feature map: (h, w, c) to (c,). Source: Lin et al. 2013 (arXiv:1312.4400), section 3.2."""

    label = "pool"

    def window(self, *inputs: Shape) -> Window2D:
        height, width, _ = check_image(inputs[0])
        return window2d((height, width), (height, width), (1, 1), "valid")

    def output_shape(self, *inputs: Shape) -> Shape:
        return (check_image(inputs[0])[2],)

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        window = self.window(inputs[0].shape[1:])
        y = ops.avg_pool2d(inputs[0], window)
        return Forward(y.reshape(y.shape[0], y.shape[3]), cache=window)

    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        return Backward([ops.avg_pool2d_backward(dy.reshape(dy.shape[0], 1, 1, dy.shape[1]), cache)])
