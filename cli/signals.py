"""SIGINT, SIGTERM and SIGHUP: the first one ends a command tidily, and a thread sees to it that the command ends in time.

A handler in Python runs between two instructions of the main thread: not while the compiler works, which takes seconds, nor while a
library waits; and a library may swallow the exception that the handler raises. So a second thread, which the C part of Python's
handler wakes at once, ends the process if the main thread does not.

Imports nothing that takes time: signals are taken over before the rest is imported.
"""

import _thread
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

GRACE = 1.2
"""Seconds in which the main thread may end by itself after the first signal, or after the block in which signals were noted."""

HURRY = 0.7
"""The same after a second signal, whatever the main thread does."""

POLL = 0.02
"""Seconds between two looks at the main thread."""


class Terminated(BaseException):
    """A signal has come; like KeyboardInterrupt, nothing but the entry point catches it for good."""


class _Signals:
    """What has come, and what the main thread is doing.

    Args:
        first: the number of the first signal.
        holds: blocks, one within the other, in which a signal is noted and nothing is raised.
        is_raised: whether the exception has been raised, or never will be. A second one would break the tidying up after the first.
        is_leaving: whether the second thread is ending the process.
        is_said: whether the user has been told how the command ended.
        actions: to be done before the process is ended by force.
        leave: ends the process.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self.holds = 0
        self.is_raised = False
        self.is_leaving = False
        self.is_said = False
        self.actions: list[Callable[[], None]] = []
        self.leave: Callable[[int], object] = os._exit


_state = _Signals()


def take_over() -> None:
    """Set the handlers, and start the thread that bounds the time. A signal that was ignored, as under nohup, stays ignored."""
    sys.unraisablehook = _unraisable
    for number in NUMBERS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, _handle)
    if os.name == "posix":  # elsewhere, Python wakes sockets alone
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        _thread.start_new_thread(_watch, (reader,))


def received() -> int | None:
    """The number of the first signal; None before it has come."""
    return _state.first


def _handle(number: int, frame: object) -> None:
    if _state.first is None:
        _state.first = number
    while _state.is_leaving:
        time.sleep(1)
    if not _state.holds:
        _raise_once()


def _raise_once() -> None:
    if not _state.is_raised:
        _state.is_raised = True
        raise Terminated


@contextlib.contextmanager
def noted_signals() -> Iterator[Callable[[], int | None]]:
    """Within it, a signal is noted and nothing is raised, at its end neither: the block looks for itself.

    Yields:
        ``received``.
    """
    _state.holds += 1
    try:
        yield received
    finally:
        _state.holds -= 1


@contextlib.contextmanager
def held_signals() -> Iterator[None]:
    """A short block that is not to be interrupted: a signal is raised at its end."""
    with noted_signals():
        yield
    if _state.first is not None:
        _raise_once()


@contextlib.contextmanager
def raised_signals() -> Iterator[None]:
    """A block within ``noted_signals`` that may be interrupted, also by a signal that was noted before.

    Raises:
        Terminated: a signal has come.
    """
    holds = _state.holds
    try:
        _state.holds = 0
        if _state.first is not None:
            _raise_once()
        yield
    finally:
        _state.holds = holds


@contextlib.contextmanager
def before_leaving(action: Callable[[], None]) -> Iterator[None]:
    """Within it, ``action`` is called, by another thread, if the main thread does not end in time and the process is ended by force."""
    _state.actions.append(action)
    try:
        yield
    finally:
        _state.actions.remove(action)


def leave_by(leave: Callable[[int], object]) -> None:
    """End the process by this function after a signal, and not by ``os._exit``."""
    _state.leave = leave


def is_first_to_say() -> bool:
    """Whether nobody has told the user yet how the command ended; True once. Both threads may come to tell it."""
    is_first, _state.is_said = not _state.is_said, True
    return is_first


def finish(code: int) -> None:
    """End the process: with ``code``, or with 128 + the number of the signal that has come, as shells do."""
    _state.is_raised = True
    if _state.first is None:
        for number in NUMBERS:
            if signal.getsignal(number) is _handle:
                signal.signal(number, signal.SIG_DFL)  # a handler would print a traceback while Python shuts down
        sys.exit(code)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    _leave(_state.first)


def _leave(number: int) -> None:
    """End the process at once: what Python does at its end can take seconds, and nothing of it matters now."""
    text = "Stopped.\n" if is_first_to_say() else ""
    say(text)
    _state.leave(128 + number)


def say_line(text: str) -> None:
    """``say`` one line."""
    say(f"{text}\n")


def say(text: str) -> None:
    """Write to stderr from any thread, past a buffer whose lock another one may hold, and not at all if nobody reads."""
    import select

    with contextlib.suppress(OSError, ValueError):
        if text and (os.name != "posix" or select.select([], [2], [], 0)[1]):
            os.write(2, text.encode(errors="backslashreplace"))


def _watch(reader: int) -> None:
    """End the process by force if the main thread does not end in time."""
    import select

    first, count, deadline, latest = 0, 0, 0.0, float("inf")
    while True:
        if not count or select.select([reader], [], [], POLL)[0]:
            for number in os.read(reader, 64):  # those that Python handles, others among them
                if number in NUMBERS:
                    first, count = first or number, count + 1
                    if count == 1:
                        deadline = time.monotonic() + GRACE
                    elif count == 2:
                        latest = time.monotonic() + HURRY
        now = time.monotonic()
        if count and _state.holds:
            deadline = now + GRACE
        if count and now > min(deadline, latest):
            _state.is_leaving = True
            for action in reversed(_state.actions):
                with contextlib.suppress(BaseException):
                    action()
            _leave(first)


def _unraisable(error: Any) -> None:
    """Python's report of an exception that nobody can catch; none if the exception is the signal's."""
    if _state.first is None:
        sys.__unraisablehook__(error)
