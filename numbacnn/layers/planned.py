"""Layers of a plan: a graph's layers with their geometry computed in advance. No graph and no file holds one."""

from collections.abc import Sequence
from dataclasses import dataclass

from numbacnn.layers.base import Backward, Cache, Context, Forward, Layer, Parameters, ParameterSpec
from numbacnn.layers.conv2d import Conv2D
from numbacnn.layers.pooling import MaxPool2D
from numbacnn.ops import Ops
from numbacnn.shapes import Shape
from numbacnn.values import Array, ConvBlock


@dataclass(frozen=True)
class PlannedConv2D(Layer):
    """A convolution, fused with the max pooling after it where the device can fuse the two.

    Args:
        pool: the max pooling, or None.
        block: the geometry of both, computed once: it takes longer than a small convolution.
    """

    label = "conv"

    conv: Conv2D
    pool: MaxPool2D | None
    block: ConvBlock

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = self.conv.output_shape(*inputs)
        return self.pool.output_shape(shape) if self.pool else shape

    def parameters(self, *inputs: Shape) -> dict[str, ParameterSpec]:
        return self.conv.parameters(*inputs)

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        return self.conv.forward_block(ops, parameters, inputs[0], self.block)

    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        return self.conv.backward(ops, parameters, cache, dy, needs_dx)
