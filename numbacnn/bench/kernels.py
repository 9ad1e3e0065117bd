"""One convolution in every way that there is here: plain Python, NumPy, the readable kernel, the fast kernels, the GPU.

    GFLOP/s = 2 * MACs / seconds / 10^9

Each way is first compared with the sum in float64, then timed in turns with the others, so that all of them meet the same moods of the
machine. A call whose time does not count goes before each run: it finds its memory and fills the caches. The MACs are those of direct
summation, also for a transform, which does fewer.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.backends import compilations, compiled_anew, get_ops, gpu, using_threads, vector_unit, why_not_cuda
from numbacnn.bench import numpy_patches, plain_python
from numbacnn.bench.problem import Convolution, in_float64
from numbacnn.ops import Ops
from numbacnn.ranks import whole
from numbacnn.shapes import is_standard
from numbacnn.values import ConvBlock

MOST_RUNS, SECONDS = 10, 6.0
"""Of each way, and of all of them together; there are fewer runs if these seconds are over, and at least one."""

LEAST_RUN = 0.001
"""Seconds that a run takes at least: it is several calls if one takes less."""

MOST_CALLS = 1000

AGREEMENT = 1e-3
"""The largest difference of a right result, as a part of the largest output: a hundred times what Winograd's transforms lose."""


@dataclass(frozen=True)
class WayResult:
    """One way and its figures.

    Args:
        way: ``python``, ``numpy``, ``readable``, ``direct``, ``winograd``, ``frequency``, ``depthwise`` or ``gpu``.
        threads: of its kernels; None if they are not ours to choose (NumPy's BLAS, a GPU).
        seconds_min, seconds_median: of its runs, for the whole convolution.
        gflops: 2 * MACs / seconds_min / 10^9.
        share_of_peak: of the arithmetic that the CPU reaches at most on all threads, in 0...1, above 1 for a transform; None on a GPU.
        kernels_compiled, compile_seconds: of the first call; None where nothing is left to compile.
        difference: the largest from the sum in float64, of all values that it computed.
        part: the share of the MACs that it computed, in 0...1; the seconds are scaled to the whole.
    """

    way: str
    threads: int | None
    seconds_min: float
    seconds_median: float
    gflops: float
    share_of_peak: float | None
    kernels_compiled: int | None
    compile_seconds: float | None
    difference: float
    part: float


@dataclass(frozen=True)
class KernelReport:
    """All ways, and what they were measured on.

    Args:
        threads: of the ways on all threads.
        runs: of each way.
        vectors: the CPU's vector instructions.
        peak_gflops, peak_gflops_one_thread: the arithmetic that the CPU reaches at most, in float32.
        largest: of the outputs, as a magnitude, to compare differences with.
        chosen, reason: the way that a training step takes on this CPU, and why.
        gpu: the GPU's name; None if there is none, and then ``no_gpu`` is the reason.
    """

    problem: Convolution = field(repr=False)
    threads: int
    runs: int
    vectors: str
    peak_gflops: float
    peak_gflops_one_thread: float
    largest: float
    chosen: str
    reason: str
    gpu: str | None
    no_gpu: str | None
    ways: tuple[WayResult, ...]

    @property
    def wrong(self) -> tuple[WayResult, ...]:
        """The ways whose results are not the convolution's, NaN among them: their speed means nothing."""
        return tuple(way for way in self.ways if not way.difference <= AGREEMENT * self.largest)


class _Way(NamedTuple):
    """A way to compute.

    Args:
        call: computes, and may leave work on its device.
        values: from what ``call`` returned to an array on the host.
        finish: waits for its device.
        cells: (i, j, f) of the first image, if it computes no others.
        compiles: whether it has kernels that no way before it has compiled.
        is_settled: whether a run needs no call before it.
    """

    name: str
    threads: int | None
    call: Callable[[], Any]
    values: Callable[[Any], NDArray] = np.asarray
    finish: Callable[[], None] = lambda: None
    cells: Sequence[tuple[int, int, int]] | None = None
    compiles: bool = True
    is_settled: bool = False


def compare_kernels(
    problem: Convolution,
    threads: int | None = None,
    runs: int | None = None,
    *,
    anew: bool = False,
    on_gpu: bool | None = None,
    on_start: Callable[[int], None] = lambda ways: None,
) -> KernelReport:
    """Compute a convolution in every way, and time each.

    Args:
        threads: CPU threads; None for as many as kernels use now. They are as before when it returns or raises.
        runs: of each way, at least 1; None for at most MOST_RUNS, fewer if they take more than SECONDS.
        anew: compile kernels although the cache has them, to know how long that takes; those that this process has used are ready.
        on_gpu: None: if there is one.
        on_start: told the number of ways when they are compiled and checked, and the clock starts.

    Raises:
        DeviceError: the CPU or the GPU cannot be used.
    """
    with using_threads(threads) as count:
        ops = get_ops("cpu")
        no_gpu = _no_gpu() if on_gpu is None else None if on_gpu else "not asked for"
        chosen, reason, fast = _fast_ways(problem, ops, count)
        ways = [*_ways_of_python(problem), *_readable_ways(problem, count), *fast]
        devices = [ops]
        if no_gpu is None:
            devices.append(get_ops("cuda"))
            ways.append(_gpu_way(problem, devices[-1]))
        try:
            expected = in_float64(problem)
            with compiled_anew() if anew else nullcontext():
                checked = [_checked(way, problem, expected) for way in ways]
            on_start(len(ways))
            seconds, peaks = _timed(ways, runs, count)
        finally:
            for device in devices:
                device.release_memory()
        results = [_result(*each, problem, peaks[count]) for each in zip(ways, checked, seconds, strict=True)]
        return KernelReport(
            problem, count, len(seconds[0]), vector_unit()[0], peaks[count] / 1e9, peaks[1] / 1e9, float(np.abs(expected).max()),
            chosen, reason, None if no_gpu else gpu().name, no_gpu, tuple(results),
        )  # fmt: skip


# --- the ways -------------------------------------------------------------------------------------------------------------------


def _ways_of_python(problem: Convolution) -> list[_Way]:
    lists, cells = plain_python.as_lists(problem), plain_python.some_cells(problem)
    return [
        _Way("python", 1, lambda: plain_python.convolve(problem, lists, cells), cells=cells, compiles=False, is_settled=True),
        _Way("numpy", None, lambda: numpy_patches.convolve(problem), compiles=False),
    ]


def _readable_ways(problem: Convolution, threads: int) -> list[_Way]:
    plain = get_ops("cpu", plain=True)

    def call() -> Any:
        return plain.conv2d(problem.x, problem.filters, problem.bias, problem.window)

    ways = [_Way("readable", 1, call)]
    return ways if threads == 1 else [*ways, _Way("readable", threads, call, compiles=False)]


def _fast_ways(problem: Convolution, ops: Ops, threads: int) -> tuple[str, str, list[_Way]]:
    """The way that a training step takes, why, and a way for each algorithm that can compute this convolution."""
    from numbacnn.backends.cpu.conv.algorithm import choose_algorithm, is_depthwise
    from numbacnn.backends.cpu.ops import ALGORITHMS
    from numbacnn.backends.fused_pool import pool_geometry

    x, filters, bias, window = problem.x, problem.filters, problem.bias, problem.window
    channels, (_, _, _, maps) = x.shape[3], filters.shape

    def way(name: str, compute: Callable[[], Any]) -> _Way:
        def call() -> Any:
            with ops.reuse_memory():
                return compute()

        return _Way(name, threads, call)

    if is_depthwise(channels, filters.shape):
        return "depthwise", "each filter sees one channel", [way("depthwise", lambda: ops.conv2d(x, filters, bias, window))]
    if not is_standard(window, channels, filters.shape):
        return "readable", "dilation, or groups of channels", []
    pool = pool_geometry(window, None)

    def by(algorithm: str) -> _Way:
        return way(algorithm, lambda: ALGORITHMS[algorithm].conv2d(x, filters, bias, window, pool, False, whole(len(x)))[0])

    choice = choose_algorithm(len(x), window, channels, maps)
    return choice.algorithm, choice.reason, [by(name) for name in choice.costs]


def _no_gpu() -> str | None:
    """Why no GPU is measured; None if one is."""
    missing = why_not_cuda()
    if missing is not None:
        return missing.what
    from numbacnn.backends.cuda._jit import SIMULATED

    return "Numba's simulator is no GPU" if SIMULATED else None


def _gpu_way(problem: Convolution, ops: Ops) -> _Way:
    """Its arrays stay on the GPU: the way to it and back is not timed."""
    from numbacnn.backends.cuda._jit import cuda

    x, filters, bias = (ops.asarray(each) for each in (problem.x, problem.filters, problem.bias))
    block = ConvBlock(problem.window, relu=False, pool=None)

    def call() -> Any:
        with ops.reuse_memory():
            return ops.conv2d_block(x, filters, bias, block)[0]

    return _Way("gpu", None, call, ops.to_host, cuda.synchronize)


# --- the measurement ------------------------------------------------------------------------------------------------------------


class _Checked(NamedTuple):
    """What the first call of a way tells, and how long another one takes."""

    kernels: int
    compile_seconds: float
    difference: float


def _checked(way: _Way, problem: Convolution, expected: NDArray) -> _Checked:
    with _threads_of(way), compilations() as compiled:
        found = way.values(way.call())
    if way.cells is not None:
        expected = expected[0][tuple(np.transpose(way.cells))]
    assert found.shape == expected.shape, f"{way.name}: {found.shape}, not {expected.shape}"
    return _Checked(compiled.count, compiled.seconds, float(np.abs(found - expected).max()))


def _timed(ways: Sequence[_Way], runs: int | None, threads: int) -> tuple[list[list[float]], dict[int, float]]:
    """Seconds of each call, by way and run; and the highest rate of the CPU's arithmetic by threads, looked at in every turn."""
    from numbacnn.backends.cpu.peak import peak_rate

    seconds: list[list[float]] = [[] for _ in ways]
    peaks = dict.fromkeys((1, threads), 0.0)
    calls = [1] * len(ways)
    started = time.perf_counter()
    for run in range(runs or MOST_RUNS):
        for number in peaks:
            with using_threads(number):
                # While other programs hold a processor, threads wait for each other; but two never reach less than one.
                peaks[number] = max(peaks[number], peak_rate(), peaks[1])
        for index, way in enumerate(ways):
            with _threads_of(way):
                if not way.is_settled:
                    before = _run(way, 1)
                    if run == 0 and before < LEAST_RUN:
                        calls[index] = min(math.ceil(LEAST_RUN / before), MOST_CALLS)
                seconds[index].append(_run(way, calls[index]))
        if runs is None and time.perf_counter() - started > SECONDS:
            break
    return seconds, peaks


def _run(way: _Way, calls: int) -> float:
    """Seconds of a call, the mean of ``calls``."""
    start = time.perf_counter()
    for _ in range(calls):
        way.call()
    way.finish()
    return (time.perf_counter() - start) / calls


@contextmanager
def _threads_of(way: _Way) -> Iterator[None]:
    scope: AbstractContextManager[Any] = nullcontext() if way.threads is None else using_threads(way.threads)
    with scope:
        yield


def _result(way: _Way, checked: _Checked, seconds: Sequence[float], problem: Convolution, peak: float) -> WayResult:
    part = 1.0 if way.cells is None else len(way.cells) / math.prod(problem.output_shape)
    best, middle = min(seconds) / part, statistics.median(seconds) / part
    rate = 2 * problem.macs / best
    return WayResult(
        way=way.name,
        threads=way.threads,
        seconds_min=best,
        seconds_median=middle,
        gflops=rate / 1e9,
        share_of_peak=None if way.name == "gpu" else rate / peak,
        kernels_compiled=checked.kernels if way.compiles else None,
        compile_seconds=checked.compile_seconds if way.compiles else None,
        difference=checked.difference,
        part=part,
    )
