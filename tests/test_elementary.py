"""Elementary functions by exact steps: beside the platform's, beside NumPy's extended precision, and the same in Python and kernels."""

import math

import numba
import numpy as np
import pytest

from numbacnn import elementary
from numbacnn.backends.cpu.plain import elementary as compiled

GENERATOR = np.random.default_rng(0)
RANGES = {
    "exp": [(-745.0, 709.0), (-1.0, 1.0), (-1e-8, 1e-8)],
    "expm1": [(-40.0, 20.0), (-1.0, 1.0), (-1e-8, 1e-8)],
    "tanh": [(-25.0, 25.0), (-1.0, 1.0), (-1e-8, 1e-8)],
    "log": [(1e-300, 1e300), (0.5, 20.0), (0.999, 1.001)],
}
WITHIN = 6
"""Units in the last place: one of them for NumPy, whose extended precision is float64 on some systems."""


def points(name: str) -> np.ndarray:
    return np.concatenate([GENERATOR.uniform(low, high, 4000) for low, high in RANGES[name]])


@pytest.mark.parametrize("name", RANGES)
def test_results_are_within_a_few_units_of_the_last_place(name: str) -> None:
    x = points(name)
    found = np.array([getattr(elementary, name)(value) for value in x.tolist()])
    with np.errstate(over="ignore", under="ignore"):
        right = getattr(np, name)(x.astype(np.longdouble))
    units = np.abs(found - right) / np.maximum(np.spacing(np.abs(right.astype(np.float64))), 5e-324)
    assert float(units.max()) <= WITHIN


@pytest.mark.parametrize("name", RANGES)
def test_rounded_to_float32_they_are_the_nearest_number_nearly_always(name: str) -> None:
    x = points(name)
    with np.errstate(over="ignore", under="ignore"):
        found = np.array([getattr(elementary, name)(value) for value in x.tolist()]).astype(np.float32)
        right = getattr(np, name)(x.astype(np.longdouble)).astype(np.float32)
    assert (found != right).mean() < 1e-4


@pytest.mark.parametrize("name", [*RANGES, "cosine_of_turns", "sine_of_turns"])
def test_kernels_compute_the_bits_of_python(name: str) -> None:
    x = points(name) if name in RANGES else GENERATOR.uniform(-3, 3, 4000)
    x = np.concatenate((x, [0.0, -0.0, 1.0, math.inf, -math.inf, math.nan][: None if name in RANGES else 3]))
    function = getattr(compiled, name)

    @numba.njit(error_model="numpy")
    def run(values, out):
        for i in range(values.size):
            out[i] = function(values[i])

    out = np.empty_like(x)
    run(x, out)
    right = np.array([getattr(elementary, name)(value) for value in x.tolist()])
    assert out.tobytes() == right.tobytes() or (
        (np.isnan(out) == np.isnan(right)).all() and np.array_equal(out, right, equal_nan=True)
    )


def test_the_ends_of_the_line() -> None:
    for name, values in {
        "exp": (0.0, math.inf), "expm1": (-1.0, math.inf), "tanh": (-1.0, 1.0),
    }.items():  # fmt: skip
        function = getattr(elementary, name)
        assert (function(-math.inf), function(math.inf)) == values
        assert math.isnan(function(math.nan))
    assert math.copysign(1.0, elementary.tanh(-0.0)) == -1.0
    assert (elementary.log(0.0), elementary.log(math.inf), elementary.log(1.0)) == (-math.inf, math.inf, 0.0)
    assert math.isnan(elementary.log(-1.0))
    assert math.isnan(elementary.log(math.nan))
    assert elementary.exp(-744.0) == math.exp(-744.0) > 0  # below the least normal number


def test_quarters_of_a_turn_are_exact_and_others_near() -> None:
    assert [elementary.cosine_of_turns(k / 4) for k in range(-4, 5)] == [1, 0, -1, 0, 1, 0, -1, 0, 1]
    assert [elementary.sine_of_turns(k / 4) for k in range(-4, 5)] == [0, 1, 0, -1, 0, 1, 0, -1, 0]
    for turns in GENERATOR.uniform(-2, 2, 2000).tolist():
        assert abs(elementary.cosine_of_turns(turns) - math.cos(2 * math.pi * turns)) < 4e-15
        assert abs(elementary.sine_of_turns(turns) - math.sin(2 * math.pi * turns)) < 4e-15


def test_powers_are_products() -> None:
    assert elementary.power(0.5, 20) == 2.0**-20
    assert elementary.power(3.0, 0) == 1.0
    assert elementary.power(0.999, 100_000) == pytest.approx(0.999**100_000, rel=1e-11)
