"""Small kernels, each sound for one value of its last argument and faulty for another, or without a part of its PTX."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

THREADS = 64
"""Of a block, which is the length of the arrays too."""

HALF = THREADS // 2
LOCAL, HALF_LOCAL, WARP = 8, 4, 32


class FaultyKernel(NamedTuple):
    """A kernel, launched on ``blocks`` of ``THREADS`` with two arrays of as many items as threads: ``x``, written, and ``y``, not.

    Args:
        fault: what is wrong with it.
        kind: of the finding.
        expected: a part of the message, which says what was expected.
        function: takes x, y and a number.
        sound, faulty: numbers.
        blocks: of the launch.
        removed: the pattern of what is removed from the PTX for the fault.
    """

    fault: str
    kind: str
    expected: str
    function: Callable[..., None]
    sound: int
    faulty: int
    blocks: int = 1
    removed: str = ""


def faulty_kernels(cuda: Any) -> list[FaultyKernel]:
    """All of them, as functions in which ``cuda`` is numba.cuda."""

    def reversed_by_shared_memory(x: Any, y: Any, has_barrier: int) -> None:
        i = cuda.threadIdx.x
        shared = cuda.shared.array(THREADS, np.float32)
        shared[i] = 0
        cuda.syncthreads()
        shared[i] = x[i]
        if has_barrier:
            cuda.syncthreads()
        y[i] = shared[THREADS - 1 - i]

    def barrier_for_some(x: Any, y: Any, count: int) -> None:
        i = cuda.threadIdx.x
        y[i] = x[i]
        if i < count:
            cuda.syncthreads()
        y[i] += 1

    def two_barriers(x: Any, y: Any, count: int) -> None:
        i = cuda.threadIdx.x
        if i < count:
            y[i] = x[i]
            cuda.syncthreads()
            y[i] += 1
        else:
            y[i] = 2 * x[i]
            cuda.syncthreads()
            y[i] -= 1

    def shared_read(x: Any, y: Any, written: int) -> None:
        i = cuda.threadIdx.x
        shared = cuda.shared.array(THREADS, np.float32)
        if i < written:
            shared[i] = x[i]
        cuda.syncthreads()
        y[i] = shared[THREADS - 1 - i]

    def shared_index(x: Any, y: Any, shift: int) -> None:
        i = cuda.threadIdx.x
        shared = cuda.shared.array(THREADS, np.float32)
        shared[i + shift] = x[i]
        cuda.syncthreads()
        y[i] = shared[i + shift]

    def one_cell_for(x: Any, y: Any, threads: int) -> None:
        i = cuda.threadIdx.x
        y[i // threads] = x[i]

    def neighbour_block(x: Any, y: Any, shift: int) -> None:
        i = cuda.grid(1)
        x[i] = 1
        cuda.syncthreads()
        y[i] = x[(i + shift) % len(x)]

    def global_index(x: Any, y: Any, shift: int) -> None:
        i = cuda.threadIdx.x
        y[i + shift] = x[i]  # Numba counts negative indices from the end, once

    def unwritten_global(x: Any, y: Any, reads_it: int) -> None:
        i = cuda.threadIdx.x
        y[i] = y[i] + 1 if reads_it else x[i] + 1

    def local_values(x: Any, y: Any, written: int) -> None:
        i = cuda.threadIdx.x
        local = cuda.local.array(LOCAL, np.float32)
        for k in range(written):
            local[k] = x[k] + k
        y[i] = local[int(x[0]) + 6]

    def local_index(x: Any, y: Any, last: int) -> None:
        i = cuda.threadIdx.x
        local = cuda.local.array(LOCAL, np.float32)
        for k in range(LOCAL):
            local[k] = x[k]
        local[last] = x[i]
        y[i] = local[int(x[0]) + 6]

    def reversed_in_warps(x: Any, y: Any, waits: int) -> None:
        i = cuda.threadIdx.x
        shared = cuda.shared.array(THREADS, np.float32)
        shared[i] = x[i]
        if waits:
            cuda.syncwarp()
        y[i] = shared[i ^ 31]

    def sum_of_warp(x: Any, y: Any, lanes: int) -> None:
        i = cuda.threadIdx.x
        if i % WARP < lanes:
            y[i] = cuda.shfl_xor_sync(0xFFFFFFFF, x[i], 1)

    def sum_by_the_last_block(x: Any, y: Any, fences: int) -> None:
        i, parts = cuda.threadIdx.x, cuda.gridDim.x
        is_last = cuda.shared.array(1, np.int32)
        if i == 0:
            y[cuda.blockIdx.x] = x[cuda.blockIdx.x]
            if fences:
                cuda.threadfence()
            is_last[0] = cuda.atomic.add(x, THREADS, 1) == parts  # x is 1 everywhere
        cuda.syncthreads()
        if is_last[0] and i < parts:
            y[THREADS + i] = y[i]

    def count_without_atomics(x: Any, y: Any, is_atomic: int) -> None:
        if is_atomic:
            cuda.atomic.add(x, 0, 1)
        else:
            x[0] += 1

    race = "expected a barrier between it"
    return [
        FaultyKernel("a barrier left out", "race", race, reversed_by_shared_memory, 1, 0),
        FaultyKernel("lanes of a warp do not wait for each other", "unwritten", "load of shared memory", reversed_in_warps, 1, 0),
        FaultyKernel("a shuffle for half of the warp", "divergent warp", "every lane of the mask", sum_of_warp, WARP, WARP // 2),
        FaultyKernel("a barrier for half of the block", "divergent barrier", "every thread of the block", barrier_for_some, THREADS, HALF),
        FaultyKernel("a barrier in each branch", "divergent barrier", "every thread of the block", two_barriers, THREADS, HALF),
        FaultyKernel("shared memory read before it is written", "unwritten", "load of shared memory", shared_read, THREADS, HALF),
        FaultyKernel("an index beyond shared memory", "out of bounds", "within 256 bytes, got 256", shared_index, 0, 1),
        FaultyKernel("two threads store to one cell", "race", race, one_cell_for, 1, 2),
        FaultyKernel("a cell of another block read", "race", race, neighbour_block, 0, THREADS, 2),
        FaultyKernel("parts of other blocks read without a fence", "race", race, sum_by_the_last_block, 1, 0, 2),
        FaultyKernel("a count that is not atomic", "race", race, count_without_atomics, 1, 0),
        FaultyKernel("a store behind an array", "out of bounds", "within the 256 bytes of an array, got 256", global_index, 0, 1),
        FaultyKernel("a store before an array", "out of bounds", "within the 256 bytes of an array, got -4", global_index, 0, -THREADS - 1),
        FaultyKernel("global memory read before it is written", "unwritten", "load of global memory", unwritten_global, 0, 1),
        FaultyKernel("a local value read before it is written", "unwritten", "load of local memory", local_values, HALF_LOCAL, HALF_LOCAL,
                     removed=r"st\.local\.v4[^;]*;"),  # by which Numba fills the array with zeros
        FaultyKernel("an index beyond local memory", "out of bounds", "within 32 bytes, got", local_index, LOCAL - 1, 400),
    ]  # fmt: skip
