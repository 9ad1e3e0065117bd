"""The parts of the ink: groups of cells that touch."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

INK_THRESHOLD = 0.25
"""Of the brightest ink: darker cells are none."""

SPECK = 0.03
"""Of the largest part: smaller parts are specks."""

Counts = NDArray[np.integer]
Part = tuple[NDArray[np.intp], NDArray[np.intp]]
"""The rows and the columns of connected cells."""


@dataclass
class Guesses:
    """What the preparation of a picture had to guess.

    Args:
        parts: how many parts of some size the picture has.
        read: which of them was taken for the digit, in words; empty where it was all of them.
        is_cut: whether ink reaches the edge, so that more of it may be outside.
    """

    parts: int = 1
    read: str = ""
    is_cut: bool = False


def count_parts(pixels: NDArray[np.uint8]) -> int:
    """How many parts a picture in the form of MNIST's digits, ink bright on black (h, w), seems to have; specks do not count.

    A figure whose pen was lifted has two: of MNIST's test digits 1.1 %, of its fives 4.3 %, whose bar often stands apart.
    """
    ink = np.where(pixels > INK_THRESHOLD * pixels.max(initial=0), pixels, 0).astype(np.int64)
    sizes = [int(ink[part].sum()) for part in connected(ink)]
    return sum(size >= SPECK * max(sizes) for size in sizes)


def border(values: NDArray[Any]) -> NDArray[Any]:
    """The values along the four sides of a picture (h, w) or (h, w, channels); corners come twice."""
    return np.concatenate((values[0], values[-1], values[:, 0], values[:, -1]))


def over_squares(values: NDArray[Any], radius: int, extreme: np.ufunc) -> NDArray[Any]:
    """The largest or smallest value within so many rows and columns of each; outside of the picture is 0.

    Pillow's filters of this kind give the same, and take ten times as long.

    Args:
        values: numbers or truth values (h, w).
        extreme: ``np.maximum``, ``np.logical_and``, ...
    """
    padded = np.pad(values, radius)
    height, width = values.shape
    across = extreme.reduce([padded[:, at : at + width] for at in range(2 * radius + 1)])
    return extreme.reduce([across[at : at + height] for at in range(2 * radius + 1)])


def connected(cells: Counts) -> list[Part]:
    """The groups of cells > 0 that touch by a side or a corner, the one that starts first in reading order first."""
    # Runs of each row, not cells: a digit has some hundred runs where it has thousands of cells. Their places count on from row to row,
    # with a place between two rows.
    height, width = cells.shape
    is_cell = np.zeros((height, width + 2), dtype=np.int8)
    is_cell[:, 1:-1] = cells > 0
    edges = (is_cell[:, 1:] - is_cell[:, :-1]).ravel()
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    group = _groups(starts, stops, width + 1)
    order = group.argsort(kind="stable")
    group, starts, lengths = group[order], starts[order], (stops - starts)[order]
    rows = starts // (width + 1)
    ends = lengths.cumsum()
    row = rows.repeat(lengths)
    column = np.arange(len(row)) + (starts - rows * (width + 1) - ends + lengths).repeat(lengths)
    bounds = [0, *ends[:-1][group[1:] != group[:-1]].tolist(), len(row)]
    return [(row[start:stop], column[start:stop]) for start, stop in pairwise(bounds)] if len(row) else []


def _groups(starts: NDArray[np.intp], stops: NDArray[np.intp], width: int) -> NDArray[np.intp]:
    """The first run of each run's group, as indices of the runs.

    Args:
        starts, stops: the first place of each run and the one after its last, in reading order.
        width: places from one row to the next.
    """
    # The runs of the row above that touch a run follow each other.
    first, behind = stops.searchsorted(starts - width), starts.searchsorted(stops - width, side="right")
    root = np.where(first < behind, first, np.arange(len(starts)))
    while ((higher := root[root]) != root).any():
        root = higher
    meeting = np.flatnonzero(behind - first > 1)  # few: runs in which strokes from above meet
    if not meeting.size:
        return root
    joined: dict[int, int] = {}

    def find(run: int) -> int:
        while (low := joined.get(run, run)) != run:
            joined[run] = run = joined.get(low, low)
        return run

    for run, begin, end in zip(*(each[meeting].tolist() for each in (root, first, behind)), strict=True):
        for other in root[begin:end].tolist():
            low, high = sorted((find(run), find(other)))
            if low < high:
                joined[high] = low
    renamed = np.arange(len(root))
    for high in joined:
        renamed[high] = find(high)
    return renamed[root]
