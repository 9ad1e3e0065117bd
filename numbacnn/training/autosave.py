"""When a checkpoint within an epoch is due, so that a process that is killed loses seconds of training and not hours."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FIRST = 10.0
"""Seconds to the first checkpoint, at most: a new run should have more than its beginning to show."""

MOST_SHARE = 0.02
"""The largest share of the time that checkpoints may take: a slow disk gets fewer of them."""


class Autosave:
    """The times of checkpoints.

    Args:
        every: seconds between two checkpoints, unless they take more than ``MOST_SHARE`` of the time.
        clock: seconds, of any origin.
    """

    def __init__(self, every: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._every = every
        self._clock = clock
        self._due = clock() + min(every, FIRST)

    def is_due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return self._clock() >= self._due

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Within it, a checkpoint is written, or fails to be; its time decides when the next one is due."""
        start = self._clock()
        try:
            yield
        finally:
            end = self._clock()
            self._due = end + max(self._every, (end - start) / MOST_SHARE)
