"""What lies beside a digit: a second digit, a tick, a date, blots and scribbles were read as parts of it, without a word."""

import numpy as np
import pytest
from drawings import NORMAL, alike, drawn_seven, read
from PIL import Image, ImageDraw

LEFT_OUT = "apart from the digit left out"


def with_drawing(draw_on, size=(200, 200), at=(0, 0)):
    """The seven on a white page, and what is drawn on it."""
    image = Image.new("L", size, 255)
    image.paste(Image.fromarray(drawn_seven(paper=255, ink=0)), at)
    draw_on(ImageDraw.Draw(image))
    return image


@pytest.mark.parametrize(("at", "size", "where"), [
    ((0, 0), (400, 200), "the left one"), ((200, 0), (400, 200), "the right one"),
    ((0, 0), (200, 400), "the upper one"), ((0, 200), (200, 400), "the lower one"),
])  # fmt: skip
def test_of_two_figures_one_is_read_and_it_is_said_which(at, size, where):
    left, top = (side - 200 - start if side > 200 else 0 for side, start in zip(size, at, strict=True))
    other = (left + 80, top + 50, left + 120, top + 150)
    picture = read(with_drawing(lambda draw: draw.ellipse(other, outline=0, width=14), size, at))
    assert picture.parts == picture.guesses.parts == 2
    assert picture.guesses.read == where
    assert any(LEFT_OUT in step for step in picture.steps)
    assert alike(picture.pixels, NORMAL) > 0.97


def test_two_figures_close_to_each_other_are_read_as_one_and_counted():
    picture = read(with_drawing(lambda draw: draw.ellipse((140, 80, 185, 170), outline=0, width=14)))
    assert (picture.parts, picture.guesses.read) == (2, "")
    assert alike(picture.pixels, NORMAL) < 0.9


def test_a_bar_that_stands_apart_by_a_lifted_pen_stays():
    picture = read(with_drawing(lambda draw: draw.line((140, 95, 175, 95), fill=0, width=16)))
    assert not any(LEFT_OUT in step for step in picture.steps)
    assert picture.parts == 2


@pytest.mark.parametrize("level", [0, 120])
def test_a_tick_beside_the_digit_is_not_part_of_it(level):
    """Even a near one, in a paler pen."""
    left = 190 if level == 0 else 160
    picture = read(
        with_drawing(lambda draw: draw.line((left, 60, left + 10, 75, left + 35, 25), fill=level, width=7), (240, 200))
    )
    assert any(LEFT_OUT in step for step in picture.steps)
    assert alike(picture.pixels, NORMAL) > 0.97


def test_blots_and_a_date_are_left_out_without_a_word():
    def spoil(draw):
        draw.ellipse((185, 20, 199, 34), fill=0)
        for left in range(160, 230, 12):
            draw.rectangle((left, 186, left + 7, 195), outline=0, width=2)

    picture = read(with_drawing(spoil, (240, 200)))
    assert picture.guesses.parts == 1
    assert alike(picture.pixels, NORMAL) > 0.97


def test_a_scribble_above_the_digit_has_more_ink_and_is_not_read():
    def scribble(draw):
        draw.line([(x, 10 + 30 * (i % 2)) for i, x in enumerate(range(20, 190, 7))], fill=0, width=7)

    picture = read(with_drawing(scribble, (200, 280), (0, 60)))
    assert picture.guesses.read == "the lower one"
    assert alike(picture.pixels, NORMAL) > 0.97


@pytest.mark.parametrize("sides", ["bottom", "top", "left"])
def test_ink_that_one_edge_cuts_is_a_doubt(sides):
    page = drawn_seven(paper=255, ink=0)
    cut = {"bottom": page[:130], "top": page[50:], "left": page[:, 80:]}[sides]
    assert read(cut).guesses.is_cut
    assert not read(page).guesses.is_cut


def test_a_digit_cropped_to_its_box_is_no_doubt():
    page = drawn_seven(paper=255, ink=0)
    rows, columns = np.nonzero(page < 128)
    assert not read(page[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]).guesses.is_cut
