"""What a training shows of itself: curves in the report, ``history.csv``, ``plot``, and event files."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

NET = """
input_shape = [28, 28, 1]

[[layers]]
type = "Flatten"

[[layers]]
type = "Dense"
units = 10
activation = "softmax"
"""
SMALL = ("--model", "net.toml", "--dataset", "digits", "--train-limit", 300, "--test-limit", 100, "--output", "out")
PLOT = "needs the extra plot: pip install 'numbacnn[plot]'"
LOG = "needs the extra log: pip install 'numbacnn[log]'"


def command(*args: object, cwd: Path, without: str = "") -> subprocess.CompletedProcess[str]:
    """Run the program, as if a package were not installed."""
    program = f"import sys; sys.modules[{without!r}] = None; from numbacnn_cli.entry import run; run()"
    return subprocess.run([sys.executable, "-c", program, *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of three epochs in ``out/``; ``report`` is what it printed."""
    folder = tmp_path_factory.mktemp("seen")
    (folder / "net.toml").write_text(NET)
    done = command("train", *SMALL, "--epochs", 3, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "report").write_text(done.stdout, encoding="utf-8")
    return folder


def history(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "out" / "history.jsonl").read_text().splitlines()]


def test_the_report_of_three_epochs_has_their_curves(trained: Path) -> None:
    lines = [line.split() for line in (trained / "report").read_text(encoding="utf-8").splitlines()]
    first, *_, last = history(trained)
    (loss,) = [words for words in lines if words[:2] == ["training", "loss"]]
    (accuracy,) = [words for words in lines if words[:2] == ["test", "accuracy"] and "to" in words]
    assert [len(loss[2]), *loss[3:]] == [3, f"{first['loss']:.4f}", "to", f"{last['loss']:.4f}"]
    assert accuracy[3:] == [f"{first['test_accuracy']:.2%}", "to", f"{last['test_accuracy']:.2%}"]


def test_the_run_has_its_history_as_a_table(trained: Path) -> None:
    with open(trained / "out" / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [{name: float(cell) for name, cell in row.items()} for row in rows] == history(trained)


def test_plot_draws_the_run_trained_last_and_one_that_is_named(trained: Path) -> None:
    pytest.importorskip("matplotlib", reason=PLOT)
    done = command("plot", "--test-limit", 50, cwd=trained)
    assert (done.returncode, done.stdout.count("wrote ")) == (0, 2), done.stderr
    for name in ("curves", "confusion"):
        with Image.open(trained / "out" / f"{name}.png") as picture:
            assert min(picture.size) >= 400
    done = command("plot", "out", "--no-confusion", "--output", "new", "--format", "json", cwd=trained)
    assert json.loads(done.stdout) == {"run": "out", "epochs": 3, "files": [str(Path("new", "curves.png"))]}
    assert [path.name for path in (trained / "new").iterdir()] == ["curves.png"]
    assert (trained / "new" / "curves.png").read_bytes() == (trained / "out" / "curves.png").read_bytes()


def test_a_reader_that_leaves_plot_is_no_error(trained: Path) -> None:
    pytest.importorskip("matplotlib", reason=PLOT)
    read, write = os.pipe()
    os.close(read)
    program = [sys.executable, "-m", "numbacnn", "plot", "out", "--no-confusion", "--output", "left"]
    done = subprocess.run(program, cwd=trained, stdout=write, stderr=subprocess.PIPE, timeout=600)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (trained / "left" / "curves.png").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "no network has been trained from this folder yet"),
        (("none",), "history.jsonl: No such file or directory. Give the folder of a run"),
    ],
)
def test_plot_without_a_run_is_one_line(args: tuple[str, ...], words: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason=PLOT)
    done = command("plot", *args, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_plot_without_its_package_names_the_extra(trained: Path) -> None:
    done = command("plot", cwd=trained, without="matplotlib")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "pip install 'numbacnn[plot]'" in done.stderr


def test_event_files_without_their_package_stop_before_training_starts(trained: Path, tmp_path: Path) -> None:
    done = command("train", *SMALL[:-1], tmp_path / "out", "--log-dir", tmp_path / "logs", cwd=trained, without="tensorboardX")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "pip install 'numbacnn[log]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_each_epoch_of_a_run_and_of_the_one_that_resumes_it_is_in_the_event_files(trained: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason=LOG)
    (tmp_path / "net.toml").write_text(NET)
    for more in (("--epochs", 1), ("--epochs", 2, "--resume")):
        done = command("train", *SMALL, *more, "--log-dir", "logs", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    from tensorboardX.proto.event_pb2 import Event

    losses = {}
    for path in sorted((tmp_path / "logs").iterdir()):
        data = path.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            for value in event.summary.value:
                if value.tag == "loss/train":
                    losses[event.step] = value.simple_value
            data = data[16 + length :]
    assert losses == {row["epoch"]: pytest.approx(row["loss"], rel=1e-6) for row in history(tmp_path)}


def test_no_module_of_the_commands_imports_an_extra_by_itself(tmp_path: Path) -> None:
    program = (
        "import sys, numbacnn_cli.train, numbacnn_cli.plot, numbacnn.net, numbacnn.fitting, numbacnn.training.event_files\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'matplotlib', 'tensorboardX', 'google'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"


def test_a_disk_that_fills_up_costs_the_event_files_and_not_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboardX", reason=LOG)
    from numbacnn_cli.event_log import EventLog

    from numbacnn.training.event_files import EventFile
    from numbacnn.training.events import EpochRecord

    def full(self: EventFile, record: EpochRecord) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EventFile, "write", full)
    said: list[str] = []
    with EventLog(tmp_path / "logs") as log:
        for epoch in (1, 2):
            log.write(EpochRecord(epoch, 0.1, 1.0, 0.5, None, None, 1.0, 1.0), said.append)
    assert said == [f"training goes on without event files: {tmp_path / 'logs'}: No space left on device"]
