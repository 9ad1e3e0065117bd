"""Random numbers by counting: number i of a stream is a hash of the stream's key and of i.

There is no state, so nothing can be lost between two runs, and no stream depends on another. Only whole numbers and + - * / in float64
are used, each exact or rounded once as IEEE 754 says: every machine and every version of NumPy draws the same numbers.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

STEP: Final = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: counters far apart in all bits

_QUANTILE_ABOVE: Final = (
    2.5066282746310007, -40.810966048266465, 267.83101492190804, -901.2349138998208,
    1628.738963832879, -1495.2738037561808, 570.091105316856, -44.13884729997925,
)  # fmt: skip
_QUANTILE_BELOW: Final = (
    1.0, -17.328417411877265, 122.69248444135597, -454.3687068511303,
    932.5833841904055, -1028.2569055242016, 532.1101456373641, -87.05677315789416,
)  # fmt: skip
_HALF_SHARE: Final = 0.47724986805182079
"""The probability that a standard normal number lies between 0 and 2."""


def scramble(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash each 64-bit integer so that every input bit moves half of the output bits.

    Source: the finaliser of SplitMix64, Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators", figure 17.
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def stream(*numbers: int) -> int:
    """The key of the stream that some whole numbers from 0 to 2^64 - 1 name, in their order: a seed, a purpose, an index."""
    key = np.zeros(1, np.uint64)
    for number in numbers:
        key = scramble(key * np.uint64(3) + np.uint64(number) + np.uint64(STEP))
    return int(key[0])


def bits(key: int, count: int, first: int = 0) -> NDArray[np.uint64]:
    """The numbers ``first``, ``first + 1``, ... of a stream, of 64 random bits each: uint64 (count,)."""
    return scramble(np.uint64(key) + np.arange(first + 1, first + count + 1, dtype=np.uint64) * np.uint64(STEP))


def uniform(key: int, count: int, first: int = 0) -> NDArray[np.float64]:
    """Uniform in (0, 1), float64 (count,): the middles of 2^52 equal intervals, so neither end is drawn."""
    return ((bits(key, count, first) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def truncated_normal(key: int, count: int, first: int = 0) -> NDArray[np.float64]:
    """Standard normal in [-2, 2], float64 (count,): the quantile of a uniform number, so each number takes one draw.

    Within the bounds the quantile is q R(q^2), with q the distance of the probability from 1/2 and R a ratio of two polynomials,
    fitted to it with a relative error below 1e-9.
    """
    q = _HALF_SHARE * (2.0 * uniform(key, count, first) - 1.0)
    t = q * q
    return q * (_polynomial(_QUANTILE_ABOVE, t) / _polynomial(_QUANTILE_BELOW, t))


def _polynomial(coefficients: tuple[float, ...], x: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


def permutation(key: int, count: int) -> NDArray[np.int64]:
    """The numbers 0...count-1 in random order, int64 (count,): in the order of the random bits that each of them draws."""
    return np.argsort(bits(key, count), kind="stable").astype(np.int64)
