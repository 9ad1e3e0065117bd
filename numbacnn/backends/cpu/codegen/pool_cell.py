"""Emitted code for one window of a max pooling, forward and backward: LANES channels at a time.

    y = max over (u, v) of z[u, v]          dz[u, v] = dy if (u, v) is the winner else 0

Each intrinsic stands for a loop over channels, given in its docstring; the vectors hold LANES of them.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from numbacnn.backends.cpu.codegen.vectors import INDEX, Vectors, data_of, index, intrinsic, pointer_to
from numbacnn.backends.cpu.vector_unit import LANES


@intrinsic
def max_pool_cell(typing_context: Any, z: Any, size: Any, y: Any, winners: Any, offset: Any, channels: Any, relu: Any) -> Any:
    """Find the maximum of one window, and which cell it is.

        for f in range(min(channels, LANES)):
            y[offset + f] = max over u, v of z[first + u*row_step + v*column_step + f]          (the first of equals)
            winners[offset + f] = u*kw + v

    Args:
        z: (flat array, first, row_step, column_step).
        size: (kh, kw) of the window, at least one cell.
        y, winners, offset: flat arrays, float32 and uint8, and the offset in both.
        channels: how many remain; those from LANES on are not touched.
        relu: whether negative maxima become zero.
    """
    return types.void(z, size, y, winners, types.int64, types.int64, types.boolean), _emit_max_pool_cell


def _emit_max_pool_cell(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vectors = Vectors(builder)
    _, _, row_step, column_step = cgutils.unpack_tuple(builder, arguments[0])
    z = pointer_to(context, builder, signature.args[0], arguments[0])
    kh, kw = cgutils.unpack_tuple(builder, arguments[1])
    y = builder.gep(data_of(context, builder, signature.args[2], arguments[2]), [arguments[4]])
    winners = builder.gep(data_of(context, builder, signature.args[3], arguments[3]), [arguments[4]])
    cells, byte_type = ir.VectorType(ir.IntType(32), LANES), ir.VectorType(ir.IntType(8), LANES)

    def largest(mask: Any) -> tuple[Any, Any]:
        def load(pointer: Any) -> Any:
            return vectors.load(pointer) if mask is None else vectors.load_masked(pointer, mask)

        def larger(best: tuple[Any, Any], row: Any, column: Any) -> tuple[Any, Any]:
            """The larger of the best value and that in this row and column, and its cell."""
            value = load(builder.gep(z, [builder.add(builder.mul(row, row_step), builder.mul(column, column_step))]))
            # NaN is unordered to everything: it must win, and keep what it won.
            not_less = builder.fcmp_unordered(">", value, best[0])
            wins = builder.and_(not_less, builder.fcmp_ordered("ord", best[0], best[0]))
            cell = builder.trunc(builder.add(builder.mul(row, kw), column), ir.IntType(32))
            return builder.select(wins, value, best[0]), builder.select(wins, vectors.broadcast(cell), best[1])

        first = load(z), ir.Constant(cells, [0] * LANES)
        results = [cgutils.alloca_once_value(builder, value) for value in first]

        def store_best(best: tuple[Any, Any]) -> None:
            for value, result in zip(best, results, strict=True):
                builder.store(value, result)

        with builder.if_else(_is_two_by_two(builder, kh, kw), likely=True) as (two_by_two, any_size):
            with two_by_two:  # without loops: a third of the instructions
                best = first
                for row, column in ((0, 1), (1, 0), (1, 1)):
                    best = larger(best, index(row), index(column))
                store_best(best)
            with (
                any_size,
                cgutils.for_range(builder, kh, intp=INDEX) as row,
                cgutils.for_range(builder, kw, intp=INDEX) as column,
            ):
                store_best(larger((builder.load(results[0]), builder.load(results[1])), row.index, column.index))
        value, winner = (builder.load(result) for result in results)
        return builder.select(arguments[6], vectors.relu(value), value), builder.trunc(winner, byte_type)

    with builder.if_else(builder.icmp_signed(">=", arguments[5], index(LANES)), likely=True) as (whole, part):
        with whole:
            value, winner = largest(None)
            vectors.store(value, y)
            builder.store(winner, builder.bitcast(winners, byte_type.as_pointer())).align = 1
        with part:
            mask = vectors.mask(arguments[5])
            value, winner = largest(mask)
            vectors.store_masked(value, y, mask)
            vectors.store_masked(winner, winners, mask)
    return context.get_dummy_value()


def _is_two_by_two(builder: Any, kh: Any, kw: Any) -> Any:
    """Whether a window has the usual size."""
    return builder.and_(builder.icmp_signed("==", kh, index(2)), builder.icmp_signed("==", kw, index(2)))


@intrinsic
def copy_lanes(typing_context: Any, source: Any, target: Any, channels: Any, relu: Any) -> Any:
    """Copy the channels of one pixel from one (flat array, offset) to another, with ReLU if asked for.

    for f in range(min(channels, LANES)):
        target[f] = max(0, source[f]) if relu else source[f]
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Vectors(builder)
        source, target = (pointer_to(context, builder, signature.args[i], arguments[i]) for i in (0, 1))

        def activated(value: Any) -> Any:
            return builder.select(arguments[3], vectors.relu(value), value)

        with builder.if_else(builder.icmp_signed(">=", arguments[2], index(LANES)), likely=True) as (whole, part):
            with whole:
                vectors.store(activated(vectors.load(source)), target)
            with part:
                mask = vectors.mask(arguments[2])
                vectors.store_masked(activated(vectors.load_masked(source, mask)), target, mask)
        return context.get_dummy_value()

    return types.void(source, target, types.int64, types.boolean), emit


@intrinsic
def unpool_cell(
    typing_context: Any, dy: Any, y: Any, winners: Any, offset: Any, channels: Any, size: Any, target: Any, relu: Any
) -> Any:
    """The gradient of ``max_pool_cell``: dy for the cell that won, 0 for the others.

        for f in range(min(channels, LANES)), u in range(kh), v in range(kw):
            won = winners[offset + f] == u*kw + v and (y[offset + f] > 0 or not relu)
            target[first + u*row_step + v*column_step + f] = dy[offset + f] if won else 0

    Args:
        dy, y, winners, offset: flat arrays, float32, float32 and uint8, and the offset in all of them. A window of one cell has no
            winner: ``winners`` is not read.
        channels: how many remain; those from LANES on are not touched.
        size: (kh, kw) of the window.
        target: (flat array, first, row_step, column_step).
        relu: whether no gradient passes where y is not positive.
    """
    return types.void(dy, y, winners, types.int64, types.int64, size, target, types.boolean), _emit_unpool_cell


def _emit_unpool_cell(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vectors = Vectors(builder)
    dy, y, winners = (builder.gep(data_of(context, builder, signature.args[i], arguments[i]), [arguments[3]]) for i in range(3))
    kh, kw = cgutils.unpack_tuple(builder, arguments[5])
    _, _, row_step, column_step = cgutils.unpack_tuple(builder, arguments[6])
    target = pointer_to(context, builder, signature.args[6], arguments[6])
    cells, byte_type = ir.VectorType(ir.IntType(32), LANES), ir.VectorType(ir.IntType(8), LANES)
    zero = vectors.constant(0.0)

    def unpool(mask: Any) -> None:
        def store(value: Any, pointer: Any) -> None:
            if mask is None:
                vectors.store(value, pointer)
            else:
                vectors.store_masked(value, pointer, mask)

        gradient, output = (vectors.load(p) if mask is None else vectors.load_masked(p, mask) for p in (dy, y))
        passes = builder.or_(vectors.broadcast(builder.not_(relu)), builder.fcmp_ordered(">", output, zero))
        gradient = builder.select(passes, gradient, zero)
        one_cell = builder.icmp_signed("==", builder.mul(kh, kw), index(1))
        with builder.if_else(one_cell) as (plain, pooled):
            with plain:
                store(gradient, target)
            with pooled:
                if mask is None:
                    won = builder.load(builder.bitcast(winners, byte_type.as_pointer()))
                    won.align = 1
                else:
                    won = vectors.load_bytes_masked(winners, mask)
                winner = builder.zext(won, cells)

                def fill(row: Any, column: Any) -> None:
                    offset = builder.add(builder.mul(row, row_step), builder.mul(column, column_step))
                    cell = builder.trunc(builder.add(builder.mul(row, kw), column), ir.IntType(32))
                    has_won = builder.icmp_signed("==", winner, vectors.broadcast(cell))
                    store(builder.select(has_won, gradient, zero), builder.gep(target, [offset]))

                with builder.if_else(_is_two_by_two(builder, kh, kw), likely=True) as (two_by_two, any_size):
                    with two_by_two:
                        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
                            fill(index(row), index(column))
                    with (
                        any_size,
                        cgutils.for_range(builder, kh, intp=INDEX) as r,
                        cgutils.for_range(builder, kw, intp=INDEX) as c,
                    ):
                        fill(r.index, c.index)

    relu = arguments[7]
    with builder.if_else(builder.icmp_signed(">=", arguments[4], index(LANES)), likely=True) as (whole, part):
        with whole:
            unpool(None)
        with part:
            unpool(vectors.mask(arguments[4]))
    return context.get_dummy_value()
