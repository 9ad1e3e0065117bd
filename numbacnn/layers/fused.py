"""Layers that stand for two of a graph, where a device can do both in one go. A plan makes them; no graph or file has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from numbacnn.layers.base import Cache, Context, Forward, Layer, Parameters, ParameterSpec
from numbacnn.layers.conv2d import Conv2D
from numbacnn.layers.pooling import MaxPool2D
from numbacnn.ops import Ops
from numbacnn.shapes import Shape
from numbacnn.values import Array, ConvBlock


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
        return self.conv.forward_block(ops, parameters, inputs[0], _block(self, inputs[0].shape[1:]))

    def backward(
        self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool
    ) -> tuple[list[Array | None], Parameters]:
        return self.conv.backward(ops, parameters, cache, dy, needs_dx)


@lru_cache(maxsize=256)
def _block(layer: PooledConv2D, shape: Shape) -> ConvBlock:
    conv = layer.conv
    return ConvBlock(conv.window(shape), conv.activation == "relu", layer.pool.window(conv.output_shape(shape)))
