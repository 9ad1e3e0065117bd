"""One number of the lecture, compared with what the program computes."""

from typing import Any, Literal, NamedTuple

import numpy as np

Origin = Literal["slide", "source", "derived"]
"""``slide``: it stands in the slides' text; ``source``: in the public original of a picture; ``derived``: computed in float64 and agreed
with a second framework."""

ROUNDING = 1e-13
"""Relative tolerance of float64 results that are not exact."""


class Check(NamedTuple):
    """A number, or an array as nested lists, that the lecture's formulas give.

    Args:
        name: what it is.
        slide: the title of its slide.
        formula: how it comes about.
        expected: the lecture's value.
        computed: the program's.
        passed: whether they agree.
        origin: where the expected value is from.
    """

    name: str
    slide: str
    formula: str
    expected: Any
    computed: Any
    passed: bool
    origin: Origin


def check(
    name: str, slide: str, formula: str, expected: Any, computed: Any, origin: Origin = "derived", tolerance: float = 0.0
) -> Check:
    """Compare arrays or numbers; ``tolerance`` is relative to the largest expected value. Another shape, or a NaN, is a failure."""
    wanted, got = np.asarray(expected, np.float64), np.asarray(computed, np.float64)
    allowed = tolerance * np.abs(wanted).max(initial=0.0)
    passed = wanted.shape == got.shape and bool(np.all(np.abs(got - wanted) <= allowed))
    return Check(name, slide, formula, _plain(expected), _plain(computed), passed, origin)


def _plain(value: Any) -> Any:
    """Numbers and nested lists of them; whole numbers as int."""
    array = np.asarray(value)
    if array.dtype.kind == "f" and array.size and bool(np.all(np.isfinite(array) & (array == np.rint(array)))):
        array = array.astype(np.int64)
    return array.tolist()
