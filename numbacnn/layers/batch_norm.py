"""Batch normalisation: each channel is brought to mean 0 and variance 1 over the batch, then scaled and shifted by learned numbers."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from numbacnn.errors import ModelError
from numbacnn.layers.base import Backward, Cache, Context, Forward, Layer, Parameters, ParameterSpec, check_fraction
from numbacnn.ops import Ops
from numbacnn.shapes import Shape, short
from numbacnn.values import Array, Moving


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Normalise each channel (last axis): by the batch while training, by moving averages otherwise.

    Args:
        momentum: the share of the old moving average that is kept at each step, in [0, 1).
        epsilon: added to the variance, greater than 0.

    A batch must hold at least two values of each channel, as it does with two images, or one image of several pixels; training
    refuses batches of one row of features. (A last, partial batch of one image is taken: its rows all become ``beta``.)

    Source: Ioffe & Szegedy 2015 (arXiv:1502.03167); defaults as in Keras.
    """

    label = "norm"

    momentum: float = 0.99
    epsilon: float = 1e-3

    def __post_init__(self) -> None:
        check_fraction("momentum", self.momentum)
        is_number = isinstance(self.epsilon, (int, float)) and not isinstance(self.epsilon, bool)
        if not is_number or not 0 < self.epsilon <= sys.float_info.max:
            raise ModelError(f"epsilon must be a number greater than 0, got {short(self.epsilon)}")

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def parameters(self, *inputs: Shape) -> dict[str, ParameterSpec]:
        channels = inputs[0][-1:]
        return {
            "gamma": ParameterSpec(channels, "ones"),
            "beta": ParameterSpec(channels, "zeros"),
            "moving_mean": ParameterSpec(channels, "zeros", trainable=False),
            "moving_variance": ParameterSpec(channels, "ones", trainable=False),
        }

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        (x,) = inputs
        gamma, beta = parameters["gamma"], parameters["beta"]
        moving_mean, moving_variance = parameters["moving_mean"], parameters["moving_variance"]
        if not context.training:
            return Forward(ops.batch_norm_inference(x, gamma, beta, moving_mean, moving_variance, self.epsilon))
        y, mean, variance = ops.batch_norm(x, gamma, beta, self.epsilon)
        updates = {
            "moving_mean": Moving(mean, self.momentum),
            "moving_variance": Moving(variance, self.momentum),
        }
        return Forward(y, cache=(x, mean, variance), updates=updates)

    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        x, mean, variance = cache
        dx, dgamma, dbeta = ops.batch_norm_backward(x, parameters["gamma"], mean, variance, self.epsilon, dy)
        return Backward([dx], {"gamma": dgamma, "beta": dbeta})
