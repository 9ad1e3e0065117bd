"""The one door to ``numba.cuda``: how kernels are compiled, and whether and where they can run.

With ``NUMBA_ENABLE_CUDASIM=1`` in the environment, Numba's simulator runs them thread by thread in Python: slowly, but anywhere.
"""

import contextlib
import importlib
import importlib.metadata
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numbacnn.backends.kernel_cache import cache_folder, cached_in
from numbacnn.backends.kernel_files import KernelFiles

if not hasattr(np, "row_stack"):  # numba-cuda 0.30 uses this name, which NumPy 2.5 has dropped
    np.row_stack = np.vstack
# A small network makes small grids, and that is no mistake. Numba reads its settings from here anew at each compilation.
QUIET = os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0") == "0"

OLDEST, TOO_NEW = (0, 30, 4), (0, 31)
"""The numba-cuda that kernels are checked with: from the first version on, before the second; as in pyproject.toml."""


def installed_version() -> str | None:
    """The version of numba-cuda, or None where there is none."""
    try:
        return importlib.metadata.version("numba-cuda")
    except importlib.metadata.PackageNotFoundError:
        return None


def is_supported(version: str | None) -> bool:
    """Whether a version of numba-cuda is one that kernels are checked with."""
    return version is not None and OLDEST <= tuple(int(part) for part in re.findall(r"\d+", version)[:3]) < TOO_NEW


VERSION = installed_version()

cuda_config: Any = None
numba_cuda: Any = None
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # NumPy 2.5 warns numba-cuda of more than it has dropped
    from numba import config
    from numba.core import event

    if VERSION is None or is_supported(VERSION):  # another version may fail in any way when it is imported
        with contextlib.suppress(ImportError):  # a Numba without CUDA
            numba_cuda = importlib.import_module("numba.cuda")
    if numba_cuda is not None:
        try:
            cuda_config = importlib.import_module("numba.cuda.core.config")  # numba-cuda has settings of its own
        except ImportError:
            cuda_config = config
        if QUIET:  # Numba may have been imported before the variable was set
            cuda_config.CUDA_LOW_OCCUPANCY_WARNINGS = 0

SIMULATED = numba_cuda is not None and bool(getattr(config, "ENABLE_CUDASIM", False))
"""Whether kernels run in the simulator."""


class _Simulator:
    """What stands for ``cuda`` in the simulator: within a kernel, what its threads see.

    The simulator puts that into a module when it calls a function there, and takes it out again, though other threads may be at it.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(simulator._kernel_context or numba_cuda, name)


def _shared_array(self: Any, shape: Any, dtype: Any, alignment: int | None = None) -> Any:
    """An array in shared memory, told apart by the line that asks for it. In the simulator two threads that asked for one at the same
    time each got their own; and Numba's own simulator, unlike numba-cuda's, knows no alignment."""
    asking = sys._getframe(1)
    with _lock:
        return self._allocations.setdefault((asking.f_code, asking.f_lineno), np.empty(shape, dtype))


cuda: Any = numba_cuda
"""Untyped: the types that Numba gives, to cuda.grid say, are the compiler's, and not those of who writes a kernel."""

if SIMULATED:
    from numba.cuda.simulator import kernel as simulator
    from numba.cuda.simulator.kernelapi import FakeCUDAShared

    _lock = threading.Lock()
    FakeCUDAShared.array = _shared_array
    cuda = _Simulator()

NUMPY_SHIM = np.lib.NumpyVersion(np.__version__) >= "2.5.0"
"""Whether NumPy has had to be helped, see above."""

SOURCES = Path(__file__).parent

kernels: list["Kernel"] = []
"""Every kernel there is, for the checks that walk all of them."""


class Kernel:
    """A function that runs on the GPU, once per thread.

    Compiled for the types of its arguments when first launched: never at import, which must work without a driver.
    """

    def __init__(self, function: Callable[..., None]):
        self.name = ".".join([*function.__module__.split(".")[-2:], function.__name__])
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
    return function if SIMULATED else cuda.jit(device=True, forceinline=True)(function)


def emitting() -> tuple[Any, Any, Any]:
    """What it takes to emit instructions: LLVM's ``ir``, the compiler's ``types``, and ``intrinsic``. Not in the simulator."""
    from llvmlite import ir
    from numba.cuda import types
    from numba.cuda.extending import intrinsic

    return ir, types, intrinsic


def _compiled(function: Callable[..., None]) -> Any:
    dispatcher = cuda.jit(function)
    if not SIMULATED:
        folder = cache_folder(SOURCES, VERSION or "").path
        with cached_in(folder, cuda_config) if folder else contextlib.nullcontext():
            dispatcher._cache = _cache(function, folder)
    return dispatcher


def _cache(function: Callable[..., None], folder: Path | None) -> Any:
    """Where a compiled kernel is looked for, and what tells of its compilation: numba-cuda itself tells nobody."""
    from numba.cuda.dispatcher import CUDACache, NullCache  # the simulator has none

    class Cache(CUDACache if folder else NullCache):  # type: ignore[misc]
        """Damage on the disk costs a compilation, not the run."""

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            found = None
            with contextlib.suppress(Exception):  # whatever a kernel of a patched Numba raises
                found = super().load_overload(sig, target_context)
            if found is None:
                event.start_event("numba:compile", {"dispatcher": function, "args": sig})
            return found

        def save_overload(self, sig: Any, data: Any) -> None:
            event.end_event("numba:compile", {"dispatcher": function, "args": sig})
            with contextlib.suppress(Exception):
                super().save_overload(sig, data)

    if folder is None:
        return Cache()
    cache = Cache(function)
    cache._cache_file = KernelFiles(folder, function, cache._cache_file._dump)
    return cache


class Missing(NamedTuple):
    """Why the GPU cannot be used, and what to do about it: clauses that a message is made of."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}. To use a GPU, {self.remedy}"


INSTALL = "install it: pip install 'numbacnn[cuda]', or 'numbacnn[cuda12]' for CUDA 12"


def missing_package() -> Missing | None:
    """Why kernels cannot even be defined here: numba-cuda is not there, or of a version that they were not checked with.

    Numba brings a ``numba.cuda`` of its own. It is deprecated, and good for the simulator only.
    """
    if VERSION is not None and not is_supported(VERSION):
        oldest, too_new = (".".join(map(str, version)) for version in (OLDEST, TOO_NEW))
        return Missing(f"numba-cuda {VERSION} is installed, expected {oldest} or later, before {too_new}", INSTALL)
    if not SIMULATED and getattr(numba_cuda, "implementation", "") != "NVIDIA":
        return Missing("the package numba-cuda is not installed", INSTALL)
    return None


def why_not() -> Missing | None:
    """What is missing for kernels to run here, and the command that installs it; None if nothing is."""
    if (missing := missing_package()) or SIMULATED:
        return missing
    available = cuda.is_available()  # False too where the driver works and only NVVM is missing
    lines = (cuda.cuda_error() or "").strip().splitlines()
    if lines:
        return Missing(
            f"no usable NVIDIA driver ({lines[0].strip().rstrip('.')})",
            "install NVIDIA's driver (on Ubuntu: sudo ubuntu-drivers install) or, if there is one, see what nvidia-smi says",
        )
    if lost := missing_library():
        return Missing(f"the driver works, but the library {lost}, which compiles kernels, is not there", INSTALL)
    if not available:
        return Missing("numba-cuda finds no GPU that it can use", "see what nvidia-smi and numba -s say")
    return _too_old()


def missing_library() -> str | None:
    """The first of the libraries that compile kernels which cannot be loaded; None if all can be. No driver is needed for them."""
    from cuda.bindings import nvjitlink, nvrtc, nvvm  # numba-cuda depends on these; the libraries come with its extras

    for name, probe in (("NVVM", nvvm.version), ("NVRTC", nvrtc.nvrtcVersion), ("nvJitLink", nvjitlink.version)):
        try:
            probe()
        except Exception:  # of a class that each of them has for itself
            return name
    return None


def _too_old() -> Missing | None:
    from numba.cuda.cudadrv import nvrtc

    gpus, oldest = cuda.gpus, min(nvrtc.get_supported_ccs())
    capability = tuple(gpus[0].compute_capability)
    if capability >= oldest:
        return None
    have, need = (f"{number[0]}.{number[1]}" for number in (capability, oldest))
    return Missing(
        f"the GPU has compute capability {have}, and this CUDA compiles for {need} and later",
        "install CUDA 12 in a fresh environment: pip install 'numbacnn[cuda12]'",
    )


class Gpu(NamedTuple):
    """The device that kernels run on. Sizes are bytes."""

    name: str
    compute_capability: str
    memory: int
    memory_free: int
    driver: str


def gpu() -> Gpu:
    """The GPU in use, where ``why_not`` finds nothing missing."""
    if SIMULATED:
        return Gpu("Numba's simulator", "", 0, 0, "")
    device, memory = cuda.get_current_device(), cuda.current_context().get_memory_info()
    name = device.name.decode() if isinstance(device.name, bytes) else device.name
    major, minor = device.compute_capability[:2]
    return Gpu(name, f"{major}.{minor}", int(memory.total), int(memory.free), _driver_version())


def _driver_version() -> str:
    from cuda.bindings import nvml
    from numba.cuda.cudadrv import driver

    newest = "for CUDA " + ".".join(map(str, driver.driver.get_version()))
    with contextlib.suppress(Exception):  # NVML may be missing, in a container say
        nvml.init_v2()
        return f"{nvml.system_get_driver_version()}, {newest}"
    return newest
