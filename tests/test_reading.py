"""Pipes, devices and endless files in the place of a file: each reader refuses them at once."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from numbacnn.checkpoint import TrainedNetwork, load_checkpoint, load_network, save_network
from numbacnn.config import MAX_FILE_BYTES, read_model_file, write_model_file
from numbacnn.datasets import idx
from numbacnn.errors import NumbaCNNError
from numbacnn.models import preset
from numbacnn.pictures import read_picture
from numbacnn.reading import open_regular, read_bounded

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes and devices have names on POSIX systems only")

READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "model file": ("net.toml", read_model_file),
    "trained network": ("model.safetensors", load_network),
    "checkpoint": ("checkpoint.safetensors", load_checkpoint),
    "idx": ("train-images-idx3-ubyte", idx.read_file),
    "picture": ("3.png", read_picture),
}


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """A test whose reader waits fails instead of hanging."""

    def ring(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def make_socket(path: Path) -> None:
    before = os.getcwd()
    os.chdir(path.parent)  # a socket's path may have about 100 characters
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(before)


THINGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (lambda path: os.mkfifo(path), "expected a file, got a pipe"),
    "a link to a pipe": (
        lambda path: (os.mkfifo(f"{path}.pipe"), path.symlink_to(f"{path}.pipe")),
        "expected a file, got a pipe",
    ),
    "a socket": (make_socket, "expected a file, got a socket"),
    "a folder": (Path.mkdir, "expected a file, got a folder"),
    "an endless device": (lambda path: path.symlink_to("/dev/zero"), "expected a file, got a device"),
    "a link in a circle": (lambda path: path.symlink_to(path.name), "cannot be read"),
}


@pytest.mark.parametrize(("name", "read"), READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize(("make", "expected"), THINGS.values(), ids=THINGS.keys())
def test_a_pipe_or_device_in_the_place_of_a_file_is_refused_at_once(tmp_path, name, read, make, expected) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / name)
    with pytest.raises(NumbaCNNError, match=rf"{re.escape(name)}: cannot be read: .*") as caught:
        read(tmp_path / name)
    assert expected in str(caught.value)


@pytest.mark.parametrize(("name", "read"), READERS.values(), ids=READERS.keys())
def test_two_gigabytes_of_holes_are_refused(tmp_path: Path, name: str, read: Callable[[Path], object]) -> None:
    with open(tmp_path / name, "wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(NumbaCNNError, match=re.escape(name)):
        read(tmp_path / name)


def test_a_model_file_may_be_a_quarter_of_a_mebibyte_long_and_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    text = write_model_file(preset("cnn").graph) + "#"
    path.write_text(text.ljust(MAX_FILE_BYTES, "-"))
    assert read_model_file(path).graph == preset("cnn").graph
    path.write_text(text.ljust(MAX_FILE_BYTES + 1, "-"))
    with pytest.raises(NumbaCNNError, match=f"expected at most {MAX_FILE_BYTES} bytes, got {MAX_FILE_BYTES + 1}"):
        read_model_file(path)


def test_a_link_to_a_file_is_read_as_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    assert read_bounded(tmp_path / "link", 5) == b"12345"
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"12345"


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs Linux's /proc")
def test_a_file_that_says_it_has_no_bytes_is_read_within_the_bound() -> None:
    assert read_bounded(Path("/proc/version"), 1 << 16)
    with pytest.raises(OSError, match="expected at most 3 bytes"):
        read_bounded(Path("/proc/version"), 3)


# --- on the command line ---


def refused(folder: Path, *args: str) -> str:
    """The command's error message; its stdin is a pipe that stays open."""
    program = [sys.executable, "-c", "from numbacnn_cli.main import run; run()", *args]
    with subprocess.Popen(
        program, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        assert run.stderr
        out, errors = run.stdout.read(), run.stderr.read()
    assert run.returncode == 1
    assert "Traceback" not in errors
    assert len(errors.strip().splitlines()) == 1
    assert out == ""
    return errors


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("net.toml", ("shapes", "net.toml")),
        ("net.safetensors", ("shapes", "net.safetensors")),
        ("net.toml", ("train", "--model", "net.toml", "--dataset", "digits")),
        ("net.safetensors", ("evaluate", "--model", "net.safetensors")),
        ("net.safetensors", ("predict", "3.png", "--model", "net.safetensors")),
        ("runs/last", ("evaluate",)),
        ("runs/last", ("predict", "3.png")),
        ("out/checkpoint.safetensors", ("train", "--resume", "--output", "out")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_a_command_that_is_given_a_pipe_says_so_and_ends(tmp_path: Path, name: str, args: tuple[str, ...]) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)
    Image.new("L", (28, 28)).save(tmp_path / "3.png")
    assert f"{name}: cannot be read: expected a file, got a pipe" in refused(tmp_path, *args)


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="needs /dev/stdin")
def test_a_model_file_that_is_the_standard_input_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "net.toml").symlink_to("/dev/stdin")
    assert "net.toml: cannot be read: expected a file, got a pipe" in refused(tmp_path, "shapes", "net.toml")


def test_runs_last_of_any_length_is_read_within_a_bound(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with open(tmp_path / "runs" / "last", "wb") as file:
        file.truncate(2 << 30)
    assert "runs/last: cannot be read: expected at most" in refused(tmp_path, "evaluate")


def test_a_pipe_or_device_among_pictures_is_named_and_the_others_are_read(numbacnn, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    graph = preset("softmax").graph
    parameters = {name: np.zeros(spec.shape, np.float32) for name, spec in graph.parameters.items()}
    save_network(tmp_path / "net.safetensors", TrainedNetwork(graph, parameters, tuple("0123456789"), {}))
    image = Image.new("L", (28, 28))
    image.paste(255, (10, 4, 16, 24))
    image.save(tmp_path / "3.png")
    os.mkfifo(tmp_path / "pipe.png")
    done = numbacnn("predict", "pipe.png", "/dev/zero", "3.png", "--model", "net.safetensors", "--format", "json")
    assert done.returncode == 1
    pipe, device, picture = json.loads(done.stdout)
    assert "pipe.png: cannot be read: expected a file, got a pipe" in pipe["error"]
    assert "/dev/zero: cannot be read: expected a file, got a device" in device["error"]
    assert "label" in picture
