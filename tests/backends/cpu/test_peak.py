"""The loop that measures the CPU's peak computes what it says, and kernels can be compiled anew."""

import subprocess
import sys

import numba
import numpy as np
import pytest

from numbacnn.backends import using_threads
from numbacnn.backends.cpu import peak
from numbacnn.backends.cpu.codegen.multiply_adds import VALUES


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_the_loop_of_multiply_adds_computes_each_of_its_sums(steps: int) -> None:
    generator = np.random.default_rng(0)
    values = generator.standard_normal((3, VALUES)).astype(np.float32)
    expected = values.astype(np.float64)
    for _ in range(steps):
        expected = expected * 0.5 + 0.5
    peak._multiply_adds(values, steps)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6)


def test_the_rate_counts_two_operations_for_each_value_and_step(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(peak.time, "perf_counter", lambda: float(next(clock)))  # each look takes one second
    with using_threads(1):
        assert peak.peak_rate() == 2.0 * VALUES * peak.STEPS


def test_threads_are_set_within_a_block_alone() -> None:
    before = numba.get_num_threads()
    with using_threads(1) as count:
        assert (count, numba.get_num_threads()) == (1, 1)
        with using_threads() as same:
            assert same == 1
    assert numba.get_num_threads() == before


PROGRAM = """
import sys
import numpy as np
from contextlib import nullcontext
from numbacnn.backends import compilations, compiled_anew, get_ops
ops = get_ops("cpu")
with compiled_anew() if sys.argv[1] == "anew" else nullcontext(), compilations() as first:
    ops.relu(np.zeros(1, np.float32))
with compilations() as second:
    ops.relu(np.zeros(1, np.float32))
print(first.count > 0, second.count)
"""


def test_kernels_are_compiled_anew_if_asked_and_kept_all_the_same() -> None:
    found = []
    for how in ("anew", "cached"):
        done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=600)
        found.append(done.stdout.split())
    assert found == [["True", "0"], ["False", "0"]]
