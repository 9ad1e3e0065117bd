"""The one rule for files that commands write: another file of that name stays, unless ``--force`` is given."""

import os
import re
from pathlib import Path

import click
import numpy as np
import pytest
from command_line import every_command, run_here
from numbacnn_cli.paths import OutputFile

from numbacnn.checkpoint import TrainedNetwork, save_network
from numbacnn.graph import sequential, without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.layers import Conv2D, Dense, Flatten

MINE = b"a file of the user's own"
SMALL = ("--models", "softmax", "--dataset", "digits", "--train-limit", "100", "--test-limit", "100", "--epochs", "1")

FILES: dict[str, tuple[str, ...]] = {
    "evaluate --sheet": (
        "evaluate",
        "--model",
        "net.safetensors",
        "--dataset",
        "digits",
        "--test-limit",
        "20",
        "--sheet",
        "a.png",
    ),
    "shapes --diagram": ("shapes", "softmax", "--diagram", "a.svg"),
    "inspect --over-epochs": ("inspect", "--model", "kept/model.safetensors", "--filters", "--over-epochs", "a.gif"),
    "export file": ("export", "softmax", "a.npz"),
    "import model": ("import", "net.onnx", "a.safetensors"),
    "lecture filter --gif": ("lecture", "filter", "small.png", "--stride", "2", "--gif", "a.gif"),
    "lecture figure --output": ("lecture", "figure", "conv", "--output", "a.svg"),
    "lecture ladder --output": ("lecture", "ladder", *SMALL, "--output", "a.csv"),
    "lecture challenges --plot": ("lecture", "challenges", *SMALL, "--models", "softmax,relu5", "--plot", "a.svg"),
    "warmup --pack": ("warmup", "softmax", "--pack", "a.pack"),
    "bench kernels --plot": ("bench", "kernels", "--model", "xo", "--batch-size", "1", "--runs", "1", "--plot", "a.svg"),
}
"""A command line for each option or argument that names a file to be written; the last of its words is the file's name."""

FOLDERS: dict[str, tuple[tuple[str, ...], str]] = {
    "samples folder": (("samples", "out"), "3-blue-pen.png"),
    "inspect --output": (("inspect", "small.png", "--model", "net.safetensors", "--output", "out"), "summary.png"),
    "lecture worksheet --output": (("lecture", "worksheet", "--students", "2", "--output", "out"), "key.csv"),
    "lecture figures --output": (("lecture", "figures", "--section", "xo", "--output", "out"), "index.html"),
    "plot --output": (("plot", "run", "--no-confusion", "--output", "out"), "curves.png"),
}
"""A command line for each option that names a folder to be written to, and one of the files in it."""

CONTINUED = {"predict --output"}
"""Files that a command goes on with: it takes no other, with or without ``--force`` (``test_many_pictures.py``)."""

SLOW = {"lecture challenges --plot", "bench kernels --plot"}
"""Commands whose work takes seconds: that they write with ``--force`` is tried elsewhere, with the file that they draw."""

NEEDS = {"import model": "onnx", "lecture challenges --plot": "matplotlib", "plot --output": "matplotlib"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a network, also as ONNX and with those of two epochs, the history of a run, and a picture."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    graph = sequential(
        Conv2D(filters=2, kernel_size=3, activation="relu"), Flatten(), Dense(units=10), input_shape=(28, 28, 1), name="net"
    )
    network = TrainedNetwork(without_softmax(graph), initial_parameters(graph, 0), tuple("0123456789"), {"dataset": "digits"})
    save_network(tmp_path / "net.safetensors", network)
    (tmp_path / "kept").mkdir()
    for name in ("model", "epoch-0001", "epoch-0002"):
        save_network(tmp_path / "kept" / f"{name}.safetensors", network)
    pixels = np.zeros((28, 28), np.uint8)
    pixels[6:22, 12:16] = 255
    Image.fromarray(pixels).save(tmp_path / "small.png")
    (tmp_path / "run").mkdir()
    record = (
        '"epoch": 1, "learning_rate": 0.1, "loss": 1.0, "accuracy": 0.5, "test_loss": 1.0, "test_accuracy": 0.5, "seconds": 1.0'
    )
    (tmp_path / "run" / "history.jsonl").write_text(f'{{{record}, "images_per_second": 1.0}}\n')
    return tmp_path


def needs(name: str, folder: Path) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    if name == "import model":
        assert run_here("export", "net.safetensors", "net.onnx").code == 0


def test_every_option_that_names_a_file_or_folder_to_write_is_tried() -> None:
    files = {
        f"{' '.join(words)} {parameter.opts[0]}"
        for words, command in every_command()
        for parameter in command.params
        if isinstance(parameter.type, OutputFile)
    }
    assert files - CONTINUED == FILES.keys()
    forced = {" ".join(words) for words, command in every_command() if any("--force" in each.opts for each in command.params)}
    tried = {name.rsplit(" ", 1)[0] for name in (*FILES, *FOLDERS)}
    assert forced == tried, "whatever writes takes --force"


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_users_own_stays_and_force_replaces_it(name: str, folder: Path) -> None:
    """evaluate --sheet, shapes --diagram, lecture filter --gif and others wrote over whatever was there."""
    needs(name, folder)
    args = FILES[name]
    target = folder / args[-1]
    target.write_bytes(MINE)
    done = run_here(*args)
    assert done.code == 1
    assert done.out == ""
    assert f"{args[-1]}: expected no file" in done.err
    assert "--force to replace it" in done.err
    assert target.read_bytes() == MINE
    if name not in SLOW:
        assert run_here(*args, "--force").code == 0
        assert target.read_bytes() != MINE


@pytest.mark.parametrize("name", FOLDERS)
def test_a_file_of_the_users_own_in_a_folder_stays_and_force_replaces_it(name: str, folder: Path) -> None:
    needs(name, folder)
    args, inside = FOLDERS[name]
    target = folder / "out" / inside
    target.parent.mkdir()
    target.write_bytes(MINE)
    done = run_here(*args)
    assert done.code == 1
    assert f"{inside}: expected no file" in done.err
    assert "--force to replace it" in done.err
    assert [path.read_bytes() for path in target.parent.iterdir()] == [MINE], "nothing else was written"
    assert run_here(*args, "--force").code == 0
    assert target.read_bytes() != MINE


def test_the_pictures_in_the_folder_of_a_run_are_the_programs_own(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    for _ in range(2):
        assert run_here("plot", "run", "--no-confusion").code == 0


@pytest.mark.parametrize("name", FILES)
def test_a_missing_folder_is_told_in_one_way(name: str, folder: Path) -> None:
    needs(name, folder)
    *args, file = FILES[name]
    done = run_here(*args, f"none/{file}")
    assert done.code == 1
    assert (
        f"none/{file}: expected a folder to write it to, got none: none does not exist. Make it, or give another file" in done.err
    )
    assert not os.path.lexists("none")


@pytest.mark.parametrize("name", sorted(FILES.keys() - {"export file", "import model", "lecture figure --output"}))
def test_force_without_a_file_is_a_usage_error(name: str, folder: Path) -> None:
    *args, option, _ = FILES[name]
    done = run_here(*args, "--force")
    assert done.code == 2
    assert re.search(f"--force goes with .*{option}", done.err)


def test_endings_in_capitals_are_taken(folder: Path) -> None:
    for args in (
        ("shapes", "softmax", "--diagram", "A.SVG"),
        ("export", "softmax", "A.NPZ"),
        ("lecture", "figure", "conv", "--output", "A.GIF"),
    ):
        assert run_here(*args).code == 0
    assert (folder / "A.GIF").read_bytes().startswith(b"GIF")
    assert (folder / "A.SVG").read_bytes().startswith(b"<svg")
    with np.load("A.NPZ") as arrays:
        assert arrays.files


def test_the_type_names_all_endings() -> None:
    with pytest.raises(click.BadParameter, match=r"expected a name that ends in \.png, \.svg or \.pdf, got 'a\.gif'"):
        OutputFile(".png", ".svg", ".pdf").convert("a.gif", None, None)
