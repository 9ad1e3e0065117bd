"""Pages without a digit: an empty frame, an empty sheet and ruled paper were read as a digit."""

import numpy as np
import pytest
from drawings import read
from PIL import Image, ImageDraw

from numbacnn.errors import DataError


def framed(inset, width, size=(200, 200), level=0):
    image = Image.new("L", size, 255)
    ImageDraw.Draw(image).rectangle((inset, inset, size[0] - 1 - inset, size[1] - 1 - inset), outline=level, width=width)
    return image


@pytest.mark.parametrize("size", [(200, 200), (300, 200), (150, 220)])
@pytest.mark.parametrize(("inset", "width"), [(0, 1), (0, 5), (3, 1), (12, 3), (15, 2)])
@pytest.mark.parametrize("level", [0, 150])
def test_an_empty_frame_is_blank(inset, width, size, level):
    with pytest.raises(DataError, match=r"blank picture \((an empty frame|0 of 255)"):
        read(framed(inset, width, size, level))


@pytest.mark.parametrize("angle", [0, 1, 8, 33])
@pytest.mark.parametrize("is_bright", [True, False])
def test_an_empty_sheet_or_a_block_is_blank(angle, is_bright):
    desk = 80 if is_bright else 250
    sheet = Image.new("L", (180, 150), 330 - desk).rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=desk)
    picture = Image.new("L", (300, 300), desk)
    picture.paste(sheet, ((300 - sheet.width) // 2, (300 - sheet.height) // 2))
    with pytest.raises(DataError, match=r"blank picture \((an empty sheet or a block|0 of 255)"):
        read(picture)


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("level", [0, 120, 200])
def test_ruled_paper_without_a_digit_is_blank(down, level):
    image = Image.new("L", (200, 200), 255)
    draw = ImageDraw.Draw(image)
    for at in range(15, 200, 32):
        draw.line((0, at, 200, at), fill=level)
        if down:
            draw.line((at, 0, at, 200), fill=level)
    with pytest.raises(DataError, match="nothing but ruled lines"):
        read(image)


@pytest.mark.parametrize("width", [2, 6, 20])
def test_a_zero_of_straight_lines_is_not_blank(width):
    image = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(image).rectangle((60, 20, 149, 179), outline=0, width=width)
    picture = read(image)
    assert picture.pixels[14, 13:15].max() < 60
    assert np.count_nonzero(picture.pixels[14] > 100) >= 2


def test_a_one_of_a_single_bar_is_not_blank():
    image = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(image).rectangle((80, 30, 125, 170), fill=0)
    assert read(image).pixels.max() == 255
