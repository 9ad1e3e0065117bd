"""Gradients of filters on several processes: the sums at the points of a transform are many, the cells of filters few.

So each rank takes the sums of some channels from all others, adds them by the batch's tree, and transforms them to cells; only cells go
to every rank.
"""

from itertools import pairwise

import numpy as np


def gradient_of_filters(share, sums, shape, to_cells):
    """dfilters, of ``shape`` (kh, kw, channels, maps), from sums over the branches of a ``Share``.

    Args:
        sums: for each branch an array (points, ..., channels or more, values of a channel).
        to_cells: from the sum over the batch, of some channels only, and an array of their filters to fill.
    """
    kh, kw, channels, maps = shape
    ranks, cuts = share.ranks, share.ranks.cuts(channels)
    total = ranks.part_of_total([[each[..., first:stop, :] for each in sums] for first, stop in pairwise(cuts)], share.batch)
    own = cuts[ranks.rank + 1] - cuts[ranks.rank]
    cells = np.empty((kh, kw, own, maps), np.float32)
    if own:
        to_cells(total, cells)
    rows = np.ascontiguousarray(np.moveaxis(cells, 2, 0))
    gathered = ranks.gather(rows, [stop - first for first, stop in pairwise(cuts)])
    return np.ascontiguousarray(np.moveaxis(gathered, 0, 2))
