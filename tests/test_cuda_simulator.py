"""Every CUDA kernel, without a GPU: ``tests/cuda`` in a process of its own, where Numba simulates the device."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_every_cuda_kernel_in_the_simulator(capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(HERE / "cuda")],
        cwd=HERE.parent, env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout
    assert "skipped" not in done.stdout, done.stdout
    with capsys.disabled():
        print(f"\n{passed[1]} tests of CUDA kernels passed in the simulator")
