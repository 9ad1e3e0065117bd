"""Processes of an MPI job: MPI moves bytes from one to another, and adds nothing.

Every wait looks whether it is over, and lets other threads and processes run in between: MPI itself would keep a processor busy for as
long as the slowest process takes, and no signal would be seen.
"""

import contextlib
import os
import pickle
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from numbacnn.engines.launch import Launch
from numbacnn.errors import DeviceError
from numbacnn.ranks import Ranks
from numbacnn.values import Array

INSTALL = "pip install 'numbacnn[mpi]'"

SPIN = 0.002
"""Seconds of a wait in which it is looked all the time whether it is over; after that, the process sleeps in between."""

NAP, LONG_NAP = 0.0001, 0.005
"""Seconds of sleep in a step, and where others may take seconds: to read data, to compile."""

PATIENCE = 2.0
"""Seconds in which the others may fail with the same error as this process."""

_FAILURE = 7


class MpiRanks(Ranks):
    """The ranks of an MPI job. All of them make the same calls in the same order, but for ``fail``.

    Args:
        launch: what the environment says.

    Raises:
        DeviceError: mpi4py or an MPI is missing, or MPI knows of another number of ranks.
    """

    def __init__(self, launch: Launch):
        os.environ.setdefault("MPIR_CVAR_SUPPRESS_ABORT_MESSAGE", "1")  # `fail` has said why
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as missing:
            raise DeviceError(
                f"{launch.variable}={launch.size}: expected mpi4py and an MPI to train on {launch.size} ranks, got {missing}. "
                f"Install them on every host: {INSTALL}"
            ) from None
        world = MPI.COMM_WORLD
        if world.size != launch.size:
            raise DeviceError(
                f"{launch.variable}={launch.size}: expected as many ranks of {_library(MPI)}, which mpi4py uses, got {world.size}. "
                f"Start them by the mpiexec of that MPI, or unset {launch.variable} to train in this process alone"
            )
        super().__init__(world.rank, world.size)
        self._mpi = MPI
        self._world = world.Dup()
        self._failures = world.Dup()  # no message of the others is mistaken for one
        self.host = socket.gethostname()
        local = world.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = local.rank, local.size
        local.Free()

    # --- of a step ---------------------------------------------------------------------------------------------------------------

    def all_gather(self, values: Array, counts: Sequence[int]) -> Array:
        gathered = np.empty(sum(counts), values.dtype)
        self._wait([self._world.Iallgatherv(np.ascontiguousarray(values), [gathered, list(counts)])])
        return gathered

    def all_to_all(self, parts: Sequence[Array], counts: Sequence[int]) -> list[Array]:
        dtype = parts[self.rank].dtype
        received = [parts[r] if r == self.rank else np.empty(count, dtype) for r, count in enumerate(counts)]
        requests = []
        for distance in range(1, self.size):  # each begins with its neighbour: all links are busy, none with two
            source, target = (self.rank - distance) % self.size, (self.rank + distance) % self.size
            if counts[source]:
                requests.append(self._world.Irecv(received[source], source))
            if parts[target].size:
                requests.append(self._world.Isend(np.ascontiguousarray(parts[target]), target))
        self._wait(requests)
        return received

    # --- of the beginning and the end ---------------------------------------------------------------------------------------------

    def broadcast(self, value: Any = None) -> Any:
        """A value of the first rank, on all of them; the others may wait for long. Bytes of arrays are not pickled."""
        self.meet()
        buffers: list[Any] = []
        text = np.frombuffer(pickle.dumps(value, 5, buffer_callback=buffers.append) if self.rank == 0 else b"", np.uint8)
        blocks = [text, *(np.frombuffer(buffer.raw(), np.uint8) for buffer in buffers)]
        sizes = np.array([len(block) for block in blocks], np.int64)
        count = np.array([len(sizes)], np.int64)
        self._wait([self._world.Ibcast(count)])
        if self.rank:
            sizes = np.empty(count[0], np.int64)
        self._wait([self._world.Ibcast(sizes)])
        if self.rank:
            blocks = [np.empty(size, np.uint8) for size in sizes]
        for block in blocks:
            if block.size:
                self._wait([self._world.Ibcast(block)])
        return value if self.rank == 0 else pickle.loads(blocks[0].data, buffers=blocks[1:])

    def gather_objects(self, value: Any) -> list[Any]:
        """The value of every rank, in order, on all of them."""
        text = np.frombuffer(pickle.dumps(value), np.uint8)
        sizes = self.all_gather(np.array([len(text)], np.int64), [1] * self.size)
        joined = self.all_gather(text, sizes.tolist())
        return [pickle.loads(each.data) for each in np.split(joined, np.cumsum(sizes)[:-1])]

    def meet(self) -> None:
        """Wait, for long perhaps, until all ranks are here."""
        self._wait([self._world.Ibarrier()], LONG_NAP)

    def largest(self, number: int) -> int:
        """The largest of the ranks' numbers."""
        return int(self.all_gather(np.array([number], np.int64), [1] * self.size).max())

    # --- the end ------------------------------------------------------------------------------------------------------------------

    def name(self, rank: int, host: str) -> str:
        """A rank, in words."""
        return f"rank {rank} of {self.size} on {host}"

    def fail(self, text: str, say: Callable[[str], object]) -> None:
        """Return if all ranks fail with the same words. Otherwise the others wait for this one for ever, and all are ended.

        Args:
            say: tells the user, by the first of the ranks that have failed.
        """
        mine = pickle.dumps((self.host, text))
        sent = [self._failures.Isend(mine, other, _FAILURE) for other in range(self.size) if other != self.rank]
        texts = {self.rank: text}
        end = time.monotonic() + PATIENCE
        while len(texts) < self.size and time.monotonic() < end:
            status = self._mpi.Status()
            if not self._failures.Iprobe(self._mpi.ANY_SOURCE, _FAILURE, status):
                time.sleep(LONG_NAP)
                continue
            message = bytearray(status.Get_count(self._mpi.BYTE))
            self._failures.Recv(message, status.Get_source(), _FAILURE)
            texts[status.Get_source()] = pickle.loads(message)[1]
        if len(texts) == self.size and len(set(texts.values())) == 1:
            self._wait(sent)
            return
        if self.rank == min(texts):
            say(f"{self.name(self.rank, self.host)}: {text}")
            time.sleep(LONG_NAP)  # for the launcher to pass it on
        else:
            time.sleep(PATIENCE)  # that one speaks
        self._world.Abort(1)

    def finish(self) -> None:
        """Leave the job, once all ranks have come to its end."""
        self.meet()
        self._mpi.Finalize()

    def _wait(self, requests: Sequence[Any], nap: float = NAP) -> None:
        done = self._mpi.Request.Testall
        awake = time.perf_counter() + SPIN
        while not done(requests):
            if time.perf_counter() > awake:
                time.sleep(nap)
            elif hasattr(os, "sched_yield"):
                os.sched_yield()


def _library(mpi: Any) -> str:
    """MPI's name for itself, without the many lines that follow."""
    with contextlib.suppress(Exception):
        words = " ".join(mpi.Get_library_version().replace("\0", "").split())
        return words.split(",")[0][:60].replace("Version:", "").strip()
    return "MPI"
