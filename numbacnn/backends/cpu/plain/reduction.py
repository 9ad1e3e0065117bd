"""Sums over rows whose order does not depend on the number of threads.

    out[f] = sum over n of x[n, f]

Rows (or images) are cut into a fixed number of groups, a task sums one group, and the groups' sums are added in their order.
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel

GROUPS = 8
"""The most groups that rows or images are cut into."""


def sum_rows(x):
    """out[f] = sum of x[..., f] over all other axes: the gradient of a bias."""
    return _sum_rows(x.reshape(-1, x.shape[-1]))


@kernel(parallel=True)
def _sum_rows(x):
    count, columns = x.shape
    groups = group_count(GROUPS, count)
    parts = np.zeros((groups, columns), x.dtype)
    for group in prange(groups):
        part = parts[group]
        first, stop = group_range(group, groups, count)
        for n in range(first, stop):
            for f in range(columns):
                part[f] += x[n, f]
    return sum_groups(parts)


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
