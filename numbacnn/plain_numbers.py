"""Whether a plain value, from a file or a caller, is a number that the program can use."""

import math
from numbers import Integral, Real
from typing import Any

LARGEST_WHOLE = 2**63 - 1


def is_whole(value: Any, least: int = 0) -> bool:
    """Whether this is a whole number of at least ``least`` that 64 bits can hold; True and False are not."""
    return isinstance(value, Integral) and not isinstance(value, bool) and least <= int(value) <= LARGEST_WHOLE


def is_number(value: Any, least: float = -math.inf) -> bool:
    """Whether this is a finite number of at least ``least``; True and False are not."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond all floats
        return False
    return math.isfinite(number) and number >= least
