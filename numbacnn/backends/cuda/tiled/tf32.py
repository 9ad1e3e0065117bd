"""Products by tensor cores: factors rounded to TF32, sums in float32.

TF32 has the exponent of a float32 and the first 10 bits of its fraction. A value is rounded to it once, when it is put into shared memory:
to the nearest, and halves away from zero. So a factor is off by at most 2^-11 of itself; a product of two such values is exact in float32.
Whole numbers up to 2048 are exact.

One instruction multiplies for a whole warp: 16 rows and 8 columns, 8 terms of each sum, an octet of the warp's threads for each column.

    d[i, j] = c[i, j] + sum_k a[i, k] * b[k, j]            i < 16, j < 8, k < 8
    thread 4 g + q of the warp holds    a[g, q], a[g + 8, q], a[g, q + 4], a[g + 8, q + 4]
                                        b[q, g], b[q + 4, g]
                                        c[g, 2q], c[g, 2q + 1], c[g + 8, 2q], c[g + 8, 2q + 1]          and d likewise

Which row of a tile is row i of an instruction is free, and so is the order of columns and terms. They are chosen so that the sums of a
thread are those of neighbours, as in the float32 kernels: the same epilogues write them. Two instructions down and two across give a
thread 4 x 4 sums, and a warp 32 rows x 16 columns:

    rows      4g, 4g + 1       are rows g and g + 8 of the upper instruction, 4g + 2 and 4g + 3 those of the lower
    columns   4q + 2e + n      is column 2q + e of instruction n, so b's column g of both is 2g and 2g + 1
    terms     2q, 2q + 1       are terms q and q + 4

A thread of 8 rows has two groups of 4 half a tile apart, and so it is with columns. Then 8 threads that read a vector of 4 rows each,
q = 0 to 3 and two values of g, find them in 32 different banks of shared memory; so do 16 threads with their vectors of 2 columns.

In the simulator threads multiply one by one, as in float32, the same rounded values.

Source: NVIDIA, Parallel Thread Execution ISA, "Matrix fragments for mma.m16n8k8" and "cvt".
"""

from typing import Any

import numpy as np

from numbacnn.backends.cuda._jit import SIMULATED, cuda, device_function, emitting, gpu
from numbacnn.backends.cuda.tiled.vectors import WIDTH, load2, load4, store
from numbacnn.errors import DeviceError

WARP = 32
DOWN, ACROSS = 8, 4
"""The threads of a warp along rows and columns."""

DEPTH = 8
"""Terms of an instruction, and of a slice."""

TF32_CAPABILITY = (8, 0)
"""The compute capability of the first GPUs that multiply in TF32."""

DROPPED = 13
"""Bits of a float32's fraction that TF32 has not."""


def check_capability() -> None:
    """Raise DeviceError if the GPU has no tensor cores for TF32. The simulator computes it anyhow."""
    device = gpu()
    have = tuple(int(number) for number in device.compute_capability.split(".") if number)
    if have and have < TF32_CAPABILITY:
        need = ".".join(map(str, TF32_CAPABILITY))
        raise DeviceError(
            f"--precision tf32: expected a GPU of compute capability {need} or later, got {device.name} "
            f"of {device.compute_capability}. Use --precision float32"
        )


def rounded_to_tf32(x: Any) -> Any:
    """A float32 array, or one value, rounded to TF32 as ``cvt.rna.tf32.f32`` does; still float32. NaN and infinity stay."""
    values = np.asarray(x, np.float32)
    half = np.uint32(1 << (DROPPED - 1))
    mask = np.uint32(2**32 - (1 << DROPPED))
    rounded = ((values.view(np.uint32) + half) & mask).view(np.float32)  # an overflow of the fraction raises the exponent
    return np.where(np.isfinite(values), rounded, values)[()]


def _define_simulated() -> tuple[Any, Any]:
    def multiply_add(*values: Any) -> Any:
        raise NotImplementedError("the simulator has no warps")

    return rounded_to_tf32, multiply_add


def _define_compiled() -> tuple[Any, Any]:
    ir, types, intrinsic = emitting()
    single, word = ir.FloatType(), ir.IntType(32)

    @intrinsic
    def to_tf32(typing_context: Any, x: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            convert = ir.InlineAsm(ir.FunctionType(word, [single]), "cvt.rna.tf32.f32 $0, $1;", "=r,f")
            return builder.bitcast(builder.call(convert, arguments), single)

        return types.float32(types.float32), emit

    @intrinsic
    def multiply_add(
        typing_context: Any, a0: Any, a1: Any, a2: Any, a3: Any, b0: Any, b1: Any, c0: Any, c1: Any, c2: Any, c3: Any
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = ir.FunctionType(ir.LiteralStructType([single] * 4), [word] * 6 + [single] * 4)
            text = (
                "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
            )
            # All threads of the warp must reach it together, so the compiler may neither drop, nor move, nor copy it into a branch.
            multiply = ir.InlineAsm(kind, text, "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f", side_effect=True)
            words = [builder.bitcast(each, word) for each in arguments[:6]]
            result = builder.call(multiply, [*words, *arguments[6:]], attrs=["convergent"])
            return context.make_tuple(builder, signature.return_type, [builder.extract_value(result, k) for k in range(4)])

        return types.UniTuple(types.float32, 4)(*[types.float32] * 10), emit

    return to_tf32, multiply_add


to_tf32, multiply_add = _define_simulated() if SIMULATED else _define_compiled()


@device_function
def store_rounded(values, slices, offset, lanes):
    """Put the loaded values into shared memory, rounded."""
    for e in range(values.shape[0]):
        store(slices, offset + e * lanes, to_tf32(values[e]))


def make_warps(tile, a_step, b_step):
    """What a product of this tile does otherwise than in float32; see ``product.py``.

    Args:
        tile: its sizes, constants to the compiler.
        a_step, b_step: values from term to term of the slices.

    Returns:
        place(t): the first row and the first column of thread t within the tile.
        row_of(row, r): the row of its sum r, where its first one is ``row``.
        multiply(a, a_offset, b, b_offset, tile, left, right, sums): sums += the product of two slices of ``DEPTH`` terms. The offsets
            are those of the thread's first row and column in the first term. ``left`` and ``right`` are registers, for twice the rows
            and for the columns of the thread.
    """
    thread_rows, thread_columns = tile.thread_rows, tile.thread_columns
    warps_across, row_group, column_group = tile.across // ACROSS, tile.rows // thread_rows * WIDTH, tile.across * WIDTH
    used = thread_columns // 2

    @device_function
    def place(t):
        warp, lane = t // WARP, t % WARP
        row, column = warp // warps_across * DOWN + lane // ACROSS, warp % warps_across * ACROSS + lane % ACROSS
        return row * WIDTH, column * WIDTH

    @device_function
    def row_of(row, r):
        return row + r // WIDTH * row_group + r % WIDTH

    @device_function
    def multiply(a, a_offset, b, b_offset, tile, left, right, sums):
        g, q = cuda.threadIdx.x % WARP // ACROSS, cuda.threadIdx.x % ACROSS
        a_offset += 2 * q * a_step
        b_offset += 2 * q * b_step + 2 * g - q * WIDTH  # of b, it holds other columns than those of its sums
        for half in range(2):
            for r in range(0, thread_rows, WIDTH):
                k, at = half * thread_rows + r, a_offset + half * a_step + r // WIDTH * row_group
                left[k], left[k + 1], left[k + 2], left[k + 3] = load4(a, at)
            for s in range(0, used, 2):
                k, at = half * used + s, b_offset + half * b_step + s // 2 * column_group
                right[k], right[k + 1] = load2(b, at)
        for r in range(0, thread_rows, 2):
            for n in range(used):
                s = n // 2 * WIDTH + n % 2
                sums[r, s], sums[r, s + 2], sums[r + 1, s], sums[r + 1, s + 2] = multiply_add(
                    left[r], left[r + 1], left[thread_rows + r], left[thread_rows + r + 1], right[n], right[used + n],
                    sums[r, s], sums[r, s + 2], sums[r + 1, s], sums[r + 1, s + 2],
                )  # fmt: skip

    return place, row_of, multiply
