"""Processes of an MPI job: MPI moves bytes from one to another, and adds nothing.

Every wait looks whether it is over, and lets other threads and processes run in between: MPI itself would keep a processor busy for as
long as the slowest process takes, and no signal would be seen.
"""

import contextlib
import ctypes
import math
import os
import pickle
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numbacnn.engines.board import LEAST, Board, has_room
from numbacnn.engines.launch import TO_BE_HEARD, Launch
from numbacnn.engines.shared import SharedParameters
from numbacnn.errors import DeviceError
from numbacnn.ranks import Ranks
from numbacnn.values import Array

INSTALL = "pip install 'numbacnn[mpi]'"

SPIN = 0.002
"""Seconds of a wait in which it is looked all the time whether it is over; after that, the process sleeps in between."""

NAP, LONG_NAP = 0.0001, 0.005
"""Seconds of sleep in a step, and where others may take seconds: to read data, to compile."""

PATIENCE = 2.0
"""Seconds in which the others may fail with the same error as this process, or notice that it has failed."""

LOOK = 0.05
"""Seconds of a wait between two looks whether another rank has failed."""

LONGEST = 300.0
"""Seconds that the others wait for a rank in the middle of a training: far more than the slowest disk takes for a checkpoint."""

OPEN_MPI = "Open MPI"

MALLOC = ((-3, 2**30), (-1, 2**30), (-2, 2**26))
"""Parameters of glibc's ``mallopt``: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD, in bytes."""

WAITING, FAILED = b"w", b"f"
"""The beginnings of messages of ranks that wait for another in vain, and of ranks that have failed."""


class Failure(NamedTuple):
    """How the job has failed.

    Args:
        code: the exit code of all ranks: that of the first one that has failed.
        is_told: whether the user has been told.
    """

    code: int
    is_told: bool


class NoAnswerError(DeviceError):
    """A rank does not come to where the others wait for it."""


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
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "suspicious MPI", RuntimeWarning)  # the error below says it
                import mpi4py

                mpi4py.rc.initialize = False  # with the launcher of another MPI, some end the process
                from mpi4py import MPI
        except (ImportError, RuntimeError) as missing:
            raise DeviceError(
                f"{launch.variable}={launch.size}: expected mpi4py and an MPI to train on {launch.size} ranks, got {missing}. "
                f"Install them on every host: {INSTALL}"
            ) from None
        _keep_memory()
        vendor = MPI.get_vendor()[0]
        is_of_another = launch.is_open_mpi not in (None, vendor == OPEN_MPI)
        if not is_of_another:
            MPI.Init_thread()
        if is_of_another or MPI.COMM_WORLD.size != launch.size:
            raise DeviceError(
                f"{launch.variable}={launch.size}: expected processes that {vendor} has started, as mpi4py uses it, got those of another "
                f"launcher, which do not find each other. Start them by the mpiexec of {vendor}, or unset {launch.variable} to train "
                "in this process alone"
            )
        world = MPI.COMM_WORLD
        super().__init__(world.rank, world.size)
        self._mpi = MPI
        self._world = world.Dup()
        self._failures = world.Dup()  # no message of the others is mistaken for one
        self.host = socket.gethostname()
        local = world.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = local.rank, local.size
        self._shared = SharedParameters(MPI, local, lambda: self._wait([local.Ibarrier()]))
        self._board: Board | None = None
        self.hosts: list[str] = self.gather_objects(self.host)
        if self.local_size == self.size and not self.largest(not has_room(self.size)):
            self._board = Board(MPI, self._world, lambda: self._wait([self._world.Ibarrier()]))

    # --- of a step ---------------------------------------------------------------------------------------------------------------

    def all_gather(self, values: Array, counts: Sequence[int]) -> Array:
        if self._board and max(counts) * values.dtype.itemsize >= LEAST:
            return self._board.all_gather(values, counts)
        gathered = np.empty(sum(counts), values.dtype)
        self._wait([self._world.Iallgatherv(np.ascontiguousarray(values), [gathered, list(counts)])])
        return gathered

    def all_to_all(self, parts: Sequence[Sequence[Array]], counts: Sequence[int], most: int) -> list[Array]:
        if self._board:
            return self._board.all_to_all(parts, counts, most)
        received = [np.empty(count, parts[self.rank][0].dtype) for count in counts]
        requests = []
        for distance in range(1, self.size):  # each begins with its neighbour: all links are busy, none with two
            source, target = (self.rank - distance) % self.size, (self.rank + distance) % self.size
            part = self.join([array.reshape(-1) for array in parts[target]])
            if counts[source]:
                requests.append(self._world.Irecv(received[source], source))
            if part.size:
                requests.append(self._world.Isend(part, target))
        self._wait(requests)
        return received

    @staticmethod
    def join(arrays: Sequence[Array]) -> Array:
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    def rows(self, parameter: Array) -> slice:
        return self._shared.rows(parameter)

    @contextlib.contextmanager
    def updates(self) -> Iterator[None]:
        self._shared.meet()
        yield
        self._shared.meet()

    # --- of the beginning and the end ---------------------------------------------------------------------------------------------

    def share_large(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Parameters, or arrays of the optimiser, that are equal on all ranks, with large ones in memory that a host's ranks share.

        They are valid until ``finish``.
        """
        return {name: self._shared.place(array) for name, array in arrays.items()}

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
        self._wait([self._world.Ibarrier()], LONG_NAP, math.inf)

    def largest(self, number: int) -> int:
        """The largest of the ranks' numbers."""
        return int(self.all_gather(np.array([number], np.int64), [1] * self.size).max())

    # --- the end ------------------------------------------------------------------------------------------------------------------

    def name(self, rank: int) -> str:
        """A rank, in words."""
        return f"rank {rank} of {self.size} on {self.hosts[rank]}"

    def fail(self, error: BaseException, text: str, code: int, say: Callable[[str], object]) -> Failure:
        """End the job, as this rank has failed. Ranks that wait for it notice, and come here too; those that do not come are killed.

        Args:
            error: what has happened on this rank.
            text: in words.
            code: with which this process is to end.
            say: tells the user which rank has failed; by the first one that has, unless all have with the same words.
        """
        message = (WAITING if isinstance(error, NoAnswerError) else FAILED) + bytes([code]) + text.encode()
        sent = [self._failures.Isend(message, other) for other in range(self.size) if other != self.rank]
        messages = {self.rank: message} | self._failures_of_others(self.size - 1)
        silent = [self.name(rank) for rank in range(self.size) if rank not in messages]
        is_common = not silent and len(set(messages.values())) == 1
        speaker = min(messages, key=lambda rank: (messages[rank].startswith(WAITING), rank))
        if self.rank == speaker and not is_common:
            say(f"{', '.join(silent) if message.startswith(WAITING) else self.name(self.rank)}: {text}")
        if silent:
            time.sleep(TO_BE_HEARD if self.rank == speaker else PATIENCE)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MPI would say so too, in its own words
            self._world.Abort(1)
        in_time = threading.Timer(PATIENCE, os._exit, (1,))  # MPI need not end where an exchange has not
        in_time.daemon = True
        in_time.start()
        self._wait([*sent, self._failures.Ibarrier()], is_failing=True)
        self._mpi.Finalize()
        in_time.cancel()
        return Failure(messages[speaker][1], not is_common)

    def _failures_of_others(self, most: int) -> dict[int, bytes]:
        """What others say of their failures, by rank, within PATIENCE."""
        texts: dict[int, bytes] = {}
        end = time.monotonic() + PATIENCE
        status = self._mpi.Status()
        while len(texts) < most and time.monotonic() < end:
            if self._failures.Iprobe(status=status):
                message = bytearray(status.Get_count(self._mpi.BYTE))
                self._failures.Recv(message, status.Get_source())
                texts[status.Get_source()] = bytes(message)
            else:
                time.sleep(LONG_NAP)
        return texts

    def finish(self) -> None:
        """Leave the job, once all ranks have come to its end."""
        self.meet()
        if self._board:
            self._board.close()
        self._shared.close()
        self._mpi.Finalize()

    def _wait(self, requests: Sequence[Any], nap: float = NAP, longest: float | None = None, is_failing: bool = False) -> None:
        begin, longest = time.perf_counter(), LONGEST if longest is None else longest
        looked = 0.0
        while not self._are_done(requests):
            waited = time.perf_counter() - begin
            if waited < SPIN:
                if hasattr(os, "sched_yield"):
                    os.sched_yield()
                continue
            time.sleep(nap)
            if waited > longest or (waited > looked + LOOK and not is_failing and self._failures.Iprobe()):
                raise NoAnswerError(
                    f"expected an answer in {longest:.0f} s, got none. Look for what it waits for, or leave its host out"
                )
            looked = waited if waited > looked + LOOK else looked

    def _are_done(self, requests: Sequence[Any]) -> bool:
        try:
            return bool(self._mpi.Request.Testall(requests))
        except self._mpi.Exception as error:  # where a host is lost, say
            raise NoAnswerError(f"MPI: {error}") from None


def _keep_memory() -> None:
    """Let glibc keep memory that is freed: a step exchanges arrays of megabytes, and fresh pages cost more than the exchange itself."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in MALLOC:
            mallopt(parameter, value)


def leave(code: int) -> None:
    """End this process without waiting for Python's own end. MPI tells the launcher that all is well at the end of C's."""
    if os.name == "posix":
        ctypes.PyDLL(None).exit(code)
    os._exit(code)
