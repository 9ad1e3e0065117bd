"""What a training leaves for the commands after it: the network, its data set, and the folder of that one's files."""

import json
import os
from pathlib import Path

import pytest
from command_line import run_here

TRAIN = (
    "train",
    "--model",
    "softmax",
    "--train-limit",
    "100",
    "--test-limit",
    "20",
    "--epochs",
    "1",
    "--threads",
    "1",
    "--progress",
    "none",
)


@pytest.fixture
def trained(tmp_path: Path, mnist_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, in which a network was trained on MNIST from a folder of another name."""
    monkeypatch.delenv("NUMBACNN_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").symlink_to(mnist_folder.absolute(), target_is_directory=True)
    (tmp_path / "below").mkdir()
    assert run_here(*TRAIN, "--data-dir", "mine").code == 0
    return tmp_path


def test_commands_after_a_training_find_its_data_without_data_dir(trained: Path) -> None:
    """They looked into the folder data, and would have downloaded MNIST once more."""
    for args in (
        ("evaluate", "--test-limit", 20),
        ("inspect", "test:3", "--like", "--train-limit", 50),
        ("shapes", "--image", "test:3"),
    ):
        done = run_here(*args)
        assert done.code == 0, done.err
        assert f"--data-dir {trained / 'mine'}, which " in done.err
    os.chdir("below")
    assert run_here("evaluate", "--test-limit", 20, "--model", trained / "runs" / "softmax-mnist").code == 0
    assert not (trained / "data").exists()
    assert not (trained / "below" / "data").exists()


def test_a_folder_that_is_given_wins_over_the_one_remembered(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBACNN_MNIST_MIRRORS", "http://127.0.0.1:9/")
    assert "empty" in run_here("evaluate", "--data-dir", "empty").err
    monkeypatch.setenv("NUMBACNN_DATA_DIR", "of the variable")
    assert "of the variable" in run_here("evaluate").err
    monkeypatch.delenv("NUMBACNN_DATA_DIR")
    (trained / "mine").unlink()
    assert "data/t10k-labels" in run_here("evaluate").err, "one that is gone is not made anew"
    assert not (trained / "mine").exists()


def test_own_data_given_as_a_path_are_found_again_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    rows = [f"{k % 2}," + ",".join([str(100 * (k % 2))] * 784) for k in range(20)]
    (tmp_path / "own.csv").write_text("\n".join(rows) + "\n")
    assert run_here("train", "--model", "softmax", "--dataset", "own.csv", "--epochs", 1, "--progress", "none").code == 0
    monkeypatch.chdir(tmp_path / "below")
    done = run_here("evaluate", "--model", tmp_path / "runs" / "softmax-own", "--format", "json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["dataset"] == str(tmp_path / "own.csv")
