"""One training of a sweep, in a process of its own: what every executor does where it has brought the job to."""

import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from numbacnn.engines import launch

from .workers import THREADS_OF_PRODUCTS, terminal_signals_blocked

POLL = 0.05
"""Seconds between two looks at the process."""

PATIENCE = 3.0
"""Seconds in which a training that is not wanted any more may save its checkpoint."""

_LINES = 50  # of what the process said last


class Job(NamedTuple):
    """A training to be done.

    Args:
        name: of the run, in its sweep.
        begin: the arguments of ``numbacnn`` that begin the run.
        resume: those that resume it.
        output: the folder of the run.
        folder: the current folder of the process, an absolute path; ``output`` may be relative to it.
    """

    name: str
    begin: tuple[str, ...]
    resume: tuple[str, ...]
    output: str
    folder: str


def work(job: Job, threads: int, is_wanted: Callable[[], bool], said: Callable[[str], object] = lambda line: None) -> str | None:
    """Train.

    Args:
        threads: of the training.
        is_wanted: asked now and then; once it says no, the training is told to save its checkpoint and end.
        said: told each line that the process writes to stderr.

    Returns:
        why the training failed; None if it is done.
    """
    arguments = job.resume if _is_begun(Path(job.folder, job.output)) else job.begin
    command = [sys.executable, "-P", "-m", f"{__package__}.tethered", *arguments, "--threads", str(threads)]
    try:
        with terminal_signals_blocked():
            process = subprocess.Popen(
                command, cwd=job.folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                encoding="utf-8", errors="replace", env=_environment(threads),
            )  # fmt: skip
    except OSError as error:
        return f"its process cannot be started in {job.folder}: {error.strerror or error}. All workers need the same folders"
    lines: deque[str] = deque(maxlen=_LINES)
    reader = threading.Thread(target=_listen, args=(process, lines, said), daemon=True)
    reader.start()
    with process:
        while process.poll() is None:
            if not is_wanted():
                _end(process)
            try:
                process.wait(POLL)
            except subprocess.TimeoutExpired:
                continue
        reader.join(1)
    return None if process.returncode == 0 else _reason(process.returncode, list(lines))


def _environment(threads: int) -> dict[str, str]:
    """Of a training with so many threads: it is no rank, and NumPy's threads, which poll for work, leave the others their processors."""
    given = launch.without(os.environ)
    return dict.fromkeys(THREADS_OF_PRODUCTS, str(threads)) | given | {"PYTHONIOENCODING": "utf-8"}


def _is_begun(folder: Path) -> bool:
    """Whether there is a run to resume: of an earlier sweep, or of a worker that was lost in the meantime.

    Such a training saves its checkpoint and ends, which is waited for.
    """
    from filelock import FileLock  # imported late for the start-up time

    from numbacnn.training.run_folder import RunFolder

    found = RunFolder(folder)
    if not (found.unfinished.exists() or found.checkpoint.exists()):
        return False
    with contextlib.suppress(OSError, NotImplementedError), FileLock(folder / ".lock", timeout=PATIENCE):  # else `train` says so
        pass
    return True


def _listen(process: "subprocess.Popen[str]", lines: "deque[str]", said: Callable[[str], object]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text := line.rstrip():
            lines.append(text)
            said(text)


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()


def _reason(code: int, lines: list[str]) -> str:
    """Why a process has failed, in one line: its error, else its last words."""
    if code < 0:
        return f"its process was killed by signal {-code}, for want of memory perhaps. The same command goes on with it"
    begin = next((index for index in reversed(range(len(lines))) if lines[index].startswith("Error: ")), len(lines) - 1)
    said = " ".join(line.strip() for line in lines[begin:]).removeprefix("Error: ")
    return said or f"its process ended with exit code {code}"
