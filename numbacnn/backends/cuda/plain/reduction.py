"""Sums of columns over many rows, accurate in float32 and always in the same order, without atomics.

    rows -> parts, one a block -> lanes of threads in a block -> runs of rows in a lane

Each sum is one of a few sums of the step to the right of it, and lanes are added up in pairs, pairs of pairs, and so on: no value meets
more than a few hundred roundings. How a sum is cut depends on its shape alone. A second launch adds up the parts.

Threads of a block stand side by side in columns, so that they read what lies side by side; where columns are fewer than threads,
the next lane takes the next row.
"""

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, device_function, kernel
from numbacnn.backends.cuda.launch import THREADS, blocks_of
from numbacnn.backends.cuda.memory import arena

MOST_PARTS = 512
ROWS_OF_PART, RUN = 128, 16
"""A part has at least so many rows, and so many for each of its lanes. A lane adds up runs of RUN rows."""


def sum_rows(x):
    """out[f] = sum over n of x[n, f]"""
    rows, columns = x.shape
    sums = arena.empty((parts_of(rows, columns), columns), x.dtype)
    sum_parts(_sum_rows, columns, sums, x)
    return total_of(sums)


def total_of(sums):
    """The sum of the rows of ``sums``, which are parts: at most MOST_PARTS."""
    if len(sums) > 1:
        parts, sums = sums, arena.empty((1, sums.shape[1]), sums.dtype)
        sum_parts(_sum_rows, parts.shape[1], sums, parts)
    return sums.reshape(-1)


def parts_of(rows, columns):
    """Into how many parts rows are cut."""
    lanes = THREADS // min(columns, THREADS)
    return max(1, min(blocks_of(rows, max(lanes * RUN, ROWS_OF_PART)), MOST_PARTS))


def sum_parts(kernel, columns, sums, *args):
    """Launch a kernel that sums columns: one block for each part, a row of ``sums``, and as many columns as it has threads."""
    launch.blocks(kernel, (len(sums), blocks_of(columns, THREADS)), THREADS, *args, sums)


@device_function
def lane_of(columns):
    """What this thread adds up: its lane, of how many, its column, and how many columns the block has.

    Threads that are left over have a lane that is none of those, or a column that is not there.
    """
    width = min(columns, THREADS)
    lane = cuda.threadIdx.x // width
    return lane, THREADS // width, cuda.blockIdx.y * width + cuda.threadIdx.x - lane * width, width


@device_function
def rows_of_part(rows):
    """The rows of this block's part: the first one, one past the last."""
    part, parts = cuda.blockIdx.x, cuda.gridDim.x
    return part * rows // parts, (part + 1) * rows // parts


@device_function
def sum_lanes(sums, lanes, width):
    """``sums`` has one value for each thread: those of the first lane become the sums over all lanes. All threads of a block call it."""
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
