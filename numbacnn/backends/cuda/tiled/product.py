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
        a: 128 rows   +-----v-----+              load the next slice           from memory into registers
           x 8 terms  |           |              multiply this one             shared memory -> sums in registers
              +---+   |           |              store the loaded one          registers -> the other buffer in shared memory
              | --|---|> 8 x 8   |
              |   |   |  of a     |
              +---+   |  thread   |
                k     +-----------+

Four things decide whether this works as planned.

Registers.      Sums must not be indexed by anything unknown to the compiler, else it puts them into memory. So every loop over them has
                constant bounds, and kernels are made by factories, one for each tile, whose sizes are constants to the compiler.

Waiting.        A read from memory takes hundreds of cycles. It starts before the multiplication of a slice, and its values are used only
                after it, so the GPU computes while it waits. Shared memory has two buffers, written and read in turns, so one barrier per
                slice is enough.

Coalescing.     Memory is read in sectors of 32 bytes. Neighbouring threads must read neighbouring values, so threads are spread along
                whichever axis of a or b lies contiguous in memory: 8 threads along k, or 8 and more along the rows (``my_slice``).

Bank conflicts. Shared memory has 32 banks, one value wide. Values that the threads of a warp read together must lie in different
                banks, or be the same value. A slice is stored term by term, with its rows side by side: a warp (8 threads across, 4
                down) reads 8 vectors of b that fill all banks once, and 4 vectors of a that lie 8 apart. That is also why a thread's 8
                columns are two groups of 4, half a tile apart: 8 in a row would meet in the same banks. PAD shifts each term by four
                banks, so that 8 threads along k write a value each of 4 rows to 32 different banks.

The loop is written once, in ``make_product``. Dense layers and convolutions differ in three things: how they load a value, how they step
along k, and their epilogue, the use of the finished sums.

With few tiles most of the GPU would be idle, so long sums are cut: each part of k is a block of its own, which writes its partial sums,
and a second kernel adds them up in order (``add_parts``). The number of parts depends on the shape of the product alone, so the same seed
gives the same bits.

Sources: Volkov & Demmel 2008, Benchmarking GPUs to Tune Dense Linear Algebra; NVIDIA, CUTLASS: Fast Linear Algebra in CUDA C++;
MLX, steel_conv.h (the loop with loaders).
"""

from typing import Any, NamedTuple

import numpy as np

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import SIMULATED, cuda, device_function, kernel, multiprocessors
from numbacnn.backends.cuda.launch import blocks_of
from numbacnn.backends.cuda.memory import arena, zeros
from numbacnn.backends.cuda.tiled.tf32 import make_warps, store_rounded
from numbacnn.backends.cuda.tiled.vectors import ALIGNED, WIDTH, load, load4, load_near, store, store4
from numbacnn.backends.precisions import FLOAT32
from numbacnn.errors import DeviceError

PAD = 4
"""Values between the terms of a slice. A multiple of four, so that vectors stay aligned."""


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
        """Threads that load values of the same term."""
        return self.threads // self.depth

    def loads(self, side: int) -> int:
        """Values of a slice that a thread loads; ``side`` is ``rows`` or ``columns``."""
        return side // self.lanes

    def buffers(self, side: int) -> int:
        """Values of two slices, one being read and one being written; ``side`` is ``rows`` or ``columns``."""
        return 2 * self.depth * (side + PAD)


MANY_ROWS = [Tile(8, 8, 2, 4, 4), Tile(8, 16, 2, 4, 8)] if SIMULATED else [
    Tile(128, 16, 8, 8, 4), Tile(128, 32, 8, 8, 4), Tile(128, 64, 8, 8, 8)
]  # fmt: skip
"""From few columns to many."""

FEW_ROWS = [Tile(4, 8, 2, 4, 4)] if SIMULATED else [
    Tile(32, 16, 8, 4, 4), Tile(32, 32, 8, 4, 4), Tile(32, 64, 8, 4, 8)
]  # fmt: skip

HALF_ROWS = FEW_ROWS if SIMULATED else [Tile(64, 32, 8, 8, 4), Tile(64, 64, 8, 8, 8)]
"""For products whose high tiles would leave many multiprocessors idle, see ``balanced_tile``."""

TILES = MANY_ROWS + FEW_ROWS
"""All tiles; kernels are made for each. The simulator, where a thread costs a fraction of a millisecond, has tiny ones."""

POOL_CELLS = 4
"""The most cells of a fused pooling window. A thread's rows are a multiple of it, so they hold whole windows."""

BLOCKS = 6 if SIMULATED else 264
"""Blocks that keep a large GPU busy: two for each of 132 multiprocessors. A constant, so that all GPUs cut sums alike."""

LEAST_TERMS = 4 if SIMULATED else 128
"""The fewest terms of a part: shorter parts cost more to add up than to compute."""

ADDERS = 2 if SIMULATED else 8
"""Threads that share the parts of one sum."""


MOST_OFFSET = 2**31 - 1
"""Within a tile, offsets are int32: wider ones would take twice the registers."""


def check_offsets(what: str, farthest: int) -> None:
    """Raise DeviceError if a value that a block reads lies too far from its first one, as in rows of many millions of values."""
    if farthest > MOST_OFFSET:
        raise DeviceError(
            f"{what}: expected the values of a tile within {MOST_OFFSET:,} of each other, which is what a GPU's kernel counts to, "
            f"got {farthest:,}. Use --device cpu, or smaller images or layers"
        )


def tile_for(rows: int, columns: int, row_step: int = 0) -> Tile:
    """The tile for a product of this size: the narrowest that holds the columns; a low one for few rows.

    Args:
        row_step: values from row to row of the left factor. Where the rows of a high tile reach too far, it is a low one as well.
    """
    high = MANY_ROWS[0].rows
    tiles = FEW_ROWS if rows <= high // 2 or (high - 1) * row_step > MOST_OFFSET else MANY_ROWS
    return next((tile for tile in tiles if columns <= tile.columns), tiles[-1])


HALF_COST = 1.1
"""The time of two tiles of half the height, relative to that of a high one: each reads the right factor for itself. An estimate."""


def balanced_tile(rows: int, columns: int, products: int = 1, row_step: int = 0) -> Tile:
    """``tile_for`` of products whose sums are not cut: of half the height where this keeps the multiprocessors of the GPU busier.

    A GPU is done when its busiest multiprocessor is: 154 blocks on 132 multiprocessors take as long as 264. No sum depends on the height.

    Args:
        products: of this size, which a launch computes together.
        row_step: as for ``tile_for``.
    """
    high = tile_for(rows, columns, row_step)
    half = next((tile for tile in HALF_ROWS if columns <= tile.columns), HALF_ROWS[-1])
    if high not in MANY_ROWS or half.columns < high.columns:
        return high

    def time(tile: Tile) -> int:
        blocks = products * blocks_of(rows, tile.rows) * blocks_of(columns, tile.columns)
        return blocks_of(blocks, multiprocessors()) * tile.rows * tile.columns

    return half if time(half) * HALF_COST < time(high) else high


def grid_of(tile: Tile, rows: int, columns: int, terms: int) -> tuple[tuple[int, int, int], int]:
    """Blocks along rows, columns and parts of the sum; and the terms of a part."""
    down, across = blocks_of(rows, tile.rows), blocks_of(columns, tile.columns)
    parts = max(1, min(BLOCKS // max(down * across, 1), terms // LEAST_TERMS))
    terms_per_part = max(blocks_of(blocks_of(terms, parts), tile.depth), 1) * tile.depth
    return (down, across, max(blocks_of(terms, terms_per_part), 1)), terms_per_part


class Matrix(NamedTuple):
    """A factor in memory.

    Args:
        matrix: flat.
        offsets: of the rows that a thread loads.
        step: from term to term.
    """

    matrix: Any
    offsets: Any
    step: int


def make_product(tile, precision, load_a, load_b, advance, epilogue):
    """The main loop of every product: a device function that sums the tile of ``out`` which its block owns.

    A product differs from another one in four device functions. ``a``, ``b`` and ``out`` are tuples that only these read, except for
    the dtype of a.matrix. A position is a tuple of numbers: the term that a thread loads next, as its loaders need it.

    Args:
        tile: sizes, constants to the compiler.
        precision: of ``PRECISIONS``; TF32 is multiplied as ``tf32.py`` has it.
        load_a: load_a(values, a, position, is_present) reads this thread's values of one term; zeros unless ``is_present``.
        load_b: the same for b.
        advance: advance(position, a, b, steps) is the position ``steps`` terms further.
        epilogue: epilogue(sums, s, r, m, n, out) uses sums[0, s] and the next three, the results (m, n) to (m, n + 3). It is called
            for each row r of the thread in turn, and also for rows and columns past the last one.

    Returns:
        product(a, b, a_slice, b_slice, position, first, stop, out), which sums the terms from ``first`` up to ``stop``. The slices
        are those of ``my_slice``; ``position`` is this thread's term of the first slice.

    The order of the numbers in a position decides the order of registers: with another one, the compiler needs up to 42 registers more.
    """
    rows, columns, depth, thread_rows, thread_columns = tile
    across, lanes = tile.across, tile.lanes
    a_size, b_size, a_count, b_count = tile.buffers(rows), tile.buffers(columns), tile.loads(rows), tile.loads(columns)
    a_step, b_step = rows + PAD, columns + PAD
    sums_shape = thread_rows, thread_columns
    put_slice = store_slice if precision == FLOAT32 else store_rounded
    by_warps = precision != FLOAT32 and not SIMULATED
    place, row_of, multiply_slices = make_warps(tile, a_step, b_step) if by_warps else _by_threads(tile)
    left_size = 2 * thread_rows if by_warps else thread_rows

    @device_function
    def product(a, b, a_slice, b_slice, position, first, stop, out):
        a_slices = cuda.shared.array(a_size, a.matrix.dtype, ALIGNED)
        b_slices = cuda.shared.array(b_size, a.matrix.dtype, ALIGNED)
        a_values = cuda.local.array(a_count, a.matrix.dtype)
        b_values = cuda.local.array(b_count, a.matrix.dtype)
        left_terms = cuda.local.array(left_size, a.matrix.dtype)
        right_terms = cuda.local.array(thread_columns, a.matrix.dtype)
        sums = cuda.local.array(sums_shape, a.matrix.dtype)
        a_term, a_row = a_slice
        b_term, b_row = b_slice
        row, column = place(cuda.threadIdx.x)

        clear(sums)
        load_a(a_values, a, position, first + a_term < stop)
        load_b(b_values, b, position, first + b_term < stop)
        buffer = 0
        k = first
        while k < stop:
            put_slice(a_values, a_slices, (buffer + a_term) * a_step + a_row, lanes)
            put_slice(b_values, b_slices, (buffer + b_term) * b_step + b_row, lanes)
            cuda.syncthreads()
            k += depth
            position = advance(position, a, b, depth)
            load_a(a_values, a, position, k + a_term < stop)
            load_b(b_values, b, position, k + b_term < stop)
            a_offset, b_offset = buffer * a_step + row, buffer * b_step + column
            multiply_slices(a_slices, a_offset, b_slices, b_offset, tile, left_terms, right_terms, sums)
            buffer = depth - buffer

        top, left = cuda.blockIdx.x * rows, cuda.blockIdx.y * columns
        for r in range(thread_rows):
            for s in range(0, thread_columns, WIDTH):
                epilogue(sums, s, r, row_of(top + row, r), left + column + s * across, out)
            next_row(sums)

    return product


def named(precision):
    """Decorate the function of a kernel, so that its name says how it multiplies, in a profile say: ``_product_tf32``."""

    def rename(function):
        if precision != FLOAT32:
            function.__name__, function.__qualname__ = (
                f"{name}_{precision}" for name in (function.__name__, function.__qualname__)
            )
        return function

    return rename


def _by_threads(tile):
    """The place of a thread in its tile, the row of one of its sums, and how it multiplies, as ``make_warps`` has them."""
    across, thread_rows = tile.across, tile.thread_rows

    @device_function
    def place(t):
        return t // across * thread_rows, t % across * WIDTH

    @device_function
    def row_of(row, r):
        return row + r

    return place, row_of, multiply


@device_function
def my_slice(t, along_terms, depth, lanes):
    """The values of a slice that thread ``t`` loads: its one term, and the first of its rows, which lie ``lanes`` apart."""
    if along_terms:
        return t % depth, t // depth
    return t // lanes, t % lanes


@device_function
def clear(sums):
    for r in range(sums.shape[0]):
        for s in range(sums.shape[1]):
            sums[r, s] = 0


@device_function
def row_offsets(offsets, first, lanes, last, step):
    """Offsets of the rows of a matrix that a thread loads. Past the last row, the last one again: read, but not written."""
    for e in range(offsets.shape[0]):
        offsets[e] = min(first + e * lanes, last) * step


@device_function
def load_term(values, matrix, offset, offsets, is_present):
    """A thread's values of one term. Past the last term, zeros: they are multiplied and added as all others."""
    for e in range(values.shape[0]):
        values[e] = 0
    if is_present:
        for e in range(values.shape[0]):
            values[e] = load_near(matrix, offset, offsets[e])


@device_function
def store_slice(values, slices, offset, lanes):
    """Put the loaded values into shared memory."""
    for e in range(values.shape[0]):
        store(slices, offset + e * lanes, values[e])


@device_function
def multiply(a, a_offset, b, b_offset, tile, left, right, sums):
    """sums[r, s] += a[k, r] * b[k, s] for all terms k of a slice.

    Args:
        a, a_offset, b, b_offset: the slices, and the offsets of a thread's rows and columns of the first term.
        tile: its sizes.
        left, right: room for the values of one term, in registers.
        sums: in registers too.
    """
    a_step, b_step, group = tile.rows + PAD, tile.columns + PAD, tile.columns // tile.thread_columns * WIDTH
    k = 0
    while k < tile.depth:  # two at a time, counted by hand: a ``range`` would cost more instructions than all reads together
        multiply_term(a, a_offset, b, b_offset, group, left, right, sums)
        multiply_term(a, a_offset + a_step, b, b_offset + b_step, group, left, right, sums)
        a_offset += 2 * a_step
        b_offset += 2 * b_step
        k += 2


@device_function
def multiply_term(a, a_offset, b, b_offset, group, left, right, sums):
    for r in range(0, left.shape[0], WIDTH):
        left[r], left[r + 1], left[r + 2], left[r + 3] = load4(a, a_offset + r)
    for s in range(0, right.shape[0], WIDTH):
        right[s], right[s + 1], right[s + 2], right[s + 3] = load4(b, b_offset + s // WIDTH * group)
    for r in range(left.shape[0]):
        for s in range(right.shape[0]):
            sums[r, s] += left[r] * right[s]


@device_function
def next_row(sums):
    """Move all rows up by one, so that a thread's current row is always row 0, an index the compiler knows."""
    for r in range(sums.shape[0] - 1):
        for s in range(sums.shape[1]):
            sums[r, s] = sums[r + 1, s]


@device_function
def rectified(value, relu):
    """max(0, value) where ``relu``; NaN stays NaN."""
    return np.float32(0) if relu and value <= 0 else value


@device_function
def read_four(values, x, offset, count, columns):
    """Four neighbours in a row of ``columns``: one vector if it is aligned, else the ``count`` values left in the row, and zeros."""
    if count >= WIDTH and columns % WIDTH == 0:
        values[0], values[1], values[2], values[3] = load4(x, offset)
    else:
        for i in range(WIDTH):
            values[i] = 0
            if i < count:
                values[i] = load(x, offset + i)


@device_function
def write_four(values, x, offset, count, columns):
    """The reverse of ``read_four``."""
    if count >= WIDTH and columns % WIDTH == 0:
        store4(x, offset, (values[0], values[1], values[2], values[3]))
    else:
        for i in range(WIDTH):
            if i < count:
                store(x, offset + i, values[i])


@device_function
def write_sums(sums, s, offset, count, columns, out):
    """Write sums[0, s] and the next three to out[offset] and so on, in a row of ``columns`` with ``count`` values left."""
    values = cuda.local.array(WIDTH, out.dtype)
    for i in range(WIDTH):
        values[i] = sums[0, s + i]
    write_four(values, out, offset, count, columns)


def add_parts(parts, bias, relu, out, more=None):
    """out[..., n] = bias[n] + the sum of ``parts`` along its first axis; then ReLU, where asked for.

    Args:
        more: parts of another sum, (parts, n), to be added up by the same launch.

    Returns:
        out; with ``more`` also its sum, (n,).
    """
    y, nothing = out.reshape(-1), zeros(0, parts.dtype)
    other = nothing if more is None else arena.empty((more.shape[1],), more.dtype)
    across = launch.THREADS // ADDERS
    grid = blocks_of(y.size, across) + blocks_of(other.size, across)
    others = (nothing, 0, nothing) if more is None else (more.reshape(-1), len(more), other)
    launch.blocks(_add_parts, grid, (across, ADDERS), parts.reshape(-1), bias, relu, parts.shape[0], y, *others)
    return out if more is None else (out, other)


def _make_add_parts(threads):
    across = threads // ADDERS

    @kernel
    def _add_parts(parts, bias, relu, count, out, more, more_count, other):
        """The threads of a column each add up a run of a value's parts; the first of them adds up their sums.

        The last blocks do so with ``more``, whose sum is ``other``.
        """
        sums = cuda.shared.array(threads, parts.dtype)
        x, group = cuda.threadIdx.x, cuda.threadIdx.y
        i = cuda.blockIdx.x * across + x
        k = i - (out.size + across - 1) // across * across
        total = parts.dtype.type(0)
        if i < out.size:
            first, stop = run_of(group, count)
            for part in range(first, stop):
                total += parts[part * out.size + i]
        elif 0 <= k < other.size:
            first, stop = run_of(group, more_count)
            for part in range(first, stop):
                total += more[part * other.size + k]
        sums[group * across + x] = total
        cuda.syncthreads()
        if group == 0:
            for adder in range(1, ADDERS):
                total += sums[adder * across + x]
            if i < out.size:
                out[i] = rectified(total + bias[i % bias.size], relu)
            elif 0 <= k < other.size:
                other[k] = total

    return _add_parts


@device_function
def run_of(group, count):
    """The parts that one of the threads of a column adds up: the first, and one past the last."""
    length = (count + ADDERS - 1) // ADDERS
    return group * length, min((group + 1) * length, count)


_add_parts = _make_add_parts(launch.THREADS)
