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
        self._arrays: list[NDArray[Any]] = []
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
        place = self._next
        if place is None:
            return _aligned_array(shape, dtype)
        self._next = place + 1
        if place == len(self._buffers):
            self._arrays.append(_aligned_array(shape, dtype))
            self._buffers.append(_bytes_of(self._arrays[place]))
        array = self._arrays[place]
        if array.shape == shape and array.dtype == dtype:
            return array
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if len(self._buffers[place]) < size:
            self._buffers[place] = _aligned(size)
        self._arrays[place] = self._buffers[place][:size].view(dtype).reshape(shape)
        return self._arrays[place]

    def like(self, x: NDArray[Any]) -> NDArray[Any]:
        """The same, of the shape and type of ``x``."""
        return self.empty(x.shape, x.dtype)

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(len(buffer) for buffer in self._buffers)


def _aligned_array(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    return _aligned(math.prod(shape) * np.dtype(dtype).itemsize).view(dtype).reshape(shape)


def _bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)


def _aligned(size: int) -> NDArray[np.uint8]:
    memory = np.empty(size + ALIGNMENT, np.uint8)
    offset = -memory.ctypes.data % ALIGNMENT
    return memory[offset : offset + size]


arena = Arena()
