"""The five sliders: each moves a picture as it says, and none of them changes a bit where it stands."""

import math

import numpy as np
import pytest

from numbacnn.errors import DataError
from numbacnn.play.distortions import BRIGHTEST, FAINTEST, NEUTRAL, SLIDERS, check_strengths, distort

SIDE = 28


def box(top: int, left: int, height: int, width: int) -> np.ndarray:
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    pixels[top : top + height, left : left + width] = 200
    return pixels


def centre(pixels: np.ndarray) -> tuple[float, float]:
    """Row and column of the centre of mass, from half a side."""
    weights = pixels / pixels.sum()
    return float(weights.sum(axis=1) @ np.arange(SIDE)) - SIDE / 2, float(weights.sum(axis=0) @ np.arange(SIDE)) - SIDE / 2


def extent(pixels: np.ndarray) -> tuple[int, int]:
    rows, columns = np.nonzero(pixels > 100)
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def test_neutral_sliders_change_no_bit() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)
    np.testing.assert_array_equal(distort(pixels, {}), pixels)
    np.testing.assert_array_equal(distort(pixels, dict(NEUTRAL)), pixels)


def test_rotation_turns_clockwise() -> None:
    above = box(4, 12, 5, 5)
    row, column = centre(above)
    turned_row, turned_column = centre(distort(above, {"rotation": 90}))
    assert turned_row == pytest.approx(column, abs=0.05)
    assert turned_column == pytest.approx(-row, abs=0.05)


def test_light_fades_the_ink_or_lights_everything() -> None:
    pixels = box(10, 10, 6, 6)
    np.testing.assert_array_equal(distort(pixels, {"light": -1}), np.rint(pixels * FAINTEST))
    lit = distort(pixels, {"light": 1})
    assert lit[0, 0] == BRIGHTEST
    assert lit[12, 12] == 255


def test_size_scales_around_the_centre() -> None:
    pixels = box(8, 10, 12, 8)
    assert extent(distort(pixels, {"size": 0.5})) == (6, 4)
    assert extent(distort(pixels, {"size": 1.5})) == (18, 12)
    assert centre(distort(pixels, {"size": 1.5})) == pytest.approx(tuple(1.5 * part for part in centre(pixels)), abs=0.3)


def test_bend_pushes_rows_aside_along_a_sine_wave() -> None:
    bent = distort(box(0, 13, SIDE, 3), {"bend": 3})
    pushed = [float(row @ np.arange(SIDE) / row.sum()) - 14 for row in bent]
    assert pushed[7] == pytest.approx(-3, abs=0.1)
    assert pushed[21] == pytest.approx(3, abs=0.1)
    assert pushed[14] == pytest.approx(0, abs=0.1)


def test_viewpoint_narrows_the_sheet_and_makes_its_nearer_side_taller() -> None:
    seen = distort(box(6, 6, 17, 17), {"viewpoint": 50})
    height, width = extent(seen)
    assert width == pytest.approx(17 * math.cos(math.radians(50)), abs=1.5)
    columns = np.flatnonzero((seen > 100).any(axis=0))
    near, far = ((seen[:, column] > 100).sum() for column in (columns[1], columns[-2]))
    assert near > 17 > far
    assert height == near


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
