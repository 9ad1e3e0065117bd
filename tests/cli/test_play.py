"""``numbacnn play`` as its users meet it: the address, the end by a signal, and what it refuses."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import players
import pytest
from command_line import run_here
from numbacnn_cli import play as command

from numbacnn.backends import get_ops
from numbacnn.checkpoint import TrainedNetwork, save_network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two networks, of which none has been trained."""
    folder = tmp_path_factory.mktemp("play")
    save_network(folder / "cnn.safetensors", players.network(players.cnn()))
    save_network(folder / "dense.safetensors", players.network(players.dense()))
    return folder


@contextmanager
def playing(folder: Path, *args: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The program, once it has printed its address, and the lines that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from numbacnn_cli.entry import run; run()", "play", "--no-browser", *args], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        lines = []
        while not lines or "http://" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], process.communicate()
        yield process, lines
    finally:
        process.kill()
        process.communicate()


@pytest.mark.usefixtures("heeded_signals")
def test_it_prints_an_address_that_answers_and_ends_with_130_after_ctrl_c(folder: Path) -> None:
    with playing(folder, "--model", "cnn.safetensors", "--versus", "dense.safetensors", "--threads", "1") as (process, lines):
        assert lines[0] == "cnn and dense: draw a digit at\n"
        url = lines[1].strip()
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert b"<title>numbacnn play</title>" in answer.read()
        with urllib.request.urlopen(url.replace("/?", "/about?"), timeout=30) as answer:
            about = json.load(answer)
        assert [network["name"] for network in about["networks"]] == ["cnn", "dense"]
        assert about["neighbours"].startswith("None: cnn.safetensors: its file does not say on what it was trained")
        assert about["command"] == "numbacnn predict digit.png --model cnn.safetensors"
        assert process.stdout is not None
        assert process.stdout.readline() == "Ctrl-C ends.\n"
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)
        assert (process.returncode, out) == (130, "")
        assert error.splitlines()[-1] == "Stopped."
        assert "Traceback" not in error


def test_json_is_one_object_with_the_address(folder: Path) -> None:
    with playing(folder, "--model", "dense.safetensors", "--format", "json") as (process, lines):
        report = json.loads(lines[0])
        assert report["networks"] == ["dense"]
        assert report["url"].startswith(f"http://127.0.0.1:{report['port']}/?token=")
        process.terminate()
        assert process.wait(30) == 143


def test_without_a_trained_network_it_says_what_predict_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_here("play", "--no-browser")
    assert (done.code, done.out) == (1, "")
    assert done.err == run_here("predict", "x.png").err
    assert "no network has been trained from this folder yet" in done.err


def test_a_port_in_use_is_an_error_in_one_line(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_here("play", "--model", folder / "cnn.safetensors", "--port", port, "--no-browser")
    assert (done.code, done.out) == (1, "")
    assert re.fullmatch(rf"Error: port {port}: expected one that is free, got: .+\. Give another --port, or none .+\n", done.err)


@pytest.mark.parametrize("option", ["--model", "--versus"])
def test_a_network_that_is_not_there_is_an_error(folder: Path, option: str) -> None:
    words = {"--model": folder / "cnn.safetensors", "--versus": folder / "dense.safetensors"}
    words[option] = folder / "none.safetensors"
    done = run_here("play", "--no-browser", *(word for pair in words.items() for word in pair))
    assert (done.code, done.out) == (1, "")
    assert f"{folder}/none.safetensors: cannot be read" in done.err


def test_two_networks_of_one_name_are_told_apart_by_their_files(folder: Path) -> None:
    paths = [Path("a.safetensors"), Path("b.safetensors")]
    networks = [players.network(players.cnn())] * 2
    assert [each.name for each in command._contestants(paths, networks)] == ["a.safetensors", "b.safetensors"]
    assert [each.name for each in command._contestants(paths[:1], networks[:1])] == ["cnn"]


def trained_on(dataset: str) -> TrainedNetwork:
    network = players.network(players.dense())
    return TrainedNetwork(network.graph, network.parameters, network.class_names, {"dataset": dataset})


def test_training_images_that_are_not_there_are_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBACNN_MNIST_MIRRORS", "http://127.0.0.1:9/")
    found, about = command._neighbours(tmp_path / "m.safetensors", trained_on("mnist"), get_ops("cpu"), tmp_path)
    assert found is None
    assert about == f"None: the training images of mnist are not in {tmp_path}. Give --data-dir, or 'numbacnn download mnist'."
    assert list(tmp_path.iterdir()) == []


def test_training_images_of_digits_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "MOST_IMAGES", 30)
    found, about = command._neighbours(tmp_path / "m.safetensors", trained_on("digits"), get_ops("cpu"), tmp_path)
    assert found is not None
    assert len(found) == 30
    assert about.startswith("Of {read} training images of digits, by the angle")


def test_no_browser_is_opened_where_there_is_no_display(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A text browser would take the terminal over."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    command._open_browser("http://127.0.0.1:1/")
    assert opened == []
    assert "open the address yourself" in capsys.readouterr().err
    monkeypatch.setenv("DISPLAY", ":0")
    command._open_browser("http://127.0.0.1:1/")
    assert opened == ["http://127.0.0.1:1/"]
    assert capsys.readouterr().err == ""
