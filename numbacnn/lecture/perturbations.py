"""Changes of an image that leave its digit what it is: the five difficulties of the lecture, and shift.

Source: the lecture's slide "Vanilla Deep Neural Networks Challenges (2/2)": rotation, lighting, deformation, scale, viewpoint.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float64]
Places = Callable[[Plane, Plane, float], tuple[Plane, Plane]]
"""From the row and column of a pixel, counted from the centre, to the place in the image that it shows."""

WAVE = 14.0
"""Pixels of one wave of the deformation."""


class Family(NamedTuple):
    """One kind of change.

    Args:
        difficulty: the lecture's word for it.
        unit: what a strength counts, in words.
        strengths: at which networks are compared, in the order of their curve.
        neutral: the strength that changes nothing.
        change: from images (n, height, width, channels) and a strength to images.
    """

    difficulty: str
    unit: str
    strengths: tuple[float, ...]
    change: Callable[[Pixels, float], Pixels]
    neutral: float = 0

    def curve(self) -> list[float]:
        """The strengths with the neutral one, in order."""
        falls = self.strengths[0] > self.strengths[-1] or self.strengths[-1] < self.neutral
        return sorted((*self.strengths, self.neutral), reverse=falls)


def warp(images: Pixels, rows: Plane, columns: Plane) -> Pixels:
    """Images whose every pixel shows another place, between pixels by bilinear interpolation; what lies outside is 0.

    Args:
        images: uint8 (n, height, width, channels).
        rows, columns: (height, width), the place that each pixel shows.
    """
    count, height, width, channels = images.shape
    padded = np.zeros((count, height + 2, width + 2, channels), np.float32)
    padded[:, 1:-1, 1:-1] = images
    rows = np.clip(rows + 1, 0, height + 1 - 1e-6)
    columns = np.clip(columns + 1, 0, width + 1 - 1e-6)
    top, left = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    down = (rows - top).astype(np.float32)[..., None]
    across = (columns - left).astype(np.float32)[..., None]
    result = padded[:, top, left] * ((1 - down) * (1 - across))
    result += padded[:, top, left + 1] * ((1 - down) * across)
    result += padded[:, top + 1, left] * (down * (1 - across))
    result += padded[:, top + 1, left + 1] * (down * across)
    return np.rint(result).astype(np.uint8)


def _moved(*ways: Places) -> Callable[[Pixels, float], Pixels]:
    """A change of places; where there are several ways, such as left and right, the images take them in turn."""

    def change(images: Pixels, strength: float) -> Pixels:
        height, width = images.shape[1:3]
        middle = (height - 1) / 2, (width - 1) / 2
        y, x = np.mgrid[:height, :width].astype(np.float64)
        result = np.empty_like(images)
        for turn, way in enumerate(ways):
            rows, columns = way(y - middle[0], x - middle[1], strength)
            result[turn :: len(ways)] = warp(images[turn :: len(ways)], rows + middle[0], columns + middle[1])
        return result

    return change


def _turned(y: Plane, x: Plane, degrees: float) -> tuple[Plane, Plane]:
    angle = np.deg2rad(degrees)
    return y * np.cos(angle) - x * np.sin(angle), y * np.sin(angle) + x * np.cos(angle)


def _waved(y: Plane, x: Plane, pixels: float) -> tuple[Plane, Plane]:
    return y + pixels * np.sin(2 * np.pi * x / WAVE), x + pixels * np.sin(2 * np.pi * y / WAVE)


def _keystone(y: Plane, x: Plane, share: float) -> tuple[Plane, Plane]:
    """The upper border is narrower by the share, the middle row by half of it."""
    half = np.abs(y).max()
    return y, x / (1 - share * (half - y) / (2 * half))


def _opposite(way: Places) -> Places:
    """The same by the negative strength."""
    return lambda y, x, strength: way(y, x, -strength)


def _upside_down(way: Places) -> Places:
    def places(y: Plane, x: Plane, strength: float) -> tuple[Plane, Plane]:
        rows, columns = way(-y, x, strength)
        return -rows, columns

    return places


def _shifted(down: int, right: int) -> Places:
    return lambda y, x, pixels: (y - down * pixels, x - right * pixels)


def _brightened(images: Pixels, levels: float) -> Pixels:
    return np.clip(images.astype(np.float64) + levels, 0, 255).round().astype(np.uint8)


def _faded(images: Pixels, factor: float) -> Pixels:
    return np.rint(images * factor).astype(np.uint8)


def _inverted(images: Pixels, share: float) -> Pixels:
    return np.rint(images + share * (255 - 2.0 * images)).astype(np.uint8)


FAMILIES = {
    "rotation": Family("rotation", "degrees", (10, 20, 30, 45, 60, 90), _moved(_turned, _opposite(_turned))),
    "brightness": Family("lighting", "levels added", (32, 64, 96, 128), _brightened),
    "contrast": Family("lighting", "factor", (0.5, 0.3, 0.2, 0.1), _faded, neutral=1),
    "inversion": Family("lighting", "ink and paper exchanged", (1,), _inverted),
    "deformation": Family("deformation", "pixels of a sine", (1, 1.5, 2, 2.5, 3), _moved(_waved, _opposite(_waved))),
    "size": Family("scale", "factor", (1.4, 1.2, 0.85, 0.7, 0.6, 0.5), _moved(lambda y, x, factor: (y / factor, x / factor)), neutral=1),
    "shear": Family("viewpoint", "columns a row", (0.2, 0.4, 0.6, 0.8),
                    _moved(lambda y, x, share: (y, x + share * y), lambda y, x, share: (y, x - share * y))),
    "keystone": Family("viewpoint", "share of a border", (0.2, 0.4, 0.6, 0.8), _moved(_keystone, _upside_down(_keystone))),
    "shift": Family("place", "pixels", (1, 2, 3, 4), _moved(*(_shifted(*way) for way in ((0, 1), (0, -1), (1, 0), (-1, 0))))),
}  # fmt: skip
"""By name. Images take opposite directions, where there are any, in turn."""


def permuted(images: Pixels, order: NDArray[np.int64]) -> Pixels:
    """Images whose pixels are rearranged, all in the same way.

    Args:
        order: the index in the flattened image of each pixel's new value, int64 (height * width,).
    """
    count, height, width, channels = images.shape
    return np.ascontiguousarray(images.reshape(count, height * width, channels)[:, order].reshape(images.shape))
