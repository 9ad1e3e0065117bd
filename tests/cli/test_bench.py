"""``numbacnn bench kernels``: what it prints and draws, and what it refuses before any work."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import run_here
from numbacnn_cli import bench_kernels
from PIL import Image

from numbacnn import bench
from numbacnn.bench import numpy_patches

XO = ("bench", "kernels", "--model", "xo", "--batch-size", 3, "--runs", 1, "--threads", 1)


def test_bench_alone_lists_the_benchmarks_with_a_command_of_each() -> None:
    done = run_here("bench")
    assert done.code == 0
    assert "kernels: Compute one convolution in every way" in done.out
    assert "numbacnn bench kernels" in done.out
    (entry,) = json.loads(run_here("bench", "--format", "json").out)
    assert entry["benchmark"] == "kernels"
    assert run_here("bench", "--format", "json", "kernels").code == 2


def test_the_table_fits_a_terminal_of_80_columns_and_needs_ascii_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = run_here(*XO)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(lines[:2]).startswith("conv1 of xo: 3 images of 9 x 9 x 1, 3 filters of 3 x 3, to 7 x 7 x 3; 3,969 MACs = ")
    (head,) = (line for line in lines if line.startswith("way "))
    assert [word for word in ("threads", "best", "GFLOP/s", "compile", "error") if word not in head] == []
    rows = [line for line in lines if re.fullmatch(r".*\d\.\de[-+]\d\d", line)]
    assert [re.split("  +", row)[0] for row in rows] == ["plain Python *", "NumPy, im2col", "Numba, readable", "Numba, direct"]
    whole = " ".join(lines)
    for words in (
        "33.33% of it",
        "1 run of each way",
        "2 x MACs",
        "measured: multiply-adds",
        "from a sum in float64",
        "GPU: none",
    ):
        assert words in whole
    assert done.out.replace("─", "-").isascii()
    assert "timing 4 ways, in turns" in done.err


def test_a_way_that_computes_something_else_is_named_and_the_exit_code_is_1(monkeypatch: pytest.MonkeyPatch) -> None:
    original = numpy_patches.convolve
    monkeypatch.setattr(numpy_patches, "convolve", lambda problem: original(problem) * float("nan"))
    done = run_here(*XO)
    assert done.code == 1
    assert "NumPy, im2col is WRONG: its error is nan. Its speed means nothing." in done.out
    assert done.out.count("WRONG") == 1
    assert run_here(*XO, "--format", "json").code == 1


def test_as_json_it_is_one_object_with_the_figures_of_every_way() -> None:
    report = json.loads(run_here(*XO, "--format", "json").out)
    assert (report["model"], report["layer"], report["batch_size"], report["threads"], report["runs"]) == ("xo", "conv1", 3, 1, 1)
    assert (report["input_shape"], report["kernel_shape"], report["output_shape"]) == ([9, 9, 1], [3, 3, 1, 3], [7, 7, 3])
    assert (report["macs"], report["flops"]) == (3 * 7 * 7 * 3 * 9, 2 * 3 * 7 * 7 * 3 * 9)
    assert report["plot"] is None
    assert [way["way"] for way in report["ways"]] == ["python", "numpy", "readable", "direct"]
    for way in report["ways"]:
        assert way["gflops"] == pytest.approx(report["flops"] / way["seconds_min"] / 1e9)
        assert way["difference"] < 1e-5


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([bench_kernels._duration(s) for s in (273.4, 0.9996, 0.0123, 0.00234, 4.56e-7)], "273 s, 1,000 ms, 12.3 ms, 2.34 ms, 0.456 us"),
        ([bench_kernels._three_digits(v) for v in (72_612, 99.96, 9.996, 0.5, 0.00734)], "72,600, 100, 10.0, 0.500, 0.0073"),
        ([bench_kernels._percent(s) for s in (1.914, 0.0996, 0.0214, 0.00044, 1e-9)], "191%, 10%, 2.1%, 0.04%, <0.01%"),
    ],
)  # fmt: skip
def test_figures_have_the_digits_that_mean_something(shown: list[str], expected: str) -> None:
    assert ", ".join(shown) == expected


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_plot_has_a_bar_for_each_way(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra plot: pip install 'numbacnn[plot]'")
    picture = tmp_path / f"bars.{suffix}"
    done = run_here(*XO, "--plot", picture)
    assert done.code == 0, done.err
    assert f"wrote {picture}" in done.out
    if suffix == "svg":
        assert picture.read_bytes().startswith(b"<?xml")
        return
    with Image.open(picture) as image:
        assert image.size == (1000, 320)
        column = [image.convert("RGB").getpixel((x, y)) for x in (230,) for y in range(image.height)]
    runs = re.findall("b+", "".join("b" if pixel == (0, 114, 178) else "." for pixel in column))
    assert len(runs) == 4, "one bar below the other"


def test_without_matplotlib_the_table_is_there_and_the_error_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.backends.backend_agg", raising=False)
    done = run_here(*XO, "--plot", tmp_path / "bars.png")
    assert done.code == 1
    assert "Numba, readable" in done.out
    assert "wrote" not in done.out
    assert "pip install 'numbacnn[plot]'" in done.err.splitlines()[0], "before the work, and after it"
    assert done.err.splitlines()[-1].startswith("Error: plot: expected matplotlib")
    assert list(tmp_path.iterdir()) == []
    report = run_here(*XO, "--plot", tmp_path / "bars.png", "--format", "json")
    assert (report.code, json.loads(report.out)["plot"]) == (1, None)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--layer", "conv3"], 2, "no layer 'conv3'. Did you mean 'conv2'?"),
        (["--layer", "flatten1"], 2, "flatten1: expected a convolution of cnn, got a layer Flatten"),
        (["--model", "softmax"], 1, "softmax: expected a network with a convolution, got none"),
        (["--model", "cn"], 2, "Did you mean 'cnn'?"),
        (["--batch-size", "0"], 2, "expected a whole number of at least 1, got '0'"),
        (["--runs", "0"], 2, "expected a whole number of at least 1, got '0'"),
        (["--threads", "1000"], 1, "threads: expected at most"),
        (["--batch-size", "1000000000"], 1, "Use a smaller --batch-size"),
        (["--plot", "bars.gif"], 2, "expected a name that ends in .png, .svg or .pdf"),
        (["--plot", "missing/bars.png"], 1, "missing/bars.png: expected a folder to write it to, got none"),
        (["--plot", "folder.png"], 1, "folder.png: cannot be written: expected a file, got a folder"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    args: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: Any, **options: Any) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "compare_kernels", never)
    (tmp_path / "folder.png").mkdir()
    done = run_here("bench", "kernels", *args)
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.usefixtures("heeded_signals")
def test_ctrl_c_ends_the_measurement_and_leaves_no_picture(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "from numbacnn_cli.main import run; run()"]
    args = ["bench", "kernels", "--model", "xo", "--batch-size", "3", "--runs", "1000000", "--threads", "1"]
    process = subprocess.Popen([*program, *args], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    assert any("timing 4 ways" in line for line in lines)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in error
    assert "Stopped." in error
    assert list(tmp_path.iterdir()) == []
