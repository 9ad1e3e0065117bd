"""A filter that slides over a picture: its map, its strongest place, and the animation."""

import json
from pathlib import Path

import numpy as np
import oracle
import pytest
from command_line import run_here
from numbacnn_cli.lecture_filter import drawn
from PIL import Image

from numbacnn.backends import get_ops
from numbacnn.errors import DataError, ShapeError
from numbacnn.lecture.flashlight import FILTERS, activate, gif, stride_of_gif
from numbacnn.lecture.vectors import vectors


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    """The slide's receptive field within a larger dark picture, at row 2 and column 5."""
    pixels = np.zeros((14, 18), np.uint8)
    pixels[2:9, 5:12] = vectors()["curve_filter"]["field_hit"]
    Image.fromarray(pixels).save(tmp_path / "curve.png")
    return tmp_path / "curve.png"


def found(*args: object) -> dict:
    done = run_here("lecture", "filter", *args, "--format", "json")
    assert done.code == 0, done.err
    answer: dict = json.loads(done.out)
    return answer


def test_the_slides_receptive_field_alone_gives_its_products(tmp_path: Path) -> None:
    Image.fromarray(np.array(vectors()["curve_filter"]["field_hit"], np.uint8)).save(tmp_path / "field.png")
    answer = found(tmp_path / "field.png")
    assert (answer["map"], answer["strongest"]["value"]) == ([[6600]], 6600)
    assert answer["strongest"]["products"] == vectors()["curve_filter"]["row_column_pixel_weight_product"]
    text = run_here("lecture", "filter", tmp_path / "field.png").out
    assert "strongest at row 0, column 0: 6600, the sum of" in text
    assert "  pixel (2, 3)  20 * 30 = 600" in text


def test_the_curve_is_found_where_it_is(curve: Path) -> None:
    """One row below the slide's place the filter meets a longer stroke: 6 * 50 * 30 = 9000."""
    answer = found(curve)
    assert answer["map"][2][5] == 6600
    strongest = answer["strongest"]
    assert (strongest["row"], strongest["column"], strongest["value"]) == (3, 5, 9000)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_map_is_the_oracles(name: str, stride: int, curve: Path) -> None:
    answer = found(curve, "--filter", name, "--stride", stride)
    x, weights = np.array(answer["image"])[None, :, :, None], np.array(FILTERS[name], float)[:, :, None, None]
    np.testing.assert_allclose(answer["map"], oracle.conv2d(x, weights, strides=stride)[0, :, :, 0], rtol=1e-13, atol=1e-9)
    assert answer["strongest"]["value"] == np.max(answer["map"])
    assert sum(row[-1] for row in answer["strongest"]["products"]) == pytest.approx(np.max(answer["map"]))


def test_edges_are_bright_above_and_bright_left_of_dark() -> None:
    above, left = np.zeros((6, 6)), np.zeros((6, 6))
    above[:3], left[:, :3] = 255, 255
    ops = get_ops("cpu", plain=True)
    horizontal, vertical = (np.array(FILTERS[name], float) for name in ("edge-h", "edge-v"))
    assert activate(ops, above, horizontal).map.max() == activate(ops, left, vertical).map.max() == 4 * 255
    assert activate(ops, above, vertical).map.max() == activate(ops, left, horizontal).map.max() == 0


@pytest.mark.parametrize("stride", [1, 2])
def test_the_gif_has_a_frame_for_each_cell_of_the_map(stride: int, curve: Path, tmp_path: Path) -> None:
    path = tmp_path / "flash light.gif"
    cells = np.size(found(curve, "--stride", stride, "--gif", path)["map"])
    with Image.open(path) as animation:
        assert getattr(animation, "n_frames", 1) == cells
        assert animation.size == (18 * 8 + 8 + {1: 12, 2: 6}[stride] * 8, 14 * 8)
        frames = []
        for number in (0, cells - 1):
            animation.seek(number)
            frames.append(np.asarray(animation.convert("L")).copy())
    assert frames[0][0, 0] == 255, "the flashlight begins at the top left"
    assert frames[1].max() == 255
    assert (frames[0] != frames[1]).any()


def test_a_gif_of_a_dark_picture_has_all_its_frames() -> None:
    import io

    packed = gif(activate(get_ops("cpu", plain=True), np.zeros((6, 5)), np.ones((3, 3))))
    with Image.open(io.BytesIO(packed)) as animation:
        assert getattr(animation, "n_frames", 1) == 12


def test_a_gif_of_too_many_frames_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "x.png")
    done = run_here("lecture", "filter", tmp_path / "x.png", "--stride", 1, "--gif", tmp_path / "x.gif")
    assert (done.code, done.out) == (1, "")
    assert "at most 1,000 places of the filter, got 3,364" in done.err
    assert not (tmp_path / "x.gif").exists()
    with pytest.raises(DataError):
        gif(activate(get_ops("cpu", plain=True), np.zeros((40, 40)), np.ones((3, 3))))


def test_a_gif_of_a_large_picture_takes_a_stride_that_fits_and_says_so(tmp_path: Path) -> None:
    """The command as its help has it failed: the GIF wanted --stride 2."""
    Image.fromarray(np.eye(200, dtype=np.uint8) * 255).save(tmp_path / "x.png")
    done = run_here("lecture", "filter", tmp_path / "x.png", "--gif", tmp_path / "x.gif")
    assert done.code == 0
    assert "--stride 2, as a .gif has at most 1,000 places" in done.err
    assert stride_of_gif(np.zeros((64, 64)), np.zeros((7, 7))) == 2
    assert stride_of_gif(np.zeros((30, 30)), np.zeros((7, 7))) == 1
    assert run_here("lecture", "filter", tmp_path / "x.png", "--format", "json").out.count("[") > 58 + 64, (
        "else every place is one"
    )


def test_a_filter_of_ones_own(curve: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("0 1\n-1, 0\n")
    assert found(curve, "--filter", tmp_path / "mine.txt")["filter"] == [[0, 1], [-1, 0]]
    (tmp_path / "mine.txt").write_text("0 1\n-1\n")
    done = run_here("lecture", "filter", curve, "--filter", tmp_path / "mine.txt")
    assert (done.code, done.out) == (1, "")
    assert "rows of equally many numbers" in done.err


def test_a_filter_larger_than_the_picture_is_refused() -> None:
    with pytest.raises(ShapeError, match="expected at most the 4x9 pixels of the picture, got 7x7"):
        activate(get_ops("cpu", plain=True), np.zeros((4, 9)), np.ones((7, 7)))


def test_a_large_picture_with_dark_strokes_is_scaled_and_inverted(tmp_path: Path) -> None:
    Image.fromarray(np.full((100, 200), 250, np.uint8)).save(tmp_path / "x.png")
    answer = found(tmp_path / "x.png", "--filter", "blur")
    assert np.shape(answer["image"]) == (32, 64)
    assert np.unique(answer["image"]).tolist() == [5]
    assert answer["steps"] == ["scaled from 200x100 to 64x32", "inverted: its strokes are dark on light"]


@pytest.mark.parametrize("width", [20, 60, 80, 120])
def test_a_map_fits_the_terminal(width: int) -> None:
    """At 80 columns each of its lines was folded."""
    values = np.zeros((57, 58))
    values[10, :] = values[40, 57] = 7
    lines = drawn(values, width)
    assert max(map(len, lines)) <= width
    marked = [number for number, line in enumerate(lines) if "@" in line]
    side = {20: 3, 60: 1, 80: 1}.get(width)
    assert marked == ([10, 40] if side is None else [10 // (2 * side), 40 // (2 * side)])
    assert len(lines) == (57 if side is None else -(-57 // (2 * side)))
