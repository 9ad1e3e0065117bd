"""Time and speed of a training run."""

import math
import time

READ_EVERY = 0.2
"""Seconds between two readings of an asynchronous device's losses: as often as people can follow."""


class Clock:
    """Seconds and images since training began in this process.

    The first step may compile kernels, so it counts as time but not for the speed.
    """

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._last_read = -math.inf
        self._seconds = 0.0
        self._images = 0
        self._is_warm = False
        self._first_speed = 0.0

    def lap(self, images: int = 0) -> float:
        """Seconds since the last lap, in which ``images`` were trained on; a lap without images does not count for the speed."""
        now = time.perf_counter()
        elapsed, self._last = now - self._last, now
        if images and self._is_warm:
            self._seconds += elapsed
            self._images += images
        elif images and not self._images:
            self._first_speed = images / max(elapsed, 1e-9)
        self._is_warm = True
        return elapsed

    def read_is_due(self) -> bool:
        """Whether ``READ_EVERY`` seconds have passed since this was last true."""
        if self._last - self._last_read < READ_EVERY:
            return False
        self._last_read = self._last
        return True

    @property
    def images_per_second(self) -> float:
        """The speed of the steps so far."""
        return self._images / self._seconds if self._seconds else self._first_speed
