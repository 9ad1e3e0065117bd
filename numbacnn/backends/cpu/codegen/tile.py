"""The micro-kernel, the inner loop of all heavy kernels: one tile of a matrix product, held in registers.

    for r in range(TILE_ROWS), s in range(TILE_COLUMNS):
        out[r, s] = base[r, s] + sum over (o, i) of a[row_offsets[r] + o*a_outer + i*a_inner] * b[o*b_outer + i*b_inner + s]

Why a tile. A CPU can do two multiply-adds of whole vectors per cycle, but load only two or three vectors. A dot product loads two
values for each multiply-add, and starves. A tile of R rows by two vectors of columns loads, for each step of the sum, two vectors
of b and R single values of a (spread over all lanes), and does 2R multiply-adds with them:

                    b[k]   |  vector 0  |  vector 1  |
                           +------------+------------+
        a[0, k] broadcast  |  sum 0,0   |  sum 0,1   |      the sums: 2R registers, in which they stay
        a[1, k] broadcast  |  sum 1,0   |  sum 1,1   |      from the first k to the last
          ...              |    ...     |    ...     |

R is as large as the registers allow: 6 with 16 of them (AVX2: 12 sums, 2 of b, 1 or 2 of a), 14 with 32 (AVX-512). There are then
enough independent sums to hide the four cycles that a multiply-add takes. Of a loop in Numba, LLVM
would not keep the sums in registers, so an intrinsic emits the tile as LLVM vectors.

``row_offsets`` lists where the rows of a begin: at equal distances for a matrix, at the pixels under a filter's first cell for an
image, which makes a convolution a matrix product without copying patches. The sum runs over two nested loops for the same reason:
over a filter's rows, and along a row. b has its columns side by side; ``products/panels.py`` cuts a matrix into panels of that width.

Every output is summed in the order of (o, i), in any tile, so its bits do not depend on how a matrix is cut.

Source: Goto & van de Geijn 2008, Anatomy of High-Performance Matrix Multiplication (ACM TOMS 34); Van Zee & van de Geijn 2015, BLIS.
"""

import contextlib
from typing import Any

from numba import types
from numba.core import cgutils

from numbacnn.backends.cpu.codegen.vectors import INDEX, Vectors, data_of, index, intrinsic, pointer_to
from numbacnn.backends.cpu.vector_unit import LANES, VECTOR_UNIT

TILE_VECTORS = 2
TILE_COLUMNS = TILE_VECTORS * LANES
# Two registers hold the vectors of b, and up to two the values of a.
TILE_ROWS = (VECTOR_UNIT.registers - TILE_VECTORS - 2) // TILE_VECTORS

ROW_PANELS = 4
"""With two vectors each, eight sums: enough to hide the four cycles of a multiply-add, at two per cycle."""
ROW_COLUMNS = ROW_PANELS * TILE_COLUMNS


@intrinsic
def multiply_tile(typing_context: Any, a: Any, b: Any, terms: Any, base: Any, out: Any, size: Any, relu: Any) -> Any:
    """One tile of out = base + a b, in float32: the loop at the head of this file. Arrays are flat; steps and offsets count values.

    Args:
        a: (array, row_offsets, row, offset, outer, inner): row r of the tile begins at ``row_offsets[row + r] + offset``, and takes
            the steps ``outer`` and ``inner`` in the two loops of the sum. ``row_offsets`` is an int64 array.
        b: (array, offset, outer, inner): the first column begins at ``offset``, the others side by side after it.
        terms: (outer, inner): lengths of the two loops, both at least 1.
        base: (array, offset, row step): added to the sum. A bias (row step 0), the output itself (to continue a sum), or zeros.
        out: (array, offset, row step): the tile to write.
        size: (rows, columns): the valid part of the tile, at least 1 of each. Only that part of a, base and out is touched; b is
            read in full width.
        relu: whether negative results become zero.
    """
    return types.void(a, b, terms, base, out, size, types.boolean), _emit_multiply_tile


@intrinsic
def multiply_row(typing_context: Any, a: Any, b: Any, terms: Any, base: Any, out: Any, columns: Any, relu: Any) -> Any:
    """out = base + a b for a single row of a and up to ROW_PANELS panels of b.

        for p in range(ROW_PANELS), s in range(TILE_COLUMNS), while p*TILE_COLUMNS + s < columns:
            out[p*TILE_COLUMNS + s] = base[p*TILE_COLUMNS + s] + sum over k of a[k] * b[p*panel_step + k*TILE_COLUMNS + s]

    ``multiply_tile`` would compute TILE_ROWS rows of which one is wanted, and its two sums would each wait for their last term. Here
    2 * ROW_PANELS sums run side by side, and b streams from ROW_PANELS panels. The order of the sum, and so the bits, are those of
    ``multiply_tile``.

    Args:
        a: (array, offset): the row's values, side by side.
        b: (array, offset, panel step): the first of the panels, and the distance between them.
        terms: length of the sum, at least 1.
        base, out: (array, offset): added to the sum, and the row to write.
        columns: how many remain, at least 1; those from ROW_COLUMNS on are not touched.
        relu: whether negative results become zero.
    """
    return types.void(a, b, types.int64, base, out, types.int64, types.boolean), _emit_multiply_row


def _emit_multiply_row(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vectors = Vectors(builder)
    a, b, base, out = (pointer_to(context, builder, signature.args[i], arguments[i]) for i in (0, 1, 3, 4))
    panel_step, terms, columns, relu = builder.extract_value(arguments[1], 2), arguments[2], arguments[5], arguments[6]
    last = builder.sdiv(builder.sub(columns, index(1)), index(TILE_COLUMNS))
    panels = []
    for p in range(ROW_PANELS):  # past the last panel, read the last one again; nothing of it is written
        panel = builder.select(builder.icmp_signed("<", index(p), last), index(p), last)
        panels.append(builder.gep(b, [builder.mul(panel, panel_step)]))
    sums = [cgutils.alloca_once_value(builder, vectors.constant(0.0)) for _ in range(ROW_PANELS * TILE_VECTORS)]
    with cgutils.for_range(builder, terms, intp=INDEX) as k:
        value = vectors.broadcast(builder.load(builder.gep(a, [k.index])))
        for number, total in enumerate(sums):
            p, v = divmod(number, TILE_VECTORS)
            offset = builder.add(builder.mul(k.index, index(TILE_COLUMNS)), index(v * LANES))
            builder.store(vectors.multiply_add(value, vectors.load(builder.gep(panels[p], [offset])), builder.load(total)), total)
    for number, total in enumerate(sums):
        offset = index(number * LANES)
        remaining = builder.sub(columns, offset)
        with builder.if_then(builder.icmp_signed(">", remaining, index(0))):
            mask = vectors.mask(remaining)
            source, target = builder.gep(base, [offset]), builder.gep(out, [offset])
            result = builder.fadd(vectors.load_masked(source, mask), builder.load(total))
            vectors.store_masked(builder.select(relu, vectors.relu(result), result), target, mask)
    return context.get_dummy_value()


def _emit_multiply_tile(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    a, b, terms, base, out, size, relu = arguments
    vectors = Vectors(builder)

    def pointer(operand: int, values: Any, offset: Any) -> Any:
        return builder.gep(data_of(context, builder, signature.args[operand][0], values[0]), [offset])

    a, b, terms, base, out, size = (cgutils.unpack_tuple(builder, argument) for argument in (a, b, terms, base, out, size))
    table = data_of(context, builder, signature.args[0][1], a[1])
    offsets = _row_offsets(builder, table, a[2], size[0])
    sums = _emit_sums(builder, vectors, (pointer(0, a, a[3]), offsets, *a[4:]), (pointer(1, b, b[1]), *b[2:]), *terms)
    whole = builder.and_(
        builder.icmp_signed("==", size[0], index(TILE_ROWS)), builder.icmp_signed("==", size[1], index(TILE_COLUMNS))
    )
    rows = (pointer(3, base, base[1]), base[2], pointer(4, out, out[1]), out[2])
    with builder.if_else(whole, likely=True) as (write_whole, write_part):
        with write_whole:
            _write(builder, vectors, sums, *rows, relu, None)
        with write_part:
            _write(builder, vectors, sums, *rows, relu, size)
    return context.get_dummy_value()


def _row_offsets(builder: Any, table: Any, first: Any, rows: Any) -> list[Any]:
    """Where each row of a begins. Past the last row, read the last one again; nothing of it is written."""
    last = builder.sub(rows, index(1))
    offsets = []
    for r in range(TILE_ROWS):
        row = builder.select(builder.icmp_signed("<", index(r), last), index(r), last)
        offsets.append(builder.load(builder.gep(table, [builder.add(first, row)])))
    return offsets


def _emit_sums(builder: Any, vectors: Vectors, a: Any, b: Any, outer: Any, inner: Any) -> list[list[Any]]:
    """Emit the two loops of the sum; returns the registers with the sums, [row][vector]."""
    a_first, offsets, a_outer, a_inner = a
    b_first, b_outer, b_inner = b
    zero = vectors.constant(0.0)
    entry = builder.block
    outer_loop = builder.append_basic_block("outer")
    inner_loop = builder.append_basic_block("inner")
    outer_end = builder.append_basic_block("outer.end")
    done = builder.append_basic_block("done")
    builder.branch(outer_loop)

    def phis(before: Any, values: list[Any]) -> list[Any]:
        new = [builder.phi(value.type) for value in values]
        for phi, value in zip(new, values, strict=True):
            phi.add_incoming(value, before)
        return new

    def close(phis: list[Any], values: list[Any]) -> None:
        for phi, value in zip(phis, values, strict=True):
            phi.add_incoming(value, builder.block)

    start = [zero] * (TILE_ROWS * TILE_VECTORS)
    builder.position_at_end(outer_loop)
    o, a_line, b_line, *outer_sums = outer_phis = phis(entry, [index(0), a_first, b_first, *start])
    builder.branch(inner_loop)

    builder.position_at_end(inner_loop)
    i, a_term, b_term, *inner_sums = inner_phis = phis(outer_loop, [index(0), a_line, b_line, *outer_sums])
    b_vectors = [vectors.load(builder.gep(b_term, [index(v * LANES)])) for v in range(TILE_VECTORS)]
    new_sums = []
    for r in range(TILE_ROWS):
        value = vectors.broadcast(builder.load(builder.gep(a_term, [offsets[r]])))
        new_sums += [vectors.multiply_add(value, b_vectors[v], inner_sums[r * TILE_VECTORS + v]) for v in range(TILE_VECTORS)]
    next_i = builder.add(i, index(1))
    close(inner_phis, [next_i, builder.gep(a_term, [a_inner]), builder.gep(b_term, [b_inner]), *new_sums])
    builder.cbranch(builder.icmp_signed("<", next_i, inner), inner_loop, outer_end)

    builder.position_at_end(outer_end)
    next_o = builder.add(o, index(1))
    close(outer_phis, [next_o, builder.gep(a_line, [a_outer]), builder.gep(b_line, [b_outer]), *new_sums])
    builder.cbranch(builder.icmp_signed("<", next_o, outer), outer_loop, done)
    builder.position_at_end(done)
    return [new_sums[r * TILE_VECTORS : (r + 1) * TILE_VECTORS] for r in range(TILE_ROWS)]


def _write(
    builder: Any, vectors: Vectors, sums: list[list[Any]], base: Any, base_row: Any, out: Any, out_row: Any, relu: Any, size: Any
) -> None:
    """Add ``base`` to the sums and write them: the whole tile if ``size`` is None, otherwise its valid part."""
    masks = [None if size is None else vectors.mask(builder.sub(size[1], index(v * LANES))) for v in range(TILE_VECTORS)]
    for r, row_sums in enumerate(sums):
        is_always_valid = size is None or r == 0
        with contextlib.nullcontext() if is_always_valid else builder.if_then(builder.icmp_signed("<", index(r), size[0])):
            for v, value in enumerate(row_sums):
                source = builder.gep(base, [builder.add(builder.mul(base_row, index(r)), index(v * LANES))])
                target = builder.gep(out, [builder.add(builder.mul(out_row, index(r)), index(v * LANES))])
                before = vectors.load(source) if size is None else vectors.load_masked(source, masks[v])
                total = builder.fadd(before, value)
                result = builder.select(relu, vectors.relu(total), total)
                if size is None:
                    vectors.store(result, target)
                else:
                    vectors.store_masked(result, target, masks[v])
