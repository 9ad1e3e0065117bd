"""The arithmetic that this machine reaches at most: measured by a loop of multiply-adds, never looked up."""

import time

import numba
import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.codegen.multiply_adds import VALUES, repeat_multiply_adds

STEPS = 500_000
"""Of the loop, for one look: about a millisecond."""

LOOKS = 20


@kernel(parallel=True)
def _multiply_adds(values, steps):
    """Each row is a task of its own."""
    for task in prange(values.shape[0]):
        row = values[task]
        repeat_multiply_adds((row, 0), np.float32(0.5), np.float32(0.5), steps)


def peak_rate() -> float:
    """Floating-point operations a second in float32, on as many threads as kernels use now; a multiply-add counts as two.

    The best of LOOKS looks. Call it repeatedly and take the largest: processors slow down when others need them, or when they are hot.
    """
    tasks = numba.get_num_threads()
    values = np.linspace(0, 1, tasks * VALUES, dtype=np.float32).reshape(tasks, VALUES)
    _multiply_adds(values, 1)
    seconds = []
    for _ in range(LOOKS):
        start = time.perf_counter()
        _multiply_adds(values, STEPS)
        seconds.append(time.perf_counter() - start)
    return 2.0 * values.size * STEPS / min(seconds)
