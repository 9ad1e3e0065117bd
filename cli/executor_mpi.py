"""The ranks of an MPI job as an executor: rank 0 hands out the trainings, the others do them.

Beside ``numbacnn.engines.mpi`` this is the only file that imports ``mpi4py``.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from typing import Any

from numbacnn.errors import DeviceError
from numbacnn.quoting import counted

from .console import error
from .executors import Ended
from .signals import received
from .sweep_job import Job, work

LAUNCH = "mpiexec -n 3 numbacnn sweep --executor mpi ..."


@contextmanager
def ranks(threads: int) -> Iterator["MpiRanks | None"]:
    """The executor on rank 0. Every other rank works within it, to the end of the sweep, and gets None after that.

    Args:
        threads: of each training.

    Raises:
        DeviceError: mpi4py or an MPI is not installed, or there is no rank to do the work.
    """
    try:
        from mpi4py import MPI
        from mpi4py.futures import MPICommExecutor
    except (ImportError, RuntimeError) as missing:
        raise DeviceError(
            f"--executor mpi: expected mpi4py and an MPI, got {missing}. Install them: pip install 'numbacnn[mpi]'"
        ) from None
    world = MPI.COMM_WORLD
    if world.size < 2:
        raise DeviceError(
            f"--executor mpi: expected at least 2 ranks, got {world.size}. Start it by the launcher of the MPI that mpi4py uses, "
            f"as in '{LAUNCH}'"
        )
    with MPICommExecutor(world, root=0) as pool:
        yield None if pool is None else MpiRanks(pool, world, threads)


class MpiRanks:
    """All ranks but the first, each of which does one training at a time.

    Args:
        pool: of mpi4py.
        world: the communicator of all ranks.
        threads: of each training.
    """

    def __init__(self, pool: Any, world: Any, threads: int):
        self._pool, self._world, self._threads = pool, world, threads
        self._jobs: dict[Future[str | None], Job] = {}

    @property
    def description(self) -> str:
        return f"{counted(self._world.size - 1, 'MPI rank')} beside the first"

    def submit(self, jobs: Sequence[Job], said: Callable[[Job, str], object]) -> None:
        self._jobs = {self._pool.submit(_on_rank, job, self._threads): job for job in jobs}

    def ended(self) -> Iterator[Ended]:
        for future in as_completed(self._jobs):
            failure = future.exception()
            yield Ended(self._jobs[future], future.result() if failure is None else f"its rank failed: {failure}")

    def cancel(self) -> None:
        """A rank cannot be told to stop, so the job is ended as a whole: the trainings save their checkpoints as their ranks end."""
        for future in self._jobs:
            future.cancel()
        if not all(future.done() for future in self._jobs):
            if (number := received()) is None:  # nobody can say anything after this
                error(str(sys.exception()))
            self._world.Abort(1 if number is None else 128 + number)


def _on_rank(job: Job, threads: int) -> str | None:
    return work(job, threads, lambda: True)
