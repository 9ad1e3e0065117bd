"""numbacnn on a GPU beside PyTorch: the same work in turns, in one run; then the time of a step, kernel by kernel.

    python benchmarks/gpu.py --torch-python .venv-torch/bin/python --json gpu.json

The workers are those of ``peers.py``. Every ratio is taken within a round. numbacnn's time includes the conversion of uint8 images, while
PyTorch gets float32 images on the GPU. PyTorch runs eagerly (both layouts, with its default TF32 and without) and compiled with CUDA
graphs. numbacnn multiplies in float32, or as ``--precision`` says.

A kernel's time is the GPU's alone: the GPU sleeps while the host queues a step, and a step that the host did not queue in time is measured
again. Shares are relative to this GPU's measured peaks: a copy of a large array, and a large product by numbacnn's own kernel.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from kernels import WATCHED, operations
from peers import Bench, advice, describe_machine, installed, located, positive
from report import as_dict, duration, memory, print_result
from rich.console import Console
from rounds import Entry
from works import OURS, Work

from numbacnn.backends import get_ops, gpu
from numbacnn.backends.cuda import memory as device_memory
from numbacnn.backends.cuda._jit import SIMULATED, Kernel, cuda
from numbacnn.backends.precisions import FLOAT32, PRECISIONS
from numbacnn.datasets import Dataset
from numbacnn.models import PRESETS
from numbacnn.ops import Ops
from numbacnn.training import Settings, StepDone, clock, new_state, train

TORCH = ("channels_last", "channels_last, TF32 off", "default", "default, TF32 off", "compiled", "compiled, TF32 off")
BATCH_SIZES = (100, 1000, 8000)
COPIED = 2**28
PRODUCT = 4096
WARM_STEPS = 3
OPS = (*WATCHED, "dense_relu_backward")
"""The ops whose products are timed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse(arguments)
    ops = get_ops("cuda", precision=options.precision)
    device, console = gpu(), Console(soft_wrap=True, width=200 if not sys.stdout.isatty() else None)
    about = f"compute capability {device.compute_capability}, driver {device.driver}, {options.precision}"
    console.print(f"{device.name}, {about}", highlight=False)
    report: dict[str, Any] = {
        "gpu": device._asdict(), "precision": options.precision, "machine": describe_machine(), "works": [], "steps": [],
    }  # fmt: skip
    pythons = {OURS: sys.executable}
    if installed(torch := located(options.torch_python), ("torch", "numpy")):
        pythons["torch"] = torch
    else:
        console.print(f"PyTorch: not installed; {advice('torch')}", highlight=False)
    with tempfile.TemporaryDirectory(prefix="numbacnn-gpu-") as folder:
        bench = GpuBench(options, pythons, Path(folder), lambda text: print(text, file=sys.stderr))
        found = [] if options.dry else works(options)  # the turns are those of peers.py, which has its own --quick
        bench.export({work.model for work in found})
        for work in found:
            result = bench.measure(work)
            print_result(console, result)
            report["works"].append(as_dict(result))
    peaks = measure_peaks(ops, options.dry)
    console.print(f"\na copy reaches {peaks[0] / 1e9:,.1f} GB/s, a large product {peaks[1] / 1e9:,.1f} GFLOP/s")
    for batch_size in options.batch_sizes:
        step = profile_step(ops, options.model, batch_size, options.steps if batch_size <= 100 else max(1, options.steps // 5))
        show_step(console, step, *peaks)
        report["steps"].append(step)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cnn", choices=list(PRESETS))
    parser.add_argument("--rounds", type=positive, default=7)
    parser.add_argument("--precision", choices=PRECISIONS, default=FLOAT32, help="of numbacnn's products; default float32")
    parser.add_argument(
        "--steps", type=positive, default=100, help="steps of a turn at batch 100, a fifth at larger ones; default 100"
    )
    parser.add_argument("--batch-sizes", type=positive, nargs="+", default=list(BATCH_SIZES))
    parser.add_argument("--torch-python", metavar="PATH", default=sys.executable, help="the Python that has PyTorch")
    parser.add_argument("--no-compiled", dest="compiled", action="store_false", help="leave torch.compile out")
    parser.add_argument(
        "--dry", action="store_true", help="run as little as possible, for a check in the simulator; the figures mean nothing"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results to FILE, raw samples included")
    options = parser.parse_args(arguments)
    options.threads, options.quick, options.data_dir = 1, options.dry, None
    if options.dry:
        options.model, options.rounds, options.steps, options.batch_sizes = "xo", 1, 1, [2]
    return options


def works(options: argparse.Namespace) -> list[Work]:
    """A training step and an inference of each batch size."""
    return [
        Work(f"{options.model}-{kind}-{size}", f"{title} of {options.model}, batch {size}", kind, options.model, size,
             share=1 if size <= 100 else 0.2, images=10 * size)
        for size in options.batch_sizes
        for kind, title in (("step", "training step"), ("inference", "inference"))
    ]  # fmt: skip


class GpuBench(Bench):
    """The live rounds of ``peers.py``, on the GPU."""

    agreement = 1e-2
    """TF32 keeps ten bits of each factor."""

    def _candidates(self, work: Work) -> list[Entry]:
        ways = (
            [way for way in TORCH if self.options.compiled or not way.startswith("compiled")] if "torch" in self.pythons else []
        )
        return [Entry(OURS, "", 1), *(Entry("torch", way, 1) for way in ways)]

    def request(self, work: Work, entry: Entry, count: int) -> dict[str, Any]:
        return super().request(work, entry, count) | {"device": "cuda", "precision": self.options.precision}


# --- the time of a step ------------------------------------------------------------------------------------------------------------


def measure_peaks(ops: Ops, dry: bool) -> tuple[float, float]:
    """Bytes a second of a copy, read and written; floating-point operations a second of a product."""
    side = 8 if dry else PRODUCT
    source, target = (ops.asarray(np.zeros(64 if dry else COPIED, np.uint8)) for _ in range(2))
    x, kernel = (ops.asarray(np.ones((side, side), np.float32)) for _ in range(2))

    def multiply() -> None:
        with ops.reuse_memory():
            ops.dense(x, kernel, None)

    return 2 * source.size / seconds_of(lambda: target.copy_to_device(source)), 2 * side**3 / seconds_of(multiply)


def seconds_of(work: Callable[[], Any], rounds: int = 5) -> float:
    """The shortest time on the GPU. The first call, which may compile, does not count."""
    work()
    found = []
    for measured in ahead(rounds):
        with timed() as events:
            work()
        if measured():
            found.append(elapsed(*events))
    return min(found)


def _sleep(milliseconds: int) -> None:
    """A kernel that does nothing for so long."""
    for _ in range(milliseconds):
        cuda.nanosleep(1_000_000)


IDLE, LONGEST_IDLE = 10, 640
"""Milliseconds that the GPU sleeps before what is timed, at first and at most."""


def ahead(rounds: int) -> Iterator[Callable[[], bool]]:
    """Rounds in which the host is ahead of the GPU, so that events time the GPU's work and not the host's launches, which take longer.

    The GPU sleeps while the host queues a round. If it woke up before all was queued, the round is measured again, after a longer sleep.

    Yields:
        a function to call when all is queued: waits for the GPU, and says whether the host was ahead, that is, whether the round counts.

    Raises:
        SystemExit: the host cannot keep ahead. Figures that depend on the host are none of the GPU.
    """
    if SIMULATED:  # which has no time, and computes while the host waits
        yield from [lambda: True] * rounds
        return
    sleep, length = cuda.jit(_sleep), IDLE
    sleep[1, 1](1)  # compiled before it counts
    for _ in range(rounds):
        while True:
            cuda.synchronize()
            sleep[1, 1](length)
            woke = cuda.event()
            woke.record()
            found: list[bool] = []
            yield partial(_was_ahead, woke, found)
            if found.pop():
                break
            length *= 2
            if length > LONGEST_IDLE:
                raise SystemExit(
                    f"the host takes more than {LONGEST_IDLE} ms to queue what is timed: close other programs, and try again"
                )


def _was_ahead(woke: Any, found: list[bool]) -> bool:
    found.append(not woke.query())
    cuda.synchronize()
    return found[0]


@contextmanager
def timed() -> Iterator[tuple[Any, Any]]:
    """Two events on the GPU, before and after the launches within."""
    events = cuda.event(), cuda.event()
    events[0].record()
    yield events
    events[1].record()


def elapsed(begin: Any, end: Any) -> float:
    """Seconds between two events; at least a nanosecond."""
    end.synchronize()
    return max(begin.elapsed_time(end) / 1e3, 1e-9)


def profile_step(ops: Ops, model: str, batch_size: int, steps: int) -> dict[str, Any]:
    """The time of a step and of each kernel, and the memory in use."""
    before = gpu().memory_free
    events = steps_of_an_epoch(ops, model, batch_size, WARM_STEPS + 2 * steps + MOST_REPEATED)
    for _ in range(WARM_STEPS):
        next(events)
    cuda.synchronize()
    started = time.perf_counter()
    for _ in range(steps):
        next(events)
    cuda.synchronize()
    seconds = (time.perf_counter() - started) / steps
    launches, op_calls = taken_apart(ops, lambda: next(events), steps)
    kernels = [summary(name, found, steps) for name, found in launches.items()]
    products = [
        {"op": name, "shape": shape, "operations": work, "seconds": sum(found) / len(found)}
        for (name, shape, work), found in op_calls.items()
        if work
    ]
    return {
        "model": model,
        "batch_size": batch_size,
        "seconds": seconds,
        "busy": sum(kernel["seconds"] for kernel in kernels) / seconds,
        "kernels": sorted(kernels, key=lambda kernel: -kernel["seconds"]),
        "products": sorted(products, key=lambda product: -product["seconds"]),
        "memory": before - gpu().memory_free,
        "memory_of_step": device_memory.arena.size,
    }


MOST_REPEATED = (LONGEST_IDLE // IDLE).bit_length()
"""Rounds that ``ahead`` may repeat."""

Timed = tuple[float, int]
"""The seconds of a launch, and the bytes of its arrays."""

OpCall = tuple[str, str, float]
"""An op, its shape, and its floating-point operations."""


def taken_apart(ops: Ops, step: Callable[[], Any], steps: int) -> tuple[dict[str, list[Timed]], dict[OpCall, list[float]]]:
    """The launches of each kernel in ``steps`` steps, and the seconds of each call of an op: those of its kernels."""
    launches, op_calls = defaultdict(list), defaultdict(list)
    queued: list[tuple[str, Any, Any, int]] = []
    calls: list[tuple[OpCall, int, int]] = []
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(clock, "READ_EVERY", math.inf))  # the host would wait for the losses
        stack.enter_context(mock.patch.object(Kernel, "launch", watched(Kernel.launch, queued)))
        for name in OPS:
            stack.enter_context(mock.patch.object(ops, name, watched_op(name, getattr(ops, name), queued, calls)))
        for measured in ahead(steps):
            queued.clear()
            calls.clear()
            step()
            if not measured():
                continue
            seconds = [elapsed(begin, end) for _, begin, end, _ in queued]
            for (kernel, *_, size), each in zip(queued, seconds, strict=True):
                launches[kernel].append((each, size))
            for call, first, stop in calls:
                op_calls[call].append(sum(seconds[first:stop]))
    return launches, op_calls


def steps_of_an_epoch(ops: Ops, model: str, batch_size: int, count: int) -> Iterator[StepDone]:
    """``count`` training steps on noise, without an evaluation."""
    preset, generator = PRESETS[model], np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count * batch_size, *preset.graph.input_shape), np.uint8)
    names = tuple(map(str, range(preset.graph.output_shape[0])))
    labels = generator.integers(0, len(names), len(pixels)).astype(np.uint8)
    data = Dataset("noise", pixels, labels, pixels[:1], labels[:1], names, "random numbers")
    device_memory.arena.forget()
    settings = Settings(epochs=1, batch_size=batch_size, optimizer=preset.recipe.optimizer)
    yield from (event for event in train(new_state(preset.graph, settings, ops), data, ops) if isinstance(event, StepDone))


def watched(launch: Callable[..., None], queued: list[tuple[str, Any, Any, int]]) -> Callable[..., None]:
    """``Kernel.launch`` with an event before and after, which cost a microsecond or two; also notes the bytes of its arrays."""

    def watch(self: Kernel, blocks: Any, threads: Any, *args: Any) -> None:
        with timed() as events:
            launch(self, blocks, threads, *args)
        queued.append((self.name, *events, bytes_of(args)))

    return watch


def bytes_of(arguments: Any) -> int:
    """The bytes of all arrays among a kernel's arguments, those in tuples too: an optimiser's slots, say."""
    if isinstance(arguments, tuple):
        return sum(map(bytes_of, arguments))
    return 0 if isinstance(arguments, np.generic) else int(getattr(arguments, "nbytes", 0))


def watched_op(name: str, op: Callable[..., Any], queued: list[Any], calls: list[tuple[OpCall, int, int]]) -> Callable[..., Any]:
    """An op that notes its floating-point operations, and which of the launches are its own."""

    def watch(*args: Any, **kwargs: Any) -> Any:
        first = len(queued)
        result = op(*args, **kwargs)
        calls.append(((name, *operations(name, args, kwargs)), first, len(queued)))
        return result

    return watch


def summary(name: str, launches: list[Timed], steps: int) -> dict[str, Any]:
    """A kernel's share of a step: seconds on the GPU, and bytes, if each of its arrays is read or written once."""
    return {
        "kernel": name,
        "launches": len(launches) / steps,
        "seconds": sum(seconds for seconds, _ in launches) / steps,
        "bytes": sum(size for _, size in launches) / steps,
    }


def show_step(console: Console, step: dict[str, Any], bandwidth: float, highest: float) -> None:
    """A line for each kernel, and for each op that is a product."""
    held = f"{memory(step['memory'])} taken, {memory(step['memory_of_step'])} of it for the arrays of a step"
    console.print(
        f"\n{step['model']}, batch {step['batch_size']}: {duration(step['seconds'])} a step, the GPU busy for {step['busy']:.0%}; {held}"
    )
    for kernel in step["kernels"]:
        share = kernel["bytes"] / kernel["seconds"] / bandwidth
        console.print(
            f"  {kernel['kernel']:40} {kernel['launches']:5.1f} x {duration(kernel['seconds']):>10}  {share:6.1%} of a copy's bandwidth",
            highlight=False,
        )
    for product in step["products"]:
        share = product["operations"] / product["seconds"] / highest
        title = f"{product['op']} {product['shape']}"
        console.print(
            f"  {title:48} {duration(product['seconds']):>10}  {share:6.1%} of the large product's FLOP/s", highlight=False
        )


if __name__ == "__main__":
    main()
