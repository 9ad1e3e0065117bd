"""The host's part of a training step on a GPU: milliseconds of Python and launches, for which no GPU is needed.

    python benchmarks/gpu_host.py
    python benchmarks/gpu_host.py --model digit --json host.json

All runs on a driver that does nothing (``empty_driver.c``, built with gcc): what takes time is the host alone. Each figure is given twice:
for arrays and launches as numba-cuda makes them, and for numbacnn's own, which keep what a launch needs (``packed.py``). Kernels are
compiled for real at first, which takes a minute or two, and then come from the cache.
"""

import argparse
import ctypes
import json
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

SOURCE = Path(__file__).with_name("empty_driver.c")
LIBRARY = "libcuda.so.1"
WARM_STEPS = 3
WAYS = ("as numba-cuda launches", "packed")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cnn", help="a preset; default cnn")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--steps", type=int, default=300, help="steps of each way; default 300")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="numbacnn-driver-") as folder:
        load(Path(folder))
        found = {way: measure(options.model, options.batch_size, options.steps, way) for way in WAYS}
    show(found, options)
    if options.json:
        settings = {"model": options.model, "batch_size": options.batch_size, "steps": options.steps}
        options.json.write_text(json.dumps(settings | {"ways": found}, indent=1), encoding="utf-8")


def load(folder: Path) -> Any:
    """Build the driver that does nothing, and load it: whoever asks for the driver from now on in this process gets this one."""
    library = folder / LIBRARY
    build = ["gcc", "-O2", "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY}", "-o", str(library), str(SOURCE), "-ldl"]
    try:
        subprocess.run(build, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or error
        raise SystemExit(f"gcc: expected a driver library from {SOURCE.name}, got: {reason}. Install gcc") from None
    return ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def measure(model: str, batch_size: int, steps: int, way: str) -> dict[str, Any]:
    """Milliseconds and launches of a step, and of each op in it: medians over steps."""
    import gpu  # late: it imports numba-cuda

    from numbacnn.backends.cuda.ops import CudaOps

    ops = CudaOps()  # not get_ops, which checks what a GPU computes
    with ExitStack() as stack:
        if way != "packed":
            stack.enter_context(unpacked())
        events = gpu.steps_of_an_epoch(ops, model, batch_size, WARM_STEPS + 2 * steps)
        for _ in range(WARM_STEPS):
            next(events)
        whole = [seconds_of(events) for _ in range(steps)]
        steps_of: dict[str, list[Calls]] = defaultdict(list)
        calls: dict[str, list[Call]] = defaultdict(list)
        others: list[float] = []
        with watched(ops, calls):
            for _ in range(steps):
                calls.clear()
                others.append(seconds_of(events) - sum(seconds for found in calls.values() for seconds, _ in found))
                for name, found in calls.items():
                    steps_of[name].append(
                        (len(found), sum(launches for _, launches in found), sum(seconds for seconds, _ in found))
                    )
    # Not what happens now and then, as the host's reading of losses.
    always = {name: found for name, found in steps_of.items() if len(found) == steps}
    every = {name: [statistics.median(each) for each in zip(*found, strict=True)] for name, found in always.items()}
    return {
        "milliseconds": 1e3 * statistics.median(whole),
        "best": 1e3 * min(whole),
        "launches": sum(launches for _, launches, _ in every.values()),
        "rest": 1e3 * statistics.median(others),
        "ops": {
            name: {"calls": count, "launches": launches, "milliseconds": 1e3 * seconds}
            for name, (count, launches, seconds) in sorted(every.items(), key=lambda item: -item[1][2])
        },
    }


Call = tuple[float, int]
"""The seconds and the launches of a call."""

Calls = tuple[int, int, float]
"""The calls of an op in a step, their launches and seconds."""


def seconds_of(events: Iterator[Any]) -> float:
    """The seconds of the next step."""
    started = time.perf_counter()
    next(events)
    return time.perf_counter() - started


@contextmanager
def unpacked() -> Iterator[None]:
    """Within it, arrays and launches are numba-cuda's own."""
    from numbacnn.backends.cuda import memory
    from numbacnn.backends.cuda._jit import Kernel

    memory.arena.forget()
    memory.zeros.cache_clear()
    with (
        mock.patch.object(Kernel, "launch", Kernel.launch_by_numba),
        mock.patch.object(memory, "keeping_words", lambda array: array),
    ):
        yield
    memory.arena.forget()
    memory.zeros.cache_clear()


@contextmanager
def watched(ops: Any, calls: dict[str, list[Call]]) -> Iterator[None]:
    """Within it, calls of ops are noted, but not those that an op makes."""
    from numbacnn.backends.cuda._jit import Kernel

    launched = [0]
    launch = Kernel.launch

    def counting(self: Any, *args: Any) -> None:
        launched[0] += 1
        launch(self, *args)

    inside: list[str] = []

    def noting(name: str, op: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if inside:
                return op(*args, **kwargs)
            inside.append(name)
            before, started = launched[0], time.perf_counter()
            try:
                return op(*args, **kwargs)
            finally:
                calls[name].append((time.perf_counter() - started, launched[0] - before))
                inside.pop()

        return call

    names = [name for name in dir(ops) if not name.startswith("_") and name not in NO_OPS and callable(getattr(ops, name))]
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(Kernel, "launch", counting))
        for name in names:
            stack.enter_context(mock.patch.object(ops, name, noting(name, getattr(ops, name))))
        yield


NO_OPS = ("reuse_memory", "release_memory", "can_fuse", "describe", "held_memory")
"""Methods of a device that compute nothing."""


def show(found: dict[str, dict[str, Any]], options: argparse.Namespace) -> None:
    """A line for each way, and one for each op."""
    before, after = (found[way] for way in WAYS)
    print(f"{options.model}, batch {options.batch_size}: the host's part of a training step, median of {options.steps}")
    for way, figures in found.items():
        print(f"  {way:24} {figures['milliseconds']:7.3f} ms, {figures['launches']:g} launches; {figures['best']:.3f} ms at best")
    print(f"\n  {'op':24} {'calls':>5} {'launches':>8} {'numba-cuda':>11} {'packed':>9}")
    for name, op in before["ops"].items():
        packed = after["ops"][name]["milliseconds"]
        print(f"  {name:24} {op['calls']:5g} {op['launches']:8g} {op['milliseconds']:8.3f} ms {packed:6.3f} ms")
    print(f"  {'all the rest':39} {before['rest']:8.3f} ms {after['rest']:6.3f} ms")


if __name__ == "__main__":
    main()
