"""The five sliders: each moves a picture as ``lecture challenges`` does, and none of them changes a bit where it stands."""

import math

import numpy as np
import pytest

from numbacnn.errors import DataError
from numbacnn.lecture.perturbations import FAMILIES
from numbacnn.play.distortions import BRIGHTEST, FAINTEST, NEUTRAL, SLIDERS, check_strengths, distort

SIDE = 28


def box(top: int, left: int, height: int, width: int) -> np.ndarray:
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    pixels[top : top + height, left : left + width] = 200
    return pixels


def centre(pixels: np.ndarray) -> tuple[float, float]:
    """Row and column of the centre of mass, from the middle."""
    weights, middle = pixels / pixels.sum(), (SIDE - 1) / 2
    return float(weights.sum(axis=1) @ np.arange(SIDE)) - middle, float(weights.sum(axis=0) @ np.arange(SIDE)) - middle


def test_neutral_sliders_change_no_bit() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)
    np.testing.assert_array_equal(distort(pixels, {}), pixels)
    np.testing.assert_array_equal(distort(pixels, dict(NEUTRAL)), pixels)


@pytest.mark.parametrize(
    ("slider", "value", "family", "strength"),
    [
        ("rotation", 30, "rotation", 30), ("bend", 2.5, "deformation", 2.5), ("size", 0.7, "size", 0.7),
        ("viewpoint", 0.4, "keystone", 0.4), ("light", 1, "brightness", BRIGHTEST), ("light", -1, "contrast", FAINTEST),
    ],
)  # fmt: skip
def test_a_slider_does_what_the_challenges_of_the_lecture_do(slider: str, value: float, family: str, strength: float) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE), np.uint8)
    expected = FAMILIES[family].change(pixels[np.newaxis, :, :, np.newaxis], strength)[0, :, :, 0]
    np.testing.assert_array_equal(distort(pixels, {slider: value}), expected)


def test_rotation_turns_clockwise_and_below_0_the_other_way() -> None:
    above = box(4, 12, 5, 5)
    row, column = centre(above)
    for degrees, sign in ((90, 1), (-90, -1)):
        turned_row, turned_column = centre(distort(above, {"rotation": degrees}))
        assert turned_row == pytest.approx(sign * column, abs=0.05)
        assert turned_column == pytest.approx(-sign * row, abs=0.05)


def test_viewpoint_narrows_the_upper_border_and_below_0_the_lower_one() -> None:
    sheet = box(4, 4, 20, 20)
    for share, narrow, wide in ((0.6, 6, 21), (-0.6, 21, 6)):
        seen = distort(sheet, {"viewpoint": share}) > 100
        assert seen[narrow].sum() < seen[wide].sum() - 4


def test_sliders_add_up() -> None:
    pixels = box(5, 9, 15, 6)
    both = distort(pixels, {"rotation": 30, "light": 0.5, "size": 0.7})
    np.testing.assert_array_equal(both, distort(distort(distort(pixels, {"size": 0.7}), {"rotation": 30}), {"light": 0.5}))


@pytest.mark.parametrize("name", SLIDERS)
@pytest.mark.parametrize("end", ["low", "high"])
def test_every_slider_changes_the_picture_at_both_ends_and_goes_no_further(name: str, end: str) -> None:
    pixels, value = box(5, 9, 15, 6), getattr(SLIDERS[name], end)
    assert not np.array_equal(distort(pixels, {name: value}), pixels)
    beyond = value + (0.1 if end == "high" else -0.1)
    with pytest.raises(DataError, match=f"{name}: expected a number from"):
        distort(pixels, {name: beyond})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_strength_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(DataError, match="size: expected a number from"):
        check_strengths({"size": value})


def test_an_unknown_slider_is_refused() -> None:
    with pytest.raises(DataError, match="slider: expected one of rotation, light, bend, size, viewpoint, got 'colour'"):
        check_strengths({"colour": 1})


def test_a_picture_that_is_not_square_is_moved_too() -> None:
    pixels = np.full((10, 30), 255, np.uint8)
    assert distort(pixels, {"rotation": 90}).shape == (10, 30)
    assert distort(pixels, {"size": 0.5}).astype(bool).sum() < pixels.size / 2
