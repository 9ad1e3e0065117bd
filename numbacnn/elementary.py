"""Exponential, logarithm, hyperbolic tangent, sine, cosine and powers in float64, by exact steps only: the same bits on every machine.

The maths libraries of two systems differ in last bits, and so would two trainings. Here are only + - * /, each rounded once as IEEE
754 says, and moves of exponents. Python and Numba both run these functions (``backends/cpu/plain/elementary.py`` compiles them), and
neither fuses a product with a sum. Results are within 5 units in the last place of float64 (sine and cosine: of 1), so that almost all of
them, rounded to float32, are the nearest there is. Conditional expressions instead of branches let LLVM compute several values at once.

Source: J.-M. Muller, "Elementary Functions: Algorithms and Implementation", 3rd edition, 2016, chapters 3 and 11.
"""

import math

MAGIC = 1.5 * 2.0**52
"""Added to a number below 2^51, it leaves the nearest whole number in the last bits."""

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # the first ends in zeros: its multiples are exact
_LEAST, _MOST = -750.0, 720.0  # beyond, exp is 0 and infinite
_NEAR_ZERO = 0.35
_TANH_IS_ONE = 20.0
_ROOT_HALF = 0.7071067811865476


def power_of_two(shifted: float) -> float:
    """2^(shifted - MAGIC), for a whole exponent from -1022 to 1023."""
    return math.ldexp(1.0, int(shifted - MAGIC))


def expm1_over_x(x: float) -> float:
    """(exp(x) - 1) / x for |x| <= 0.35, by Taylor's series; the first term left out is below 2^-60."""
    high = 1 / 3628800 + x * (1 / 39916800 + x * (1 / 479001600 + x * (1 / 6227020800)))
    middle = 1 / 5040 + x * (1 / 40320 + x * (1 / 362880 + x * high))
    return 1.0 + x * (1 / 2 + x * (1 / 6 + x * (1 / 24 + x * (1 / 120 + x * (1 / 720 + x * middle)))))


def exp(x: float) -> float:
    """e^x. With k the whole number nearest to x / ln 2: e^x = 2^k e^(x - k ln 2)."""
    y = _LEAST if x < _LEAST else _MOST if x > _MOST else 0.0 if x != x else x
    k = (y * _LOG2_E + MAGIC) - MAGIC
    r = (y - k * _LN2_HIGH) - k * _LN2_LOW
    half = (0.5 * k + MAGIC) - MAGIC  # in two steps, for results below 2^-1022
    result = ((1.0 + r * expm1_over_x(r)) * power_of_two(half + MAGIC)) * power_of_two((k - half) + MAGIC)
    return x if x != x else result


def expm1(x: float) -> float:
    """e^x - 1, without loss of digits near 0."""
    near = -_NEAR_ZERO <= x <= _NEAR_ZERO
    y = x if near else 0.0
    return y * expm1_over_x(y) if near else exp(x) - 1.0


def tanh(x: float) -> float:
    """(e^2x - 1) / (e^2x + 1), of |x|; the sign is put back."""
    size = -x if x < 0.0 else x
    y = _TANH_IS_ONE if size > _TANH_IS_ONE else size
    e = expm1(2.0 * y)
    result = e / (e + 2.0)
    return -result if x < 0.0 else x if x == 0.0 else result


def log(x: float) -> float:
    """The natural logarithm of a positive number. With x = 2^k m: k ln 2 + 2 artanh((m - 1) / (m + 1))."""
    if not 0.0 < x < math.inf:
        return x if x != x or x > 0.0 else -math.inf if x == 0.0 else math.nan
    m, k = math.frexp(x)
    if m < _ROOT_HALF:
        m, k = 2.0 * m, k - 1
    f = m - 1.0
    s = f / (2.0 + f)
    t = s * s
    high = 1 / 15 + t * (1 / 17 + t * (1 / 19 + t * (1 / 21 + t * (1 / 23))))
    series = t * (1 / 3 + t * (1 / 5 + t * (1 / 7 + t * (1 / 9 + t * (1 / 11 + t * (1 / 13 + t * high))))))
    return k * _LN2_HIGH + ((2.0 * s + 2.0 * s * series) + k * _LN2_LOW)


def cosine_of_turns(turns: float) -> float:
    """cos(2 pi turns); 1, 0 and -1 are exact."""
    x = abs(turns - math.floor(turns + 0.5))  # 0 ... 1/2
    if x > 0.25:
        return -cosine_of_turns_near_zero(0.5 - x)
    return cosine_of_turns_near_zero(x)


def sine_of_turns(turns: float) -> float:
    """sin(2 pi turns); 1, 0 and -1 are exact."""
    return cosine_of_turns(turns - 0.25)


def cosine_of_turns_near_zero(x: float) -> float:
    """cos(2 pi x) for x from 0 to 1/4: by its own series up to 1/8, then by that of the sine of what is left to 1/4."""
    is_sine = x > 0.125
    y = 6.283185307179586 * (0.25 - x if is_sine else x)
    t = -y * y
    if is_sine:
        high = 1 / 39916800 + t * (1 / 6227020800 + t * (1 / 1307674368000 + t * (1 / 355687428096000)))
        return y + y * (t * (1 / 6 + t * (1 / 120 + t * (1 / 5040 + t * (1 / 362880 + t * high)))))
    high = 1 / 3628800 + t * (1 / 479001600 + t * (1 / 87178291200 + t * (1 / 20922789888000)))
    return 1.0 + t * (1 / 2 + t * (1 / 24 + t * (1 / 720 + t * (1 / 40320 + t * high))))


def power(base: float, exponent: int) -> float:
    """base^exponent for a whole exponent from 0 on, by squaring."""
    result, square = 1.0, base
    while exponent > 0:
        if exponent % 2:
            result = result * square
        square, exponent = square * square, exponent // 2
    return result
