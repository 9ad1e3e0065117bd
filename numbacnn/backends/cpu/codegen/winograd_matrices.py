"""The three matrices of Winograd's fast convolution, for any tile and filter, in exact arithmetic.

    y[i] = sum_k d[i + k] g[k]        for m outputs y, a filter g of r cells, n = m + r - 1 values d

    y = A^T [(G g) * (B^T d)]         F(m, r): n multiplications instead of m r

Derivation. Let Y and G be the polynomials with coefficients y and g. Their product has n coefficients, and is known from
its values at n points (Toom, Cook): evaluate both (matrices A and G: row p is 1, p, p^2, ...), multiply, interpolate (the inverse
of evaluation). So the trilinear form sum_{i,k} y[i] g[k] d[i+k] is, for every d,

    sum over points of  (A y) * (G g) * (B^T d),        where B^T is the transpose of interpolation;

and its gradient with respect to each argument is one of the three passes:

    y = A^T [(G g) * (B^T d)]         forward
    g = G^T [(A y) * (B^T d)]         the filter's gradient, from that of y
    d = B   [(A y) * (G g)]           the gradient of d

The point at infinity stands for the highest coefficient alone. Row p of B^T has the coefficients of N(x) / (x - p), where N is the
product of all x - p, and the row of infinity those of N. Interpolation divides by N'(p); that division is moved to G, which is
applied once to a filter: with points that are powers of two, A and B^T are then exact in float32. The points come in pairs p, -p,
whose two rows cost ``linear_program`` little more than one. Rounding errors grow with the number of points and with their distance
from 1, in both directions.

Source: Winograd 1980, Arithmetic Complexity of Computations; Lavin & Gray 2015 (arXiv:1509.09308); on accuracy, Barabasz, Anderson,
Soodhalter & Gregg 2018 (arXiv:1803.10986).
"""

from enum import IntEnum
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from numbacnn.backends.cpu.codegen.straight_line import Program, linear_program

Matrix: TypeAlias = list[list[Fraction]]

POINTS = tuple(
    Fraction(p) for p in ("0", "1", "-1", "2", "-2", "1/2", "-1/2", "4", "-4", "1/4", "-1/4", "3", "-3", "1/3", "-1/3")
)
"""Finite points in the order in which they are taken."""

SUMMING_POINT = POINTS.index(Fraction(1))
"""The point 1, where a polynomial's value is the sum of its coefficients."""


TILES = {2: 5, 3: 4, 4: 5, 5: 4, 6: 3, 7: 2}
"""m for each r: the largest that float32 is accurate enough for. n is even, so that all points but 0 and infinity have a partner."""


class Matrices(NamedTuple):
    """Evaluation of outputs (A: n x m) and of filters (G: n x r), and the transpose of interpolation (B^T: n x n)."""

    a: Matrix
    g: Matrix
    bt: Matrix


class WinogradKind(IntEnum):
    """The direction of a transform: from one of the three arguments to the points, or back to its gradient."""

    INPUT = 0
    """B^T: n values to n points."""
    INPUT_BACK = 1
    """B: n points to n values."""
    FILTER = 2
    """G: r cells to n points."""
    FILTER_BACK = 3
    """G^T: n points to r cells."""
    OUTPUT = 4
    """A^T: n points to m values."""
    OUTPUT_BACK = 5
    """A: m values to n points."""


def matrices(m: int, r: int) -> Matrices:
    """The matrices of F(m, r).

    Args:
        m: outputs of a tile.
        r: cells of the filter.
    """
    points = POINTS[: m + r - 2]
    if len(points) < m + r - 2:
        raise ValueError(f"F({m}, {r}) needs {m + r - 2} finite points, got {len(POINTS)}")
    whole = [Fraction(1)]
    for p in points:
        whole = _times(whole, p)
    bt = [[*_divided(whole, p), Fraction(0)] for p in points]
    scales = [_value(row, p) for row, p in zip(bt, points, strict=True)]  # N'(p) = (N(x) / (x - p)) at p
    g = [[power / scale for power in _powers(p, r)] for p, scale in zip(points, scales, strict=True)]
    a = [_powers(p, m) for p in points]
    return Matrices([*a, _last(m)], [*g, _last(r)], [*bt, whole])


def _powers(p: Fraction, count: int) -> list[Fraction]:
    return [p**k for k in range(count)]


def _last(count: int) -> list[Fraction]:
    """The row of infinity."""
    return [Fraction(int(k == count - 1)) for k in range(count)]


def _times(polynomial: list[Fraction], p: Fraction) -> list[Fraction]:
    """polynomial * (x - p); the constant term comes first."""
    return [lower - p * same for lower, same in zip([Fraction(0), *polynomial], [*polynomial, Fraction(0)], strict=True)]


def _divided(polynomial: list[Fraction], p: Fraction) -> list[Fraction]:
    """polynomial / (x - p), where p is a root (Horner)."""
    quotient = [polynomial[-1]]
    for coefficient in polynomial[-2:0:-1]:
        quotient.append(coefficient + p * quotient[-1])
    return quotient[::-1]


def _value(polynomial: list[Fraction], p: Fraction) -> Fraction:
    return sum((c * p**k for k, c in enumerate(polynomial)), Fraction(0))


def matrix_of(kind: WinogradKind, m: int, r: int) -> Matrix:
    """The matrix of a transform."""
    a, g, bt = matrices(m, r)
    forward = {WinogradKind.INPUT: bt, WinogradKind.FILTER: g, WinogradKind.OUTPUT_BACK: a}
    back = {WinogradKind.INPUT_BACK: bt, WinogradKind.FILTER_BACK: g, WinogradKind.OUTPUT: a}
    return forward[kind] if kind in forward else [list(column) for column in zip(*back[kind], strict=True)]


@lru_cache
def winograd_program(kind: WinogradKind, m: int, r: int) -> Program:
    """The program of a transform, ``matrix_of(kind, m, r) @ inputs``."""
    return linear_program(matrix_of(kind, m, r))
