"""benchmarks/gpu_code.py: what a step's kernels are compiled to is counted, on next to nothing."""

import re
import subprocess
import sys

import pytest
from cuda_compiler import why_not
from repository import ROOT, benchmark

if reason := why_not():
    pytest.skip(reason, allow_module_level=True)


def test_a_line_for_each_grid_and_a_sum() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "gpu_code.py"), "--model=softmax", "--batch-size=7"],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    title, head, *lines, total = done.stdout.splitlines()
    assert title == "softmax, batch 7, sm_90a; an H100 has 132 multiprocessors"
    assert len({len(line) for line in [head, *lines]}) == 1, "a column is too narrow"
    rows = [line.split() for line in lines]
    assert {"plain.elementwise._gather_rows", "tiled.dense._product", "plain.updates._sgd"} <= {row[0] for row in rows}
    assert all(int(row[-5].replace(",", "")) >= 0 and int(row[-4]) > 0 and row[-2:] == ["0", "0"] for row in rows)
    found = re.fullmatch(r"(\d+) grids of (\d+) kernels: ([\d,]+) instructions, .*, 0 instructions of double precision", total)
    assert found is not None, total
    assert int(found[1]) == len(rows) >= int(found[2]) > 3
    assert int(found[3].replace(",", "")) > 500


def test_how_busy_a_grid_keeps_a_gpu() -> None:
    busy = benchmark("gpu_code").busy
    assert busy(132, 132) == busy(264, 132) == 1
    assert busy(154, 132) == pytest.approx(154 / 264)
    assert busy(1, 132) == pytest.approx(1 / 132)
