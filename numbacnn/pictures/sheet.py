"""A bright sheet of paper on a darker desk, lying askew: the desk around it is filled with the sheet's own paper."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from numbacnn.pictures.clusters import dividing_level
from numbacnn.pictures.parts import SPECK, border, connected, over_squares

_CELLS = 128  # of the long side, for finding the sheet
_LEAST_SHEET = 0.2  # of the picture
_MOST_DESK_AT_EDGE = 0.95  # share of the edge that is dark at least
_RECTANGLE = 0.93  # of the smallest box around it, at any angle, that a sheet fills; an ellipse fills 0.785
_BESIDE = 0.08  # share of a sheet seen from the side that differs from a quadrilateral; of MNIST's zeros, filled, 0.16 at least
_BLOCK = 0.88  # the same, of small parts, whose edges are coarse
_MOST_INK = 0.4  # of the sheet
_SHADOW = 0.02  # of the long side: a soft edge of the sheet

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]


def on_its_sheet(grey: Floats, steps: list[str]) -> Floats:
    """The picture with the desk filled; as it is where no bright rectangle with ink lies within a dark border.

    Args:
        grey: levels 0...255 (h, w).
        steps: takes a sentence if a desk was filled.
    """
    sides = border(grey)
    level = dividing_level(grey) if min(grey.shape) >= 16 else None
    if level is None or (sides <= level).mean() < _MOST_DESK_AT_EDGE:
        return grey
    step = -(-max(grey.shape) // _CELLS)
    bright = grey[::step, ::step] > level
    parts = sorted(connected(bright.astype(np.int64)), key=lambda part: part[0].size)
    sheet = np.zeros_like(bright)
    sheet[parts[-1]] = True
    filled = _filled(sheet)
    if (
        filled.mean() < _LEAST_SHEET
        or (bright & ~filled).sum() > SPECK * filled.sum()
        or not (is_rectangle(filled) or _is_quadrilateral(filled))
    ):
        return grey
    page = _shrunk(filled, max(1, round(_SHADOW * max(filled.shape))))
    ink = page & ~sheet
    if ink.sum() > _MOST_INK * filled.sum() or not _has_form(ink):
        return grey
    page = page.repeat(step, axis=0).repeat(step, axis=1)[: grey.shape[0], : grey.shape[1]]
    steps.append("desk around the sheet left out")
    return np.where(page, grey, np.median(grey[page & (grey > level)])).astype(grey.dtype)


def _filled(mask: Mask) -> Mask:
    """A part with its holes, as seen from the left and right and from above and below."""
    rows = np.logical_or.accumulate(mask, axis=1) & np.logical_or.accumulate(mask[:, ::-1], axis=1)[:, ::-1]
    columns = np.logical_or.accumulate(mask, axis=0) & np.logical_or.accumulate(mask[::-1], axis=0)[::-1]
    return rows & columns


def _has_form(ink: Mask) -> bool:
    """Whether ink has a part that is no block: blocks could be the holes of a bright digit drawn with straight lines."""
    parts = connected(ink.astype(np.int64))
    largest = max((part[0].size for part in parts), default=0)
    for part in parts:
        alone = np.zeros_like(ink)
        alone[part] = True
        if part[0].size > SPECK * largest and not is_rectangle(alone, _BLOCK):
            return True
    return False


def is_rectangle(mask: Mask, share: float = _RECTANGLE) -> bool:
    """Whether a part (h, w) fills the smallest box around it, turned by any angle."""
    y, x = _edge_of(mask)
    angles = np.deg2rad(np.arange(0, 90, 2))[:, None]
    spans = [np.ptp(x * a + y * b, axis=1) + 1 for a, b in ((np.cos(angles), np.sin(angles)), (-np.sin(angles), np.cos(angles)))]
    return bool(mask.sum() >= share * (spans[0] * spans[1]).min())


def _is_quadrilateral(mask: Mask) -> bool:
    """Whether a part is what four points at its edge enclose, as a sheet is that is seen from the side."""
    y, x = _edge_of(mask)
    angles = np.deg2rad(np.arange(0, 90, 3))[:, None]
    corners = np.stack([(x * a + y * b).argmax(axis=1) for a, b in zip(*_quarter_turns(angles), strict=True)])
    across, down = x[corners], y[corners]
    areas = np.abs((across * np.roll(down, -1, axis=0) - down * np.roll(across, -1, axis=0)).sum(axis=0))
    best = int(areas.argmax())
    enclosed = Image.new("1", mask.shape[::-1])
    ImageDraw.Draw(enclosed).polygon(list(zip(across[:, best].tolist(), down[:, best].tolist(), strict=True)), fill=1, outline=1)
    return bool((np.asarray(enclosed) != mask).sum() <= _BESIDE * mask.sum())


def _quarter_turns(angles: Floats) -> tuple[list[Floats], list[Floats]]:
    """Cosines and sines of some angles, and of the same turned by a quarter, a half and three quarters."""
    turned = [angles + quarter * np.pi / 2 for quarter in range(4)]
    return [np.cos(each) for each in turned], [np.sin(each) for each in turned]


def _edge_of(mask: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the cells at a part's outside."""
    rows, columns = np.nonzero(mask & ~_shrunk(mask, 1))
    return rows, columns


def _shrunk(mask: Mask, by: int) -> Mask:
    """The cells further than ``by`` cells from the outside."""
    return over_squares(mask, by, np.logical_and)
