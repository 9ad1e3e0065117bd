"""Devices. Only ``get_ops`` chooses a device, and only this folder imports Numba."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from numbacnn.backends import threads as _threads
from numbacnn.backends.precisions import FLOAT32, PRECISIONS, TF32
from numbacnn.errors import DeviceError
from numbacnn.ops import Ops

if TYPE_CHECKING:
    from numbacnn.backends.cuda._jit import Gpu, Missing

DEVICES = ("cpu", "cuda", "auto")


def get_ops(
    device: str = "cpu",
    threads: int | None = None,
    *,
    exact_conv: bool = False,
    precision: str = FLOAT32,
    plain: bool = False,
    on_check: Callable[[], None] = lambda: None,
) -> Ops:
    """The ops of a device.

    Args:
        device: ``"cpu"``, ``"cuda"`` or ``"auto"`` (the fastest one that works).
        threads: CPU threads; None to keep the number of this process, at first all that the machine grants. Changes no result.
        exact_conv: sum every convolution directly, even where a transform is faster. Results agree to about seven digits.
        precision: of a GPU's products: ``"float32"`` or ``"tf32"``, whose factors have 10 bits of fraction; sums are float32. See
            ``cuda/tiled/tf32.py``.
        plain: compute by the CPU's readable kernels alone, as ``functional`` does. A GPU has one set of kernels, and ignores it.
        on_check: called before a GPU is checked at its first use, which takes seconds.

    Raises:
        DeviceError: the device cannot be used, or not with the environment's variables for Numba; or a GPU, at its first use, computes
            other numbers than the CPU. No other device silently takes over.
    """
    if device not in DEVICES:
        raise DeviceError(f"device: expected one of {', '.join(DEVICES)}, got {device!r}")
    if precision not in PRECISIONS:
        raise DeviceError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    _start_threads(threads)
    from numbacnn.backends import environment  # late, as the options of commands need this module's names alone

    if environment.import_numba().config.DISABLE_JIT and not plain:
        raise DeviceError(
            "NUMBA_DISABLE_JIT: expected 0, got 1: Python can run the readable kernels of numbacnn.functional, but not those of a "
            "network. Unset this environment variable"
        )
    reason = why_not_cuda() if device != "cpu" else None
    if device == "cuda" and reason:
        raise DeviceError(f"--device cuda: {reason.what}. Use --device cpu, or {reason.remedy}")
    if device != "cpu" and not reason:
        from numbacnn.backends.cuda import self_check
        from numbacnn.backends.cuda.ops import CudaOps

        ops = CudaOps(precision)
        self_check.check_once(ops, on_check)
        return ops
    if precision == TF32:
        no_gpu = f", which is the CPU, as {reason.what}" if reason else ""
        raise DeviceError(
            f"--precision tf32: expected --device cuda, as only GPUs multiply in TF32, got --device {device}{no_gpu}. "
            "Use --device cuda, or --precision float32"
        )
    # Imported after the number of threads is settled: Numba reads it once, when imported.
    if plain:
        from numbacnn.backends.cpu.plain.ops import PlainOps

        return PlainOps()
    from numbacnn.backends.cpu.ops import CpuOps

    return CpuOps(exact_conv, adapts=threads is None)


def vector_unit() -> tuple[str, int]:
    """The vector instructions that kernels are compiled for, and the float32 values in one vector."""
    from numbacnn.backends.cpu.vector_unit import VECTOR_UNIT

    return VECTOR_UNIT.name, VECTOR_UNIT.lanes


def rounds_once() -> bool:
    """Whether kernels multiply and add with a single rounding, as all processors with fma do: the condition for equal networks."""
    from numbacnn.backends.cpu.vector_unit import VECTOR_UNIT

    return VECTOR_UNIT.fuses


def why_not_cuda() -> "Missing | None":
    """Why ``--device cuda`` cannot be used on this machine, and the remedy; None if it can."""
    from numbacnn.backends.cuda._jit import why_not  # late: the import takes half a second

    return why_not()


def gpu() -> "Gpu":
    """The GPU that ``--device cuda`` computes on; only if ``why_not_cuda`` is None."""
    from numbacnn.backends.cuda._jit import gpu

    return gpu()


def _start_threads(threads: int | None) -> None:
    from numbacnn.backends import environment, processor

    if threads is not None and not 1 <= threads <= _threads.MOST_THREADS:
        raise DeviceError(f"threads: expected 1 to {_threads.MOST_THREADS}, got {threads}")
    if "numba" not in sys.modules:
        # Numba fixes the largest possible number when it is imported. An explicit ``threads`` overrides the environment and may exceed
        # the processors: tests use that to show that the number of threads changes no result.
        environment.check_number_of_threads()
        os.environ["NUMBA_NUM_THREADS"] = str(max(threads or 1, _threads.available()))
        _threads.wait_briefly()
    numba = environment.import_numba()
    environment.check()
    processor.check()
    if threads is None:
        return
    from numbacnn.backends import threading_layer

    most = getattr(numba.config, "NUMBA_NUM_THREADS")  # noqa: B009  type checkers do not see it
    if threads > most:
        raise DeviceError(
            f"threads: expected at most {most}, the number Numba was started with in this process, got {threads}. "
            f"Ask for fewer, or start with NUMBA_NUM_THREADS={threads}"
        )
    threading_layer.start()
    numba.set_num_threads(threads)


@contextmanager
def using_threads(threads: int | None = None) -> Iterator[int]:
    """Within it, kernels that this thread calls run on ``threads`` threads; None for as many as now. Yields their number.

    Raises:
        DeviceError: as ``get_ops``.
    """
    before = _number_of_threads() if "numba" in sys.modules else _threads.available()
    _start_threads(threads)
    from numbacnn.backends import environment

    try:
        yield _number_of_threads()
    finally:
        environment.import_numba().set_num_threads(before)


def _number_of_threads() -> int:
    from numbacnn.backends import environment, threading_layer

    threading_layer.start()
    return int(environment.import_numba().get_num_threads())


def has_compiled_kernels() -> bool | None:
    """Whether the cache has any kernel of the CPU; None if there is no cache."""
    from numbacnn.backends.cpu._jit import SOURCES
    from numbacnn.backends.kernel_cache import cache_folder

    folder = cache_folder(SOURCES)
    return None if folder.path is None else bool(folder.kernels())


def kernel_cache_problem() -> str:
    """Why compiled kernels are not kept, as a clause; empty if they are."""
    from numbacnn.backends.cpu._jit import SOURCES
    from numbacnn.backends.kernel_cache import cache_folder, failure_to_save

    return cache_folder(SOURCES).problem or failure_to_save()


@contextmanager
def compilations(
    on_first: Callable[[], None] = lambda: None, on_each: Callable[[int], None] = lambda count: None
) -> Iterator[Any]:
    """Count the compilations of kernels, for the CPU and the GPU: yields an object with ``count``, ``seconds`` and ``progress``.

    Args:
        on_first: called when the first compilation starts; loading from the cache is no compilation.
        on_each: called when a compilation ends, with the number of those that have.
    """
    from numbacnn.backends.cpu import _jit

    listener = _jit.CompilationListener(on_first, on_each)
    with _jit.listen(listener):
        yield listener


def compiled_anew() -> AbstractContextManager[None]:
    """Within it, kernels of the CPU that this process has not used yet are compiled, whatever the cache holds; the cache keeps them."""
    from numbacnn.backends.cpu import _jit

    return _jit.compiled_anew()
