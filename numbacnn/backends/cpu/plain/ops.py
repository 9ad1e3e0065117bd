"""The CPU device in its readable form: one kernel for each op, in float32 and float64."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numba
import numpy as np

from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.plain import (
    activations,
    augment,
    batch_norm,
    conv2d,
    dense,
    dropout,
    elementwise,
    loss,
    pool2d,
    updates,
)
from numbacnn.ops import NEGATIVE_SLOPE, Ops
from numbacnn.quoting import counted
from numbacnn.shapes import Window2D
from numbacnn.values import (
    Array,
    Augmentation,
    AugmentKey,
    DropoutKey,
    EpochLosses,
    FactoredGradient,
    FiniteLossCheck,
    Rule,
)


class PlainOps(Ops):
    """Every op by its readable kernel, on as many threads as Numba was given; the faster ``CpuOps`` is checked against it."""

    name = "cpu"

    def reuse_memory(self) -> AbstractContextManager[None]:
        return arena.reused()

    def release_memory(self) -> None:
        arena.forget()

    def held_memory(self) -> int | None:
        return arena.size

    def describe(self) -> str:
        return f"cpu with {counted(numba.get_num_threads(), 'thread')}"

    def asarray(self, host: Any) -> Array:
        # Writeable too: Numba would compile every kernel once more for arrays that are not.
        is_ready = type(host) is np.ndarray and host.flags.carray
        return host if is_ready else np.require(host, requirements=("C", "A", "W"))

    def to_host(self, x: Array | FactoredGradient) -> Any:
        return x

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
        return conv2d.conv2d_backward(x, kernel, dy, window, needs_dx, self.ranks.share(len(x)))

    def max_pool2d(self, x: Array, window: Window2D) -> tuple[Array, Array]:
        return pool2d.max_pool2d(x, *window)

    def max_pool2d_backward(self, dy: Array, winners: Array, window: Window2D) -> Array:
        return pool2d.max_pool2d_backward(dy, winners, *window)

    def avg_pool2d(self, x: Array, window: Window2D, count_padding: bool = False) -> Array:
        return pool2d.avg_pool2d(x, *window, count_padding)

    def avg_pool2d_backward(self, dy: Array, window: Window2D, count_padding: bool = False) -> Array:
        return pool2d.avg_pool2d_backward(dy, *window, count_padding)

    def dense(self, x: Array, kernel: Array, bias: Array | None, *, relu: bool = False) -> Array:
        y = dense.dense(x, kernel, np.zeros(kernel.shape[1], kernel.dtype) if bias is None else bias)
        return self.relu(y) if relu else y

    def dense_backward(
        self, x: Array, kernel: Array, dy: Array, *, needs_dx: bool = True, factored: bool = False
    ) -> tuple[Array | None, Array | FactoredGradient, Array]:
        return dense.dense_backward(x, kernel, dy, needs_dx, self.ranks.share(len(x)))

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
        return batch_norm.batch_norm(x, gamma, beta, epsilon, self.ranks.share(len(x)))

    def batch_norm_inference(
        self, x: Array, gamma: Array | None, beta: Array | None, mean: Array, variance: Array, epsilon: float
    ) -> Array:
        return batch_norm.batch_norm_inference(x, gamma, beta, mean, variance, epsilon)

    def batch_norm_backward(
        self, x: Array, gamma: Array | None, mean: Array, variance: Array, epsilon: float, dy: Array
    ) -> tuple[Array, Array, Array]:
        return batch_norm.batch_norm_backward(x, gamma, mean, variance, epsilon, dy, self.ranks.share(len(x)))

    def softmax_cross_entropy(self, logits: Array, labels: Array) -> tuple[Array, Array, Array]:
        return loss.softmax_cross_entropy(logits, labels, self.ranks.share(len(logits)).batch)

    def new_epoch_losses(self, steps: int) -> EpochLosses:
        return EpochLosses(np.zeros(steps), np.zeros(steps, np.int64))

    def record_step(self, epoch: EpochLosses, step: int, losses: Array, correct: Array) -> FiniteLossCheck:
        before = epoch.losses[step - 1] if step else 0.0
        epoch.losses[step] = np.sum(losses, dtype=np.float64) if math.isfinite(before) else math.nan
        epoch.correct[step] = np.sum(correct)
        return FiniteLossCheck(epoch.losses, step)

    def update(
        self,
        parameter: Array,
        slots: Sequence[Array],
        gradient: Array | FactoredGradient,
        rule: Rule,
        check: FiniteLossCheck | None = None,
    ) -> None:
        if is_finite(check):
            updates.update(parameter, slots, gradient, rule)

    def moving_average_update(self, average: Array, value: Array, momentum: float, check: FiniteLossCheck | None = None) -> None:
        if is_finite(check):
            updates.moving_average_update(average, value, momentum)


def is_finite(check: FiniteLossCheck | None) -> bool:
    """Whether the step's loss is finite, so that updates are allowed."""
    return check is None or math.isfinite(check.losses[check.step])
