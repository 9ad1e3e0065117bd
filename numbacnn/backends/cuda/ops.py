"""The CUDA device: arrays in the GPU's memory and the kernels of this folder."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from numbacnn.backends.cuda import memory
from numbacnn.backends.cuda._jit import SIMULATED, gpu
from numbacnn.backends.cuda.exchange import GpuShare, part_of
from numbacnn.backends.cuda.memory import arena
from numbacnn.backends.cuda.plain import (
    activations,
    augment,
    batch_norm,
    conv2d,
    dropout,
    elementwise,
    loss,
    pool2d,
    updates,
)
from numbacnn.backends.cuda.plain.reduction import sum_pixels, total_of
from numbacnn.backends.cuda.tiled import conv2d as tiled_conv2d
from numbacnn.backends.cuda.tiled import dense
from numbacnn.backends.cuda.tiled import pooling as fused_pooling
from numbacnn.backends.cuda.tiled.masked import relu_backward_and_sums
from numbacnn.backends.cuda.tiled.tf32 import check_capability
from numbacnn.backends.precisions import FLOAT32, TF32
from numbacnn.ops import NEGATIVE_SLOPE, Ops
from numbacnn.shapes import Window2D, is_standard
from numbacnn.values import (
    Array,
    Augmentation,
    AugmentKey,
    ConvBlock,
    DropoutKey,
    EpochLosses,
    FactoredGradient,
    FiniteLossCheck,
    Rule,
    Update,
)


class CudaOps(Ops):
    """Every op on one GPU."""

    name = "cuda"
    asynchronous = True
    kernels_depend_on_batch = True
    inference_batch = 10 if SIMULATED else 1000

    def __init__(self, precision: str = FLOAT32):
        """``precision``: of the products that tiles compute, see ``PRECISIONS``."""
        if precision == TF32:
            check_capability()
        self.precision = precision

    def _share(self, x: Array) -> GpuShare:
        return GpuShare(self.ranks.share(len(x)))

    def reuse_memory(self) -> AbstractContextManager[None]:
        return arena.reused()

    def release_memory(self) -> None:
        arena.forget()

    def describe(self) -> str:
        return f"cuda ({gpu().name}{', TF32' if self.precision == TF32 else ''})"

    def asarray(self, host: Any) -> Array:
        return memory.to_device(host)

    def to_host(self, x: Array | FactoredGradient) -> Any:
        return memory.to_host(dense.weight_gradient(*x, self.precision) if isinstance(x, FactoredGradient) else x)

    def zeros_like(self, x: Array) -> Array:
        return memory.to_device(np.zeros(tuple(x.shape), x.dtype))

    def gather_images(self, images: Array, indices: Array, scale: float) -> Array:
        return elementwise.gather_images(images, indices, scale)

    def augment(self, x: Array, amounts: Augmentation, key: AugmentKey) -> Array:
        return augment.augment(x, amounts, key)

    def conv2d(self, x: Array, kernel: Array, bias: Array | None, window: Window2D) -> Array:
        return conv2d.conv2d(x, kernel, bias, window)

    def conv2d_backward(
        self, x: Array, kernel: Array, dy: Array, window: Window2D, *, needs_dx: bool = True
    ) -> tuple[Array | None, Array, Array]:
        return conv2d.conv2d_backward(x, kernel, dy, window, needs_dx, self._share(x))

    def max_pool2d(self, x: Array, window: Window2D) -> tuple[Array, Array]:
        return pool2d.max_pool2d(x, *window)

    def max_pool2d_backward(self, dy: Array, winners: Array, window: Window2D) -> Array:
        return pool2d.max_pool2d_backward(dy, winners, *window)

    def avg_pool2d(self, x: Array, window: Window2D, count_padding: bool = False) -> Array:
        return pool2d.avg_pool2d(x, *window, count_padding)

    def avg_pool2d_backward(self, dy: Array, window: Window2D, count_padding: bool = False) -> Array:
        return pool2d.avg_pool2d_backward(dy, *window, count_padding)

    @staticmethod
    def can_fuse(pool: Window2D) -> bool:
        return fused_pooling.can_fuse(pool)

    def conv2d_block(self, x: Array, kernel: Array, bias: Array | None, block: ConvBlock) -> tuple[Array, Any]:
        if not is_standard(block.window, x.shape[3], kernel.shape):
            return super().conv2d_block(x, kernel, bias, block)
        y, winners = tiled_conv2d.conv2d(x, kernel, bias, block.window, block.relu, block.pool, self.precision)
        return y, (x, y, winners)

    def conv2d_block_backward(
        self, saved: Any, kernel: Array, dy: Array, block: ConvBlock, *, needs_dx: bool = True
    ) -> tuple[Array | None, Array, Array]:
        x, y, winners = saved
        if not is_standard(block.window, x.shape[3], kernel.shape):
            return super().conv2d_block_backward(saved, kernel, dy, block, needs_dx=needs_dx)
        if block.pool is not None:
            dz, sums = fused_pooling.max_pool_relu_backward(y, dy, winners, block.window, block.pool, block.relu)
        else:
            dz, sums = relu_backward_and_sums(y, dy) if block.relu else (dy, None)
        return tiled_conv2d.conv2d_backward(x, kernel, dz, block.window, needs_dx, self._share(x), self.precision, sums)

    def dense(self, x: Array, kernel: Array, bias: Array | None, *, relu: bool = False) -> Array:
        return dense.dense(x, kernel, bias, relu, self.precision)

    def dense_backward(
        self, x: Array, kernel: Array, dy: Array, *, needs_dx: bool = True, factored: bool = False
    ) -> tuple[Array | None, Array | FactoredGradient, Array]:
        return self._dense_backward(x, kernel, dy, None, needs_dx, factored)

    def dense_relu_backward(
        self, x: Array, kernel: Array, y: Array, dy: Array, *, needs_dx: bool = True, factored: bool = False
    ) -> tuple[Array | None, Array | FactoredGradient, Array]:
        dz, sums = relu_backward_and_sums(y, dy)
        return self._dense_backward(x, kernel, dz, sums, needs_dx, factored)

    def _dense_backward(
        self, x: Array, kernel: Array, dy: Array, sums: Array | None, needs_dx: bool, factored: bool
    ) -> tuple[Array | None, Array | FactoredGradient, Array]:
        """With the partial sums of dy over the batch, if they are known."""
        share = self._share(x)
        dx = dense.input_gradient(dy, kernel, self.precision) if needs_dx else None
        if sums is not None and share.is_whole:
            dbias = total_of(sums)
        else:
            dbias = share.total(lambda branch: sum_pixels(part_of(dy, branch)))
        x, dy = share.gather(x), share.gather(dy)
        return dx, FactoredGradient(x, dy) if factored else dense.weight_gradient(x, dy, self.precision), dbias

    def add(self, a: Array, b: Array) -> Array:
        return elementwise.add(a, b)

    def concatenate(self, parts: Sequence[Array]) -> Array:
        return elementwise.concatenate(parts)

    def split(self, x: Array, sizes: Sequence[int]) -> list[Array]:
        return elementwise.split(x, sizes)

    def relu(self, x: Array) -> Array:
        return activations.relu(x)

    def relu_backward(self, y: Array, dy: Array) -> Array:
        return activations.relu_backward(y, dy)

    def leaky_relu(self, x: Array, negative_slope: float = NEGATIVE_SLOPE) -> Array:
        return activations.leaky_relu(x, negative_slope)

    def leaky_relu_backward(self, y: Array, dy: Array, negative_slope: float = NEGATIVE_SLOPE) -> Array:
        return activations.leaky_relu_backward(y, dy, negative_slope)

    def relu6(self, x: Array) -> Array:
        return activations.relu6(x)

    def relu6_backward(self, y: Array, dy: Array) -> Array:
        return activations.relu6_backward(y, dy)

    def elu(self, x: Array) -> Array:
        return activations.elu(x)

    def elu_backward(self, y: Array, dy: Array) -> Array:
        return activations.elu_backward(y, dy)

    def hard_sigmoid(self, x: Array) -> Array:
        return activations.hard_sigmoid(x)

    def hard_sigmoid_backward(self, y: Array, dy: Array) -> Array:
        return activations.hard_sigmoid_backward(y, dy)

    def silu(self, x: Array) -> Array:
        return activations.silu(x)

    def silu_backward(self, x: Array, dy: Array) -> Array:
        return activations.silu_backward(x, dy)

    def hard_swish(self, x: Array) -> Array:
        return activations.hard_swish(x)

    def hard_swish_backward(self, x: Array, dy: Array) -> Array:
        return activations.hard_swish_backward(x, dy)

    def sigmoid(self, x: Array) -> Array:
        return activations.sigmoid(x)

    def sigmoid_backward(self, y: Array, dy: Array) -> Array:
        return activations.sigmoid_backward(y, dy)

    def tanh(self, x: Array) -> Array:
        return activations.tanh(x)

    def tanh_backward(self, y: Array, dy: Array) -> Array:
        return activations.tanh_backward(y, dy)

    def softmax(self, x: Array) -> Array:
        return activations.softmax(x)

    def softmax_backward(self, y: Array, dy: Array) -> Array:
        return activations.softmax_backward(y, dy)

    def dropout(self, x: Array, rate: float, key: DropoutKey) -> Array:
        return dropout.dropout(x, float(rate), key)

    def batch_norm(self, x: Array, gamma: Array | None, beta: Array | None, epsilon: float) -> tuple[Array, Array, Array]:
        return batch_norm.batch_norm(x, gamma, beta, epsilon, self._share(x))

    def batch_norm_inference(
        self, x: Array, gamma: Array | None, beta: Array | None, mean: Array, variance: Array, epsilon: float
    ) -> Array:
        return batch_norm.batch_norm_inference(x, gamma, beta, mean, variance, epsilon)

    def batch_norm_backward(
        self, x: Array, gamma: Array | None, mean: Array, variance: Array, epsilon: float, dy: Array
    ) -> tuple[Array, Array, Array]:
        return batch_norm.batch_norm_backward(x, gamma, mean, variance, epsilon, dy, self._share(x))

    def softmax_cross_entropy(self, logits: Array, labels: Array) -> tuple[Array, Array, Array]:
        return loss.softmax_cross_entropy(logits, labels, self._share(logits).batch)

    def new_epoch_losses(self, steps: int) -> EpochLosses:
        return EpochLosses(memory.to_device(np.zeros(steps, np.float32)), memory.to_device(np.zeros(steps, np.int32)))

    def record_step(self, epoch: EpochLosses, step: int, losses: Array, correct: Array) -> FiniteLossCheck:
        return loss.record_step(epoch, step, losses, correct)

    def update(
        self,
        parameter: Array,
        slots: Sequence[Array],
        gradient: Array | FactoredGradient,
        rule: Rule,
        check: FiniteLossCheck | None = None,
    ) -> None:
        if isinstance(gradient, FactoredGradient):
            dense.update(parameter, slots, *gradient, rule, check, self.precision)
        else:
            updates.update_all([Update(parameter, slots, gradient)], rule, check)

    def update_all(self, changes: Sequence[Update], rule: Rule, check: FiniteLossCheck | None = None) -> None:
        together = []
        for change in changes:
            if isinstance(change.gradient, FactoredGradient):
                self.update(*change, rule, check)
            else:
                together.append(change)
        updates.update_all(together, rule, check)

    def moving_average_update(self, average: Array, value: Array, momentum: float, check: FiniteLossCheck | None = None) -> None:
        updates.moving_average_update(average, value, momentum, check)
