"""Outputs and filters as small pictures: 0 is black, larger values are brighter; where some are negative, they are blue."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from numbacnn.inspection.tracing import LayerTrace
from numbacnn.layers import Conv2D, DepthwiseConv2D

Pixels = NDArray[np.uint8]

POSITIVE, NEGATIVE = (255, 190, 80), (80, 160, 255)
"""Colours of the largest and of the least value, where some are negative; alike in brightness, and told apart by the colour-blind."""

HEAT = (230, 60, 30)


class Scale(NamedTuple):
    """The values that pictures of one layer share: ``low`` is at most 0, ``high`` at least 0."""

    low: float
    high: float

    @classmethod
    def of(cls, values: NDArray) -> "Scale":
        return cls(min(0.0, float(values.min())), max(0.0, float(values.max())))

    def grey(self, values: NDArray) -> Pixels:
        """Brightness from ``low``, black, to ``high``, white."""
        span = (self.high - self.low) or 1.0
        return np.rint(255 * np.clip((values - self.low) / span, 0, 1)).astype(np.uint8)

    def colours(self, values: NDArray) -> Pixels:
        """Pixels (..., 3): grey where nothing is negative, else 0 is black, and the two signs have colours of their own."""
        if self.low >= 0:
            return np.repeat(self.grey(values)[..., None], 3, axis=-1)
        share = values / (max(self.high, -self.low) or 1.0)
        colour = np.where(share[..., None] >= 0, np.array(POSITIVE), np.array(NEGATIVE))
        return np.rint(np.clip(np.abs(share), 0, 1)[..., None] * colour).astype(np.uint8)


def image_pixels(image: NDArray) -> Pixels:
    """An image as pixels (h, w, 1) or (h, w, 3): floats by their own scale, other numbers of channels by their mean."""
    if image.shape[2] not in (1, 3):
        image = image.mean(axis=2, keepdims=True)
    return image if image.dtype == np.uint8 else Scale.of(image).grey(image)


def shrunk(values: NDArray, side: int) -> NDArray[np.float32]:
    """A map of at most ``side`` rows and columns: means of blocks where it is larger."""
    factor = -(-max(values.shape) // side)
    if factor == 1:
        return values.astype(np.float32)
    height, width = (-(-length // factor) for length in values.shape)
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BOX))


def in_rows(values: NDArray, columns: int) -> NDArray[np.float32]:
    """A vector in rows of ``columns``, filled up with zeros."""
    rows = -(-len(values) // columns)
    return np.pad(values, (0, rows * columns - len(values))).reshape(rows, columns)


def strip_columns(count: int, most: int) -> int:
    """The columns in which ``count`` units make a long, low picture."""
    return min(count, most, max(16, math.ceil(math.sqrt(8 * count))))


def repeats(layer: LayerTrace, before: Sequence[LayerTrace]) -> str | None:
    """The name of an earlier layer with the same numbers in the same order, as after a Flatten; None if there is none."""
    for other in reversed(before):
        if other.values.size == layer.values.size and np.array_equal(other.values.reshape(-1), layer.values.reshape(-1)):
            return other.name
    return None


def filters(layer: Conv2D | DepthwiseConv2D, kernel: NDArray) -> NDArray[np.float32]:
    """The filters of a convolution in the order of its maps, (maps, channels, height, width); those of a depthwise one see one channel.

    Args:
        kernel: (kh, kw, channels, filters), or of a depthwise layer (kh, kw, channels, multiplier).
    """
    if isinstance(layer, DepthwiseConv2D):
        kh, kw, channels, multiplier = kernel.shape
        kernel = kernel.reshape(kh, kw, 1, channels * multiplier)
    return np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
