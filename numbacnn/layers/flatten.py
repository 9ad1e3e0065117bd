"""Flatten: an image as a vector, the input of a dense layer."""

from collections.abc import Sequence
from dataclasses import dataclass

from numbacnn.layers.base import Backward, Cache, Context, Forward, Layer, Parameters
from numbacnn.ops import Ops
from numbacnn.shapes import Shape, cells
from numbacnn.values import Array


@dataclass(frozen=True)
class Flatten(Layer):
    """(h, w, c) to (h*w*c,): row by row, in a row cell by cell, in a cell channel by channel.

    Source: the lecture's slide "Flattening".
    """

    label = "flatten"

    def output_shape(self, *inputs: Shape) -> Shape:
        return (cells(inputs[0]),)

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        (x,) = inputs
        return Forward(x.reshape(x.shape[0], cells(x.shape[1:])), cache=x.shape)

    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        return Backward([dy.reshape(cache)])
