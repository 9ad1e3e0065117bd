"""Dropout: while training, a random share of the values is dropped, so that no neuron can lean on a single other one."""

from collections.abc import Sequence
from dataclasses import dataclass

from numbacnn.layers.base import Backward, Cache, Context, Forward, Layer, Parameters, check_fraction
from numbacnn.ops import Ops
from numbacnn.shapes import Shape
from numbacnn.values import Array


@dataclass(frozen=True)
class Dropout(Layer):
    """Zero a share of the values while training, and scale the others so that the sum stays; else the identity.

    Args:
        rate: the share dropped, in [0, 1).

    Source: Srivastava et al. 2014 (JMLR 15); the lecture's slide "Dropout".
    """

    label = "dropout"

    rate: float

    def __post_init__(self) -> None:
        check_fraction("rate", self.rate)

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        if not context.training or self.rate == 0:
            return Forward(inputs[0])
        return Forward(ops.dropout(inputs[0], self.rate, context.dropout), cache=context.dropout)

    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        # The mask is a function of the key, so the same call drops the same cells of the gradient.
        return Backward([dy if cache is None else ops.dropout(dy, self.rate, cache)])
