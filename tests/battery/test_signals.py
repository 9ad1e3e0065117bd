"""SIGINT, SIGTERM and SIGHUP at any instant: the exit code, the time, no traceback, no process left behind, and nothing lost."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="processes are watched through /proc"),
    pytest.mark.usefixtures("heeded_signals"),
]

RUN = "from numbacnn_cli.entry import run; run()"
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HANGS = 20.0
"""Seconds after which a process counts as hanging: far above the promise, as the machine may be busy."""

NET = """
name = "net"
input_shape = [28, 28, 1]
[[layers]]
type = "Conv2D"
filters = 4
kernel_size = 5
activation = "relu"
[[layers]]
type = "MaxPool2D"
pool_size = 2
[[layers]]
type = "Flatten"
[[layers]]
type = "Dense"
units = 10
activation = "softmax"
"""
TRAIN = ("train", "--model", "net.toml", "--dataset", "digits", "--train-limit", "300", "--test-limit", "50")
TRAIN += ("--batch-size", "20", "--epochs", "4", "--threads", "1", "--output", "out", "--progress", "plain")

latencies: dict[str, list[float]] = {}
"""Seconds from a signal to the end of the process, by the instant it was aimed at."""


class Ended(NamedTuple):
    """A process that got a signal: its exit code, what it wrote, and the seconds from the signal to its end."""

    code: int
    out: str
    error: str
    seconds: float


class Program:
    """The program in a session of its own, so that every process it starts can be found."""

    def __init__(self, folder: Path, *args: str, code: str = RUN, **variables: str) -> None:
        self.folder = folder
        self._out, self._error = folder / "stdout", folder / "stderr"
        with self._out.open("w") as out, self._error.open("w") as error:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *args], cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=error,
                env=os.environ | variables, start_new_session=True,
            )  # fmt: skip

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, or for the end of the process."""
        deadline = time.monotonic() + 300
        while self.process.poll() is None and not condition():
            assert time.monotonic() < deadline, f"never came; stderr: {self.error()}"
            time.sleep(0.002)

    def error(self) -> str:
        """What it has written to stderr so far."""
        return self._error.read_text(errors="replace")

    def says(self, text: str) -> Callable[[], bool]:
        """A condition for ``wait_until``."""
        return lambda: text in self.error()

    def handles(self, number: int) -> bool:
        """Whether the process has taken the signal over."""
        return bool(_caught(self.process.pid) >> (number - 1) & 1)

    def send(self, *numbers: int, pause: float = 0.003, to_all: bool = False) -> Ended:
        """Send signals, to all processes as a terminal does or to the first one, and wait for the end."""
        for count, number in enumerate(numbers):
            time.sleep(pause if count else 0)
            if self.process.poll() is None:
                (os.killpg if to_all else os.kill)(self.process.pid, number)
        return self.end(time.monotonic())

    def end(self, since: float | None = None) -> Ended:
        """Wait for the end; nothing of it may be left."""
        try:
            code = self.process.wait(HANGS if since is not None else 300)
            seconds = time.monotonic() - (since or 0)
            deadline = time.monotonic() + 5
            while (left := _session(self.process.pid)) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert not left, f"left behind: {left}"
        finally:
            for pid, _ in _session(self.process.pid):
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
        return Ended(code, self._out.read_text(errors="replace"), self.error(), seconds)


def _caught(pid: int) -> int:
    """The signals that a process handles, as a set of bits."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt")), 0)


def _session(leader: int) -> list[tuple[int, str]]:
    """The processes of a session that are alive, with their command lines."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == leader and state not in "ZX":
                    found.append((int(folder.name), (folder / "cmdline").read_text().replace("\0", " ")))
            except OSError:  # it has ended
                pass
    return found


def check(ended: Ended, number: int, instant: str, *, may_be_done: bool = False, before_handlers: bool = False) -> None:
    """The exit code of a signal, and no traceback."""
    latencies.setdefault(instant, []).append(ended.seconds)
    allowed = {128 + number} | ({0} if may_be_done else set()) | ({-number} if before_handlers or may_be_done else set())
    assert ended.code in allowed, f"{instant}: exit code {ended.code}, expected one of {allowed}: {ended.error}"
    assert "Traceback" not in ended.error, ended.error
    assert "Exception ignored" not in ended.error, ended.error
    assert "Error" not in ended.error, ended.error


def check_resumable(program: Program, ended: Ended, sha256: str) -> None:
    """What is said is true: the command on stderr ends with the weights of a run without a stop."""
    out = program.folder / "out"
    commands = [line for line in ended.error.splitlines() if "--resume" in line]
    if not commands:
        assert ended.code <= 0 or not list(out.glob("*.safetensors")), f"no command to resume: {ended.error}"
        return
    (command,) = commands
    resumed = Program(program.folder, *shlex.split(command)[1:], "--format", "json").end()
    assert resumed.code == 0, resumed.error
    assert json.loads(resumed.out)["weights_sha256"] == sha256
    assert not list(out.glob(".*-*")), "temporary files are left"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The weights' digest of a run without a stop. It compiles the kernels, too."""
    folder = make_folder(tmp_path_factory.mktemp("whole"))
    ended = Program(folder, *TRAIN, "--format", "json").end()
    assert ended.code == 0, ended.error
    return str(json.loads(ended.out)["weights_sha256"])


@pytest.fixture(scope="module", autouse=True)
def report():
    """Print the latencies at the end."""
    yield
    for instant, seconds in latencies.items():
        print(f"{instant}: {len(seconds)} signals, at most {max(seconds):.2f} s", file=sys.__stderr__)


def make_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "net.toml").write_text(NET)
    return folder


def drawn(case) -> list[int]:
    """One signal, or in a third of the cases two."""
    number = NUMBERS[case.index % 3]
    return [int(number)] * (2 if case.random.random() < 0.33 else 1)


def test_a_signal_while_the_program_starts_ends_it_without_a_traceback(battery, tmp_path):
    commands = [TRAIN, ("predict", "none.png"), ("doctor",), ("models",), ("shapes", "cnn"), ("evaluate",), ("samples", "s")]
    for case in battery("signals while the program starts", smoke=4, whole=60):
        with case:
            folder = make_folder(tmp_path / str(case.index))
            numbers, random = drawn(case), case.random
            program = Program(folder, *commands[case.index % len(commands)])
            if case.index % 4:
                program.wait_until(lambda program=program: program.handles(signal.SIGTERM))
            time.sleep(random.choice([0, 0.001, 0.01, 0.05]) + random.random() * 0.4 * (case.index % 3))
            is_ready = program.handles(signal.SIGTERM)
            if not is_ready and numbers[0] == signal.SIGINT:  # until then it is Python's own, which prints a traceback
                program.wait_until(lambda program=program: program.handles(signal.SIGTERM))
                is_ready = True
            is_over = program.process.poll() is not None
            ended = program.send(*numbers)
            if not is_over and "no network has been trained" not in ended.error:  # as there is nothing to predict or evaluate
                check(ended, numbers[0], "start", may_be_done=True, before_handlers=not is_ready)


def test_a_signal_while_kernels_compile_ends_the_program_at_once(battery, tmp_path):
    for case in battery("signals while kernels compile", smoke=1, whole=16):
        with case:
            folder = make_folder(tmp_path / str(case.index))
            numbers, random = drawn(case), case.random
            threads = {} if case.index % 2 == 0 else {"NUMBA_NUM_THREADS": "1"}  # several processes, or the main thread
            command = TRAIN if case.index % 4 < 3 else ("warmup", "net.toml")
            program = Program(folder, *command, NUMBA_CACHE_DIR=str(folder / "kernels"), **threads)
            program.wait_until(program.says("compiling"))
            time.sleep(random.random() * 5)
            ended = program.send(*numbers, to_all=random.random() < 0.5)
            check(ended, numbers[0], "compilation")
            if command is TRAIN:
                assert "--resume --output out" in ended.error
            assert not list((folder / "kernels").rglob(".probe*"))


def test_processes_that_compile_end_with_a_program_that_was_killed(battery, tmp_path):
    for case in battery("SIGKILL while kernels compile", smoke=1, whole=8):
        with case:
            folder = make_folder(tmp_path / str(case.index))
            program = Program(folder, *TRAIN, NUMBA_CACHE_DIR=str(folder / "kernels"), NUMBA_NUM_THREADS="2")
            program.wait_until(program.says("compiling"))
            time.sleep(case.random.random() * 4)
            assert program.send(signal.SIGKILL).code == -signal.SIGKILL


def test_a_signal_while_training_saves_and_the_command_it_prints_ends_with_the_same_bits(battery, tmp_path, whole):
    for case in battery("signals while training", smoke=1, whole=45):
        with case:
            folder = make_folder(tmp_path / str(case.index))
            numbers, random = drawn(case), case.random
            program = Program(folder, *TRAIN, "--checkpoint-every", "0.01")
            aim = ("adam", "epoch 1/", "epoch 2/", "epoch 3/")[case.index % 4]  # the heading, or the line of an epoch
            program.wait_until(program.says(aim))
            time.sleep(random.random() * 0.15)
            is_over = program.process.poll() is not None
            ended = program.send(*numbers, pause=random.choice([0.0, 0.003, 0.05]))
            if not is_over:
                check(ended, numbers[0], "training", may_be_done=True)
                if ended.code:
                    check_resumable(program, ended, whole)


AIMED = """
import os, signal, sys, time
numbers, count = [int(number) for number in sys.argv.pop(1).split(",")], int(sys.argv.pop(1))
def aimed(name):
    function = getattr(os, name)
    def call(*args, **options):
        global count
        count -= 1
        if not count:
            open("sent", "w").write(repr(time.time()))
            for number in numbers:
                os.kill(os.getpid(), number)
        return function(*args, **options)
    setattr(os, name, call)
for name in ("open", "fsync", "chmod", "replace", "unlink", "link"):
    aimed(name)
import atexit
atexit.register(lambda: open("calls", "w").write(str(-count)))
"""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many calls of the system that change files a whole run makes."""
    folder = make_folder(tmp_path_factory.mktemp("calls"))
    assert Program(folder, "0", "0", *TRAIN, code=AIMED + RUN).end().code == 0
    return int((folder / "calls").read_text())


def test_a_signal_while_a_file_is_written_leaves_whole_files_and_a_run_to_resume(battery, tmp_path, whole, calls):
    for case in battery("signals at a write of a run's files", smoke=2, whole=60):
        with case:
            folder = make_folder(tmp_path / str(case.index))
            numbers, random = drawn(case), case.random
            at = calls - int(random.integers(12)) if case.index % 3 == 0 else int(random.integers(1, calls + 1))
            program = Program(folder, ",".join(map(str, numbers)), str(at), *TRAIN, code=AIMED + RUN)
            ended = program.end()
            sent = folder / "sent"
            if sent.exists():
                ended = ended._replace(seconds=max(0.0, time.time() - float(sent.read_text())))
                check(ended, numbers[0], "a file is written", before_handlers=True)
                check_resumable(program, ended, whole)


STUCK = """
import ctypes, sys
function, call_number = sys.argv.pop(1), int(sys.argv.pop(1))
def lock_twice():
    mutex = ctypes.create_string_buffer(256)  # zeros are a mutex that nobody holds
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
from numbacnn.training import evaluation, loop
module = evaluation if function == "predict" else loop
original, calls = getattr(module, function), 0
def call(*args):
    global calls
    calls += 1
    if calls == call_number:
        print("stuck", file=sys.stderr, flush=True)
        lock_twice()
    return original(*args)
setattr(module, function, call)
"""


def test_a_signal_while_a_library_does_not_return_ends_the_program_and_loses_nothing(battery, tmp_path, whole):
    for case in battery("signals while a library does not return", smoke=1, whole=9):
        with case:
            folder = make_folder(tmp_path / str(case.index))
            number = NUMBERS[case.index // 3 % 3]
            # While an epoch is evaluated, in the first step, and in a later one, which only a second signal ends.
            function, call, count = [("predict", 2, 1), ("_train_step", 1, 1), ("_train_step", 20, 2)][case.index % 3]
            program = Program(folder, function, str(call), *TRAIN, code=STUCK + RUN)
            program.wait_until(program.says("stuck"))
            ended = program.send(*[number] * count, pause=0.5)  # two at once may reach a process as one
            check(ended, number, f"{function} does not return")
            if function == "predict":
                assert "nothing is lost" in ended.error
            check_resumable(program, ended, whole)


@pytest.fixture
def silent_server():
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def test_a_signal_to_any_command_leaves_no_half_file(battery, tmp_path, whole, silent_server):
    make_folder(tmp_path)
    assert Program(tmp_path, *TRAIN, "--epochs", "1").end().code == 0
    assert Program(tmp_path, "samples", "pictures").end().code == 0
    model = str(tmp_path / "out" / "model.safetensors")
    commands = [
        ("predict", str(tmp_path / "pictures"), "--model", model),
        ("evaluate", "--model", model, "--dataset", "digits", "--test-limit", "2000"),
        ("samples", "pictures"),
        ("doctor",),
        ("download", "--data-dir", "data"),
        ("warmup", str(tmp_path / "net.toml")),
    ]
    for case in battery("signals to other commands", smoke=2, whole=36):
        with case:
            folder = make_folder(tmp_path / str(case.index))
            numbers, random = drawn(case), case.random
            program = Program(
                folder, *commands[case.index % len(commands)], NUMBACNN_MNIST_MIRRORS=silent_server, NO_PROXY="127.0.0.1"
            )
            program.wait_until(lambda program=program: program.handles(signal.SIGTERM))
            time.sleep(random.random() * 1.2)
            is_over = program.process.poll() is not None
            ended = program.send(*numbers)
            if not is_over:
                check(ended, numbers[0], "other commands", may_be_done=True)
            for picture in folder.rglob("*.png"):
                Image.open(picture).load()
            assert not list(folder.rglob("[!.]*-ubyte*")), "a download that was stopped"
