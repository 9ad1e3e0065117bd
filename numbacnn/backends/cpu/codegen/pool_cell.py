"""Emitted code for one window of a max pooling, forward and backward, on as many channels as a vector has lanes."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from numbacnn.backends.cpu.codegen.vectors import INDEX, Vectors, data_of, index, intrinsic
from numbacnn.backends.cpu.vector_unit import LANES


@intrinsic
def max_pool_cell(typing_context: Any, z: Any, size: Any, y: Any, winners: Any, at: Any, channels: Any, relu: Any) -> Any:
    """One window, for as many channels as a vector has lanes.

    Args:
        z: (flat array, place of the first cell, distance of rows, distance of columns).
        size: (rows, columns) of the window, at least one cell.
        y, winners, at: flat arrays, float32 and uint8, and the place in both.
        channels: how many there are from here on; only the first LANES of them are looked at.
        relu: whether negative maxima become zero.
    """
    return types.void(z, size, y, winners, types.int64, types.int64, types.boolean), _emit_max_pool_cell


def _emit_max_pool_cell(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vectors = Vectors(builder)
    _, place, row_step, column_step = cgutils.unpack_tuple(builder, arguments[0])
    z = builder.gep(data_of(context, builder, signature.args[0][0], builder.extract_value(arguments[0], 0)), [place])
    kh, kw = cgutils.unpack_tuple(builder, arguments[1])
    y = builder.gep(data_of(context, builder, signature.args[2], arguments[2]), [arguments[4]])
    winners = builder.gep(data_of(context, builder, signature.args[3], arguments[3]), [arguments[4]])
    cells, byte_type = ir.VectorType(ir.IntType(32), LANES), ir.VectorType(ir.IntType(8), LANES)

    def largest(mask: Any) -> tuple[Any, Any]:
        def look(at: Any) -> Any:
            return vectors.load(at) if mask is None else vectors.load_masked(at, mask)

        def better(best: tuple[Any, Any], row: Any, column: Any) -> tuple[Any, Any]:
            """The larger of what was best and the cell in this row and column, and which cell it is."""
            value = look(builder.gep(z, [builder.add(builder.mul(row, row_step), builder.mul(column, column_step))]))
            # NaN is unordered to everything: it must win, and keep what it won.
            not_less = builder.fcmp_unordered(">", value, best[0])
            wins = builder.and_(not_less, builder.fcmp_ordered("ord", best[0], best[0]))
            cell = builder.trunc(builder.add(builder.mul(row, kw), column), ir.IntType(32))
            return builder.select(wins, value, best[0]), builder.select(wins, vectors.broadcast(cell), best[1])

        first = look(z), ir.Constant(cells, [0] * LANES)
        results = [cgutils.alloca_once_value(builder, each) for each in first]

        def keep(best: tuple[Any, Any]) -> None:
            for each, result in zip(best, results, strict=True):
                builder.store(each, result)

        with builder.if_else(_is_two_by_two(builder, kh, kw), likely=True) as (two_by_two, any_size):
            with two_by_two:  # without loops: a third of the instructions
                best = first
                for row, column in ((0, 1), (1, 0), (1, 1)):
                    best = better(best, index(row), index(column))
                keep(best)
            with (
                any_size,
                cgutils.for_range(builder, kh, intp=INDEX) as row,
                cgutils.for_range(builder, kw, intp=INDEX) as column,
            ):
                keep(better((builder.load(results[0]), builder.load(results[1])), row.index, column.index))
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
    """Whether a window is what windows nearly always are."""
    return builder.and_(builder.icmp_signed("==", kh, index(2)), builder.icmp_signed("==", kw, index(2)))


@intrinsic
def store_lanes(typing_context: Any, z: Any, y: Any, channels: Any, relu: Any) -> Any:
    """One pixel, for as many channels as a vector has lanes: from one (flat array, place) to another, with ReLU where asked for."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Vectors(builder)
        z, y = (
            builder.gep(
                data_of(context, builder, signature.args[i][0], builder.extract_value(arguments[i], 0)),
                [builder.extract_value(arguments[i], 1)],
            )
            for i in (0, 1)
        )
        value = vectors.load(z)
        value = builder.select(arguments[3], vectors.relu(value), value)
        with builder.if_else(builder.icmp_signed(">=", arguments[2], index(LANES)), likely=True) as (whole, part):
            with whole:
                vectors.store(value, y)
            with part:
                vectors.store_masked(value, y, vectors.mask(arguments[2]))
        return context.get_dummy_value()

    return types.void(z, y, types.int64, types.boolean), emit


@intrinsic
def scatter_cell(
    typing_context: Any, dy: Any, y: Any, winners: Any, at: Any, channels: Any, size: Any, target: Any, relu: Any
) -> Any:
    """Undo ``max_pool_cell``: the gradient goes to the cell that won, zeros to the others. A window of one cell has no winner.

    Args:
        dy, y, winners, at: flat arrays, float32, float32 and uint8, and the place in all of them.
        channels: how many there are from here on; only the first LANES of them are looked at.
        size: (rows, columns) of the window.
        target: (flat array, place of the first cell, distance of rows, distance of columns).
        relu: whether no gradient passes where y is not positive.
    """
    return types.void(dy, y, winners, types.int64, types.int64, size, target, types.boolean), _emit_scatter_cell


def _emit_scatter_cell(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vectors = Vectors(builder)
    dy, y, winners = (builder.gep(data_of(context, builder, signature.args[i], arguments[i]), [arguments[3]]) for i in range(3))
    kh, kw = cgutils.unpack_tuple(builder, arguments[5])
    array, place, row_step, column_step = cgutils.unpack_tuple(builder, arguments[6])
    target = builder.gep(data_of(context, builder, signature.args[6][0], array), [place])
    cells, byte_type = ir.VectorType(ir.IntType(32), LANES), ir.VectorType(ir.IntType(8), LANES)
    zero = vectors.constant(0.0)

    def scatter(mask: Any) -> None:
        def write(value: Any, to: Any) -> None:
            if mask is None:
                vectors.store(value, to)
            else:
                vectors.store_masked(value, to, mask)

        gradient, output = (vectors.load(each) if mask is None else vectors.load_masked(each, mask) for each in (dy, y))
        passes = builder.or_(vectors.broadcast(builder.not_(relu)), builder.fcmp_ordered(">", output, zero))
        gradient = builder.select(passes, gradient, zero)
        one_cell = builder.icmp_signed("==", builder.mul(kh, kw), index(1))
        with builder.if_else(one_cell) as (plain, pooled):
            with plain:
                write(gradient, target)
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
                    here = builder.icmp_signed("==", winner, vectors.broadcast(cell))
                    write(builder.select(here, gradient, zero), builder.gep(target, [offset]))

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
            scatter(None)
        with part:
            scatter(vectors.mask(arguments[4]))
    return context.get_dummy_value()
