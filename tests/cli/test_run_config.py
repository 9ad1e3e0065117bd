"""A run's own ``config.toml`` can be given back, and repeats the run."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from command_line import run_here

NET = """
name = "net"
input_shape = [28, 28, 1]
[[layers]]
type = "MaxPool2D"
pool_size = 4
[[layers]]
type = "Flatten"
[[layers]]
type = "Dense"
units = 10
"""


def train(*args: Any, code: int = 0) -> dict[str, Any]:
    done = run_here("train", *args, "--threads", 1, "--progress", "none", "--format", "json")
    assert done.code == code, done.err
    return json.loads(done.out)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run with a setting of every kind, whose model file is gone."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "net.toml").write_text(NET)
    figures = train(
        "--model", folder / "net.toml", "--dataset", "digits", "--train-limit", 300, "--test-limit", 50, "--seed", 7, "--epochs", 2,
        "--learning-rate", 0.01, "--schedule", "cosine", "--validation", 0.2, "--early-stop", 2, "--raw-pixels", "--exact-conv",
        "--keep-epochs", "--output", folder / "one",
    )  # fmt: skip
    (folder / "net.toml").unlink()
    return folder, figures


def test_a_run_could_not_be_repeated_from_its_own_settings(first: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, figures = first
    again = train("--config", folder / "one" / "config.toml", "--output", tmp_path / "two")
    assert again["weights_sha256"] == figures["weights_sha256"]
    texts = [tomllib.loads((run / "config.toml").read_text("utf-8")) for run in (folder / "one", tmp_path / "two")]
    assert texts[0] == texts[1]
    assert texts[0]["exact_conv"] is texts[0]["raw_pixels"] is texts[0]["keep_epochs"] is True
    assert (tmp_path / "two" / "epoch-0002.safetensors").is_file()


def test_an_option_wins_over_the_file(first: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, figures = first
    other = train(
        "--config", folder / "one" / "config.toml", "--seed", 8, "--epochs", 1, "--model", "softmax", "--output", tmp_path / "two"
    )
    kept = tomllib.loads((tmp_path / "two" / "config.toml").read_text("utf-8"))
    assert (other["seed"], other["epochs"], other["model"]) == (8, 1, "softmax")
    assert other["weights_sha256"] != figures["weights_sha256"]
    assert (kept["training"]["learning_rate"], kept["training"]["schedule"], kept["train_limit"]) == (0.01, "cosine", 300)


def test_a_file_may_hold_some_of_the_keys_and_the_model_has_the_others(tmp_path: Path) -> None:
    (tmp_path / "part.toml").write_text('dataset = "digits"\nmodel = "softmax"\n[training]\nepochs = 1\n')
    limits = ("--train-limit", 200, "--test-limit", 50)
    train("--config", tmp_path / "part.toml", *limits, "--output", tmp_path / "a")
    train("--model", "softmax", "--dataset", "digits", "--epochs", 1, *limits, "--output", tmp_path / "b")
    a, b = ((tmp_path / name / "config.toml").read_bytes() for name in "ab")
    assert a == b


def test_training_from_a_trained_network_starts_from_its_weights_again(
    first: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    start = ("--model", first[0] / "one" / "model.safetensors", "--dataset", "digits", "--train-limit", 200, "--test-limit", 50)
    figures = train(*start, "--output", tmp_path / "a")
    again = train("--config", tmp_path / "a" / "config.toml", "--output", tmp_path / "b")
    assert again["weights_sha256"] == figures["weights_sha256"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('datset = "digits"', "unknown key 'datset'. Did you mean 'dataset'?"),
        ("[training]\nepohcs = 3", "[training]: unknown key 'epohcs'. Did you mean 'epochs'?"),
        ("[training]\nepochs = '3'", "epochs: expected a whole number of at least 1, got '3'"),
        ("[training]\nseed = -1", "seed: expected a whole number from 0 to 2^63 - 1, got -1"),
        ("training = 3", "[training]: expected a table of settings, got 3"),
        ("threads = true", "threads: expected a whole number from 1 to"),
        ("raw_pixels = 1", "raw_pixels: expected true or false, got 1"),
        ("model = 3", "model: expected a text, got 3"),
        ('device = "tpu"', "device: expected one of cpu"),
        ('dataset = "mnits"', "Did you mean 'mnist'?"),
        ("network = 3", "[network]"),
        ("= 3", "not valid TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_before_anything_is_written(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(text)
    done = run_here("train", "--config", tmp_path / "c.toml", "--output", tmp_path / "run")
    assert done.code == 1
    assert said in done.err
    assert str(tmp_path / "c.toml") in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["c.toml"]


def test_a_run_is_resumed_without_a_file_of_settings(tmp_path: Path) -> None:
    done = run_here("train", "--resume", "--config", tmp_path / "c.toml")
    assert (done.code, "--config starts a new run" in done.err) == (2, True)


def test_a_decay_was_ignored_in_silence_with_the_cosine_schedule(tmp_path: Path) -> None:
    done = run_here("train", "--schedule", "cosine", "--lr-decay", 0.5, "--output", tmp_path / "run")
    assert (done.code, "--lr-decay is of --schedule exponential, got --schedule cosine" in done.err) == (2, True)
    assert not (tmp_path / "run").exists()
