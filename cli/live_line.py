"""One line at the bottom of a terminal, drawn anew while work goes on. Whatever else is printed goes above it."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from rich.text import Text

from .signals import before_leaving

Source = Callable[[int], Text | None]
"""The line at a width in columns; None while there is nothing to show."""

TICK = 0.1
"""Seconds between two drawings."""

LOCK_PATIENCE = 0.2
"""Seconds that a process which is about to end waits for a drawing, which a stopped terminal can hold up."""

ERASE = "\r\x1b[2K"


class Canvas(Protocol):
    """What a line is drawn on: a console of a terminal."""

    file: Any

    @property
    def width(self) -> int: ...

    def draw(self, text: Text) -> None:
        """Write a text at the cursor, with neither a line end nor a fold."""


class LiveLine:
    """The line, and the thread that draws it. Several kinds of work may have something to show: the most urgent of them does."""

    def __init__(self) -> None:
        self._sources: list[tuple[int, Source]] = []
        self._canvas: Canvas | None = None
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._is_drawn = False

    @contextlib.contextmanager
    def showing(self, source: Source, canvas: Canvas, urgency: int = 0) -> Iterator[None]:
        """Within it, the line shows what ``source`` gives, unless something of a higher urgency is to be shown."""
        entry = (urgency, source)
        with before_leaving(self._leave):
            try:
                with self._lock:
                    self._canvas = canvas
                    self._sources.append(entry)
                    self._sources.sort(key=lambda each: -each[0])
                    if self._thread is None:
                        self._thread = threading.Thread(target=self._keep_drawing, daemon=True)
                        self._thread.start()
                yield
            finally:
                with self._lock:
                    if entry in self._sources:  # else a signal came first
                        self._sources.remove(entry)
                    self._erase()

    @contextlib.contextmanager
    def out_of_the_way(self) -> Iterator[None]:
        """Within it, the line is not there, and something else may be printed."""
        with self._lock:
            self._erase()
            yield

    def _keep_drawing(self) -> None:
        while True:
            with self._lock:
                if not self._sources:
                    self._thread = None
                    return
                self._draw()
            time.sleep(TICK)

    def _draw(self) -> None:
        assert self._canvas is not None
        width = self._canvas.width - 1  # in the last column, some terminals go on to the next line
        line = next((text for _, source in self._sources if (text := source(width)) is not None), None)
        self._erase()
        if line is not None:
            self._is_drawn = True
            self._canvas.draw(line)

    def _erase(self) -> None:
        if self._is_drawn and self._canvas is not None:
            self._canvas.file.write(ERASE)
            self._canvas.file.flush()
            self._is_drawn = False

    def _leave(self) -> None:
        """Erase the line for good, from another thread, before the process is ended by force."""
        if self._lock.acquire(timeout=LOCK_PATIENCE):
            self._erase()  # and keep the lock: nothing is drawn any more


live_line = LiveLine()
