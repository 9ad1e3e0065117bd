"""The groups of a batch, and the branches of the binary tree that adds them.

A batch is halved again and again, and the second half has the odd image, until there are G groups, a power of two. So a branch of the
tree is a batch of its own: its images, halved, are its groups.
"""

from typing import NamedTuple

LEAST_GROUPS, GROUP_IMAGES = 8, 8
"""Groups of a batch: LEAST_GROUPS, or as many more as leave each of them GROUP_IMAGES images at least."""


class Branch(NamedTuple):
    """A branch of the tree over a batch: ``groups`` groups of images, a power of two.

    Args:
        first: its first image, counted from the first one of its rank.
        images: how many it has.
        groups: how many groups they are cut into, by halves.
    """

    first: int
    images: int
    groups: int

    @property
    def slice(self) -> slice:
        """Its images among those of its rank."""
        return slice(self.first, self.first + self.images)


def group_count(images: int) -> int:
    """G, into how many groups a batch is cut: a power of two, LEAST_GROUPS or more."""
    groups = LEAST_GROUPS
    while 2 * groups * GROUP_IMAGES <= images:
        groups *= 2
    return groups


def group_start(group: int, groups: int, images: int) -> int:
    """The first image of a group, if ``images`` are halved again and again; the second half has the odd image."""
    first = 0
    while groups > 1:
        groups //= 2
        half = images // 2
        if group >= groups:
            first, group, images = first + half, group - groups, images - half
        else:
            images = half
    return first + (images if group else 0)


def branches_of(first: int, stop: int, groups: int, images: int) -> tuple[Branch, ...]:
    """The fewest branches of the tree over a batch that hold the groups ``first`` to ``stop``, in order."""
    begin = group_start(first, groups, images)
    branches = []
    while first < stop:
        size = first & -first or groups
        while first + size > stop:
            size //= 2
        start = group_start(first, groups, images)
        branches.append(Branch(start - begin, group_start(first + size, groups, images) - start, size))
        first += size
    return tuple(branches)
