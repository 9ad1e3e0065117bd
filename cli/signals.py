"""SIGINT and SIGTERM: both end a command, and training first finishes its step."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Terminated(BaseException):
    """SIGTERM has come; like KeyboardInterrupt, nothing but the entry point catches it."""


def raise_terminated(number: int, frame: object) -> None:
    """The handler of SIGTERM."""
    raise Terminated


@contextmanager
def noted_signals() -> Iterator[Callable[[], int | None]]:
    """Note the first SIGINT or SIGTERM, and let a second one stop the program at once.

    Yields:
        a function that returns the signal's number; None before it has come.
    """
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
