"""``numbacnn inspect``, ``shapes --image`` and ``evaluate --sheet``: the answer, and how it comes about."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Done, run_here
from PIL import Image

from numbacnn.datasets import load_dataset
from numbacnn.models import PRESETS

JSON = ("--format", "json")
SHAPES = {name: list(shape) for name, shape in PRESETS["small"].graph.shapes.items() if name != "input"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which a convolutional and a dense network were trained for a moment, with a test image as ``digit.png``."""
    folder, before = tmp_path_factory.mktemp("home"), Path.cwd()
    os.chdir(folder)
    try:
        for model in ("dense128", "small"):
            options = ("--dataset", "digits", "--train-limit", 400, "--test-limit", 60, "--epochs", 1)
            done = run_here("train", "--model", model, *options, *JSON)
            assert done.code == 0, done.err
        images = load_dataset("digits", train_limit=0, test_limit=8).test_images
        Image.fromarray(images[7, :, :, 0]).save("digit.png")
        yield folder
    finally:
        os.chdir(before)


@pytest.fixture(autouse=True)
def there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def found(*args: object) -> Any:
    done = run_here(*args, *JSON)
    assert done.code == 0, done.err
    return json.loads(done.out)


def printed(*args: object) -> Done:
    done = run_here(*args)
    assert done.code == 0, done.err
    return done


# --- shapes --image ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", ["digit.png", "test:7"])
def test_a_traced_image_has_the_probabilities_of_predict(image: str) -> None:
    (predicted,) = found("predict", "digit.png")
    assert found("shapes", "--image", image)["probabilities"] == predicted["probabilities"]
    assert found("inspect", image)["probabilities"] == predicted["probabilities"]


def test_every_layer_gains_its_numbers_and_keeps_those_of_today() -> None:
    today, with_image = found("shapes", "small"), found("shapes", "runs/small-digits", "--image", "test:7")
    gained = {"min", "mean", "max", "zero_share", "maps", "maps_alive"}
    for before, after in zip(today["layers"], with_image["layers"], strict=True):
        assert after.keys() - before.keys() == gained
        assert {key: after[key] for key in before} == before
        assert after["min"] <= after["mean"] <= after["max"]
        assert 0 <= after["zero_share"] <= 1
        assert after["maps_alive"] <= after["maps"] == after["output_shape"][-1]
    assert with_image["trained"] is True


def test_a_network_that_is_not_trained_says_so() -> None:
    done = run_here("shapes", "small", "--image", "digit.png", *JSON)
    assert "small: not trained, so its weights are the initial ones of seed 0. Leave MODEL out" in done.err
    assert json.loads(done.out)["trained"] is False


def test_the_trace_is_drawn_layer_by_layer_with_the_receptive_field_if_asked_for() -> None:
    out = printed("shapes", "--image", "test:7", "--receptive", "conv2,0,0").out
    assert "conv2[0,0] reads rows 0..7 and columns 0..7 of the image" in out
    for name, shape in SHAPES.items():
        assert any(line.startswith(name) and "x".join(map(str, shape)) in line for line in out.splitlines())
    assert "the numbers of pool2" in out


# --- inspect ----------------------------------------------------------------------------------------------------------------------


def test_the_answer_comes_first_and_then_every_layer() -> None:
    (predicted,) = found("predict", "digit.png")
    lines = printed("inspect", "digit.png").out.splitlines()
    assert lines[0] == f"digit.png: {predicted['label']}"
    assert lines[1].split()[:2] == [str(predicted["label"]), f"{predicted['probability']:.2%}"]
    assert [line.split()[0] for line in lines if " alive " in line] == list(SHAPES)


def test_the_label_of_a_test_image_is_told() -> None:
    data = load_dataset("digits", train_limit=0, test_limit=8)
    assert found("inspect", "test:7")["true_label"] == int(data.test_labels[7])
    assert f"labelled {data.test_labels[7]}; image 7 of the test part of digits" in printed("inspect", "test:7").out


def test_all_maps_of_one_layer_are_shown() -> None:
    lines = printed("inspect", "test:7", "--layer", "pool2").out.splitlines()
    captions = [word for line in lines for word in line.split() if word.isdigit()]
    assert captions[-16:] == [str(index) for index in range(16)]
    maps = found("inspect", "test:7", "--layer", "conv2")["maps"]
    assert (maps["layer"], len(maps["values"]), len(maps["values"][0][0])) == ("conv2", 14, 16)


@pytest.mark.parametrize("cell", [(0, 0, 3), (13, 13, 0), (4, 9, 12)])
def test_a_cell_is_given_as_its_products(cell: tuple[int, int, int]) -> None:
    text = ",".join(map(str, ("conv2", *cell)))
    one = found("inspect", "test:7", "--cell", text)
    assert (one["layer"], one["cell"], one["reads"]) == ("conv2", list(cell), "pool1")
    rows, columns = one["receptive_field"]
    assert rows == [max(0, cell[0] - 2), min(13, cell[0] + 2)]
    assert len(one["terms"]) == (rows[1] - rows[0] + 1) * (columns[1] - columns[0] + 1) * 8
    assert one["sum"] == math.fsum(product for *_, product in one["terms"])
    assert all(x * weight == product for _, _, _, x, weight, product in one["terms"])
    assert abs(one["sum"] + one["bias"] - one["kernel_value"]) <= one["bound"]
    assert one["output"] == pytest.approx(max(one["value"], 0), abs=1e-6)
    out = printed("inspect", "test:7", "--cell", text).out
    assert f"conv2[{text[6:]}] reads rows {rows[0]}..{rows[1]}" in out
    assert f"z {one['value']:.6f}" in out
    assert f"kernel {one['kernel_value']:.6f}" in out


def test_a_cell_of_a_dense_layer_names_the_maps_that_it_reads() -> None:
    one = found("inspect", "test:7", "--cell", "dense1,5")
    assert (one["cell"], one["reads"], one["receptive_field"], len(one["terms"])) == ([5], "flatten1", None, 784)
    out = printed("inspect", "test:7", "--cell", "dense1,5").out
    assert "dense1[5] reads the 784 numbers of flatten1: 784 products" in out
    assert "(row, column, channel) of pool2" in out


def test_the_reason_is_a_map_of_heat_by_either_method() -> None:
    why = found("inspect", "test:7", "--why")["why"]
    assert (why["method"], why["patch"], len(why["heat"]), len(why["heat"][0])) == ("occlusion", [5, 5], 28, 28)
    place = why["largest"]
    assert why["heat"][place["row"]][place["column"]] == place["value"] == max(map(max, why["heat"]))
    other = found("inspect", "test:7", "--why", "--method", "gradient")["why"]
    assert (other["method"], other["patch"]) == ("gradient", None)
    assert min(map(min, other["heat"])) >= 0
    assert "lost when 5x5 pixels around a place are blanked; most," in printed("inspect", "test:7", "--why").out.replace(
        "\n", " "
    )


def test_the_training_images_most_like_it_are_found() -> None:
    like = found("inspect", "test:7", "--like", "--train-limit", 300)["like"]
    assert (like["dataset"], like["searched"], len(like["images"])) == ("digits", 300, 5)
    similarities = [each["similarity"] for each in like["images"]]
    assert similarities == sorted(similarities, reverse=True)
    assert -1 <= similarities[-1] <= similarities[0] <= 1 + 1e-6
    labels = load_dataset("digits", train_limit=300, test_limit=0).train_labels
    assert [each["label"] for each in like["images"]] == [int(labels[each["index"]]) for each in like["images"]]
    assert "most like it among 2 training images of digits" in printed("inspect", "digit.png", "--like", "--train-limit", 2).out


def test_a_training_image_is_most_like_itself(tmp_path: Path) -> None:
    image = load_dataset("digits", train_limit=40, test_limit=0).train_images[33, :, :, 0]
    Image.fromarray(image).save(tmp_path / "own.png")
    first = found("inspect", tmp_path / "own.png", "--like", "--train-limit", 40)["like"]["images"][0]
    assert (first["index"], first["similarity"]) == (33, pytest.approx(1))


def test_filters_over_the_epochs_are_an_animation_of_the_networks_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the run trained last stays that of the other tests
    few = ("--dataset", "digits", "--train-limit", 200, "--test-limit", 50, "--epochs", 2, "--progress", "none")
    done = run_here("train", "--model", "small", *few, "--keep-epochs", "--output", tmp_path / "run")
    assert done.code == 0, done.err
    options = ("inspect", "--model", tmp_path / "run", "--filters", "--over-epochs", tmp_path / "f.gif")
    assert f"wrote {tmp_path / 'f.gif'}" in printed(*options).out
    with Image.open(tmp_path / "f.gif") as picture:
        assert picture.n_frames == 2
    printed(*options)  # the same file again is no other file
    (tmp_path / "f.gif").write_bytes(b"mine")
    assert run_here(*options).code == 1
    assert (tmp_path / "f.gif").read_bytes() == b"mine"


def test_filters_over_epochs_that_were_not_kept_are_refused(home: Path) -> None:
    done = run_here("inspect", "--model", "runs/small-digits", "--filters", "--over-epochs", "f.gif")
    assert (done.code, done.out) == (1, "")
    assert "Train with --keep-epochs" in done.err
    assert not (home / "f.gif").exists()
    for options in (("--over-epochs", "f.gif", "digit.png"), ("--filters", "--over-epochs", "f.png")):
        assert run_here("inspect", *options).code == 2


def test_filters_are_shown_without_an_image() -> None:
    filters = found("inspect", "--filters")["filters"]
    assert (filters["layer"], len(filters["values"]), len(filters["values"][0])) == ("conv1", 8, 1)
    out = printed("inspect", "--filters", "--layer", "conv2").out
    assert "conv2: 16 filters of 5x5, 8 channels" in out
    assert [line for line in out.splitlines() if line.startswith("filter ")] == [f"filter {index}" for index in range(16)]


def test_a_dense_network_is_inspected_too() -> None:
    model = ("--model", "runs/dense128-digits")
    assert len(found("inspect", "test:7", *model, "--cell", "dense1,100")["terms"]) == 784
    assert "(row, column, channel) of input" in printed("inspect", "test:7", *model, "--cell", "dense1,100").out
    assert "flatten1  784" in printed("inspect", "test:7", *model).out


# --- files ------------------------------------------------------------------------------------------------------------------------


def test_sheets_are_written_once_and_files_of_the_user_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "seven"
    files = found("inspect", "test:7", "--like", "--train-limit", 50, "--filters", "--output", folder)["files"]
    names = ["summary.png", *(f"{number:02}-{name}.png" for number, name in enumerate(SHAPES, 1)), "filters-conv1.png"]
    assert files == [str(folder / name) for name in names]
    for name in names:
        with Image.open(folder / name) as sheet:
            sheet.load()
            assert sheet.width == 1008
            assert len(sheet.convert("L").getcolors() or ()) > 10, f"{name} is blank"
    before = (folder / "summary.png").read_bytes()
    printed("inspect", "test:7", "--like", "--train-limit", 50, "--filters", "--output", folder)  # the same: nothing to do
    done = run_here("inspect", "test:6", "--output", folder)
    assert (done.code, (folder / "summary.png").read_bytes()) == (1, before)
    assert "expected no file or the picture to be drawn, got another file" in done.err
    printed("inspect", "test:6", "--output", folder, "--force")
    assert (folder / "summary.png").read_bytes() != before


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    done = run_here("inspect", "test:7", "--output", tmp_path / "taken")
    assert (done.code, done.out) == (1, "")
    assert "taken: cannot be written to" in done.err
    assert (tmp_path / "taken").read_text() == "mine"


def test_the_worst_mistakes_are_drawn(tmp_path: Path) -> None:
    report = found("evaluate", "--test-limit", 60, "--sheet", tmp_path / "mistakes.png")
    wrong = report["images"] - sum(report["confusion"][index][index] for index in range(10))
    mistakes = report["mistakes"]
    assert (report["sheet"], len(mistakes)) == (str(tmp_path / "mistakes.png"), min(wrong, 42))
    assert mistakes
    truths = [each["label_probability"] for each in mistakes]
    assert truths == sorted(truths)
    answered = found("inspect", f"test:{mistakes[0]['number']}")
    assert (answered["label"], answered["true_label"]) == (mistakes[0]["answer"], mistakes[0]["label"])
    assert answered["probability"] == pytest.approx(mistakes[0]["probability"], rel=1e-4)
    with Image.open(tmp_path / "mistakes.png") as sheet:
        assert sheet.width == 1008
    assert (
        f"{min(wrong, 42)} "
        in printed("evaluate", "--test-limit", 60, "--sheet", tmp_path / "mistakes.png", "--force").out.splitlines()[-1]
    )
    assert "sheet" not in found("evaluate", "--test-limit", 60)


# --- the terminal -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "args",
    [
        ("shapes", "--image", "test:7"),
        ("inspect", "test:7", "--why", "--like", "--cell", "conv2,4,9,12"),
        ("inspect", "--filters"),
    ],
)
def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, args: tuple[str, ...]) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = printed(*args).out.splitlines()
    assert max(map(len, lines)) <= columns
    assert max(map(len, lines)) > columns * 0.6
    assert not any(line.startswith("16/16") for line in lines)


@pytest.mark.parametrize("args", [("shapes", "--image", "test:7"), ("inspect", "test:7", "--why", "--cell", "conv2,4,9,12")])
def test_a_terminal_of_ascii_gets_ascii(tmp_path: Path, args: tuple[str, ...]) -> None:
    with open(tmp_path / "out.txt", "w", encoding="ascii") as out:
        assert run_here(*args, out=out).code == 0
    assert "#" in (tmp_path / "out.txt").read_text("ascii")


# --- bad input --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("test:7", "--layer", "conv3"), 2, "no layer 'conv3'. Did you mean 'conv2'?"),
        (("test:7", "--cell", "conv2,14,0,0"), 2, "a row from 0 to 13, a column from 0 to 13 and a map from 0 to 15, got 14, 0, 0"),
        (("test:7", "--cell", "conv2,4,9"), 2, "conv2: expected three numbers, row, column and map, got 4,9. An example: conv2,2,3,0"),
        (("test:7", "--cell", "dense1,1,2,3"), 2, "dense1: expected one number, a unit, got 1,2,3"),
        (("test:7", "--cell", "dense1,128"), 2, "dense1: expected a unit from 0 to 127, got 128"),
        (("test:7", "--cell", "con2,0,0,0"), 2, "no layer 'con2'. Did you mean 'conv2'?"),
        (("test:7", "--cell", "pool1,0,0,0"), 2, "expected a layer with weights, got MaxPool2D. Name one that has: conv1, conv2, dense1"),
        (("test:7", "--cell", "conv2"), 2, "is not LAYER,ROW,COLUMN,MAP"),
        (("test:7", "--cell", "conv2,0,0,-1"), 2, "is not LAYER,ROW,COLUMN,MAP"),
        (("test:7", "--filters", "--layer", "pool1"), 2, "pool1: expected a convolution, got MaxPool2D. The convolutions: conv1, conv2"),
        (("--filters", "--model", "runs/dense128-digits"), 1, "expected a network with a convolution, got none"),
        (("test:10000",), 1, "test:10000: expected a number from 0 to 9,999, a test image of digits, got 10000"),
        (("test:x",), 1, "test:x: expected test:N with the number of a test image"),
        (("missing.png",), 1, "missing.png: expected a picture's file or a folder of pictures, got a name that does not exist"),
        (("runs",), 1, "runs: expected one picture, got a folder"),
        (("test:7", "--method", "gradient"), 2, "--method goes with --why"),
        ((), 2, "Missing argument 'IMAGE'"),
        (("--filters", "--why"), 2, "Missing argument 'IMAGE'"),
        (("test:7", "--model", "missing.safetensors"), 1, "missing.safetensors: cannot be read"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(args: tuple[str, ...], code: int, message: str) -> None:
    done = run_here("inspect", *args)
    assert (done.code, done.out) == (code, "")
    assert message in " ".join(done.err.split())


def test_data_that_are_gone_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_here("inspect", "digit.png", "--like", "--dataset", tmp_path / "gone")
    assert done.code == 1
    assert "gone" in done.err


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("shapes", "--image", "digit.png", "--plan"), 2, "--image does not go with --plan, --compare or --input"),
        (("shapes", "cnn", "--image", "digit.png", "--input", "32,32,1"), 2, "--image does not go with"),
        (("shapes", "cnns", "--image", "digit.png"), 2, "Did you mean 'cnn'?"),
        (("inspect", "test:1", "--train-limit", "9"), 2, "--train-limit goes with --like"),
        (("inspect", "one.png", "--dataset", "digits"), 2, "--dataset goes with test:N or --like"),
        (("evaluate", "--sheet", "mistakes.pdf"), 2, "ends in .png"),
        (("evaluate", "--test-limit", "60", "--sheet", "none/mistakes.png"), 1, "mistakes.png: expected a folder to write it to"),
    ],
)
def test_wrong_options_of_other_commands_are_named(args: tuple[str, ...], code: int, message: str) -> None:
    done = run_here(*args)
    assert (done.code, done.out) == (code, "")
    assert message in " ".join(done.err.split())


def test_a_picture_of_another_size_is_brought_to_the_networks_form(tmp_path: Path) -> None:
    with Image.open("digit.png") as image:
        image.resize((280, 200)).save(tmp_path / "large.png")
    (predicted,) = found("predict", tmp_path / "large.png")
    inspected = found("inspect", tmp_path / "large.png")
    assert inspected["preprocessing"] == predicted["preprocessing"] != []
    assert inspected["probabilities"] == predicted["probabilities"]
