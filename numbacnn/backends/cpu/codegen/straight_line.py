"""Straight-line programs: sums, differences and multiples of some inputs, without loops, each computed once.

    outputs = matrix @ inputs          in as few additions and multiplications as can be found

A transform of fixed length (Fourier's or Winograd's) is written as ordinary arithmetic on ``Number`` objects, which records each
operation: equal terms are shared, terms known to be zero vanish, and in the end operations that no output needs are dropped. So the
general complex Fourier transform, applied to real numbers of which some are zero, becomes a short program for just that case.
``transforms.py`` emits the programs as vector instructions.

Source: Frigo 1999, A Fast Fourier Transform Compiler (PLDI).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Operation: TypeAlias = tuple[str, int | float, int]
"""("input", i, 0), ("add", a, b), ("subtract", a, b) or ("scale", factor, a), where a and b are numbers of earlier operations."""


class Recorder:
    """The operations recorded so far, without repetition."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._known: dict[Operation, int] = {}

    def inputs(self, count: int) -> list["Number"]:
        """The inputs of a new program."""
        return [Number(self, self.record(("input", i, 0))) for i in range(count)]

    def zero(self) -> "Number":
        """A number known to be zero."""
        return Number(self, None)

    def record(self, operation: Operation) -> int:
        """The number of an operation; an equal one that was recorded before has the same."""
        if operation not in self._known:
            self._known[operation] = len(self.operations)
            self.operations.append(operation)
        return self._known[operation]


@dataclass(frozen=True)
class Number:
    """The result of an operation or its negative; of no operation, zero.

    Signs are kept here and not recorded, so that x - y and y - x are one operation.
    """

    recorder: Recorder
    operation: int | None
    negative: bool = False

    def __neg__(self) -> "Number":
        return self if self.operation is None else Number(self.recorder, self.operation, not self.negative)

    def __add__(self, other: "Number") -> "Number":
        if other.operation is None:
            return self
        if self.operation is None:
            return other
        first, second = sorted((self, other), key=lambda number: number.operation or 0)
        if first.negative == second.negative:
            return self._made(("add", first.operation or 0, second.operation or 0), first.negative)
        if first.operation == second.operation:
            return self.recorder.zero()
        return self._made(("subtract", first.operation or 0, second.operation or 0), first.negative)

    def __sub__(self, other: "Number") -> "Number":
        return self + -other

    def __mul__(self, factor: float) -> "Number":
        if self.operation is None or factor == 0:
            return self.recorder.zero()
        negative = self.negative != (factor < 0)
        if abs(factor) == 1:
            return Number(self.recorder, self.operation, negative)
        kind, before, of = self.recorder.operations[self.operation]
        if kind == "scale":
            return self._made(("scale", before * abs(factor), of), negative)
        return self._made(("scale", abs(factor), self.operation), negative)

    def _made(self, operation: Operation, negative: bool) -> "Number":
        return Number(self.recorder, self.recorder.record(operation), negative)


class Output(NamedTuple):
    """One output of a program: the result of an operation (None: zero), or its negative."""

    operation: int | None
    negative: bool


@dataclass(frozen=True)
class Program:
    """A program: its operations in order, and which of them are the outputs."""

    operations: tuple[Operation, ...]
    outputs: tuple[Output, ...]

    @cached_property
    def fused(self) -> dict[int, int]:
        """The sums and differences that are computed as one fused multiply-add, and the product that each of them takes in.

        A product is taken in if nothing else needs it. Of two such products the second is: the first is rounded by itself.
        """
        uses = Counter(output.operation for output in self.outputs)
        for kind, a, b in self.operations:
            if kind != "input":
                uses.update([b] if kind == "scale" else [int(a), b])
        fused = {}
        for number, (kind, a, b) in enumerate(self.operations):
            if kind in ("add", "subtract"):
                products = [of for of in (b, int(a)) if self.operations[of][0] == "scale" and uses[of] == 1]
                if products:
                    fused[number] = products[0]
        return fused

    @property
    def arithmetic(self) -> int:
        """The number of additions, subtractions and multiplications."""
        return sum(kind != "input" for kind, _, _ in self.operations)

    def run(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Run the program on numbers, (inputs, ...) to (outputs, ...): slow, for tests."""
        results: list[NDArray[np.float64]] = []
        for kind, a, b in self.operations:
            if kind == "input":
                results.append(inputs[int(a)])
            elif kind == "scale":
                results.append(a * results[b])
            else:
                results.append(results[int(a)] + results[b] if kind == "add" else results[int(a)] - results[b])
        zero = np.zeros_like(inputs[0])
        return np.array([zero if o.operation is None else results[o.operation] * (-1 if o.negative else 1) for o in self.outputs])


def program(outputs: Sequence[Number]) -> Program:
    """The operations that the outputs need, each soon after its operands."""
    recorded = outputs[0].recorder.operations
    positions: dict[int, int] = {}
    operations: list[Operation] = []

    def position(number: int) -> int:
        if number not in positions:
            kind, a, b = recorded[number]
            if kind == "scale":
                operation: Operation = (kind, a, position(b))
            elif kind == "input":
                operation = (kind, a, b)
            else:
                operation = (kind, position(int(a)), position(b))
            positions[number] = len(operations)
            operations.append(operation)
        return positions[number]

    results = [Output(None if o.operation is None else position(o.operation), o.negative) for o in outputs]
    return Program(tuple(operations), tuple(results))


def linear_program(matrix: Sequence[Sequence[Fraction]]) -> Program:
    """The product of a matrix with the inputs.

    Two columns that differ in signs only multiply x + y and x - y. Of two rows that differ in signs only, the terms with equal signs
    are summed once, those with opposite signs once: one row is the sum of both, the other the difference.
    """
    inputs = Recorder().inputs(len(matrix[0]))
    zero = inputs[0].recorder.zero()
    columns = [list(column) for column in zip(*matrix, strict=True)]
    numbers, factors = list(inputs), [list(column) for column in columns]
    for j, k in enumerate(_partners(columns)):
        if j < k:
            numbers[j], numbers[k] = inputs[j] + inputs[k], inputs[j] - inputs[k]
            factors[j] = [a if a == b else Fraction(0) for a, b in zip(columns[j], columns[k], strict=True)]
            factors[k] = [a if a != b else Fraction(0) for a, b in zip(columns[j], columns[k], strict=True)]
    rows = [list(row) for row in zip(*factors, strict=True)]
    outputs = []
    for row, k in zip(rows, _partners(rows), strict=True):
        halves: tuple[list, list] = ([], [])
        for factor, other, number in zip(row, rows[k], numbers, strict=True):
            if factor:
                halves[factor != other].append((factor, number))
        outputs.append(sum((_sum(half) for half in halves if half), zero))
    return program(outputs)


def _partners(rows: Sequence[Sequence[Fraction]]) -> list[int]:
    """The partner of each row: another one that differs in signs only, or the row itself."""
    partners = list(range(len(rows)))
    for i, row in enumerate(rows):
        for k in range(i):
            differ = any(a != b for a, b in zip(row, rows[k], strict=True))
            if partners[k] == k and differ and all(abs(a) == abs(b) for a, b in zip(row, rows[k], strict=True)):
                partners[i], partners[k] = k, i
                break
    return partners


def _sum(terms: Sequence[tuple[Fraction, Number]]) -> Number:
    """The sum of factors times numbers. The first factor is taken out, so that equal factors need one multiplication."""
    first, total = terms[0]
    for factor, number in terms[1:]:
        total += number * float(factor / first)
    return total * float(first)
