"""What several runs of one experiment say of its mean: mean, standard deviation, and the interval that holds the mean, by Student's t.

Source: M. Abramowitz, I. Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4: the distribution as a finite sum.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Spread:
    """Several measurements of one quantity, in its unit.

    Args:
        count: of the measurements.
        mean: of them.
        standard_deviation: with count - 1 in the denominator; None for a single measurement.
        margin: the interval of 95 % is mean - margin to mean + margin; None for a single measurement.
    """

    count: int
    mean: float
    standard_deviation: float | None
    margin: float | None


def spread(values: Sequence[float]) -> Spread:
    """The spread of at least one value; their order changes no bit.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("values: expected at least one, got none")
    mean = fmean(values)
    if len(values) == 1:
        return Spread(1, mean, None, None)
    deviation = stdev(values)
    return Spread(len(values), mean, deviation, t_quantile(len(values) - 1) * deviation / math.sqrt(len(values)))


def t_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """The t that a variable of Student's distribution stays within, on both sides of 0, with this probability.

    Args:
        degrees: of freedom, at least 1.
    """
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        if _within(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan(high)


def _within(angle: float, degrees: int) -> float:
    """The probability that abs(t) is at most sqrt(degrees) * tan(angle)."""
    cosine = math.cos(angle)
    is_odd = degrees % 2 == 1
    term = cosine if is_odd else 1.0
    total = term if degrees > 1 else 0.0
    for power in range(3 if is_odd else 2, degrees - 1, 2):
        term *= (power - 1) / power * cosine * cosine
        total += term
    return 2 / math.pi * (angle + math.sin(angle) * total) if is_odd else math.sin(angle) * total
