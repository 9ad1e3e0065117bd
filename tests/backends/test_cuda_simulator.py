"""Every CUDA kernel, without a GPU: the cases of CUDA in processes of their own, where Numba simulates the device."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from numbacnn.backends.cuda._jit import missing_package, numba_cuda

HERE = Path(__file__).parent

PROCESSES = 2
"""A simulator keeps one processor busy."""


@pytest.mark.skipif(numba_cuda is None, reason=str(missing_package()))
def test_every_cuda_kernel_in_the_simulator(capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted([*HERE.glob("test_*.py"), *(HERE / "cuda").glob("test_*.py")], key=lambda path: path.stat().st_size)
    running = [start(files[first::PROCESSES]) for first in range(PROCESSES)]
    passed = 0
    for process in running:
        output, _ = process.communicate()
        assert process.returncode == 0, output
        assert "skipped" not in output, output
        passed += int(re.findall(r"(\d+) passed", output)[-1])
    with capsys.disabled():
        print(f"\n{passed} tests of CUDA kernels passed in the simulator")


def start(files: list[Path]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, files)],
        cwd=HERE, env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
