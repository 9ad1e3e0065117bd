"""Commands of numbacnn that are killed: after so many seconds, or before or after their n-th change of the disk.

A server process imports the program once, and forks for each command: a training of a tiny network then takes a few tenths of a
second. The server has computed nothing, so its forks have no threads to miss.
"""

import builtins
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LONGEST = 120.0  # seconds


@dataclass(frozen=True)
class Kill:
    """When a command is killed: `seconds` after its start, or at its change of number `change`, counted from 1."""

    seconds: float | None = None
    change: int | None = None
    after: bool = False
    """Whether that change happens."""


@dataclass(frozen=True)
class Ended:
    """How a command ended. `begun`: whether it had put a new run on the disk; `changes`: how often it had changed the disk."""

    killed: bool
    code: int
    seconds: float
    stdout: str
    stderr: str
    begun: bool
    changes: int


class Commands:
    """Runs commands in forks of one process."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __call__(self, folder: Path, *args: object, kill: Kill | None = None, links: bool = True) -> Ended:
        """Run ``numbacnn ARGS`` in a folder. Without `links`, the folder's file system has no hard links."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = {"folder": str(folder), "args": list(map(str, args)), "kill": asdict(kill or Kill()), "links": links}
        self._server.stdin.write(json.dumps(request) + "\n")
        return Ended(**json.loads(self._server.stdout.readline()))

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(LONGEST)
        self._server.stdout.close()


@contextmanager
def commands() -> Iterator[Commands]:
    """A server of commands, ended at the end."""
    server = Commands()
    try:
        yield server
    finally:
        server.close()


# --- in the server ----------------------------------------------------------------------------------------------------------------


def _serve() -> None:
    os.environ["NUMBA_NUM_THREADS"] = "1"
    import numbacnn_cli.main
    import numbacnn_cli.train  # noqa: F401  imported for the forks

    import numbacnn.backends.cpu.ops  # noqa: F401

    for line in sys.stdin:
        print(json.dumps(_run(**json.loads(line))), flush=True)


def _run(folder: str, args: list[str], kill: dict[str, Any], links: bool) -> dict[str, Any]:
    logs = [os.open(os.path.join(folder, name), os.O_RDWR | os.O_CREAT | os.O_TRUNC) for name in ("stdout", "stderr")]
    progress, report = os.pipe()
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            os.chdir(folder)
            os.dup2(logs[0], 1)
            os.dup2(logs[1], 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            _be(args, Kill(**kill), links, report)
        finally:
            os._exit(70)
    os.close(report)
    marks = b""
    deadline = start + (LONGEST if kill["seconds"] is None else kill["seconds"])
    is_over = False
    while not is_over:  # the pipe ends with the process
        ready, _, _ = select.select([progress], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + LONGEST
            continue
        is_over = not (part := os.read(progress, 1 << 16))
        marks += part
    _, status = os.waitpid(pid, 0)
    os.close(progress)
    texts = []
    for log in logs:
        os.lseek(log, 0, os.SEEK_SET)
        texts.append(os.read(log, 1 << 20).decode())
        os.close(log)
    code = os.waitstatus_to_exitcode(status)
    return {
        "killed": code == -signal.SIGKILL, "code": code, "seconds": time.monotonic() - start, "stdout": texts[0],
        "stderr": texts[1], "begun": b"b" in marks, "changes": marks.count(b"."),
    }  # fmt: skip


def _be(args: list[str], kill: Kill, links: bool, report: int) -> None:
    """The command, in a fork."""
    from numbacnn_cli.main import run

    from numbacnn.training import autosave, run_folder

    autosave.MOST_SHARE = 1e9  # --checkpoint-every decides alone
    begin = run_folder.RunFolder.begin

    def marked(*given: Any) -> Any:
        found = begin(*given)
        os.write(report, b"b")
        return found

    run_folder.RunFolder.begin = marked  # type: ignore[method-assign]
    _count_changes(kill, report)
    if not links:
        os.link = _no_links
    sys.argv = ["numbacnn", *args]
    try:
        run()
    except SystemExit as error:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(error.code if isinstance(error.code, int) else 1)


def _no_links(*given: object, **options: object) -> None:
    raise OSError(1, "Operation not permitted")


def _count_changes(kill: Kill, report: int) -> None:
    """Let every change of the disk that Python makes be counted, and the one asked for be the last."""
    count = 0
    write, end = os.write, os.kill

    def counted(original: Callable[..., Any], is_change: Callable[..., bool]) -> Callable[..., Any]:
        def change(*given: Any, **options: Any) -> Any:
            nonlocal count
            if not is_change(*given, **options):
                return original(*given, **options)
            count += 1
            write(report, b".")
            if count == kill.change and not kill.after:
                end(os.getpid(), signal.SIGKILL)
            found = original(*given, **options)
            if count == kill.change:
                end(os.getpid(), signal.SIGKILL)
            return found

        return change

    for name in ("replace", "rename", "link", "unlink", "remove", "mkdir", "rmdir", "fsync"):
        setattr(os, name, counted(getattr(os, name), lambda *given, **options: True))
    os.open = counted(os.open, _opens_for_writing)
    builtins.open = counted(builtins.open, _opens_by_mode)


def _opens_for_writing(path: Any, flags: int, *given: Any, **options: Any) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _opens_by_mode(path: Any, mode: str = "r", *given: Any, **options: Any) -> bool:
    return not isinstance(path, int) and bool(set(mode) & set("wax+"))


if __name__ == "__main__":
    _serve()
