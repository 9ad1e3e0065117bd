"""How many threads a kind of work runs on: measured while it runs, since no result depends on it.

All of them are best on a quiet machine, unless there are more than a small network has work for. Where other programs use the
processors, fewer may be: every loop ends when its last thread does.

A *look* is some steps on one number of threads, and its mean time for an image. The present number is looked at all the time. Half and
twice as many are tried now and then: soon after a change, ever more rarely while they lose, and soon again when the present number's
own time changes, as then somebody else has come or gone. A trial ends at its first slow steps, and wins only by a margin.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from numbacnn.backends.places import Places
from numbacnn.ops import Pace

LOOK = 0.05
"""Seconds of a look: the system gives processors away for a few milliseconds at a time."""

FEWEST_STEPS = 2

MARGIN = 0.92
"""A number of threads wins if it takes at most this share of the present one's time."""

HOPELESS = 1.25
"""A trial that is this much slower ends after a quarter of a look."""

CHANGED, LOOKS_OF_A_CHANGE = 1.3, 2
"""By this factor of its usual time, up or down, in so many looks in a row, the present number shows that the load has changed."""

SOONEST, LATEST = 0.4, 12.8
"""Seconds between two trials: doubled after each round of trials that lost, back to the soonest after a change."""

UNMEASURED_STEPS = 2
"""The first steps compile kernels, and touch memory for the first time."""


def ways(threads: int) -> list[int]:
    """The numbers of threads to choose from, the first of them to begin with: all, half of them, a quarter, ..., one."""
    found = [threads]
    while found[-1] > 1:
        found.append(found[-1] // 2)
    return found


class Times:
    """The seconds that steps took by number of threads, over all that a device has done, and the number chosen last."""

    def __init__(self) -> None:
        self.seconds: dict[int, float] = {}
        self.latest: int | None = None

    def add(self, threads: int, seconds: float) -> None:
        self.seconds[threads] = self.seconds.get(threads, 0.0) + seconds

    def shares(self) -> dict[int, float]:
        """The share of each number of threads, the largest number first."""
        total = sum(self.seconds.values()) or 1.0
        return {threads: self.seconds[threads] / total for threads in sorted(self.seconds, reverse=True)}


class MeasuredPace(Pace, AbstractContextManager[None]):
    """The pace of one kind of work: steps that differ in the number of their images alone.

    Args:
        ways: numbers of threads, from ``ways``.
        places: runs kernels on some of the threads.
        times: of the device.
        clock: seconds.
    """

    def __init__(self, ways: Sequence[int], places: Places, times: Times, clock: Callable[[], float] = time.perf_counter) -> None:
        self._ways, self._places, self._times, self._clock = ways, places, times, clock
        self._present = ways.index(times.latest) if times.latest in ways else 0
        self._trial: int | None = None
        self._untried: list[int] = []
        self._usual = math.nan  # seconds for an image on the present number of threads
        self._unusual = 0  # looks in a row that took longer (positive), or shorter (negative)
        self._interval, self._next_round = SOONEST, -math.inf
        self._lock = threading.Lock()
        self._coming = 0
        self._begin(-UNMEASURED_STEPS)

    def _begin(self, steps: int = 0) -> None:
        """Begin a look."""
        self._steps, self._seconds, self._images = steps, 0.0, 0

    @property
    def _way(self) -> int:
        return self._ways[self._present if self._trial is None else self._trial]

    def step(self, images: int) -> AbstractContextManager[None]:
        if not self._lock.acquire(blocking=False):
            return nullcontext()  # of two Python threads, one is measured
        self._coming = images
        return self

    def __enter__(self) -> None:
        try:
            self._places.take(self._way)
        except BaseException:  # the process was forked too late, say
            self._lock.release()
            raise
        self._start = self._clock()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        now, way = self._clock(), self._way
        seconds = now - self._start
        self._places.leave(way)
        self._times.add(way, seconds)
        if kind is None:
            self._record(now, seconds)
        self._lock.release()

    def _record(self, now: float, seconds: float) -> None:
        self._steps += 1
        if self._steps <= 0:
            return
        self._seconds += seconds
        self._images += self._coming
        time_of_image = self._seconds / max(self._images, 1)
        is_done = self._seconds >= LOOK and self._steps >= FEWEST_STEPS
        if self._trial is None:
            if is_done:
                self._end_look(now, time_of_image)
        elif is_done or (self._seconds >= LOOK / 4 and time_of_image > HOPELESS * self._usual):
            self._end_trial(now, time_of_image)

    def _end_look(self, now: float, time_of_image: float) -> None:
        ratio = time_of_image / self._usual
        direction = 1 if ratio > CHANGED else -1 if ratio < 1 / CHANGED else 0
        self._unusual = self._unusual + direction if direction * self._unusual >= 0 and direction else direction
        if math.isnan(self._usual) or abs(self._unusual) >= LOOKS_OF_A_CHANGE:
            self._usual, self._unusual = time_of_image, 0
            self._interval, self._next_round = SOONEST, now
        elif not direction:
            self._usual += (time_of_image - self._usual) / 4
        if not self._untried and now >= self._next_round:
            self._untried = self._neighbours()
        if self._untried:
            self._trial = self._untried.pop(0)
        self._begin()

    def _end_trial(self, now: float, time_of_image: float) -> None:
        if time_of_image < MARGIN * self._usual:
            assert self._trial is not None
            self._present, self._usual, self._unusual, self._untried = self._trial, time_of_image, 0, []
            self._interval = SOONEST
            self._times.latest = self._way
        elif not self._untried:
            self._interval = min(2 * self._interval, LATEST)
        self._trial, self._next_round = None, now + self._interval
        self._begin()

    def _neighbours(self) -> list[int]:
        """The next fewer threads, and the next more."""
        return [index for index in (self._present + 1, self._present - 1) if 0 <= index < len(self._ways)]
