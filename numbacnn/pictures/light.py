"""Uneven light that no smooth surface follows: a shadow across the page, a fold, a lamp close to a corner, stains, wiped boards.

The light is what a median over a window shows, which thin strokes do not disturb and which keeps the edges of shadows.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from numbacnn.pictures.clusters import separation
from numbacnn.pictures.parts import border, over_squares

_CELLS = 40  # of the long side, for the light
_WINDOW = 11  # of these: strokes are thinner than half of it
_UNEVEN = 12  # levels between the darkest and the brightest cell along the edge
_ROUNDS = 3  # in which the light around wide strokes reaches their middle
_GAIN = 0.02  # share of the variance that becomes one between paper and ink
_DARKEST = 16  # level of the light, for dividing by it
_LEAST_INK = 8  # levels between a cell and the light: an empty page has only noise
_INK = 0.3  # of the strongest difference from the light

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]


def evened(grey: Floats, steps: list[str]) -> Floats:
    """The picture in even light; as it is where that would not tell paper and ink better apart.

    Args:
        grey: levels 0...255 (h, w), ink dark or bright.
        steps: takes a sentence if the light was evened.
    """
    if min(grey.shape) < _CELLS // 2:
        return grey
    coarse = _coarse(grey)
    if np.ptp(border(coarse)) < _UNEVEN:
        return grey
    before = separation(grey)
    if before + _GAIN > 1:  # the most that can be reached, as of a digit cropped to its box
        return grey
    light = np.asarray(Image.fromarray(np.rint(coarse).astype(np.uint8)).filter(ImageFilter.MedianFilter(_WINDOW)), np.float32)
    difference = coarse - light
    if np.abs(difference).max() < _LEAST_INK:
        return grey
    is_ink = np.abs(difference) > _INK * np.abs(difference).max()
    is_dark = float(difference[is_ink].sum()) < 0
    for _ in range(_ROUNDS):
        difference = (light - coarse) if is_dark else (coarse - light)
        light = _filled_in(light, difference > _INK * difference.max())
    low, high = (_enlarged(_beside(light, extreme), grey.shape) for extreme in (np.minimum, np.maximum))
    even = _without(grey, np.clip(grey, low, high), is_dark)
    if separation(even) < before + _GAIN:
        return grey
    steps.append("uneven light evened out")
    return even


def _filled_in(light: Floats, is_ink: Mask) -> Floats:
    """The light with the cells around ink from those further away: strokes wider than half of the window darken it."""
    around = over_squares(is_ink, 2, np.logical_or)
    weight = over_squares((~around).astype(np.float32), _WINDOW // 2, np.add)
    mean = over_squares(np.where(around, 0, light), _WINDOW // 2, np.add) / np.maximum(weight, 1)
    return np.where(around & (weight > 0), mean, light)


def _without(grey: Floats, light: Floats, is_dark: bool) -> Floats:
    """The picture with paper of one level: white below dark ink, which reflects a share of the light; else the usual one."""
    if is_dark:
        return np.clip(255 * grey / np.maximum(light, _DARKEST), 0, 255)
    return np.clip(grey - light + np.median(light), 0, 255)


def _beside(values: Floats, extreme: np.ufunc) -> Floats:
    """The extreme of each cell and its neighbours."""
    return over_squares(np.pad(values, 1, mode="edge"), 1, extreme)[1:-1, 1:-1]


def _coarse(grey: Floats) -> Floats:
    """Means of blocks."""
    side = max(grey.shape)
    height, width = (max(1, round(length * _CELLS / side)) for length in grey.shape)
    image = Image.fromarray(np.ascontiguousarray(grey, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def _enlarged(coarse: Floats, shape: tuple[int, ...]) -> Floats:
    height, width = shape
    return np.asarray(Image.fromarray(coarse.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))
