"""Sums of columns over many rows, accurate in float32 and always in the same order, without atomics.

    rows -> parts, one a block -> lanes of threads in a block -> runs of rows in a lane

A run, a lane and a part are sums of a few values each, and lanes are added in pairs, pairs of pairs, and so on: no value goes through more
than a few hundred roundings. The cut depends on the shape alone. A second launch adds up the parts.

Neighbouring threads of a block take neighbouring columns, so that they read neighbouring values; the next lane takes the next row. A
block has no more columns than a warp reads at once: with more of them, each thread would wait for more rows, one after the other.
"""

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import SIMULATED, cuda, device_function, kernel
from numbacnn.backends.cuda.launch import THREADS, blocks_of
from numbacnn.backends.cuda.memory import arena
from numbacnn.backends.cuda.plain.geometry import as_rows

MOST_PARTS = 512
ROWS_PER_PART, RUN = 128, 16
"""A part has about ROWS_PER_PART rows, or RUN rows per lane if those are more. A lane adds up runs of RUN rows."""

COLUMNS = 4 if SIMULATED else 32
"""The most columns of a block: those of a warp."""

LONG_RUN = 256
"""The most terms that a thread which has a sum to itself adds one after the other; it then adds the sums of such runs."""


def sum_pixels(x):
    """out[f] = sum over all but the last axis of x[..., f]: the gradient of a bias."""
    return total_of(pixel_sums(x))


def pixel_sums(x):
    """The partial sums of ``sum_pixels``, (parts, columns)."""
    x = as_rows(x)
    rows, columns = x.shape
    sums = arena.empty((parts_of(rows, columns), columns), x.dtype)
    sum_parts(_sum_rows, columns, sums, x)
    return sums


def total_of(sums):
    """The total of partial sums, one in each row of ``sums``: at most MOST_PARTS rows."""
    if len(sums) > 1:
        parts, sums = sums, arena.empty((1, sums.shape[1]), sums.dtype)
        sum_parts(_sum_rows, parts.shape[1], sums, parts)
    return sums.reshape(-1)


def parts_of(rows, columns):
    """The number of parts that rows are cut into."""
    lanes = THREADS // min(columns, COLUMNS)
    return max(1, min(blocks_of(rows, max(lanes * RUN, ROWS_PER_PART)), MOST_PARTS))


def sum_parts(kernel, columns, sums, *args):
    """Launch a kernel that sums columns: one block for each part, a row of ``sums``, and COLUMNS columns."""
    launch.blocks(kernel, (len(sums), blocks_of(columns, COLUMNS)), THREADS, *args, sums)


@device_function
def lane_of(columns):
    """This thread's lane, the number of lanes, its column, and the number of columns of the block.

    A thread left over has a lane past the last one, or a column past the last one.
    """
    width = min(columns, COLUMNS)
    lane = cuda.threadIdx.x // width
    return lane, THREADS // width, cuda.blockIdx.y * width + cuda.threadIdx.x - lane * width, width


@device_function
def rows_of_part(rows):
    """The rows of this block's part: the first one, one past the last."""
    part, parts = cuda.blockIdx.x, cuda.gridDim.x
    return part * rows // parts, (part + 1) * rows // parts


@device_function
def sum_lanes(sums, lanes, width):
    """Add up all lanes into the first one. ``sums`` has one value for each thread; all threads of a block must call."""
    t = cuda.threadIdx.x
    while lanes > 1:
        half = (lanes + 1) // 2
        cuda.syncthreads()
        if t < (lanes - half) * width:
            sums[t] += sums[t + half * width]
        lanes = half
    cuda.syncthreads()


@kernel
def _sum_rows(x, out):
    sums = cuda.shared.array(THREADS, x.dtype)
    t = cuda.threadIdx.x
    lane, lanes, column, width = lane_of(x.shape[1])
    first, stop = rows_of_part(x.shape[0])
    total = x.dtype.type(0)
    if lane < lanes and column < x.shape[1]:
        for start in range(first + lane, stop, RUN * lanes):
            run = x.dtype.type(0)
            for n in range(start, min(start + RUN * lanes, stop), lanes):
                run += x[n, column]
            total += run
    sums[t] = total
    sum_lanes(sums, lanes, width)
    if t < width and column < x.shape[1]:
        out[cuda.blockIdx.x, column] = sums[t]
