"""Memory for results. A training step asks for the same arrays as the one before: so it gets the same memory again.

Fresh memory costs more than it seems. To a processor the system hands it out page by page, each cleared and mapped at its first
touch; to a GPU not at all before what it is doing has come to an end.
"""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np


class Arena(threading.local):
    """Buffers in the order in which they were asked for; each thread has its own.

    Args:
        allocate: makes an array of so many bytes, uint8.
    """

    def __init__(self, allocate: Callable[[int], Any]) -> None:
        self._allocate = allocate
        self._buffers: list[Any] = []
        self._arrays: list[Any] = []
        self._next: int | None = None

    def reused(self) -> AbstractContextManager[None]:
        """Within it, ``empty`` hands out the memory that it handed out the last time: what was made then is overwritten."""
        return self._beginning_at(0)

    def set_aside(self) -> AbstractContextManager[None]:
        """Within it, ``empty`` hands out memory that is used for nothing else, for what is to be kept."""
        return self._beginning_at(None)

    @contextmanager
    def _beginning_at(self, place: int | None) -> Iterator[None]:
        before, self._next = self._next, place
        try:
            yield
        finally:
            self._next = before

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
        """An array with anything in it."""
        place = self._next
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if place is None:
            return self._allocate(size).view(dtype).reshape(shape)
        self._next = place + 1
        if place == len(self._buffers):
            self._buffers.append(self._allocate(size))
            self._arrays.append(self._buffers[place].view(dtype).reshape(shape))
        array = self._arrays[place]
        if array.shape == shape and array.dtype == dtype:
            return array
        if len(self._buffers[place]) < size:
            self._buffers[place] = self._arrays[place] = self._allocate(0)  # given back before more is asked for
            self._buffers[place] = self._allocate(size)
        self._arrays[place] = self._buffers[place][:size].view(dtype).reshape(shape)
        return self._arrays[place]

    def like(self, x: Any) -> Any:
        """The same, of the shape and type of ``x``."""
        return self.empty(x.shape, x.dtype)

    def forget(self) -> None:
        """Give all memory back that no array outside uses."""
        self._buffers, self._arrays = [], []

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(len(buffer) for buffer in self._buffers)
