"""The animation of a sliding filter: a frame for each cell of the output, and the cells that each reads."""

import io
import itertools
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import oracle
import pytest
from command_line import run_here
from PIL import Image

from numbacnn.errors import DataError, ShapeError
from numbacnn.lecture.sliding import MOST_FRAMES, MOST_SIDE, Sliding
from numbacnn.lecture.vectors import vectors

SVG = "{http://www.w3.org/2000/svg}"
GEOMETRIES = [
    ((5, 7), (3, 3), (2, 2), "same"),
    ((5, 7), (3, 3), (2, 2), "valid"),
    ((9, 11), (3, 2), (2, 3), "valid"),
    ((4, 4), (1, 1), (3, 3), "same"),
    ((3, 3), (2, 2), (1, 1), "same"),
]


def frames(packed: bytes) -> list[np.ndarray]:
    with Image.open(io.BytesIO(packed)) as animation:
        shown = []
        for number in range(getattr(animation, "n_frames", 1)):
            animation.seek(number)
            shown.append(np.asarray(animation.convert("RGB")).astype(int))
    return shown


def test_gerons_figure_has_twelve_frames_of_three_by_four_cells(tmp_path: Path) -> None:
    done = run_here("lecture", "figure", "conv", "--input", "5,7", "--kernel", 3, "--stride", 2, "--padding", "same",
                    "--output", tmp_path / "a b.gif", "--format", "json")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    answer = json.loads(done.out)
    assert answer["output"] == vectors()["shape_rules"]["same_5x7_kernel_3_stride_2"] == [3, 4]
    assert answer["frames"] == len(answer["places"]) == len(frames((tmp_path / "a b.gif").read_bytes())) == 12
    assert answer["places"][0] == {"row": 0, "column": 0, "rows": [-1, 1], "columns": [-1, 1], "padding": 5}


@pytest.mark.parametrize(("size", "kernel", "strides", "padding"), GEOMETRIES)
def test_each_place_reads_the_cells_that_the_oracle_sums(size: tuple, kernel: tuple, strides: tuple, padding: str) -> None:
    sliding = Sliding(size, kernel, strides, padding)
    numbered = np.arange(1.0, size[0] * size[1] + 1).reshape(size)
    maps = oracle.conv2d(numbered[None, :, :, None], np.ones((*kernel, 1, 1)), strides=strides, padding=padding)[0, :, :, 0]
    places = list(sliding.places())
    assert [(place.row, place.column) for place in places] == list(np.ndindex(*maps.shape))
    for place in places:
        (top, bottom), (left, right) = place.rows, place.columns
        read = numbered[max(top, 0) : bottom + 1, max(left, 0) : right + 1]
        assert read.sum() == maps[place.row, place.column]
        assert read.size + place.padding == kernel[0] * kernel[1]


@pytest.mark.parametrize(("size", "kernel", "strides", "padding"), GEOMETRIES)
def test_every_frame_of_the_gif_differs_from_the_one_before(size: tuple, kernel: tuple, strides: tuple, padding: str) -> None:
    sliding = Sliding(size, kernel, strides, padding)
    shown = frames(sliding.gif())
    assert len(shown) == sliding.window.out[0] * sliding.window.out[1]
    for before, after in itertools.pairwise(shown):
        assert (np.abs(before - after).max(axis=2) > 40).sum() > 100
        assert (after[0] == 255).all(), "the paper stays white"
        assert (after[:60] == before[:60]).all(), "the title does not flicker"
    assert sliding.gif() == sliding.gif()


def test_the_filter_is_orange_over_what_it_reads_and_the_cell_blue() -> None:
    first, *_, last = frames(Sliding((5, 7), (3, 3), (2, 2), "same").gif())
    assert np.abs(first[96, 44] - (0xD5, 0x5E, 0)).max() < 24, "the corner of the padded input"
    assert np.abs(last[96, 44] - (0xD5, 0x5E, 0)).max() > 60
    for frame in (first, last):
        assert (np.abs(frame - (0, 0x72, 0xB2)).max(axis=2) < 24).sum() > 100


@pytest.mark.parametrize(("size", "kernel", "strides", "padding"), GEOMETRIES)
def test_the_svg_parses_and_has_a_group_for_each_place_of_which_the_first_is_shown(
    size: tuple, kernel: tuple, strides: tuple, padding: str
) -> None:
    sliding = Sliding(size, kernel, strides, padding)
    root = ElementTree.fromstring(sliding.svg())
    assert root.findtext(f"{SVG}title") == sliding.title
    groups = root.findall(f"{SVG}g")
    assert [group.get("visibility") for group in groups] == ["visible"] + ["hidden"] * (len(list(sliding.places())) - 1)
    for group, place in zip(groups, sliding.places(), strict=True):
        words = " ".join(text.text or "" for text in group.iter(f"{SVG}text"))
        assert f"rows {place.rows[0]} to {place.rows[1]}, columns {place.columns[0]} to {place.columns[1]}" in words
    assert min(int(text.get("font-size", 0)) for text in root.iter(f"{SVG}text")) >= 9


def test_the_description_names_the_zeros_around_the_input() -> None:
    padded = Sliding((6, 8), (3, 3), (2, 2), "same").description
    assert "zeros around it: 0 rows above, 1 below, 0 columns left, 1 right" in padded
    assert "12 places" in padded
    assert "without padding" in Sliding((6, 8), (3, 3), (2, 2), "valid").description


def test_the_same_command_writes_the_same_bytes_and_another_keeps_the_file(tmp_path: Path) -> None:
    words = ("lecture", "figure", "conv", "--output", tmp_path / "a.svg")
    assert run_here(*words).out.endswith(": 12 frames\n")
    first = (tmp_path / "a.svg").read_bytes()
    assert run_here(*words).out.splitlines()[1].startswith("in place: ")
    done = run_here(*words, "--stride", 1)
    assert (done.code, done.out) == (1, "")
    assert "expected no file or the figure to be written, got another file" in done.err
    assert (tmp_path / "a.svg").read_bytes() == first
    assert run_here(*words, "--stride", 1, "--force").code == 0
    assert (tmp_path / "a.svg").read_bytes() != first


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--output a.png", 2, "ends in .gif or .svg"),
        ("--input 5 --kernel 3,0", 2, "expected a number of cells, such as 3, or HEIGHT,WIDTH"),
        ("--input 5,7,1", 2, "expected a number of cells"),
        ("--input 2,2 --kernel 3 --padding valid", 1, "a window of 3 does not fit 2 cells"),
        (f"--input {MOST_SIDE + 1} --padding valid", 1, f"at most {MOST_SIDE} cells a side"),
        ("--input 24 --stride 1", 1, f"at most {MOST_FRAMES} places of the filter, got 576"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused_and_nothing_is_written(words: str, code: int, message: str, tmp_path: Path) -> None:
    given = words.split()
    output = () if "--output" in given else ("--output", tmp_path / "a.gif")
    done = run_here("lecture", "figure", "conv", *given, *output)
    assert (done.code, done.out) == (code, "")
    assert message in re.sub(r"\s+", " ", done.err)
    assert list(tmp_path.iterdir()) == []


def test_the_largest_picture_has_its_title_on_the_paper() -> None:
    sliding = Sliding((36, 30), (11, 9), (4, 3), "valid")
    root = ElementTree.fromstring(sliding.svg())
    title = next(text for text in root.iter(f"{SVG}text") if text.text == sliding.title)
    assert float(title.get("x", 0)) + 0.6 * 15 * len(sliding.title) <= float(root.get("width", 0))
    with pytest.raises(ShapeError):
        Sliding((2, 2), (3, 3), (1, 1), "valid")
    with pytest.raises(DataError):
        Sliding((MOST_SIDE, MOST_SIDE), (2, 2), (1, 1), "same")
