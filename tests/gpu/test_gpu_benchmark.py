"""benchmarks/gpu.py, as far as it goes without a GPU: its arithmetic on the simulator's kernels, its times on a GPU of two clocks."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cuda_compiler import compile_kernel, why_not
from repository import ROOT, benchmark

from numbacnn.backends.cuda._jit import missing_package, numba_cuda

DRIVER = ROOT / "benchmarks" / "gpu.py"


@pytest.mark.skipif(numba_cuda is None, reason=str(missing_package()))
def test_a_step_is_taken_apart_into_its_kernels(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, str(DRIVER), "--dry", "--precision", "tf32", "--json", str(file)],
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["gpu"]["name"] == "Numba's simulator"
    (step,) = report["steps"]
    names = [kernel["kernel"] for kernel in step["kernels"]]
    assert {"plain.elementwise._gather_rows", "plain.loss._record_step", "plain.updates._adam"} <= set(names)
    assert report["precision"] == "tf32"
    assert {"tiled.dense._product_tf32", "tiled.conv2d._conv2d_pixels_tf32"} <= set(names)
    assert all(kernel["launches"] >= 1 and kernel["bytes"] > 0 and kernel["seconds"] > 0 for kernel in step["kernels"])
    assert {"dense", "conv2d_block", "conv2d_block_backward", "update"} <= {product["op"] for product in step["products"]}
    assert step["seconds"] > 0
    assert step["memory_of_step"] > 0
    assert "xo, batch 2" in done.stdout
    assert "plain.elementwise._gather_rows" in done.stdout


@pytest.mark.skipif(numba_cuda is None, reason=str(missing_package()))
def test_a_network_that_does_not_exist_is_a_usage_error() -> None:
    done = subprocess.run([sys.executable, str(DRIVER), "--dry", "--model", "nonesuch"], capture_output=True, text=True)
    assert done.returncode == 2


LAUNCH, COPY, PRODUCT = 100e-6, 5e-6, 50e-6
"""Seconds: what a launch takes the host, and two kernels the GPU."""


class Clocks:
    """A GPU that works off what the host queues: the time at which each of them is done with what it has been given."""

    def __init__(self) -> None:
        self.host = self.gpu = 0.0

    def queue(self, seconds: float) -> None:
        self.host += LAUNCH
        self.gpu = max(self.gpu, self.host) + seconds

    def synchronize(self) -> None:
        self.host = max(self.host, self.gpu)

    def event(self) -> Any:
        event = SimpleNamespace(time=0.0, synchronize=self.synchronize)
        event.record = lambda: setattr(event, "time", max(self.gpu, self.host))
        event.query = lambda: event.time <= self.host
        event.elapsed_time = lambda end: 1e3 * (end.time - event.time)
        return event

    def jit(self, function: Any) -> Any:
        assert function.__name__ == "_sleep"
        return {(1, 1): lambda milliseconds: self.queue(milliseconds / 1e3)}


class FakeKernel:
    """A kernel whose launch takes the host longer than the GPU."""

    def __init__(self, name: str, clocks: Clocks, seconds: float) -> None:
        self.name, self._clocks, self._seconds = name, clocks, seconds

    def launch(self, blocks: int, threads: int, *args: Any) -> None:
        self._clocks.queue(self._seconds)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Clocks]:
    module, clocks = benchmark("gpu"), Clocks()
    for name, value in (("cuda", clocks), ("Kernel", FakeKernel), ("SIMULATED", False)):
        monkeypatch.setattr(module, name, value)
    return module, clocks


def ops_of(clocks: Clocks) -> Any:
    """Ops of which a dense layer is two kernels."""
    copy, product = FakeKernel("copy", clocks, COPY), FakeKernel("product", clocks, PRODUCT)

    def dense(x: Any, kernel: Any, bias: Any) -> None:
        copy.launch(1, 1, x)
        product.launch(1, 1, (x, (kernel,)), np.float32(1))

    return SimpleNamespace(**dict.fromkeys(benchmark("gpu").OPS) | {"dense": dense})


X, W = np.zeros((4, 3), np.float32), np.zeros((3, 2), np.float32)


@pytest.mark.parametrize("busy", [0.0, 0.025])
def test_the_time_of_a_kernel_is_that_on_the_gpu_however_long_the_host_takes(clocks: tuple[Any, Clocks], busy: float) -> None:
    """25 ms are longer than the GPU's first sleep: such a step is measured again, and counts once."""
    module, times = clocks
    ops = ops_of(times)

    def step() -> None:
        times.host += busy
        ops.dense(X, W, None)

    launches, calls = module.taken_apart(ops, step, 3)
    assert {name: len(found) for name, found in launches.items()} == {"copy": 3, "product": 3}
    for name, seconds, size in (("copy", COPY, X.nbytes), ("product", PRODUCT, X.nbytes + W.nbytes)):
        for found, found_size in launches[name]:
            assert found == pytest.approx(seconds), "the launch, which takes the host longer, has been measured"
            assert found_size == size
    assert calls == {("dense", "(3, 2)", 48.0): [pytest.approx(COPY + PRODUCT)] * 3}


def test_figures_of_a_host_that_cannot_keep_ahead_are_refused(clocks: tuple[Any, Clocks]) -> None:
    module, times = clocks

    def step() -> None:
        times.host += 1

    with pytest.raises(SystemExit, match="the host takes more than 640 ms"):
        module.taken_apart(ops_of(times), step, 1)


def test_a_peak_is_measured_on_the_gpu_too(clocks: tuple[Any, Clocks]) -> None:
    module, times = clocks
    assert module.seconds_of(lambda: times.queue(COPY)) == pytest.approx(COPY)


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_the_kernel_that_sleeps_is_one_that_every_gpu_runs() -> None:
    import numba

    code = compile_kernel(SimpleNamespace(function=benchmark("gpu")._sleep), (numba.int64,))  # type: ignore[arg-type]
    assert all(each.registers > 0 for each in code.values())
