"""The CUDA device without a GPU: it records launches, their types and their grids, and computes nothing.

Arrays lie on the host and stay full of zeros. Shapes and types are those of real launches.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import numba
import numpy as np
from numpy.typing import NDArray

from numbacnn.backends.cuda import memory
from numbacnn.backends.cuda._jit import Kernel
from numbacnn.backends.cuda.ops import CudaOps


class Launch(NamedTuple):
    """A launch of a kernel: the types of its arguments, and the blocks and threads along each axis."""

    kernel: Kernel
    types: tuple[Any, ...]
    blocks: tuple[int, ...]
    threads: tuple[int, ...]

    @property
    def block_size(self) -> int:
        """Threads of a block."""
        return math.prod(self.threads)


@contextmanager
def recording() -> Iterator[tuple[CudaOps, set[Launch]]]:
    """The device, and the set of its launches so far."""
    launches: set[Launch] = set()

    def launch(self: Kernel, blocks: Any, threads: Any, *args: Any) -> None:
        launches.add(Launch(self, tuple(map(numba.typeof, args)), _sides(blocks), _sides(threads)))

    with (
        mock.patch.object(Kernel, "launch", launch),
        mock.patch.object(memory, "cuda", SimpleNamespace(to_device=_copy, device_array=np.zeros)),
        mock.patch.object(memory, "to_host", _copy),
    ):
        memory.arena.forget()
        try:
            yield CudaOps(), launches
        finally:
            memory.arena.forget()


def _copy(array: Any) -> NDArray[Any]:
    """A contiguous copy, as from a transfer."""
    return np.array(array, order="C")


def _sides(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return size if isinstance(size, tuple) else (size,)
