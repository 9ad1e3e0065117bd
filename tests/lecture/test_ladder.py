"""The ladder: each rung is what its command trains, and the remarks say what the figures do."""

import csv
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from command_line import run_here
from numbacnn_cli.signals import Terminated

from numbacnn.datasets import load_dataset
from numbacnn.lecture.contenders import CONTENDERS
from numbacnn.lecture.ladder import RUNGS, Rung, climb, remarks
from numbacnn.models import PRESETS

lecture_ladder = import_module("numbacnn_cli.lecture_ladder")
FEW = ("--dataset", "digits", "--train-limit", 300, "--test-limit", 200, "--epochs", 2)


def rungs(*options: object) -> list[dict]:
    done = run_here("lecture", "ladder", *FEW, *options, "--format", "json")
    assert done.code == 0, done.err
    found: list[dict] = json.loads(done.out)
    return found


def test_a_rung_is_what_its_command_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for rung in rungs("--models", "softmax,dense128", "--raw-pixels"):
        done = run_here(*rung["command"].split()[1:], "--format", "json", "--progress", "none", "--output", tmp_path / "run")
        assert done.code == 0, done.err
        assert json.loads(done.out)["test_accuracy"] == rung["accuracy"]
        assert json.loads(done.out)["epochs"] == 2
        assert "--raw-pixels" in rung["command"]


def test_several_seeds_give_the_mean_and_the_spread() -> None:
    (both,) = rungs("--models", "dense128", "--seeds", 2)
    (first,) = rungs("--models", "dense128")
    second_accuracy = 2 * both["accuracy"] - first["accuracy"]
    assert first["spread"] is None
    assert both["seeds"] == 2
    assert both["spread"] == pytest.approx(abs(second_accuracy - first["accuracy"]))
    assert both["spread"] > 0
    assert list(both) == list(Rung._fields) == [
        "rung", "model", "parameters", "accuracy", "spread", "seconds", "seeds", "command",
    ]  # fmt: skip


def test_the_rungs_are_presets_that_read_mnist_in_the_lectures_order() -> None:
    assert list(RUNGS) == ["softmax", "sigmoid5-sgd", "sigmoid5", "relu5", "dense128", "small", "cnn"]
    assert set(RUNGS) <= set(CONTENDERS) <= set(PRESETS)
    assert "xo" not in CONTENDERS


def test_the_table_is_written_to_a_file_too(tmp_path: Path) -> None:
    page, sheet = tmp_path / "ladder.html", tmp_path / "ladder.csv"
    for file in (page, sheet):
        done = run_here("lecture", "ladder", *FEW, "--models", "softmax", "--output", file)
        assert done.code == 0, done.err
        assert f"wrote {file}" in done.err
    (row,) = csv.DictReader(sheet.read_text(encoding="utf-8").splitlines())
    assert (row["model"], row["parameters"], row["spread"]) == ("softmax", "7850", "")
    table = page.read_text(encoding="utf-8").partition("<table>")[2].partition("</table>")[0]
    cells = [cell.text for cell in ElementTree.fromstring(f"<table>{table}</table>").iter("td")]
    assert cells[1:3] == ["softmax", "7,850"]
    assert "test accuracy" in done.out
    assert row["command"] in done.out


def test_a_ladder_that_is_stopped_prints_and_writes_the_rows_that_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were printed, and the file was not written."""

    def stopped(contenders: Any, *args: Any, **options: Any) -> Iterator[Rung]:
        yield from climb(contenders[:1], *args, **options)
        raise Terminated

    monkeypatch.setattr(lecture_ladder, "climb", stopped)
    sheet = tmp_path / "ladder.csv"
    with pytest.raises(Terminated):
        run_here("lecture", "ladder", *FEW, "--models", "softmax,dense128", "--output", sheet)
    (row,) = csv.DictReader(sheet.read_text(encoding="utf-8").splitlines())
    assert row["model"] == "softmax"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--models", "dense12"), "Did you mean 'dense128'?"), (("--models", "xo"), "expected presets for images of 28x28"),
        (("--models", ","), "at least 1 name"), (("--seeds", 0), "--seeds"), (("--epochs", 0), "--epochs"),
    ],
)  # fmt: skip
def test_bad_options_are_refused_before_anything_is_trained(options: tuple[object, ...], said: str) -> None:
    done = run_here("lecture", "ladder", *FEW, *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "training 1" not in done.err


@pytest.mark.parametrize(
    ("file", "said"), [("ladder.txt", "ends in .csv or .html"), ("nowhere/ladder.csv", "nowhere does not exist")]
)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_trained(file: str, said: str) -> None:
    done = run_here("lecture", "ladder", *FEW, "--output", file)
    assert (done.code, done.out) == (2 if file == "ladder.txt" else 1, "")
    assert said in done.err
    assert "training 1" not in done.err


def test_data_of_three_classes_are_learnt_by_presets_of_ten(tmp_path: Path) -> None:
    """They were refused, with an advice that nobody could follow."""
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
    np.savez(tmp_path / "three.npz", x_train=images, y_train=np.arange(12) % 3, x_test=images, y_test=np.arange(12) % 3)
    done = run_here(
        "lecture", "ladder", "--dataset", tmp_path / "three.npz", "--models", "softmax", "--epochs", 1, "--format", "json"
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["parameters"] == 785 * 3
    assert "softmax: 3 outputs in place of 10, one for each class of" in done.err


def test_rungs_of_several_seeds_say_which_seeds_repeat_them() -> None:
    done = run_here("lecture", "ladder", *FEW, "--models", "softmax", "--seeds", 2)
    assert "To repeat a row, with --seed 0 to --seed 1, of which it is the mean:" in done.out


def rung(model: str, accuracy: float) -> Rung:
    return Rung("", model, 1, accuracy, None, 1.0, 1, "")


def test_the_remarks_name_what_stalls_and_what_falls_behind() -> None:
    data = load_dataset("digits", Path(), train_limit=10, test_limit=1000)
    share = np.bincount(data.test_labels).max() / 1000
    said = remarks([rung("softmax", 0.8), rung("sigmoid5-sgd", share), rung("sigmoid5", 0.96), rung("relu5", 0.95)], data)
    assert len(said) == 3
    assert said[0].startswith(f"sigmoid5-sgd has learnt nothing: {share:.2%} is what answering")
    assert said[0].endswith("The same layers with He's initial weights and Adam reach 96.00%.")
    assert said[1] == "relu5 is 1.00 points behind sigmoid5."
    assert said[2] == "sigmoid5 makes one mistake where softmax makes 5.0."
    assert remarks([rung("softmax", 0.8)], data) == []
