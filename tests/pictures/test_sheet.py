"""A sheet that lies askew on a darker desk was taken for the digit."""

import numpy as np
import pytest
from drawings import NORMAL, alike, drawn_seven, png, read
from PIL import Image, ImageDraw

from numbacnn.pictures import read_picture

LEFT_OUT = "desk around the sheet left out"


def on_desk(sheet, angle, desk=80, side=320):
    turned = Image.fromarray(sheet).rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=desk)
    picture = Image.new("L", (side, side), desk)
    picture.paste(turned, ((side - turned.width) // 2, (side - turned.height) // 2))
    return np.asarray(picture)


@pytest.mark.parametrize("angle", [-12, 0.5, 5])
@pytest.mark.parametrize("noise", [0, 6])
def test_the_digit_on_a_sheet_that_lies_askew_is_read(angle, noise):
    photo = on_desk(drawn_seven(paper=235, ink=30), angle)
    photo = (photo + np.random.default_rng(0).normal(0, noise, photo.shape)).clip(0, 255).astype(np.uint8)
    picture = read_picture(png(photo, format="JPEG", quality=85))
    assert picture.steps[:2] == (LEFT_OUT, "inverted (dark ink on light)")
    turned = Image.fromarray(drawn_seven()).rotate(angle, Image.Resampling.BICUBIC)
    assert alike(picture.pixels, read(turned).pixels) > 0.93


@pytest.mark.parametrize("angle", [0, 7])
@pytest.mark.parametrize("pen", [12, 24, 36])
def test_a_bright_zero_of_straight_lines_is_no_sheet(angle, pen):
    image = Image.new("L", (140, 200), 20)
    ImageDraw.Draw(image).rectangle((10, 10, 130, 190), outline=240, width=pen)
    picture = read(on_desk(np.asarray(image), angle, desk=20))
    assert LEFT_OUT not in picture.steps
    assert picture.pixels[12:16, 12:16].max() < 60


def test_a_bright_round_zero_is_no_sheet():
    distance = np.hypot(*((np.mgrid[:300, :300] - 149.5) / [[[1.3]], [[1]]]))
    picture = read(np.where((distance < 105) & (distance > 45), 240, 20).astype(np.uint8))
    assert LEFT_OUT not in picture.steps
    assert alike(picture.pixels, NORMAL) < 0.6


@pytest.mark.parametrize("noise", [0, 5])
@pytest.mark.parametrize("corners", [((60, 40), (270, 60), (250, 260), (40, 240)), ((50, 70), (250, 40), (280, 280), (70, 250))])
def test_a_sheet_seen_from_the_side_is_no_digit(corners, noise):
    page = Image.fromarray(drawn_seven(paper=235, ink=30))
    equations, values = [], []
    for (x, y), (u, v) in zip(corners, ((0, 0), (200, 0), (200, 200), (0, 200)), strict=True):
        equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    found = np.linalg.solve(np.array(equations, float), np.array(values, float)).tolist()
    seen = page.transform((320, 320), Image.Transform.PERSPECTIVE, found, Image.Resampling.BICUBIC, fillcolor=80)
    photo = np.asarray(seen) + np.random.default_rng(0).normal(0, noise, (320, 320))
    picture = read(photo.clip(0, 255).astype(np.uint8))
    assert picture.steps[:2] == (LEFT_OUT, "inverted (dark ink on light)")
    assert alike(picture.pixels, NORMAL) > 0.7


@pytest.mark.parametrize("power", [2, 3, 4])
@pytest.mark.parametrize("lean", [0, 0.4])
def test_a_bright_zero_with_rather_straight_sides_is_no_sheet(power, lean):
    y, x = (np.mgrid[:180, :150] - [[[90]], [[75]]]) / 70
    distance = (np.abs(y) ** power + np.abs((x + lean * y) * 1.5) ** power) ** (1 / power)
    picture = read(np.where((distance < 1) & (distance > 0.65), 255, 0).astype(np.uint8))
    assert LEFT_OUT not in picture.steps
    assert picture.pixels[13:15, 13:15].max() < 60
