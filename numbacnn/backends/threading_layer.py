"""Numba's threading layer: the library that runs a parallel kernel on several threads.

    layer        threads of Python side by side        fork() after use
    omp          each has its own team                 GNU's: the child is killed or hangs; elsewhere it goes on
    tbb          share one pool                        the child starts a pool of its own
    workqueue    abort the process                     the child starts a pool of its own

So kernels on workqueue run one at a time, and a child that GNU's OpenMP would kill gets an error instead. Numba chooses the layer
when the first parallel kernel is used.
"""

import importlib
import os
import threading
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher

from numbacnn.errors import DeviceError

_call = CPUDispatcher.__call__
_one_at_a_time = threading.RLock()


class _Layer:
    """What is known of the layer. Until it is started, kernels run one at a time."""

    allows_threads = False
    started = False
    forked = False


def start() -> None:
    """Let Numba choose and start its layer.

    Raises:
        DeviceError: the layer that the environment asks for is not installed, or the process was forked too late.
    """
    if _Layer.forked:
        raise DeviceError(
            "kernels: expected their first use after fork(), got a process that used them before: GNU's OpenMP ends or hangs its "
            "children. Start workers by 'spawn' or 'forkserver', as in multiprocessing.get_context('spawn'), or set "
            "NUMBA_THREADING_LAYER=workqueue"
        )
    if _Layer.started:
        return
    with _one_at_a_time:
        try:
            numba.get_num_threads()
        except ValueError as error:
            layer = os.environ.get("NUMBA_THREADING_LAYER", "default")
            raise DeviceError(
                f"NUMBA_THREADING_LAYER: expected a threading layer that is installed, got {layer!r}. "
                f"Unset this environment variable, or install the layer's library"
            ) from error
        _Layer.allows_threads = numba.threading_layer() != "workqueue"
        _Layer.started = True


class ParallelKernel(CPUDispatcher):
    """A compiled kernel with parallel loops, called from Python as its layer allows."""

    def __call__(self, *args: Any) -> Any:
        if not _Layer.started or _Layer.forked:
            start()
        if _Layer.allows_threads:
            return _call(self, *args)
        with _one_at_a_time:
            return _call(self, *args)


def is_gnu_openmp() -> bool:
    """Whether kernels run by GNU's OpenMP; False before the layer is started."""
    try:
        if numba.threading_layer() != "omp":
            return False
    except ValueError:  # not started yet
        return False
    return bool(importlib.import_module("numba.np.ufunc.omppool").openmp_vendor == "GNU")


def _before_fork() -> None:
    """Wait for other threads that compile, or run a kernel on workqueue: their locks would stay locked in the child for ever."""
    _one_at_a_time.acquire()
    global_compiler_lock.acquire()


def _after_fork() -> None:
    global_compiler_lock.release()
    _one_at_a_time.release()


def _after_fork_in_child() -> None:
    _after_fork()
    _Layer.forked = _Layer.forked or is_gnu_openmp()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
