"""A function of many things in several processes: its results come in the order of the things, and few of them are in memory."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from .workers import started

AHEAD = 2
"""Pieces that a process has at the same time: it goes on with the next one while this process is busy."""

WINDOW = 8
"""Pieces for each process that are being worked at, or whose results wait for their turn."""


class LostError(Exception):
    """The process that had a piece is no more: the system has killed it, for want of memory perhaps.

    Args:
        piece: the first whose result is missing.
    """

    def __init__(self, piece: Any) -> None:
        super().__init__(piece)
        self.piece = piece


@contextmanager
def in_order(function: Callable[[Any], Any], pieces: Iterable[Any], processes: int) -> Iterator[Iterator[Any]]:
    """The results of a function for each piece, in their order; no more pieces are taken than are soon asked for.

    Work begins at once, before the first result is asked for. By one process, it is done in this one, when it is asked for.

    Args:
        function: can be pickled; what it raises is raised here in its result's place.
        pieces: can be pickled.

    Raises:
        OSError: a process cannot be started.
        LostError: when the turn comes of a result whose process was killed.
    """
    if processes == 1:
        yield map(function, pieces)
        return
    with started(processes, partial(_serve, function)) as pipes:
        line = _Line(pieces, processes)
        for pipe in pipes:
            threading.Thread(target=line.feed, args=(pipe,), daemon=True).start()
        try:
            yield line.results()
        finally:
            line.close()


class _Line:
    """The pieces on their way: a thread for each process feeds it, and the thread that asks for the results puts them in order."""

    def __init__(self, pieces: Iterable[Any], processes: int) -> None:
        self._pieces, self._processes = enumerate(pieces), processes
        self._lock = threading.Lock()
        self._room = threading.Semaphore(WINDOW * processes)
        self._done: queue.SimpleQueue[tuple[int, Any, BaseException | None] | None] = queue.SimpleQueue()

    def feed(self, pipe: Connection) -> None:
        """Give pieces to a process, and take its results, until there are no more."""
        given: deque[tuple[int, Any]] = deque()
        try:
            while True:
                while len(given) < AHEAD and (piece := self._take(wait=not given)) is not None:
                    given.append(piece)
                    pipe.send(piece[1])
                if not given:
                    return
                result, error = pipe.recv()
                self._done.put((given.popleft()[0], result, error))
        except (EOFError, OSError):
            for index, piece in given:
                self._done.put((index, None, LostError(piece)))
        except Exception as error:  # else whoever waits for the result would take the end for the end of the pieces
            self._done.put((given[0][0], None, error))
        finally:
            self._done.put(None)

    def results(self) -> Iterator[Any]:
        """The results, in order."""
        waiting: dict[int, tuple[Any, BaseException | None]] = {}
        turn, feeding = 0, self._processes
        while feeding or turn in waiting:
            while turn in waiting:
                result, error = waiting.pop(turn)
                if error is not None:
                    raise error
                yield result
                turn += 1
                self._room.release()
            if not feeding:
                continue
            try:
                done = self._done.get(timeout=1)  # without a limit, Windows lets no signal through
            except queue.Empty:
                continue
            if done is None:
                feeding -= 1
            else:
                index, result, error = done
                waiting[index] = result, error

    def close(self) -> None:
        """Let the threads end, each when its process does."""
        with self._lock:
            self._pieces = enumerate(())
        self._room.release(self._processes)

    def _take(self, wait: bool) -> tuple[int, Any] | None:
        """The next piece and its index; None if there is none, or no room for it and no ``wait``."""
        if not self._room.acquire(blocking=wait):
            return None
        with self._lock:
            piece = next(self._pieces, None)
        if piece is None:
            self._room.release()  # the others are to see it, too
        return piece


def _serve(function: Callable[[Any], Any], pipe: Connection) -> None:
    """The life of a process: pieces come, results go. Pieces are received meanwhile, as each side could wait for the other to read."""
    waiting: queue.SimpleQueue[tuple[Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, waiting), daemon=True).start()
    while (piece := waiting.get()) is not None:
        result, error = None, None
        try:
            result = function(*piece)
        except Exception as problem:
            error = problem
        with suppress(BrokenPipeError, ConnectionResetError):  # the other process is no more, nor will this one be
            pipe.send((result, error))


def _receive(pipe: Connection, waiting: "queue.SimpleQueue[tuple[Any] | None]") -> None:
    while True:
        try:
            waiting.put((pipe.recv(),))
        except (EOFError, OSError):
            waiting.put(None)
            return
