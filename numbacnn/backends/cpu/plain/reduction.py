"""Sums over rows whose order does not depend on the number of threads.

    out[f] = sum over n of x[n, f]

Rows (or images) are cut into a fixed number of groups, a task sums one group, and the groups' sums are added in their order.

A float32 sum of n terms loses up to n roundings. So a sum of more than SHORT terms is taken in runs of RUN terms, and the runs' sums
are added in float64: it loses at most RUN roundings, whatever n is.
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel

GROUPS = 8
"""The most groups that rows or images are cut into."""

SHORT, RUN = 128, 16
"""Up to SHORT terms are summed one after the other; of more, RUN at a time."""


def sum_rows(x):
    """out[f] = sum of x[..., f] over all other axes: the gradient of a bias."""
    return _sum_rows(x.reshape(-1, x.shape[-1]))


@kernel(parallel=True)
def _sum_rows(x):
    count, columns = x.shape
    groups = group_count(GROUPS, count)
    parts = np.zeros((groups, columns), x.dtype)
    for group in prange(groups):
        first, stop = group_range(group, groups, count)
        sum_runs(x, first, stop, parts[group])
    return sum_groups(parts)


@kernel(inline=True, fast_math=False)
def run_length(terms):
    """How many terms of a sum are added one after the other."""
    return max(terms, 1) if terms <= SHORT else RUN


@kernel(inline=True, fast_math=False)
def sum_runs(x, first, stop, out):
    """out[f] = sum over rows first:stop of x[n, f], in runs; x may have more columns than out."""
    columns, length = out.shape[0], run_length(stop - first)
    total = np.zeros(columns, np.float64)
    for start in range(first, stop, length):
        for f in range(columns):
            out[f] = 0
        for n in range(start, min(start + length, stop)):
            for f in range(columns):
                out[f] += x[n, f]
        for f in range(columns):
            total[f] += out[f]
    for f in range(columns):
        out[f] = total[f]


@kernel(inline=True, fast_math=False)
def group_count(most, count):
    """Into how many groups ``count`` rows are cut."""
    return max(min(most, count), 1)


@kernel(inline=True, fast_math=False)
def group_range(group, groups, count):
    """The rows of one group: the first, and one past the last."""
    return group * count // groups, (group + 1) * count // groups


@kernel(inline=True, fast_math=False)
def sum_groups(parts):
    """out[f] = sum over groups of parts[group, f], one group after the other."""
    total = np.zeros(parts.shape[1], parts.dtype)
    for group in range(parts.shape[0]):
        for f in range(parts.shape[1]):
            total[f] += parts[group, f]
    return total
