"""Where the threads of kernels run: each on a processor of its own, where there are as many threads as processors.

Threads wait for each other after every loop. Left to itself, Linux now and then puts two of them on one processor while another
program has the other, and keeps them there: one polls for the other, which waits for the processor it polls on.
``benchmarks/busy.py`` measures what is left of the speed beside busy processes.

The thread that calls is not bound, as processes that it starts would inherit its processor: it is moved to the one that is left, now and
then, and stays there by itself.
"""

import contextlib
import ctypes
import math
import os
import threading
import time

import numba

from numbacnn.backends import threading_layer

MOVE_EVERY = 0.005
"""Seconds between two moves of the thread that calls. Between them Linux may put it beside another thread, but seldom does."""

_TEAM_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Places:
    """Runs the kernels of a Python thread on some of its threads, and binds them if they are as many as its processors.

    Binding takes Linux and GNU's OpenMP. Of fewer threads than processors, none is bound: which processors to take would be a guess,
    and every process would guess the same.

    Args:
        most: the number of threads that Numba uses where nobody asks for fewer.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._processors: list[int] = []
        self._moved = -math.inf
        self._of_thread = threading.local()  # the number that its team is arranged for
        if most > 1 and hasattr(os, "sched_setaffinity") and threading_layer.is_gnu_openmp():
            self._processors = sorted(os.sched_getaffinity(0))
        self.can_bind = most == len(self._processors)

    def take(self, number: int) -> None:
        """Begin a step on so many threads. Raises DeviceError if the process was forked too late."""
        if number != self._most:
            numba.set_num_threads(number)
        if not self.can_bind:
            return
        if getattr(self._of_thread, "number", None) != number:
            threading_layer.start()
            self._arrange(number)
            self._of_thread.number = number
        if number == self._most and (now := time.perf_counter()) - self._moved > MOVE_EVERY:
            self._moved = now
            self._allow(self._processors[:1])
            self._allow(self._processors)

    def leave(self, number: int) -> None:
        """End it: what the caller does between two steps runs on all threads."""
        if number != self._most:
            numba.set_num_threads(self._most)

    def _arrange(self, number: int) -> None:
        """Bind the other threads of the team, or let them go."""
        with contextlib.suppress(OSError, AttributeError):  # Numba was built with an OpenMP of another name
            openmp = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD | os.RTLD_NOW)

            @_TEAM_FUNCTION
            def arrange(_: object) -> None:
                if place := openmp.omp_get_thread_num():
                    self._allow([self._processors[place]] if number == self._most else self._processors)

            openmp.GOMP_parallel(arrange, None, number, 0)

    def _allow(self, processors: list[int]) -> None:
        """Bind the thread that calls."""
        with contextlib.suppress(OSError):  # they were taken from this process in the meantime
            os.sched_setaffinity(0, processors)
