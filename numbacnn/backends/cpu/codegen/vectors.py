"""Emitting LLVM code for the vector registers of this CPU.

Numba compiles loops and leaves it to LLVM whether they become vector instructions. Where that is not good enough (a tile of sums
that must stay in registers, a Fourier transform without a loop), an intrinsic emits the vectors itself, with these helpers. LLVM
splits a vector that is longer than the CPU's, so the code runs anywhere; ``VECTOR_UNIT`` decides what is fast on this one.

An intrinsic is called from a kernel like a function. Its Python body runs when the kernel is compiled: it is given the types of the
arguments, and ``emit`` writes the instructions. Each docstring has the loop that the instructions stand for.
"""

from collections.abc import Callable
from typing import Any

import numba.extending
from llvmlite import ir
from numba import types
from numba.core import cgutils

from numbacnn.backends.cpu.vector_unit import LANES, VECTOR_UNIT

FLOAT = ir.FloatType()
INDEX = ir.IntType(64)
FLOAT_BYTES = 4
FUSED_NAME = "fma" if VECTOR_UNIT.fuses else "fmuladd"
"""LLVM's name of a fused multiply-add: the second one may round twice."""


class Vectors:
    """Emits instructions on vectors into the function that ``builder`` is building.

    Args:
        lanes: values in a vector; by default as many as a register of this CPU holds.
        number: float32 or float64.
    """

    def __init__(self, builder: Any, lanes: int = LANES, number: Any = FLOAT):
        self.builder, self.lanes = builder, lanes
        self.type = ir.VectorType(number, lanes)
        self.number_bytes = FLOAT_BYTES if number == FLOAT else 2 * FLOAT_BYTES
        self.name = f"v{lanes}f{8 * self.number_bytes}"

    def constant(self, value: float) -> Any:
        """``value``, rounded, in every lane."""
        return ir.Constant(self.type, [float(value)] * self.lanes)

    def load(self, pointer: Any) -> Any:
        """A vector of values, the first at ``pointer`` (to a float), of any alignment."""
        value = self.builder.load(self.builder.bitcast(pointer, self.type.as_pointer()))
        value.align = self.number_bytes
        return value

    def store(self, value: Any, pointer: Any) -> None:
        """Write a vector of values, the first to ``pointer`` (to a float), of any alignment."""
        self.builder.store(value, self.builder.bitcast(pointer, self.type.as_pointer())).align = self.number_bytes

    def mask(self, count: Any) -> Any:
        """lane < count, for each lane; ``count`` may be negative or above the number of lanes."""
        lanes = ir.Constant(ir.VectorType(INDEX, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", lanes, self.broadcast(count))

    def load_masked(self, pointer: Any, mask: Any) -> Any:
        """Like ``load``, with zeros where the mask is false; memory is not read in those lanes."""
        return self._masked("load", self.type, self.name, pointer, mask, self.constant(0.0))

    def load_bytes_masked(self, pointer: Any, mask: Any) -> Any:
        """``load_masked`` for bytes."""
        bytes_type = ir.VectorType(ir.IntType(8), self.lanes)
        return self._masked("load", bytes_type, f"v{self.lanes}i8", pointer, mask, ir.Constant(bytes_type, [0] * self.lanes))

    def store_masked(self, value: Any, pointer: Any, mask: Any) -> None:
        """Like ``store``, only where the mask is true; for floats or bytes."""
        kind = self.name if value.type == self.type else f"v{self.lanes}i8"
        self._masked("store", ir.VoidType(), kind, pointer, mask, value)

    def _masked(self, operation: str, returns: Any, kind: str, pointer: Any, mask: Any, value: Any) -> Any:
        address = self.builder.bitcast(pointer, value.type.as_pointer())
        alignment = ir.Constant(ir.IntType(32), self.number_bytes if kind == self.name else 1)
        arguments = [address, alignment, mask, value] if operation == "load" else [value, address, alignment, mask]
        signature = ir.FunctionType(returns, [argument.type for argument in arguments])
        name = f"llvm.masked.{operation}.{kind}.p0{kind}"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, signature, name), arguments)

    def prefetch(self, pointer: Any) -> None:
        """Fetch the cache line of ``pointer`` (to a float): a hint, without effect where there is no such memory."""
        number, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0i8")
        to_read, to_keep, of_data = (ir.Constant(number, value) for value in (0, 3, 1))
        self.builder.call(function, [self.builder.bitcast(pointer, byte), to_read, to_keep, of_data])

    def relu(self, value: Any) -> Any:
        """max(0, value). Compared with <=, NaN stays NaN."""
        zero = self.constant(0.0)
        return self.builder.select(self.builder.fcmp_ordered("<=", value, zero), zero, value)

    def broadcast(self, scalar: Any) -> Any:
        """One value, of any type, in every lane."""
        undefined = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        one = self.builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(
            one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        )

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c, rounded once; rounded twice on a CPU without such an instruction, where ``llvm.fma`` would call a function."""
        signature = ir.FunctionType(self.type, [self.type] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, signature, f"llvm.{FUSED_NAME}.{self.name}")
        return self.builder.call(function, [a, b, c])


def intrinsic(function: Callable) -> Any:
    """``numba.extending.intrinsic``: ``function`` takes the types of a call's arguments and returns (signature, emit)."""
    return numba.extending.intrinsic(function)


def intrinsic_of_constants(function: Callable) -> Any:
    """``intrinsic`` whose constant arguments have types that carry their values."""
    return numba.extending.intrinsic(prefer_literal=True)(function)


@intrinsic
def prefetch(typing_context: Any, array: Any, offset: Any) -> Any:
    """Fetch the cache line of ``array[offset]``, a flat array of floats: a hint, so the offset may lie outside."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        Vectors(builder).prefetch(builder.gep(data_of(context, builder, signature.args[0], arguments[0]), [arguments[1]]))
        return context.get_dummy_value()

    return types.void(array, types.int64), emit


@intrinsic
def multiply_add(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c of float32 numbers, rounded once (see ``Vectors.multiply_add``); loops of it become vectors."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(FLOAT, [FLOAT] * 3), f"llvm.{FUSED_NAME}.f32")
        return builder.call(function, arguments)

    return types.float32(types.float32, types.float32, types.float32), emit


def data_of(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """The pointer to the first value of an array argument of an intrinsic."""
    return context.make_array(array_type)(context, builder, array).data


def pointer_to(context: Any, builder: Any, operand_type: Any, operand: Any) -> Any:
    """The pointer to array[offset], for an operand that begins (flat array, offset, ...)."""
    array, offset = (builder.extract_value(operand, i) for i in (0, 1))
    return builder.gep(data_of(context, builder, operand_type[0], array), [offset])


def index(value: int) -> Any:
    """A constant index."""
    return ir.Constant(INDEX, value)
