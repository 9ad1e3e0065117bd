"""Grids: the blocks and threads of a launch. Every kernel is launched by this module.

A grid depends on the shapes alone, so the same seed gives the same bits on every GPU of a kind.
"""

from typing import Any

from numbacnn.backends.cuda import memory
from numbacnn.backends.cuda._jit import SIMULATED, Kernel
from numbacnn.errors import DeviceMemoryError

THREADS = 8 if SIMULATED else 256
"""Threads of a block, in kernels with one thread per element. Few in the simulator, so that a few elements fill several blocks."""


def over(kernel: Kernel, count: int, *args: Any) -> None:
    """One thread for each of ``count`` elements: ``cuda.grid(1)`` is its index. The last block may have threads left over."""
    if count:
        _run(kernel, blocks_of(count, THREADS), THREADS, *args)


def blocks(kernel: Kernel, grid: int | tuple[int, ...], threads: int | tuple[int, ...], *args: Any) -> None:
    """A grid of blocks whose threads work together."""
    sides = grid if isinstance(grid, tuple) else (grid,)
    if all(sides):
        _run(kernel, grid, threads, *args)


def _run(kernel: Kernel, grid: int | tuple[int, ...], threads: int | tuple[int, ...], *args: Any) -> None:
    """Launch a kernel. Its code, loaded by its first launch, takes memory of the GPU; so do its threads, if it is the largest so far."""
    try:
        kernel.launch(grid, threads, *args)
    except Exception as error:
        if not memory.is_shortage(error):
            raise
        message = f"the GPU has no room to run {kernel.name}: {memory.free_bytes():,} bytes are free"
        raise DeviceMemoryError(message) from None


def blocks_of(count: int, size: int) -> int:
    """The number of blocks of ``size`` that cover ``count``."""
    return (count + size - 1) // size
