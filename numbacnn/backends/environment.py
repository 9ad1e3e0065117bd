"""Numba and the environment variables that it reads: a value that kernels cannot be compiled or run with is one DeviceError."""

import functools
import importlib
import os
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from numbacnn.backends.threads import MOST_THREADS
from numbacnn.errors import DeviceError

READ = ("NUMBA_", "OMP_", "GOMP_")
"""Prefixes of the variables that change how kernels are compiled and run."""

PREFIX = "NUMBA_"
LAYERS = ("default", "tbb", "omp", "workqueue", "safe", "threadsafe", "forksafe")
OPTIMISATION_LEVELS = ("0", "1", "2", "3", "max")
NUMBERS = ("BOUNDSCHECK", "ENABLE_AVX", "USE_LLVMLITE_MEMORY_MANAGER")
"""Whole numbers for which Numba has no default, or a function of the processor."""

ASK_LLVM = "import sys; from llvmlite import binding as b; b.initialize_native_target(); b.Target.from_default_triple().create_target_machine(cpu=sys.argv[1])"  # noqa: E501
SECONDS_FOR_LLVM = 30


def variables() -> dict[str, str]:
    """The variables that are set, by name. ``NUMBA_NUM_THREADS`` is, too, once kernels have been used."""
    return {name: os.environ[name] for name in sorted(os.environ) if name.startswith(READ)}


def import_numba() -> Any:
    """Numba, without its warnings of numbers that it cannot parse, which hold a traceback: ``problems`` has them."""
    if "numba" not in sys.modules:
        threads = os.environ.get("NUMBA_NUM_THREADS", "1")
        try:
            if any(_number_of_threads(threads)):  # of 0, Numba cannot even be imported
                del os.environ["NUMBA_NUM_THREADS"]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Environment variable 'NUMBA_(?!.*_CC')", category=RuntimeWarning)
                importlib.import_module("numba")
        finally:
            if any(_number_of_threads(threads)):
                os.environ["NUMBA_NUM_THREADS"] = threads
    import numba

    return numba


def silence_small_grids() -> str:
    """Numba's warnings of small GPU grids, which small networks make: off, unless the environment says otherwise. Returns what it says."""
    return os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0")


def check() -> None:
    """Raise DeviceError if there is a problem; imports Numba."""
    for problem in problems():
        raise DeviceError(problem)


def check_number_of_threads() -> None:
    """Raise DeviceError if ``NUMBA_NUM_THREADS`` is no number of threads. Numba reads it once, when it is imported."""
    for problem in _number_of_threads(os.environ.get("NUMBA_NUM_THREADS", "1")):
        raise DeviceError(problem)


@functools.cache
def problems() -> tuple[str, ...]:
    """What is wrong with the variables of Numba, one message each. Numba reads them when it is imported, so they are checked once."""
    return tuple(_problems(dict(os.environ)))


def _problems(environ: dict[str, str]) -> Iterator[str]:
    config: Any = import_numba().config
    for name in sorted(environ):
        value, default = environ[name], getattr(config, name.removeprefix(PREFIX), None)
        if not name.startswith(PREFIX) or not value.strip():
            continue
        if name == "NUMBA_OPT":
            if value.lower() not in OPTIMISATION_LEVELS:
                yield _unexpected(name, f"one of {', '.join(OPTIMISATION_LEVELS)}", value)
        elif (isinstance(default, int) or name.removeprefix(PREFIX) in NUMBERS) and not _is_number(value):
            yield _unexpected(name, "a whole number", value)
    yield from _number_of_threads(environ.get("NUMBA_NUM_THREADS", "1"))
    layer = environ.get("NUMBA_THREADING_LAYER", "default")
    if layer.lower() not in LAYERS:  # an empty one, too: Numba refuses it
        yield _unexpected("NUMBA_THREADING_LAYER", f"one of {', '.join(LAYERS)}", layer)
    priority = environ.get("NUMBA_THREADING_LAYER_PRIORITY")
    if priority is not None and sorted(config.THREADING_LAYER_PRIORITY) != ["omp", "tbb", "workqueue"]:
        yield _unexpected("NUMBA_THREADING_LAYER_PRIORITY", "tbb, omp and workqueue in any order", priority)
    yield from _features(environ.get("NUMBA_CPU_FEATURES", ""))
    yield from _processor(environ.get("NUMBA_CPU_NAME", ""))


def _number_of_threads(given: str) -> Iterator[str]:
    """Numba starts as many as it is told to, and a machine has no memory for millions."""
    if given.strip() and not (_is_number(given) and 1 <= int(given) <= MOST_THREADS):
        yield _unexpected("NUMBA_NUM_THREADS", f"a whole number from 1 to {MOST_THREADS}", given)


def _features(given: str) -> Iterator[str]:
    """LLVM ends the process at a feature without a sign, and code with one that the processor lacks ends at its first use."""
    if not given:
        return
    from llvmlite import binding

    present = binding.get_host_cpu_features()
    for feature in filter(None, given.split(",")):
        if feature[0] not in "+-" or feature[1:] not in present:
            yield _unexpected("NUMBA_CPU_FEATURES", "names of this kind of processor's features, each after + or -", feature)
        elif feature[0] == "+" and not present[feature[1:]]:
            yield _unexpected("NUMBA_CPU_FEATURES", "features that this processor has", feature)


def _processor(name: str) -> Iterator[str]:
    """LLVM goes on without an unknown processor, and says so many times on standard error: there alone."""
    if name in ("", "generic"):
        return
    import subprocess  # seldom needed

    try:
        done = subprocess.run(
            [sys.executable, "-c", ASK_LLVM, name], capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS_FOR_LLVM
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return
    if b"not a recognized processor" in done.stderr:
        yield _unexpected("NUMBA_CPU_NAME", "a processor that LLVM knows", name)


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"\s*[+-]?\d{1,20}\s*", text))


def _unexpected(name: str, expected: str, got: str) -> str:
    shown = got if len(got) <= 60 else got[:60] + "..."
    return f"{name}: expected {expected}, got {shown!r}. Unset this environment variable, or correct it"
