"""Sums over a batch whose images lie on several GPUs, one for each rank: through the memory of their hosts.

Each GPU sums its branches of the batch's tree by its own kernels, and the host adds branches as ``numbacnn.ranks`` has it. How a GPU sums
a branch depends on the branch's length, so the bits depend on the number of ranks.
"""

import numpy as np

from numbacnn.backends.cuda import memory
from numbacnn.ranks import Share


def part_of(x, branch):
    """The images of a branch among those of its rank."""
    return x if branch.images == len(x) else x[branch.slice]  # a view takes the host as long as a launch


class GpuShare:
    """A ``Share`` of a batch whose arrays are the device's; sums of a process that trains alone do not leave it.

    Args:
        share: with arrays of the host.
    """

    def __init__(self, share: Share):
        self._share = share
        self.batch, self.is_whole = share.batch, share.ranks is None

    def total(self, sum_of):
        """See ``Share.total``."""
        if self.is_whole:
            return sum_of(self._share.branches[0])
        return memory.to_device(self._share.total(lambda branch: memory.to_host(sum_of(branch))))

    def gather(self, rows):
        """See ``Share.gather``."""
        return rows if self.is_whole else memory.to_device(self._share.gather(memory.to_host(rows)))

    def moments(self, moments_of, rows_per_image):
        """The mean and the variance of each channel over the batch, float (channels,), from those over each branch.

        Args:
            moments_of: gives both of a branch.

        Source: Chan, Golub & LeVeque 1983, as in ``plain/batch_norm.py``; in float64.
        """
        if self.is_whole:
            return moments_of(self._share.branches[0])
        own = [[memory.to_host(each) for each in moments_of(branch)] for branch in self._share.branches]
        rows = [branch.images * rows_per_image for branch in self._share.branches]
        count = self.batch * rows_per_image
        sums = [n * mean.astype(np.float64) for n, (mean, _) in zip(rows, own, strict=True)]
        centre = self._share.total_of(sums) / count
        squares = [n * (variance + (mean - centre) ** 2) for n, (mean, variance) in zip(rows, own, strict=True)]
        variance = self._share.total_of(squares) / count
        dtype = own[0][0].dtype
        return memory.to_device(centre.astype(dtype)), memory.to_device(variance.astype(dtype))
