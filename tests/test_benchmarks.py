"""The benchmark against other frameworks runs and writes what it says; how fast anything is is not looked at."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repository import ROOT, benchmark

from numbacnn.datasets import load_dataset

DRIVER = ROOT / "benchmarks" / "peers.py"
MODULES = {"torch": ("torch",), "keras": ("keras", "tensorflow"), "onnxruntime": ("onnxruntime", "onnx")}


def peers(folder: Path, *args: object) -> tuple[dict[str, Any], str]:
    """Run the benchmark on next to nothing: what it wrote as JSON, and what it printed."""
    file = folder / "peers.json"
    done = subprocess.run(
        [sys.executable, str(DRIVER), "--quick", "--json", str(file), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text(encoding="utf-8")), done.stdout


def test_numbacnn_alone_is_measured_and_everything_is_written(tmp_path: Path) -> None:
    report, printed = peers(tmp_path, "--peers", "", "--only", "softmax-epoch,cnn-inference-1,cnn-train", "--rounds", 2)
    assert report["settings"] == {"threads": report["settings"]["threads"], "rounds": 2, "steps": 3, "quick": True}
    assert report["machine"]["processors"] >= 1
    assert report["versions"]["numbacnn"].keys() == {"numbacnn", "numba", "numpy"}
    epoch, inference, train = report["works"]
    assert [work["name"] for work in report["works"]] == ["softmax-epoch", "cnn-inference-1", "cnn-train"]
    assert "--data-dir" in train["skipped"]
    for work, count in ((epoch, 1), (inference, 75)):
        assert work["skipped"] is None
        assert work["failed"] == []
        (entry,) = work["entries"]
        assert (entry["peer"], entry["difference"]) == ("numbacnn", 0)
        assert [len(seconds) for seconds in entry["rounds"]] == [count, count]
        assert all(second > 0 for seconds in entry["rounds"] for second in seconds)
        assert entry["seconds"].keys() == {"median", "min", "max"}
    assert {target["met"] for target in report["targets"]} == {None}
    assert all(target["reason"] for target in report["targets"])
    assert "training epoch of softmax" in printed


def test_a_peer_that_is_not_there_is_named_with_the_way_to_install_it(tmp_path: Path) -> None:
    report, printed = peers(
        tmp_path, "--peers", "torch", "--torch-python", tmp_path / "no-such-python", "--only", "softmax-epoch", "--rounds", 1
    )
    assert "benchmarks/requirements-torch.txt" in report["missing"]["torch"]
    assert "PyTorch: not installed" in printed


@pytest.mark.parametrize("peer", MODULES)
def test_every_peer_has_its_requirements_file(peer: str) -> None:
    text = (DRIVER.parent / f"requirements-{peer}.txt").read_text(encoding="utf-8")
    assert all(name in text for name in MODULES[peer])


@pytest.mark.parametrize(
    ("peer", "work"), [("torch", "softmax-epoch"), ("keras", "softmax-epoch"), ("onnxruntime", "cnn-inference-1")]
)
def test_a_peer_gives_the_logits_of_numbacnn(peer: str, work: str, tmp_path: Path) -> None:
    if not all(map(importlib.util.find_spec, MODULES[peer])):
        pytest.skip(f"{peer} is not installed: pip install -r benchmarks/requirements-{peer}.txt")
    report, _ = peers(tmp_path, "--peers", peer, "--only", work, "--rounds", 1)
    (result,) = report["works"]
    assert result["failed"] == []
    theirs = [entry for entry in result["entries"] if entry["peer"] == peer]
    assert theirs
    assert all(entry["difference"] < 1e-3 and entry["ratio"]["median"] > 0 for entry in theirs)


def test_work_that_does_not_exist_is_a_usage_error() -> None:
    done = subprocess.run([sys.executable, str(DRIVER), "--only", "cnn-stepp"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "there is no 'cnn-stepp'" in done.stderr


def test_the_errors_of_long_sums_are_printed_and_small() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "sums.py")], capture_output=True, text=True, check=True, timeout=600
    )
    rows = done.stdout.splitlines()[1:]
    assert len(rows) == 5
    for row in rows:
        assert 0 < float(row.split()[-2]) < 64, row


def test_the_page_of_predict_has_a_row_for_each_kind_of_picture() -> None:
    kinds = benchmark("drawn_pictures").KINDS
    table = (ROOT / "docs" / "predict.md").read_text(encoding="utf-8").partition("<!-- pictures -->")[2]
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+ %|-) \| (\d+) \| \d+ \| (\d+) \| \d+ \| [\d.]+ \|$", table, re.MULTILINE)
    assert [name for name, *_ in rows] == list(kinds)
    for name, right, refused, wrong in rows:
        assert (right == "-") == (not kinds[name].holds_a_digit), name
        if right != "-":
            assert round(float(right[:-2]) * 5) + int(refused) + int(wrong) == 500, name


def test_a_kind_of_picture_is_the_same_for_the_same_digit_and_its_row_adds_up() -> None:
    drawn = benchmark("drawn_pictures")
    digits = load_dataset("digits", train_limit=1, test_limit=4).test_images[..., 0]
    for kind in drawn.KINDS.values():
        assert kind.file(digits[0], 3) == kind.file(digits[0], 3)
    measure = benchmark("pictures")

    def network(images: Any) -> Any:
        return measure.Answers(np.tile(np.eye(10)[7], (len(images), 1)), np.arange(len(images)) == 0)

    indices = np.arange(4)
    assert measure.row(drawn.KINDS["page"], digits, np.array([7, 7, 7, 1], np.uint8), indices, network)[:5] == (3, 0, 1, 1, 1)
    assert measure.row(drawn.KINDS["blank photo"], digits, np.full(4, 7, np.uint8), indices, network)[:5] == (0, 4, 0, 0, 0)
    assert measure.row(drawn.KINDS["two digits"], digits, np.full(4, 7, np.uint8), indices, network)[:4] == (0, 0, 4, 4)
    assert set(measure.chosen(500, 10_000, choose=False) % 2) == {1}
    assert set(measure.chosen(150, 10_000, choose=True) % 2) == {0}
