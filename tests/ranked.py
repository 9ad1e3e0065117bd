"""Programs on several ranks of MPI, and commands in which one of the ranks fails.

``python ranked.py FAULT train ...`` is ``numbacnn train ...`` with a fault in the second step of the second epoch; see FAULTS.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
needs_mpi = pytest.mark.skipif(find_spec("mpi4py") is None or MPIEXEC is None, reason="mpi4py or an MPI is not installed")

COMMAND = (sys.executable, "-c", "from numbacnn_cli.entry import run; run()")
PATIENCE = 120.0  # seconds
SHORT = 1.0  # seconds that ranks wait for one that does not come, or does not fail


def on_ranks(ranks: int, *program: object, folder: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run a program on several ranks."""
    command = [str(MPIEXEC), "-n", str(ranks), *map(str, program)]
    return subprocess.run(command, cwd=folder, env=os.environ | environ, capture_output=True, text=True, timeout=PATIENCE)


def train_on_ranks(ranks: int, *args: object, folder: Path, fault: str = "") -> "subprocess.CompletedProcess[str]":
    """Run ``numbacnn train ARGS`` on several ranks."""
    program: Sequence[str] = (sys.executable, __file__, fault) if fault else COMMAND
    return on_ranks(ranks, *program, "train", *args, "--threads", 1, folder=folder)


def _memory(rank: int, state: Any) -> None:
    if rank == 1:
        raise MemoryError("Unable to allocate 3 GiB")


def _every_memory(rank: int, state: Any) -> None:
    raise MemoryError(f"rank {rank} has none left")


def _weights(rank: int, state: Any) -> None:
    if rank == 1:
        next(iter(state.parameters.values()))[...] += 1


def _hang(rank: int, state: Any) -> None:
    if rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)


def _kill(rank: int, state: Any) -> None:
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def _terminate(rank: int, state: Any) -> None:
    if rank == 1:
        os.kill(os.getpid(), signal.SIGTERM)


def _full_disk(rank: int, state: Any) -> None:
    from numbacnn.errors import CheckpointError

    if rank == 0:
        raise CheckpointError("checkpoint.safetensors: No space left on device")


FAULTS = {
    "memory": _memory, "every-memory": _every_memory, "weights": _weights, "hang": _hang, "kill": _kill, "terminate": _terminate,
    "full-disk": _full_disk,
}  # fmt: skip


def _main(fault: str) -> None:
    from numbacnn_cli.entry import run

    from numbacnn.engines import mpi
    from numbacnn.training import loop

    step = loop._train_step
    rank = int(os.environ["PMI_RANK"])
    mpi.PATIENCE = SHORT
    mpi.LONGEST = SHORT if fault == "hang" else mpi.LONGEST

    def faulty_step(state: Any, *args: Any) -> None:
        if (state.epoch, state.batch) == (1, 1):
            FAULTS[fault](rank, state)
        step(state, *args)

    loop._train_step = faulty_step
    run()


if __name__ == "__main__":
    _main(sys.argv.pop(1))
