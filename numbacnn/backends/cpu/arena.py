"""Memory for results. A training step asks for the same arrays as the one before: so it gets the same memory again.

Fresh memory costs more than it seems: the system hands it out page by page, each cleared and mapped at its first touch.
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64
"""Bytes of a cache line, and of the longest vector."""


class Arena(threading.local):
    """Buffers in the order in which they were asked for; each thread has its own."""

    def __init__(self) -> None:
        self._buffers: list[NDArray[np.uint8]] = []
        self._next: int | None = None

    @contextmanager
    def reused(self) -> Iterator[None]:
        """Within it, ``empty`` hands out the memory that it handed out the last time: what was made then is overwritten."""
        before, self._next = self._next, 0
        try:
            yield
        finally:
            self._next = before

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
        """An array with anything in it, at the start of a cache line."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if self._next is None:
            return _aligned(size)[:size].view(dtype).reshape(shape)
        if self._next == len(self._buffers):
            self._buffers.append(_aligned(size))
        elif len(self._buffers[self._next]) < size:
            self._buffers[self._next] = _aligned(size)
        buffer = self._buffers[self._next]
        self._next += 1
        return buffer[:size].view(dtype).reshape(shape)

    def like(self, x: NDArray[Any]) -> NDArray[Any]:
        """The same, of the shape and type of ``x``."""
        return self.empty(x.shape, x.dtype)

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(len(buffer) for buffer in self._buffers)


def _aligned(size: int) -> NDArray[np.uint8]:
    memory = np.empty(size + ALIGNMENT, np.uint8)
    offset = -memory.ctypes.data % ALIGNMENT
    return memory[offset : offset + size]


arena = Arena()
