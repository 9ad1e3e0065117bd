"""Emitted code that moves small blocks of values: a row of a panel, and a square turned in registers."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from numbacnn.backends.cpu.codegen.tile import TILE_COLUMNS
from numbacnn.backends.cpu.codegen.vectors import Vectors, data_of, index, intrinsic
from numbacnn.backends.cpu.vector_unit import LANES


@intrinsic
def copy_row(typing_context: Any, source: Any, target: Any, width: Any) -> Any:
    """One row of a panel, from one (flat array, place) to another: the first ``width`` values, and zeros after them."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Vectors(builder)
        source, target = (_place(context, builder, signature.args[i], arguments[i]) for i in (0, 1))
        whole = builder.icmp_signed(">=", arguments[2], index(TILE_COLUMNS))
        with builder.if_else(whole, likely=True) as (all_of_it, part):
            with all_of_it:
                for at in range(0, TILE_COLUMNS, LANES):
                    vectors.store(vectors.load(builder.gep(source, [index(at)])), builder.gep(target, [index(at)]))
            with part:
                for at in range(0, TILE_COLUMNS, LANES):
                    mask = vectors.mask(builder.sub(arguments[2], index(at)))
                    vectors.store(vectors.load_masked(builder.gep(source, [index(at)]), mask), builder.gep(target, [index(at)]))
        return context.get_dummy_value()

    return types.void(source, target, types.int64), emit


@intrinsic
def transpose_block(typing_context: Any, source: Any, target: Any, size: Any) -> Any:
    """A square of LANES by LANES values, turned in registers: target[i, j] = source[j, i].

    In log2(LANES) rounds, blocks of 1, 2, 4, ... values trade places across the diagonal.

    Args:
        source, target: (flat array, place, distance of rows).
        size: (rows, columns) of the target that there are, if less than LANES: further rows are not written, and further columns
            become zeros.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Vectors(builder)
        source, target = (_place(context, builder, signature.args[i], arguments[i]) for i in (0, 1))
        source_row, target_row = (builder.extract_value(arguments[i], 2) for i in (0, 1))
        height, width = cgutils.unpack_tuple(builder, arguments[2])
        in_rows = vectors.mask(height)
        nothing = ir.Constant(in_rows.type, [False] * LANES)
        rows = []
        for j in range(LANES):
            there = builder.select(builder.icmp_signed("<", index(j), width), in_rows, nothing)
            rows.append(vectors.load_masked(builder.gep(source, [builder.mul(source_row, index(j))]), there))
        for i, row in enumerate(_turned(builder, rows)):
            with builder.if_then(builder.icmp_signed("<", index(i), height), likely=True):
                vectors.store(row, builder.gep(target, [builder.mul(target_row, index(i))]))
        return context.get_dummy_value()

    return types.void(source, target, size), emit


def _turned(builder: Any, rows: list[Any]) -> list[Any]:
    rows, side = list(rows), 1
    while side < LANES:
        upper = [lane if lane & side == 0 else LANES + lane - side for lane in range(LANES)]
        lower = [lane + side if lane & side == 0 else LANES + lane for lane in range(LANES)]
        for i in range(LANES):
            if i & side == 0:
                pair = rows[i], rows[i + side]
                rows[i], rows[i + side] = (builder.shuffle_vector(*pair, _lanes(chosen)) for chosen in (upper, lower))
        side *= 2
    return rows


def _place(context: Any, builder: Any, where_type: Any, where: Any) -> Any:
    """The pointer that (flat array, place, ...) stands for."""
    array, at = (builder.extract_value(where, i) for i in (0, 1))
    return builder.gep(data_of(context, builder, where_type[0], array), [at])


def _lanes(chosen: list[int]) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), LANES), chosen)
