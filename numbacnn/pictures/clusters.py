"""The two clusters of grey in a picture, and which of them is ink when ink fills the picture up to its edge.

Source: N. Otsu, "A threshold selection method from gray-level histograms", 1979.
"""

import numpy as np
from numpy.typing import NDArray

from numbacnn.pictures.parts import SPECK, Part, border, connected

LEAST_SEPARATION = 0.85
"""Share of the variance between the clusters: two levels with soft edges have more, an even slope of light has 0.75."""

_MOST_PIXELS = 20_000  # for the histogram: more add no knowledge of the clusters
_CELLS = 72  # of the long side, for the parts: a thin pen would fall between fewer
_MOST_INK = 0.85  # of the picture: a bold digit cropped to its box covers two thirds, a page has more paper than this
_MOST_OF_BORDER = 0.7  # ink: a bold digit fills half of its border at most, but the corners of a page leave it nine tenths

Floats = NDArray[np.floating]


def dividing_level(grey: Floats) -> float | None:
    """The level between a dark and a bright cluster, or None where a picture has no two clear clusters.

    Args:
        grey: levels 0...255 (h, w).
    """
    level, share = _best_division(grey)
    return level if share >= LEAST_SEPARATION else None


def separation(grey: Floats) -> float:
    """The share of the variance, 0...1, that lies between the dark and the bright cluster of a picture (h, w)."""
    return _best_division(grey)[1]


def _best_division(grey: Floats) -> tuple[float, float]:
    """The level that divides a picture best, and the share of the variance that lies between its two sides."""
    step = max(1, int((grey.size / _MOST_PIXELS) ** 0.5))
    counts = np.bincount(grey[::step, ::step].astype(np.uint8).ravel(), minlength=256).astype(np.float64)
    levels = np.arange(256)
    share = counts / counts.sum()
    mean = float(share @ levels)
    variance = float(share @ (levels - mean) ** 2)
    dark, moment = share.cumsum()[:-1], (share * levels).cumsum()[:-1]
    product = dark * (1 - dark)
    between = np.divide((mean * dark - moment) ** 2, product, out=np.zeros_like(dark), where=product > 1e-9)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))  # a gap between the clusters gives a row of equal ones
    return float(best[0] + best[-1] + 1) / 2, float(between[best[0]]) / variance if variance else 0.0


def ink_is_bright(grey: Floats) -> bool | None:
    """Whether the bright cluster is a digit that is cropped to its box, or the dark one is; None if neither looks so.

    Such a digit touches all four sides and cuts its paper into pieces, most of them at the edge.

    Args:
        grey: levels 0...255 (h, w).
    """
    level = dividing_level(grey)
    if level is None:
        return None
    share = float((border(grey) > level).mean())
    if not 1 - _MOST_OF_BORDER < share < _MOST_OF_BORDER:
        return None
    cells = tuple(max(1, side * _CELLS // max(grey.shape)) for side in grey.shape)
    rows, columns = (np.linspace(0, side - 1, number).astype(np.intp) for side, number in zip(grey.shape, cells, strict=True))
    bright = grey[np.ix_(rows, columns)] > level
    found = [is_bright for is_bright in (True, False) if _is_cropped_digit(bright == is_bright)]
    return found[0] if len(found) == 1 else None


def _is_cropped_digit(ink: NDArray[np.bool_]) -> bool:
    """Whether ink is one part that touches all four sides, and the paper beside it several."""
    if min(ink.shape) < 6 or ink.mean() > _MOST_INK:
        return False
    parts = sorted(connected(ink.astype(np.int64)), key=lambda part: part[0].size)
    if not parts or sum(part[0].size for part in parts[:-1]) > SPECK * parts[-1][0].size:
        return False
    if _sides(parts[-1], ink.shape, slack=1) < 4:  # a round end may touch the edge with one faint pixel
        return False
    at_edge = [part for part in connected((~ink).astype(np.int64)) if _sides(part, ink.shape)]
    return len(at_edge) > 1


def _sides(part: Part, shape: tuple[int, ...], slack: int = 0) -> int:
    """How many sides of the picture a part touches."""
    return sum(
        int(indices.min() <= slack) + int(indices.max() >= side - 1 - slack) for indices, side in zip(part, shape, strict=True)
    )
