"""The largest batch that fits the device's memory, for the message that a larger one does not."""

from collections.abc import Callable

from numbacnn.errors import DeviceMemoryError
from numbacnn.ops import Ops

PRECISION = 16
"""The answer is at most a sixteenth too small."""


def explain_shortage(
    shortage: DeviceMemoryError, try_step: Callable[[int], None], images: int, batch_size: int, ops: Ops
) -> DeviceMemoryError:
    """The error of a step that found too little memory, with the batch size that fits.

    Args:
        shortage: raised by a step of ``images`` images.
        try_step: takes a step with a given number of images, and changes nothing by it.
        batch_size: as the user gave it.
    """
    limit = largest_that_fits(try_step, images, ops)
    advice = f"{limit} fits" if limit else "not even a single image fits"
    return DeviceMemoryError(f"{shortage}. --batch-size {batch_size} is too large: {advice}", shortage.asked)


def largest_that_fits(try_step: Callable[[int], None], too_many: int, ops: Ops) -> int:
    """The largest batch that fits the device's memory, found by bisection; 0 if none does.

    Args:
        try_step: takes a step with a given number of images.
        too_many: a number of images that does not fit.
    """
    fits = 0
    while too_many - fits > max(1, too_many // PRECISION):
        middle = (fits + too_many) // 2
        if _fits(try_step, middle, ops):
            fits = middle
        else:
            too_many = middle
    ops.release_memory()
    return fits


def _fits(try_step: Callable[[int], None], images: int, ops: Ops) -> bool:
    ops.release_memory()
    try:
        try_step(images)
    except DeviceMemoryError:
        return False
    return True
