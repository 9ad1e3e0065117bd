"""The run that ``train --resume`` takes, and files of the user's own in the folder of a run."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from numbacnn_cli.main import _guarded

from numbacnn.checkpoint import load_checkpoint
from numbacnn.training import EpochRecord

NET = """
input_shape = [28, 28, 1]
layers = [{ type = "Flatten" }, { type = "Dense", units = 10, activation = "softmax" }]
"""
TINY = ("--dataset", "digits", "--train-limit", "20", "--test-limit", "10", "--batch-size", "10", "--progress", "none")

Train = Callable[..., tuple[int, str, str]]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Train:
    """The command line in this process, in an empty folder with ``net.toml``. Returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.toml").write_text(NET)

    def train(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["numbacnn", "train", *map(str, args)])
        return _guarded(), *capsys.readouterr()

    return train


def begin(train: Train, output: str, *args: object) -> None:
    code, _, error = train("--model", "net.toml", *TINY, "--epochs", 1, "--output", output, *args)
    assert code == 0, error


def resumed(train: Train, *args: object) -> dict[str, object]:
    code, out, error = train("--resume", "--format", "json", *args)
    assert code == 0, error
    return json.loads(out)


def test_a_finished_run_asked_for_fewer_epochs_is_not_said_to_stretch_its_schedule(train: Train) -> None:
    code, _, error = train("--model", "net.toml", *TINY, "--epochs", 3, "--schedule", "cosine", "--output", "mine")
    assert code == 0, error
    before = Path("mine/checkpoint.safetensors").read_bytes()
    code, out, error = train("--resume", "--output", "mine", "--epochs", 2, "--format", "json")
    assert code == 0, error
    assert json.loads(out)["epochs"] == 3
    assert "stretched" not in error
    assert "mine has all of its 3 epochs already" in error
    assert Path("mine/checkpoint.safetensors").read_bytes() == before


# --- which run ----------------------------------------------------------------------------------------------------------------------


def test_resume_without_output_takes_the_run_begun_last_and_not_the_default_folder(train: Train) -> None:
    begin(train, "mine", "--seed", 3)
    assert resumed(train, "--epochs", 2)["output"] == "mine"
    begin(train, "a b ", "--seed", 4)
    assert resumed(train, "--epochs", 2)["output"] == "a b "
    assert resumed(train, "--epochs", 3, "--output", "mine")["seed"] == 3
    assert resumed(train, "--epochs", 4)["seed"] == 3, "resumed last"


def test_resume_without_output_takes_a_run_that_was_stopped_before_its_first_epoch(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``runs/last`` names a network that ``predict`` can load: this run has none yet."""
    begin(train, "done")

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("numbacnn_cli.train.train_events", interrupt)
        assert train("--model", "net.toml", *TINY, "--seed", 7, "--output", "stopped")[0] == 130
    assert resumed(train)["seed"] == 7
    assert Path("runs/last").read_text() == str(Path("stopped").absolute())


def test_a_run_that_fails_before_its_first_step_is_not_the_one_begun_last(train: Train) -> None:
    code, _, error = train("--model", "xo", *TINY, "--output", "wrong")
    assert (code, "takes images of shape" in error) == (1, True)
    assert "no run to resume" in train("--resume")[2]
    begin(train, "right")
    assert train("--model", "xo", *TINY, "--output", "wrong")[0] == 1
    assert resumed(train, "--epochs", 2)["output"] == "right"


def test_resume_of_a_named_model_looks_in_the_folder_of_its_name_and_says_where_the_last_run_is(train: Train) -> None:
    begin(train, "mine")
    code, _, error = train("--resume", "--model", "net.toml", "--dataset", "digits")
    assert code == 1
    assert "net-digits" in error
    assert "The run begun last from here is in mine" in error
    assert train("--model", "net.toml", *TINY, "--epochs", 1)[0] == 0
    begin(train, "mine")
    assert resumed(train, "--model", "net.toml", "--dataset", "digits", "--epochs", 2)["output"] == str(Path("runs/net-digits"))


@pytest.mark.parametrize("folder", ["runs/last", "runs/./last/", "runs/last/deeper", "runs/last-begun"])
def test_a_run_into_runs_last_does_not_break_the_memory_of_the_run_trained_last(train: Train, folder: str) -> None:
    code, _, error = train("--model", "net.toml", *TINY, "--output", folder)
    assert (code, "Give another folder with --output" in error) == (1, True), "also before there is a note"
    begin(train, "mine")
    code, _, error = train("--model", "net.toml", *TINY, "--output", folder)
    assert (code, "Give another folder with --output" in error) == (1, True)
    code, _, error = train("--resume", "--output", folder)
    assert (code, "Leave --output out to resume that run" in error) == (1, True)
    assert Path("runs/last").read_text() == str(Path("mine").absolute())
    assert resumed(train, "--epochs", 2)["output"] == "mine"


def test_a_number_of_epochs_given_on_resuming_is_not_lost_by_a_kill(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(train, "mine")

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("numbacnn_cli.train.train_events", interrupt)
        assert train("--resume", "--epochs", 3)[0] == 130
    assert load_checkpoint(Path("mine/checkpoint.safetensors")).state["settings"]["epochs"] == 3
    assert resumed(train)["epochs"] == 3


def test_resuming_a_run_that_has_all_its_epochs_says_so_and_changes_no_file(train: Train) -> None:
    begin(train, "mine")
    before = contents(Path("mine"))
    code, _, error = train("--resume")
    assert code == 0
    assert "mine has all of its 1 epoch already. Add --epochs N to train for more" in error
    assert contents(Path("mine")) == before


# --- the user's own files -----------------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, object]:
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.name != ".lock" or path.read_bytes()
    }


RECORD = json.dumps(asdict(EpochRecord(1, 0.1, 0.5, 1.0, 0.5, 1.0, 2.0, 10.0)))
OWN = [
    ("config.toml", b"[server]\nport = 80\n"),
    ("config.toml", b"\xff\xfe"),
    ("config.toml", b""),
    ("config.toml", b'model = "cnn"\ndataset = "mnist"\n[training]\n[network]\n'),
    ("history.jsonl", b'{"epoch": 1, "loss": 0.5}\n'),
    ("history.jsonl", b"[]\n"),
    ("history.jsonl", RECORD.encode()),
    ("history.csv", b"day,rain\n1,2\n"),
    ("model.safetensors", b"someone else's"),
    ("model.safetensors", b"\x02\0\0\0\0\0\0\0{}"),
    ("checkpoint.safetensors", b""),
    ("unfinished.safetensors", b"\x02\0\0\0\0\0\0\0{}"),
    (".lock", b"a letter"),
]


@pytest.mark.parametrize(("name", "content"), OWN)
def test_a_file_of_the_users_own_is_neither_moved_nor_replaced(train: Train, name: str, content: bytes) -> None:
    """Its name is one that a run writes, its content is not; or it is a copy of a run's settings or history, without the run."""
    Path("out").mkdir()
    Path("out", name).write_bytes(content)
    before = contents(Path("out"))
    code, _, error = train("--model", "net.toml", *TINY, "--epochs", 1, "--output", "out")
    assert code == 1
    (line,) = error.splitlines()
    assert line.startswith(f"Error: {Path('out', name)}: expected ")
    assert "give another folder with --output, or rename the file" in line
    assert contents(Path("out")) == before


@pytest.mark.parametrize(("name", "content"), [row for row in OWN if row[0] in ("config.toml", "history.jsonl")][:3])
def test_a_file_of_the_users_own_beside_a_run_stops_the_next_one_and_its_resumption(
    train: Train, name: str, content: bytes
) -> None:
    begin(train, "out")
    Path("out", name).write_bytes(content)
    before = contents(Path("out"))
    for args in (("--model", "net.toml", *TINY, "--epochs", 1), ("--resume", "--epochs", 2)):
        code, _, error = train(*args, "--output", "out")
        assert (code, name in error) == (1, True)
    assert contents(Path("out")) == before


@pytest.mark.parametrize("name", ["model.safetensors", "config.toml", ".lock"])
def test_a_folder_with_the_name_of_a_runs_file_is_refused_before_training(train: Train, name: str) -> None:
    Path("out", name).mkdir(parents=True)
    code, _, error = train("--model", "net.toml", *TINY, "--epochs", 1, "--output", "out")
    assert (code, f"{Path('out', name)}: expected " in error) == (1, True)


def test_names_of_the_users_own_stay_where_they_are_when_an_earlier_run_moves(train: Train) -> None:
    begin(train, "out", "--seed", 1)
    earlier = contents(Path("out"))
    for name in ("previous", ".previous", "notes.txt", "model.safetensors.bak", ".model", "previous-2.txt"):
        Path("out", name).write_bytes(b"my own " + name.encode())
    Path("out", "previous-2").symlink_to("nowhere")
    Path("out", "sub").mkdir()
    Path("out", "sub", "config.toml").write_text("mine")
    own = {name: value for name, value in contents(Path("out")).items() if name not in earlier}
    begin(train, "out", "--seed", 2)
    assert contents(Path("out")).items() >= own.items()
    assert contents(Path("out", "previous-3")) == earlier


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need rights there")
def test_a_run_reached_by_relative_links_is_whole_in_the_folder_it_moves_to(train: Train) -> None:
    begin(train, "out", "--seed", 1)
    earlier = contents(Path("out"))
    Path("store").mkdir()
    Path("out/model.safetensors").rename("store/model.safetensors")
    Path("out/model.safetensors").symlink_to(Path("..", "store", "model.safetensors"))
    begin(train, "out", "--seed", 2)
    assert contents(Path("out/previous")) == earlier
    assert Path("store/model.safetensors").read_bytes() == earlier["model.safetensors"]
