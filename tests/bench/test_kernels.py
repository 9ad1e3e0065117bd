"""The comparison of all ways: what is measured, what it says of a wrong one, and what it leaves as it was. No time is looked at."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest

from numbacnn.backends.cpu.conv.algorithm import choose_algorithm
from numbacnn.backends.cuda._jit import missing_package, numba_cuda
from numbacnn.bench import compare_kernels, convolution, kernels, numpy_patches
from numbacnn.bench.kernels import KernelReport
from numbacnn.errors import DeviceError
from numbacnn.graph import sequential
from numbacnn.layers import Conv2D, Dense, DepthwiseConv2D, Flatten, Layer
from numbacnn.models import preset

ROUNDING = 1e-4
"""Float32 beside float64, of outputs up to 5 that are sums of 800 products at most; Winograd's loses the most."""


@pytest.fixture(scope="module")
def small() -> KernelReport:
    """conv2 of the preset ``small``, which every algorithm can compute where vectors have 8 lanes or fewer."""
    return compare_kernels(convolution(preset("small").graph, "conv2", 9), runs=2, on_gpu=False)


def test_every_way_that_applies_is_there_and_right(small: KernelReport) -> None:
    choice = choose_algorithm(9, small.problem.window, 8, 16)
    threads = [1] if small.threads == 1 else [1, small.threads]
    assert [way.way for way in small.ways] == ["python", "numpy", *["readable"] * len(threads), *choice.costs]
    assert [way.threads for way in small.ways if way.way == "readable"] == threads
    assert (small.chosen, small.reason) == (choice.algorithm, choice.reason)
    for way in small.ways:
        assert 0 <= way.difference < ROUNDING, way.way
    assert small.ways[0].difference < 1e-12, "plain Python computes in float64"
    assert small.largest > 1


def test_the_figures_follow_from_the_seconds(small: KernelReport) -> None:
    assert small.runs == 2
    assert small.peak_gflops >= small.peak_gflops_one_thread > 0
    for way in small.ways:
        assert 0 < way.seconds_min <= way.seconds_median
        assert way.gflops == pytest.approx(2 * small.problem.macs / way.seconds_min / 1e9)
        assert way.share_of_peak == pytest.approx(way.gflops / small.peak_gflops)
        assert (way.part < 1) == (way.way == "python")
        assert (way.compile_seconds is None) == (way.kernels_compiled is None)
        assert (way.compile_seconds or 0.0) >= 0


def test_a_part_is_scaled_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred images, plain Python computes the first one."""
    monkeypatch.setattr(kernels, "_run", lambda way, calls: 1.0)
    report = compare_kernels(convolution(preset("xo").graph, batch_size=100), threads=1, runs=1, on_gpu=False)
    assert [(way.part, way.seconds_min) for way in report.ways] == [
        (pytest.approx(0.01), pytest.approx(100.0)),
        *[(1.0, 1.0)] * 3,
    ]


@pytest.mark.parametrize(
    ("layer", "ways", "chosen"),
    [
        (Conv2D(8, 3, dilation_rate=2), ["readable"], "readable"),
        (DepthwiseConv2D(3), ["readable", "depthwise"], "depthwise"),
    ],
)
def test_gaps_and_single_channels_have_their_own_ways(layer: Layer, ways: list[str], chosen: str) -> None:
    problem = convolution(sequential(layer, Flatten(), Dense(2), input_shape=(8, 8, 4)), batch_size=2)
    report = compare_kernels(problem, threads=1, runs=1, on_gpu=False)
    assert [way.way for way in report.ways] == ["python", "numpy", *ways]
    assert report.chosen == chosen
    assert all(way.difference < ROUNDING for way in report.ways)


def test_a_way_that_turns_its_filters_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = convolution(preset("xo").graph, batch_size=2)
    turned = numpy_patches.convolve

    def wrong(given: Any) -> Any:
        return turned(replace(given, filters=given.filters[::-1, ::-1].copy()))

    monkeypatch.setattr(numpy_patches, "convolve", wrong)
    report = compare_kernels(problem, threads=1, runs=1, on_gpu=False)
    assert [way.way for way in report.ways if way.difference > 0.1] == ["numpy"]


def test_the_number_of_threads_is_as_before_afterwards() -> None:
    before, problem = numba.get_num_threads(), convolution(preset("xo").graph, batch_size=2)
    report = compare_kernels(problem, threads=1, runs=1, on_gpu=False)
    assert (report.threads, numba.get_num_threads()) == (1, before)


def test_the_number_of_threads_is_as_before_after_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    before, problem = numba.get_num_threads(), convolution(preset("xo").graph, batch_size=2)

    def interrupted(*args: Any) -> Any:
        assert numba.get_num_threads() == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(kernels, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare_kernels(problem, threads=1, runs=1, on_gpu=False)
    assert numba.get_num_threads() == before


def test_more_threads_than_there_are_is_an_error_in_words() -> None:
    with pytest.raises(DeviceError, match="threads: expected at most"):
        compare_kernels(convolution(preset("xo").graph, batch_size=2), threads=1000)


def test_without_a_number_of_runs_they_end_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = convolution(preset("xo").graph, batch_size=2)
    monkeypatch.setattr(kernels, "SECONDS", 0.0)
    assert compare_kernels(problem, threads=1, on_gpu=False).runs == 1
    assert compare_kernels(problem, threads=1, runs=3, on_gpu=False).runs == 3


def test_the_clock_starts_once_every_way_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    checked: list[str] = []
    original = kernels._checked

    def noted(way: Any, *rest: Any) -> Any:
        assert not told
        checked.append(way.name)
        return original(way, *rest)

    monkeypatch.setattr(kernels, "_checked", noted)
    report = compare_kernels(convolution(preset("xo").graph, batch_size=2), threads=1, runs=1, on_gpu=False, on_start=told.append)
    assert told == [len(report.ways)] == [len(checked)]


SIMULATED = """
import json
from numbacnn.bench import compare_kernels, convolution
from numbacnn.models import preset

problem = convolution(preset("cs231n").graph, batch_size=2)
asked, found = (compare_kernels(problem, threads=1, runs=1, on_gpu=on_gpu) for on_gpu in (True, None))
gpu = asked.ways[-1]
print(json.dumps([gpu.way, gpu.threads, gpu.share_of_peak, gpu.difference, asked.gpu, len(found.ways), len(asked.ways), found.no_gpu]))
"""


@pytest.mark.skipif(numba_cuda is None, reason=str(missing_package()))
def test_a_gpu_is_one_more_way_and_the_simulator_is_no_gpu() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SIMULATED],
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    way, threads, share, difference, name, without, with_gpu, no_gpu = json.loads(done.stdout)
    assert (way, threads, share, name, no_gpu) == ("gpu", None, None, "Numba's simulator", "Numba's simulator is no GPU")
    assert difference < 1e-5
    assert with_gpu == without + 1


def test_nothing_of_a_way_is_left_in_the_arena() -> None:
    from numbacnn.backends import get_ops

    compare_kernels(convolution(preset("small").graph, "conv2", 9), threads=1, runs=1, on_gpu=False)
    assert get_ops("cpu").held_memory() == 0


def test_outputs_are_compared_over_their_whole_range(small: KernelReport) -> None:
    """A difference in one cell of the last image is as large as it is."""
    expected = kernels.in_float64(small.problem)
    wrong = expected.astype(np.float32)
    wrong[-1, -1, -1, -1] += 0.5
    way = kernels._Way("numpy", None, lambda: wrong)
    assert kernels._checked(way, small.problem, expected).difference == pytest.approx(0.5, abs=1e-5)
