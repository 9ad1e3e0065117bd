"""The toy network for X and O, on the lecture's images and on one's own."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import run_here
from PIL import Image

from numbacnn.backends import get_ops
from numbacnn.lecture import xo
from numbacnn.lecture.checks_xo import truncated

VOTES = {"X": ("1.000", "0.556"), "deformed": ("0.822", "0.556"), "O": ("0.556", "1.000")}


def answer(*args: object) -> dict:
    done = run_here("lecture", "xo", *args, "--format", "json")
    assert done.code == 0, done.err
    found: dict = json.loads(done.out)
    return found


@pytest.mark.parametrize("name", VOTES)
def test_the_lectures_images_are_told_apart(name: str) -> None:
    found = answer("--image", name)
    assert tuple(f"{found['votes'][letter]:.3f}" for letter in "XO") == VOTES[name]
    assert found["label"] == ("O" if name == "O" else "X")
    assert found["image"] == xo.lecture_image(name).tolist()


def test_pixel_by_pixel_the_deformed_x_is_hardly_nearer_to_x_than_o_is() -> None:
    assert answer("--image", "X")["equal_pixels"] == {"X": 81, "O": 60}
    assert answer("--image", "deformed")["equal_pixels"]["X"] == 65
    assert answer("--image", "O")["equal_pixels"] == {"X": 60, "O": 81}


def test_the_json_has_every_layer_whole() -> None:
    found = answer("--image", "deformed")
    shapes = {key: np.shape(found[key]) for key in ("maps", "relu", "pooled", "pooled_again")}
    assert shapes == {"maps": (3, 7, 7), "relu": (3, 7, 7), "pooled": (3, 4, 4), "pooled_again": (3, 2, 2)}
    assert found.keys() == {*shapes, "image", "votes", "label", "equal_pixels"}
    ninths = np.array(found["maps"]) * 9
    np.testing.assert_allclose(ninths, np.rint(ninths), atol=1e-12)
    assert np.array(found["maps"]).min() < 0 <= np.array(found["relu"]).min()


def test_the_text_is_cut_to_two_decimals_as_on_the_slides() -> None:
    done = run_here("lecture", "xo", "--image", "X")
    assert "     0.77  0.00  0.11  0.33  0.55  0.00  0.33" in done.out.splitlines()
    assert "     1.00  0.33  0.55  0.33" in done.out.splitlines()
    assert "-0.00" not in done.out
    assert "0.78" not in done.out


def test_numbers_are_cut_and_not_rounded() -> None:
    values = np.array([7, 5, -5, 9, 1, 0, -1]) / 9
    assert truncated(values).tolist() == [0.77, 0.55, -0.55, 1.0, 0.11, 0.0, -0.11]


@pytest.mark.parametrize("name", xo.IMAGES)
def test_every_cell_is_the_sum_of_its_nine_products(name: str) -> None:
    pixels = xo.lecture_image(name)
    maps = xo.classify(get_ops("cpu", plain=True), pixels).maps
    for number, each in enumerate(xo.FILTERS):
        for row, column in np.ndindex(7, 7):
            place = xo.explain(pixels, each, row, column)
            assert len(place.products) == 9
            assert place.sum == sum(pixel * weight for _, _, pixel, weight, _ in place.products)
            assert place.mean == maps[number, row, column]


@pytest.mark.parametrize("cell", ["cross,3,3", "1,3,3", " cross , 3 , 3 "])
def test_a_cell_is_named_by_its_filter_or_the_filters_number(cell: str) -> None:
    found = answer("--cell", cell)["cell"]
    assert (found["map"], found["row"], found["column"], found["sum"], found["mean"]) == ("cross", 3, 3, 9, 1.0)
    done = run_here("lecture", "xo", "--cell", cell)
    assert done.out.splitlines()[-1] == "  sum 9, divided by 9: 1.00"


def picture(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def test_a_picture_of_ones_own_is_read_in_either_colour(tmp_path: Path) -> None:
    ink = xo.lecture_image("deformed") > 0
    light = picture(tmp_path / "light.png", np.where(ink, 255, 0))
    dark = picture(tmp_path / "dark.png", np.where(ink, 30, 240))
    expected = answer("--image", "deformed")
    assert answer("--image", light) == answer("--image", dark) == expected
    assert run_here("lecture", "xo", "--image", light).err == ""
    assert "inverted" in run_here("lecture", "xo", "--image", dark).err


@pytest.mark.parametrize("shape", [(8, 8), (9, 8), (28, 28)])
def test_a_picture_that_is_not_nine_by_nine_is_refused(shape: tuple[int, int], tmp_path: Path) -> None:
    path = picture(tmp_path / "x.png", np.zeros(shape))
    done = run_here("lecture", "xo", "--image", path)
    assert (done.code, done.out) == (1, "")
    assert f"expected a picture of 9x9 pixels, got {shape[0]}x{shape[1]}" in done.err


def test_an_image_without_strokes_is_undecided_or_answered_but_never_an_error(tmp_path: Path) -> None:
    found = answer("--image", picture(tmp_path / "empty.png", np.zeros((9, 9))))
    assert found["image"] == [[-1.0] * 9] * 9
    assert found["label"] in ("X", "O", None)
    assert (found["label"] is None) == (found["votes"]["X"] == found["votes"]["O"])


@pytest.mark.parametrize("name", ["x", "o", "none.png", "Deformed"])
def test_a_file_that_is_not_there_names_the_lectures_images(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_here("lecture", "xo", "--image", name)
    assert (done.code, done.out) == (1, "")
    assert "Give X, deformed, O" in done.err
