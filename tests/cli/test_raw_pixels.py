"""``train --raw-pixels``: pixels as numbers 0...255, which every later command must feed in the same way."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import Done, run_here
from numbacnn_cli.origin import Origin
from numbacnn_cli.train_data import load

import numbacnn as nc
from numbacnn.checkpoint import TrainedNetwork, load_checkpoint, load_network, save_network
from numbacnn.initializers import initial_parameters
from numbacnn.models import PRESETS
from numbacnn.normalisation import COST_OF_RAW_PIXELS, NORMALISATIONS, PIXELS, RAW_PIXELS, Normalisation, read_normalisation

TRAIN = ("train", "--model", "softmax", "--dataset", "digits", "--train-limit", 300, "--test-limit", 50, "--progress", "none")
JSON = ("--format", "json")


def done(*args: object) -> Done:
    result = run_here(*args)
    assert result.code == 0, result.err
    return result


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, the current one, with a run of one epoch on raw pixels in ``raw``."""
    monkeypatch.chdir(tmp_path)
    done(*TRAIN, "--raw-pixels", "--epochs", 1, "--output", "raw")
    return tmp_path


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_normalisations_are_told_apart_in_files(tmp_path: Path, normalisation: Normalisation) -> None:
    graph, names = PRESETS["softmax"].graph, tuple("0123456789")
    save_network(tmp_path / "m.safetensors", TrainedNetwork(graph, initial_parameters(graph, seed=0), names, {}, normalisation))
    assert load_network(tmp_path / "m.safetensors").normalisation == normalisation
    assert [each for each in NORMALISATIONS if each.to_dict() == normalisation.to_dict()] == [normalisation]


def test_networks_of_version_0_1_are_still_of_scaled_pixels() -> None:
    assert read_normalisation({"scale": 1 / 255, "offset": 0.0}) == PIXELS


def test_a_network_and_a_checkpoint_say_that_they_were_fed_raw_pixels(raw: Path) -> None:
    assert load_network(raw / "raw" / "model.safetensors").normalisation == RAW_PIXELS
    assert load_checkpoint(raw / "raw" / "checkpoint.safetensors").state["about"]["raw_pixels"] is True
    assert "raw_pixels = true" in (raw / "raw" / "config.toml").read_text()


def test_raw_pixels_name_their_cost_and_give_another_network(raw: Path) -> None:
    scaled = done(*TRAIN, "--epochs", 1, "--output", "scaled", *JSON)
    again = done(*TRAIN, "--epochs", 1, "--raw-pixels", "--output", "again", *JSON)
    assert "It costs accuracy" in again.err
    assert "It costs accuracy" not in scaled.err
    assert json.loads(scaled.out)["weights_sha256"] != json.loads(again.out)["weights_sha256"]
    assert load_network(raw / "scaled" / "model.safetensors").normalisation == PIXELS


def test_a_resumed_run_is_fed_raw_pixels_again_and_ends_with_the_same_bits(raw: Path) -> None:
    whole = json.loads(done(*TRAIN, "--raw-pixels", "--epochs", 2, "--output", "whole", *JSON).out)
    resumed = json.loads(done("train", "--resume", "--output", "raw", "--epochs", 2, "--progress", "none", *JSON).out)
    assert resumed["weights_sha256"] == whole["weights_sha256"]


def test_a_run_on_scaled_pixels_is_not_resumed_on_raw_ones(raw: Path) -> None:
    done(*TRAIN, "--epochs", 1, "--output", "scaled")
    refused = run_here("train", "--resume", "--raw-pixels", "--output", "scaled", "--epochs", 2)
    assert refused.code == 1
    assert "the run was started with --raw-pixels False, got True" in refused.err


def test_evaluate_and_predict_feed_raw_pixels_to_a_network_of_raw_pixels(raw: Path) -> None:
    report = json.loads(done(*TRAIN, "--raw-pixels", "--epochs", 1, "--output", "again", *JSON).out)
    evaluated = json.loads(done("evaluate", "--model", "again/model.safetensors", "--test-limit", 50, *JSON).out)
    assert evaluated["accuracy"] == report["test_accuracy"]
    assert evaluated["loss"] == pytest.approx(report["test_loss"], rel=1e-5)
    done("samples", "samples")
    (row, *_) = json.loads(done("predict", "samples/3-blue-pen.png", "--model", "again/model.safetensors", *JSON).out)
    assert sum(row["probabilities"]) == pytest.approx(1)
    net = nc.load(raw / "again" / "model.safetensors")
    images = load(Origin("softmax", "digits", 1, 50), Path(), (28, 28, 1)).test_images
    kernel, bias = net.parameters["dense1/kernel"], net.parameters["dense1/bias"]
    logits = images.reshape(len(images), -1).astype(np.float64) @ kernel + bias
    assert (net.predict_proba(images).argmax(axis=1) == logits.argmax(axis=1)).all()


def test_training_goes_on_from_a_network_of_raw_pixels_with_raw_pixels(raw: Path) -> None:
    more = done(*TRAIN, "--epochs", 1, "--model", "raw/model.safetensors", "--output", "more")
    assert "It costs accuracy" in more.err
    assert load_network(raw / "more" / "model.safetensors").normalisation == RAW_PIXELS


def test_floats_are_no_raw_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("own.npz", x=np.random.default_rng(0).random((40, 28, 28)), y=np.arange(40) % 10)
    refused = run_here("train", "--model", "softmax", "--dataset", "own.npz", "--raw-pixels", "--output", "run")
    assert refused.code == 1
    assert "expected pixels 0...255 for --raw-pixels, got floats" in refused.err
    assert not (tmp_path / "run").exists()


def test_raw_pixels_cost_on_mnist_what_is_said(mnist_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It said 92.4 and 98.0 %, which no training of three epochs gives."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NUMBACNN_DATA_DIR", str(mnist_folder))
    train = ("train", "--model", "dense128", "--epochs", 3, "--progress", "none", *JSON)
    scaled, fed_raw = (json.loads(done(*train, *option).out)["test_accuracy"] for option in ((), ("--raw-pixels",)))
    assert "81 to 87 %" in COST_OF_RAW_PIXELS
    assert "97.4 to 97.5 %" in COST_OF_RAW_PIXELS
    assert 0.78 < fed_raw < 0.90
    assert 0.970 < scaled < 0.980
