"""A device's ops on the lecture's small arrays: one grey image as a matrix, one filter as a matrix."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numbacnn.ops import Ops
from numbacnn.shapes import Padding2D, Pair, pool_window2d, window2d

Matrix = NDArray[np.float64]


class Arithmetic:
    """The device's ops in float64, from and to the host.

    Args:
        ops: the device.
    """

    def __init__(self, ops: Ops) -> None:
        self.ops = ops

    def run(self, op: str, *arguments: Any, **options: Any) -> Any:
        """Call an op; float arrays and whole numbers (labels) go to the device, results come back to the host."""
        given = [self.ops.asarray(each) if isinstance(each, np.ndarray) else each for each in arguments]
        result = getattr(self.ops, op)(*given, **options)
        return tuple(map(self._back, result)) if isinstance(result, tuple) else self._back(result)

    def _back(self, x: Any) -> Any:
        return None if x is None else np.array(self.ops.to_host(x))

    def conv2d(
        self, x: Matrix, kernel: Matrix, bias: ArrayLike | None = None, strides: Pair = (1, 1), padding: Padding2D = "valid"
    ) -> Matrix:
        """Images (n, h, w, c) and filters (kh, kw, c, f) to maps (n, oh, ow, f)."""
        window = window2d((x.shape[1], x.shape[2]), (kernel.shape[0], kernel.shape[1]), strides, padding)
        y: Matrix = self.run("conv2d", x, kernel, None if bias is None else np.array(bias, np.float64), window)
        return y

    def conv2d_backward(
        self, x: Matrix, kernel: Matrix, dy: Matrix, strides: Pair = (1, 1), padding: Padding2D = "valid"
    ) -> tuple[Matrix, Matrix, Matrix]:
        """dx, dkernel and dbias of ``conv2d``."""
        window = window2d((x.shape[1], x.shape[2]), (kernel.shape[0], kernel.shape[1]), strides, padding)
        dx, dkernel, dbias = self.run("conv2d_backward", x, kernel, dy, window)
        return dx, dkernel, dbias

    def max_pool2d(self, x: Matrix, padding: Padding2D = "same") -> Matrix:
        """2x2, stride 2; maps (n, h, w, c) to (n, oh, ow, c)."""
        y: Matrix = self.run("max_pool2d", x, pooling(x, padding))[0]
        return y

    def max_pool2d_backward(self, x: Matrix, dy: Matrix) -> Matrix:
        """The gradient of ``max_pool2d`` without padding."""
        window = pooling(x, "valid")
        _, winners = self.ops.max_pool2d(self.ops.asarray(x), window)
        dx: Matrix = self._back(self.ops.max_pool2d_backward(self.ops.asarray(dy), winners, window))
        return dx

    def avg_pool2d(self, x: Matrix, padding: Padding2D = "same") -> Matrix:
        """2x2, stride 2; padding is not counted."""
        y: Matrix = self.run("avg_pool2d", x, pooling(x, padding))
        return y

    def update(self, optimizer: Any, weight: float, gradients: Sequence[float], learning_rate: float) -> list[float]:
        """A weight after each step of an optimiser."""
        parameter = self.ops.asarray(np.array([weight]))
        slots = [self.ops.zeros_like(parameter) for _ in optimizer.slots]
        seen = []
        for step, gradient in enumerate(gradients, start=1):
            self.ops.update(parameter, slots, self.ops.asarray(np.array([gradient])), optimizer.rule(learning_rate, step))
            seen.append(float(self._back(parameter)[0]))
        return seen


def pooling(x: Matrix, padding: Padding2D) -> Any:
    """The window of a 2x2 pooling with stride 2."""
    return pool_window2d((x.shape[1], x.shape[2]), (2, 2), (2, 2), padding)


def image(values: ArrayLike) -> Matrix:
    """(h, w) or (h, w, c) as a batch of one."""
    array = np.array(values, np.float64)
    return array.reshape(1, *array.shape, *(() if array.ndim == 3 else (1,)))


def kernel(values: ArrayLike) -> Matrix:
    """(kh, kw) as one filter on one channel."""
    return np.array(values, np.float64)[:, :, None, None]


def plane(maps: Matrix) -> Matrix:
    """The only map of a batch of one: (h, w)."""
    return maps[0, :, :, 0]
