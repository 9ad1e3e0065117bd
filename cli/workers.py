"""Processes that work for this one and never outlive it, whatever ends it: an error, a signal, or SIGKILL.

Imports nothing that takes time: a process that has just started begins to watch its parent before it imports what it works with.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import cast

from .signals import before_leaving, held_signals

THREADS_OF_PRODUCTS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Environment variables that NumPy's products of matrices take their number of threads from."""

ENVIRONMENT = dict.fromkeys(THREADS_OF_PRODUCTS, "1") | {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25), "MALLOC_TRIM_THRESHOLD_": str(1 << 26),
}  # fmt: skip
"""Environment variables of processes that work, unless the user has set them.

NumPy's products of matrices take one thread: others poll for work, and take the processors from processes that have some. glibc keeps
memory of up to 64 MiB for the next array: the system would clear it for each one.
"""

OF_THE_TERMINAL = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]


Work = Callable[[Callable[[int], None]], int]
"""Counts something, and may tell the count so far by the function that it is given."""


def work_in_processes(
    work: Sequence[Work], processes: int, so_far: Callable[[int, int], object] = lambda index, count: None
) -> int:
    """Call functions, which can be pickled, in several processes, in the order given.

    Args:
        so_far: told of the index of a function, and its count so far.

    A function that raises, or whose process is killed, counts nothing: what it was to prepare is done by whoever needs it.

    Returns:
        the sum of their results.

    Raises:
        OSError: no process can be started.
    """
    waiting, total = list(enumerate(work)), 0
    with started(min(processes, len(waiting)), _serve) as pipes:
        for pipe in pipes:
            _send(pipe, *waiting.pop(0))
        busy = list(pipes)
        while busy:
            for pipe in cast("list[Connection]", connection.wait(busy)):
                try:
                    index, count, is_done = pipe.recv()
                except (EOFError, OSError):  # it was killed, for want of memory perhaps
                    busy.remove(pipe)
                    continue
                so_far(index, count)
                if not is_done:
                    continue
                total += count
                if waiting:
                    _send(pipe, *waiting.pop(0))
                else:
                    busy.remove(pipe)
    return total


def _send(pipe: Connection, index: int, work: Work) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # seen when its answer is read
        pipe.send((index, work))


@contextmanager
def started(count: int, serve: Callable[[Connection], None]) -> Iterator[list[Connection]]:
    """Processes that wait for work, as this side of their pipes; they are killed at the end.

    Args:
        serve: the life of each, given its side of the pipe; it can be pickled.

    Raises:
        OSError: one cannot be started.
    """
    context = get_context("spawn")
    processes: list[SpawnProcess] = []
    pipes: list[Connection] = []

    def kill() -> None:
        for process in processes:
            process.kill()

    with before_leaving(kill):
        try:
            # A process that is not yet in the list could not be killed, and one whose parent leaves while it starts tells of it.
            with held_signals():
                _start_tracker()
            with held_signals(), terminal_signals_blocked(), _environment():
                for _ in range(count):
                    ours, theirs = context.Pipe()
                    process = context.Process(target=_live, args=(serve, theirs), daemon=True)
                    process.start()
                    theirs.close()
                    processes.append(process)
                    pipes.append(ours)
            yield pipes
        finally:
            kill()
            for process in processes:
                process.join()


def _start_tracker() -> None:
    """Start the process by which Python tracks what processes share: while it starts, it lets blocked signals through."""
    if os.name == "posix":
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()


@contextmanager
def _environment() -> Iterator[None]:
    """Processes started within it have ``ENVIRONMENT``."""
    added = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextmanager
def terminal_signals_blocked() -> Iterator[None]:
    """Processes started within it never see Ctrl-C, which reaches every process of a terminal: this one ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_THE_TERMINAL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _live(serve: Callable[[Connection], None], pipe: Connection) -> None:
    threading.Thread(target=_die_with_parent, daemon=True).start()
    serve(pipe)


def _serve(pipe: Connection) -> None:
    """The life of a process that counts: work that comes, answers that go."""
    while True:
        try:
            index, work = pipe.recv()
        except (EOFError, OSError):
            return

        def tell(count: int, index: int = index) -> None:
            pipe.send((index, count, False))

        try:
            result = work(tell)
        except Exception:
            result = 0
        pipe.send((index, result, True))


def _die_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
