"""Dropout: training drops a random share of the values, so that no neuron comes to rely on a single other one."""

from collections.abc import Sequence
from dataclasses import dataclass

from numbacnn.layers.base import Backward, Cache, Context, Forward, Layer, Parameters, check_fraction
from numbacnn.ops import Ops
from numbacnn.shapes import Shape
from numbacnn.values import Array


@dataclass(frozen=True)
class Dropout(Layer):
    """In training, zero a share of the values and scale the others by 1 / (1 - rate); in prediction, the identity.

    Args:
        rate: share of the values to drop, in [0, 1).

    Source: Srivastava et al. 2014 (JMLR 15); the lecture's slide "Some Improvement (4/5)".
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
        # The mask is a function of the key: with the same key, the same cells of the gradient are dropped.
        return Backward([dy if cache is None else ops.dropout(dy, self.rate, cache)])
