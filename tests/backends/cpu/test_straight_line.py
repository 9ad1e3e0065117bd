"""Straight-line programs, and Fourier transforms as such programs, against NumPy."""

import numpy as np
import pytest

from numbacnn.backends.cpu.codegen.fourier import FourierKind, cosine, fourier_program
from numbacnn.backends.cpu.codegen.straight_line import Recorder, linear_program, program
from numbacnn.backends.cpu.conv.lengths import LENGTHS


def test_equal_terms_are_computed_once() -> None:
    x, y = Recorder().inputs(2)
    made = program([x + y, y + x, x - y, y - x, -(x + y)])
    assert made.arithmetic == 2
    assert made.run(np.array([5.0, 3.0])).tolist() == [8, 8, 2, -2, -8]


def test_zeros_and_unused_terms_are_not_computed() -> None:
    recorder = Recorder()
    x, y = recorder.inputs(2)
    zero = recorder.zero()
    _unused = x * 7.0
    made = program([x + zero, x - x, y * 0.0, zero * 3.0, y * -1.0])
    assert made.arithmetic == 0
    assert made.run(np.array([5.0, 3.0])).tolist() == [5, 0, 0, 0, -3]


def test_factors_of_factors_are_one_multiplication() -> None:
    (x,) = Recorder().inputs(1)
    made = program([x * 2.0 * -3.0])
    assert made.arithmetic == 1
    assert made.run(np.array([1.5])).tolist() == [-9]


def test_a_linear_program_multiplies_by_its_matrix() -> None:
    matrix = np.random.default_rng(0).integers(-2, 3, (5, 7)).astype(float)
    x = np.random.default_rng(1).normal(size=(7, 4))
    assert np.allclose(linear_program(matrix.tolist()).run(x), matrix @ x)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 8, 12, 16, 30, 32])
def test_cosines_that_are_zero_or_one_are_exact(n: int) -> None:
    values = [cosine(k, n) for k in range(-n, 2 * n)]
    assert np.allclose(values, np.cos(2 * np.pi * np.arange(-n, 2 * n) / n), atol=1e-14)
    assert all(values[k] == values[k + n] for k in range(2 * n))
    assert all(abs(value) > 1e-9 or value == 0 for value in values)
    assert all(abs(abs(value) - 1) > 1e-9 or abs(value) == 1 for value in values)


def interleaved(z: np.ndarray) -> np.ndarray:
    return np.stack([z.real, z.imag], axis=1).reshape(-1)


def complex_numbers(parts: np.ndarray) -> np.ndarray:
    return parts[0::2] + 1j * parts[1::2]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("part", ["all", "first", "wrapped"])
def test_every_transform_equals_that_of_numpy(length: int, part: str) -> None:
    first, size = {"all": (0, length), "first": (0, length - 1), "wrapped": (length - 1, min(3, length))}[part]
    generator = np.random.default_rng(length)
    positions = (first + np.arange(size)) % length
    values = generator.normal(size=size) + 1j * generator.normal(size=size)
    spectrum = generator.normal(size=length) + 1j * generator.normal(size=length)
    half = spectrum[: length // 2 + 1]
    whole = np.zeros(length, complex)

    def run(kind: FourierKind, given: np.ndarray) -> np.ndarray:
        return complex_numbers(fourier_program(kind, length, first, size).run(interleaved(given)))

    whole[positions] = values.real
    assert np.allclose(run(FourierKind.REAL_FORWARD, values), np.fft.rfft(whole.real), atol=1e-12)
    whole[positions] = values
    assert np.allclose(run(FourierKind.COMPLEX_FORWARD, values), np.fft.fft(whole), atol=1e-12)
    assert np.allclose(run(FourierKind.COMPLEX_INVERSE, spectrum), length * np.fft.ifft(spectrum)[positions], atol=1e-12)
    assert np.allclose(run(FourierKind.REAL_INVERSE, half), length * np.fft.irfft(half, length)[positions], atol=1e-12)


def test_transforms_are_as_short_as_the_best_known() -> None:
    # Split-radix needs 10 multiplications and 58 additions for 16 real points, and 168 operations for 16 complex ones.
    assert fourier_program(FourierKind.REAL_FORWARD, 16, 0, 16).arithmetic <= 74
    assert fourier_program(FourierKind.COMPLEX_FORWARD, 16, 0, 16).arithmetic <= 176
