"""A terminal that goes away while a network is trained: a closed window, a connection that ends."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

fcntl = pytest.importorskip("fcntl", reason="terminals of Unix")
termios = pytest.importorskip("termios")

NET = """
name = "net"
input_shape = [28, 28, 1]
[[layers]]
type = "Flatten"
[[layers]]
type = "Dense"
units = 10
activation = "softmax"
"""
EPOCHS = 4


def train_until_the_terminal_is_gone(folder: Path, progress: str, prepare: Callable[[], None] | None) -> int:
    """Train on a terminal that is closed in the first epochs; returns the exit code. ``prepare`` is called in the new process."""
    (folder / "net.toml").write_text(NET)
    arguments = ("train", "--model", "net.toml", "--dataset", "digits", "--train-limit", "1000", "--test-limit", "20")
    arguments += ("--batch-size", "2", "--epochs", str(EPOCHS), "--threads", "1", "--output", "out", "--progress", progress)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from numbacnn_cli.entry import run; run()", *arguments], cwd=folder, stdin=theirs, stdout=theirs,
        stderr=theirs, start_new_session=True, preexec_fn=prepare, env=os.environ | {"TERM": "xterm", "CI": ""},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"epoch 1/" not in shown:
        shown += os.read(ours, 4096)
    time.sleep(0.1)
    os.close(ours)
    return process.wait(300)


def own_the_terminal() -> None:
    """Become the session of the terminal, as a shell is: the system sends SIGHUP when the terminal goes away."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def own_the_terminal_under_nohup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    own_the_terminal()


def epochs(folder: Path) -> int:
    return len((folder / "out" / "history.jsonl").read_text().splitlines())


@pytest.mark.parametrize("progress", ["bar", "plain"])
def test_a_terminal_that_goes_away_does_not_end_a_training(tmp_path: Path, progress: str) -> None:
    assert train_until_the_terminal_is_gone(tmp_path, progress, prepare=None) == 0
    assert epochs(tmp_path) == EPOCHS


def test_under_nohup_a_training_goes_on_when_its_terminal_goes_away(tmp_path: Path) -> None:
    assert train_until_the_terminal_is_gone(tmp_path, "bar", own_the_terminal_under_nohup) == 0
    assert epochs(tmp_path) == EPOCHS


@pytest.mark.usefixtures("heeded_signals")
def test_the_hangup_of_a_terminal_saves_the_training(tmp_path: Path) -> None:
    assert train_until_the_terminal_is_gone(tmp_path, "bar", own_the_terminal) == 128 + signal.SIGHUP
    resume = [sys.executable, "-c", "from numbacnn_cli.entry import run; run()", "train", "--resume", "--output", "out"]
    resume += ["--threads", "1"]
    done = subprocess.run([*resume, "--format", "json"], cwd=tmp_path, capture_output=True, text=True)
    assert "after epoch 0, step 0" not in done.stderr
    assert json.loads(done.stdout)["epochs"] == EPOCHS


def test_signals_that_were_ignored_when_the_program_started_stay_ignored(tmp_path: Path) -> None:
    def ignore() -> None:
        for number in (signal.SIGINT, signal.SIGHUP):  # as a shell's script does for what it starts with &, and nohup
            signal.signal(number, signal.SIG_IGN)

    report = (
        "import signal, numbacnn_cli.main as main\n"
        "main.main = lambda: print(*[signal.getsignal(n) == signal.SIG_IGN for n in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)])\n"
        "main.run()"
    )
    done = subprocess.run([sys.executable, "-c", report], preexec_fn=ignore, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["True", "True", "False"], done.stderr
