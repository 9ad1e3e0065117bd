"""Random numbers by counting, and expressions built from them.

Number j of image i is a hash of (seed, stream, i, j): no state, so image i is the same whether it is drawn alone or among 60,000.
Only exact arithmetic is used (integers, + - *), no `exp` or `sin` of a maths library: every machine draws the same numbers.
"""

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numbacnn.random_numbers import STEP, scramble

Floats = NDArray[np.float64]
Number = float | Floats


class Draws:
    """The random numbers of some images, one array of them per call."""

    def __init__(self, seed: int, images: NDArray[np.int64], stream: int):
        """Start the sequence of each image.

        Args:
            seed: the number of the data set, 0 or more.
            images: the number of each image in its data set, int64 (n,).
            stream: the number of an independent sequence of these images.
        """
        key = scramble(np.array([(seed * STEP + stream) % 2**64], np.uint64))
        self._keys = scramble(key + images.astype(np.uint64))
        self.size = images.size
        self._count = 0
        self._drawn: dict[U, Floats] = {}

    def bits(self, count: int = 1) -> NDArray[np.uint64]:
        """The next ``count`` times 64 random bits of every image, uint64 (n, count)."""
        counters = np.arange(self._count + 1, self._count + count + 1).astype(np.uint64)
        self._count += count
        return scramble(self._keys[:, None] + counters * np.uint64(STEP))

    def uniform(self, low: Number = 0.0, high: Number = 1.0) -> Floats:
        """Uniform in [low, high), float64 (n,)."""
        return low + (high - low) * ((self.bits()[:, 0] >> np.uint64(11)).astype(np.float64) * 2.0**-53)

    def normal(self, mean: Number = 0.0, sd: Number = 1.0) -> Floats:
        """Nearly normal, float64 (n,): at most 3.46 sd from the mean."""
        return mean + sd * self.normals(1)[:, 0]

    def normals(self, count: int) -> Floats:
        """Several nearly normal numbers of mean 0 and sd 1 for every image, float64 (n, count): sums of four uniforms."""
        bits = self.bits(count)
        lanes = np.zeros(bits.shape)
        for shift in (0, 16, 32, 48):
            lanes += (bits >> np.uint64(shift)) & np.uint64(0xFFFF)
        return (lanes * 2.0**-16 - 2.0) * math.sqrt(3.0)

    def once(self, quantity: "U") -> Floats:
        """The numbers of ``quantity``, drawn at the first call and the same in later ones."""
        if quantity not in self._drawn:
            self._drawn[quantity] = self.uniform(quantity.low, quantity.high)
        return self._drawn[quantity]


class Expression(ABC):
    """A quantity that differs from image to image; ``+ - *`` build new ones."""

    @abstractmethod
    def value(self, draws: Draws) -> Number:
        """The quantity in every image of ``draws``: float64 (n,), or one float that holds for all."""

    def __add__(self, other: "Quantity") -> "Expression":
        return _Combined(operator.add, self, other)

    def __radd__(self, other: "Quantity") -> "Expression":
        return _Combined(operator.add, other, self)

    def __sub__(self, other: "Quantity") -> "Expression":
        return _Combined(operator.sub, self, other)

    def __rsub__(self, other: "Quantity") -> "Expression":
        return _Combined(operator.sub, other, self)

    def __mul__(self, other: "Quantity") -> "Expression":
        return _Combined(operator.mul, self, other)

    def __rmul__(self, other: "Quantity") -> "Expression":
        return _Combined(operator.mul, other, self)


Quantity = Expression | float


def value(quantity: Quantity, draws: Draws) -> Number:
    """The value of an expression or of a plain number."""
    return quantity.value(draws) if isinstance(quantity, Expression) else quantity


@dataclass(frozen=True, eq=False)
class U(Expression):
    """A uniform draw between two numbers. One object is one draw: use it twice in a figure and both uses agree."""

    low: float
    high: float

    def value(self, draws: Draws) -> Floats:
        return draws.once(self)


@dataclass(frozen=True, eq=False)
class _Combined(Expression):
    operation: Callable[[Number, Number], Number]
    left: Quantity
    right: Quantity

    def value(self, draws: Draws) -> Number:
        return self.operation(value(self.left, draws), value(self.right, draws))


@dataclass(frozen=True, eq=False)
class Sine(Expression):
    """The sine of an angle in degrees (see ``sine``)."""

    degrees: Quantity

    def value(self, draws: Draws) -> Number:
        return sine(value(self.degrees, draws))


def cosine_of(degrees: Quantity) -> Expression:
    """The cosine of an angle in degrees, as an expression."""
    return Sine(90.0 + degrees)


def sine(degrees: Number) -> Number:
    """The sine to 0.1 %, from exact operations only: two parabolas, then one correction.

    With t the angle in turns, in [-1/2, 1/2):  y = 8 t (1 - 2 |t|)  is 6 % off at most;  y + 0.225 (y |y| - y)  is 0.1 % off.
    """
    turns = degrees * (1 / 360)
    turns = turns - np.floor(turns + 0.5)
    wave = 8.0 * turns * (1.0 - 2.0 * np.abs(turns))
    return wave + 0.225 * (wave * np.abs(wave) - wave)
