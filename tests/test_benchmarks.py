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
from ranked import needs_mpi
from repository import ROOT, benchmark

from numbacnn.backends.cpu.conv.exchange import gradient_of_filters
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


def test_the_model_of_a_cluster_adds_what_it_says() -> None:
    cluster = benchmark("cluster")
    network = cluster.Network("wire", latency=1.0, overhead=0.25, bandwidth=100.0)
    work = cluster.computation([50, 100, 200], [7.5, 12.0, 21.0], [1.5, 2.0, 3.0])  # 2 + 0.08 n, and 1 + 0.01 n of updates
    assert [round(each, 6) for each in vars(work).values()] == [2.0, 0.08, 1.0, 0.01]
    rows, tiny = cluster.Exchange("rows", 0, 3, 4), cluster.Exchange("sum", 10, 1, 4)
    large = cluster.Exchange("sum", 8000, 1, 4)
    alone = cluster.step(1, 100, work, [rows, tiny, large], network)
    assert (round(alone.seconds, 6), alone.exchanged) == (12.0, (0, 0, 0.0))
    parts = cluster.shares(4, 100)
    assert [part.images for part in parts] == [25] * 4
    assert cluster.exchange_cost(rows, parts, network) == (2, 900, 2.0 + 9.0)  # log2(4) rounds; 75 images of 12 bytes
    assert cluster.exchange_cost(tiny, parts, network) == (2, 120, 2.0 + 1.2)
    to_one, to_all = 24_000 / 100 + 1.0 + 2 * 0.25, 24_000 / 100 + 2.0
    assert cluster.exchange_cost(large, parts, network) == (3 + 2, 48_000, to_one + to_all)
    step = cluster.step(4, 100, work, [tiny], network)
    assert (round(step.computed, 6), round(step.repeated, 6)) == (2 + 0.08 * 25 + 2, 2 + 2)
    assert round(step.seconds - step.computed, 6) == 3.2
    assert round(cluster.step(4, 100, work, [], network, processors=2).computed, 6) == 2 * 6
    assert cluster.step(16, 100, work, [], network) is None  # 8 groups
    assert [cluster.gather_rounds(*each) for each in ((4, 10**5), (3, 10**5), (3, 10**4), (4, 10**6))] == [2, 2, 2, 3]
    found = cluster.measured_network("", [(1, 100, 3.0), (3, 300, 9.0), (1, 1000, 12.0)])  # 2 s and 0.01 s a byte
    assert [round(each, 6) for each in found[1:]] == [2.0, 2.0, 100.0]


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_the_bytes_of_the_model_are_those_that_a_training_step_exchanges(ranks: int) -> None:
    """Batch 100 has 8 groups: with 3 and with 5 ranks, shares and branches differ."""
    driver = benchmark("ranks")
    steps = [driver.pretended_step("small", driver.Pretended(rank, ranks), 100) for rank in range(ranks)]
    assert {each.kind for each in steps[0].exchanges} == {"rows", "sum"}
    assert steps[0].exchanges == driver.exchanges_of("small")
    check_bytes(steps, 100)


@pytest.mark.parametrize("ranks", [2, 3, 4, 5])
def test_the_bytes_of_the_model_are_those_of_filters_that_ranks_add_by_channels(ranks: int) -> None:
    cluster, steps = benchmark("cluster"), []
    for rank in range(ranks):
        steps.append(cluster.Pretended(rank, ranks))
        share = steps[-1].shares(100)[rank]
        sums = [np.zeros((130, 2, 4, 16), np.float32)] * len(share.branches)
        gradient_of_filters(share, sums, (5, 5, 4, 12), lambda total, cells: None)
    assert steps[0].exchanges == [cluster.Exchange("parts", 4, 130 * 2 * 16, 4), cluster.Exchange("items", 4, 5 * 5 * 12, 4)]
    check_bytes(steps, 100)


def check_bytes(steps: list[Any], batch: int) -> None:
    """The model takes the busiest rank of each exchange, and so as many bytes as the busiest rank of the step, or a few more."""
    cluster = benchmark("cluster")
    parts = cluster.shares(len(steps), batch)
    modelled = sum(cluster.exchange_cost(each, parts, cluster.NETWORKS[0]).bytes for each in steps[0].exchanges)
    received = max(step.received for step in steps)
    assert received <= modelled <= (1 if len(steps) == 2 else 1.3) * received


@needs_mpi
def test_ranks_are_measured_in_turns_and_everything_is_written(tmp_path: Path) -> None:
    file = tmp_path / "ranks.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "ranks.py"), "--quick", "--models", "small", "--json", str(file)]
    done = subprocess.run([*command, "--network", "1,0.1,100"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text(encoding="utf-8"))
    assert {(each["kind"], each["ranks"]) for each in report["collectives"]} == {("all_gather", 2), ("all_to_all", 2)}
    assert all(each["seconds"] > 0 for each in report["collectives"])
    (small,) = report["models"]
    assert [entry["variant"] for entry in small["entries"]][:2] == ["1 process, 1 thread", "2 ranks, 1 thread each"]
    assert len({entry["versions"]["weights"] for entry in small["entries"]}) == 1
    assert all(second > 0 for entry in small["entries"] for seconds in entry["rounds"] for second in seconds)
    modelled = [each for each in small["modelled"] if (each["nodes"], each["scaling"]) == (2, "weak")]
    assert {each["network"] for each in modelled} >= {"10 GbE", "1,0.1,100 (--network)", "shared memory, as measured"}
    assert {each["batch"] for each in modelled} == {200}
    assert max(each["nodes"] for each in small["modelled"] if each["scaling"] == "weak") == 1024
    assert max(each["nodes"] for each in small["modelled"] if each["scaling"] == "strong") == 64
    assert "small, 1,000 images in all" in done.stdout
    cluster = benchmark("cluster")
    costs = [
        cluster.exchange_cost(cluster.Exchange(**each), cluster.shares(2, 100), cluster.NETWORKS[0])
        for each in small["exchanges"]
    ]
    assert small["bytes"] == {"2": sum(cost.bytes for cost in costs)}
