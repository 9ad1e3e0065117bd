"""What a command says that it wrote is there."""

from pathlib import Path
from typing import Any

import pytest
from command_line import run_here
from numbacnn_cli import train

from numbacnn.checkpoint import load_network

TRAIN = ["train", "--model", "small", "--dataset", "digits", "--train-limit", 200, "--test-limit", 50, "--epochs", 1]


@pytest.mark.parametrize("name", ["model.safetensors", "history.jsonl"])
def test_a_file_that_was_removed_during_training_is_there_when_it_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A network is written after the best epochs alone: removed later on, it was "wrote" and missing."""
    original = train._train

    def and_someone_removes_a_file(*args: Any) -> Any:
        outcome = original(*args)
        (tmp_path / "run" / name).unlink()
        return outcome

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "_train", and_someone_removes_a_file)
    done = run_here(*TRAIN, "--output", "run")
    assert done.code == 0, done.err
    assert "wrote run/model.safetensors, and history, settings and checkpoint beside it" in done.out
    assert load_network(tmp_path / "run" / "model.safetensors").summary["epochs"] == 1
    assert (tmp_path / "run" / "history.jsonl").exists()
