"""How many images fit: for the message that tells that so many do not."""

from collections.abc import Callable

from numbacnn.errors import DeviceMemoryError
from numbacnn.ops import Ops

CLOSE_ENOUGH = 16
"""The answer is at most a sixteenth too small."""


def largest_that_fits(step: Callable[[int], None], too_many: int, ops: Ops) -> int:
    """The largest batch for which the device's memory suffices, found by trying; 0 if there is none.

    Args:
        step: takes a step with so many images.
        too_many: images for which it does not suffice.
    """
    fits = 0
    while too_many - fits > max(1, too_many // CLOSE_ENOUGH):
        middle = (fits + too_many) // 2
        if _suffices(step, middle, ops):
            fits = middle
        else:
            too_many = middle
    ops.release_memory()
    return fits


def _suffices(step: Callable[[int], None], images: int, ops: Ops) -> bool:
    ops.release_memory()
    try:
        step(images)
    except DeviceMemoryError:
        return False
    return True
