"""``numbacnn shapes``: --receptive, --compare and --diagram."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from command_line import run_here

from numbacnn.models import PRESETS
from numbacnn.summary import summarise

JSON = ("--format", "json")


def test_a_cell_is_traced_back_to_the_image() -> None:
    done = run_here("shapes", "cnn", "--receptive", "conv2,0,9")
    assert done.code == 0, done.err
    assert [line.split()[-3:] for line in done.out.splitlines()[2:6]] == [
        ["0", "9", "1"], ["0..2", "7..11", "15"], ["0..5", "14..23", "60"], ["0..7", "12..25", "112"],
    ]  # fmt: skip
    assert done.out.splitlines()[6:] == [
        "conv2[0,9] reads rows 0..7 and columns 12..25 of the image: 112 of 784 numbers.",
        "Without the image's edges they would be rows -6..7 and columns 12..25: what lies beyond is padding.",
    ]
    assert "Without" not in run_here("shapes", "cnn", "--receptive", "conv2,5,9").out


def test_the_receptive_field_is_added_to_the_json_of_today() -> None:
    found = json.loads(run_here("shapes", "cnn", "--receptive", "conv2,0,9", *JSON).out)
    today = json.loads(run_here("shapes", "cnn", *JSON).out)
    added = found.pop("receptive")
    assert found == today
    assert (added["layer"], added["cell"]) == ("conv2", [0, 9])
    assert (added["receptive_field"], added["unclipped"]) == ([[0, 7], [12, 25]], [[-6, 7], [12, 25]])
    assert [read["name"] for read in added["reads"]] == ["conv2", "pool1", "conv1", "input"]


def test_a_layer_whose_name_has_commas_has_cells_too(tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text('input_shape = [3, 3, 1]\n[[layers]]\ntype = "MaxPool2D"\npool_size = 1\nname = "a,1"\n')
    done = run_here("shapes", tmp_path / "net.toml", "--receptive", "a,1,2,0", *JSON)
    assert json.loads(done.out)["receptive"]["receptive_field"] == [[2, 2], [0, 0]]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--receptive", "conv2,14,0"), 2, "conv2: expected a row from 0 to 13, got 14"),
        (("--receptive", "conv,0,0"), 2, "no layer 'conv'. Did you mean 'conv"),
        (("--receptive", "dense1,0,0"), 2, "expected a layer of feature maps"),
        (("--receptive", "conv2,0"), 2, "is not LAYER,ROW,COLUMN"),
        (("--receptive", "conv2,-1,0"), 2, "is not LAYER,ROW,COLUMN"),
        (("--receptive", "conv2,0,\u00b2"), 2, "is not LAYER,ROW,COLUMN"),
        (("--compare", "smal"), 2, "Did you mean 'small'?"),
        (("--dataset", "digits"), 2, "--dataset goes with --image"),
        (("--diagram", "net.png"), 2, "ends in .svg or .mmd"),
        (("--diagram", "none/net.svg"), 1, "net.svg: expected a folder to write it to"),
        (("--plan", "--compare", "small"), 2, "--plan does not go with"),
    ],
)
def test_wrong_options_are_named_and_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_here("shapes", "cnn", *args)
    assert (done.code, done.out) == (code, "")
    assert message in " ".join(done.err.split())
    assert list(tmp_path.iterdir()) == []


def test_two_networks_are_compared_side_by_side() -> None:
    ours, theirs = (summarise(PRESETS[name].graph) for name in ("residual", "small"))
    lines = run_here("shapes", "residual", "--compare", "small").out.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:6]}
    assert rows["layers"][:2] == [str(len(ours.layers)), str(len(theirs.layers))]
    assert rows["parameters"] == [f"{ours.parameters:,}", f"{theirs.parameters:,}", f"{theirs.parameters / ours.parameters:.3g}"]
    assert rows["MACs"][:2] == [f"{ours.macs:,}", f"{theirs.macs:,}"]
    layers = lines[lines.index("") + 3 :]
    assert len(layers) == len(ours.layers)
    for line, one, other in zip(layers, ours.layers, theirs.layers, strict=False):
        assert line.split()[0] == one.name
        assert line.split()[-1] == f"{other.parameters:,}"
        assert other.name in line.split()


def test_a_comparison_is_added_to_the_json_of_today() -> None:
    found = json.loads(run_here("shapes", "cnn", "--compare", "small", "--batch-size", 3, *JSON).out)
    other = json.loads(run_here("shapes", "small", "--batch-size", 3, *JSON).out)
    other.pop("remarks")
    assert found.pop("compare") == other
    assert found == json.loads(run_here("shapes", "cnn", "--batch-size", 3, *JSON).out)


def test_another_input_size_is_that_of_both_networks() -> None:
    found = json.loads(run_here("shapes", "cnn", "--input", "32,32,3", "--compare", "small", *JSON).out)
    assert found["input_shape"] == found["compare"]["input_shape"] == [32, 32, 3]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("args", [("--compare", "residual"), ("--receptive", "pool2,3,3")])
def test_answers_fit_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int, args: tuple[str, ...]) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    done = run_here("shapes", "cnn", *args)
    assert done.code == 0, done.err
    assert max(map(len, done.out.splitlines())) <= width


def test_a_diagram_is_written_whole_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_here("shapes", "residual", "--diagram", "a.svg")
    assert done.out.splitlines()[-1] == "wrote a.svg"
    assert ET.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    assert json.loads(run_here("shapes", "residual", "--diagram", "b.mmd", *JSON).out)["diagram"] == "b.mmd"
    assert (tmp_path / "b.mmd").read_text().startswith("flowchart TD\n")
    assert {path.name for path in tmp_path.iterdir()} == {"a.svg", "b.mmd"}


def test_shapes_with_every_option_imports_neither_numpy_nor_numba(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom numbacnn_cli.main import _guarded\n"
        "sys.argv = ['numbacnn', 'shapes', 'cnn', '--compare', 'small', '--receptive', 'conv2,1,2', '--diagram', 'a.svg']\n"
        "assert _guarded() == 0\nassert not {'numpy', 'numba', 'PIL'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.svg").exists()
