"""The time and arithmetic of each op in a training step or a prediction, as a percentage of the CPU's peak.

    python benchmarks/kernels.py --model cnn --steps 60
    python benchmarks/kernels.py --model cnn --inference --batch-size 1 --steps 500

The peak is that of multiply-adds in registers (``numbacnn.backends.cpu.peak``), one thread, times the number of threads. Arithmetic is
counted as for direct summation, so a transform can exceed the peak. `numbacnn bench kernels` compares the ways to compute one of the
convolutions.
"""

import argparse
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from numbacnn.backends import get_ops, using_threads
from numbacnn.datasets import DIGIT_NAMES, Dataset
from numbacnn.graph import without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.models import PRESETS
from numbacnn.network import to_device
from numbacnn.ops import Ops
from numbacnn.prediction import Predictor
from numbacnn.training import Settings, StepDone, new_state, train
from numbacnn.values import ConvBlock, FactoredGradient

WATCHED = ("conv2d_block", "conv2d_block_backward", "dense", "dense_backward", "update")


def operations(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, float]:
    """The shape that a call works on, for people, and the floating-point operations that direct summation needs."""
    block = next((argument for argument in args if isinstance(argument, ConvBlock)), None)
    passes = 1 + (name.endswith("_backward") and kwargs.get("needs_dx", True))
    if block is not None:
        kernel = args[1]
        count = len(args[0]) if hasattr(args[0], "shape") else len(args[2])
        return f"{kernel.shape}", 2.0 * passes * count * block.window[0].out * block.window[1].out * math.prod(kernel.shape)
    if name in ("dense_backward", "dense_relu_backward"):  # the update computes the weights' gradient
        return f"{args[1].shape}", 2.0 * (passes - 1) * len(args[0]) * args[1].size
    if name == "dense":
        return f"{args[1].shape}", 2.0 * len(args[0]) * math.prod(args[1].shape)
    factors = next((argument for argument in args if isinstance(argument, FactoredGradient)), None)
    return f"{args[0].shape}", 2.0 * len(factors.x) * args[0].size if factors else 0.0


def watch(ops: Ops, seconds: dict[tuple[str, str, float], list[float]]) -> None:
    """Record the time of every call of the watched ops."""
    for name in WATCHED:
        setattr(ops, name, _timed(name, getattr(ops, name), seconds))


def _timed(name: str, op: Callable[..., Any], seconds: dict[tuple[str, str, float], list[float]]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = op(*args, **kwargs)
        seconds[(name, *operations(name, args, kwargs))].append(time.perf_counter() - start)
        return result

    return call


def training(model: str, batch_size: int, steps: int, ops: Ops) -> Callable[[], list[float]]:
    """A function that takes steps and returns the seconds of each."""
    preset, generator = PRESETS[model], np.random.default_rng(0)
    images = generator.integers(0, 256, (batch_size * steps, *preset.graph.input_shape), np.uint8)
    labels = generator.integers(0, 10, len(images)).astype(np.uint8)
    data = Dataset("noise", images, labels, images[:1], labels[:1], DIGIT_NAMES, "random numbers")
    state = new_state(preset.graph, Settings(epochs=1, batch_size=batch_size, optimizer=preset.recipe.optimizer), ops)

    def measure() -> list[float]:
        seconds, since = [], time.perf_counter()
        for event in train(state, data, ops):
            if isinstance(event, StepDone):
                seconds.append(time.perf_counter() - since)
            since = time.perf_counter()
        return seconds

    return measure


def inference(model: str, batch_size: int, steps: int, ops: Ops) -> Callable[[], list[float]]:
    """A function that predicts the same images repeatedly and returns the seconds of each prediction."""
    graph = without_softmax(PRESETS[model].graph)
    images = np.random.default_rng(0).integers(0, 256, (batch_size, *graph.input_shape), np.uint8)
    predictor = Predictor(graph, ops, to_device(ops, initial_parameters(graph, 0)))

    def measure() -> list[float]:
        seconds = []
        for _ in range(steps):
            start = time.perf_counter()
            predictor(images)
            seconds.append(time.perf_counter() - start)
        return seconds

    return measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cnn", choices=list(PRESETS))
    parser.add_argument("--inference", action="store_true", help="predict, rather than train")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    ops, threads = get_ops("cpu", given.threads), numba.get_num_threads()
    measure = (inference if given.inference else training)(given.model, given.batch_size, given.steps, ops)
    seconds: dict[tuple[str, str, float], list[float]] = defaultdict(list)
    watch(ops, seconds)
    steps = measure()
    from numbacnn.backends.cpu.peak import peak_rate  # late: the import settles the number of threads

    with using_threads(1):
        highest = peak_rate() * threads
    print(f"multiply-adds alone: {highest / threads / 1e9:.0f} GFLOP/s a thread, {highest / 1e9:.0f} on {threads} thread(s)")
    rest = 1e3 * statistics.median(steps[3:])
    what = "prediction" if given.inference else "step"
    print(f"{given.model}, batch {given.batch_size}: {rest:.3g} ms a {what}, {1e3 * min(steps):.3g} at best; medians, and best")
    for (name, on, work), times in sorted(seconds.items(), key=lambda item: -sum(item[1])):
        middle, best = (1e3 * value for value in (statistics.median(times[3:] or times), min(times)))
        share = f"{work / 1e9:6.3f} GFLOP {100 * work / (best / 1e3) / highest:5.0f} % of the peak at best" if work else ""
        if len(times) >= len(steps):
            rest -= middle * len(times) / len(steps)
            print(f"  {name:22} {on:18} {middle:8.3f} {best:8.3f} ms {share}")
    print(f"  {'all the rest':41} {rest:8.3f} ms")


if __name__ == "__main__":
    main()
