"""The one door to ``numba.cuda``: how kernels are compiled, and whether they can run here at all.

With ``NUMBA_ENABLE_CUDASIM=1`` in the environment, Numba's simulator runs them thread by thread in Python: slowly, but anywhere.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

if not hasattr(np, "row_stack"):  # numba-cuda 0.30 uses this name, which NumPy 2.5 has dropped
    np.row_stack = np.vstack
os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0")  # a small network makes small grids, and that is no mistake

from numba import config, cuda

try:
    from numba.cuda.core import config as cuda_config  # numba-cuda has settings of its own
except ImportError:
    cuda_config = config

from numbacnn.backends.kernel_cache import cache_folder, cached_in

SIMULATED = bool(getattr(config, "ENABLE_CUDASIM", False))
"""Whether kernels run in the simulator."""

kernels: list["Kernel"] = []
"""Every kernel there is, for the checks that walk all of them."""


class Kernel:
    """A function that runs on the GPU, once per thread.

    Compiled for the types of its arguments when first launched: never at import, which must work without a driver.
    """

    def __init__(self, function: Callable[..., None]):
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self.function = function
        self._compiled = _compiled(function)
        kernels.append(self)

    def launch(self, blocks: int | tuple[int, ...], threads: int | tuple[int, ...], *args: Any) -> None:
        """Run it on a grid of ``blocks``, each of so many ``threads``."""
        self._compiled[blocks, threads](*args)


def kernel(function: Callable[..., None]) -> Kernel:
    """Decorate a kernel. It takes arrays and numbers and returns nothing.

    Without fast maths: a diverged loss must still read as NaN. Multiplications and additions fuse all the same.
    """
    return Kernel(function)


def device_function(function: Callable[..., Any]) -> Any:
    """Decorate a function that kernels call. It becomes part of each: arrays that are handed to it can stay in registers."""
    return cuda.jit(device=True)(function) if SIMULATED else cuda.jit(device=True, forceinline=True)(function)


def _compiled(function: Callable[..., None]) -> Any:
    if SIMULATED:
        return cuda.jit(function)
    folder = cache_folder(Path(__file__).parent)
    if folder is None:
        return cuda.jit(function)
    with cached_in(folder, cuda_config):
        return cuda.jit(cache=True)(function)


def why_not() -> str | None:
    """What is missing for kernels to run here, and the command that installs it; None if nothing is."""
    if SIMULATED:
        return None
    if getattr(cuda, "implementation", "") != "NVIDIA":
        return "the package numba-cuda is not installed: pip install 'numbacnn[cuda]' (CUDA 13) or 'numbacnn[cuda12]'."
    if cuda.is_available():
        return None
    lines = (cuda.cuda_error() or "").strip().splitlines()
    if lines:
        return f"no usable NVIDIA driver ({lines[-1].strip()}): install the driver, or see whether nvidia-smi finds the GPU."
    return "the driver works, but the compiler library NVVM is missing: pip install 'numbacnn[cuda]'."
