"""Sums over the images of a batch, whose order depends on the number of images alone.

    out[f] = sum over n of x[n, f]

The images are cut into G groups of neighbours, G a power of two. A task sums one group, and a binary tree adds the groups' sums:
neighbours, then pairs of neighbours, and so on. Threads may own any groups, and processes whole branches of the tree
(``numbacnn.ranks``): the sum has the same bits. A kernel sums one branch, given its images and their number of groups.

A float32 sum of n terms loses up to n roundings. So a sum of more than SHORT terms is taken in runs of RUN terms, and the runs' sums
are added in float64: it loses at most RUN roundings, whatever n is.
"""

import numpy as np
from numba import prange

from numbacnn import groups as batch_groups
from numbacnn.backends.cpu._jit import kernel, shared

WAVE = 8
"""Groups whose sums are in memory at once, where a sum is large."""

SHORT, RUN = 128, 16
"""Up to SHORT terms are summed one after the other; of more, RUN at a time."""


def sum_rows(x, share):
    """out[f] = sum of x[..., f] over all other axes, of which the first counts images of a ``Share``: the gradient of a bias."""
    return share.total(lambda branch: _sum_rows(x[branch.slice], branch.groups))


def _sum_rows(x, groups):
    return sum_images(x.reshape(-1, x.shape[-1]), len(x), groups, x.shape[-1])


@kernel(parallel=True)
def sum_images(rows, images, groups, columns):
    """out[f] = sum over all rows of rows[r, f], for the first ``columns`` columns; every image has equally many rows."""
    length = rows.shape[0] // max(images, 1)
    parts = np.zeros((groups, columns), rows.dtype)
    for group in prange(groups):
        first, stop = group_range(group, groups, images)
        sum_runs(rows, first * length, stop * length, parts[group])
    return sum_groups(parts)


def sum_in_waves(groups, sum_of_wave):
    """The sum over groups, a power of two, of arrays too large to keep one for each group.

    Args:
        sum_of_wave: gives the sum of WAVE groups, or of all if they are fewer, by ``sum_groups``, from the number of the first.
    """
    sums: list[tuple[int, np.ndarray]] = []  # whole branches of the tree: (how many waves, their sum), ever smaller
    for first in range(0, groups, WAVE):
        waves, total = 1, sum_of_wave(first)
        while sums and sums[-1][0] == waves:
            total, waves = sums.pop()[1] + total, 2 * waves
        sums.append((waves, total))
    return sums[0][1]


@kernel(inline=True)
def run_length(terms):
    """How many terms of a sum are added one after the other."""
    return max(terms, 1) if terms <= SHORT else RUN


@kernel(inline=True)
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


group_start = shared(batch_groups.group_start)


@shared
def group_range(group, groups, images):
    """The images of one group: the first, and one past the last; there may be none."""
    return group_start(group, groups, images), group_start(group + 1, groups, images)


@kernel(inline=True)
def sum_groups(parts):
    """out[f] = sum over groups of parts[group, f] by the binary tree; their number is a power of two, and ``parts`` is overwritten."""
    step = 1
    while step < parts.shape[0]:
        for group in range(0, parts.shape[0], 2 * step):
            left, right = parts[group], parts[group + step]
            for f in range(parts.shape[1]):
                left[f] += right[f]
        step *= 2
    return parts[0].copy()
