"""Several processes that train one network: each computes some images of every batch, and all end with the bits of one process.

A sum over a batch is a binary tree over groups of images. A rank owns whole groups, so it sums whole branches of the tree; what is left
of the tree is added here, from every rank's branches, in the tree's own order. An engine (``numbacnn.engines``) only moves bytes: the
sums of a library depend on the number of processes.

    batch                         images
    groups                |   |   |   |   |   |   |   |   |          a power of two
    ranks                  0       1           2                     whole groups each
    branches               [01]    [23]   [4]  [5] [67]              sums that a rank sends
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain, pairwise
from typing import NamedTuple

from numbacnn.groups import Branch, branches_of, group_count, group_start
from numbacnn.values import Array

SMALL = 4096
"""A sum of at most so many values is exchanged as a whole. Of a larger one, each rank adds a part."""


def divided(count: int, parts: int) -> list[int]:
    """Where each of some parts of so many items begins; at the end the count."""
    return [part * count // parts for part in range(parts + 1)]


class Share(NamedTuple):
    """The images of one batch that a rank computes, and how to come from its sums to those of the batch.

    Args:
        batch: images of the whole batch.
        first, images: the rank's, counted from the batch's first image.
        branches: of the tree over the batch, those that the rank sums.
        ranks: with which to exchange; None if the share is the whole batch.
    """

    batch: int
    first: int
    images: int
    branches: tuple[Branch, ...]
    ranks: "Ranks | None" = None

    @property
    def slice(self) -> slice:
        """The rank's images of a batch."""
        return slice(self.first, self.first + self.images)

    def total(self, sum_of: Callable[[Branch], Array]) -> Array:
        """The sum over the batch, from a function that sums one branch; its arrays have one shape."""
        if self.ranks is None:
            return sum_of(self.branches[0])
        return self.total_of([sum_of(branch) for branch in self.branches])

    def total_of(self, sums: Sequence[Array]) -> Array:
        """The sum over the batch, from the sum over each of ``branches``."""
        return sums[0] if self.ranks is None else self.ranks.total(sums, self.batch)

    def gather(self, rows: Array) -> Array:
        """Rows of the whole batch (batch, ...), from those of each rank's images (images, ...)."""
        if self.ranks is None:
            return rows
        return self.ranks.gather(rows, [share.images for share in self.ranks.shares(self.batch)])


@cache
def whole(images: int) -> Share:
    """The share of a process that computes all images of a batch."""
    return Share(images, 0, images, (Branch(0, images, group_count(images)),))


class Ranks(ABC):
    """The processes that train one network, seen from one of them.

    Args:
        rank, size: this one's number, from 0 on, and how many there are.
    """

    def __init__(self, rank: int, size: int):
        self.rank, self.size = rank, size
        self._share: Share | None = None

    # --- what an engine gives: it moves bytes, and never adds ----------------------------------------------------------------

    @abstractmethod
    def all_gather(self, values: Array, counts: Sequence[int]) -> Array:
        """One flat array from those of all ranks, in order: ``counts`` values of each, of one dtype."""

    @abstractmethod
    def all_to_all(self, parts: Sequence[Sequence[Array]], counts: Sequence[int], most: int) -> list[Array]:
        """Give every other rank its part; take ``counts`` values from each, a flat array, of the same dtype.

        What comes is valid until the next exchange; in this rank's own place there may be anything.

        Args:
            parts: for each rank arrays of any shape and strides, whose values it is given one after the other.
            most: values of the longest part that any rank gives.
        """

    @staticmethod
    @abstractmethod
    def join(arrays: Sequence[Array]) -> Array:
        """Flat arrays of one dtype, one after the other."""

    # --- a step --------------------------------------------------------------------------------------------------------------

    @contextmanager
    def step(self, batch: int) -> Iterator[Share]:
        """A context in which ops compute this rank's share of a batch."""
        self._share = self.shares(batch)[self.rank]
        try:
            yield self._share
        finally:
            self._share = None

    def share(self, images: int) -> Share:
        """The share that so many images are: that of the step under way, or else a batch of their own."""
        share = self._share
        return whole(images) if share is None or share.images != images else share

    def shares(self, batch: int) -> list[Share]:
        """Every rank's share. Where there are fewer images than groups, each rank computes the whole batch."""
        groups = group_count(batch)
        if self.size == 1 or batch < groups or self.size > groups:
            return [whole(batch)] * self.size
        cuts = self.cuts(groups)
        starts = [group_start(cut, groups, batch) for cut in cuts]
        return [
            Share(batch, starts[r], starts[r + 1] - starts[r], branches_of(cuts[r], cuts[r + 1], groups, batch), self)
            for r in range(self.size)
        ]

    def rows(self, parameter: Array) -> slice:
        """The rows of a parameter that this rank updates: all, unless ranks share its memory."""
        return slice(None)

    @contextmanager
    def updates(self) -> Iterator[None]:
        """A context in which parameters change; no rank is in it while another still reads them."""
        yield

    # --- exchanges -----------------------------------------------------------------------------------------------------------

    def gather(self, rows: Array, counts: Sequence[int]) -> Array:
        """Rows of all ranks (sum of counts, ...), from this one's (counts[rank], ...)."""
        if self.size == 1:
            return rows
        size = 1
        for length in rows.shape[1:]:
            size *= length
        flat = self.all_gather(rows.reshape(-1), [count * size for count in counts])
        return flat.reshape(sum(counts), *rows.shape[1:])

    def cuts(self, count: int) -> list[int]:
        """Where the items of each rank begin, if so many are divided among them; at the end the count."""
        return divided(count, self.size)

    def total(self, sums: Sequence[Array], batch: int) -> Array:
        """The sum over a batch, from this rank's sums over its branches."""
        shape, size = sums[0].shape, sums[0].size
        flat = [array.reshape(-1) for array in sums]
        if size <= SMALL:
            branches = [share.branches for share in self.shares(batch)]
            gathered = self.all_gather(self.join(flat), [len(own) * size for own in branches])
            return _tree(gathered.reshape(-1, size), branches).reshape(shape)
        cuts = self.cuts(size)
        added = self.part_of_total([[array[first:stop] for array in flat] for first, stop in pairwise(cuts)], batch)
        return self.all_gather(added, [stop - first for first, stop in pairwise(cuts)]).reshape(shape)

    def part_of_total(self, parts: Sequence[Sequence[Array]], batch: int) -> Array:
        """The sum over a batch of the values that this rank adds.

        Args:
            parts: for each rank the values that it adds: an array for each of this rank's branches, all of one shape;
                they may be slices of C-contiguous arrays, and the sum is C-contiguous.
        """
        branches, own = [share.branches for share in self.shares(batch)], parts[self.rank]
        width, shape = own[0].size, own[0].shape
        most = max(map(len, branches)) * max(part[0].size for part in parts)
        received = self.all_to_all(parts, [len(each) * width for each in branches], most)
        return _tree(
            chain.from_iterable(
                own if rank == self.rank else received[rank].reshape(len(each), *shape) for rank, each in enumerate(branches)
            ),
            branches,
        )


class Alone(Ranks):
    """The only process: every batch is its own."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    @contextmanager
    def step(self, batch: int) -> Iterator[Share]:
        yield whole(batch)

    def share(self, images: int) -> Share:
        return whole(images)

    def all_gather(self, values: Array, counts: Sequence[int]) -> Array:
        return values

    def all_to_all(self, parts: Sequence[Sequence[Array]], counts: Sequence[int], most: int) -> list[Array]:
        return [self.join(part) for part in parts]

    @staticmethod
    def join(arrays: Sequence[Array]) -> Array:
        (array,) = arrays
        return array


ALONE = Alone()
"""Of a process that no launcher started with others; it has no state, as it takes whole batches."""


def _tree(sums: Iterable[Array], branches: Sequence[Sequence[Branch]]) -> Array:
    """The sum of all ranks' branches, added as the tree over all groups does: neighbours of equal size first."""
    waiting: list[tuple[int, Array]] = []
    for (_, _, size), total in zip(chain.from_iterable(branches), sums, strict=True):
        while waiting and waiting[-1][0] == size:
            total, size = waiting.pop()[1] + total, 2 * size
        waiting.append((size, total))
    ((_, total),) = waiting
    return total
