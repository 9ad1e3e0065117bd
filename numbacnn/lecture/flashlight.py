"""A filter slides over a picture like a flashlight, and writes a map of where it finds itself.

Source: the lecture's slides "Receptive Fields and Filters", "Filters Example (1/3)" and "Convolution Operation".
"""

import io
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from numbacnn.errors import DataError, ShapeError
from numbacnn.lecture.arithmetic import Arithmetic, Matrix, image, kernel, plane
from numbacnn.lecture.vectors import vectors
from numbacnn.ops import Ops
from numbacnn.pictures.decode import scaled_pixels, shape_of

MOST_SIDE = 64
"""Pixels of the longer side; a larger picture is scaled down."""
MOST_FRAMES = 1000
SCALE = 8
"""Pixels of a frame for each pixel of the picture."""
GAP = 8
DIM = 0.4
"""Brightness outside of the flashlight."""
MILLISECONDS = 60

FILTERS: dict[str, list[list[float]]] = {
    "curve": vectors()["curve_filter"]["filter"],
    "edge-h": [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
    "edge-v": [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
    "blur": [[1 / 9] * 3] * 3,
}
"""The lecture's curve detector; Sobel's horizontal and vertical edges, bright above and left of dark; the mean of 3x3 pixels."""


class Activation(NamedTuple):
    """A filter on a picture.

    Args:
        pixels: 0...255 (h, w).
        weights: the filter.
        map: the sum of products at each place.
        stride: pixels between two places.
        row, column: of the largest value in the map, the first of equals.
    """

    pixels: Matrix
    weights: Matrix
    map: Matrix
    stride: int
    row: int
    column: int

    def products(self) -> list[tuple[int, int, float, float, float]]:
        """(row, column, pixel, weight, product) at the strongest place, but for the products that are 0."""
        top, left = self.row * self.stride, self.column * self.stride
        found = []
        for u, v in np.ndindex(*self.weights.shape):
            pixel, weight = float(self.pixels[top + u, left + v]), float(self.weights[u, v])
            if pixel * weight:
                found.append((top + u, left + v, pixel, weight, pixel * weight))
        return found


def read_pixels(data: bytes, name: str, steps: list[str]) -> Matrix:
    """A picture file as light strokes on dark: 0...255 (h, w), at most ``MOST_SIDE`` long.

    Raises:
        DataError: it is no picture.
    """
    height, width, _ = shape_of(data, name)
    share = min(1.0, MOST_SIDE / max(height, width))
    size = max(1, round(height * share)), max(1, round(width * share))
    pixels = scaled_pixels(data, name, size, 1, steps)[:, :, 0].astype(np.float64)
    if pixels.mean() > 127.5:
        steps.append("inverted: its strokes are dark on light")
        pixels = 255 - pixels
    return pixels


def activate(ops: Ops, pixels: Matrix, weights: Matrix, stride: int = 1) -> Activation:
    """Slide a filter over a picture, without padding.

    Raises:
        ShapeError: the filter is larger than the picture.
    """
    if weights.shape[0] > pixels.shape[0] or weights.shape[1] > pixels.shape[1]:
        raise ShapeError(
            f"filter: expected at most the {pixels.shape[0]}x{pixels.shape[1]} pixels of the picture, got "
            f"{weights.shape[0]}x{weights.shape[1]}. Give a larger picture, or a smaller filter"
        )
    found = plane(Arithmetic(ops).conv2d(image(pixels), kernel(weights), strides=(stride, stride)))
    row, column = np.unravel_index(int(np.argmax(found)), found.shape)
    return Activation(pixels, weights, found, stride, int(row), int(column))


def stride_of_gif(pixels: Matrix, weights: Matrix) -> int:
    """The smallest stride with which ``gif`` can draw a filter at each of its places."""
    rows, columns = (whole - side + 1 for whole, side in zip(pixels.shape, weights.shape, strict=True))
    stride = 1
    while -(-rows // stride) * -(-columns // stride) > MOST_FRAMES:
        stride += 1
    return stride


def gif(activation: Activation) -> bytes:
    """The flashlight at each place in turn, beside the map as far as it is known: a frame for each cell of the map.

    Raises:
        DataError: the map has more than ``MOST_FRAMES`` cells.
    """
    if activation.map.size > MOST_FRAMES:
        raise DataError(
            f"gif: expected at most {MOST_FRAMES:,} places of the filter, got {activation.map.size:,}. Use a larger --stride, or a "
            "smaller picture"
        )
    first, *others = _frames(activation)
    packed = io.BytesIO()
    first.save(packed, "GIF", save_all=True, append_images=others, duration=MILLISECONDS, loop=0, optimize=False)
    return packed.getvalue()


def _frames(activation: Activation) -> Iterator[Image.Image]:
    pixels, weights, values, stride, _, _ = activation
    picture = _enlarged(pixels)
    dim = (picture * DIM).astype(np.uint8)
    span = max(float(np.abs(values).max()), 1e-300)
    shown = _enlarged(np.clip(values / span, 0, 1) * 255)
    size = max(picture.shape[0], shown.shape[0]), picture.shape[1] + GAP + shown.shape[1]
    canvas = np.zeros(size, np.uint8)
    canvas[: dim.shape[0], : dim.shape[1]] = dim
    right = picture.shape[1] + GAP
    for i, j in np.ndindex(*values.shape):
        cell = slice(i * SCALE, (i + 1) * SCALE), slice(j * SCALE, (j + 1) * SCALE)
        canvas[cell[0], right + cell[1].start : right + cell[1].stop] = shown[cell]
        top, left = i * stride * SCALE, j * stride * SCALE
        bottom, end = top + weights.shape[0] * SCALE, left + weights.shape[1] * SCALE
        frame = canvas.copy()
        frame[top:bottom, left:end] = picture[top:bottom, left:end]
        drawn = Image.fromarray(frame)
        ImageDraw.Draw(drawn).rectangle((left, top, end - 1, bottom - 1), outline=255)
        yield drawn


def _enlarged(values: Matrix) -> np.ndarray:
    return np.rint(values).astype(np.uint8).repeat(SCALE, axis=0).repeat(SCALE, axis=1)
