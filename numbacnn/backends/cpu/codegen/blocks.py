"""Emitted code that packs panels: copy a row of a panel, transpose a square block of values in registers."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from numbacnn.backends.cpu.codegen.tile import TILE_COLUMNS
from numbacnn.backends.cpu.codegen.vectors import Vectors, index, intrinsic, pointer_to
from numbacnn.backends.cpu.vector_unit import LANES


@intrinsic
def copy_row(typing_context: Any, source: Any, target: Any, width: Any) -> Any:
    """Copy one row of a panel from one (flat array, offset) to another.

    for s in range(TILE_COLUMNS):
        target[s] = source[s] if s < width else 0
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Vectors(builder)
        source, target = (pointer_to(context, builder, signature.args[i], arguments[i]) for i in (0, 1))
        whole = builder.icmp_signed(">=", arguments[2], index(TILE_COLUMNS))
        with builder.if_else(whole, likely=True) as (full, part):
            with full:
                for s in range(0, TILE_COLUMNS, LANES):
                    vectors.store(vectors.load(builder.gep(source, [index(s)])), builder.gep(target, [index(s)]))
            with part:
                for s in range(0, TILE_COLUMNS, LANES):
                    mask = vectors.mask(builder.sub(arguments[2], index(s)))
                    vectors.store(vectors.load_masked(builder.gep(source, [index(s)]), mask), builder.gep(target, [index(s)]))
        return context.get_dummy_value()

    return types.void(source, target, types.int64), emit


@intrinsic
def transpose_block(typing_context: Any, source: Any, target: Any, size: Any) -> Any:
    """Transpose a square of LANES by LANES values.

        for i in range(min(rows, LANES)), j in range(LANES):
            target[i*target_step + j] = source[j*source_step + i] if j < columns else 0

    In log2(LANES) rounds, blocks of 1, 2, 4, ... values are exchanged across the diagonal, in registers.

    Args:
        source, target: (flat array, offset, row step).
        size: (rows, columns) that remain of the target.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Vectors(builder)
        source, target = (pointer_to(context, builder, signature.args[i], arguments[i]) for i in (0, 1))
        source_row, target_row = (builder.extract_value(arguments[i], 2) for i in (0, 1))
        height, width = cgutils.unpack_tuple(builder, arguments[2])
        in_rows = vectors.mask(height)
        no_lane = ir.Constant(in_rows.type, [False] * LANES)
        rows = []
        for j in range(LANES):
            mask = builder.select(builder.icmp_signed("<", index(j), width), in_rows, no_lane)
            rows.append(vectors.load_masked(builder.gep(source, [builder.mul(source_row, index(j))]), mask))
        for i, row in enumerate(_transposed(builder, rows)):
            with builder.if_then(builder.icmp_signed("<", index(i), height), likely=True):
                vectors.store(row, builder.gep(target, [builder.mul(target_row, index(i))]))
        return context.get_dummy_value()

    return types.void(source, target, size), emit


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """The columns of a square whose rows are given, each one vector."""
    rows, side = list(rows), 1
    while side < LANES:
        upper = [lane if lane & side == 0 else LANES + lane - side for lane in range(LANES)]
        lower = [lane + side if lane & side == 0 else LANES + lane for lane in range(LANES)]
        for i in range(LANES):
            if i & side == 0:
                pair = rows[i], rows[i + side]
                rows[i], rows[i + side] = (builder.shuffle_vector(*pair, _shuffle(chosen)) for chosen in (upper, lower))
        side *= 2
    return rows


def _shuffle(chosen: list[int]) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), LANES), chosen)
