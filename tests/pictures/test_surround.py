"""A frame along the edge, black bars, and the desk beside a sheet were taken for the digit."""

import numpy as np
import pytest
from drawings import NORMAL, alike, drawn_seven, png, read
from PIL import Image, ImageDraw

from numbacnn.pictures import read_picture

LEFT_OUT = "frame or surroundings left out"


def page():
    return drawn_seven(paper=255, ink=0).copy()


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("inset", [0, 1, 4])
@pytest.mark.parametrize("level", [0, 128])
def test_a_closed_frame_along_the_edge_is_not_the_digit(width, inset, level):
    image = Image.fromarray(page())
    ImageDraw.Draw(image).rectangle((inset, inset, 199 - inset, 199 - inset), outline=level, width=width)
    picture = read(image)
    assert picture.steps[0].startswith(LEFT_OUT)
    assert alike(picture.pixels, NORMAL) > 0.97


@pytest.mark.parametrize("invert", ["yes", "auto"])
def test_a_frame_that_was_scaled_and_saved_as_jpeg_is_not_the_digit(invert):
    framed = np.pad(page(), 3)
    file = png(Image.fromarray(framed).resize((300, 300), Image.Resampling.BICUBIC), format="JPEG", quality=85)
    picture = read_picture(file, invert=invert)
    assert picture.steps[0].startswith(LEFT_OUT)
    assert alike(picture.pixels, NORMAL) > 0.95


@pytest.mark.parametrize("bars", [((0, 0), (40, 40)), ((30, 30), (0, 0)), ((0, 0), (25, 0)), ((60, 60), (60, 60))])
def test_black_bars_and_a_darker_desk_are_not_the_digit(bars):
    picture = read(np.pad(page(), bars, constant_values=70))
    assert picture.steps[:2] == (f"{LEFT_OUT}, to 200x200", "inverted (dark ink on light)")
    assert alike(picture.pixels, NORMAL) > 0.97


def test_a_bright_frame_around_a_board_is_not_the_digit():
    picture = read(np.pad(drawn_seven(), 4, constant_values=230))
    assert picture.steps[0].startswith(LEFT_OUT)
    assert alike(picture.pixels, NORMAL) > 0.97


@pytest.mark.parametrize("bright_on_dark", [False, True])
@pytest.mark.parametrize("pen", [10, 24, 36])
@pytest.mark.parametrize("has_bar", [False, True])
def test_a_zero_or_eight_of_straight_lines_is_no_frame(pen, has_bar, bright_on_dark):
    """A margin is around it, and within its ring paper: the holes are never the digit."""
    image = Image.new("L", (200, 240), 255)
    draw = ImageDraw.Draw(image)
    draw.rectangle((50, 30, 150, 210), outline=0, width=pen)
    if has_bar:
        draw.rectangle((50, 120 - pen // 2, 150, 120 + pen // 2), fill=0)
    drawing = np.asarray(image)
    picture = read(255 - drawing if bright_on_dark else drawing)
    ring = np.maximum(*(picture.pixels[np.ix_((5, 14, 22), columns)] for columns in ((9, 18), (10, 17))))
    if bright_on_dark and has_bar and pen == 36:
        return  # looks like a sheet with two blocks of ink on a desk
    assert not any(step.startswith(LEFT_OUT) for step in picture.steps)
    assert ring.min() > 100


def test_a_solid_bar_is_no_sheet_on_a_desk():
    bar = np.zeros((200, 120), np.uint8)
    bar[30:170, 50:70] = 255
    assert read(bar).steps[0] == "cropped to 20x140"


def test_the_step_is_not_taken_for_a_picture_of_the_network_s_size():
    rim = np.maximum(NORMAL, np.pad(np.zeros((26, 26), np.uint8), 1, constant_values=90))
    assert not any(step.startswith(LEFT_OUT) for step in read(rim).steps)


@pytest.mark.parametrize("sides", [("left",), ("left", "bottom"), ("top", "right")])
def test_the_bezel_in_a_photograph_of_a_screen_is_not_the_digit(sides):
    """Its noise and the slope of light hide that it is of one level."""
    rng = np.random.default_rng(0)
    photo = drawn_seven(paper=225, ink=40) * (1 - 0.25 * np.mgrid[:200, :200][1] / 200)
    for side in sides:
        photo[{"left": np.s_[:, :14], "right": np.s_[:, -14:], "top": np.s_[:14], "bottom": np.s_[-14:]}[side]] = 18
    photo = photo + rng.normal(0, 7, photo.shape)
    picture = read(photo.clip(0, 255).astype(np.uint8))
    assert picture.steps[0].startswith(LEFT_OUT)
    assert alike(picture.pixels, NORMAL) > 0.93


@pytest.mark.parametrize("paper", [0, 255])
def test_the_bar_of_a_digit_cropped_to_its_box_is_no_bezel(paper):
    seven = drawn_seven(paper=paper, ink=255 - paper)
    rows, columns = np.nonzero(np.abs(seven.astype(int) - paper) > 127)
    tight = seven[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    picture = read(tight)
    assert not any(step.startswith(LEFT_OUT) for step in picture.steps)
    assert alike(picture.pixels, NORMAL) > 0.93
