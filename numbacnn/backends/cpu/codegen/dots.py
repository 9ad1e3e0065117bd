"""Emitted code for dot products: eight at once, each of them as 16 partial sums of float32 or 8 of float64.

LLVM would choose the number of partial sums by the length of this CPU's vectors, and another number gives other last bits. Here it is
fixed: 64 bytes of sums, one vector of AVX-512, two of AVX2, four of NEON.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import overload

from numbacnn.backends.cpu.codegen.vectors import FLOAT, FLOAT_BYTES, INDEX, Vectors, data_of, index, intrinsic

_SUM_BYTES = 64


def dots_2x4(a: Any, b: Any, terms: int) -> Any:
    """The dot products of two rows with four, ((a0 b0, a0 b1, a0 b2, a0 b3), (a1 b0, ...)).

        for k in range(terms):
            partial[k % W] = fma(x[k], y[k], partial[k % W])                        W = 16 for float32, 8 for float64
        partial[0:W/2] + partial[W/2:W], and so on, until one number is left

    Args:
        a, b: two and four rows, flat arrays without gaps.
        terms: their length, 0 or more.
    """
    # What NUMBA_DISABLE_JIT runs; kernels compile the code below.
    return tuple(tuple((x[:terms] * y[:terms]).sum(dtype=x.dtype) for y in b) for x in a)


@overload(dots_2x4, strict=False)  # strict compares annotations, too
def _compiled(a: Any, b: Any, terms: Any) -> Any:
    return lambda a, b, terms: _dots_2x4(a, b, terms)


@intrinsic
def _dots_2x4(typing_context: Any, a: Any, b: Any, terms: Any) -> Any:
    row = types.UniTuple(a.dtype.dtype, 4)
    return types.UniTuple(row, 2)(a, b, terms), _emit


def _emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    number = context.get_data_type(signature.args[0].dtype.dtype)
    width = _SUM_BYTES // (FLOAT_BYTES if number == FLOAT else 2 * FLOAT_BYTES)
    vectors = Vectors(builder, width, number)
    rows, others = (
        [data_of(context, builder, signature.args[i].dtype, array) for array in cgutils.unpack_tuple(builder, arguments[i])]
        for i in (0, 1)
    )
    sums = [[cgutils.alloca_once_value(builder, vectors.constant(0.0)) for _ in others] for _ in rows]

    def add(load: Any) -> None:
        factors = [load(pointer) for pointer in others]
        for pointer, row_sums in zip(rows, sums, strict=True):
            value = load(pointer)
            for factor, total in zip(factors, row_sums, strict=True):
                builder.store(vectors.multiply_add(value, factor, builder.load(total)), total)

    terms = arguments[2]
    whole = builder.and_(terms, index(-width))
    with cgutils.for_range_slice(builder, index(0), whole, index(width), intp=INDEX) as (k, _):
        add(lambda pointer: vectors.load(builder.gep(pointer, [k])))
    with builder.if_then(builder.icmp_signed("<", whole, terms)):
        mask = vectors.mask(builder.sub(terms, whole))
        add(lambda pointer: vectors.load_masked(builder.gep(pointer, [whole]), mask))
    totals = [[_total(builder, builder.load(total), width) for total in row] for row in sums]
    made = [context.make_tuple(builder, signature.return_type.dtype, row) for row in totals]
    return context.make_tuple(builder, signature.return_type, made)


def _total(builder: Any, value: Any, width: int) -> Any:
    """The sum of a vector's lanes: halves are added, until one lane is left."""
    number = ir.IntType(32)
    while width > 1:
        width //= 2
        low, high = (ir.Constant(ir.VectorType(number, width), list(range(first, first + width))) for first in (0, width))
        value = builder.fadd(builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high))
    return builder.extract_element(value, ir.Constant(number, 0))
