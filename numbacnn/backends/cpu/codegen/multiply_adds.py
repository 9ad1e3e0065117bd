"""Multiply-adds of vectors and nothing else: what the CPU's arithmetic reaches when no memory is waited for.

    for step in range(steps):
        for r in range(ACCUMULATORS):
            sums[r] = sums[r] * factor + term          all of them vectors in registers

A CPU starts two multiply-adds a cycle, and each takes four or five: a sum alone would wait for itself. ACCUMULATORS of them keep both
units busy, and with ``factor`` and ``term`` they still fit the 16 registers of AVX2.
"""

from typing import Any

from numba import types
from numba.core import cgutils

from numbacnn.backends.cpu.codegen.vectors import INDEX, Vectors, intrinsic, pointer_to
from numbacnn.backends.cpu.vector_unit import LANES

ACCUMULATORS = 12

VALUES = ACCUMULATORS * LANES
"""float32 values that ``repeat_multiply_adds`` reads and writes."""


@intrinsic
def repeat_multiply_adds(typing_context: Any, sums: Any, factor: Any, term: Any, steps: Any) -> Any:
    """The loop at the head of this file, in float32.

    Args:
        sums: (flat array, offset): VALUES values side by side, read before the loop and written after it. They must differ: equal sums
            would be computed once.
        factor, term: float32.
        steps: at least 1.
    """
    return types.void(sums, factor, term, types.int64), _emit


def _emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vectors = Vectors(builder)
    first = pointer_to(context, builder, signature.args[0], arguments[0])
    factor, term = (vectors.broadcast(argument) for argument in arguments[1:3])
    places = [builder.gep(first, [INDEX(r * LANES)]) for r in range(ACCUMULATORS)]
    sums = [cgutils.alloca_once_value(builder, vectors.load(place)) for place in places]
    with cgutils.for_range(builder, arguments[3], intp=INDEX):
        for each in sums:
            builder.store(vectors.multiply_add(builder.load(each), factor, term), each)
    for each, place in zip(sums, places, strict=True):
        vectors.store(builder.load(each), place)
    return context.get_dummy_value()
