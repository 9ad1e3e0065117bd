"""What surrounds a page: a frame along the edge, black bars, or the desk that a sheet lies on. All are bands of one level."""

import numpy as np
from numpy.typing import NDArray

from numbacnn.pictures.parts import SPECK, border, connected

_EVEN = 24  # levels within a band, and within the edge of a page
_NARROW = 0.04  # of the side: a brighter band that is wider is the page's own margin
_CORNERS = 2  # pixels of a soft line that are darker, as it meets another at its ends
_MOST_BANDS = 6  # a desk, a margin, a soft line of three levels, a margin
_LEAST_PAGE = 0.2  # of the picture
_MOST_INK = 0.5  # of the page: what fills more is the page itself, and its edge is ink
_MOST_INK_AT_EDGE = 0.05
_MOST_OF_BOX = 0.93  # that a part may cover: a block covers all of its box
_CELLS = 96  # of the long side, for the parts
_WIDEST_BAR = 0.2  # of the side
_OFF_BAR = 60  # levels between a bar and the middle of the page
_LEAST_OF_BAR = 0.97  # of its pixels are that far off
_MOST_BESIDE_BAR = 0.01  # of the page's edge: a stroke that leaves a bar is wider

Floats = NDArray[np.floating]


def without_surround(grey: Floats, steps: list[str]) -> Floats:
    """The page within a frame, bars or a desk; the picture itself where there is none.

    Args:
        grey: levels 0...255 (h, w), ink dark or bright.
        steps: takes a sentence if something was left out.
    """
    page = inner = grey
    for _ in range(_MOST_BANDS):
        within = _within_band(inner)
        if within is None or within.size < _LEAST_PAGE * grey.size:
            break
        inner = within
        if _holds_ink(inner):
            page = inner
    if page is grey:
        page = _within_bars(grey)
    if page is not grey:
        steps.append(f"frame or surroundings left out, to {page.shape[1]}x{page.shape[0]}")
    return page


def _within_bars(grey: Floats) -> Floats:
    """What lies within dark bars along some sides, as the bezel of a screen in a photograph; the picture itself if there are none.

    A photograph's noise and light make the bars uneven. A bar of a digit is none: a stroke leaves it.
    """
    if min(grey.shape) < 3 * _EVEN:
        return grey
    step = max(1, max(grey.shape) // 100)
    middle = float(np.median(grey[::step, ::step]))
    is_off = grey < middle - _OFF_BAR
    rows, columns = (_between(share >= _LEAST_OF_BAR) for share in (is_off[:, ::step].mean(axis=1), is_off[::step].mean(axis=0)))
    page, off = grey[rows, columns], is_off[rows, columns]
    if (
        page.shape == grey.shape
        or min(after / before for before, after in zip(grey.shape, page.shape, strict=True)) < 1 - _WIDEST_BAR
    ):
        return grey
    beside = border(off).mean()
    return page if beside <= _MOST_BESIDE_BAR else grey


def _between(is_bar: NDArray[np.bool_]) -> slice:
    """The lines between the bars at both ends; a soft one beside a bar belongs to it."""
    page = np.flatnonzero(~is_bar)
    if page.size == 0:
        return slice(0, len(is_bar))
    first, last = int(page[0]), int(page[-1]) + 1
    return slice(first + (first > 0), last - (last < len(is_bar)))


def _within_band(grey: Floats) -> Floats | None:
    """What lies within the bands of one level along the edge; None if that is no page of another level."""
    inner = _trimmed(grey)
    if inner is None or inner.shape == grey.shape or min(inner.shape) < 3:
        return None
    band, (level, off_level) = _outermost(grey), _edge(inner)
    if band is None or off_level > _MOST_INK_AT_EDGE:
        return None
    widest = max((before - after) / before for before, after in zip(grey.shape, inner.shape, strict=True)) / 2
    return inner if band < level or widest <= _NARROW else None


def _outermost(grey: Floats) -> float | None:
    """The level of a band along the edge."""
    lines = (grey[0], grey[-1], grey[:, 0], grey[:, -1])
    levels = [float(np.median(line)) for line in lines if line.size > 2 and np.ptp(line[1:-1]) <= _EVEN]
    return levels[0] if levels else None


def _trimmed(grey: Floats) -> Floats | None:
    """The picture without the rows and columns at its edge that have the level of the outermost; None if nothing is left."""
    level = _outermost(grey)
    if level is None:
        return grey
    is_other = np.abs(grey - level) > _EVEN
    rows, columns = (np.flatnonzero(is_other.sum(axis=axis) > _CORNERS) for axis in (1, 0))
    if not (rows.size and columns.size):
        return None
    return grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _edge(grey: Floats) -> tuple[float, float]:
    """The usual level along the four sides, and the share of them that is not of it."""
    sides = border(grey)
    level = float(np.median(sides))
    return level, float((np.abs(sides - level) > _EVEN).mean())


def _holds_ink(page: Floats) -> bool:
    """Whether a page has ink of some form: blocks that fill their boxes could be the holes of a digit drawn with straight lines."""
    level, _ = _edge(page)
    is_ink = np.abs(page - level) > _EVEN
    if not 0 < is_ink.mean() <= _MOST_INK:
        return False
    step = -(-max(page.shape) // _CELLS)
    parts = connected(is_ink[::step, ::step].astype(np.int64))
    largest = max((part[0].size for part in parts), default=0)
    return any(
        part[0].size < _MOST_OF_BOX * (np.ptp(part[0]) + 1) * (np.ptp(part[1]) + 1)
        for part in parts
        if part[0].size > SPECK * largest
    )
