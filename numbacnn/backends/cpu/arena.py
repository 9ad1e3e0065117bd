"""The CPU's arena: memory aligned to cache lines."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn.backends.arena import Arena

ALIGNMENT = 64
"""Bytes of a cache line and of the longest vector."""


def _aligned(size: int) -> NDArray[Any]:
    """Bytes that begin at the start of a cache line."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    offset = -memory.ctypes.data % ALIGNMENT
    return memory[offset : offset + size]


arena = Arena(_aligned)
