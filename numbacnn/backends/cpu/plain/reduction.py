"""Sums over the images of a batch, whose order depends on the number of images alone.

    out[f] = sum over n of x[n, f]

The images are cut into G groups of neighbours, G a power of two. A task sums one group, and a binary tree adds the groups' sums:
neighbours, then pairs of neighbours, and so on. Threads, or machines, may own any whole groups, and the sum has the same bits.

A float32 sum of n terms loses up to n roundings. So a sum of more than SHORT terms is taken in runs of RUN terms, and the runs' sums
are added in float64: it loses at most RUN roundings, whatever n is.
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel, shared

LEAST_GROUPS, GROUP_IMAGES = 8, 8
"""Groups of a batch: LEAST_GROUPS, or as many more as leave each of them GROUP_IMAGES images at least."""

WAVE = 8
"""Groups whose sums are in memory at once, where a sum is large."""

SHORT, RUN = 128, 16
"""Up to SHORT terms are summed one after the other; of more, RUN at a time."""


def sum_rows(x):
    """out[f] = sum of x[..., f] over all other axes, of which the first counts images: the gradient of a bias."""
    return sum_images(x.reshape(-1, x.shape[-1]), len(x), x.shape[-1])


@kernel(parallel=True)
def sum_images(rows, images, columns):
    """out[f] = sum over all rows of rows[r, f], for the first ``columns`` columns; every image has equally many rows."""
    groups, length = group_count(images), rows.shape[0] // max(images, 1)
    parts = np.zeros((groups, columns), rows.dtype)
    for group in prange(groups):
        first, stop = group_range(group, groups, images)
        sum_runs(rows, first * length, stop * length, parts[group])
    return sum_groups(parts)


def sum_in_waves(images, sum_of_wave):
    """The sum over a batch of arrays too large to keep one for each group.

    Args:
        images: of the batch.
        sum_of_wave: gives the sum of WAVE groups, by ``sum_groups``, from the number of the first of them.
    """
    sums: list[tuple[int, np.ndarray]] = []  # whole branches of the tree: (how many waves, their sum), ever smaller
    for first in range(0, group_count(images), WAVE):
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


@shared
def group_count(images):
    """G, into how many groups a batch is cut: a power of two, LEAST_GROUPS or more."""
    groups = LEAST_GROUPS
    while 2 * groups * GROUP_IMAGES <= images:
        groups *= 2
    return groups


@shared
def group_range(group, groups, images):
    """The images of one group: the first, and one past the last; there may be none."""
    return group * images // groups, (group + 1) * images // groups


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
