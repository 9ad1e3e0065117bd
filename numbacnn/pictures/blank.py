"""Ink that is no digit: the frame of an empty page or form, or a block, as an empty sheet on a desk is."""

import numpy as np
from numpy.typing import NDArray

from numbacnn.pictures.lines import is_box
from numbacnn.pictures.parts import INK_THRESHOLD, connected
from numbacnn.pictures.sheet import is_rectangle

_CELLS = 64  # of the long side
_WIDE = 0.5  # of a block's height: a one is slimmer
_THIN = 0.2  # of a frame's box that its lines cover; those of a zero cover more
_WIDE_FRAME = 0.9  # of its height: a zero is slimmer
_LEAST_OF_BLOCK = 0.45  # of its upright box, that a square covers whatever its angle
_MOST_OF_PAGE = 0.75  # of the sides, that a frame encloses

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]


def empty(ink: Floats) -> str | None:
    """What a picture shows in place of a digit, in words; None if it may show one.

    Args:
        ink: 0...1 (h, w), at least one pixel of it above ``INK_THRESHOLD``.
    """
    mask = ink > INK_THRESHOLD
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    (height, width), covered = box.shape, float(box.mean())
    if covered < _THIN:
        is_page = height >= _MOST_OF_PAGE * ink.shape[0] and width >= _MOST_OF_PAGE * ink.shape[1]
        return "an empty frame" if (is_page or width >= _WIDE_FRAME * height) and _is_frame(box) else None
    is_block = (
        covered > _LEAST_OF_BLOCK and min(height, width) >= _WIDE * max(height, width) and is_rectangle(_reduced(box) > 0.5)
    )
    return "an empty sheet or a block" if is_block else None


def _is_frame(box: Mask) -> bool:
    parts = connected((_reduced(box) > 0).astype(np.int64))
    return len(parts) == 1 and is_box(parts[0])


def _reduced(mask: Mask) -> NDArray[np.floating]:
    """Shares of blocks, at most ``_CELLS`` along the long side."""
    step = -(-max(mask.shape) // _CELLS)
    padded = np.pad(mask, ((0, -mask.shape[0] % step), (0, -mask.shape[1] % step)))
    shares: NDArray[np.floating] = padded.reshape(padded.shape[0] // step, step, -1, step).mean(axis=(1, 3))
    return shares
