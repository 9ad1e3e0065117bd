"""Backpropagation through one convolution, as the lecture writes it out.

Source: the lecture's slides "Training CNN (1/4)", "Training CNN (2/4)", "Training CNN (3/4)" and "Training CNN (4/4)".
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from numbacnn.errors import DataError, ShapeError
from numbacnn.lecture.arithmetic import Arithmetic, Matrix, image, kernel, plane
from numbacnn.ops import Ops
from numbacnn.shapes import Window2D, window2d


class Backprop(NamedTuple):
    """A forward pass, its gradients, and one step of gradient descent.

    Args:
        x, w: the input and the filter, matrices.
        h: the output.
        dh: dE/dH; with a target h - target, else ones.
        dw, dx: dE/dW and dE/dX.
        w_next: w - eta * dw.
        eta: the learning rate.
        error: E; with a target half the sum of squared differences, else the sum of the outputs.
        dw_by_differences: dE/dW from outputs alone: (E(w + d) - E(w - d)) / 2d for each weight.
        window: the geometry.
    """

    x: Matrix
    w: Matrix
    h: Matrix
    dh: Matrix
    dw: Matrix
    dx: Matrix
    w_next: Matrix
    eta: float
    error: float
    dw_by_differences: Matrix
    window: Window2D

    def forward_terms(self, i: int, j: int) -> list[tuple[float, float]]:
        """The products of h[i,j]: each weight and the x under it, for every x that is not padding."""
        return [
            (float(self.w[u, v]), float(self.x[cell])) for u, v in np.ndindex(*self.w.shape) if (cell := self._cell(i, j, u, v))
        ]

    def terms(self, u: int, v: int) -> list[tuple[float, float]]:
        """The products of dE/dw[u,v]: dE/dh and the x that meets the weight there, for every h whose window is inside x."""
        return [
            (float(self.dh[i, j]), float(self.x[cell])) for i, j in np.ndindex(*self.h.shape) if (cell := self._cell(i, j, u, v))
        ]

    def _cell(self, i: int, j: int, u: int, v: int) -> tuple[int, int] | None:
        """The cell of x that weight (u, v) meets in window (i, j); None for padding."""
        rows, columns = self.window
        r, c = i * rows.stride - rows.pad_before + u, j * columns.stride - columns.pad_before + v
        return (r, c) if 0 <= r < rows.size and 0 <= c < columns.size else None


def backprop(
    ops: Ops, x: Matrix, w: Matrix, target: Matrix | None = None, eta: float = 0.01, stride: int = 1, padding: str = "valid"
) -> Backprop:
    """Convolve, and send the error back.

    Args:
        x, w: matrices; w fits into x, or into x and its padding.
        target: what H should be, or None for the sum of outputs as the error.
        eta: learning rate.
        stride: along both axes.
        padding: ``"valid"`` or ``"same"``.

    Raises:
        ShapeError: w does not fit x, or the target has another shape than H. DataError: a result is too large for a float.
    """
    if padding == "valid" and (w.shape[0] > x.shape[0] or w.shape[1] > x.shape[1]):
        raise ShapeError(
            f"x: expected at least the {w.shape[0]} x {w.shape[1]} cells of w, got {x.shape[0]} x {x.shape[1]}. "
            "Give a larger x, a smaller w, or --padding same"
        )
    window = window2d((x.shape[0], x.shape[1]), (w.shape[0], w.shape[1]), (stride, stride), padding)
    if target is not None and target.shape != window.out:
        raise ShapeError(
            f"target: expected the {window.out[0]} x {window.out[1]} cells of h, got {target.shape[0]} x {target.shape[1]}"
        )
    arithmetic = Arithmetic(ops)

    def forward(weights: Matrix) -> Matrix:
        return plane(arithmetic.conv2d(image(x), kernel(weights), strides=(stride, stride), padding=padding))

    def error(h: Matrix) -> float:
        return float(h.sum() if target is None else 0.5 * ((h - target) ** 2).sum())

    with np.errstate(all="ignore"):
        h = forward(w)
        dh = np.ones_like(h) if target is None else h - target
        dx, dw, _ = arithmetic.conv2d_backward(image(x), kernel(w), image(dh), (stride, stride), padding)
        step = dw[:, :, 0, 0]
        result = Backprop(
            x,
            w,
            h,
            dh,
            step,
            plane(dx),
            w - eta * step,
            eta,
            error(h),
            _differences(w, lambda each: error(forward(each))),
            window,
        )
    if not all(np.isfinite(each).all() for each in (result.error, result.dw, result.dx, result.w_next)):
        raise DataError(
            "backprop: expected results that are finite numbers, got NaN or infinity. Use smaller numbers, or a smaller eta"
        )
    return result


def _differences(w: Matrix, error: Callable[[Matrix], float]) -> Matrix:
    """Central differences: exact but for rounding, since E is of second degree in each weight."""
    found = np.zeros_like(w)
    for index in np.ndindex(*w.shape):
        step = 2.0**-6 * max(1.0, abs(float(w[index])))
        above, below = w.copy(), w.copy()
        above[index] += step
        below[index] -= step
        found[index] = (error(above) - error(below)) / (above[index] - below[index])
    return found
