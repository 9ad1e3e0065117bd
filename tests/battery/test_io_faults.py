"""Each call of the system fails, one after the other, in each operation that writes files; then the operation is repeated.

After the fault every file is whole, the old one or the new one; what was there before can be read; the error is one line that names
file and cause; and no temporary file is left, or the repetition removes it.
"""

import contextlib
import errno
import functools
import io
import itertools
import json
import os
import pickle
import random
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import http_server as web
import numpy as np
import pytest
from command_line import run_here
from faults import ERRORS, Faults
from networks import SETTINGS, net, run, stripes
from numbacnn_cli import model_source, streams
from small_mnist import BY_NAME, SMALL_FILES

from numbacnn import files
from numbacnn.backends import cpu, get_ops, kernel_cache, kernel_packs
from numbacnn.backends.kernel_files import KernelFiles
from numbacnn.checkpoint import TrainedNetwork, load_checkpoint, load_network, save_network
from numbacnn.config import write_model_file
from numbacnn.datasets import mnist
from numbacnn.errors import CheckpointError, NumbaCNNError
from numbacnn.files import make_folder, write_atomically
from numbacnn.models import PRESETS
from numbacnn.training import State, StepDone, new_state
from numbacnn.training.run_folder import RunFolder

LEFTOVERS = (".partial", ".previous")


@dataclass(frozen=True)
class Operation:
    """Something that writes files into a folder.

    Args:
        prepare: fills the folder with what was there before.
        act: the operation; it raises its error.
        check: what must hold in the folder; given whether the operation ended without an error.
        again: what a user does after an error; by default, the same again.
    """

    prepare: Callable[[Path], object]
    act: Callable[[Path], object]
    check: Callable[[Path, bool], None]
    again: Callable[[Path], object] | None = None


# --- runs ---------------------------------------------------------------------------------------------------------------------------


@functools.cache
def trained(epochs: int, seed: int) -> State:
    state = new_state(net(), replace(SETTINGS, seed=seed), get_ops("cpu"))
    is_enough = (lambda event: state.epoch == epochs) if epochs else (lambda event: isinstance(event, StepDone))
    run(state, stripes(), stop=is_enough)
    return state


def fresh(seed: int) -> State:
    return new_state(net(), replace(SETTINGS, seed=seed), get_ops("cpu"))


def network(state: State) -> TrainedNetwork:
    parameters = state.parameters_to_keep(get_ops("cpu"))
    return TrainedNetwork(state.graph, parameters, ("a", "b", "c"), {"seed": state.settings.seed})


def save_epoch(folder: RunFolder, state: State) -> None:
    folder.save_epoch(state, get_ops("cpu"), network(state), "config", {})


def finished(seed: int, epochs: int = 1) -> Callable[[Path], None]:
    """A run of some epochs is in the folder."""

    def prepare(path: Path) -> None:
        save_epoch(RunFolder(path), trained(epochs, seed))

    return prepare


def stopped(path: Path) -> None:
    """The run of seed 6, stopped in its first epoch, is beside the finished one of seed 5."""
    finished(5)(path)
    RunFolder(path).save_checkpoint(trained(0, 6), get_ops("cpu"), {})


def begin(path: Path) -> None:
    with RunFolder(path).writing():
        RunFolder(path).begin(fresh(7), get_ops("cpu"), {})


def end_epoch(path: Path) -> None:
    """The run of seed 6 is resumed, and completes its first epoch."""
    with RunFolder(path).writing():
        folder = RunFolder(path)
        folder.resume(folder.load(), get_ops("cpu"))
        save_epoch(folder, trained(1, 6))


def next_epoch(path: Path) -> None:
    """The run of seed 5 completes its second epoch, as the only one in its folder."""
    with RunFolder(path).writing():
        folder = RunFolder(path)
        folder.resume(folder.load(), get_ops("cpu"))
        save_epoch(folder, trained(2, 5))


def without_links(path: Path) -> None:
    with mock.patch.object(os, "link", side_effect=PermissionError(1, "Operation not permitted")):
        end_epoch(path)


def runs_in(path: Path) -> set[tuple[int, int, int]]:
    """(seed, epoch, step) of all runs in a folder and in those below, each file of which is whole."""
    found = set()
    for file in path.rglob("*.safetensors"):
        if file.parent.name == ".previous":  # not yet a folder of its own
            continue
        if file.name == "model.safetensors":
            load_network(file)
        else:
            state = load_checkpoint(file).state
            counters = state["counters"]
            found.add((state["settings"]["seed"], counters["epoch"], counters["step"]))
    for file in path.rglob("history.jsonl"):
        assert [json.loads(line)["epoch"] for line in file.read_text().splitlines()] in ([1], [1, 2])
    for file in path.rglob("config.toml"):
        assert file.read_text() == "config"
    return found


def step(epochs: int, seed: int) -> tuple[int, int, int]:
    state = trained(epochs, seed)
    return seed, state.epoch, state.step


def check_runs(*kept: Callable[[], tuple[int, int, int]], new: Callable[[], tuple[int, int, int]], last: int) -> Any:
    """Nothing is lost, the new state is there if there was no error, and the run begun last or the one before is resumed."""

    def check(path: Path, is_done: bool) -> None:
        found = runs_in(path)
        assert {each() for each in kept} <= found, found
        assert not is_done or new() in found, found
        if found:
            resumed = RunFolder(path).resume(RunFolder(path).load(), get_ops("cpu"))
            assert not is_done or resumed.settings.seed == last

    return check


def check_epoch(path: Path, is_done: bool) -> None:
    """The files of the only run, each of its first or of its second epoch."""
    found = runs_in(path)
    assert found <= {step(1, 5), step(2, 5)}
    assert found == {step(2, 5)} or not is_done
    assert RunFolder(path).is_complete()


# --- kernels, downloads, notes --------------------------------------------------------------------------------------------------------


def one() -> None:
    """A kernel, as far as its file is concerned."""


def kernel_files(path: Path) -> KernelFiles:
    return KernelFiles(path, one, pickle.dumps)


def save_kernel(path: Path, code: str = "new") -> None:
    kernel_files(path).save("key", code * 1000)


def check_kernel(path: Path, is_done: bool) -> None:
    assert kernel_files(path).load("key") in (["new" * 1000] if is_done else ["old" * 1000, "new" * 1000])


def load_kernel(path: Path) -> None:
    if kernel_files(path).load("key") is None:  # as Numba does: it compiles, and saves
        save_kernel(path, "old")


def lay_pack(path: Path) -> None:
    kernel_packs.lay(kernels_of_a_pack(), path)


@functools.cache
def kernels_of_a_pack() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        for key in ("one", "two"):
            kernel_files(Path(folder)).save(key, key * 1000)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def check_pack(path: Path, is_done: bool) -> None:
    found = {file.name: file.read_bytes() for file in path.glob("*.kernel")}
    assert found.items() <= kernels_of_a_pack().items()
    assert not is_done or len(found) == 2


def open_cache(path: Path) -> None:
    here = mock.patch.dict(os.environ, NUMBA_CACHE_DIR=str(path / "cache"))
    with here, mock.patch.object(kernel_cache, "compiler", return_value=()):
        found = kernel_cache.cache_folder.__wrapped__(Path(cpu.__file__).parent)
    if found.path is None:
        raise NumbaCNNError(f"{path}: {found.problem}")


def check_cache(path: Path, is_done: bool) -> None:
    assert not is_done or len(list((path / "cache" / "compiled-kernels").iterdir())) == 1


def check_data(path: Path, is_done: bool) -> None:
    for name, content in BY_NAME.items():
        if is_done or (path / name).exists():
            assert (path / name).read_bytes() == content


class Noticed(NumbaCNNError):
    """What could not be done was no more than noticed."""


def remember(path: Path) -> None:
    with contextlib.chdir(path), mock.patch("numbacnn_cli.console.notice") as notice:
        model_source.remember_run(path / "new")
    if notice.called:
        raise Noticed(notice.call_args[0][0])


def check_note(path: Path, is_done: bool) -> None:
    assert (path / "runs" / "last").read_bytes() in [os.fsencode(path / name) for name in ("old", "new")[is_done:]]


def note_old(path: Path) -> None:
    (path / "runs").mkdir()
    (path / "runs" / "last").write_bytes(os.fsencode(path / "old"))


# --- commands -------------------------------------------------------------------------------------------------------------------------


def command(*args: object, out: Any = None) -> str:
    """Run a command in this process; its error becomes an exception's message."""
    done = run_here(*args, out=out)
    assert done.code in (0, 1), done
    if done.code:
        assert done.out == "", done
        assert done.err.startswith("Error: "), done
        raise NumbaCNNError(done.err.removeprefix("Error: ").removesuffix("\n"))
    return done.out


@functools.cache
def sample_pictures(folder: Path) -> dict[str, bytes]:
    command("samples", folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def check_samples(path: Path, is_done: bool) -> None:
    expected = sample_pictures(path.parents[1] / "samples")
    assert all(
        (path / "s" / name).read_bytes() == data for name, data in expected.items() if is_done or (path / "s" / name).exists()
    )
    assert not (path / "s").exists() or {file.name for file in (path / "s").iterdir()} <= expected.keys() | leftovers(path / "s")


class Unbuffered(io.RawIOBase):
    """A file that is written by ``os.write``."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._handle

    def write(self, data: Any) -> int:
        return len(data) if self._handle < 0 else os.write(self._handle, data)

    def forget(self) -> None:
        """Write nothing from here on. What a buffer still holds after a fault would go to whatever file has the number next."""
        self._handle = -1


shell_open, shell_close = os.open, os.close


def print_model(path: Path) -> None:
    """``numbacnn models --toml small > net.toml``."""
    handle = shell_open(path / "net.toml", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    file = Unbuffered(handle)
    try:
        out = streams.Results(io.BufferedWriter(file), encoding="utf-8")
        command("models", "--toml", "small", out=out)
        out.detach()
    finally:
        file.forget()
        shell_close(handle)


def check_model(path: Path, is_done: bool) -> None:
    """A redirection is the shell's: its file may be cut short, but only with an error."""
    file = path / "net.toml"
    assert not is_done or file.read_text() == write_model_file(PRESETS["small"].graph, PRESETS["small"].recipe)


OPERATIONS: dict[str, Operation] = {
    "a network is saved": Operation(
        lambda path: save_network(path / "net", network(trained(1, 5))),
        lambda path: save_network(path / "net", network(trained(2, 5))),
        lambda path, is_done: check_network(path / "net", is_done),
    ),
    "a run begins": Operation(lambda path: None, begin, check_runs(new=lambda: (7, 0, 0), last=7)),
    "a run begins beside a finished one": Operation(
        finished(5), begin, check_runs(functools.partial(step, 1, 5), new=lambda: (7, 0, 0), last=7)
    ),
    "a third run begins": Operation(
        stopped, begin, check_runs(functools.partial(step, 1, 5), functools.partial(step, 0, 6), new=lambda: (7, 0, 0), last=7)
    ),
    "an epoch ends": Operation(finished(5), next_epoch, check_epoch),
    "a run takes over": Operation(
        stopped, end_epoch, check_runs(functools.partial(step, 1, 5), new=functools.partial(step, 1, 6), last=6)
    ),
    "a run takes over without links": Operation(
        stopped, without_links, check_runs(functools.partial(step, 1, 5), new=functools.partial(step, 1, 6), last=6), end_epoch
    ),
    "a kernel is saved": Operation(lambda path: save_kernel(path, "old"), save_kernel, check_kernel),
    "a kernel is loaded": Operation(
        lambda path: save_kernel(path, "old"), load_kernel, lambda path, is_done: check_kernel(path, False)
    ),
    "a pack is laid": Operation(lambda path: None, lay_pack, check_pack),
    "the folder of kernels is made": Operation(lambda path: None, open_cache, check_cache),
    "the run trained last is noted": Operation(note_old, remember, check_note),
    "a model file is printed": Operation(lambda path: None, print_model, check_model),
    "samples are drawn": Operation(lambda path: None, lambda path: command("samples", path / "s"), check_samples),
}


def check_network(path: Path, is_done: bool) -> None:
    found = load_network(path)
    allowed = [network(trained(epochs, 5)).parameters for epochs in (1, 2)[is_done:]]
    assert any(all(np.array_equal(found.parameters[key], array) for key, array in each.items()) for each in allowed)


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.name.endswith(LEFTOVERS)}


@dataclass(frozen=True)
class Fault:
    """The n-th call of an operation fails, or all from the n-th on."""

    title: str
    number: int
    code: int
    lasting: bool


def calls_of(operation: Operation, folder: Path) -> int:
    """The number of calls of an operation that nothing disturbs."""
    folder.mkdir(parents=True)
    operation.prepare(folder)
    faults = Faults(folder)
    with faults.injected():
        operation.act(folder)
    operation.check(folder, True)
    assert not leftovers(folder)
    return len(faults.names)


def all_faults(operations: dict[str, Operation], folder: Path) -> list[Fault]:
    """Every fault of every operation, in an order in which the first ones are a fair sample."""
    faults = []
    for place, (title, operation) in enumerate(operations.items()):
        numbers = range(1, 1 + calls_of(operation, folder / "whole" / str(place)))
        for number in numbers:
            codes = [ERRORS[(number + shift) % len(ERRORS)] for shift in range(3)]  # the next call has others
            faults += [Fault(title, number, codes[0], True), *(Fault(title, number, code, False) for code in codes[1:])]
    random.Random(0).shuffle(faults)
    return faults


def try_fault(fault: Fault, operation: Operation, folder: Path) -> None:
    folder.mkdir(parents=True)
    operation.prepare(folder)
    injected = Faults(folder, fault.number, fault.code, fault.lasting)
    error = None
    with injected.injected():
        try:
            operation.act(folder)
        except (NumbaCNNError, OSError) as caught:
            error = caught
    assert injected.happened or error is None
    # Python's buffers repeat a write that a signal interrupted.
    must_fail = (
        injected.happened and fault.code != errno.EINTR and injected.names[fault.number - 1] in ("write", "fsync", "replace")
    )
    assert error is not None or not must_fail, f"{fault}: no error"
    # A download has more calls or fewer, by the parts in which it arrives: the last ones may not come to pass.
    where = f"{fault}, {injected.names[fault.number - 1] if injected.happened else 'none'}: {error}"
    if error is not None and not isinstance(error, Noticed):
        assert "\n" not in str(error), where
        assert os.strerror(injected.code) in str(error), where
        assert str(folder) in str(error) or str(error).startswith("stdout: "), where
    assert fault.lasting or not leftovers(folder), where
    try:
        operation.check(folder, error is None)
        (operation.again or operation.act)(folder)
        operation.check(folder, True)
        assert not leftovers(folder)
    except Exception as problem:
        raise AssertionError(f"{where}: afterwards {type(problem).__name__}: {problem}") from problem


def run_faults(battery: Any, title: str, operations: dict[str, Operation], folder: Path, smoke: int) -> None:
    faults = all_faults(operations, folder)
    for case in battery(title, smoke=smoke, whole=len(faults)):
        with case:
            fault = faults[case.index]
            place = folder / "cases" / str(case.index)
            try_fault(fault, operations[fault.title], place)
            shutil.rmtree(place)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, in memory if there is such a disk: flushing costs nothing there."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


def test_any_failing_call_leaves_each_file_the_old_or_the_new_one(battery: Any, disk: Path) -> None:
    run_faults(battery, "faults of the disk while files are written", OPERATIONS, disk, smoke=100)


def test_any_failing_call_while_mnist_is_downloaded_leaves_each_file_whole_or_absent(
    battery: Any, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "FILES", SMALL_FILES)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with web.serving(BY_NAME) as server:
        mirrors = [server.mirror("good", web.good)]
        operation = Operation(lambda path: None, lambda path: mnist.download(path, mirrors=mirrors), check_data)
        run_faults(battery, "faults of the disk during a download", {"download": operation}, disk, smoke=15)


# --- the order ------------------------------------------------------------------------------------------------------------------------


def calls(path: Path, write: Callable[[Path], object]) -> list[str]:
    faults = Faults(path.parent)
    with faults.injected():
        write(path)
    return [name for name in faults.names if name in ("write", "fsync", "replace", "link", "unlink")]


def test_the_file_is_flushed_before_it_is_renamed_and_the_folder_after(tmp_path: Path) -> None:
    """What a loss of power would leave cannot be tested; that it finds either file depends on this order."""
    order = ["write", "fsync", "replace", "fsync"]
    assert calls(tmp_path / "file", lambda path: write_atomically(path, b"x")) == order
    found = calls(tmp_path / "net", lambda path: save_network(path, network(trained(1, 5))))
    assert [name for name, _ in itertools.groupby(found)] == order
    assert calls(tmp_path / "kernel", lambda path: save_kernel(path.parent))[-3:] == order[-3:]


def test_the_flushed_handles_are_those_of_the_file_and_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        flushed.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    write_atomically(tmp_path / "file", b"x")
    assert flushed == [(tmp_path / "file").stat().st_ino, tmp_path.stat().st_ino]
    flushed.clear()
    make_folder(tmp_path / "a" / "b")
    assert set(flushed) == {tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino}, "the new folders' names"


def test_an_earlier_run_is_on_the_disk_under_its_new_name_before_the_new_run_takes_its_place(tmp_path: Path) -> None:
    finished(5)(tmp_path)
    RunFolder(tmp_path).save_checkpoint(trained(0, 6), get_ops("cpu"), {})
    found = calls(tmp_path / "x", lambda path: end_epoch(tmp_path))
    links = [number for number, name in enumerate(found) if name == "link"]
    assert found[links[-1] + 1 :][:3] == ["fsync", "replace", "fsync"]


def test_a_disk_that_fails_to_confirm_a_new_name_is_named_and_the_file_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CheckpointError, match="file: written, but the disk failed to confirm it: Input/output error"):
        write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_flush_folders_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    write_atomically(tmp_path / "file", b"new")


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system may take fewer bytes than it is given, as before a disk is full or after a signal."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[: 1 + len(data) // 3]))
    save_network(tmp_path / "net", network(trained(1, 5)))
    check_network(tmp_path / "net", False)


def test_without_locks_and_handles_of_folders_as_on_windows_files_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "fcntl", None)
    (tmp_path / ".file-0123abcd.partial").write_bytes(b"half")
    write_atomically(tmp_path / "file", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"new"}


# --- leftovers ------------------------------------------------------------------------------------------------------------------------


KILLED = """
import os, signal, sys
from pathlib import Path
from numbacnn.files import write_whole
def parts():
    yield b"half"
    print("writing", flush=True)
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.readline()
write_whole(Path(sys.argv[1]), parts())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_what_a_killed_process_left_is_removed_and_what_another_is_writing_is_not(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 240)  # a temporary name made by adding to it would be too long
    own = tmp_path / f".{path.name[:48]}-original.partial"
    own.write_bytes(b"mine")
    subprocess.run([sys.executable, "-c", KILLED, str(path), "kill"], stdout=subprocess.DEVNULL)
    assert len(leftovers(tmp_path)) == 2
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writing:
        assert writing.stdin is not None
        assert writing.stdout is not None
        writing.stdout.readline()
        write_atomically(path, b"whole")
        assert len(leftovers(tmp_path)) == 2, "the user's own, and the one that is being written"
        assert path.read_bytes() == b"whole"
        writing.communicate("go on\n")
    assert writing.returncode == 0
    assert path.read_bytes() == b"half"
    assert leftovers(tmp_path) == {own.name}
