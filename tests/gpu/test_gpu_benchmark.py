"""benchmarks/gpu.py, as far as it goes without a GPU: its arithmetic on the simulator's kernels."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

from numbacnn.backends.cuda._jit import missing_package, numba_cuda

DRIVER = ROOT / "benchmarks" / "gpu.py"


@pytest.mark.skipif(numba_cuda is None, reason=str(missing_package()))
def test_a_step_is_taken_apart_into_its_kernels(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, str(DRIVER), "--dry", "--json", str(file)],
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["gpu"]["name"] == "Numba's simulator"
    (step,) = report["steps"]
    names = [kernel["kernel"] for kernel in step["kernels"]]
    assert {"plain.elementwise._gather_rows", "plain.loss._record_step", "plain.updates._adam"} <= set(names)
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
