"""Shadows, lamps and folds: what a smooth surface does not follow was read as ink, or the picture was refused as blank."""

import numpy as np
import pytest
from drawings import NORMAL, alike, drawn_seven, png, read

from numbacnn.pictures import read_picture
from numbacnn.pictures.light import evened

EVENED = "uneven light evened out"
Y, X = np.mgrid[:200, :200] / 199


def photo(light, ink=0.85, width=22):
    """A page in that light (200, 200), as a camera sees it."""
    noise = np.random.default_rng(0).normal(0, 2, light.shape)
    page = 245 * light * (1 - ink * drawn_seven(width=width) / 255) + noise
    return np.rint(page.clip(0, 255)).astype(np.uint8)


@pytest.mark.parametrize("softness", [0.005, 0.03])
@pytest.mark.parametrize("angle", [0, 40, 90, 215])
def test_a_shadow_across_the_page_is_not_the_digit(angle, softness):
    turn = np.deg2rad(angle)
    light = 1 - 0.5 / (1 + np.exp(-((X - 0.5) * np.cos(turn) + (Y - 0.5) * np.sin(turn) - 0.05) / softness))
    picture = read_picture(png(photo(light)))
    assert EVENED in picture.steps
    assert "inverted (dark ink on light)" in picture.steps
    assert alike(picture.pixels, NORMAL) > 0.8  # a stroke across the edge of the shadow loses a little


def test_a_page_with_a_lamp_at_its_corner_is_no_blank_picture():
    picture = read_picture(png(photo(1 / (1 + (np.hypot(X, Y) * 1.2) ** 2))))
    assert EVENED in picture.steps
    assert alike(picture.pixels, NORMAL) > 0.93


def test_wide_strokes_in_a_shadow_stay_solid():
    light = np.where(X + 0.2 * Y < 0.6, 1.0, 0.55)
    picture = read_picture(png(photo(light, width=26)))
    expected = read(drawn_seven(width=26)).pixels
    assert EVENED in picture.steps
    assert alike(picture.pixels, expected) > 0.93


def test_bright_ink_in_uneven_light_stays_bright():
    board = 40 + 20 / (1 + np.exp((0.55 - X) / 0.03)) + 110 * (drawn_seven() / 255)
    picture = read(board.astype(np.uint8))
    assert EVENED in picture.steps
    assert "inverted (dark ink on light)" not in picture.steps
    assert alike(picture.pixels, NORMAL) > 0.93


@pytest.mark.parametrize("width", [6, 22, 50])
@pytest.mark.parametrize("is_cropped", [False, True])
def test_a_clean_picture_is_left_as_it_is(width, is_cropped):
    page = drawn_seven(paper=255, ink=0, width=width)
    if is_cropped:
        rows, columns = np.nonzero(page < 128)
        page = page[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    grey, steps = page.astype(np.float32), []
    assert evened(grey, steps) is grey
    assert steps == []


@pytest.mark.parametrize("seed", range(5))
def test_the_noise_of_an_empty_page_is_no_ink(seed):
    rows, columns = np.mgrid[:300, :300]
    noise = np.random.default_rng(seed).normal(0, 1, (300, 300))
    page = (247 * (1 - 0.3 * np.hypot(rows - 20, columns - 40) / 400) + noise).clip(0, 255).astype(np.float32)
    assert evened(page, []) is page
