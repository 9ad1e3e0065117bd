"""``predict`` tells pictures that are unlike every training image, and those of several parts."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Done, run_here
from PIL import Image
from repository import benchmark

import numbacnn as nc
from numbacnn.datasets import load_dataset
from numbacnn.pictures.parts import count_parts
from numbacnn.training.run_folder import FEATURES_FILE

QUIET = ("--progress", "none")
TRAIN = ("train", "--model", "small", "--dataset", "digits", "--train-limit", 4000, "--test-limit", 500, "--epochs", 2, *QUIET)


def done(*args: object) -> Done:
    result = run_here(*args)
    assert result.code == 0, result.err
    return result


non_digits = benchmark("non_digits")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two equal runs on drawn digits, ``one`` and ``two``, by different numbers of threads; and pictures."""
    folder = tmp_path_factory.mktemp("unlike")
    for name, threads in (("one", 1), ("two", 2)):
        done(*TRAIN, "--output", folder / name, "--threads", threads)
    for kind in ("no-digits", "digits"):
        (folder / kind).mkdir()
    for name, pixels in non_digits.to_judge_by():
        Image.fromarray(pixels).save(folder / "no-digits" / f"{name.encode().hex()}.png")
    images = load_dataset("digits", train_limit=1, test_limit=2_000).test_images[1_000:, ..., 0]
    for i, image in enumerate(images[::5]):
        Image.fromarray(image).save(folder / "digits" / f"{i:03}.png")
    return folder


def rows(*args: object) -> list[dict[str, Any]]:
    return json.loads(done("predict", *args, "--format", "json").out)  # type: ignore[no-any-return]


def test_equal_trainings_keep_equal_features_whatever_the_threads(trained: Path) -> None:
    for name in (FEATURES_FILE, "model.safetensors"):
        assert (trained / "one" / name).read_bytes() == (trained / "two" / name).read_bytes()


def test_some_letters_signs_and_drawings_are_told_from_drawn_digits(trained: Path) -> None:
    others = {
        bytes.fromhex(Path(row["file"]).stem).decode(): row for row in rows(trained / "no-digits", "--model", trained / "one")
    }
    assert len(others) == 49
    assert sum(row["unlike"] for row in others.values()) >= 8, "14, where this was measured: drawn digits teach few features"
    digits = rows(trained / "digits", "--model", trained / "one")
    assert np.mean([row["unlike"] for row in digits]) <= 0.04
    assert max(row["distance"] for row in digits) < max(row["distance"] for row in others.values())


def test_the_text_says_what_speaks_against_the_class(trained: Path) -> None:
    equals = trained / "no-digits" / f"{b'sign-='.hex()}.png"
    first = done("predict", equals, "--model", trained / "one").out.splitlines()[0]
    assert "unlike any training image: distance 0." in first
    assert "2 parts, both read as one" in first
    usual = done("predict", trained / "digits", "--model", trained / "one").out
    assert usual.count("unlike any") <= 8


def test_json_has_the_reasons_to_be_unsure(trained: Path, tmp_path: Path) -> None:
    page = np.full((200, 400), 255, np.uint8)
    page[50:150, 100:115] = page[50:150, 300:315] = 0
    Image.fromarray(page).save(tmp_path / "two.png")
    (row,) = rows(tmp_path / "two.png", "--model", trained / "one")
    assert "2 parts, the left one read" in row["unsure"]
    assert row["parts"] == 2
    digits = rows(trained / "digits", "--model", trained / "one")
    assert np.mean([row["unsure"] == [] for row in digits]) > 0.6  # a short training is often unsure
    line = next(
        line
        for line in done("predict", trained / "digits", tmp_path, "--model", trained / "one").out.splitlines()
        if "two.png" in line
    )
    assert re.search(r"two\.png: .+%  \(unsure: .*2 parts, the left one read\)$", line)


def test_without_features_nothing_is_claimed(trained: Path, tmp_path: Path) -> None:
    nc.load(trained / "one").save(tmp_path / "alone.safetensors")
    result = done("predict", trained / "no-digits", "--model", tmp_path / "alone.safetensors", "--format", "json")
    assert all(row["unlike"] is None and row["distance"] is None for row in json.loads(result.out))
    assert result.err == ""


@pytest.mark.parametrize("content", [b"", b"not a file of numbacnn", None])
def test_features_of_another_network_or_none_at_all_are_never_used(trained: Path, tmp_path: Path, content: bytes | None) -> None:
    """None: those of another network."""
    other = tmp_path / "model.safetensors"
    net = nc.load(trained / "one")
    net._network.parameters["dense2/bias"][0] += 1
    net.save(other)
    (tmp_path / FEATURES_FILE).write_bytes((trained / "one" / FEATURES_FILE).read_bytes() if content is None else content)
    result = done("predict", trained / "digits", "--model", other, "--format", "json")
    assert {row["unlike"] for row in json.loads(result.out)} == {None}
    assert result.err.count("\n") == 1
    assert "is not told: " in result.err


def test_a_finished_run_without_features_gets_them_from_resume(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done(*TRAIN[:-4], "--epochs", 1, *QUIET, "--output", "out")
    features = Path("out", FEATURES_FILE)
    before = features.read_bytes()
    features.unlink()
    done("train", "--resume", "--output", "out", *QUIET)
    assert features.read_bytes() == before
    written = features.stat().st_mtime_ns
    done("train", "--resume", "--output", "out", *QUIET)
    assert features.stat().st_mtime_ns == written, "they are written once"


def test_a_photograph_has_no_parts(trained: Path) -> None:
    (row,) = rows(trained / "digits" / "000.png", "--model", trained / "one", "--pictures", "photographs")
    assert row["parts"] is None
    assert row["distance"] is not None


def test_no_picture_at_all_is_no_fault_of_the_features(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    result = run_here("predict", tmp_path / "bad.png", "--model", trained / "one", "--format", "json")
    assert result.code == 1
    assert json.loads(result.out)[0].keys() == {"file", "error"}


@pytest.mark.parametrize(
    ("drawing", "parts"),
    [
        (["....", "##..", "#...", "...."], 1),
        (["#...", ".#..", "..#.", "...#"], 1),  # corners touch
        (["####", "....", "....", "####"], 2),
        (["#.#.", "....", "#.#.", "...."], 4),
        (["....", "....", "....", "...."], 0),
    ],
)
def test_parts_are_groups_of_ink_that_touch(drawing: list[str], parts: int) -> None:
    assert count_parts(np.array([[200 if cell == "#" else 0 for cell in line] for line in drawing], np.uint8)) == parts


def test_specks_and_faint_ink_are_no_parts() -> None:
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 10:14] = 255
    pixels[4, 20] = 255  # 1 of 80 cells
    pixels[10:20, 22:25] = 60  # less than a quarter of the brightest
    assert count_parts(pixels) == 1
    pixels[10:20, 22:25] = 70
    assert count_parts(pixels) == 2


def test_on_real_digits_most_non_digits_are_flagged_and_hardly_a_digit(mnist_folder: Path, tmp_path: Path) -> None:
    """A short training; ``benchmarks/unlike.py`` prints the figures of whole ones."""
    limits = ("--train-limit", 12_000, "--test-limit", 2_000)
    done(
        "train",
        "--model",
        "small",
        "--data-dir",
        mnist_folder,
        *limits,
        "--epochs",
        2,
        "--threads",
        1,
        "--output",
        tmp_path,
        *QUIET,
    )
    measure = benchmark("unlike")
    data = load_dataset("mnist", mnist_folder, train_limit=12_000, test_limit=2_000)
    names, judged = measure.normalised(non_digits.to_judge_by())
    *_, row = measure.rows(tmp_path, data.train_images, data.test_images, judged, judged[:0])
    assert row.measure == "distance of features"
    assert row.refused <= 0.03
    assert row.judged.sum() >= 22
    assert row.judged[names.index("letter-A")]
