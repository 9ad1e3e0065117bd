"""Large parameters in memory that all ranks of a host share: each rank updates some of the rows.

Every rank has the gradient of the whole batch, and would update a copy of its own in the time that one process takes for it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from numbacnn.engines.board import free_bytes
from numbacnn.ranks import divided
from numbacnn.values import Array

LEAST = 2**22
"""Bytes of a parameter from which on it is shared. A smaller one stays in the cache of a processor, and would go from one to the other."""


class SharedParameters:
    """The parameters, and the optimiser's arrays, that the ranks of one host share.

    Args:
        mpi: the module of mpi4py.
        host: a communicator of these ranks.
        meet: waits until all of them are there.
    """

    def __init__(self, mpi: Any, host: Any, meet: Callable[[], None]):
        self._mpi, self._host, self._meet = mpi, host, meet
        self._windows: list[Any] = []
        self._rows: dict[int, slice] = {}

    def place(self, array: Array) -> Array:
        """The array in shared memory, of the values that the first rank has; or itself, if it is small or there is no such memory."""
        is_large = isinstance(array, np.ndarray) and array.ndim == 2 and array.nbytes >= LEAST
        if not is_large or self._host.size == 1 or not self._host.bcast(free_bytes() > 2 * array.nbytes):
            return array
        window = self._mpi.Win.Allocate_shared(0 if self._host.rank else array.nbytes, 1, comm=self._host)
        window.Lock_all()
        self._windows.append(window)
        shared = np.frombuffer(window.Shared_query(0)[0], np.uint8)[: array.nbytes].view(array.dtype).reshape(array.shape)
        if self._host.rank == 0:
            shared[:] = array
        self.meet()
        cuts = divided(len(shared), self._host.size)
        self._rows[address(shared)] = slice(cuts[self._host.rank], cuts[self._host.rank + 1])
        return shared

    def rows(self, array: Array) -> slice:
        """The rows of a parameter, or of an array of the optimiser, that this rank updates."""
        return self._rows.get(address(array), slice(None)) if self._rows else slice(None)

    def meet(self) -> None:
        """Wait for the other ranks of the host; what any of them has written before, all see after it."""
        for window in self._windows:
            window.Sync()
        if self._windows:
            self._meet()
        for window in self._windows:
            window.Sync()

    def close(self) -> None:
        """Give the memory back; all ranks do."""
        for window in self._windows:
            window.Unlock_all()
            window.Free()
        self._windows = []


def address(array: Array) -> int:
    """Where an array begins."""
    return int(array.__array_interface__["data"][0])
