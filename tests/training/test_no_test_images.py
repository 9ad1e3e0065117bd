"""A data set without test images: it trains, and nothing is said of tests that never were."""

import dataclasses
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from networks import SETTINGS, net, run, sha, stripes

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.checkpoint import load_network
from numbacnn.datasets import Dataset
from numbacnn.training import EpochDone, EvaluationStarted, new_state
from numbacnn.training.run_folder import history_lines


def without_tests(count: int = 40) -> Dataset:
    data = stripes(count, 0)
    assert data.test_images.shape == (0, 6, 6, 1)
    return data


@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_a_data_set_without_test_images_trains(validation: float) -> None:
    """It ended with "the test loss is nan, try --learning-rate 0.0001"."""
    settings = dataclasses.replace(SETTINGS, epochs=2, validation=validation)
    state, other = (new_state(net(), settings, get_ops("cpu")) for _ in range(2))
    events = run(state, without_tests())
    run(
        other,
        dataclasses.replace(without_tests(), test_images=stripes(12, 0).train_images, test_labels=stripes(12, 0).train_labels),
    )
    assert sha(state) == sha(other), "test images change nothing"
    for record, full in zip(state.history, other.history, strict=True):
        assert (record.test_loss, record.test_accuracy) == (None, None)
        assert (record.loss, record.accuracy, record.validation_loss) == (full.loss, full.accuracy, full.validation_loss)
        assert math.isfinite(full.test_loss or math.nan)
    assert sum(isinstance(event, EpochDone) for event in events) == 2
    assert any(isinstance(event, EvaluationStarted) for event in events) == (validation > 0)


def test_the_history_says_null_where_there_were_no_test_images() -> None:
    state = new_state(net(), dataclasses.replace(SETTINGS, epochs=1), get_ops("cpu"))
    run(state, without_tests())
    row = json.loads(history_lines(state.history))
    assert (row["test_loss"], row["test_accuracy"]) == (None, None)
    assert not {"validation_loss", "validation_accuracy"} & set(row)


def test_without_test_images_too_an_update_that_spoils_the_weights_is_noticed() -> None:
    settings = dataclasses.replace(SETTINGS, optimizer="sgd", learning_rate=1e38, batch_size=40)
    state = new_state(net(), settings, get_ops("cpu"))
    with pytest.raises(nc.TrainingError, match=r"the training loss is not a finite number .*First is the layer (conv1|norm1)"):
        run(state, without_tests(40))
    assert state.history == []


WITHOUT_TESTS = """
import numbacnn_cli.train_data as module
from numbacnn_cli.main import run
load = module.load_dataset
module.load_dataset = lambda *args, **options: load(*args, **(options | {"test_limit": 0}))
run()
"""


@pytest.mark.parametrize("validation", [(), ("--validation", "0.2")])
def test_the_command_line_says_that_there_were_no_test_images(tmp_path: Path, validation: tuple[str, ...]) -> None:
    def train(*options: str) -> subprocess.CompletedProcess[str]:
        arguments = ["train", "--model", "softmax", "--dataset", "digits", "--train-limit", "200", "--output", "out", *options]
        done = subprocess.run([sys.executable, "-c", WITHOUT_TESTS, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    first = train("--epochs", "1", *validation)
    assert "200 training and no test images" in first.stderr
    assert "epoch 1/1" in first.stderr
    assert ("validation loss" in first.stderr) == bool(validation)
    assert "training accuracy" in first.stdout
    for text in (first.stdout, first.stderr):
        assert not re.search(r"nan|None|test (accuracy|loss)|0 test images", text), text
    resumed = train("--resume", "--epochs", "2", "--format", "json")
    report = json.loads(resumed.stdout)
    assert (report["test_images"], report["test_loss"], report["test_accuracy"]) == (0, None, None)
    rows = [json.loads(line) for line in (tmp_path / "out" / "history.jsonl").read_text().splitlines()]
    assert [(row["test_loss"], row["test_accuracy"]) for row in rows] == [(None, None)] * 2
    assert load_network(tmp_path / "out" / "model.safetensors").summary["test_accuracy"] is None
