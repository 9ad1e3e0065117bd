"""Emitted code for dot products: eight at once, each of them as 16 partial sums of float32 or 8 of float64.

LLVM would choose the number of partial sums by the length of this CPU's vectors, and another number gives other last bits. Here it is
fixed: 64 bytes of sums, one vector of AVX-512, two of AVX2, four of NEON.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import overload

from numbacnn.backends.cpu.codegen.vectors import FUSED_NAME, INDEX, data_of, index, intrinsic

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
    width = _SUM_BYTES // (4 if number == ir.FloatType() else 8)
    vector = ir.VectorType(number, width)
    rows, others = (
        [data_of(context, builder, signature.args[i].dtype, array) for array in cgutils.unpack_tuple(builder, arguments[i])]
        for i in (0, 1)
    )
    zero = ir.Constant(vector, [0.0] * width)
    sums = [[cgutils.alloca_once_value(builder, zero) for _ in others] for _ in rows]
    fused = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.{FUSED_NAME}.v{width}f{_SUM_BYTES * 8 // width}"
    )

    def add(load: Any) -> None:
        factors = [load(pointer) for pointer in others]
        for pointer, row_sums in zip(rows, sums, strict=True):
            value = load(pointer)
            for factor, total in zip(factors, row_sums, strict=True):
                builder.store(builder.call(fused, [value, factor, builder.load(total)]), total)

    terms = arguments[2]
    whole = builder.and_(terms, index(-width))
    with cgutils.for_range_slice(builder, index(0), whole, index(width), intp=INDEX) as (k, _):
        add(lambda pointer: _loaded(builder, builder.gep(pointer, [k]), vector))
    with builder.if_then(builder.icmp_signed("<", whole, terms)):
        mask = _mask(builder, builder.sub(terms, whole), width)
        add(lambda pointer: _loaded_masked(builder, builder.gep(pointer, [whole]), vector, mask))
    result = [
        context.make_tuple(builder, signature.return_type.dtype, [_total(builder, builder.load(s), width) for s in row])
        for row in sums
    ]
    return context.make_tuple(builder, signature.return_type, result)


def _loaded(builder: Any, pointer: Any, vector: Any) -> Any:
    value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    value.align = _SUM_BYTES // vector.count
    return value


def _mask(builder: Any, count: Any, width: int) -> Any:
    """lane < count, for each lane."""
    lanes, number = ir.VectorType(INDEX, width), ir.IntType(32)
    undefined = ir.Constant(lanes, ir.Undefined)
    one = builder.insert_element(undefined, count, ir.Constant(number, 0))
    counts = builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(number, width), [0] * width))
    return builder.icmp_signed("<", ir.Constant(lanes, list(range(width))), counts)


def _loaded_masked(builder: Any, pointer: Any, vector: Any, mask: Any) -> Any:
    """Zeros where the mask is false; memory is not read there."""
    address = builder.bitcast(pointer, vector.as_pointer())
    kind = f"v{vector.count}f{_SUM_BYTES * 8 // vector.count}"
    arguments = [
        address,
        ir.Constant(ir.IntType(32), _SUM_BYTES // vector.count),
        mask,
        ir.Constant(vector, [0.0] * vector.count),
    ]
    signature = ir.FunctionType(vector, [argument.type for argument in arguments])
    name = f"llvm.masked.load.{kind}.p0{kind}"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), arguments)


def _total(builder: Any, value: Any, width: int) -> Any:
    """The sum of a vector's lanes: halves are added, until one lane is left."""
    number = ir.IntType(32)
    while width > 1:
        width //= 2
        low, high = (ir.Constant(ir.VectorType(number, width), list(range(first, first + width))) for first in (0, width))
        value = builder.fadd(builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high))
    return builder.extract_element(value, ir.Constant(number, 0))
