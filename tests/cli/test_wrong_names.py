"""Names, numbers and options that are wrong: a usage error where the command line is, and what is expected in words."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from command_line import run_here
from PIL import Image
from repository import ROOT

from numbacnn.checkpoint import TrainedNetwork, save_network
from numbacnn.graph import sequential, without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.layers import Conv2D, Dense, Flatten
from numbacnn.quoting import counted, ranges


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with ``net.safetensors``, a network of eleven layers, and ``small.png``."""
    monkeypatch.chdir(tmp_path)
    graph = sequential(
        *(Conv2D(filters=1, kernel_size=3, padding="same") for _ in range(9)), Flatten(), Dense(units=10),
        input_shape=(28, 28, 1), name="deep",
    )  # fmt: skip
    save_network(
        tmp_path / "net.safetensors",
        TrainedNetwork(without_softmax(graph), initial_parameters(graph, 0), tuple("0123456789"), {"dataset": "digits"}),
    )
    pixels = np.zeros((28, 28), np.uint8)
    pixels[12:16, 12:16] = 255
    Image.fromarray(pixels).save(tmp_path / "small.png")
    return tmp_path


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("shapes cn", "Did you mean 'cnn'? Presets: cnn, "),
        ("train --model smal", "Did you mean 'small'?"),
        ("export smal a.npz", "Did you mean 'small'?"),
        ("warmup smal", "Did you mean 'small'?"),
        ("shapes cnn --receptive conv9,0,0", "'--receptive': cnn: no layer 'conv9'"),
        ("inspect small.png --model net.safetensors --layer conv99", "'--layer': deep: no layer 'conv99'"),
        ("inspect small.png --model net.safetensors --cell conv1,28,0,0", "'--cell': conv1: expected a row from 0 to 27"),
        ("inspect small.png --model net.safetensors --train-limit 5", "--train-limit goes with --like"),
        ("train --optimizer adm", "'adm' is not one of"),
    ],
)
def test_a_misspelt_name_is_a_usage_error(args: str, said: str, folder: Path) -> None:
    """Some of them ended with 1, as if the world were wrong."""
    done = run_here(*args.split())
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize(
    "args", ["shapes cn.toml", "shapes ./cn", "train --model cn.safetensors", "evaluate --model none.safetensors"]
)
def test_a_file_that_is_not_there_is_no_usage_error(args: str, folder: Path) -> None:
    assert run_here(*args.split()).code == 1


def test_a_list_of_layers_that_is_cut_says_how_to_see_all(folder: Path) -> None:
    assert (
        "conv8, .... 'numbacnn shapes MODEL' lists all"
        in run_here("inspect", "small.png", "--model", "net.safetensors", "--layer", "x").err
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("train --epochs -1", "'--epochs': expected a whole number of at least 1, got '-1'"),
        ("train --epochs 99999999999999999999", "expected a whole number from 1 to 2^63 - 1, got '99999999999999999999'"),
        ("train --seed -1", "expected a whole number of at least 0, got '-1'"),
        ("train --validation 2", "expected a number from 0 to less than 1, such as 0.1, got '2'"),
        ("train --learning-rate -1", "expected a finite number greater than 0, got '-1'"),
        ("lecture worksheet --students 5000", "expected a whole number from 1 to 1,000, got '5000'"),
        ("shapes --input 0,28,1", "HEIGHT,WIDTH,CHANNELS, such as 28,28,1, each from 1 to 99,999,999, got '0,28,1'"),
        ("lecture figure conv --kernel 0", "each at least 1, got '0'"),
    ],
)
def test_a_number_out_of_range_is_told_the_range(args: str, said: str) -> None:
    done = run_here(*args.split())
    assert done.code == 2
    assert said in done.err


def test_a_network_without_weights_is_told_what_to_do(folder: Path) -> None:
    (folder / "my.toml").write_text("input_shape = [28, 28, 1]\n")
    for model, kind in (("my.toml", "a model file"), ("cnn", "a preset")):
        for command in (("predict", "small.png"), ("evaluate",), ("inspect", "small.png")):
            done = run_here(*command, "--model", model)
            assert done.code == 1
            assert f"{model}: expected a trained network, got {kind}, which holds no weights" in done.err
            assert f"Train it with 'numbacnn train --model {model}', then leave --model out" in done.err


def test_a_missing_picture_is_said_to_be_missing(folder: Path) -> None:
    """The message spoke of 50 MB."""
    done = run_here("predict", "nowhere.png", "--model", "net.safetensors")
    assert done.code == 1
    assert done.err == (
        "Error: nowhere.png: expected a picture's file or a folder of pictures, got a name that does not exist. Check the name\n"
    )


def test_a_cell_of_a_black_window_says_so_in_words(folder: Path) -> None:
    done = run_here("inspect", "small.png", "--model", "net.safetensors", "--cell", "conv1,0,0,0")
    assert done.code == 0, done.err
    assert "all it reads is 0, or meets a weight of 0: there is no product to list" in done.out
    assert "its value x the weight" not in done.out


def test_students_without_answers_are_named(folder: Path) -> None:
    assert run_here("lecture", "worksheet", "--students", 9, "--output", "sheets").code == 0
    lines = (folder / "sheets" / "key.csv").read_text().splitlines()
    (folder / "answers.csv").write_text("\n".join([lines[0], lines[1], lines[5]]) + "\n")
    done = run_here("lecture", "worksheet", "--students", 9, "--check", "answers.csv", "--format", "json")
    assert "answers.csv: no answers of 7 students of 9: 2-4, 6-9\n" in done.err
    assert [row["student"] for row in json.loads(done.out)] == [1, 5]
    assert "no answers" not in run_here("lecture", "worksheet", "--students", 9, "--check", "sheets/key.csv").err


def test_the_memory_of_a_batch_that_is_asked_for_is_shown_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for preset in ("cnn", "residual"):
        head, _, row, *_ = run_here("shapes", preset, "--batch-size", 100).out.splitlines()
        assert head.split()[-1] == "memory"
        assert row.endswith(" MB")
        assert len(row) <= 80
    assert "memory" not in run_here("shapes", "cnn").out.splitlines()[0]


def test_counts_have_their_plural() -> None:
    assert [counted(n, "batch", "batches") for n in (0, 1, 2000)] == ["0 batches", "1 batch", "2,000 batches"]
    assert ranges([]) == ""
    assert ranges([1, 2, 3, 5, 7, 8]) == "1-3, 5, 7-8"


def test_no_message_has_a_plural_in_brackets() -> None:
    """``1 picture(s)``"""
    for path in (*(ROOT / "cli").glob("*.py"), *(ROOT / "numbacnn").rglob("*.py")):
        lines = [
            line for line in path.read_text(encoding="utf-8").splitlines() if re.search(r'"[^"]*[a-z]\((?:s|es)\)[^"]*"', line)
        ]
        assert lines == [], path.name


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("lecture worksheet --check key.csv --output sheets", "--output has no effect here: --check marks answers"),
        ("lecture worksheet --check key.csv --force", "--force has no effect here"),
        ("warmup small --all", "MODEL has no effect beside --all"),
        ("plot run --no-confusion --test-limit 5", "--test-limit has no effect here: --no-confusion needs no images"),
        ("inspect test:1 --model net.safetensors --invert no", "--invert has no effect here: a test image is taken as it is"),
        ("inspect small.png --model net.safetensors --dataset digits", "--dataset goes with test:N or --like"),
    ],
)
def test_an_option_without_effect_is_refused(args: str, said: str, folder: Path) -> None:
    """It was taken in silence."""
    done = run_here(*args.split())
    assert (done.code, done.out) == (2, "")
    assert said in done.err
