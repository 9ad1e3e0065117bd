"""Layers that stand for two of a graph, where a device can do both in one go. A plan makes them; no graph or file has them."""

from collections.abc import Sequence
from dataclasses import dataclass

from numbacnn.layers.base import Cache, Context, Forward, Layer, Parameters, ParameterSpec
from numbacnn.layers.conv2d import Conv2D
from numbacnn.layers.pooling import MaxPool2D
from numbacnn.ops import Array, Ops
from numbacnn.shapes import Shape


@dataclass(frozen=True)
class PooledConv2D(Layer):
    """A convolution, its ReLU or nothing, and the max pooling that alone reads it."""

    label = "conv"

    conv: Conv2D
    pool: MaxPool2D

    def output_shape(self, *inputs: Shape) -> Shape:
        return self.pool.output_shape(self.conv.output_shape(*inputs))

    def parameters(self, *inputs: Shape) -> dict[str, ParameterSpec]:
        return self.conv.parameters(*inputs)

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        pool = self.pool.window(self.conv.output_shape(inputs[0].shape[1:]))
        return self.conv.forward(ops, parameters, inputs, context, pool)

    def backward(
        self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool
    ) -> tuple[list[Array | None], Parameters]:
        return self.conv.backward(ops, parameters, cache, dy, needs_dx)
