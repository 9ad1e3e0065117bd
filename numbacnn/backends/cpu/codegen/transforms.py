"""Emitted code for straight-line programs: a transform of LANES columns at a time, all of it in one basic block.

    for lane in range(LANES):
        target[:, lane] = program.run(source[:, lane])

The lanes of a vector are independent columns, so no value is ever shuffled between lanes.
"""

from typing import Any

from numba import types
from numba.core import cgutils

from numbacnn.backends.cpu.codegen.fourier import FourierKind, fourier_program
from numbacnn.backends.cpu.codegen.straight_line import Program
from numbacnn.backends.cpu.codegen.vectors import Vectors, index, intrinsic_of_constants, pointer_to
from numbacnn.backends.cpu.codegen.winograd_matrices import WinogradKind, winograd_program


@intrinsic_of_constants
def fourier(typing_context: Any, kind: Any, length: Any, first: Any, size: Any, source: Any, target: Any) -> Any:
    """A Fourier transform of LANES columns: the program ``fourier_program(kind, length, first, size)``, whose arguments are constants.

    Input or output k lies at ``offset + k*step``, its imaginary part ``part_step`` values further.

    Args:
        source, target: (flat array, offset, step, part_step).
    """
    constants = [constant.literal_value for constant in (kind, length, first, size)]

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, target = (_complex_pointers(context, builder, signature.args[i], arguments[i]) for i in (4, 5))
        emit_program(builder, fourier_program(FourierKind(constants[0]), *constants[1:]), source, target)
        return context.get_dummy_value()

    return types.void(kind, length, first, size, source, target), emit


def _complex_pointers(context: Any, builder: Any, operand_type: Any, operand: Any) -> Any:
    """A function from the number of an input or output (real, imaginary, real, ...) to its pointer."""
    _, _, step, part_step = cgutils.unpack_tuple(builder, operand)
    start = pointer_to(context, builder, operand_type, operand)

    def pointer(number: int) -> Any:
        offset = builder.mul(step, index(number // 2))
        return builder.gep(start, [builder.add(offset, part_step) if number % 2 else offset])

    return pointer


def emit_program(builder: Any, program: Program, source: Any, target: Any, added: int = 0) -> None:
    """Emit a program: an input is loaded when it is first needed, an output stored once it is known, so that few registers are held.

    A product that one sum alone needs is fused with it (``Program.fused``): here, and not by LLVM, so that it rounds once on any CPU.

    Args:
        source, target: functions from the number of an input or output to its pointer.
        added: how many of the first outputs are added to the values at their pointers.
    """
    vectors = Vectors(builder)
    outputs: dict[int | None, list[tuple[int, bool]]] = {}
    for number, output in enumerate(program.outputs):
        outputs.setdefault(output.operation, []).append((number, output.negative))

    def store(operation: int | None, value: Any) -> None:
        for output, negative in outputs.get(operation, ()):
            pointer = target(output)
            before = vectors.load(pointer) if output < added else vectors.constant(-0.0)
            signed = builder.fsub(before, value) if negative else builder.fadd(before, value) if output < added else value
            vectors.store(signed, pointer)

    store(None, vectors.constant(0.0))
    results: list[Any] = []
    taken_in = set(program.fused.values())
    for number, (kind, a, b) in enumerate(program.operations):
        if kind == "input":
            result = vectors.load(source(a))
        elif kind == "scale":
            result = None if number in taken_in else builder.fmul(vectors.constant(a), results[b])
        elif number in program.fused:
            scale = program.fused[number]
            _, factor, of = program.operations[scale]
            if scale == b:  # a +- factor * of
                sign, other = 1 if kind == "add" else -1, results[int(a)]
            else:  # factor * of +- b
                sign, other = 1, results[b] if kind == "add" else builder.fneg(results[b])
            result = vectors.multiply_add(vectors.constant(sign * factor), results[of], other)
        else:
            combine = builder.fadd if kind == "add" else builder.fsub
            result = combine(results[int(a)], results[b])
        results.append(result)
        store(number, result)


@intrinsic_of_constants
def winograd(typing_context: Any, kind: Any, m: Any, r: Any, source: Any, target: Any) -> Any:
    """A Winograd transform of LANES columns: the program ``winograd_program(kind, m, r)``, whose arguments are constants.

    Input or output k lies at ``offset + k*step``. ``INPUT_BACK`` adds its first r - 1 outputs to the target, for the tile before has
    them too.

    Args:
        source, target: (flat array, offset, step).
    """
    constants = [constant.literal_value for constant in (kind, m, r)]

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, target = (_pointers(context, builder, signature.args[i], arguments[i]) for i in (3, 4))
        program = winograd_program(WinogradKind(constants[0]), *constants[1:])
        added = constants[2] - 1 if constants[0] == WinogradKind.INPUT_BACK else 0
        emit_program(builder, program, source, target, added)
        return context.get_dummy_value()

    return types.void(kind, m, r, source, target), emit


def _pointers(context: Any, builder: Any, operand_type: Any, operand: Any) -> Any:
    """A function from the number of an input or output to its pointer."""
    _, _, step = cgutils.unpack_tuple(builder, operand)
    start = pointer_to(context, builder, operand_type, operand)
    return lambda number: builder.gep(start, [builder.mul(step, index(number))])
