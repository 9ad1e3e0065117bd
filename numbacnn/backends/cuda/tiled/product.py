"""How a matrix product becomes fast on a GPU: tiles in shared memory, sums in registers.

    out[m, n] = sum_k a[m, k] * b[k, n]

The plain kernel, a thread for each (m, n), reads two values from memory for each multiply-add. A GPU does some fifty multiply-adds in
the time in which one value comes from memory: such a kernel waits nearly all the time. Every value of ``a`` is needed for all columns,
though, and every value of ``b`` for all rows. So values are read once and used often, on two levels.

1. A *block* of threads owns a tile of ``out``, say 128 x 64. It walks along k in slices of 8 terms: together its threads bring 128 x 8
   values of a and 8 x 64 of b into shared memory, small and on the chip, and then each of those is used 64 or 128 times.

2. A *thread* owns 8 x 8 of the tile, and keeps those 64 sums in registers from the first k to the last. For each k it reads 8 values
   of the slice of a and 8 of b from shared memory, and does 64 multiply-adds with them: four reads, of four values each, for 64.

                     b: 8 terms x 64 columns
                      +-----------+
                    k |     |     |          for slice in k, 8 terms at a time:
                      +-----|-----+              barrier                       the slice is complete
        a: 128 rows   +-----v-----+              fetch the next slice          from memory into registers
           x 8 terms  |           |              multiply this one             shared memory -> sums in registers
              +---+   |           |              keep the fetched one          registers -> the other half of shared memory
              | --|---|> 8 x 8   |
              |   |   |  of a     |
              +---+   |  thread   |
                k     +-----------+

Four things decide whether this works as planned.

Registers.      Sums must not be indexed by anything unknown to the compiler, else it puts them into memory. So every loop over them has
                constant bounds, and kernels are made by factories, one for each tile, whose sizes are constants to the compiler.

Waiting.        A read from memory takes hundreds of cycles. It is begun before the multiplication of a slice and its values are not
                looked at before the end, so the waiting is done while others compute. There are two halves of shared memory, written and
                read in turns, so one barrier for each slice is enough.

Coalescing.     Memory is read in sectors of 32 bytes. Neighbouring threads must read neighbouring values, so threads are spread along
                whichever axis of a or b lies contiguous in memory: 8 threads along k, or 8 and more along the rows (``share``).

Bank conflicts. Shared memory has 32 banks, one value wide. Values that the threads of a warp read together must lie in different
                banks, or be the same value. A slice is stored term by term, with its rows side by side: a warp (8 threads across, 4
                down) reads 8 vectors of b that fill all banks once, and 4 vectors of a that lie 8 apart. That is also why a thread's 8
                columns are two groups of 4, half a tile apart: 8 in a row would meet in the same banks. PAD shifts each term by four
                banks, so that 8 threads along k write a value each of 4 rows to 32 different banks.

With few tiles most of the GPU would be idle, so long sums are cut: each part of k is a block of its own, which writes its partial sums
down, and a second kernel adds them up in order (``add_parts``). Into how many parts depends on the shape of the product alone: the same
seed gives the same bits.

Sources: Volkov & Demmel 2008, Benchmarking GPUs to Tune Dense Linear Algebra; NVIDIA, CUTLASS: Fast Linear Algebra in CUDA C++.
"""

from typing import NamedTuple

import numpy as np

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import SIMULATED, cuda, device_function, kernel
from numbacnn.backends.cuda.launch import blocks_of
from numbacnn.backends.cuda.tiled.vectors import load, load4, store, store4

PAD = 4
"""Values between the terms of a slice. A multiple of four, so that vectors stay aligned."""

WIDTH = 4
"""Values of a vector."""


class Tile(NamedTuple):
    """Sizes of a kernel.

    Args:
        rows, columns: of ``out``, for a block.
        depth: terms of a slice, an even number.
        thread_rows, thread_columns: of ``out``, for a thread; multiples of WIDTH.
    """

    rows: int
    columns: int
    depth: int
    thread_rows: int
    thread_columns: int

    @property
    def across(self) -> int:
        """Threads side by side."""
        return self.columns // self.thread_columns

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.rows // self.thread_rows * self.across

    @property
    def lanes(self) -> int:
        """Threads that fetch values of the same term."""
        return self.threads // self.depth

    def slices(self, side: int) -> int:
        """Values of two slices, one being read and one being written; ``side`` is ``rows`` or ``columns``."""
        return 2 * self.depth * (side + PAD)


MANY_ROWS = [Tile(8, 8, 2, 4, 4), Tile(8, 16, 2, 4, 8)] if SIMULATED else [
    Tile(128, 16, 8, 8, 4), Tile(128, 32, 8, 8, 4), Tile(128, 64, 8, 8, 8)
]  # fmt: skip
"""From few columns to many."""

FEW_ROWS = [Tile(4, 8, 2, 4, 4)] if SIMULATED else [
    Tile(32, 16, 8, 4, 4), Tile(32, 32, 8, 4, 4), Tile(32, 64, 8, 4, 8)
]  # fmt: skip

TILES = MANY_ROWS + FEW_ROWS
"""Every tile for which kernels are made. In the simulator, where a thread costs a fraction of a millisecond, there are tiny ones."""

POOL_CELLS = 4
"""The rows of every thread are a multiple of it: they hold whole windows of so many cells, or of any divisor."""

BLOCKS = 6 if SIMULATED else 264
"""So many blocks keep a large GPU busy: two for each of 132 multiprocessors. A number of its own, not the GPU's."""

LEAST_TERMS = 4 if SIMULATED else 128
"""A part of a sum is no shorter: it would cost more to add up than to compute."""

ADDERS = 2 if SIMULATED else 8
"""Threads that share the parts of one sum."""


def tile_for(rows: int, columns: int) -> Tile:
    """The tile for a product of this size: the narrowest that holds the columns, and the lower ones for few rows."""
    tiles = FEW_ROWS if rows <= MANY_ROWS[0].rows // 2 else MANY_ROWS
    return next((tile for tile in tiles if columns <= tile.columns), tiles[-1])


def grid_of(tile: Tile, rows: int, columns: int, terms: int) -> tuple[tuple[int, int, int], int]:
    """Blocks along rows, columns and parts of the sum; and the terms of a part."""
    down, across = blocks_of(rows, tile.rows), blocks_of(columns, tile.columns)
    parts = max(1, min(BLOCKS // max(down * across, 1), terms // LEAST_TERMS))
    each = max(blocks_of(blocks_of(terms, parts), tile.depth), 1) * tile.depth
    return (down, across, max(blocks_of(terms, each), 1)), each


@device_function
def share(t, along_terms, depth, lanes):
    """Which values of a slice thread ``t`` fetches: its one term, and the first of its rows, which lie ``lanes`` apart."""
    if along_terms:
        return t % depth, t // depth
    return t // lanes, t % lanes


@device_function
def clear(sums):
    for r in range(sums.shape[0]):
        for s in range(sums.shape[1]):
            sums[r, s] = 0


@device_function
def place_rows(places, first, lanes, last, step):
    """Where the rows of a matrix lie that a thread fetches. Past the last row, the last one again: read, but not written."""
    for e in range(places.shape[0]):
        places[e] = min(first + e * lanes, last) * step


@device_function
def fetch(values, matrix, at, places, is_inside):
    """A thread's values of one term. Past the last term, zeros: they are multiplied and added as all others."""
    for e in range(values.shape[0]):
        values[e] = 0
    if is_inside:
        for e in range(values.shape[0]):
            values[e] = load(matrix, at + places[e])


@device_function
def keep(values, slices, at, lanes):
    """Put what was fetched into shared memory."""
    for e in range(values.shape[0]):
        store(slices, at + e * lanes, values[e])


@device_function
def multiply(a, a_at, b, b_at, tile, left, right, sums):
    """sums[r, s] += a[k, r] * b[k, s] for all terms k of a slice.

    Args:
        a, a_at, b, b_at: the slices, and where a thread's rows and columns of the first term lie.
        tile: its sizes.
        left, right: room for the values of one term, in registers.
        sums: in registers too.
    """
    a_step, b_step, group = tile.rows + PAD, tile.columns + PAD, tile.columns // tile.thread_columns * WIDTH
    k = 0
    while k < tile.depth:  # two at a time, counted by hand: a ``range`` would cost more instructions than all reads together
        multiply_term(a, a_at, b, b_at, group, left, right, sums)
        multiply_term(a, a_at + a_step, b, b_at + b_step, group, left, right, sums)
        a_at += 2 * a_step
        b_at += 2 * b_step
        k += 2


@device_function
def multiply_term(a, a_at, b, b_at, group, left, right, sums):
    for r in range(0, left.shape[0], WIDTH):
        left[r], left[r + 1], left[r + 2], left[r + 3] = load4(a, a_at + r)
    for s in range(0, right.shape[0], WIDTH):
        right[s], right[s + 1], right[s + 2], right[s + 3] = load4(b, b_at + s // WIDTH * group)
    for r in range(left.shape[0]):
        for s in range(right.shape[0]):
            sums[r, s] += left[r] * right[s]


@device_function
def next_row(sums):
    """Move all rows up by one. So the row that a thread is done with next is always row 0, an index the compiler knows."""
    for r in range(sums.shape[0] - 1):
        for s in range(sums.shape[1]):
            sums[r, s] = sums[r + 1, s]


@device_function
def rectified(value, relu):
    """max(0, value) where ``relu``; NaN stays NaN."""
    return np.float32(0) if relu and value <= 0 else value


@device_function
def read_four(values, x, at, count, columns):
    """Four neighbours of a row of ``columns``, in one go if it can be; as many as ``count`` says are left, and zeros."""
    if count >= WIDTH and columns % WIDTH == 0:
        values[0], values[1], values[2], values[3] = load4(x, at)
    else:
        for i in range(WIDTH):
            values[i] = 0
            if i < count:
                values[i] = load(x, at + i)


@device_function
def write_four(values, x, at, count, columns):
    """The reverse of ``read_four``."""
    if count >= WIDTH and columns % WIDTH == 0:
        store4(x, at, (values[0], values[1], values[2], values[3]))
    else:
        for i in range(WIDTH):
            if i < count:
                store(x, at + i, values[i])


def add_parts(parts, bias, relu, out):
    """out[..., n] = bias[n] + the sum of ``parts`` along its first axis; then ReLU, where asked for."""
    y = out.reshape(-1)
    across = launch.THREADS // ADDERS
    launch.blocks(_add_parts, blocks_of(y.size, across), (across, ADDERS), parts.reshape(-1), bias, relu, parts.shape[0], y)
    return out


def _make_add_parts(threads):
    across = threads // ADDERS

    @kernel
    def _add_parts(parts, bias, relu, count, out):
        """A thread adds up a run of the parts of a value; the first of its column of threads adds up what they found."""
        sums = cuda.shared.array(threads, parts.dtype)
        x, group = cuda.threadIdx.x, cuda.threadIdx.y
        i = cuda.blockIdx.x * across + x
        each = (count + ADDERS - 1) // ADDERS
        total = parts.dtype.type(0)
        if i < out.size:
            for part in range(group * each, min((group + 1) * each, count)):
                total += parts[part * out.size + i]
        sums[group * across + x] = total
        cuda.syncthreads()
        if group == 0 and i < out.size:
            for other in range(1, ADDERS):
                total += sums[other * across + x]
            out[i] = rectified(total + bias[i % bias.size], relu)

    return _add_parts


_add_parts = _make_add_parts(launch.THREADS)
