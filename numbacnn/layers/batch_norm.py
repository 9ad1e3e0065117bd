"""Batch normalisation: each channel gets mean 0 and variance 1 over the batch, then a learned scale and shift."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from numbacnn.errors import ModelError
from numbacnn.layers.base import Backward, Cache, Context, Forward, Layer, Parameters, ParameterSpec, check_flag, check_fraction
from numbacnn.ops import Ops
from numbacnn.quoting import short
from numbacnn.shapes import Shape
from numbacnn.values import Array, Moving


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Normalise each channel (last axis): in training by the batch's mean and variance, in prediction by moving averages of them.

    Args:
        momentum: share of the old moving average that each step keeps, in [0, 1).
        epsilon: added to the variance, greater than 0.
        center: whether to add a learned ``beta``; otherwise there is no such parameter.
        scale: whether to multiply by a learned ``gamma``; otherwise there is no such parameter.

    A batch must hold at least two values of each channel: two images, or one image of several pixels. Training refuses a batch size
    that gives one value. (A last, partial batch of one value is accepted; its output is ``beta``, or 0.)

    Source: Ioffe & Szegedy 2015 (arXiv:1502.03167); defaults as in Keras.
    """

    label = "norm"

    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    def __post_init__(self) -> None:
        check_fraction("momentum", self.momentum)
        is_number = isinstance(self.epsilon, (int, float)) and not isinstance(self.epsilon, bool)
        if not is_number or not 0 < self.epsilon <= sys.float_info.max:
            raise ModelError(f"epsilon: expected a number greater than 0, got {short(self.epsilon)}")
        check_flag("center", self.center)
        check_flag("scale", self.scale)

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def parameters(self, *inputs: Shape) -> dict[str, ParameterSpec]:
        channels = inputs[0][-1:]
        learned = {"gamma": ParameterSpec(channels, "ones")} if self.scale else {}
        learned |= {"beta": ParameterSpec(channels, "zeros")} if self.center else {}
        return learned | {
            "moving_mean": ParameterSpec(channels, "zeros", trainable=False),
            "moving_variance": ParameterSpec(channels, "ones", trainable=False),
        }

    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        (x,) = inputs
        gamma, beta = parameters.get("gamma"), parameters.get("beta")
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
        if cache is None:  # of a prediction: a scale and a shift, which depend on no image
            variance = parameters["moving_variance"]
            no_mean = ops.zeros_like(variance)
            return Backward([ops.batch_norm_inference(dy, parameters.get("gamma"), None, no_mean, variance, self.epsilon)])
        x, mean, variance = cache
        dx, dgamma, dbeta = ops.batch_norm_backward(x, parameters.get("gamma"), mean, variance, self.epsilon, dy)
        return Backward([dx], ({"gamma": dgamma} if self.scale else {}) | ({"beta": dbeta} if self.center else {}))
