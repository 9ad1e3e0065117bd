"""The GPU's memory. The only calls that move numbers between host and device, and the only ones that ask for memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from numbacnn.backends.arena import Arena
from numbacnn.backends.cuda._jit import SIMULATED, cuda
from numbacnn.errors import DeviceMemoryError

CUDA_ERROR_OUT_OF_MEMORY = 2


def to_device(host: Any) -> Any:
    """A copy of a NumPy array on the device, C-contiguous."""
    host = np.ascontiguousarray(host)
    with _shortage_explained(host.nbytes):
        return cuda.to_device(host)


def to_host(x: Any) -> Any:
    """A copy of a device array on the host; waits for what is being computed."""
    return x.copy_to_host()


def free_bytes() -> int:
    """Bytes of the device that nobody uses."""
    return 2**33 if SIMULATED else int(cuda.current_context().get_memory_info().free)


def _bytes(size: int) -> Any:
    with _shortage_explained(size):
        return cuda.device_array(size, np.uint8)


@contextmanager
def _shortage_explained(size: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # By its number: where there is no driver, the class of the error cannot be imported.
        if int(getattr(error, "code", 0)) != CUDA_ERROR_OUT_OF_MEMORY:
            raise
        message = f"the GPU has no room for {size:,} bytes more: {free_bytes():,} are free"
        raise DeviceMemoryError(message, size) from None


arena = Arena(_bytes)
