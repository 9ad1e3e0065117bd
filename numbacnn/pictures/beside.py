"""Which parts of the ink are the digit: those beside it are dropped, as dust, a tick, a date, a second digit.

A figure may have several parts, as a five whose bar stands apart: parts near each other stay together.
"""

import numpy as np
from numpy.typing import NDArray

from numbacnn.pictures.lines import boxes, is_underline, is_within
from numbacnn.pictures.parts import SPECK, Counts, Guesses, Part, over_squares

_REACH = 0.25  # of the digit's long side: of MNIST's figures of two parts, 95 of 100 have less between them
_SAME_PEN = 0.75  # of the digit's darkness
_WORTH_A_WORD = 0.15  # of the digit's ink, in a part beside it
_OFF_CENTRE = 0.6  # of its weight, that a part at the edge loses


def beside_the_digit(
    parts: list[Part], cells: Counts, peaks: NDArray[np.floating], steps: list[str], guesses: Guesses
) -> list[Part]:
    """The parts to drop: boxes, lines below the digit, parts apart from it, tiny ones, and those cut by the edge unless it is cut, too.

    Args:
        parts: of ``cells``, at least one.
        cells: how many pixels of each have ink (h, w).
        peaks: the most ink of a pixel in each, 0...1 (h, w).
        steps: takes a sentence for each kind that is dropped.
        guesses: takes how many parts there are, and which is read.
    """
    around = boxes(parts)
    if around:
        steps.append("box around the digit left out")
        parts = [part for part in parts if not any(part is box for box in around)]
    digit = max(parts, key=lambda part: _weight(part, cells))
    least = SPECK * cells[digit].sum()
    others = [part for part in parts if part is not digit]
    specks = [part for part in others if cells[part].sum() < least or (_is_cut(part, cells) and not _is_cut(digit, cells))]
    others = [part for part in others if not any(part is speck for speck in specks)]
    lines = [part for part in others if is_underline(part, digit)]
    others = [part for part in others if not any(part is line for line in lines)]
    near = _near(digit, [part for part in others if _is_of_same_pen(part, digit, peaks)], cells)
    apart = [part for part in others if not any(part is each for each in near)]
    if specks:
        steps.append(f"{len(specks)} specks removed")
    if lines:
        steps.append("line below the digit left out")
    if apart:
        steps.append(f"{len(apart)} part{'s' if len(apart) > 1 else ''} apart from the digit left out")
    worth_a_word = _WORTH_A_WORD * cells[digit].sum()
    others, also_read = ([part for part in group if cells[part].sum() >= worth_a_word] for group in (apart, near))
    also_read = [part for part in also_read if not is_within(part, digit)]  # as the inner line of a digit in outline
    guesses.parts = 1 + len(others) + len(also_read)
    guesses.read = _where([digit, *near], others, len(also_read) + 1) if others else ""
    return around + specks + lines + apart


def _weight(part: Part, cells: Counts) -> float:
    """How much ink a part has, less towards the edge; of a part cut by the edge, in the middle of the picture.

    A digit cropped tightly has most of its cells there, a desk has few.
    """
    inked = cells[part]
    if _is_cut(part, cells):
        is_inner = [(side // 5 <= at) & (at < side - side // 5) for at, side in zip(part, cells.shape, strict=True)]
        return float(inked[is_inner[0] & is_inner[1]].sum())
    off = max(abs((at.min() + at.max() + 1) / side - 1) for at, side in zip(part, cells.shape, strict=True))
    return float(inked.sum()) * (1 - _OFF_CENTRE * off)


def _is_of_same_pen(part: Part, digit: Part, peaks: NDArray[np.floating]) -> bool:
    """Whether a part is about as dark as the digit, which a stamp or a teacher's tick is not."""
    return bool(np.median(peaks[part]) >= _SAME_PEN * np.median(peaks[digit]))


def _near(digit: Part, others: list[Part], cells: Counts) -> list[Part]:
    """The parts within reach of the digit, or of one that is; small ones must be nearer."""
    near: list[Part] = []
    reach = _REACH * (max(int(np.ptp(at)) for at in digit) + 1)
    small = [part for part in others if cells[part].sum() < _WORTH_A_WORD * cells[digit].sum()]
    within = np.zeros(cells.shape, dtype=bool)
    within[digit] = True
    left = others
    while left:
        close, far = (over_squares(within, 1 + round(each), np.logical_or) for each in (reach / 2, reach))
        found = [part for part in left if (close if any(part is each for each in small) else far)[part].any()]
        if not found:
            break
        near += found
        left = [part for part in left if not any(part is each for each in found)]
        for part in found:
            within[part] = True
    return near


def _where(read: list[Part], others: list[Part], count: int) -> str:
    """The parts that are read, by their place among the others."""
    (top, bottom), (left, right) = (_span(read, axis) for axis in (0, 1))
    (first, last), (leftmost, rightmost) = (_span(others, axis) for axis in (0, 1))
    ones = "one" if count == 1 else "ones"
    if right < leftmost or left > rightmost:
        return f"the {'left' if right < leftmost else 'right'} {ones}"
    if bottom < first or top > last:
        return f"the {'upper' if bottom < first else 'lower'} {ones}"
    return f"the {ones} near the middle"


def _span(parts: list[Part], axis: int) -> tuple[int, int]:
    """The first and the last row, or column, of some parts."""
    return min(int(part[axis].min()) for part in parts), max(int(part[axis].max()) for part in parts)


def _is_cut(part: Part, cells: NDArray[np.integer]) -> bool:
    """Whether a part touches the edge of the picture."""
    return any(indices.min() == 0 or indices.max() == side - 1 for indices, side in zip(part, cells.shape, strict=True))
