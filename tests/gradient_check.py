"""Is a gradient right? Compare it with finite differences in float64."""

from collections.abc import Callable

import numpy as np


def numeric_gradient(f: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The gradient of a scalar function by central differences: (f(x + h e) - f(x - h e)) / 2h for each cell e.

    Args:
        f: a scalar function of one float64 array; it must be smooth within ``step`` of ``x``.
        x: where, float64; not modified.
        step: h. The truncation error falls as h^2, the rounding error grows as 1/h: 1e-5 balances both in float64.
    """
    gradient = np.zeros_like(x, dtype=np.float64)
    probe = np.array(x, dtype=np.float64)
    for cell in np.ndindex(probe.shape):
        value = probe[cell]
        probe[cell] = value + step
        above = f(probe)
        probe[cell] = value - step
        below = f(probe)
        probe[cell] = value
        gradient[cell] = (above - below) / (2 * step)
    return gradient


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference as a fraction of the largest value."""
    scale = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    return float(np.abs(a - b).max(initial=0) / scale) if scale else 0.0
