"""The only module that imports ``numba.cuda``: it compiles kernels, and says whether and where they can run.

With ``NUMBA_ENABLE_CUDASIM=1`` in the environment, Numba's simulator runs them thread by thread in Python: slowly, but anywhere.
"""

import contextlib
import functools
import importlib
import importlib.metadata
import re
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numbacnn.backends.cuda.device_array import device_array_class
from numbacnn.backends.cuda.packed import Driver, PackedLaunches
from numbacnn.backends.environment import silence_small_grids
from numbacnn.backends.kernel_cache import CacheFolder, cache_folder, cached_in, saving
from numbacnn.backends.kernel_files import KernelFiles

if not hasattr(np, "row_stack"):  # numba-cuda 0.30 uses this name, which NumPy 2.5 has dropped
    np.row_stack = np.vstack
QUIET = silence_small_grids() == "0"  # in the environment, as Numba reads it again at each compilation

OLDEST, TOO_NEW = (0, 30, 4), (0, 31)
"""Versions of numba-cuda that kernels are checked with: from the first one up to the second, exclusive; as in pyproject.toml."""


def installed_version() -> str | None:
    """The version of numba-cuda, or None if it is not installed."""
    try:
        return importlib.metadata.version("numba-cuda")
    except importlib.metadata.PackageNotFoundError:
        return None


def is_supported(version: str | None) -> bool:
    """Whether kernels are checked with this version of numba-cuda."""
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
    """``cuda`` in the simulator: within a kernel, the context of its threads.

    Numba's simulator replaces a module's ``cuda`` while it runs a function there, although other threads may run the same module.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(simulator._kernel_context or numba_cuda, name)


def _shared_array(self: Any, shape: Any, dtype: Any, alignment: int | None = None) -> Any:
    """An array in shared memory, identified by the line that allocates it. In Numba's simulator, two threads that allocate at the same
    time each get their own; and it, unlike numba-cuda's, has no alignment."""
    caller = sys._getframe(1)
    with _lock:
        return self._allocations.setdefault((caller.f_code, caller.f_lineno), np.empty(shape, dtype))


cuda: Any = numba_cuda
"""Untyped: Numba annotates cuda.grid and others with the compiler's types, not with those of a kernel."""

if SIMULATED:
    from numba.cuda.simulator import kernel as simulator
    from numba.cuda.simulator.kernelapi import FakeCUDAShared

    _lock = threading.Lock()
    FakeCUDAShared.array = _shared_array
    cuda = _Simulator()

NUMPY_SHIM = np.lib.NumpyVersion(np.__version__) >= "2.5.0"
"""Whether NumPy needs ``row_stack``, see above."""

SOURCES = Path(__file__).parent

kernels: list["Kernel"] = []
"""All kernels, for checks of each."""


class Kernel:
    """A function that runs on the GPU, once per thread.

    Compiled for the types of its arguments when first launched: never at import, which must work without a driver.
    """

    def __init__(self, function: Callable[..., None]):
        self.name = ".".join([*function.__module__.split(".")[-2:], function.__name__])
        self.function = function
        self._compiled = cuda.jit(function)
        self._cache = None if SIMULATED else _cache(function)
        if self._cache is not None:
            self._compiled._cache = self._cache
        driver = _driver()
        self._packed = None if driver is None else PackedLaunches(self._compiled.overloads, driver)
        kernels.append(self)

    def launch(self, blocks: int | tuple[int, ...], threads: int | tuple[int, ...], *args: Any) -> None:
        """Run it on a grid of ``blocks``, each of ``threads``."""
        if self._packed is None or not self._packed.launch(blocks, threads, args):
            self.launch_by_numba(blocks, threads, *args)
            if self._packed is not None:
                self._packed.learn(args)

    def launch_by_numba(self, blocks: int | tuple[int, ...], threads: int | tuple[int, ...], *args: Any) -> None:
        """``launch``, as Numba does it: it compiles what it has not compiled yet."""
        try:
            self._compiled[blocks, threads](*args)
        except BaseException:
            if self._cache is not None:
                self._cache.end_compilation()  # numba-cuda saves nothing after a compilation that failed
            raise


def kernel(function: Callable[..., None]) -> Kernel:
    """Decorate a kernel. It takes arrays and numbers and returns nothing.

    Without fast maths: a diverged loss must still read as NaN. Multiplications and additions fuse all the same.
    """
    return Kernel(function)


def device_function(function: Callable[..., Any]) -> Any:
    """Decorate a function that kernels call. It is inlined into each, so its arrays can stay in registers."""
    return function if SIMULATED else cuda.jit(device=True, forceinline=True)(function)


def emitting() -> tuple[Any, Any, Any]:
    """LLVM's ``ir``, the compiler's ``types`` and ``intrinsic``, which emit instructions. Not in the simulator."""
    from llvmlite import ir
    from numba.cuda import types
    from numba.cuda.extending import intrinsic

    return ir, types, intrinsic


def kernels_folder() -> CacheFolder:
    """The folder of the kernels compiled for GPUs."""
    return cache_folder(SOURCES, VERSION or "")


def _cache(function: Callable[..., None]) -> Any:
    """Where a compiled kernel is looked for, and where its compilation is reported: numba-cuda itself reports none."""
    from numba.cuda.dispatcher import CUDACache, NullCache  # the simulator has none

    folder = kernels_folder().path

    class Cache(CUDACache if folder else NullCache):  # type: ignore[misc]
        """Damage on the disk costs a compilation, not the run."""

        compilation: dict[str, Any] | None = None

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            found = None
            with contextlib.suppress(Exception):  # whatever a kernel of a patched Numba raises
                found = super().load_overload(sig, target_context)
            if found is None:
                self.compilation = {"dispatcher": function, "args": sig}
                event.start_event("numba:compile", self.compilation)
            return found

        def save_overload(self, sig: Any, data: Any) -> None:
            self.end_compilation()
            with saving():
                super().save_overload(sig, data)

        def end_compilation(self) -> None:
            """Report the end of the compilation in progress, if there is one."""
            compilation, self.compilation = self.compilation, None
            if compilation is not None:
                event.end_event("numba:compile", compilation)

        def _index_key(self, sig: Any, codegen: Any) -> Any:
            return sig, codegen.magic_tuple(), closure_of(function), self._launch_config_key

    if folder is None:
        return Cache()
    with cached_in(folder, cuda_config):
        cache = Cache(function)
    cache._cache_file = KernelFiles(folder, function, cache._cache_file._dump)
    return cache


def closure_of(function: Callable[..., Any]) -> tuple[Any, ...]:
    """The values a factory gave a function: constants, and device functions by name, each with its own closure.

    They tell apart kernels of one name in the cache. Numba's own key pickles device functions, and every process gets other bytes.
    Their sources need no key: the cache folder carries a digest of them.
    """
    values = [cell.cell_contents for cell in function.__closure__ or ()]
    functions = [getattr(value, "py_func", None) for value in values]
    return tuple(
        (inner.__module__, inner.__qualname__, closure_of(inner)) if inner else value
        for value, inner in zip(values, functions, strict=True)
    )


class Missing(NamedTuple):
    """The reason why the GPU cannot be used, and its remedy: two clauses of a message."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}. To use a GPU, {self.remedy}"


INSTALL = "install it: pip install 'numbacnn[cuda]', or 'numbacnn[cuda12]' for CUDA 12"


def missing_package() -> Missing | None:
    """The reason why kernels cannot even be defined: numba-cuda is missing, or of an unsupported version.

    Numba's own ``numba.cuda`` is deprecated, and serves the simulator only.
    """
    if VERSION is not None and not is_supported(VERSION):
        oldest, too_new = (".".join(map(str, version)) for version in (OLDEST, TOO_NEW))
        return Missing(f"numba-cuda {VERSION} is installed, expected {oldest} or later, before {too_new}", INSTALL)
    if not SIMULATED and getattr(numba_cuda, "implementation", "") != "NVIDIA":
        return Missing("the package numba-cuda is not installed", INSTALL)
    return None


def why_not() -> Missing | None:
    """The reason why kernels cannot run, and its remedy; None if they can."""
    if (missing := missing_package()) or SIMULATED:
        return missing
    available = cuda.is_available()  # False also if the driver works and only NVVM is missing
    lines = (cuda.cuda_error() or "").strip().splitlines()
    if lines:
        return Missing(
            f"no usable NVIDIA driver ({lines[0].strip().rstrip('.')})",
            "install NVIDIA's driver (on Ubuntu: sudo ubuntu-drivers install) or, if there is one, see what nvidia-smi says",
        )
    if library := missing_library():
        return Missing(f"the driver works, but the library {library}, which compiles kernels, is not there", INSTALL)
    if not available:
        return Missing("numba-cuda finds no GPU that it can use", "see what nvidia-smi and numba -s say")
    return _too_old()


@functools.cache
def array_class() -> Any:
    """The class of the device's arrays, see ``device_array.py``; None where there are none of numba-cuda's, as in the simulator."""
    if SIMULATED or missing_package():
        return None
    from numba.cuda.cudadrv.devicearray import DeviceNDArray

    return device_array_class(DeviceNDArray)


def keeping_words(array: Any) -> Any:
    """An array from numba-cuda as one of ours, in the same memory."""
    ours = array_class()
    if ours is None or not isinstance(array, ours.__base__):
        return array
    return ours(array.shape, array.strides, array.dtype, array.stream, array.gpu_data)


@functools.cache
def _driver() -> Driver | None:
    """What packed launches need; None where kernels are not launched by the driver."""
    if array_class() is None:
        return None
    from cuda.bindings import driver
    from numba.cuda.typing.typeof import typeof

    def handle_of(compiled: Any) -> Any:
        if compiled.debug or compiled.cooperative or compiled.extensions or compiled.launch_config_sensitive:
            return None
        # Not the function of one context: the driver launches a CUkernel in the context of the thread, whatever its device.
        return driver.CUfunction(int(compiled._codelibrary.get_cufunc().handle))

    return Driver(array_class(), typeof, handle_of, driver.cuLaunchKernel)


def missing_library() -> str | None:
    """The first compiler library that cannot be loaded; None if all can. No driver is needed for them."""
    from cuda.bindings import nvjitlink, nvrtc, nvvm  # numba-cuda depends on these; the libraries come with its extras

    for name, probe in (("NVVM", nvvm.version), ("NVRTC", nvrtc.nvrtcVersion), ("nvJitLink", nvjitlink.version)):
        try:
            probe()
        except Exception:  # each library has an error class of its own
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


@functools.cache
def multiprocessors() -> int:
    """Of the GPU in use; where there is none to ask, those of an H100. Few in the simulator, so that some grids are larger."""
    if SIMULATED:
        return 3
    try:
        return int(cuda.get_current_device().MULTIPROCESSOR_COUNT)
    except Exception:  # whatever a missing driver raises: kernels are compiled where no GPU is
        return 132


def gpu_uuid() -> str:
    """What tells this GPU from others of its name. Not in the simulator."""
    return str(cuda.get_current_device().uuid)


def _driver_version() -> str:
    from cuda.bindings import nvml
    from numba.cuda.cudadrv import driver

    newest = "for CUDA " + ".".join(map(str, driver.driver.get_version()))
    with contextlib.suppress(Exception):  # NVML may be missing, in a container say
        nvml.init_v2()
        return f"{nvml.system_get_driver_version()}, {newest}"
    return newest
