"""How every CPU kernel is compiled; ``kernel_cache`` has the folder of the compiled code.

A *kernel* is a compiled function in this folder. The arrays that layers call kernels are ``filters`` in a convolution and ``weights``
in a dense layer.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numba.extending
from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys

from numbacnn.backends.kernel_cache import cache_folder, cached_in, saving
from numbacnn.backends.kernel_files import KernelFiles
from numbacnn.backends.threading_layer import ParallelKernel

SOURCES = Path(__file__).parent

# Otherwise Numba makes a parallel loop of every np.zeros and slice, and each takes half a second to compile.
PRANGE_ONLY = {"prange": True} | dict.fromkeys(
    ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False
)


class _KernelCache(FunctionCache):
    """Numba's cache of one kernel. A damaged file or a full disk costs a compilation, not the run.

    Numba itself first registers everything that it can compile, 0.2 s, before it loads the first kernel. A compiled kernel needs
    Numba's run-time functions only; if a kernel has to be compiled later, Numba registers the rest then.
    """

    def __init__(self, function: Callable, folder: Path) -> None:
        super().__init__(function)
        self._cache_file = KernelFiles(folder, function, self._cache_file._dump)  # type: ignore[assignment]

    is_read = True

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        if not self.is_read:
            return None
        try:
            rtsys.initialize(target_context)
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)
        except Exception:  # a patched Numba may raise anything
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with saving():
            super().save_overload(sig, data)


@contextlib.contextmanager
def compiled_anew() -> Iterator[None]:
    """Within it, kernels that this process has not used yet are compiled, whatever the cache holds; the cache keeps them."""
    _KernelCache.is_read = False
    try:
        yield
    finally:
        _KernelCache.is_read = True


def kernel(*, parallel: bool = False, inline: bool | str = False) -> Callable[[Callable], Any]:
    """Decorate a kernel: ``@kernel(parallel=True)``.

    None is compiled with fast maths: LLVM would reorder sums, and fuse products with sums, by the length of this CPU's vectors, and
    the bits would differ from those of another CPU. Where a fused multiply-add or a sum in parts is wanted, an intrinsic of
    ``codegen`` says so.

    Args:
        parallel: run ``prange`` loops on all threads. Each iteration owns the outputs it writes, so the result does not depend on
            the number of threads.
        inline: for a small function that only kernels call: compiled into its callers, not cached. ``"always"`` copies its source
            into them, so that constant arguments stay constants and it is not compiled a second time.
    """
    options: dict[str, Any] = {
        "parallel": PRANGE_ONLY if parallel else False,
        "error_model": "numpy",
    }
    if inline == "always":
        options["inline"] = inline

    def decorate(function: Callable) -> Any:
        dispatcher = numba.njit(**options)(function)
        if dispatcher is function:  # because of NUMBA_DISABLE_JIT
            return dispatcher
        if parallel:
            dispatcher.__class__ = ParallelKernel
        folder = None if inline else _cache_folder()
        if folder is not None:
            with cached_in(folder, numba.config):
                dispatcher._cache = _KernelCache(function, folder)
        return dispatcher

    return decorate


@functools.cache
def _cache_folder() -> Path | None:
    """The folder of the kernels, with those of the installed package in it if it had none; None if there is no folder."""
    folder = cache_folder(SOURCES)
    if folder.path is not None and not folder.kernels():
        from numbacnn.backends.packaged_kernels import lay_packaged  # seldom needed

        lay_packaged(folder.path)
    return folder.path


def shared(function: Callable) -> Any:
    """Decorate a small function of numbers that Python and kernels both call."""
    return numba.extending.register_jitable(error_model="numpy")(function)


class CompilationListener(event.Listener):
    """Counts compilations, not loads from the cache, and calls ``on_first`` when the first one starts.

    Attributes:
        count: compilations begun.
        seconds: that those which have ended took.
    """

    def __init__(self, on_first: Callable[[], None] = lambda: None, on_each: Callable[[int], None] = lambda count: None):
        self.count = 0
        self.seconds = 0.0
        self._depth = 0
        self._started = 0.0
        self._on_first = on_first
        self._on_each = on_each

    @property
    def progress(self) -> tuple[int, float] | None:
        """The compilations that have ended, and the seconds so far, from any thread; None unless one is going on."""
        depth, seconds, now = self._depth, self.seconds, time.perf_counter()
        return (self.count - depth, seconds + now - self._started) if depth else None

    def on_start(self, event: Any) -> None:
        if self.count == 0:
            self._on_first()
        self.count += 1
        if self._depth == 0:
            self._started = time.perf_counter()
        self._depth += 1

    def on_end(self, event: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._started
        self._on_each(self.count - self._depth)


def listen(listener: CompilationListener) -> Any:
    """A context manager in which ``listener`` is told of every compilation."""
    return event.install_listener("numba:compile", listener)
