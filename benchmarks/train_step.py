"""One training step of the lecture's CNN, here and in PyTorch, in turns, in one run: medians and their ratio.

    pip install -e '.[bench]'
    python benchmarks/train_step.py --rounds 5

Each framework runs in a process of its own (two thread pools in one process disturb each other), with the same number of threads,
batch 100, float32, Adam. The machine's speed drifts, so processes alternate and the ratio is taken round by round.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

BATCH = 100
WARM_UP, STEPS = 5, 30


def numbacnn_step(threads: int) -> float:
    """Median seconds of a step, loss and update included."""
    import numpy as np

    from numbacnn.backends import get_ops
    from numbacnn.datasets import DIGIT_NAMES, Dataset
    from numbacnn.models import PRESETS
    from numbacnn.training import Settings, StepDone, new_state, train

    ops = get_ops("cpu", threads)
    count = BATCH * (WARM_UP + STEPS + 1)
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28, 1), np.uint8)
    labels = (np.arange(count) % 10).astype(np.uint8)
    dataset = Dataset("noise", images, labels, images[:BATCH], labels[:BATCH], DIGIT_NAMES, "random numbers")
    state = new_state(PRESETS["cnn"].graph, Settings(epochs=1, batch_size=BATCH), ops)
    stamps = [time.perf_counter() for event in train(state, dataset, ops) if isinstance(event, StepDone)]
    return median_step(stamps)


def torch_step(threads: int) -> float:
    """The same in PyTorch, channels_last."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 1024), nn.ReLU(), nn.Linear(1024, 10),
    ).to(memory_format=torch.channels_last)  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters())
    images = torch.rand(BATCH, 1, 28, 28).to(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % 10
    stamps = []
    for _ in range(WARM_UP + STEPS + 1):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
        stamps.append(time.perf_counter())
    return median_step(stamps)


def median_step(stamps: list[float]) -> float:
    """The median time between stamps, the first few left out."""
    return statistics.median(b - a for a, b in zip(stamps[WARM_UP:], stamps[WARM_UP + 1 :], strict=False))


def in_process(framework: str, python: str, threads: int) -> float:
    """Measure one framework in a process of its own."""
    done = subprocess.run(
        [python, __file__, "--measure", framework, "--threads", str(threads)], capture_output=True, text=True, check=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
    )  # fmt: skip
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch-python", default=sys.executable, help="the Python that PyTorch is installed for")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--measure", choices=["numbacnn", "torch"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print({"numbacnn": numbacnn_step, "torch": torch_step}[arguments.measure](arguments.threads))
        return
    ours, theirs = [], []
    for _ in range(arguments.rounds):
        ours.append(in_process("numbacnn", sys.executable, arguments.threads))
        theirs.append(in_process("torch", arguments.torch_python, arguments.threads))
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    if arguments.json:
        print(json.dumps({"threads": arguments.threads, "numbacnn": ours, "torch_channels_last": theirs, "ratio": ratios}))
        return
    print(f"lecture's CNN, one training step, batch {BATCH}, {arguments.threads} thread(s), {arguments.rounds} rounds")
    for name, times in (("numbacnn", ours), ("torch, channels_last", theirs)):
        print(f"{name:<22}{statistics.median(times) * 1e3:8.1f} ms   ({min(times) * 1e3:.1f} ... {max(times) * 1e3:.1f})")
    print(f"{'ratio':<22}{statistics.median(ratios):8.2f}      ({min(ratios):.2f} ... {max(ratios):.2f})")


if __name__ == "__main__":
    main()
