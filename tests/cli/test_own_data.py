"""Own data on the command line: trained on, resumed, evaluated and predicted, from class folders in colour and from files."""

import json
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numbacnn_cli.main import _guarded
from PIL import Image

import numbacnn as nc
from numbacnn.checkpoint import load_network

NET = """
input_shape = [6, 6, 3]
layers = [{ type = "Flatten" }, { type = "Dense", units = 2, activation = "softmax" }]
"""
COLOURS = {"blue": (30, 60, 220), "red": (220, 40, 30)}
QUICK = ("--epochs", 4, "--batch-size", 4, "--learning-rate", 0.05, "--progress", "none")

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def numbacnn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line in this process, in an empty folder with ``net.toml`` and ``photos/``. Returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.toml").write_text(NET)
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            pixels = np.clip(np.array(colour) + rng.integers(-30, 31, (12, 9, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")

    def numbacnn(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["numbacnn", *map(str, args)])
        return _guarded(), *capsys.readouterr()

    return numbacnn


def weights(out: str) -> str:
    return json.loads(out)["weights_sha256"]


def test_colour_photographs_are_trained_on_evaluated_and_predicted(numbacnn: Command) -> None:
    code, out, error = numbacnn("train", "--model", "net.toml", "--dataset", "photos/", *QUICK, "--format", "json")
    assert code == 0, error
    assert "one image in 6 of each class held out for the test: 4 of 24" in error
    report = json.loads(out)
    assert (report["dataset"], report["train_images"], report["test_images"]) == ("photos", 20, 4)
    assert report["output"] == "runs/net-photos"
    network = load_network(Path("runs/net-photos/model.safetensors"))
    assert (network.class_names, network.pictures) == (("blue", "red"), "photographs")
    code, out, error = numbacnn("evaluate", "--format", "json")
    assert code == 0, error
    assert "--dataset" in error
    assert json.loads(out)["accuracy"] == report["test_accuracy"] == 1
    code, out, error = numbacnn("predict", "photos/red", "photos/blue/3.png", "--format", "json")
    assert code == 0, error
    rows = json.loads(out)
    assert [row["file"] for row in rows][:3] == [f"photos/red/{n}.png" for n in (0, 1, 2)]
    assert [row["label"] for row in rows] == ["red"] * 12 + ["blue"]
    assert rows[0]["preprocessing"] == ["scaled from 9x12 to 6x6"]
    code, out, error = numbacnn("predict", "photos/red/3.png")
    assert (code, "photos/red/3.png: red" in out) == (0, True)


def test_pictures_added_after_the_training_are_said_where_they_change_the_test_images(numbacnn: Command) -> None:
    assert numbacnn("train", "--model", "net.toml", "--dataset", "photos", *QUICK)[0] == 0
    unchanged = numbacnn("evaluate")[2]
    assert "not those of the training" not in unchanged
    for number in range(12, 18):
        shutil.copy("photos/red/3.png", f"photos/red/{number}.png")
    code, out, error = numbacnn("evaluate", "--format", "json")
    assert (code, json.loads(out)["images"]) == (0, 5)
    assert "the test images are not those of the training: 5 now, 4 then. The network may have been trained on some of" in error
    error = numbacnn("evaluate", "--test-limit", 2, "--format", "json")[2]
    assert "not those of the training" not in error  # a part of them cannot be compared


def test_a_changed_picture_is_said_though_their_number_stays(numbacnn: Command) -> None:
    class_folders = (("train", range(8)), ("test", range(8, 12)))
    for part, numbers in class_folders:
        for name in COLOURS:
            Path("parts", part, name).mkdir(parents=True)
            for number in numbers:
                shutil.copy(f"photos/{name}/{number}.png", f"parts/{part}/{name}")
    assert numbacnn("train", "--model", "net.toml", "--dataset", "parts", *QUICK)[0] == 0
    shutil.copy("photos/red/0.png", "parts/train/red/more.png")  # of no consequence for the test
    assert "not those of the training" not in numbacnn("evaluate")[2]
    shutil.copy("photos/red/0.png", "parts/test/red/8.png")
    assert "not those of the training: 8 now, 8 then" in numbacnn("evaluate")[2]


@pytest.mark.parametrize("alone", [False, True], ids=["beside others", "alone"])
def test_pictures_of_phones_are_counted_and_named_and_what_to_do_is_said(alone: bool, numbacnn: Command) -> None:
    """HEIC and AVIF were skipped in silence."""
    assert numbacnn("train", "--model", "net.toml", "--dataset", "photos", *QUICK)[0] == 0
    if alone:
        for file in Path("photos/red").iterdir():
            file.unlink()
    for name in ("IMG_1.HEIC", "b.avif", "notes.txt"):
        Path("photos/red", name).write_bytes(b"x")
    advice = "2 pictures in formats that are not read, b.avif, IMG_1.HEIC. Save them as PNG or JPEG"
    code, out, error = numbacnn("predict", "photos/red", "--format", "json")
    if alone:
        assert (code, advice in json.loads(out)[0]["error"]) == (1, True)
        shutil.rmtree("photos/blue")
        Path("photos/blue").mkdir()
        assert f"expected pictures in the class folders, got {advice}" in numbacnn("evaluate")[2]
    else:
        assert (code, len(json.loads(out)), f"photos/red: left out: {advice}" in error) == (0, 12, True)
        error = numbacnn("train", "--model", "net.toml", "--dataset", "photos", *QUICK)[2]
        assert f"photos: left out: {advice}" in error
        assert "1 file left out, as no picture of a class: notes.txt" in error


def test_input_and_the_number_of_classes_change_a_preset_and_say_so(numbacnn: Command) -> None:
    code, _, error = numbacnn("train", "--model", "softmax", "--dataset", "photos", "--input", "5,4,3", *QUICK)
    assert code == 0, error
    assert "softmax: 2 outputs in place of 10, one for each class of photos" in error
    graph = load_network(Path("runs/softmax-photos/model.safetensors")).graph
    assert (graph.input_shape, graph.output_shape) == ((5, 4, 3), (2,))


def test_a_model_of_ones_own_must_match_the_classes(numbacnn: Command) -> None:
    Path("photos/green").mkdir()
    for number in (1, 2):
        shutil.copy("photos/red/1.png", f"photos/green/{number}.png")
    code, _, error = numbacnn("train", "--model", "net.toml", "--dataset", "photos", *QUICK)
    assert code == 1
    assert "its output has shape (2,), but photos has 3 classes. End it with Dense(3" in error
    assert not Path("runs").exists()


def test_images_of_another_shape_are_refused_with_the_option_that_helps(numbacnn: Command) -> None:
    np.savez("data.npz", x=np.zeros((12, 8, 8), np.uint8), y=np.arange(12) % 2)
    code, _, error = numbacnn("train", "--model", "net.toml", "--dataset", "data.npz", *QUICK)
    assert code == 1
    assert "--input 8,8,1" in error


def test_a_run_on_own_data_is_resumed_where_they_are_and_where_they_have_moved_to(numbacnn: Command) -> None:
    train = ("train", "--model", "net.toml", "--dataset", "photos", *QUICK[2:])
    _, whole, _ = numbacnn(*train, "--epochs", 3, "--output", "whole", "--format", "json")
    numbacnn(*train, "--epochs", 2, "--output", "part")
    shutil.copytree("part", "moved")
    resume = ("train", "--resume", "--epochs", 3, "--format", "json", "--progress", "none")
    code, out, error = numbacnn(*resume, "--output", "part")
    assert (code, weights(out)) == (0, weights(whole)), error
    Path("photos").rename("pictures")
    code, _, error = numbacnn(*resume, "--output", "moved")
    assert code == 1
    assert f"expected the run's data set at {Path.cwd() / 'photos'}, got nothing there" in error
    assert "--dataset PATH" in error
    code, out, error = numbacnn(*resume, "--output", "moved", "--dataset", "pictures")
    assert (code, weights(out)) == (0, weights(whole)), error
    for path in Path("pictures/red").iterdir():
        Image.new("RGB", (9, 12)).save(path)
    code, _, error = numbacnn(*resume, "--output", "moved", "--epochs", 4)
    assert code == 1
    assert "the images are not those the run was started with. Give the --dataset it was started with" in error


def test_the_epoch_that_is_best_on_the_validation_folder_is_kept(numbacnn: Command) -> None:
    for part in ("train", "test", "val"):
        shutil.copytree("photos", f"parts/{part}")
    code, out, error = numbacnn("train", "--model", "net.toml", "--dataset", "parts", *QUICK, "--format", "json")
    assert code == 0, error
    assert "24 validation images of parts" in error
    history = [json.loads(line) for line in Path("runs/net-parts/history.jsonl").read_text().splitlines()]
    best = min(history, key=lambda record: record["validation_loss"])
    assert json.loads(out)["kept_epoch"] == best["epoch"]
    assert json.loads(out)["train_images"] == 24


def test_a_name_that_is_no_data_set_is_a_mistake_in_the_command(numbacnn: Command) -> None:
    code, _, error = numbacnn("train", "--dataset", "mnits")
    assert code == 2
    assert "or the path of your own data" in error
    assert "mnist" in error.split("Did you mean")[1]


def test_floats_in_a_file_are_trained_on_and_evaluated_as_they_are(numbacnn: Command) -> None:
    labels = np.arange(24) % 2
    images = np.random.default_rng(1).normal(size=(24, 6, 6, 3)) + 4 * labels[:, None, None, None] - 2
    np.savez("floats.npz", x_train=images[:18], y_train=labels[:18], x_test=images[18:], y_test=labels[18:])
    code, out, error = numbacnn("train", "--model", "net.toml", "--dataset", "floats.npz", *QUICK, "--format", "json")
    assert code == 0, error
    report = json.loads(out)
    assert report["test_accuracy"] == 1
    code, out, error = numbacnn("evaluate", "--format", "json")
    assert (code, json.loads(out)["loss"]) == (0, report["test_loss"]), error


def test_a_run_that_cannot_start_for_its_data_leaves_no_folder(numbacnn: Command) -> None:
    for path in Path("photos/red").iterdir():
        path.write_bytes(b"no picture")
    code, _, error = numbacnn("train", "--model", "net.toml", "--dataset", "photos", *QUICK)
    assert code == 1
    assert "cannot be read" in error
    assert not Path("runs").exists()


def test_a_network_of_floats_does_not_guess_the_scale_of_pictures(numbacnn: Command) -> None:
    graph = nc.sequential(nc.Flatten(), nc.Dense(2, activation="softmax"), input_shape=(6, 6, 3))
    net = nc.fit(graph, np.zeros((4, 6, 6, 3)), [0, 1, 0, 1], epochs=1, batch_size=2, progress=False)
    net.save("net.safetensors")
    code, _, error = numbacnn("predict", "--model", "net.safetensors", "photos/red/1.png")
    assert code == 1
    assert "floats, whose scale only you know" in error


def test_how_pictures_are_read_is_in_the_file_and_absent_for_digits(numbacnn: Command) -> None:
    graph = nc.sequential(nc.Flatten(), nc.Dense(2, activation="softmax"), input_shape=(28, 28, 1))
    images = np.zeros((4, 28, 28), np.uint8)
    for form in ("digits", "photographs"):
        net = nc.fit(graph, images, [0, 1, 0, 1], epochs=1, batch_size=2, progress=False, pictures=form)
        net.save(f"{form}.safetensors")
        assert (b"pictures" in Path(f"{form}.safetensors").read_bytes()) == (form == "photographs")
    Image.new("L", (28, 28), 100).save("grey.png")  # blank: no digit, but a photograph
    code, out, _ = numbacnn("predict", "--model", "photographs.safetensors", "grey.png", "--format", "json")
    assert (code, json.loads(out)[0]["preprocessing"]) == (0, [])
    code, out, _ = numbacnn("predict", "--model", "digits.safetensors", "grey.png", "--format", "json")
    assert (code, "blank" in json.loads(out)[0]["error"]) == (1, True)
    code, out, _ = numbacnn(
        "predict", "--model", "digits.safetensors", "grey.png", "--pictures", "photographs", "--format", "json"
    )
    assert (code, json.loads(out)[0]["preprocessing"]) == (0, [])


def test_pngs_of_mnist_in_class_folders_train_to_the_weights_of_the_same_arrays(numbacnn: Command, mnist_folder: Path) -> None:
    data = nc.Dataset.from_arrays(*_mnist(mnist_folder))
    order = np.argsort(data.train_labels, kind="stable")
    images, labels = data.train_images[order], data.train_labels[order]
    for number, (image, label) in enumerate(zip(images[..., 0], labels, strict=True)):
        Path(f"pngs/{label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(f"pngs/{label}/{number}.png")
    np.savez("arrays.npz", x=images[..., 0].astype(np.int64), y=labels)
    Path("rows.csv").write_text(
        "label," + ",".join(f"pixel{i}" for i in range(784)) + "\n"
        + "".join(f"{label}," + ",".join(map(str, image.ravel())) + "\n" for image, label in zip(images, labels, strict=True))
    )  # fmt: skip
    Path("idx").mkdir()
    for name, array in (("train-images-idx3-ubyte", images[..., 0]), ("train-labels-idx1-ubyte", labels.astype(np.uint8))):
        header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
        Path("idx", name).write_bytes(header + array.tobytes())
    found = {}
    for dataset in ("pngs", "arrays.npz", "rows.csv", "idx"):
        code, out, error = numbacnn("train", "--model", "softmax", "--dataset", dataset, *QUICK, "--format", "json")
        assert code == 0, error
        found[dataset] = weights(out)
    assert len(set(found.values())) == 1, found


def _mnist(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    from numbacnn.datasets import load_dataset

    data = load_dataset("mnist", folder, train_limit=0, test_limit=300)
    return data.test_images, data.test_labels
