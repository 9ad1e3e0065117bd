"""Where the trainings of a sweep are done: the contract, and the processes of this machine, which are the default.

Others are in ``executor_dask.py`` and ``executor_mpi.py``.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from .signals import noted_signals
from .sweep_job import PATIENCE, Job, work


class Ended(NamedTuple):
    """A job that has ended.

    Args:
        reason: why it failed; None if it is done.
    """

    job: Job
    reason: str | None


class Executor(Protocol):
    """Does jobs. A job that fails, or whose process is killed, is a result like any other."""

    @property
    def description(self) -> str:
        """Who works, in words: ``2 processes of 1 thread``."""

    def submit(self, jobs: Sequence[Job], said: Callable[[Job, str], object]) -> None:
        """Begin with all of them, in their order; once. ``said`` is told what a training says, from any thread, if that can be known."""

    def ended(self) -> Iterator[Ended]:
        """The jobs as they end, in any order."""

    def cancel(self) -> None:
        """End the trainings under way, which save their checkpoints, and forget the others. Called at the end of every sweep."""


class LocalProcesses:
    """Processes of this machine.

    Args:
        workers: trainings at the same time.
        threads: of each.
    """

    def __init__(self, workers: int, threads: int):
        self._workers, self._threads = workers, threads
        self._waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._is_cancelled = threading.Event()
        self._crew: list[threading.Thread] = []
        self._count = 0

    @property
    def description(self) -> str:
        processes = "1 process" if self._workers == 1 else f"{self._workers} processes"
        return f"{processes} of {self._threads} {'thread' if self._threads == 1 else 'threads'}"

    def submit(self, jobs: Sequence[Job], said: Callable[[Job, str], object]) -> None:
        self._count = len(jobs)
        for job in jobs:
            self._waiting.put(job)
        for _ in range(min(self._workers, len(jobs))):
            self._crew.append(threading.Thread(target=self._serve, args=(said,), daemon=True))
            self._crew[-1].start()

    def ended(self) -> Iterator[Ended]:
        while self._count:
            try:
                ended = self._done.get(timeout=1)  # without a limit, Windows lets no signal through
            except queue.Empty:
                continue
            self._count -= 1
            yield ended

    def cancel(self) -> None:
        self._is_cancelled.set()
        with noted_signals():  # there is time for the checkpoints; after a second signal the processes end with this one
            for thread in self._crew:
                thread.join(2 * PATIENCE)

    def _serve(self, said: Callable[[Job, str], object]) -> None:
        while not self._is_cancelled.is_set():
            try:
                job = self._waiting.get_nowait()
            except queue.Empty:
                return
            try:
                reason = work(job, self._threads, self._is_wanted, partial(said, job))
            except Exception as error:  # the sweep would wait for it for ever
                reason = f"{type(error).__name__}: {error}"
            self._done.put(Ended(job, reason))

    def _is_wanted(self) -> bool:
        return not self._is_cancelled.is_set()
