"""Straight lines that are no part of a digit: ruled or squared paper, a line below the digit, the box of a form.

They run along the sides of the picture, as in a scan. Lines that lean stay.
"""

import numpy as np
from numpy.typing import NDArray

from numbacnn.pictures.parts import INK_THRESHOLD, Part

_LONG = 0.9  # of the side that a ruled line covers at least; a digit with its margin covers less
_MARGIN = 0.04  # of the side: a bar of a digit that is cropped to its box lies there
_THICK = 0.025  # of the long side, at most
_MOST_LINES = 0.4  # of the rows: more are no lines
_LEAST_LEFT = 0.3  # of the darkest: what a digit leaves that is fainter than its paper's lines
_SLIM = 0.12  # height of an underline, in widths
_RIM = 2  # cells beside the edge of a box that its line may cover
_LEAST_IN_BOX = 0.3  # of a box's height: a digit in it, not the dot in a zero

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]


def without_ruling(ink: Floats, steps: list[str]) -> Floats:
    """Ink without the thin lines that cross the whole picture; where a stroke crosses a line, it stays whole.

    Args:
        ink: 0...1 (h, w), the ink bright on black.
        steps: takes a sentence if there were lines.

    Returns:
        0...1 (h, w); nothing but 0 where there was nothing but lines.
    """
    is_ink = ink > INK_THRESHOLD / 2
    if not is_ink.all(axis=None):
        across = _lines(is_ink.mean(axis=1), max(ink.shape))
        down = _lines(is_ink.mean(axis=0), max(ink.shape))
        if across or down:
            cleared = _cleared(_cleared(ink, across, down).T, down, across).T
            steps.append(f"{len(across) + len(down)} ruled lines removed")
            return cleared / cleared.max() if cleared.max() > _LEAST_LEFT else np.zeros_like(ink)
    return ink


def _lines(share: Floats, longest: int) -> list[tuple[int, int]]:
    """First and last row of each line, by the share of each row that has ink; a single one may be a digit's bar."""
    is_line = np.pad(share >= _LONG, 1).astype(np.int8)
    if not is_line.any() or share.size * _MOST_LINES < is_line.sum():
        return []
    edges = np.diff(is_line)
    found = zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True)
    lines = [(first, last) for first, last in found if last - first + 1 <= max(1, round(_THICK * longest))]
    margin = _MARGIN * share.size
    inner = [line for line in lines if margin < line[0] and line[1] < share.size - margin]
    return lines if len(inner) > 1 else []


def _cleared(ink: Floats, lines: list[tuple[int, int]], crossing: list[tuple[int, int]]) -> Floats:
    """Fill the rows of each line by what is above and below it, where there is ink on both sides that is no crossing line."""
    cleared = ink.copy()
    ink = ink.copy()
    for first, last in crossing:
        ink[:, max(0, first - 1) : last + 2] = 0
    for first, last in lines:
        first, last = max(0, first - 1), min(len(ink) - 1, last + 1)  # and its soft edge
        above = ink[first - 1] if first > 0 else np.zeros_like(ink[0])
        below = ink[last + 1] if last + 1 < len(ink) else np.zeros_like(ink[0])
        cleared[first : last + 1] = np.minimum(_widened(above, last - first + 1), _widened(below, last - first + 1))
    return cleared


def _widened(row: Floats, height: int) -> Floats:
    """A row with its ink wider by half of the gap that it bridges: strokes lean."""
    reach = (height + 1) // 2
    padded = np.pad(row, reach)
    return np.max([padded[at : at + row.size] for at in range(2 * reach + 1)], axis=0)


def boxes(parts: list[Part]) -> list[Part]:
    """The parts that are closed boxes of a form, each around another part that could be a digit."""
    return [part for part in parts if is_box(part) and any(_could_be_a_digit_in(other, part) for other in parts)]


def _could_be_a_digit_in(part: Part, box: Part) -> bool:
    """Whether a part lies within a box and is no dot in it."""
    return is_within(part, box) and float(np.ptp(part[0])) >= _LEAST_IN_BOX * float(np.ptp(box[0]))


def is_within(part: Part, other: Part) -> bool:
    """Whether a part lies within the extent of another."""
    return all(own.min() > rim.min() and own.max() < rim.max() for own, rim in zip(part, other, strict=True))


def is_box(part: Part) -> bool:
    """Whether a part runs along all four sides of its extent, and nowhere else."""
    rows, columns = (indices - indices.min() for indices in part)
    height, width = rows.max(), columns.max()
    if min(height, width) < 4 * _RIM:
        return False
    near = (np.minimum(rows, height - rows) <= _RIM) | (np.minimum(columns, width - columns) <= _RIM)
    sides = (columns[rows <= _RIM], columns[rows >= height - _RIM], rows[columns <= _RIM], rows[columns >= width - _RIM])
    lengths = (width, width, height, height)
    is_closed = all(np.unique(side).size > length for side, length in zip(sides, lengths, strict=True))
    return is_closed and bool(near.all())


def is_underline(part: Part, digit: Part) -> bool:
    """Whether a part is a slim level line below the digit, and about as wide as it or wider."""
    (rows, columns), (digit_rows, digit_columns) = part, digit
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    is_wide = width >= 0.8 * (np.ptp(digit_columns) + 1)
    return bool(height <= max(2, _SLIM * width) and width > 4 * height and is_wide and rows.min() > digit_rows.max())
