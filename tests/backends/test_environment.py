"""Environment variables that Numba reads: a value that it cannot use is named, with what it expects."""

import os

import numba
import pytest
from llvmlite import binding

from numbacnn.backends import environment, get_ops
from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.threading_layer import ParallelKernel
from numbacnn.errors import DeviceError

HOST = binding.get_host_cpu_features()
LACKING = next((name for name, present in sorted(HOST.items()) if not present), None)
PRESENT = next(name for name, present in sorted(HOST.items()) if present)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("NUMBA_THREADING_LAYER", "nonsense", "one of default, tbb, omp, workqueue, safe, threadsafe, forksafe"),
        ("NUMBA_NUM_THREADS", "abc", "a whole number from 1 to 1024"),
        ("NUMBA_NUM_THREADS", "0", "a whole number from 1 to 1024"),
        ("NUMBA_NUM_THREADS", "9" * 5000, "a whole number from 1 to 1024"),
        ("NUMBA_OPT", "fast", "one of 0, 1, 2, 3, max"),
        ("NUMBA_BOUNDSCHECK", "yes", "a whole number"),
        ("NUMBA_ENABLE_AVX", "no", "a whole number"),
        ("NUMBA_LOOP_VECTORIZE", "1.0", "a whole number"),
        ("NUMBA_CPU_FEATURES", PRESENT, "names of this kind of processor's features, each after + or -"),
        ("NUMBA_CPU_FEATURES", f"+{PRESENT},+nonsense", "names of this kind of processor's features, each after + or -"),
        ("NUMBA_CPU_FEATURES", f"+{LACKING}", "features that this processor has"),
        ("NUMBA_CPU_NAME", "nonsense", "a processor that LLVM knows"),
    ],
)
def test_a_value_that_numba_cannot_use_is_named(name: str, value: str, expected: str) -> None:
    if LACKING is None and value == "+None":
        pytest.skip("this processor has every feature")
    (problem,) = environment._problems({name: value})
    assert problem.startswith(f"{name}: expected {expected}, got ")
    assert problem.endswith("Unset this environment variable, or correct it")


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NUMBA_NUM_THREADS": "", "NUMBA_BOUNDSCHECK": "", "NUMBA_OPT": " "},
        {"NUMBA_NUM_THREADS": " 3 ", "NUMBA_OPT": "MAX", "NUMBA_THREADING_LAYER": "WorkQueue", "NUMBA_DEBUG_CACHE": "1"},
        {"NUMBA_CPU_NAME": binding.get_host_cpu_name(), "NUMBA_CPU_FEATURES": f"+{PRESENT},-{PRESENT}"},
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        {
            "NUMBA_CACHE_DIR": "/nowhere",
            "NUMBA_COLOR_SCHEME": "nonsense",
            "OMP_NUM_THREADS": "nonsense",
            "NUMBACNN_DATA_DIR": "x",
        },
    ],
)
def test_values_that_numba_can_use_are_no_problem(environ: dict[str, str]) -> None:
    assert list(environment._problems(environ)) == []


def test_a_long_value_is_cut_in_the_message() -> None:
    (problem,) = environment._problems({"NUMBA_OPT": "9" * 100_000})
    assert len(problem) < 200


def test_a_problem_is_an_error_of_every_device_and_the_variables_are_left_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "problems", lambda: ("NUMBA_OPT: expected one of 0, 1, 2, 3, max, got 'x'",))
    before = dict(os.environ)
    for device in ("cpu", "auto"):
        with pytest.raises(DeviceError, match="NUMBA_OPT: expected"):
            get_ops(device)
    assert dict(os.environ) == before


def test_without_numbas_compiler_functions_are_computed_and_a_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    with pytest.raises(DeviceError, match="NUMBA_DISABLE_JIT: expected 0, got 1"):
        get_ops("cpu")
    get_ops("cpu", plain=True)

    @kernel(parallel=True)
    def double(x: int) -> int:
        return 2 * x

    assert double(4) == 8
    assert not isinstance(double, ParallelKernel)
