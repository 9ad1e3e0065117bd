"""The difficulties of recognising objects, as sliders: rotation, light, deformation, size and viewpoint.

They move the picture that a network sees, as ``lecture challenges`` moves test images. What ``predict`` does to a picture comes
before: it would undo most of this.

Source: the lecture's slide "Vanilla Deep Neural Networks Challenges (2/2)".
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.errors import DataError
from numbacnn.lecture.perturbations import FAMILIES
from numbacnn.quoting import short

Pixels = NDArray[np.uint8]


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
    "bend": Slider(-4, 4, 0, 0.1, "{} px", "rows and columns are pushed aside along sine waves: no affine change"),
    "size": Slider(0.4, 1.6, 1, 0.02, "× {}", "smaller or larger"),
    "viewpoint": Slider(-0.8, 0.8, 0, 0.02, "{}", "the share by which the upper border is narrower, or below 0 the lower one"),
}
"""By name, in the order of the slide's list."""

NEUTRAL = {name: slider.neutral for name, slider in SLIDERS.items()}

FAINTEST = 0.1
"""The factor of the ink at the lower end of ``light``."""
BRIGHTEST = 128
"""Grey levels that its upper end adds."""


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


def distort(pixels: Pixels, strengths: dict[str, float]) -> Pixels:
    """A picture, uint8 (height, width), moved and lit; unchanged to the bit where all strengths are neutral.

    Larger or smaller first, then bent, turned, seen from another side, and lit: each from the result of the one before.

    Raises:
        DataError: as ``check_strengths``.
    """
    strengths = check_strengths(strengths)
    for name, family in (("size", "size"), ("bend", "deformation"), ("rotation", "rotation"), ("viewpoint", "keystone")):
        if strengths[name] != SLIDERS[name].neutral:
            pixels = _changed(pixels, family, strengths[name])
    light = strengths["light"]
    if light < 0:
        return _changed(pixels, "contrast", FAINTEST + (1 - FAINTEST) * (1 + light))
    return _changed(pixels, "brightness", BRIGHTEST * light) if light else pixels


def _changed(pixels: Pixels, family: str, strength: float) -> Pixels:
    """One picture, changed. Of two pictures, a family with opposite directions takes the second the other way: for strengths below 0."""
    both = np.stack([pixels, pixels])[..., np.newaxis]
    return FAMILIES[family].change(both, abs(strength))[int(strength < 0), :, :, 0]
