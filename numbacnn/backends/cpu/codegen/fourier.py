"""Fourier transforms of fixed, even length, as straight-line programs.

    X[k] = sum_j x[j] * exp(-2 pi i j k / n)          and back, without the factor 1/n

There is one general transform for each direction, on complex numbers; ``straight_line.py`` removes the operations that real inputs,
zeros and unused outputs make superfluous. Forward, a transform of n = p*m points is made of p transforms of every p-th point
(decimation in time): of real numbers, all of their spectra have mirrored halves. Backward, the steps come in the other order
(decimation in frequency), which keeps mirrored halves mirrored.

Source: Cooley & Tukey 1965 (Math. Comp. 19); Gentleman & Sande 1966 (AFIPS).
"""

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from numbacnn.backends.cpu.codegen.straight_line import Number, Program, Recorder, program
from numbacnn.elementary import cosine_of_turns, sine_of_turns


class FourierKind(IntEnum):
    """The inputs and outputs of a transform. A half spectrum has n/2 + 1 points; the others mirror them."""

    REAL_FORWARD = 0
    """Real values to a half spectrum."""
    COMPLEX_FORWARD = 1
    """Complex values to a whole spectrum."""
    COMPLEX_INVERSE = 2
    """A whole spectrum to complex values."""
    REAL_INVERSE = 3
    """A half spectrum to real values."""


class Complex(NamedTuple):
    """A complex number, made of two recorded numbers."""

    real: Number
    imaginary: Number

    def conjugate(self) -> "Complex":
        return Complex(self.real, -self.imaginary)


def cosine(k: int, n: int) -> float:
    """cos(2 pi k / n), from the first eighth of the circle: equal values have equal bits; zeros and ones are exact."""
    k %= n
    if 2 * k > n:
        return cosine(n - k, n)
    if 4 * k > n:
        return -cosine(n - 2 * k, 2 * n)
    if 8 * k > n:
        return sine_of_turns((n - 4 * k) / (4 * n))
    return cosine_of_turns(k / n)


def turn(number: Complex, k: int, n: int, direction: int) -> Complex:
    """number * exp(direction * 2 pi i k / n)"""
    c, s = cosine(k, n), direction * cosine(4 * k - n, 4 * n)
    return Complex(number.real * c - number.imaginary * s, number.real * s + number.imaginary * c)


def _smallest_factor(n: int) -> int:
    return next(p for p in range(2, n + 1) if n % p == 0)


def _butterfly(x: Sequence[Complex], direction: int) -> list[Complex]:
    """The transform of a prime number of points: mirrored pairs are added and subtracted once, for all outputs."""
    n = len(x)
    if n == 2:
        a, b = x
        return [Complex(a.real + b.real, a.imaginary + b.imaginary), Complex(a.real - b.real, a.imaginary - b.imaginary)]
    half = range(1, (n + 1) // 2)
    sums = [Complex(x[j].real + x[n - j].real, x[j].imaginary + x[n - j].imaginary) for j in half]
    differences = [Complex(x[j].real - x[n - j].real, x[j].imaginary - x[n - j].imaginary) for j in half]
    outputs = []
    for k in range(n):
        real, imaginary = x[0]
        for j, s, d in zip(half, sums, differences, strict=True):
            c, sine = cosine(j * k, n), direction * cosine(4 * j * k - n, 4 * n)
            real, imaginary = real + s.real * c - d.imaginary * sine, imaginary + s.imaginary * c + d.real * sine
        outputs.append(Complex(real, imaginary))
    return outputs


def forward(x: Sequence[Complex]) -> list[Complex]:
    """The spectrum of complex numbers, by decimation in time."""
    n = len(x)
    if n == 1:
        return list(x)
    p = _smallest_factor(n)
    if p == n:
        return _butterfly(x, -1)
    parts = [forward(x[first::p]) for first in range(p)]
    outputs: list[Complex] = [x[0]] * n
    for k in range(n // p):
        turned = [turn(part[k], first * k, n, -1) for first, part in enumerate(parts)]
        outputs[k :: n // p] = _butterfly(turned, -1)
    return outputs


def inverse(x: Sequence[Complex]) -> list[Complex]:
    """n times the numbers that have this spectrum, by decimation in frequency."""
    n = len(x)
    if n == 1:
        return list(x)
    p = _smallest_factor(n)
    if p == n:
        return _butterfly(x, 1)
    m = n // p
    parts: list[list[Complex]] = [[] for _ in range(p)]
    for k in range(m):
        for first, value in enumerate(_butterfly(x[k::m], 1)):
            parts[first].append(turn(value, first * k, n, 1))
    outputs: list[Complex] = [x[0]] * n
    for first, part in enumerate(parts):
        outputs[first::p] = inverse(part)
    return outputs


@lru_cache
def fourier_program(kind: FourierKind, length: int, first: int, size: int) -> Program:
    """A transform of ``length`` points and ``size`` values, at first, first + 1, ... (mod length). Other values are zero, or left out.

    Inputs and outputs are complex numbers in order, the real part before the imaginary one. The imaginary parts of real values, and
    those of a half spectrum's first and last points, are ignored as inputs and zero as outputs.
    """
    recorder = Recorder()
    zero = recorder.zero()
    positions = [(first + j) % length for j in range(size)]
    half = length // 2 + 1
    if kind in (FourierKind.REAL_FORWARD, FourierKind.COMPLEX_FORWARD):
        numbers = recorder.inputs(2 * size)
        x = [Complex(zero, zero)] * length
        for j, position in enumerate(positions):
            x[position] = Complex(numbers[2 * j], zero if kind is FourierKind.REAL_FORWARD else numbers[2 * j + 1])
        spectrum = forward(x)
        outputs = spectrum[:half] if kind is FourierKind.REAL_FORWARD else spectrum
    elif kind is FourierKind.COMPLEX_INVERSE:
        numbers = recorder.inputs(2 * length)
        values = inverse([Complex(*numbers[2 * k : 2 * k + 2]) for k in range(length)])
        outputs = [values[position] for position in positions]
    else:
        numbers = recorder.inputs(2 * half)
        given = [Complex(numbers[2 * k], zero if k in (0, half - 1) else numbers[2 * k + 1]) for k in range(half)]
        values = inverse([given[k] if k < half else given[length - k].conjugate() for k in range(length)])
        outputs = [Complex(values[position].real, zero) for position in positions]
    return program([part for number in outputs for part in number])
