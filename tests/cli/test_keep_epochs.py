"""What ``train`` leaves beside its network: the network of each epoch, the curves; and the dead maps that it names."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import run_here
from PIL import Image

from numbacnn.checkpoint import TrainedNetwork, load_checkpoint, load_network, save_network, weights_sha256

NET = 'input_shape = [28, 28, 1]\n[[layers]]\ntype = "Conv2D"\nfilters = 4\nkernel_size = 5\nstrides = 3\nactivation = "relu"\n' \
    '[[layers]]\ntype = "Flatten"\n[[layers]]\ntype = "Dense"\nunits = 10\nactivation = "softmax"\n'  # fmt: skip
TRAIN = ("train", "--dataset", "digits", "--train-limit", 200, "--test-limit", 40, "--progress", "none", "--threads", 1)
JSON = ("--format", "json")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.toml").write_text(NET)
    return tmp_path


def trained(*words: object) -> dict:
    done = run_here(*TRAIN, *words, *JSON)
    assert done.code == 0, done.err
    answer: dict = json.loads(done.out)
    return answer


def epochs(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("epoch-*.safetensors")}


def weights(file: Path) -> str:
    network = load_network(file)
    return weights_sha256(network.graph, network.parameters)


def test_each_epoch_is_the_network_that_a_run_of_so_many_epochs_would_give(here: Path) -> None:
    trained("--model", "net.toml", "--epochs", 2, "--output", "two", "--keep-epochs")
    trained("--model", "net.toml", "--epochs", 1, "--output", "one")
    kept = epochs(here / "two")
    assert set(kept) == {"epoch-0001.safetensors", "epoch-0002.safetensors"}
    assert kept["epoch-0002.safetensors"] == (here / "two" / "model.safetensors").read_bytes()
    assert weights(here / "two" / "epoch-0001.safetensors") == weights(here / "one" / "model.safetensors")
    assert epochs(here / "one") == {}
    assert "keep_epochs = true" in (here / "two" / "config.toml").read_text()
    assert "keep_epochs" not in (here / "one" / "config.toml").read_text()
    assert run_here("predict", "--model", "two/epoch-0001.safetensors", "--help").code == 0


def test_a_resumed_run_goes_on_keeping_epochs_and_one_may_begin_to(here: Path) -> None:
    whole = trained("--model", "net.toml", "--epochs", 3, "--output", "whole", "--keep-epochs")
    trained("--model", "net.toml", "--epochs", 1, "--output", "run", "--keep-epochs")
    assert run_here("train", "--resume", "--output", "run", "--epochs", 3, "--progress", "none").code == 0
    for epoch in (1, 2, 3):
        assert weights(*(here / "run").glob(f"epoch-000{epoch}.*")) == weights(*(here / "whole").glob(f"epoch-000{epoch}.*"))
    assert load_checkpoint(here / "run" / "checkpoint.safetensors").state["about"]["keep_epochs"] is True
    trained("--model", "net.toml", "--epochs", 1, "--output", "late")
    resumed = run_here("train", "--resume", "--output", "late", "--epochs", 3, "--keep-epochs", "--progress", "none", *JSON)
    assert set(epochs(here / "late")) == {"epoch-0002.safetensors", "epoch-0003.safetensors"}
    assert json.loads(resumed.out)["weights_sha256"] == whole["weights_sha256"]


def test_the_last_epoch_is_kept_too_where_an_earlier_one_is_the_best(here: Path) -> None:
    answer = trained(
        "--model", "net.toml", "--epochs", 3, "--output", "run", "--keep-epochs", "--validation", 0.2, "--lr-decay", 30
    )
    best = load_network(here / "run" / "model.safetensors")
    assert best.summary["kept_epoch"] == answer["kept_epoch"] < 3
    for epoch in (1, 2, 3):
        network = load_network(here / "run" / f"epoch-000{epoch}.safetensors")
        assert network.summary["kept_epoch"] == network.summary["epochs"] == epoch
        is_best = all(np.array_equal(network.parameters[name], best.parameters[name]) for name in best.parameters)
        assert is_best == (epoch == answer["kept_epoch"])


def test_dead_maps_are_named_and_none_is_where_all_are_alive(here: Path) -> None:
    trained("--model", "net.toml", "--epochs", 1, "--output", "run")
    network = load_network(here / "run" / "model.safetensors")
    parameters = dict(network.parameters)
    parameters["conv1/bias"] = np.array([1, -1e3, 1, -1e3], np.float32)
    save_network(here / "dying.safetensors", TrainedNetwork(network.graph, parameters, network.class_names, network.summary))
    words = ("--model", "dying.safetensors", "--epochs", 1)
    assert trained(*words, "--output", "json")["dead_maps"] == {"conv1": [1, 3]}
    text = run_here(*TRAIN, *words, "--output", "text").out
    assert "dead feature maps: conv1 2 of 4 (1, 3), 0 on each of 200 training images\n" in text
    parameters["conv1/bias"] = np.ones(4, np.float32)
    save_network(here / "alive.safetensors", TrainedNetwork(network.graph, parameters, network.class_names, network.summary))
    words = ("--model", "alive.safetensors", "--epochs", 1)
    assert trained(*words, "--output", "json", "--learning-rate", 1e-6)["dead_maps"] == {"conv1": []}
    assert "dead" not in run_here(*TRAIN, *words, "--output", "text", "--learning-rate", 1e-6).out


def test_the_curves_are_drawn_where_matplotlib_is_and_move_with_their_run(here: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra plot: pip install 'numbacnn[plot]'")
    answer = trained("--model", "net.toml", "--epochs", 2, "--output", "run")
    assert answer["curves"] == str(Path("run") / "curves.png")
    with Image.open("run/curves.png") as picture:
        assert picture.size == (1000, 400)
        assert picture.info["Software"] == "numbacnn"
    first = Path("run/curves.png").read_bytes()
    text = run_here(*TRAIN, "--model", "net.toml", "--epochs", 2, "--seed", 2, "--output", "run").out
    assert f"curves: {Path('run') / 'curves.png'}\n" in text
    assert Path("run/previous/curves.png").read_bytes() == first
    assert Path("run/curves.png").read_bytes() != first


def test_a_picture_of_the_users_own_stays_and_without_matplotlib_there_is_none(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "run").mkdir()
    (here / "run" / "curves.png").write_bytes(b"mine")
    done = run_here(*TRAIN, "--model", "net.toml", "--epochs", 1, "--output", "run", *JSON)
    assert (done.code, json.loads(done.out)["curves"]) == (0, None)
    assert (here / "run" / "curves.png").read_bytes() == b"mine"
    monkeypatch.setattr("numbacnn_cli.train_findings.find_spec", lambda name: None)
    answer = trained("--model", "net.toml", "--epochs", 1, "--output", "bare")
    assert (answer["curves"], (here / "bare" / "curves.png").exists()) == (None, False)
