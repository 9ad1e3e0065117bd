"""Bad command lines: exit 2 or 1, one line that says what to do, nothing on stdout, no traceback, and nothing written."""

import io
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from battery_cases import Battery
from command_line import every_command
from numbacnn_cli import main
from numbacnn_cli.contests import Names
from numbacnn_cli.inspect import CellText
from numbacnn_cli.lecture_figure import Sides
from numbacnn_cli.lecture_xo import CellOfMap
from numbacnn_cli.matrix import Matrix
from numbacnn_cli.options import DatasetName, InputShape, PositiveNumber
from numbacnn_cli.paths import OutputFile, PathText
from numbacnn_cli.shapes import CellName
from numbacnn_cli.sweep_grid import Address, Part, Seeds, Setting

from numbacnn.backends import get_ops
from numbacnn.backends.diagnostics import report
from numbacnn.checkpoint import TrainedNetwork, save_network
from numbacnn.config import write_model_file
from numbacnn.errors import DeviceError
from numbacnn.graph import without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.models import PRESETS

ALL_COMMANDS = {" ".join(words): command for words, command in every_command()}

LONGEST_MESSAGE = 2_000
"""Characters; paths are quoted whole, and the longest here has 800."""


class Ended(NamedTuple):
    code: int
    stdout: str
    stderr: str


class Line(NamedTuple):
    """A command line that is wrong: its words, the exit code, and a text that the message must contain."""

    words: tuple[str, ...]
    code: int
    named: str


class _Stream(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors="backslashreplace")

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a model file, a trained network, a picture's name that is a text, and a file in a folder's place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NUMBACNN_MNIST_MIRRORS", "http://127.0.0.1:9/")
    monkeypatch.delenv("NUMBACNN_DATA_DIR", raising=False)
    graph = PRESETS["softmax"].graph
    (tmp_path / "net.toml").write_text(write_model_file(graph))
    names = tuple("0123456789")
    save_network(tmp_path / "net.safetensors", TrainedNetwork(without_softmax(graph), initial_parameters(graph, 0), names, {}))
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    return tmp_path


def in_process(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Ended:
    """Run the command line in this process, as its entry point does."""
    out, err = _Stream(), _Stream()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["numbacnn", *words])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        code = main._guarded()
    return Ended(code, out.text(), err.text())


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))
    }  # fmt: skip


def check(line: Line, ended: Ended) -> None:
    assert ended.code == line.code, ended
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    lines = ended.stderr.rstrip("\n").split("\n")
    (start,) = (number for number, text in enumerate(lines) if text.startswith("Error: "))
    before, message = lines[:start], "\n".join(lines[start:])
    assert start == len(lines) - 1 or lines[start].endswith(":"), "one line, or a list of mirrors below it"
    assert line.named in message, message
    assert len(message) < LONGEST_MESSAGE
    assert message.replace("\n", "").isprintable()
    assert line.code == 1 or all(text.startswith(("Usage: ", "Try ")) or not text for text in before), before


# --- values that an option cannot have --------------------------------------------------------------------------------------------

NO_NUMBERS = ("", " ", "x", "1.5.2", "1,5", "--", "½", "1 2", "None", "\x1b[31m", "0x", "é" * 40)
WRONG_COUNTS = (*NO_NUMBERS, "0", "-1", "1.5", "1e3", "nan", "inf", "-" + "9" * 30)
WRONG_RATES = (*NO_NUMBERS, "0", "-0.0", "-1", "nan", "-nan", "inf", "-inf", "infinity", "1e999", "-1e-3")
WRONG_CHOICES = ("", " ", "x", "None", "auto,cpu", "\x1b[31m", "*", "é" * 40, "-")
WRONG_SHAPES = ("", "x", "28", "28,28,1,1", "28,28,0", "-1,28,1", "28,28,", "1.5,2,3", "28;28;1", "9" * 12 + ",1,1", "nan,1,1")
WRONG_MATRICES = (
    "", " ", ";", "x", "1 2; 3", "1;;2", "nan", "1 inf", "1e7", "1e999", "½", "None", "\x1b[31m", "1 " * 300, "é" * 40,
)  # fmt: skip
WRONG_CELLS_OF_MAPS = (
    "", "x", "cross", "cross,3", "cross,3,3,3", "3,0,0", "-1,0,0", "cross,7,0", "cross,0,-1", "cross,1.5,0", "cros,0,0", "\x1b[31m,0,0",
)  # fmt: skip
WRONG_CELLS = ("", "x", ",", ",1,2", "a,1", "a,1,", "a,-1,2", "a,1.5,2", "a,1,½", "a,1," + "9" * 12, "\x1b[31m", "é" * 40)
WRONG_OUTPUTS = ("", "x", ",", ",1,2", "a,", "a,1,", "a,1.5", "a,1,½", "a,1," + "9" * 12, "\x1b[31m", "é" * 40)
WRONG_SEEDS = (
    *(value for value in NO_NUMBERS if value != "1,5"), "0", "-1", "5-3", "1-", "-", ",", "1,,2", "0-99999", "9" * 19, "9" * 30, "1e1",
)  # fmt: skip
WRONG_PARTS = (*NO_NUMBERS, "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "1.5/2", "/", "9/" + "9" * 12)
WRONG_ADDRESSES = (*NO_NUMBERS, "head", "head:", ":8786", "head:0", "head:65536", "head:x", "tcp://", "a b:1", "tcp://head:1:2")
WRONG_SETTINGS = (
    *NO_NUMBERS,
    "=",
    "=1",
    "epochs",
    "epochs=",
    "epochs=1,",
    "epochs=1,,2",
    "epoch=1",
    "output=a",
    "seed=1",
    "\x1b[31m=1",
)
WRONG_NAMES = ("", " ", ",", "x", "cnn,x", "xo,cnn", "dense12,small", "\x1b[31m,cnn", "é" * 40)
WRONG_SIDES = ("", "x", "0", "-1", "1.5", "5,7,1", "5,", "0,3", "nan", "9" * 12, "½", "\x1b[31m", "é" * 40)
SAFE = {  # with these a command stops before it does anything, should it take a wrong value for a right one
    "train": ("--model", "none.toml"), "sweep": ("--model", "none.toml", "--output", "file"),
    "evaluate": ("--model", "none.safetensors"), "predict": ("--model", "none.safetensors", "none.png"),
    "shapes": ("none.toml",), "models": (), "download": ("--data-dir", "file"), "samples": ("file/below",), "warmup": ("none.toml",),
    "doctor": (), "plot": ("none",), "play": ("--no-browser", "--model", "none.safetensors"),
    "export": ("none.toml", "none.npz"), "import": ("none.onnx", "file/none.safetensors"),
    "lecture": (), "lecture verify": (), "lecture xo": (), "lecture backprop": (),
    "lecture terms": (), "lecture filter": ("none.png",), "lecture worksheet": ("--check", "none.csv"),
    "lecture ladder": ("--dataset", "./none.npz"), "lecture challenges": ("--dataset", "./none.npz"), "bench": (),
    "lecture figure": ("conv", "--output", "file/below.gif"), "lecture figures": ("--output", "file/below"),
    "bench kernels": ("--model", "none.toml"), "inspect": ("--model", "none.safetensors", "none.png"),
}  # fmt: skip


def wrong_values(kind: click.ParamType) -> tuple[str, ...]:
    """Texts that are no values of an option of that type."""
    if isinstance(kind, OutputFile):
        return ("", " ", "\t", "x", "x.txt", ".png", f"x{kind.endings[0]}.txt")
    if isinstance(kind, PathText):
        return ("", " ", "\t")
    if isinstance(kind, PositiveNumber):
        return WRONG_RATES
    if isinstance(kind, InputShape):
        return WRONG_SHAPES
    if isinstance(kind, Matrix):
        return WRONG_MATRICES
    if isinstance(kind, CellOfMap):
        return WRONG_CELLS_OF_MAPS
    if kind is click.STRING:  # the name of a layer may be any text
        return ()
    if isinstance(kind, (CellName, CellText)):
        return WRONG_CELLS if isinstance(kind, CellName) else WRONG_OUTPUTS
    if isinstance(kind, Names):
        return WRONG_NAMES
    for of_sweep, wrong in ((Seeds, WRONG_SEEDS), (Part, WRONG_PARTS), (Address, WRONG_ADDRESSES), (Setting, WRONG_SETTINGS)):
        if isinstance(kind, of_sweep):
            return wrong
    if isinstance(kind, Sides):
        return WRONG_SIDES
    if isinstance(kind, (click.Choice, DatasetName)):
        return WRONG_CHOICES
    if isinstance(kind, click.IntRange):
        beyond = () if kind.max is None else (str(kind.max + 1),)
        return (*(value for value in WRONG_COUNTS if kind.min == 1 or value != "0"), *beyond)
    assert isinstance(kind, click.FloatRange), kind
    return (*NO_NUMBERS, "-0.1", "1", "1.0", "2", "inf", "-inf", "1e999")


def options_of(name: str) -> Iterator[click.Option]:
    yield from (parameter for parameter in ALL_COMMANDS[name].params if isinstance(parameter, click.Option))


def wrong_usages() -> list[Line]:
    lines = []
    for name in ALL_COMMANDS:
        start = (*name.split(), *SAFE[name])
        for option in options_of(name):
            flag = option.opts[0]
            if option.is_flag:
                lines.append(Line((*start, f"{flag}=x"), 2, flag))
                continue
            lines += [Line((*start, flag, value), 2, flag) for value in wrong_values(option.type)]
            lines.append(Line((*start, flag), 2, flag))  # and no value
        for unknown in ("--bogus", "--", "-x", "--épochs", "--format-", "--\x1b[31m"):
            words = (*start, unknown, "more", "and more")
            more = {"predict", "warmup"}  # take any number of arguments
            if not (unknown == "--" and name in more):
                lines.append(Line(words, 2, ""))
    commands = (
        "",
        " ",
        "Train",
        "trian",
        "-",
        "help",
        "train ",
        "trai\n",
        "tr\x1b[31m",
        "é" * 200,
        "--bogus",
        "-x",
        "--version=1",
        "../train",
    )
    lines += [Line((command,), 2, "") for command in commands]
    lines += [
        Line(("predict",), 2, "PNG"), Line(("predict", ""), 2, "expected a picture's file"),
        Line(("shapes", ""), 2, "expected a preset's name"),
        Line(("warmup", ""), 2, "expected a preset's name"), Line(("warmup", "small", " "), 2, "expected a preset's name"),
        Line(("export", "", "x.npz"), 2, "expected a preset's name"), Line(("export", "cnn", "x.txt"), 2, "ends in .onnx or .npz"),
        Line(("import", "x.onnx", "y.npz"), 2, "ends in .safetensors"), Line(("import", "x.onnx"), 2, "MODEL"),
        Line(("plot", ""), 2, "expected a path"), Line(("plot", "a", "b"), 2, "unexpected extra argument"),
        Line(("samples", ""), 2, "expected a path"), Line(("samples", "a", "b"), 2, "unexpected extra argument"),
        Line(("download", "cifar"), 2, "'cifar'"), Line(("download", "mnist", "more"), 2, "unexpected extra argument"),
        Line(("download", "MNIST"), 2, "'MNIST'"), Line(("doctor", "more"), 2, "unexpected extra argument"),
        Line(("lecture", "verfy"), 2, "Did you mean 'verify'"), Line(("lecture", "--format", "json", "terms"), 2, "after the command"),
        Line(("lecture", "terms", "poling"), 2, "Did you mean 'pooling'"), Line(("lecture", "terms", "é" * 400), 2, "expected one of"),
        Line(("lecture", "xo", "--imag", "X"), 2, "Did you mean --image"), Line(("lecture", "xo", "X"), 2, "unexpected extra argument"),
        Line(("lecture", "filter", "x.png", "--gif", "x.png"), 2, "ends in .gif"), Line(("lecture", "filter"), 2, "IMAGE"),
        Line(("models", "--toml", "cnn", "--format", "json"), 2, "--toml"), Line(("train", "cnn"), 2, "unexpected extra argument"),
    ]  # fmt: skip
    return lines


USAGES = wrong_usages()


def test_values_that_an_option_cannot_have(battery: Battery, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(USAGES) > 400
    before = contents(folder)
    for case in battery("wrong usages", smoke=len(USAGES), whole=len(USAGES)):
        with case:
            line = USAGES[case.index]
            check(line, in_process(line.words, monkeypatch))
    assert contents(folder) == before, "nothing was written"


# --- files and settings that cannot be used ---------------------------------------------------------------------------------------

LAYER = '[[layers]]\ntype = "Flatten"\n\n[[layers]]\ntype = "Dense"\nunits = 10\n'
HEAD = "input_shape = [28, 28, 1]\n\n"
MODELS = {
    "nothing": "", "no toml": "= 3", "a list": "layers = 3\ninput_shape = [28, 28, 1]\n", "no layers": HEAD,
    "empty layers": HEAD + "layers = []\n",
    "no input": LAYER, "two sides": "input_shape = [28, 28]\n" + LAYER, "side of 0": "input_shape = [28, 0, 1]\n" + LAYER,
    "side of -1": "input_shape = [28, -1, 1]\n" + LAYER, "side of a float": "input_shape = [28.0, 28, 1]\n" + LAYER,
    "side of nan": "input_shape = [nan, 28, 1]\n" + LAYER, "side of a bool": "input_shape = [true, 28, 1]\n" + LAYER,
    "side of 10^30": f"input_shape = [{10**18}, 28, 1]\n" + LAYER, "input of a text": 'input_shape = "28,28,1"\n' + LAYER,
    "unknown layer": HEAD + LAYER.replace("Flatten", "Flaten"), "layer in lower case": HEAD + LAYER.replace("Dense", "dense"),
    "layer of no type": HEAD + LAYER.replace('type = "Flatten"', 'name = "a"'), "type of a number": HEAD + LAYER.replace('"Flatten"', "3"),
    "type of a list": HEAD + LAYER.replace('"Flatten"', '["Flatten"]'), "unknown key": HEAD + LAYER + "unit = 3\n",
    "no units": HEAD + LAYER.replace("units = 10\n", ""), "units of 0": HEAD + LAYER.replace("10", "0"),
    "units of -1": HEAD + LAYER.replace("10", "-1"),
    "units of 1.5": HEAD + LAYER.replace("10", "1.5"), "units of a text": HEAD + LAYER.replace("10", '"10"'),
    "units of nan": HEAD + LAYER.replace("10", "nan"), "units of a bool": HEAD + LAYER.replace("10", "true"),
    "units of 10^18": HEAD + LAYER.replace("10", str(10**18)), "units of 5,000 digits": HEAD + LAYER.replace("10", "9" * 5000),
    "unknown activation": HEAD + LAYER + 'activation = "swish"\n', "activation of a number": HEAD + LAYER + "activation = 1\n",
    "unknown initializer": HEAD + LAYER + 'kernel_initializer = "he"\n', "dense on a picture": HEAD + LAYER.split("\n\n")[1],
    "a name twice": HEAD + '[[layers]]\ntype = "Flatten"\nname = "a"\n\n[[layers]]\ntype = "Dense"\nunits = 10\nname = "a"\n',
    "a name with a slash": HEAD + LAYER + 'name = "a/b"\n', "a name with an escape": HEAD + LAYER + 'name = "\\u001b[31m"\n',
    "an empty name": HEAD + LAYER + 'name = ""\n', "a name of a number": HEAD + LAYER + "name = 3\n",
    "called input": HEAD + LAYER + 'name = "input"\n',
    "an unknown input": HEAD + LAYER + 'inputs = ["nowhere"]\n', "its own input": HEAD + LAYER + 'name = "a"\ninputs = ["a"]\n',
    "inputs of a text": HEAD + LAYER + 'inputs = "flatten1"\n', "two inputs of one": HEAD + LAYER + 'inputs = ["flatten1", "flatten1"]\n',
    "no inputs": HEAD + LAYER + 'name = "d"\ninputs = []\n' + '\n[[layers]]\ntype = "Add"\ninputs = []\n',
    "a layer that nobody reads": HEAD + LAYER + '\n[[layers]]\ntype = "Flatten"\ninputs = ["input"]\n',
    "a window too large": HEAD + '[[layers]]\ntype = "Conv2D"\nfilters = 2\nkernel_size = 29\n',
    "dropout of 1": HEAD + LAYER + '\n[[layers]]\ntype = "Dropout"\nrate = 1.0\n',
    "padding of 10^12": HEAD + f'[[layers]]\ntype = "Conv2D"\nfilters = 2\nkernel_size = 3\npadding = [[{10**12}, 1], [1, 1]]\n',
    "unknown padding": HEAD + '[[layers]]\ntype = "Conv2D"\nfilters = 2\nkernel_size = 3\npadding = "full"\n',
    "stride of 0": HEAD + '[[layers]]\ntype = "MaxPool2D"\npool_size = 2\nstrides = 0\n',
    "pool of three": HEAD + '[[layers]]\ntype = "MaxPool2D"\npool_size = [2, 2, 2]\n',
    "a network's name of a number": "name = 3\n" + HEAD + LAYER, "a network's name with a slash": 'name = "../up"\n' + HEAD + LAYER,
    "an unknown table": HEAD + LAYER + "\n[trainig]\nepochs = 3\n", "a key twice": HEAD + HEAD + LAYER,
}  # fmt: skip
WEIGHTLESS = {"an empty name", "no inputs"}  # an empty name and no inputs mean: the usual ones


def test_model_files_that_describe_no_network(battery: Battery, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = sorted(set(MODELS) - WEIGHTLESS)
    for case in battery("wrong model files", smoke=len(names), whole=3 * len(names)):
        with case:
            name = names[case.index % len(names)]
            (folder / "bad.toml").write_text(MODELS[name], encoding="utf-8")
            before = contents(folder)
            command = (("shapes", "bad.toml"), ("train", "--model", "bad.toml", "--dataset", "digits"), ("warmup", "bad.toml"))
            words = command[(case.index // len(names) + case.index) % 3]
            check(Line(words, 1, "bad.toml"), in_process(words, monkeypatch))
            assert contents(folder) == before, "nothing was written"


TRAIN = ("train", "--dataset", "digits", "--train-limit", "20", "--test-limit", "5")
LONG = "x" * 300  # longer than a name may be, not than a path
DEEP = "d/" * 200 + "net"
HAS_LOG, HAS_PLOT = (find_spec(name) is not None for name in ("tensorboardX", "matplotlib"))

FAILURES = [
    Line((*TRAIN, "--model", "nonesuch"), 2, "nonesuch"), Line((*TRAIN, "--model", "CNN"), 2, "Presets: cnn,"),
    Line((*TRAIN, "--model", "cnm"), 2, "Did you mean 'cnn'?"), Line((*TRAIN, "--model", "net"), 2, "net"),
    Line((*TRAIN, "--model", "none.toml"), 1, "none.toml"), Line((*TRAIN, "--model", "none.safetensors"), 1, "none.safetensors"),
    Line((*TRAIN, "--model", "empty"), 1, "empty"), Line((*TRAIN, "--model", "."), 1, "'.'"),
    Line((*TRAIN, "--model", f"{LONG}.toml"), 1, LONG),
    Line((*TRAIN, "--model", f"{DEEP}.toml"), 1, "net.toml"), Line((*TRAIN, "--model", "ne\nt.toml"), 1, r"ne\nt.toml"),
    Line((*TRAIN, "--model", "\x1b[31m.toml"), 1, r"\x1b[31m.toml"), Line((*TRAIN, "--model", 'q"u\'o`te.toml'), 1, 'q"u\'o`te.toml'),
    Line((*TRAIN, "--model", "sieben ü 七.toml"), 1, "sieben ü 七.toml"),
    Line((*TRAIN, "--model", "net.toml/x.toml"), 1, "net.toml/x.toml"),
    Line((*TRAIN, "--model", "xo"), 1, "xo: takes images of shape (9, 9, 1)"),
    Line((*TRAIN, "--model", "net.toml", "--output", "file"), 1, "file"),
    Line((*TRAIN, "--model", "net.toml", "--output", "file/below"), 1, "file/below"),
    Line((*TRAIN, "--model", "net.toml", "--output", LONG), 1, LONG),
    Line((*TRAIN, "--model", "net.toml", "--output", "/proc/of-mine"), 1, "/proc/of-mine"),
    Line((*TRAIN, "--model", "net.toml", "--resume", "--output", LONG), 1, LONG),
    Line((*TRAIN, "--model", "net.toml", "--log-dir", "file"), 1, "file" if HAS_LOG else "[log]"),
    Line((*TRAIN, "--model", "net.toml", "--log-dir", "file/below"), 1, "file/below" if HAS_LOG else "[log]"),
    Line((*TRAIN, "--model", "net.toml", "--log-dir", LONG), 1, LONG if HAS_LOG else "[log]"),
    Line((*TRAIN, "--model", "none.toml", "--log-dir", "logs"), 1, "none.toml" if HAS_LOG else "[log]"),
    Line(("plot",), 1, "no network has been trained" if HAS_PLOT else "[plot]"),
    Line(("plot", "empty"), 1, "Give the folder of a run" if HAS_PLOT else "[plot]"),
    Line(("plot", "file"), 1, "file" if HAS_PLOT else "[plot]"), Line(("plot", LONG), 1, LONG if HAS_PLOT else "[plot]"),
    Line((*TRAIN, "--resume", "--output", "nowhere"), 1, "nowhere"),
    Line((*TRAIN, "--resume", "--output", "file"), 1, "file"), Line((*TRAIN, "--resume", "--output", "empty"), 1, "empty"),
    Line((*TRAIN, "--resume", "--model", "net.toml"), 1, "there is no run to resume"),
    Line((*TRAIN, "--model", "net.toml", "--validation", "nan"), 1, "validation"),
    Line((*TRAIN, "--model", "net.toml", "--batch-size", "9" * 25), 2, "--batch-size"),
    Line((*TRAIN, "--model", "net.toml", "--epochs", "9" * 25), 2, "--epochs"),
    Line((*TRAIN, "--model", "net.toml", "--early-stop", "9" * 25), 2, "--early-stop"),
    Line(("train", "--model", "net.toml", "--data-dir", "file"), 1, "file"),
    Line(("train", "--model", "net.toml", "--data-dir", "file/below"), 1, "file/below"),
    Line(("train", "--model", "net.toml", "--data-dir", LONG), 1, LONG),
    Line(("train", "--model", "net.toml", "--data-dir", "/proc"), 1, "/proc"),
    Line(("train", "--model", "net.toml", "--data-dir", "/dev/null"), 1, "/dev/null"),
    Line(("evaluate",), 1, "no network has been trained"), Line(("predict", "text.png"), 1, "no network has been trained"),
    Line(("evaluate", "--model", "none.safetensors"), 1, "none.safetensors"), Line(("evaluate", "--model", "net.toml"), 1, "net.toml"),
    Line(("evaluate", "--model", "empty"), 1, "empty"), Line(("evaluate", "--model", "/dev/zero"), 1, "/dev/zero"),
    Line(("evaluate", "--model", "cnn", "--dataset", "digits"), 1, "cnn"),
    Line(("evaluate", "--model", LONG, "--dataset", "digits"), 1, LONG),
    Line(("evaluate", "--model", "net.safetensors"), 1, "Give --dataset NAME|PATH"),
    Line(("evaluate", "--model", "net.safetensors", "--dataset", "mnist", "--data-dir", "file"), 1, "file"),
    Line(("evaluate", "--model", "net.safetensors", "--dataset", "empty"), 1, "a folder for each of two classes or more, got none"),
    Line(("evaluate", "--model", "net.safetensors", "--dataset", "./nowhere"), 1, "nothing at that place"),
    Line(("train", "--model", "net.toml", "--dataset", "file"), 1, "Convert it to one of them"),
    Line(("train", "--model", "net.toml", "--dataset", "net.toml", "--output", "new"), 1, "class folders of pictures, an .npz or a .csv"),
    Line(("train", "--model", "net.toml", "--dataset", LONG + "/"), 1, LONG),
    Line(("predict", "none.png", "--model", "net.safetensors"), 1, "none.png"),
    Line(("predict", "text.png", "--model", "net.safetensors"), 1, "text.png"),
    Line(("predict", "empty", "--model", "net.safetensors"), 1, "empty"),
    Line(("predict", "net.toml", "--model", "net.safetensors"), 1, "net.toml"),
    Line(("predict", LONG, "--model", "net.safetensors"), 1, LONG),
    Line(("predict", "/dev/zero", "--model", "net.safetensors"), 1, "/dev/zero"),
    Line(("predict", "a\nb.png", "--model", "net.safetensors"), 1, r"a\nb.png"),
    Line(("predict", "\udcff.png", "--model", "net.safetensors"), 1, r"\udcff.png"),
    Line(("predict", "file/x.png", "--model", "net.safetensors"), 1, "file/x.png"),
    Line(("predict", "*.jpg", "--model", "net.safetensors"), 1, "*.jpg"),
    Line(("predict", "text.png", "--model", "file"), 1, "file"), Line(("predict", "text.png", "--model", "text.png"), 1, "text.png"),
    Line(("shapes", "nonesuch"), 2, "nonesuch"), Line(("shapes", "cnn", "--input", "1,1,1"), 1, "pool"),
    Line(("shapes", "none.safetensors"), 1, "none.safetensors"),
    Line(("shapes", "net.toml", "--input", "99999999,1,1"), 1, "input_shape"), Line(("shapes", "text.png"), 1, "text.png"),
    Line(("shapes", "a b c"), 2, "a b c"), Line(("shapes", LONG), 2, "Presets: cnn,"),
    Line(("shapes", "~no-such-user/net.toml"), 1, "~no-such-user/net.toml"),
    Line(("shapes", "cnn", "--receptive", "a\nb,0,0"), 2, r"a\nb"), Line(("shapes", "cnn", "--receptive", f"{LONG},0,0"), 2, "no layer"),
    Line(("shapes", "cnn", "--receptive", "conv1,28,0"), 2, "a row from 0 to 27"),
    Line(("shapes", "cnn", "--compare", LONG), 2, "Presets: cnn,"),
    Line(("shapes", "cnn", "--compare", "none.safetensors"), 1, "none.safetensors"),
    Line(("shapes", "cnn", "--diagram", "file/x.svg"), 1, "file/x.svg"), Line(("shapes", "cnn", "--diagram", LONG), 2, "--diagram"),
    Line(("shapes", "cnn", "--diagram", f"{LONG}.mmd"), 1, LONG), Line(("shapes", "cnn", "--plan", "--diagram", "x.svg"), 2, "--plan"),
    Line(("train", "--model", "net.safetensors", "--dataset", "digits", "--initializer", "zeros"), 1, "--initializer"),
    Line(("models", "--toml", "cnn", "--debug", "--format", "json"), 2, "--toml"),
    Line(("download", "--data-dir", "file"), 1, "file"), Line(("download", "--data-dir", "file/below"), 1, "file/below"),
    Line(("download", "--data-dir", "/proc"), 1, "/proc"), Line(("download", "--data-dir", LONG), 1, LONG),
    Line(("download", "--data-dir", "net.toml"), 1, "net.toml"),
    Line(("samples", "file"), 1, "file"), Line(("samples", "file/below"), 1, "file/below"), Line(("samples", LONG), 1, LONG),
    Line(("samples", "/proc/x"), 1, "/proc/x"),
    Line(("export", "none.toml", "x.npz"), 1, "none.toml"), Line(("export", "cs231n", "file/x.npz"), 1, "file/x.npz"),
    Line(("play", "--no-browser", "--model", "none.safetensors"), 1, "none.safetensors"),
    Line(("play", "--no-browser", "--model", "net.safetensors", "--versus", "text.png"), 1, "text.png"),
    Line(("play", "--no-browser"), 1, "no network has been trained"),
    Line(("inspect", "none.png"), 1, "no network has been trained"), Line(("inspect", "text.png", "--model", "file"), 1, "file"),
    Line(("inspect", "--filters", "--model", "net.safetensors"), 1, "a convolution"),
    Line(("inspect", "text.png", "--model", "net.safetensors"), 1, "text.png"),
    Line(("inspect", "text.png", "--model", "net.safetensors", "--layer", "dense"), 2, "dense"),
    Line(("evaluate", "--model", "net.safetensors", "--dataset", "digits", "--sheet", "file/x.png"), 1, "file/x.png"),
    Line(("shapes", "net.safetensors", "--image", "text.png"), 1, "text.png"),
    Line(("bench", "kernels", "--layer", "conv"), 2, "conv1"), Line(("bench", "kernels", "--model", "softmax"), 1, "softmax"),
    Line(("bench", "kernels", "--plot", "file/x.png"), 1, "file/x.png"),
    Line(("lecture", "ladder", "--output", "file/x.csv"), 1, "file/x.csv"), Line(("lecture", "ladder", "--output", "x.txt"), 2, "x.txt"),
    Line(("lecture", "challenges", "--plot", "x.gif"), 2, "x.gif"),
    Line(("lecture", "figure", "conv", "--output", "file/x.gif"), 1, "file/x.gif"),
    Line(("lecture", "figure", "conv", "--kernel", "9", "--padding", "valid"), 1, "9"),
    Line(("lecture", "figures", "--output", "file"), 1, "file"),
    Line(("warmup", "nonesuch"), 2, "nonesuch"), Line(("warmup", "small", "nonesuch"), 2, "nonesuch"),
    Line(("warmup", "none.toml"), 1, "none.toml"),
    Line(("lecture", "xo", "--image", "none.png"), 1, "none.png"), Line(("lecture", "xo", "--image", "text.png"), 1, "text.png"),
    Line(("lecture", "xo", "--image", "empty"), 1, "empty"), Line(("lecture", "xo", "--image", LONG), 1, LONG),
    Line(("lecture", "worksheet", "--check", "none.csv"), 1, "none.csv"),
    Line(("lecture", "worksheet", "--check", "text.png"), 1, "student"),
    Line(("lecture", "worksheet", "--output", "file"), 1, "file"), Line(("lecture", "worksheet", "--output", "file/below"), 1, "file"),
    Line(("lecture", "filter", "none.png"), 1, "none.png"), Line(("lecture", "filter", "text.png"), 1, "text.png"),
    Line(("lecture", "filter", "none.png", "--filter", "curv"), 1, "Did you mean 'curve'"),
    Line(("lecture", "backprop", "--w", "1 2 3 4"), 1, "expected at least the 1 x 4 cells of w, got 3 x 3"),
    Line(("lecture", "backprop", "--target", "1 2 3"), 1, "expected the 2 x 2 cells of h, got 1 x 3"),
    Line(("lecture", "backprop", "--eta", "1e308", "--x", "1e6", "--w", "1e6"), 1, "finite"),
]  # fmt: skip


def test_files_and_settings_that_cannot_be_used(battery: Battery, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(folder)
    for case in battery("files that cannot be used", smoke=len(FAILURES), whole=len(FAILURES)):
        with case:
            line = FAILURES[case.index]
            check(line, in_process(line.words, monkeypatch))
            assert contents(folder) == before, "nothing was written"


def test_a_training_that_cannot_start_leaves_no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It left the folder of the run, with its lock in it; a folder that was there stays."""
    words = (*TRAIN, "--model", "xo", "--output")
    check(Line((*words, "a/b/c"), 1, "xo: takes images"), in_process((*words, "a/b/c"), monkeypatch))
    assert not (folder / "a").exists()
    check(Line((*words, "empty"), 1, "xo: takes images"), in_process((*words, "empty"), monkeypatch))
    assert (folder / "empty").is_dir()


@pytest.mark.skipif(report()["cuda"]["gpu"] is not None, reason="there is a GPU here")
@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "play", "warmup"])
def test_a_device_that_is_missing_is_named_and_no_other_is_taken(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeviceError):
        get_ops("cuda")
    model = {"train": ("--model", "net.toml", "--dataset", "digits"), "evaluate": ("--model", "net.safetensors", "--dataset", "digits"),
             "predict": ("--model", "net.safetensors", "text.png"), "play": ("--model", "net.safetensors", "--no-browser"),
             "warmup": ("net.toml",)}[command]  # fmt: skip
    before = contents(folder)
    words = (command, *model, "--device", "cuda")
    check(Line(words, 1, "--device cpu"), in_process(words, monkeypatch))
    assert contents(folder) == before, "nothing was written"


# --- processes --------------------------------------------------------------------------------------------------------------------

IN_PROCESSES = [USAGES[0], *USAGES[40::60], *(FAILURES[n] for n in (0, 11, 16, 29, 34, 40, 48, 51, -1))]


def test_bad_command_lines_as_processes(battery: Battery, folder: Path) -> None:
    """As users start them: in an ASCII locale, and with a home that does not exist."""
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "HOME": str(folder / "no home")}
    before = contents(folder)
    for case in battery("bad command lines as processes", smoke=5, whole=len(IN_PROCESSES)):
        with case:
            line = IN_PROCESSES[-1 - case.index]
            program = [sys.executable, "-c", "from numbacnn_cli.main import run; run()"]
            done = subprocess.run(
                [*program, *line.words], capture_output=True, env=environment, cwd=folder, timeout=300, check=False
            )
            named = line.named.encode("ascii", "backslashreplace").decode()
            check(line._replace(named=named), Ended(done.returncode, done.stdout.decode(), done.stderr.decode()))
            assert contents(folder) == before, "nothing was written"


def test_every_option_has_wrong_values() -> None:
    tried = {(line.words, line.named) for line in USAGES}
    for name in ALL_COMMANDS:
        start = (*name.split(), *SAFE[name])
        for option in options_of(name):
            assert any(words[: len(start)] == start and named == option.opts[0] for words, named in tried), (name, option.opts[0])
    assert len(set(USAGES)) > len(USAGES) - 20
    assert all(line.words.count("\0") == 0 for line in itertools.chain(USAGES, FAILURES))
