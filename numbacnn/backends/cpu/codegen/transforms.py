"""Straight-line programs as vector instructions: a transform of LANES columns at a time, all of it in one basic block."""

from typing import Any

from numba import types
from numba.core import cgutils

from numbacnn.backends.cpu.codegen import winograd_matrices
from numbacnn.backends.cpu.codegen.fourier import Kind, fourier_program
from numbacnn.backends.cpu.codegen.straight_line import Program
from numbacnn.backends.cpu.codegen.vectors import Vectors, data_of, index, intrinsic_of_constants

# Whether a multiplication and an addition become one instruction is left to LLVM.
FUSED = ("contract",)


@intrinsic_of_constants
def fourier(typing_context: Any, kind: Any, length: Any, first: Any, size: Any, source: Any, target: Any) -> Any:
    """A Fourier transform of LANES columns; see ``fourier_program`` for the first four arguments, which are constants.

    Args:
        source, target: (flat array, place, step from one point to the next, step from a real to its imaginary part).
    """
    constants = [each.literal_value for each in (kind, length, first, size)]

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, target = (_complex_places(context, builder, signature.args[i], arguments[i]) for i in (4, 5))
        emit_program(builder, fourier_program(Kind(constants[0]), *constants[1:]), source, target)
        return context.get_dummy_value()

    return types.void(kind, length, first, size, source, target), emit


def _complex_places(context: Any, builder: Any, where_type: Any, where: Any) -> Any:
    """A function from the number of an input or output (real, imaginary, real, ...) to its pointer."""
    array, at, step, part_step = cgutils.unpack_tuple(builder, where)
    start = builder.gep(data_of(context, builder, where_type[0], array), [at])

    def place(number: int) -> Any:
        offset = builder.mul(step, index(number // 2))
        return builder.gep(start, [builder.add(offset, part_step) if number % 2 else offset])

    return place


def emit_program(builder: Any, program: Program, source: Any, target: Any, added: int = 0) -> None:
    """Emit a program; ``source`` and ``target`` give the pointer of an input or output. The first outputs are ``added`` to what is there.

    An input is loaded when it is first needed, and an output stored as soon as it is known, so that few are held at a time.
    """
    vectors = Vectors(builder)
    wanted: dict[int | None, list[tuple[int, bool]]] = {}
    for place, output in enumerate(program.outputs):
        wanted.setdefault(output.operation, []).append((place, output.negative))

    def store(operation: int | None, value: Any) -> None:
        for place, negative in wanted.get(operation, ()):
            pointer = target(place)
            before = vectors.load(pointer) if place < added else vectors.constant(-0.0)
            signed = builder.fsub(before, value) if negative else builder.fadd(before, value) if place < added else value
            vectors.store(signed, pointer)

    store(None, vectors.constant(0.0))
    results: list[Any] = []
    for number, (kind, a, b) in enumerate(program.operations):
        if kind == "input":
            results.append(vectors.load(source(a)))
        elif kind == "scale":
            results.append(builder.fmul(vectors.constant(a), results[b], flags=FUSED))
        else:
            combine = builder.fadd if kind == "add" else builder.fsub
            results.append(combine(results[int(a)], results[b], flags=FUSED))
        store(number, results[number])


@intrinsic_of_constants
def winograd(typing_context: Any, kind: Any, m: Any, r: Any, source: Any, target: Any) -> Any:
    """One of Winograd's transforms, of LANES columns; see ``winograd_program`` for the first three arguments, which are constants.

    Args:
        source, target: (flat array, place, step from one value or point to the next). ``INPUT_BACK`` adds its first r - 1 values to
            what is there: those belong to the tile before as well.
    """
    constants = [each.literal_value for each in (kind, m, r)]

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, target = (_places(context, builder, signature.args[i], arguments[i]) for i in (3, 4))
        which = winograd_matrices.Kind(constants[0])
        added = constants[2] - 1 if which is winograd_matrices.Kind.INPUT_BACK else 0
        emit_program(builder, winograd_matrices.winograd_program(which, *constants[1:]), source, target, added)
        return context.get_dummy_value()

    return types.void(kind, m, r, source, target), emit


def _places(context: Any, builder: Any, where_type: Any, where: Any) -> Any:
    """A function from the number of an input or output to its pointer."""
    array, at, step = cgutils.unpack_tuple(builder, where)
    start = builder.gep(data_of(context, builder, where_type[0], array), [at])
    return lambda number: builder.gep(start, [builder.mul(step, index(number))])
