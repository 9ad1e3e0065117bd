"""The GPU's memory: every transfer between host and device, and every allocation."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from numbacnn.backends.arena import Arena
from numbacnn.backends.cuda._jit import SIMULATED, cuda, keeping_words
from numbacnn.errors import DeviceMemoryError

CUDA_ERROR_OUT_OF_MEMORY = 2


def to_device(host: Any) -> Any:
    """A copy of a NumPy array on the device, C-contiguous."""
    host = np.ascontiguousarray(host)
    with _shortage_explained(host.nbytes):
        return keeping_words(cuda.to_device(host))


def to_host(x: Any) -> Any:
    """A copy of a device array on the host, once its computation is done."""
    return x.copy_to_host()


@functools.cache
def zeros(count: int, dtype: Any) -> Any:
    """Zeros that kernels read in place of an absent argument. One array for all callers: nobody may write to it."""
    return to_device(np.zeros(count, dtype))


@functools.cache
def ones(count: int, dtype: Any) -> Any:
    """As ``zeros``."""
    return to_device(np.ones(count, dtype))


def free_bytes() -> int:
    """Free bytes of the device."""
    return 2**33 if SIMULATED else int(cuda.current_context().get_memory_info().free)


def _bytes(size: int) -> Any:
    with _shortage_explained(size):
        return keeping_words(cuda.device_array(size, np.uint8))


@contextmanager
def _shortage_explained(size: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_shortage(error):
            raise
        message = f"the GPU has no room for {size:,} bytes more: {free_bytes():,} are free"
        raise DeviceMemoryError(message, size) from None


def is_shortage(error: Exception) -> bool:
    """Whether the driver has run out of memory.

    By its code, or by its name in the text: numba-cuda raises an error with a code, cuda-core, which loads and launches kernels for it, one
    without; and where there is no driver, neither class can be imported.
    """
    return getattr(error, "code", None) == CUDA_ERROR_OUT_OF_MEMORY or "CUDA_ERROR_OUT_OF_MEMORY" in str(error)


arena = Arena(_bytes)
