"""Processes that work in turns: live workers that sleep between their turns, and whole runs from start to exit."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

WORKERS = Path(__file__).parent / "workers"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
OUR_COMMAND = "from numbacnn_cli.main import run; run()"


class Failed(Exception):
    """A worker could not do what it was asked for; the text says why."""


@dataclass
class Entry:
    """What one framework took for a piece of work, in one of its ways.

    Args:
        peer, variant: who, and how.
        threads: it was told to use.
        rounds: seconds of each step, epoch, call or run, round by round.
        versions: of its packages.
        difference: of its logits from numbacnn's, where that was looked at.
        peak_bytes: largest resident memory of each whole run.
        test_accuracy: after each whole run.
    """

    peer: str
    variant: str
    threads: int
    rounds: list[list[float]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    difference: float | None = None
    peak_bytes: list[int] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)


def environment(threads: int, **more: str) -> dict[str, str]:
    """The environment of a worker: this one's, and the number of threads for whoever reads it there."""
    return os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"PYTHONUTF8": "1"} | more


class Worker:
    """A live worker. It is stopped (SIGSTOP) whenever it is not its turn, so that no thread of it can spin while others are measured."""

    def __init__(self, python: str, script: str, threads: int, launcher: Sequence[str] = ()) -> None:
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  closed in __exit__
        self._process = subprocess.Popen(
            [*launcher, python, str(WORKERS / script), "serve"], env=environment(threads), text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Wake it, give it a request, wait for the answer, and put it to sleep again.

        Raises:
            Failed: it says that it cannot, or it died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._signal("SIGCONT")
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failed(f"the worker ended with exit code {self._process.wait()}: {self._last_error()}")
        self._signal("SIGSTOP")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def _signal(self, name: str) -> None:
        if hasattr(signal, name):  # not on Windows, where idle workers may spin for a moment
            self._process.send_signal(getattr(signal, name))

    def _last_error(self) -> str:
        self._errors.seek(0)
        return (self._errors.read().strip().splitlines() or ["no message"])[-1]


def take_turns(
    entries: list[tuple[Entry, Worker]], rounds: int, count: int, show: Callable[[str], None]
) -> list[tuple[Entry, str]]:
    """Let live workers measure in turns, every other round in the opposite order.

    Returns:
        those that failed on the way, and why; their entries are to be left out.
    """
    failures: list[tuple[Entry, str]] = []
    running = list(entries)
    for number in range(rounds):
        show(f"round {number + 1}/{rounds}")
        for entry, worker in running[:: -1 if number % 2 else 1]:
            try:
                entry.rounds.append(worker.ask({"do": "round", "count": count})["seconds"])
            except Failed as error:
                failures.append((entry, str(error)))
                running.remove((entry, worker))
    return failures


@dataclass(frozen=True)
class WholeRun:
    """A process from start to exit.

    Args:
        seconds: by the wall clock.
        peak_bytes: its largest resident memory; None where the system does not tell.
        answer: the JSON object it printed last.
    """

    seconds: float
    peak_bytes: int | None
    answer: dict[str, Any]


def run_whole(command: list[str], env: dict[str, str], folder: Path) -> WholeRun:
    """Run a command to its end.

    Raises:
        Failed: it exits with an error.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out, tempfile.TemporaryFile("w+", encoding="utf-8") as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        peak = None
        if hasattr(os, "wait4"):  # not on Windows
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        process.wait()
        seconds = time.perf_counter() - started
        for file in (out, err):
            file.seek(0)
        if process.returncode:
            raise Failed((err.read().strip().splitlines() or [f"exit code {process.returncode}"])[-1])
        text = out.read().strip()
    return WholeRun(seconds, peak, json.loads(text))
