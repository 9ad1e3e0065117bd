"""Ruled and squared paper, a line below the digit and the box of a form were read as a part of the digit."""

import numpy as np
import pytest
from drawings import NORMAL, alike, drawn_seven, read
from PIL import Image, ImageDraw


def with_drawing(draw_on):
    image = Image.fromarray(drawn_seven(paper=255, ink=0))
    draw_on(ImageDraw.Draw(image))
    return image


@pytest.mark.parametrize("level", [0, 110, 180])
@pytest.mark.parametrize(("across", "down"), [(True, False), (False, True), (True, True)])
def test_ruled_and_squared_paper_is_not_part_of_the_digit(across, down, level):
    lines = Image.new("L", (200, 200), 255)
    draw = ImageDraw.Draw(lines)
    for at in range(15, 200, 32):
        if across:
            draw.line((0, at, 200, at), fill=level, width=2)
        if down:
            draw.line((at, 0, at, 200), fill=level, width=2)
    picture = read(np.minimum(drawn_seven(paper=255, ink=0), np.asarray(lines)))
    assert f"{6 * (across + down)} ruled lines removed" in picture.steps
    assert not any("specks" in step for step in picture.steps)
    assert alike(picture.pixels, NORMAL) > 0.93


@pytest.mark.parametrize("width", [2, 5])
def test_a_line_below_the_digit_is_not_part_of_it(width):
    picture = read(with_drawing(lambda draw: draw.line((45, 185, 160, 185), fill=0, width=width)))
    assert "line below the digit left out" in picture.steps
    assert alike(picture.pixels, NORMAL) > 0.97


@pytest.mark.parametrize("width", [1, 3, 5])
def test_the_box_of_a_form_is_not_the_digit(width):
    picture = read(with_drawing(lambda draw: draw.rectangle((25, 15, 175, 185), outline=0, width=width)))
    assert "box around the digit left out" in picture.steps
    assert alike(picture.pixels, NORMAL) > 0.97


def test_a_zero_of_straight_lines_stays_though_a_dot_is_in_it():
    image = Image.new("L", (200, 200), 255)
    draw = ImageDraw.Draw(image)
    draw.rectangle((60, 30, 140, 170), outline=0, width=6)
    draw.rectangle((95, 95, 105, 105), fill=0)
    picture = read(image)
    assert not any("box" in step for step in picture.steps)
    assert picture.pixels[14, 6:11].max() > 100


@pytest.mark.parametrize("pen", [3, 8])
def test_the_level_bars_of_a_digit_cropped_to_its_box_are_no_ruled_lines(pen):
    """A two as clocks show it has three bars as wide as the picture."""
    image = Image.new("L", (80, 150), 255)
    points = [(0, 1), (78, 1), (78, 75), (1, 75), (1, 148), (79, 148)]
    ImageDraw.Draw(image).line(points, fill=0, width=pen)
    picture = read(image)
    assert not any("lines" in step for step in picture.steps)
    rows = np.flatnonzero((picture.pixels > 100).sum(axis=1) >= 7)
    assert rows.min() < 7
    assert rows.max() > 20
