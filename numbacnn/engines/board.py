"""Memory that all ranks of one host share: what they exchange is written there once, and read from there.

MPI's own messages between processes of a host pass through small buffers, and take several times as long where they are megabytes.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from numbacnn.values import Array

BYTES = 2**25
"""Of the memory of all ranks together. Half of it is written while the other half may still be read."""

LEAST = 4096
"""Bytes of a message from which on it goes this way."""

FOLDER = "/dev/shm"
"""Where systems keep such memory. A process that uses more than there is would be killed."""


def has_room(ranks: int) -> bool:
    """Whether this host has memory to share among so many ranks."""
    return free_bytes() > 2 * BYTES and BYTES // (2 * ranks * ranks) >= LEAST


def free_bytes() -> int:
    """Bytes that processes of this host can still share; 0 where that is not known."""
    try:
        found = os.statvfs(FOLDER)
    except (OSError, AttributeError):
        return 0
    return found.f_bavail * found.f_frsize


class Board:
    """The memory of these ranks.

    Args:
        mpi: the module of mpi4py.
        ranks: a communicator of all ranks, on one host.
        meet: waits until all ranks are there.
    """

    def __init__(self, mpi: Any, ranks: Any, meet: Callable[[], None]):
        self._rank, self._size, self._meet = ranks.rank, ranks.size, meet
        own = BYTES // self._size // 64 * 64
        self._window = mpi.Win.Allocate_shared(own, 1, comm=ranks)
        self._window.Lock_all()
        self._halves = [
            np.frombuffer(self._window.Shared_query(rank)[0], np.uint8)[:own].reshape(2, -1) for rank in range(self._size)
        ]
        self._half = 0

    def all_gather(self, values: Array, counts: Sequence[int]) -> Array:
        """See ``Ranks.all_gather``."""
        size, room = values.dtype.itemsize, self._halves[0].shape[1]
        gathered = np.empty(sum(counts), values.dtype)
        ends = np.cumsum([0, *counts]) * size
        own, out = _bytes(values), _bytes(gathered)
        for first in range(0, max(counts) * size, room):
            with_others = self._written([(own[first : first + room], 0)])
            for rank, each in enumerate(with_others):
                begin, stop = ends[rank] + first, min(ends[rank] + first + room, ends[rank + 1])
                if stop > begin:
                    out[begin:stop] = each[: stop - begin]
        return gathered

    def all_to_all(self, parts: Sequence[Sequence[Array]], counts: Sequence[int], most: int) -> list[Array]:
        """See ``Ranks.all_to_all``. What comes lies on the board itself, if there is room for it."""
        dtype = parts[self._rank][0].dtype
        room, longest = self._halves[0].shape[1] // self._size // 64 * 64, most * dtype.itemsize
        places = [rank * room for rank in range(self._size)]
        others = [rank for rank in range(self._size) if rank != self._rank]
        mine = places[self._rank]
        if longest <= room:
            pieces = []
            for rank in others:
                place = places[rank]
                for array in parts[rank]:
                    pieces.append((array, place))
                    place += array.nbytes
            with_others = self._written(pieces)
            return [
                each[mine : mine + count * dtype.itemsize].view(dtype) for each, count in zip(with_others, counts, strict=True)
            ]
        received = [np.empty(count, dtype) for count in counts]
        given = {rank: _bytes(np.concatenate([array.reshape(-1) for array in parts[rank]])) for rank in others}
        for first in range(0, longest, room):
            with_others = self._written([(given[rank][first : first + room], places[rank]) for rank in others])
            for rank in others:
                piece = _bytes(received[rank])[first : first + room]
                piece[:] = with_others[rank][mine : mine + len(piece)]
        return received

    def _written(self, pieces: Sequence[tuple[Array, int]]) -> list[Array]:
        """What all ranks have written, after this one has written its arrays, C-contiguous, at their places."""
        self._half = 1 - self._half
        own = self._halves[self._rank][self._half]
        for piece, place in pieces:
            own[place : place + piece.nbytes].view(piece.dtype).reshape(piece.shape)[...] = piece
        self._window.Sync()
        self._meet()
        self._window.Sync()
        return [halves[self._half] for halves in self._halves]

    def close(self) -> None:
        """Give the memory back; all ranks do."""
        self._halves = []
        self._window.Unlock_all()
        self._window.Free()


def _bytes(array: Array) -> Array:
    return np.ascontiguousarray(array).view(np.uint8)
