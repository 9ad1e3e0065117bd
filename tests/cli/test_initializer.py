"""``train --initializer``: another distribution of initial weights, kept in the network's graph."""

import json
from pathlib import Path

import pytest
from command_line import Done, run_here

import numbacnn as nc
from numbacnn.checkpoint import load_network
from numbacnn.graph import with_initializer
from numbacnn.initializers import initial_parameters
from numbacnn.layers.initialization import INITIALIZERS
from numbacnn.models import PRESETS

TRAIN = ("train", "--model", "sigmoid5", "--dataset", "digits", "--train-limit", 200, "--test-limit", 50, "--progress", "none")
JSON = ("--format", "json")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def done(*args: object) -> Done:
    result = run_here(*args)
    assert result.code == 0, result.err
    return result


@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_layer_with_a_kernel_gets_the_initializer_and_no_other_field_changes(name: str) -> None:
    graph = nc.sequential(
        nc.Conv2D(2, 3, activation="relu"),
        nc.DepthwiseConv2D(3),
        nc.BatchNorm(),
        nc.Flatten(),
        nc.Dense(3),
        input_shape=(8, 8, 1),
    )
    changed = with_initializer(graph, name)
    kernels = {key: spec.initializer for key, spec in changed.parameters.items() if key.endswith("/kernel")}
    assert kernels == {"conv1/kernel": name, "conv2/kernel": name, "dense1/kernel": name}
    others = {key: spec for key, spec in changed.parameters.items() if key not in kernels}
    assert others == {key: spec for key, spec in graph.parameters.items() if key not in kernels}
    assert with_initializer(changed, "glorot_uniform") == graph


def test_a_network_without_kernels_has_none_to_initialise() -> None:
    with pytest.raises(nc.ModelError, match="net: expected a layer with a kernel to initialise, got none"):
        with_initializer(nc.sequential(nc.Flatten(), input_shape=(2, 2, 1), name="net"), "zeros")


def test_an_unknown_initializer_is_named() -> None:
    with pytest.raises(nc.ModelError, match=r"kernel_initializer: expected one of glorot_uniform.*got 'he'"):
        with_initializer(PRESETS["cnn"].graph, "he")
    refused = run_here(*TRAIN, "--initializer", "he", "--output", "run")
    assert refused.code == 2
    assert "he_normal" in refused.err


def test_a_run_begins_with_the_initializer_and_goes_on_with_it(tmp_path: Path) -> None:
    args = (*TRAIN, "--initializer", "lecun_normal")
    whole = json.loads(done(*args, "--epochs", 2, "--output", "whole", *JSON).out)
    done(*args, "--epochs", 1, "--output", "part")
    resumed = json.loads(done("train", "--resume", "--output", "part", "--epochs", 2, "--progress", "none", *JSON).out)
    assert resumed["weights_sha256"] == whole["weights_sha256"]
    other = json.loads(done(*TRAIN, "--epochs", 2, "--output", "other", *JSON).out)
    assert other["weights_sha256"] != whole["weights_sha256"]
    graph = load_network(tmp_path / "part" / "model.safetensors").graph
    assert graph == with_initializer(PRESETS["sigmoid5"].graph, "lecun_normal")
    assert 'kernel_initializer = "lecun_normal"' in (tmp_path / "part" / "config.toml").read_text()


def test_a_run_is_not_resumed_with_another_initializer() -> None:
    done(*TRAIN, "--initializer", "lecun_normal", "--epochs", 1, "--output", "run")
    refused = run_here("train", "--resume", "--output", "run", "--epochs", 2, "--initializer", "zeros")
    assert refused.code == 1
    assert "the run was started with other initial weights, got --initializer zeros" in refused.err
    done("train", "--resume", "--output", "run", "--epochs", 2, "--initializer", "lecun_normal", "--progress", "none")


def test_a_trained_network_has_no_initial_weights_to_choose(tmp_path: Path) -> None:
    done(*TRAIN, "--epochs", 1, "--output", "run")
    refused = run_here(*TRAIN, "--model", "run/model.safetensors", "--initializer", "zeros", "--output", "again")
    assert refused.code == 1
    assert "expected a network without weights for --initializer, got a trained one" in refused.err
    assert not (tmp_path / "again").exists()


def test_zeros_leave_every_hidden_neuron_the_same() -> None:
    """The lesson of the option: neurons that begin alike stay alike."""
    parameters = initial_parameters(with_initializer(PRESETS["relu5"].graph, "zeros"), seed=0)
    assert all(not values.any() for name, values in parameters.items() if name.endswith("kernel"))
