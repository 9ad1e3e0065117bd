"""The difficulties of recognising objects, as sliders: rotation, light, deformation, size and viewpoint.

They move the picture that a network sees. What ``predict`` does to a picture before comes first: it would undo most of this.

Source: the lecture's slide "Vanilla Deep Neural Networks Challenges (2/2)".
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.errors import DataError
from numbacnn.quoting import short


class Slider(NamedTuple):
    """One difficulty, with the range of its strength.

    Args:
        low, high: the least and the largest value.
        neutral: the value that changes nothing.
        step: between two values of the slider.
        unit: the value with its unit, where ``{}`` stands for the number.
        effect: what it does, in words.
    """

    low: float
    high: float
    neutral: float
    step: float
    unit: str
    effect: str


SLIDERS = {
    "rotation": Slider(-90, 90, 0, 1, "{}°", "turned clockwise"),
    "light": Slider(-1, 1, 0, 0.05, "{}", "below 0 the ink fades to a tenth, above 0 all is lit by up to 128 of 255"),
    "bend": Slider(-4, 4, 0, 0.1, "{} px", "rows are pushed aside along a sine wave: not an affine change"),
    "size": Slider(0.4, 1.6, 1, 0.02, "× {}", "smaller or larger"),
    "viewpoint": Slider(-60, 60, 0, 1, "{}°", "a sheet of paper seen from the side"),
}
"""By name, in the order of the slide's list."""

NEUTRAL = {name: slider.neutral for name, slider in SLIDERS.items()}

FAINTEST = 0.1
"""The share of the ink's brightness that is left at the lower end of ``light``."""
BRIGHTEST = 128
"""Grey levels of 255 that its upper end adds."""
DISTANCE = 2.0
"""Of the eye from the sheet, in sides of the picture."""
USUAL_SIDE = 28
"""Pixels of a side for which ``bend`` counts; it grows with the picture."""


def check_strengths(strengths: dict[str, float]) -> dict[str, float]:
    """The strength of every difficulty; those that are not given are neutral.

    Raises:
        DataError: there is no such difficulty, or a strength is out of its range.
    """
    for name, value in strengths.items():
        if name not in SLIDERS:
            raise DataError(f"slider: expected one of {', '.join(SLIDERS)}, got {short(name)}. Use one of these")
        low, high = SLIDERS[name][:2]
        if not low <= value <= high:  # false for NaN
            raise DataError(f"{name}: expected a number from {low:g} to {high:g}, got {short(value)}. Move the slider")
    return NEUTRAL | strengths


def distort(pixels: NDArray[np.uint8], strengths: dict[str, float]) -> NDArray[np.uint8]:
    """A picture, uint8 (height, width), moved and lit; unchanged to the bit where all strengths are neutral.

    Raises:
        DataError: as ``check_strengths``.
    """
    strengths = check_strengths(strengths)
    levels = pixels.astype(np.float64)
    if any(strengths[name] != SLIDERS[name].neutral for name in SLIDERS if name != "light"):
        levels = _read_between(levels, *_sources(pixels.shape, strengths))
    return np.rint(_lit(levels, strengths["light"])).astype(np.uint8)


def _lit(levels: NDArray[np.float64], light: float) -> NDArray[np.float64]:
    if light < 0:
        return levels * (1 + (1 - FAINTEST) * light)
    return np.minimum(levels + BRIGHTEST * light, 255)


def _sources(shape: tuple[int, ...], strengths: dict[str, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The row and column that each pixel of the result is read from.

    A picture is made larger, bent, turned, and then seen from the side, so a pixel is traced back in the other order. The fixed
    point is half a side, where MNIST's digits have their centre of mass.
    """
    height, width = shape
    side = min(height, width)
    y, x = np.meshgrid(np.arange(height) - height / 2, np.arange(width) - width / 2, indexing="ij")
    # A point (x, y) of the sheet, turned about the vertical axis, is seen at (x cos, y) / (1 + x sin / distance).
    angle, distance = math.radians(strengths["viewpoint"]), DISTANCE * side
    x = distance * x / (distance * math.cos(angle) - x * math.sin(angle))
    y = y * (1 + x * math.sin(angle) / distance)
    angle = math.radians(strengths["rotation"])
    x, y = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    x = x - strengths["bend"] * side / USUAL_SIDE * np.sin(2 * math.pi * y / side)
    return y / strengths["size"] + height / 2, x / strengths["size"] + width / 2


def _read_between(levels: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bilinear interpolation; outside of the picture it is black."""
    padded = np.pad(levels, 1)
    y, x = (np.clip(place + 1, 0, side - 1.000001) for place, side in zip((y, x), padded.shape, strict=True))
    i, j = y.astype(int), x.astype(int)
    v, u = y - i, x - j
    upper = padded[i, j] * (1 - u) + padded[i, j + 1] * u
    lower = padded[i + 1, j] * (1 - u) + padded[i + 1, j + 1] * u
    return upper * (1 - v) + lower * v
