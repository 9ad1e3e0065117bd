"""The stand-in for the driver, put in place: from then on numba-cuda finds one GPU in this process, the PTX device.

It must come before anything of ``cuda.bindings`` is called, and before numbacnn's kernels are defined. Kernels are compiled by numba-cuda
as for a real GPU, but linked to PTX and with the lines of their sources; they are kept apart from those of real GPUs.
"""

import ctypes
import functools
import hashlib
import importlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from . import building
from .building import Built, build_driver, build_kernel, cache_folder


class Finding(NamedTuple):
    """A fault in a launch.

    Args:
        kind: "race", "out of bounds", "misaligned", "unwritten", "divergent barrier", "divergent warp" or "trap".
        text: the whole message.
    """

    kind: str
    text: str


class _Kernel(ctypes.Structure):
    """``Kernel`` of runtime.h, of which the counts of visits are read here, and ``instead`` is written."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("instead", "entry", "name", "run", "parameters")),
        *((name, ctypes.c_uint32) for name in ("parameter_count", "parameter_bytes", "shared_bytes", "local_bytes", "strided")),
        ("lines", ctypes.c_void_p), ("line_count", ctypes.c_uint32),
        ("visits", ctypes.POINTER(ctypes.c_uint64)), ("visit_count", ctypes.c_uint32), ("launches", ctypes.c_uint64),
    ]  # fmt: skip


class _Loaded(NamedTuple):
    """A kernel that the driver has been given."""

    ptx: str
    built: Built
    kernel: _Kernel
    library: ctypes.CDLL


class PtxDevice:
    """The device in place.

    Args:
        driver: its library.
        checked: whether accesses are checked.
    """

    def __init__(self, driver: ctypes.CDLL, checked: bool) -> None:
        self.driver, self.checked = driver, checked
        self.errors: list[str] = []
        """Of PTX that could not be loaded, until somebody clears them."""
        self._loaded: dict[int, _Loaded] = {}
        self._callback = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(self._load)
        driver.ptx_set_loader(self._callback)

    def _load(self, ptx: bytes) -> int | None:
        """The address of the kernel of a PTX text; None, and a line in ``errors``, if there is none."""
        try:
            loaded = self._built(ptx.decode())
        except Exception as error:
            self.errors.append(str(error))
            print(f"PTX device: {error}", file=sys.stderr)
            return None
        address = ctypes.addressof(loaded.kernel)
        self._loaded.setdefault(address, loaded)
        return address

    def _built(self, ptx: str) -> _Loaded:
        built = build_kernel(ptx, checked=self.checked)
        library = ctypes.CDLL(str(built.library))
        return _Loaded(ptx, built, _Kernel.in_dll(library, "ptx_kernel"), library)

    @contextmanager
    def changed(self, name: str, change: Callable[[str], str]) -> Iterator[None]:
        """Within it, a kernel that has been loaded runs from other PTX.

        Args:
            name: the kernel's; all of its kind, for whatever types and from whatever factory, are changed.
            change: from PTX to PTX.
        """
        kernels = [each for each in self._loaded.values() if each.built.name == name]
        assert kernels, f"{name}: expected a kernel that has run, got none"
        others = [self._built(change(each.ptx)) for each in kernels]
        for each, other in zip(kernels, others, strict=True):
            each.kernel.instead = ctypes.addressof(other.kernel)
        try:
            yield
        finally:
            for each in kernels:
                each.kernel.instead = None

    def findings(self) -> list[Finding]:
        """The faults since the last call."""
        count = self.driver.ptx_finding_count()
        found = [
            Finding(self.driver.ptx_finding_kind(k).decode(), self.driver.ptx_finding_text(k).decode(errors="replace"))
            for k in range(count)
        ]
        self.driver.ptx_forget_findings()
        return found

    @property
    def launches(self) -> int:
        """How many there have been."""
        return int(self.driver.ptx_launches())

    @property
    def kernels(self) -> set[str]:
        """The names of the kernels that have run."""
        return {each.built.name for each in self._loaded.values() if each.kernel.launches}

    def texts(self) -> dict[str, list[str]]:
        """The PTX of the kernels that have run, by their names."""
        found: dict[str, list[str]] = {}
        for each in self._loaded.values():
            if each.kernel.launches:
                found.setdefault(each.built.name, []).append(each.ptx)
        return found

    def counts(self) -> dict[str, Counter[str]]:
        """The instructions of all threads so far, by kernel and kind, see ``translation.kind_of``; and the "launches"."""
        found: dict[str, Counter[str]] = {}
        for _, built, kernel, _ in self._loaded.values():
            total = found.setdefault(built.name, Counter())
            total["launches"] += kernel.launches
            for k, block in enumerate(built.blocks):
                if visits := kernel.visits[k]:
                    total.update({kind: visits * count for kind, count in block.items()})
        return found

    @property
    def checks(self) -> int:
        """How many accesses have been checked."""
        kinds = [f"{what} {space}" for what in ("load", "store", "atomic") for space in ("global", "shared", "local", "generic")]
        return sum(counts[kind] for counts in self.counts().values() for kind in kinds)


class Unavailable(Exception):
    """The device cannot be put in place: the reason and its remedy."""


@functools.cache
def put_in_place(*, checked: bool = True, seed: int | None = None) -> PtxDevice:
    """Load the driver, and have numba-cuda and numbacnn use it. Once in a process.

    Args:
        checked: whether accesses are checked.
        seed: of the order of blocks and threads; by default of ``PTX_DEVICE_SEED``, or 1.

    Raises:
        Unavailable: gcc, numba-cuda or one of its libraries is missing.
    """
    if reason := building.why_not():
        raise Unavailable(reason)
    driver = ctypes.CDLL(str(build_driver()), ctypes.RTLD_GLOBAL)
    if reason := _why_no_compiler():  # imports numba-cuda, which looks for a driver at once
        raise Unavailable(reason)
    for name, result in (
        ("ptx_launches", ctypes.c_uint64),
        ("ptx_finding_kind", ctypes.c_char_p),
        ("ptx_finding_text", ctypes.c_char_p),
    ):
        getattr(driver, name).restype = result
    device = PtxDevice(driver, checked)
    driver.ptx_set_seed(ctypes.c_uint64(int(os.environ.get("PTX_DEVICE_SEED", "1")) if seed is None else seed))
    _link_to_ptx()
    _keep_apart()
    return device


def _why_no_compiler() -> str | None:
    from numbacnn.backends.cuda._jit import SIMULATED, missing_library, missing_package

    if SIMULATED:
        return "the PTX device needs numba-cuda itself: unset NUMBA_ENABLE_CUDASIM"
    if missing := missing_package():
        return f"the PTX device needs numba-cuda: {missing.what}; {missing.remedy}"
    if library := missing_library():
        return f"the PTX device needs the library {library}: pip install 'numbacnn[cuda]'"
    return None


def _link_to_ptx() -> None:
    """Have numba-cuda hand PTX to the driver where it would hand machine code, and say in it where each line comes from."""
    numba_cuda = importlib.import_module("numba.cuda")
    from cuda.bindings import nvjitlink, nvvm
    from cuda.core import ObjectCode
    from numba.cuda import codegen
    from numba.cuda.dispatcher import CUDADispatcher

    plain, compile_ = numba_cuda.jit, CUDADispatcher.compile

    def jit(function: Any = None, **options: Any) -> Any:
        options.setdefault("lineinfo", True)
        return plain(**options) if function is None else plain(function, **options)

    def get_cubin(self: Any, cc: Any = None) -> Any:
        cc = self._ensure_cc(cc)
        if not self._cubin_cache.get(cc):
            linker = codegen.driver._Linker(max_registers=self._max_registers, lineinfo=True, cc=cc, lto=self._lto)
            self._link_all(linker, cc, ignore_nonlto=True)
            self._cubin_cache[cc] = ObjectCode.from_ptx(linker.get_linked_ptx().rstrip(b"\0") + b"\0")
            self._linkerinfo_cache[cc] = ""
        return self._cubin_cache[cc]

    def compiled(self: Any, signature: Any) -> Any:
        try:
            return compile_(self, signature)
        except (nvvm.nvvmError, nvjitlink.nvJitLinkError):  # they refuse the lines of some kernels, as numba-cuda writes them
            if not self.targetoptions.get("lineinfo"):
                raise
            self.targetoptions["lineinfo"] = False
            return compile_(self, signature)

    numba_cuda.jit = jit
    CUDADispatcher.compile = compiled
    codegen.CUDACodeLibrary.get_cubin = get_cubin


def _keep_apart() -> None:
    """Keep kernels linked to PTX, and stamps of this device, away from those of real GPUs."""
    from numbacnn.backends.cuda import _jit
    from numbacnn.backends.kernel_cache import CacheFolder, folder_name, make_private

    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()  # how kernels are linked

    def kernels_folder() -> CacheFolder:
        folder = cache_folder() / "compiled" / folder_name(_jit.SOURCES, _jit.VERSION or "", own)
        folder.mkdir(parents=True, exist_ok=True)
        make_private(folder)
        return CacheFolder(folder)

    _jit.kernels_folder = kernels_folder
