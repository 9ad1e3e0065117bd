"""The CPU device: NumPy arrays and the kernels of this folder."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numba
import numpy as np

from numbacnn.backends.cpu import (
    activations,
    augment,
    batch_norm,
    conv2d,
    conv2d_tiled,
    dense,
    dense_tiled,
    dropout,
    elementwise,
    frequency,
    pool2d,
    updates,
    winograd,
)
from numbacnn.backends.cpu import softmax_cross_entropy as loss
from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.choice import choose
from numbacnn.backends.cpu.frozen import Frozen
from numbacnn.backends.cpu.pooled import can_be_fused
from numbacnn.backends.cpu.vectors import LANES
from numbacnn.backends.pooling import pool_of
from numbacnn.ops import Array, Augmentation, AugmentKey, ConvBlock, DropoutKey, Guard, Ops, Product, Tally
from numbacnn.shapes import Window2D

ALGORITHMS = {"direct": conv2d_tiled, "frequency": frequency, "winograd": winograd}
"""Modules of one shape: ``conv2d`` and ``conv2d_backward``."""


class CpuOps(Ops):
    """Every op on the CPU, on as many threads as Numba was given."""

    name = "cpu"
    can_rehearse_in_parts = True

    def __init__(self, exact_conv: bool = False):
        self.exact_conv = exact_conv

    def step(self) -> AbstractContextManager[None]:
        return arena.reused()

    def forget_steps(self) -> None:
        arena.forget()

    def describe(self) -> str:
        return f"cpu with {numba.get_num_threads()} thread(s)"

    def asarray(self, host: Any) -> Array:
        # Writeable too: Numba would compile every kernel once more for arrays that are not.
        is_ready = type(host) is np.ndarray and host.flags.carray
        return host if is_ready else np.require(host, requirements=("C", "A", "W"))

    def freeze(self, weights: Array) -> Any:
        return Frozen(weights) if weights.dtype == np.float32 else weights

    def to_host(self, x: Array | Product) -> Any:
        return dense_tiled.weight_gradient(*x) if isinstance(x, Product) else x

    def zeros_like(self, x: Array) -> Array:
        return np.zeros_like(x)

    def gather_images(self, images: Array, indices: Array, scale: float) -> Array:
        return elementwise.gather_images(images, indices, scale)

    def augment(self, x: Array, amounts: Augmentation, key: AugmentKey) -> Array:
        return augment.augment(x, amounts, key)

    def conv2d(self, x: Array, kernel: Array, bias: Array | None, window: Window2D) -> Array:
        return conv2d.conv2d(x, kernel, bias, window)

    def conv2d_backward(
        self, x: Array, kernel: Array, dy: Array, window: Window2D, *, needs_dx: bool = True
    ) -> tuple[Array | None, Array, Array]:
        return conv2d.conv2d_backward(x, kernel, dy, window, needs_dx)

    def max_pool2d(self, x: Array, window: Window2D) -> tuple[Array, Array]:
        return pool2d.max_pool2d(x, *window)

    def max_pool2d_backward(self, dy: Array, winners: Array, window: Window2D) -> Array:
        return pool2d.max_pool2d_backward(dy, winners, *window)

    def avg_pool2d(self, x: Array, window: Window2D) -> Array:
        return pool2d.avg_pool2d(x, *window)

    def avg_pool2d_backward(self, dy: Array, window: Window2D) -> Array:
        return pool2d.avg_pool2d_backward(dy, *window)

    def conv2d_block(self, x: Array, kernel: Array, bias: Array | None, block: ConvBlock) -> tuple[Array, Any]:
        if x.dtype != np.float32:
            return super().conv2d_block(x, kernel, bias, block)
        if block.pool is not None and not can_be_fused(block.pool):
            y, saved = self.conv2d_block(x, kernel, bias, block._replace(pool=None))
            pooled, winners = self.max_pool2d(y, block.pool)
            return pooled, (saved, winners)
        bias = np.zeros(kernel.shape[3], np.float32) if bias is None else bias
        pool = pool_of(block.window, block.pool)
        algorithm = self._algorithm(x, kernel, block.window)
        y, saved = algorithm.conv2d(x, kernel, bias, block.window, pool, block.relu)
        return y, (algorithm, x, y, saved, pool)

    def conv2d_block_backward(
        self, saved: Any, kernel: Array, dy: Array, block: ConvBlock, *, needs_dx: bool = True
    ) -> tuple[Array | None, Array, Array]:
        if kernel.dtype != np.float32:
            return super().conv2d_block_backward(saved, kernel, dy, block, needs_dx=needs_dx)
        if block.pool is not None and not can_be_fused(block.pool):
            saved, winners = saved
            dy = self.max_pool2d_backward(dy, winners, block.pool)
            block = block._replace(pool=None)
        algorithm, x, y, saved, pool = saved
        return algorithm.conv2d_backward(x, kernel, y, saved, dy, block.window, pool, block.relu, needs_dx)

    def _algorithm(self, x: Array, kernel: Array, window: Window2D) -> Any:
        """The module that does a convolution of these shapes: by the shapes alone, so that the same seed gives the same bits."""
        if self.exact_conv:
            return conv2d_tiled
        return ALGORITHMS[choose(len(x), window, kernel.shape[2], kernel.shape[3], LANES, isinstance(kernel, Frozen)).algorithm]

    def dense(self, x: Array, kernel: Array, bias: Array | None, *, relu: bool = False) -> Array:
        bias = np.zeros(kernel.shape[1], kernel.dtype) if bias is None else bias
        if x.dtype == np.float32:
            return dense_tiled.dense(x, kernel, bias, relu)
        y = dense.dense(x, kernel, bias)
        return self.relu(y) if relu else y

    def dense_backward(
        self, x: Array, kernel: Array, dy: Array, *, needs_dx: bool = True, defer: bool = False
    ) -> tuple[Array | None, Array | Product, Array]:
        if x.dtype != np.float32:
            return dense.dense_backward(x, kernel, dy, needs_dx)
        dx = dense_tiled.input_gradient(dy, kernel) if needs_dx else None
        return dx, Product(x, dy) if defer else dense_tiled.weight_gradient(x, dy), conv2d.sum_pixels(dy)

    def add(self, a: Array, b: Array) -> Array:
        return elementwise.add(a, b)

    def concatenate(self, parts: Sequence[Array]) -> Array:
        sizes = [part.shape[-1] for part in parts]
        y = np.empty((*parts[0].shape[:-1], sum(sizes)), parts[0].dtype)
        first = 0
        for part, size in zip(parts, sizes, strict=True):
            elementwise.copy_channels(part.reshape(-1, size), 0, y.reshape(-1, sum(sizes)), first, size)
            first += size
        return y

    def split(self, x: Array, sizes: Sequence[int]) -> list[Array]:
        parts, first = [], 0
        for size in sizes:
            part = np.empty((*x.shape[:-1], size), x.dtype)
            elementwise.copy_channels(x.reshape(-1, x.shape[-1]), first, part.reshape(-1, size), 0, size)
            parts.append(part)
            first += size
        return parts

    def relu(self, x: Array) -> Array:
        return activations.relu(x)

    def relu_backward(self, y: Array, dy: Array) -> Array:
        return activations.relu_backward(y, dy)

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

    def batch_norm(self, x: Array, gamma: Array, beta: Array, epsilon: float) -> tuple[Array, Array, Array]:
        return batch_norm.batch_norm(x, gamma, beta, epsilon)

    def batch_norm_inference(self, x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: float) -> Array:
        return batch_norm.batch_norm_inference(x, gamma, beta, mean, variance, epsilon)

    def batch_norm_backward(
        self, x: Array, gamma: Array, mean: Array, variance: Array, epsilon: float, dy: Array
    ) -> tuple[Array, Array, Array]:
        return batch_norm.batch_norm_backward(x, gamma, mean, variance, epsilon, dy)

    def softmax_cross_entropy(self, logits: Array, labels: Array) -> tuple[Array, Array, Array]:
        return loss.softmax_cross_entropy(logits, labels)

    def new_tally(self, steps: int) -> Tally:
        return Tally(np.zeros(steps), np.zeros(steps, np.int64))

    def tally(self, tally: Tally, step: int, losses: Array, correct: Array) -> Guard:
        before = tally.losses[step - 1] if step else 0.0
        tally.losses[step] = np.sum(losses, dtype=np.float64) if math.isfinite(before) else math.nan
        tally.correct[step] = np.sum(correct)
        return Guard(tally.losses, step)

    def sgd_update(self, parameter: Array, gradient: Array | Product, learning_rate: float, guard: Guard | None = None) -> None:
        if _is_held_back(guard):
            return
        if isinstance(gradient, Product):
            dense_tiled.sgd_update(parameter, *gradient, learning_rate)
        else:
            updates.sgd_update(parameter.reshape(-1), gradient.reshape(-1), learning_rate)

    def momentum_update(
        self,
        parameter: Array,
        velocity: Array,
        gradient: Array | Product,
        learning_rate: float,
        momentum: float,
        guard: Guard | None = None,
    ) -> None:
        if _is_held_back(guard):
            return
        if isinstance(gradient, Product):
            dense_tiled.momentum_update(parameter, velocity, *gradient, learning_rate, momentum)
        else:
            updates.momentum_update(parameter.reshape(-1), velocity.reshape(-1), gradient.reshape(-1), learning_rate, momentum)

    def adam_update(
        self,
        parameter: Array,
        m: Array,
        v: Array,
        gradient: Array | Product,
        step_size: float,
        beta1: float,
        beta2: float,
        epsilon: float,
        guard: Guard | None = None,
    ) -> None:
        if _is_held_back(guard):
            return
        if isinstance(gradient, Product):
            dense_tiled.adam_update(parameter, m, v, *gradient, step_size, beta1, beta2, epsilon)
        else:
            flat = (array.reshape(-1) for array in (parameter, m, v, gradient))
            updates.adam_update(*flat, step_size, beta1, beta2, epsilon)

    def moving_average_update(self, average: Array, value: Array, momentum: float, guard: Guard | None = None) -> None:
        if not _is_held_back(guard):
            updates.moving_average_update(average, value, momentum)


def _is_held_back(guard: Guard | None) -> bool:
    return guard is not None and not math.isfinite(guard.losses[guard.step])
