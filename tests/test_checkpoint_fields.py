"""Checkpoints made by hand: whatever is wrong in one, --resume names the field, what was expected and what it got."""

import copy
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numbacnn_cli.main import _guarded

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from numbacnn.datasets import load_dataset
from numbacnn.training import Settings, State, new_state, to_checkpoint, train

ABOUT = {"model": "net.toml", "dataset": "digits", "train_limit": 40, "test_limit": 10, "exact_conv": False, "raw_pixels": False}


def net() -> nc.Graph:
    return nc.sequential(nc.Flatten(), nc.Dense(10, activation="softmax"), input_shape=(28, 28, 1), name="net")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A run stopped after the first of two epochs, with validation."""
    ops = get_ops("cpu")
    state: State = new_state(net(), Settings(epochs=2, batch_size=10, validation=0.5), ops)
    for _ in train(state, load_dataset("digits", Path(), train_limit=40, test_limit=10), ops):
        if state.epoch == 1:
            break
    path = tmp_path_factory.mktemp("good") / "checkpoint.safetensors"
    save_checkpoint(path, to_checkpoint(state, ops, ABOUT))
    return load_checkpoint(path)


@pytest.fixture
def resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Resume a checkpoint with the command line, in this process. Returns the exit code and stderr."""

    def resume(checkpoint: Checkpoint, *args: str) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        save_checkpoint(tmp_path / "out" / "checkpoint.safetensors", checkpoint)
        monkeypatch.setattr(sys, "argv", ["numbacnn", "train", "--resume", "--output", "out", *args])
        code = _guarded()  # an error that is no user's fault would pass through it
        return code, capsys.readouterr().err

    (tmp_path / "out").mkdir()
    return resume


Change = Callable[[dict[str, Any]], None]


def setting(path: str, value: Any) -> Change:
    """Replace the value at a path such as ``history.0.loss``."""

    def change(state: dict[str, Any]) -> None:
        target, key = parent(state, path)
        target[key] = value

    return change


def missing(path: str) -> Change:
    """Leave out the value at a path."""

    def change(state: dict[str, Any]) -> None:
        target, key = parent(state, path)
        del target[key]

    return change


def parent(state: Any, path: str) -> tuple[Any, Any]:
    """The object or list that holds the value at a path, and the value's key or index in it."""
    *parents, last = (int(part) if part.isdecimal() else part for part in path.split("."))
    for part in parents:
        state = state[part]
    return state, last


WRONG = [
    (missing("graph"), "graph: expected an object, got none"),
    (setting("graph", [1]), "graph: expected an object, got [1]"),
    (setting("graph.layers", 3), "graph: layers: expected a list of tables, got 3"),
    (setting("graph.layers.1.units", "ten"), "units: expected a whole number"),
    (setting("graph.layers.1.units", 11), "parameters/dense1/kernel: expected float32 (784, 11), got float32 (784, 10)"),
    (missing("settings"), "settings: expected an object, got none"),
    (setting("settings", 7), "settings: expected an object, got 7"),
    (missing("settings.epochs"), "settings.epochs: expected a value, got none"),
    (setting("settings.epoks", 1), "settings.epoks: expected no such field, only augment, batch_size"),
    (setting("settings.epochs", "2"), "settings.epochs: expected a whole number of at least 1, got '2'"),
    (setting("settings.epochs", True), "settings.epochs: expected a whole number of at least 1, got True"),
    (setting("settings.epochs", 10**400), "settings.epochs: expected a whole number of at least 1, got a number of 1329 bits"),
    (setting("settings.batch_size", 1.5), "settings.batch_size: expected a whole number of at least 1, got 1.5"),
    (setting("settings.batch_size", None), "settings.batch_size: expected a whole number of at least 1, got None"),
    (setting("settings.learning_rate", "fast"), "settings.learning_rate: expected a finite number greater than 0, got 'fast'"),
    (setting("settings.learning_rate", math.nan), "settings.learning_rate: expected a finite number greater than 0, got nan"),
    (setting("settings.learning_rate", 10**400), "settings.learning_rate: expected a finite number greater than 0, got a number of"),
    (setting("settings.lr_decay", [0.5]), "settings.lr_decay: expected a finite number greater than 0, got [0.5]"),
    (
        lambda state: state["settings"].update(learning_rate=1e3, lr_decay=1e308),
        "settings.lr_decay: expected a factor that leaves the rate finite over 2 epochs, got 1e+308",
    ),
    (setting("settings.optimizer", ["adam"]), "settings.optimizer: expected one of adam, momentum, sgd, got ['adam']"),
    (setting("settings.optimizer", "momentum"), "optimizer/dense1/kernel/velocity: expected float32 (784, 10), got none"),
    (setting("settings.schedule", {}), "settings.schedule: expected one of"),
    (setting("settings.seed", -1), "settings.seed: expected a whole number from 0 to 2^63 - 1, got -1"),
    (setting("settings.seed", 0.5), "settings.seed: expected a whole number from 0 to 2^63 - 1, got 0.5"),
    (setting("settings.validation", "half"), "settings.validation: expected a share"),
    (setting("settings.early_stop", "soon"), "settings.early_stop: expected a whole number of at least 1, or none, got 'soon'"),
    (setting("settings.augment", 1), "settings.augment: expected true or false, got 1"),
    (missing("counters"), "counters: expected an object, got none"),
    (setting("counters", []), "counters: expected an object, got []"),
    (missing("counters.step"), "counters.step: expected a whole number of at least 0, got none"),
    (setting("counters.step", "2"), "counters.step: expected a whole number of at least 0, got '2'"),
    (setting("counters.step", -1), "counters.step: expected a whole number of at least 0, got -1"),
    (setting("counters.step", 0), "counters.step: expected at least 1 after 1 epoch and 0 batches, got 0"),
    (setting("counters.epoch", 1.5), "counters.epoch: expected a whole number of at least 0, got 1.5"),
    (setting("counters.epoch", 0), "counters.step: expected 0 after 0 epochs and 0 batches, got 2"),
    (setting("counters.epoch", 2), "history: expected 2 records, one for each epoch, got 1"),
    (setting("counters.batch", -3), "counters.batch: expected a whole number of at least 0, got -3"),
    (setting("counters.batch", "0"), "counters.batch: expected a whole number of at least 0, got '0'"),
    (setting("counters.loss_sum", "0"), "counters.loss_sum: expected a finite number, got '0'"),
    (setting("counters.correct", 0.5), "counters.correct: expected a whole number of at least 0, got 0.5"),
    (setting("counters.seconds", math.inf), "counters.seconds: expected a finite number, got inf"),
    (setting("counters.best_epoch", 99), "counters.best_epoch: expected at most 1, the epochs completed, got 99"),
    (setting("counters.best_epoch", None), "counters.best_epoch: expected a whole number of at least 0, got None"),
    (setting("counters.best_epoch", 0), "counters.best_loss: expected infinity before a best epoch, got 2."),
    (setting("counters.best_loss", [1]), "counters.best_loss: expected a finite number, got [1]"),
    (missing("history"), "history: expected a list, got none"),
    (setting("history", "none"), "history: expected a list, got 'none'"),
    (setting("history", []), "history: expected 1 record, one for each epoch, got 0"),
    (setting("history", [3]), "history[0]: expected an object, got 3"),
    (missing("history.0.loss"), "history[0].loss: expected a finite number, got none"),
    (setting("history.0.loss", "low"), "history[0].loss: expected a finite number, got 'low'"),
    (setting("history.0.epoch", 2), "history[0].epoch: expected 1, got 2"),
    (setting("history.0.test_accuracy", "1"), "history[0].test_accuracy: expected a finite number or null, got '1'"),
    (setting("history.0.extra", 1), "history[0].extra: expected no such field, only accuracy"),
    (missing("about"), "about: expected an object, got None"),
    (setting("about", "digits"), "about: expected an object, got 'digits'"),
    (missing("about.dataset"), "or an absolute path, got none"),
    (setting("about.dataset", ["digits"]), "or an absolute path, got ['digits']"),
    (setting("about.dataset", "x" * 10**6), "or an absolute path, got 'xxx"),
    (missing("about.model"), "about.model: expected a text, got none"),
    (setting("about.train_limit", "all"), "about.train_limit: expected a whole number of at least 1 or null, got 'all'"),
    (setting("about.train_limit", 0), "about.train_limit: expected a whole number of at least 1 or null, got 0"),
    (setting("about.test_limit", 1.5), "about.test_limit: expected a whole number of at least 1 or null, got 1.5"),
    (setting("about.exact_conv", "no"), "about.exact_conv: expected true or false, got 'no'"),
    (setting("about.precision", "half"), "about.precision: expected one of float32, tf32, got 'half'"),
    (setting("about.precision", ["tf32"]), "about.precision: expected one of float32, tf32, got ['tf32']"),
    (setting("about.precision", "tf32"), "the run was started with --precision tf32: expected --device cuda"),
    (setting("about.raw_pixels", 1), "about.raw_pixels: expected true or false, got 1"),
    (setting("about.keep_epochs", "yes"), "about.keep_epochs: expected true or false, got 'yes'"),
    (setting("about.data_sha256", 5), "about.data_sha256: expected a text, got 5"),
    (setting("about.data_sha256", "0"), "the images are not those the run was started with"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), WRONG, ids=[expected[:60] for _, expected in WRONG])
def test_a_checkpoint_with_a_wrong_field_is_one_line_that_names_it(
    good: Checkpoint, resume: Callable[..., tuple[int, str]], change: Change, expected: str
) -> None:
    state = copy.deepcopy(dict(good.state))
    change(state)
    code, error = resume(replace(good, state=state), "--progress", "none")
    (line,) = error.splitlines()
    assert code == 1
    assert line.startswith("Error: out")
    assert expected in line
    assert len(line) < 300


ARRAYS: list[tuple[str, Any, str]] = [
    ("parameters/dense1/bias", None, "parameters/dense1/bias: expected float32 (10,), got none"),
    ("parameters/dense1/bias", np.zeros(10), "parameters/dense1/bias: expected float32 (10,), got float64 (10,)"),
    ("optimizer/dense1/bias/m", np.zeros(9, np.float32), "optimizer/dense1/bias/m: expected float32 (10,), got float32 (9,)"),
    ("best/dense1/bias", None, "best/dense1/bias: expected float32 (10,), got none"),
    ("best/dense1/bias", np.zeros((2, 5), np.float32), "best/dense1/bias: expected float32 (10,), got float32 (2, 5)"),
]


@pytest.mark.parametrize(("name", "array", "expected"), ARRAYS, ids=[expected for *_, expected in ARRAYS])
def test_a_checkpoint_with_a_wrong_array_is_one_line_that_names_it(
    good: Checkpoint, resume: Callable[..., tuple[int, str]], name: str, array: Any, expected: str
) -> None:
    arrays = {key: value for key, value in ({**good.arrays, name: array}).items() if value is not None}
    code, error = resume(replace(good, arrays=arrays), "--progress", "none")
    assert code == 1
    assert error == f"Error: {Path('out', 'checkpoint.safetensors')}: {expected}. Start without --resume\n"


def test_a_checkpoint_further_in_its_epoch_than_there_are_batches_is_refused(
    good: Checkpoint, resume: Callable[..., tuple[int, str]]
) -> None:
    state = copy.deepcopy(dict(good.state))
    state["counters"] |= {"batch": 1000, "step": 1002}
    code, error = resume(replace(good, state=state), "--progress", "none")
    assert code == 1
    assert "counters.batch: expected at most 2, the batches of an epoch, got 1000" in error


def test_a_checkpoint_with_nothing_wrong_is_resumed(
    good: Checkpoint, resume: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, error = resume(good)
    assert code == 0, error
    assert "resuming out after epoch 1, step 2" in error
    history = (tmp_path / "out" / "history.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in history] == [1, 2]


def test_a_checkpoint_of_an_earlier_version_is_resumed(good: Checkpoint, resume: Callable[..., tuple[int, str]]) -> None:
    """It has no field for what that version did not know."""
    state = copy.deepcopy(dict(good.state))
    del state["settings"]["augment"], state["about"]["exact_conv"], state["about"]["raw_pixels"]
    code, error = resume(replace(good, state=state))
    assert code == 0, error


@pytest.mark.parametrize("exact_conv", [False, True])
def test_a_resumed_run_opens_its_device_once(
    good: Checkpoint, resume: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, exact_conv: bool
) -> None:
    opened = []

    def open_device(device: str, threads: int | None, exact_conv: bool, precision: str) -> Any:
        assert precision == "float32"
        opened.append(exact_conv)
        return get_ops(device, threads, exact_conv=exact_conv)

    monkeypatch.setattr("numbacnn_cli.train_run.open_device", open_device)
    state = copy.deepcopy(dict(good.state))
    state["about"]["exact_conv"] = exact_conv
    code, error = resume(replace(good, state=state))
    assert code == 0, error
    assert opened == [exact_conv]
