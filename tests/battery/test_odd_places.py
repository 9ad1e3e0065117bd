"""Real disks and places that take no file: full ones, limited ones, folders, pipes, devices, links, and folders that are gone."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import run_here
from numbacnn_cli import streams

from numbacnn.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from numbacnn.errors import CheckpointError
from numbacnn.files import make_folder, write_atomically

resource = pytest.importorskip("resource", reason="limits and such places are Unix matters")

SMALL, LARGE = Checkpoint({"w": np.ones(3, np.float32)}, {}), Checkpoint({"w": np.ones(50_000, np.float32)}, {})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """A disk of 64 KiB."""
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "numbacnn-test", str(path)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting a disk of 64 KiB is not permitted: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Within it, the system lets this process write files of so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_keeps_the_old_checkpoint_and_nothing_half_written(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk):
        save_checkpoint(disk / "c", SMALL)
        with pytest.raises(CheckpointError, match=r"c: cannot be written: No space left on device\..*Make room"):
            save_checkpoint(disk / "c", LARGE)
        assert load_checkpoint(disk / "c").arrays["w"].tolist() == [1, 1, 1]
        assert names(disk) == {"c"}


def test_samples_on_a_full_disk_are_whole_or_absent_and_the_rest_comes_once_there_is_room(tmp_path: Path) -> None:
    """Half a PNG was written, and left."""
    disk = tmp_path / "disk"
    assert run_here("samples", tmp_path / "whole").code == 0
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    with small_disk(disk):
        (disk / "filler").write_bytes(bytes(40 << 10))
        done = run_here("samples", disk)
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
        assert f"Error: {disk}/" in done.err
        assert ".png: cannot be written: No space left on device" in done.err
        there = names(disk) - {"filler"}
        assert 0 < len(there) < 10
        assert all((disk / name).read_bytes() == expected[name] for name in there)
        (disk / "filler").unlink()
        assert f"wrote {10 - len(there)} picture" in run_here("samples", disk).out
        assert {name: (disk / name).read_bytes() for name in names(disk)} == expected


def test_a_limit_on_the_size_of_files_leaves_the_pictures_below_it_whole(tmp_path: Path) -> None:
    with largest_file(2000):
        done = run_here("samples", tmp_path)
    assert done.code == 1
    assert "2-off-centre.png: cannot be written: File too large" in done.err
    assert names(tmp_path) == {"0-as-in-mnist.png", "1-black-on-white.png"}
    assert all(path.stat().st_size < 2000 for path in tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("args", [["models", "--toml", "small"], ["models", "--format", "json"], ["samples", "s"]])
def test_results_that_stdout_cannot_take_are_an_error_in_one_line(args: list[str], tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path), open("/dev/full", "wb") as full:
        out = streams.Results(full, encoding="utf-8", line_buffering=True)
        done = run_here(*args, out=out)
        out.detach()
    assert done.code == 1
    assert done.err == "Error: stdout: cannot be written to: No space left on device. Make room, or send the output elsewhere\n"


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (Path.mkdir, "expected a file, got a folder"),
    "a pipe": (os.mkfifo, "expected a file, got a pipe"),
    "a socket": (make_socket, "expected a file, got a socket"),
    "a link to a device": (lambda path: path.symlink_to(os.devnull), "expected a file, got a device"),
    "a link to a folder": (lambda path: path.symlink_to(path.parent), "expected a file, got a folder"),
    "a link in a circle": (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_is_not_replaced_by_one(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, reason = PLACES[place]
    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    path = Path("x")
    make(path)
    before = os.lstat(path)
    with pytest.raises(CheckpointError, match=f"x: cannot be written: {reason}"):
        save_checkpoint(path, SMALL)
    after = os.lstat(path)
    assert (before.st_mode, before.st_ino) == (after.st_mode, after.st_ino)
    assert names(tmp_path) == {"x"}


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_is_replaced_by_the_file_and_what_it_points_to_stays(tmp_path: Path, dangling: bool) -> None:
    """Links in ``previous/`` point to the file of an earlier run, which a write through them would destroy."""
    if not dangling:
        (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / "x").symlink_to("theirs")
    write_atomically(tmp_path / "x", b"ours")
    assert not (tmp_path / "x").is_symlink()
    assert (tmp_path / "x").read_bytes() == b"ours"
    assert (tmp_path / "theirs").exists() != dangling
    assert dangling or (tmp_path / "theirs").read_bytes() == b"theirs"


COMMANDS = {
    "samples": ["samples", "{}"],
    "download": ["download", "mnist", "--data-dir", "{}"],
    "train": ["train", "--model", "small", "--dataset", "digits", "--output", "{}"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_below_a_file_is_refused_in_one_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    done = run_here(*(word.format(tmp_path / "file" / "below") for word in COMMANDS[command]))
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith(f"Error: {tmp_path}/file/below: ")
    assert "Not a directory" in done.err
    assert names(tmp_path) == {"file"}


@pytest.mark.skipif(os.geteuid() == 0, reason="modes do not bind root")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_may_not_be_written_to_is_refused_in_one_line(command: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = run_here(*(word.format(tmp_path / "new") for word in COMMANDS[command]))
    tmp_path.chmod(0o700)
    assert (done.code, done.out) == (1, "")
    assert "Permission denied" in done.err.splitlines()[-1]


@pytest.mark.skipif(os.geteuid() == 0, reason="modes do not bind root")
def test_a_folder_that_may_be_written_to_but_not_listed_takes_files(tmp_path: Path) -> None:
    tmp_path.chmod(0o300)
    try:
        write_atomically(tmp_path / "file", b"new")
    finally:
        tmp_path.chmod(0o700)
    assert names(tmp_path) == {"file"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_current_folder_that_is_gone_is_an_error_in_one_line(command: str, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    with contextlib.chdir(gone):
        gone.rmdir()
        done = run_here(*(word.format("new") for word in COMMANDS[command]))
        with pytest.raises(CheckpointError, match="x: cannot be written: No such file or directory"):
            write_atomically(Path("x"), b"x")
        with pytest.raises(CheckpointError, match="a/b: cannot be written to: No such file or directory"):
            make_folder(Path("a") / "b")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith("Error: new: ")
    assert "No such file or directory" in done.err.splitlines()[-1]
