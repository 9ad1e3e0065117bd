"""The figures of the lecture: they parse, they say in words what they show, and their numbers come from the device."""

import json
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from command_line import run_here
from PIL import ImageFont
from repository import ROOT

from numbacnn.backends import get_ops
from numbacnn.backends.cpu.plain.ops import PlainOps
from numbacnn.lecture.drawing import INK, ORANGE, PAPER, Drawing, elements
from numbacnn.lecture.figure import Figure
from numbacnn.lecture.figures import DRAWN, figures, page
from numbacnn.lecture.parts import mixed, two_decimals
from numbacnn.lecture.sections import SECTIONS
from numbacnn.lecture.vectors import vectors
from numbacnn.summary import summarise

SVG = "{http://www.w3.org/2000/svg}"
SLIDES = (ROOT / "tests" / "lecture_slides.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[Figure]]:
    return figures(get_ops("cpu", plain=True))


@pytest.fixture(scope="module")
def all_figures(drawn: dict[str, list[Figure]]) -> list[Figure]:
    return [each for group in drawn.values() for each in group]


def named(all_figures: list[Figure], name: str) -> Figure:
    return next(each for each in all_figures if each.name == name)


def words(figure: Figure) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(figure.svg).iter(f"{SVG}text")]


def test_every_figure_parses_and_has_a_title_a_description_and_a_slide_of_its_section(drawn: dict[str, list[Figure]]) -> None:
    names = [each.name for group in drawn.values() for each in group]
    assert len(set(names)) == len(names) >= 45
    for section, group in drawn.items():
        first, last = (SLIDES.index(title) for title in SECTIONS[section].slides)
        places = [SLIDES.index(each.slide) for each in group]
        for each, place in zip(group, places, strict=True):
            # "Fully Connected Layer" is the title of a slide of each of two sections
            assert first <= place <= last or (section, each.slide) == ("xo", "Fully Connected Layer"), each.name
            root = ElementTree.fromstring(each.svg)
            assert root.tag == f"{SVG}svg"
            title, description = root.findtext(f"{SVG}title"), root.findtext(f"{SVG}desc")
            assert title == each.title or section == "filters", "the animation's title is its geometry"
            assert description == each.alt
            assert len(each.alt) > 60
            assert each.alt.endswith(".")


def test_no_text_is_small_or_leaves_the_paper(all_figures: list[Figure]) -> None:
    for each in all_figures:
        root = ElementTree.fromstring(each.svg)
        width, height = float(root.get("width", 0)), float(root.get("height", 0))
        for text in root.iter(f"{SVG}text"):
            size, x, y = (float(text.get(key, 0)) for key in ("font-size", "x", "y"))
            assert size >= 9, each.name
            length = ImageFont.load_default(int(size)).getlength(text.text or "")
            left = x - length * {"start": 0.0, "middle": 0.5, "end": 1.0}[text.get("text-anchor", "start")]
            assert left >= 0, (each.name, text.text)
            assert left + length <= width, (each.name, text.text)
            assert size * 0.7 <= y <= height - 2, (each.name, text.text)


def test_no_text_lies_on_another(all_figures: list[Figure]) -> None:
    for each in all_figures:
        boxes: list[tuple[float, float, float, float, str]] = []
        for text in ElementTree.fromstring(each.svg).findall(f"{SVG}text"):  # those of an animation's places are seen in turn
            size, x, y = (float(text.get(key, 0)) for key in ("font-size", "x", "y"))
            length = ImageFont.load_default(int(size)).getlength(text.text or "")
            left = x - length * {"start": 0.0, "middle": 0.5, "end": 1.0}[text.get("text-anchor", "start")]
            box = (left, y - 0.7 * size, left + length, y, text.text or "")
            for other in boxes:
                apart = box[0] >= other[2] or other[0] >= box[2] or box[1] >= other[3] or other[1] >= box[3]
                assert apart, (each.name, box[4], other[4])
            boxes.append(box)


def luminance(colour: str) -> float:
    linear = [(int(colour[k : k + 2], 16) / 255) for k in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in linear)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_words_are_dark_enough_to_be_read(all_figures: list[Figure]) -> None:
    for each in all_figures:
        for text in ElementTree.fromstring(each.svg).iter(f"{SVG}text"):
            if (colour := text.get("fill", "")) != PAPER:  # white numbers stand on dark cells
                assert 1.05 / (luminance(colour) + 0.05) >= 4.5, (each.name, text.text, colour)


def test_the_numbers_are_those_of_the_slides(all_figures: list[Figure]) -> None:
    assert "50*30 + 20*30 + 50*30 + 50*30 + 50*30 = 6600" in words(named(all_figures, "curve-hit"))
    assert "no pixel lies under the curve: 0" in words(named(all_figures, "curve-miss"))
    assert "dE/dw11 = 1*1 + 1*2 + 1*4 + 1*5 = 12" in words(named(all_figures, "backprop-backward"))
    assert {"65 of 81 pixels are equal", "60 of 81 pixels are equal"} <= set(words(named(all_figures, "literal-comparison")))
    assert {"0.912", "0.5175"} <= set(words(named(all_figures, "votes")))
    assert {"0.822", "it is X", "it is O"} <= set(words(named(all_figures, "putting-it-together")))
    assert "cnn: 3,274,634 parameters" in words(named(all_figures, "mnist-cnn"))
    pooled = [two_decimals(value) for row in vectors()["xo_toy"]["pool_as_printed_on_slide"]["diag_down"] for value in row]
    assert words(named(all_figures, "pooled-map"))[-17:-1] == pooled
    assert "4 of 10 neurons dropped; those that stay are multiplied by 1 / (1 - 0.4) = 1.6667" in words(
        named(all_figures, "dropout")
    )


def test_a_device_that_turns_its_filters_draws_other_numbers() -> None:
    """No number is typed into a figure: each is what the device has computed."""

    class Turned(PlainOps):
        def conv2d(self, x, kernel, bias, window):  # type: ignore[no-untyped-def]
            return super().conv2d(x, np.ascontiguousarray(kernel[::-1, ::-1]), bias, window)

    wrong = figures(Turned(), "filters")["filters"]
    assert f"= {vectors()['curve_filter']['flipped']['hit']}" in named(wrong, "curve-hit").svg
    assert "6600" not in named(wrong, "curve-hit").svg
    assert f"{vectors()['curve_filter']['flipped']['miss']}" in named(wrong, "curve-miss").svg


def test_the_stack_has_the_shapes_that_shapes_prints(all_figures: list[Figure]) -> None:
    from numbacnn.models import PRESETS

    shown = words(named(all_figures, "cnn-stack"))
    for row in summarise(PRESETS["cnn"].graph).layers:
        assert {row.name, row.type, " x ".join(map(str, row.output_shape))} <= set(shown)


class Images(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.found.append(dict(attrs))


def test_the_page_shows_every_figure_with_its_words_and_nothing_from_elsewhere(drawn: dict[str, list[Figure]]) -> None:
    text = page(drawn)
    images = Images()
    images.feed(text)
    listed = [each for group in drawn.values() for each in group]
    assert [(image["src"], image["alt"]) for image in images.found] == [(f"{each.name}.svg", each.alt) for each in listed]
    assert "http" not in text
    assert all(section.title in text.replace("&#x27;", "'") for name, section in SECTIONS.items() if name in DRAWN)


def test_the_command_writes_the_same_bytes_again_and_keeps_the_users_files(tmp_path: Path) -> None:
    folder = tmp_path / "my figures"
    command = ("lecture", "figures", "--section", "training", "--output", folder)
    answer = json.loads(run_here(*command, "--format", "json").out)
    names = {"backprop-setting", "backprop-forward", "backprop-backward", "backprop-update"}
    assert {Path(file).name for file in answer["wrote"]} == {f"{name}.svg" for name in names} | {"index.html"}
    assert all((folder / Path(row["file"]).name).read_text(encoding="utf-8").startswith("<svg") for row in answer["figures"])
    assert "0 files written" in run_here(*command).out
    (folder / "backprop-setting.svg").write_text("the user's own")
    (folder / "index.html").unlink()
    done = run_here(*command)
    assert (done.code, done.out) == (1, "")
    assert "expected no file or the figure to be drawn, got another file" in done.err
    assert (folder / "backprop-setting.svg").read_text() == "the user's own"
    assert not (folder / "index.html").exists()
    assert "2 files written" in run_here(*command, "--force").out


def test_a_drawing_has_the_same_shapes_as_svg_and_as_pixels() -> None:
    drawing = Drawing(60, 40)
    drawing.rectangle(5, 5, 20, 20, ORANGE, None)
    drawing.circle(45, 15, 8, mixed(ORANGE, 0.5))
    drawing.line([(5, 35), (55, 35)], INK, 2, arrow=True)
    drawing.text(30, 20, "<&>", 12)
    assert [ElementTree.fromstring(f"<g>{line}</g>")[0].tag for line in elements(drawing.shapes).splitlines()] == [
        "rect", "circle", "polyline", "text",
    ]  # fmt: skip
    picture = drawing.image()
    assert picture.size == (60, 40)
    assert picture.getpixel((10, 10)) == (0xD5, 0x5E, 0)
    assert picture.getpixel((30, 35)) == (0x21, 0x25, 0x29)
    assert picture.getpixel((45, 15)) == (234, 174, 128)
    assert picture.getpixel((2, 2)) == (255, 255, 255)
