"""The CPU device: the readable kernels, and in float32 faster ones for the ops that dominate a training step."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np

from numbacnn.backends.cpu.conv import depthwise, direct, frequency, winograd
from numbacnn.backends.cpu.conv.algorithm import choose_algorithm, is_depthwise
from numbacnn.backends.cpu.conv.pooling import can_fuse
from numbacnn.backends.cpu.plain.ops import PlainOps, is_finite
from numbacnn.backends.cpu.plain.reduction import sum_rows
from numbacnn.backends.cpu.products import dense
from numbacnn.backends.cpu.products.prepared import PreparedWeights
from numbacnn.backends.fused_pool import pool_geometry
from numbacnn.backends.pace import MeasuredPace, Times, ways
from numbacnn.backends.places import Places
from numbacnn.ops import Pace
from numbacnn.ranks import whole
from numbacnn.shapes import Window2D, is_standard
from numbacnn.values import Array, ConvBlock, FactoredGradient, FiniteLossCheck, Rule

ALGORITHMS = {"direct": direct, "frequency": frequency, "winograd": winograd}
"""Modules of one shape: ``conv2d`` and ``conv2d_backward``, for a ``Share`` of a batch."""


class ConvCache(NamedTuple):
    """The algorithm, input and output of a convolution, and the arrays that the algorithm saves for its gradient."""

    algorithm: str
    x: Array
    y: Array
    saved: Any


class CpuOps(PlainOps):
    """``PlainOps`` with faster kernels for float32: products of tiles, transforms for convolutions, and fused layers."""

    can_warm_up_in_parts = True

    def __init__(self, exact_conv: bool = False, adapts: bool = False):
        self.exact_conv, self._adapts = exact_conv, adapts
        self.times = Times()  # of all paces

    def new_pace(self) -> Pace:
        threads = numba.get_num_threads()
        places = Places(threads)
        if not self._adapts:
            return MeasuredPace([threads], places, self.times)
        return MeasuredPace(ways(threads), places, self.times)

    def thread_shares(self) -> dict[int, float]:
        return self.times.shares()

    def prepare_weights(self, weights: Array) -> Any:
        return PreparedWeights(weights) if weights.dtype == np.float32 else weights

    def to_host(self, x: Array | FactoredGradient) -> Any:
        return dense.weight_gradient(*x) if isinstance(x, FactoredGradient) else x

    @staticmethod
    def can_fuse(pool: Window2D) -> bool:
        return can_fuse(pool)

    def conv2d(self, x: Array, kernel: Array, bias: Array | None, window: Window2D) -> Array:
        if x.dtype == np.float32 and is_depthwise(x.shape[3], kernel.shape):
            return depthwise.conv2d(x, kernel, bias, window)
        return super().conv2d(x, kernel, bias, window)

    def conv2d_backward(
        self, x: Array, kernel: Array, dy: Array, window: Window2D, *, needs_dx: bool = True
    ) -> tuple[Array | None, Array, Array]:
        if x.dtype == np.float32 and is_depthwise(x.shape[3], kernel.shape):
            return depthwise.conv2d_backward(x, kernel, dy, window, needs_dx, self.ranks.share(len(x)))
        return super().conv2d_backward(x, kernel, dy, window, needs_dx=needs_dx)

    def conv2d_block(self, x: Array, kernel: Array, bias: Array | None, block: ConvBlock) -> tuple[Array, Any]:
        if x.dtype != np.float32:
            return super().conv2d_block(x, kernel, bias, block)
        if not is_standard(block.window, x.shape[3], kernel.shape):
            return super().conv2d_block(x, kernel, bias, block)
        assert block.pool is None or can_fuse(block.pool), "a plan fuses no other pooling"
        bias = np.zeros(kernel.shape[3], np.float32) if bias is None else bias
        share, pool = self.ranks.share(len(x)), pool_geometry(block.window, block.pool)
        algorithm = self._algorithm(share.batch, kernel, block.window)
        y, saved = ALGORITHMS[algorithm].conv2d(x, kernel, bias, block.window, pool, block.relu, share)
        return y, ConvCache(algorithm, x, y, saved)

    def conv2d_block_backward(
        self, saved: Any, kernel: Array, dy: Array, block: ConvBlock, *, needs_dx: bool = True
    ) -> tuple[Array | None, Array, Array]:
        if not isinstance(saved, ConvCache):
            return super().conv2d_block_backward(saved, kernel, dy, block, needs_dx=needs_dx)
        algorithm, x, y, saved = saved
        share, pool = self.ranks.share(len(x)), pool_geometry(block.window, block.pool)
        return ALGORITHMS[algorithm].conv2d_backward(x, kernel, y, saved, dy, block.window, pool, block.relu, needs_dx, share)

    def _algorithm(self, batch: int, kernel: Array, window: Window2D) -> str:
        """The algorithm for a convolution of a batch: a function of shapes alone, so that the same seed gives the same bits."""
        if self.exact_conv:
            return "direct"
        is_prepared = isinstance(kernel, PreparedWeights)
        return choose_algorithm(batch, window, kernel.shape[2], kernel.shape[3], is_prepared).algorithm

    def dense(self, x: Array, kernel: Array, bias: Array | None, *, relu: bool = False) -> Array:
        if x.dtype != np.float32:
            return super().dense(x, kernel, bias, relu=relu)
        return dense.dense(x, kernel, np.zeros(kernel.shape[1], np.float32) if bias is None else bias, relu)

    def dense_backward(
        self, x: Array, kernel: Array, dy: Array, *, needs_dx: bool = True, factored: bool = False
    ) -> tuple[Array | None, Array | FactoredGradient, Array]:
        if x.dtype != np.float32:
            return super().dense_backward(x, kernel, dy, needs_dx=needs_dx)
        share = self.ranks.share(len(x))
        dx = dense.input_gradient(dy, kernel) if needs_dx else None
        gradient = FactoredGradient(share.gather(x), share.gather(dy))  # its sum over the batch goes image by image
        return dx, gradient if factored else self.to_host(gradient), sum_rows(gradient.dy, whole(share.batch))

    def update(
        self,
        parameter: Array,
        slots: Sequence[Array],
        gradient: Array | FactoredGradient,
        rule: Rule,
        check: FiniteLossCheck | None = None,
    ) -> None:
        rows = self.ranks.rows(parameter)
        parameter, slots = parameter[rows], [slot[rows] for slot in slots]
        if not isinstance(gradient, FactoredGradient):
            super().update(parameter, slots, gradient[rows], rule, check)
        elif is_finite(check):
            dense.update(parameter, slots, *gradient, rule, rows.start or 0)
