"""What the GPU kernels of a training step are compiled to, without a GPU: counts of instructions, registers and blocks.

    python benchmarks/gpu_code.py
    python benchmarks/gpu_code.py --model fast --batch-size 1000 --gpu "A100"

Kernels and their types are those that a step launches (``tests/cuda_recorder.py``). PTX shows 64-bit divisions, which
a kernel leaves aside at run time where 32 bits suffice, and double precision; the linker's report has registers, and what did not fit into
them. "busy" is the share of the multiprocessors' time that a grid fills, if each block takes equally long.
"""

import argparse
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from cuda_compiler import OLDEST, _link, _machine_code, cuda, why_not
from cuda_recorder import Launch, recording

from numbacnn.datasets import Dataset
from numbacnn.models import PRESETS
from numbacnn.training import Settings, new_state, train

MULTIPROCESSORS = {"H100": 132, "H200": 132, "A100": 108, "L4": 58, "T4": 40}
ARCHITECTURE = "sm_90a"
LINE = "{:36} {:>16} {:>7} {:>5} {:>6} {:>5} {:>5} {:>6} {:>5} {:>4}"


class Count(NamedTuple):
    """Of a kernel's code.

    Args:
        instructions: of PTX.
        long_divisions: divisions and remainders of 64 bits.
        registers, shared, spilled: see ``MachineCode``; spilled includes local memory.
        double: instructions of double precision.
    """

    instructions: int
    long_divisions: int
    registers: int
    shared: int
    spilled: int
    double: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Record a step, compile, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cnn", choices=list(PRESETS))
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--gpu", default="H100", choices=list(MULTIPROCESSORS))
    options = parser.parse_args(arguments)
    if reason := why_not():
        raise SystemExit(reason)
    launches = launches_of(options.model, options.batch_size)
    multiprocessors = MULTIPROCESSORS[options.gpu]
    print(f"{options.model}, batch {options.batch_size}, {ARCHITECTURE}; an {options.gpu} has {multiprocessors} multiprocessors")
    print(LINE.format("kernel", "grid", "threads", "busy", "PTX", "div64", "regs", "shared", "spill", "f64"))
    counts: dict[Any, Count] = {}
    for launch in launches:
        key = launch.kernel, launch.types
        if key not in counts:
            counts[key] = count(*key)
        each, blocks = counts[key], math.prod(launch.blocks)
        grid = " x ".join(map(str, launch.blocks))
        code = f"{each.instructions:,}", each.long_divisions, each.registers, f"{each.shared:,}", each.spilled, each.double
        print(LINE.format(launch.kernel.name, grid, launch.block_size, f"{busy(blocks, multiprocessors):.0%}", *code))
    total = [
        sum(getattr(each, name) for each in counts.values()) for name in ("instructions", "long_divisions", "spilled", "double")
    ]
    print(f"{len(launches)} grids of {len(counts)} kernels: {total[0]:,} instructions, {total[1]} divisions of 64 bits, {total[2]} bytes "
          f"spilled, {total[3]} instructions of double precision")  # fmt: skip


def launches_of(model: str, batch_size: int) -> list[Launch]:
    """The different launches of a training step, in the order of the kernels' names."""
    preset = PRESETS[model]
    pixels = np.zeros((batch_size, *preset.graph.input_shape), np.uint8)
    labels, names = np.zeros(batch_size, np.uint8), tuple(map(str, range(preset.graph.output_shape[0])))
    data = Dataset("zeros", pixels, labels, pixels[:1], labels[:1], names, "nowhere")
    settings = Settings(epochs=1, batch_size=batch_size, optimizer=preset.recipe.optimizer)
    with recording() as (ops, found):
        events = train(new_state(preset.graph, settings, ops), data, ops)
        next(iter(events))  # the evaluation after the epoch has grids of its own
        return sorted(found, key=lambda launch: (launch.kernel.name, launch.blocks))


def busy(blocks: int, multiprocessors: int) -> float:
    """The share of the time until the last block is done in which multiprocessors have one, if each takes the blocks of its turn."""
    return blocks / (math.ceil(blocks / multiprocessors) * multiprocessors)


def count(kernel: Any, types: tuple[Any, ...]) -> Count:
    """Compile a kernel to PTX and to machine code."""
    from types import SimpleNamespace
    from unittest import mock

    device = SimpleNamespace(compute_capability=OLDEST)
    with mock.patch("numba.cuda.dispatcher.get_current_device", return_value=device):
        code, _ = cuda.compile(kernel.function, types, cc=OLDEST, output="ltoir", device=False, abi="numba")
    ptx = _link(code, ARCHITECTURE, "-ptx")[0].decode()
    lines = [line for line in ptx.splitlines() if re.match(r"\s+(@!?%p\d+ )?[a-z][a-z0-9_.]* ?.*;", line)]
    machine = _machine_code(_link(code, ARCHITECTURE)[1], [line for line in lines if ".f64" in line])
    return Count(
        len(lines),
        sum(bool(re.search(r"\b(div|rem)\.[su]64", line)) for line in lines),
        machine.registers,
        machine.shared,
        machine.spilled + machine.stack,
        len(machine.double),
    )


if __name__ == "__main__":
    main()
