"""From the values of images to the numbers that a network's first layer reads: a part of each trained network."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Normalisation(NamedTuple):
    """The type of the images' values, and their factor.

    Args:
        dtype: ``"uint8"`` for pixels 0...255, ``"float32"`` for numbers.
        scale: factor of each value.
    """

    dtype: str
    scale: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a file."""
        values: dict[str, Any] = {"scale": self.scale, "offset": 0.0}
        return values if self.dtype == "uint8" else values | {"dtype": self.dtype}


PIXEL_SCALE = 1 / 255
"""Factor of pixels 0...255, to numbers 0...1."""

PIXELS = Normalisation("uint8", PIXEL_SCALE)
RAW_PIXELS = Normalisation("uint8", 1.0)
"""Pixels as numbers 0...255, as the lecture's listings feed them: a network learns worse from them."""
NUMBERS = Normalisation("float32", 1.0)

COST_OF_RAW_PIXELS = (
    "after three epochs, dense128 answers 81 to 87 % of MNIST's test images right (seeds 0 to 2), "
    "and 97.4 to 97.5 % with pixels scaled to 0...1"
)
"""What ``train --model dense128 --epochs 3`` prints with and without ``--raw-pixels``."""

NORMALISATIONS = (PIXELS, RAW_PIXELS, NUMBERS)


def read_normalisation(values: object) -> Normalisation | None:
    """Undo ``to_dict``; None for values that are no normalisation of this version."""
    if isinstance(values, Mapping):
        for known in NORMALISATIONS:
            if known.to_dict() == values:
                return known
    return None
