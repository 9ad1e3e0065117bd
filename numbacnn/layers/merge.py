"""Layers that join branches: Add (the residual connection) and Concatenate."""

from collections.abc import Sequence
from dataclasses import dataclass

from numbacnn.errors import ShapeError
from numbacnn.layers.base import Backward, Cache, Context, Forward, Layer, Parameters
from numbacnn.ops import Ops
from numbacnn.quoting import listed
from numbacnn.shapes import Shape
from numbacnn.values import Array


@dataclass(frozen=True)
class Add(Layer):
    """The sum of two or more inputs of one shape. Source: He et al. 2015 (arXiv:1512.03385)."""

    label = "add"
    inputs_taken = (2, None)

    def output_shape(self, *inputs: Shape) -> Shape:
        if any(shape != inputs[0] for shape in inputs):
            raise ShapeError(
                f"expected inputs of one shape, got {listed(inputs)}. "
                "Give the branches equal filters and strides, or put a Conv2D with kernel_size=1 on the shorter one"
            )
        return inputs[0]

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        y = inputs[0]
        for other in inputs[1:]:
            y = ops.add(y, other)
        return Forward(y, cache=len(inputs))

    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        return Backward([dy] * cache)


@dataclass(frozen=True)
class Concatenate(Layer):
    """The inputs side by side along the channels: (h, w, a) and (h, w, b) to (h, w, a+b)."""

    label = "concat"
    inputs_taken = (2, None)

    def output_shape(self, *inputs: Shape) -> Shape:
        if any(shape[:-1] != inputs[0][:-1] for shape in inputs):
            raise ShapeError(
                f"expected inputs of one height and width, got {listed(inputs)}. "
                "Give the branches equal strides and padding='same', or pool the larger one"
            )
        return *inputs[0][:-1], sum(shape[-1] for shape in inputs)

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        return Forward(ops.concatenate(inputs), cache=[x.shape[-1] for x in inputs])

    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        return Backward(list(ops.split(dy, cache)))
