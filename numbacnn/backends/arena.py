"""Memory for results, reused from step to step: every training step asks for the same arrays in the same order.

Fresh memory is slow. On a processor the system clears and maps each page at its first use; a GPU first finishes all queued work.
"""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np


class Arena(threading.local):
    """Buffers in the order of their allocation; each thread has its own.

    Args:
        allocate: from a number of bytes to an array of them, uint8.
    """

    def __init__(self, allocate: Callable[[int], Any]) -> None:
        self._allocate = allocate
        self._buffers: list[Any] = []
        self._arrays: list[Any] = []
        self._next: int | None = None  # index of the next buffer; None: allocate and forget

    def reused(self) -> AbstractContextManager[None]:
        """Within it, ``empty`` returns the memory of the previous time, in the same order, and so overwrites its arrays."""
        return self._starting_at(0)

    def set_aside(self) -> AbstractContextManager[None]:
        """Within it, ``empty`` returns memory that is never reused, for arrays to be kept."""
        return self._starting_at(None)

    @contextmanager
    def _starting_at(self, index: int | None) -> Iterator[None]:
        before, self._next = self._next, index
        try:
            yield
        finally:
            self._next = before

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
        """An uninitialised array."""
        index = self._next
        if index is not None and index < len(self._arrays):
            array = self._arrays[index]
            if array.shape == shape and array.dtype == dtype:  # as in every step but the first
                self._next = index + 1
                return array
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if index is None:
            return self._allocate(size).view(dtype).reshape(shape)
        self._next = index + 1
        if index == len(self._buffers):
            self._buffers.append(self._allocate(size))
            self._arrays.append(self._buffers[index].view(dtype).reshape(shape))
            return self._arrays[index]
        if len(self._buffers[index]) < size:
            self._buffers[index] = self._arrays[index] = self._allocate(0)  # release the memory before asking for more
            self._buffers[index] = self._allocate(size)
        self._arrays[index] = self._buffers[index][:size].view(dtype).reshape(shape)
        return self._arrays[index]

    def like(self, x: Any) -> Any:
        """An uninitialised array of the shape and dtype of ``x``."""
        return self.empty(x.shape, x.dtype)

    def forget(self) -> None:
        """Release all memory that no array outside uses."""
        self._buffers, self._arrays = [], []

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(len(buffer) for buffer in self._buffers)
