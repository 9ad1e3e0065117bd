"""Digits that are cropped to their box: ink along the edge was taken for paper."""

import numpy as np
import pytest
from drawings import NORMAL, alike, drawn_seven, png, read
from PIL import Image

from numbacnn.errors import DataError
from numbacnn.pictures import read_picture
from numbacnn.pictures.clusters import dividing_level
from numbacnn.pictures.parts import connected


def cropped(pen=36):
    """A seven in bold, without any paper around it."""
    seven = drawn_seven(width=pen)
    rows, columns = np.nonzero(seven > 127)
    return seven[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


@pytest.mark.parametrize("pen", [22, 36, 50])
@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (0, 255), (230, 60), (20, 240)])
@pytest.mark.parametrize("is_told", [False, True])
def test_a_bold_digit_cropped_to_its_box_is_no_blank_picture(pen, paper, ink, is_told):
    page = np.rint(paper + (cropped(pen) / 255) * (ink - paper)).astype(np.uint8)
    expected = read(np.pad(cropped(pen), 4)).pixels
    invert = ("yes" if ink < paper else "no") if is_told else "auto"
    picture = read(page, invert=invert)
    assert alike(picture.pixels, expected) > 0.97
    assert ("inverted (dark ink on light)" in picture.steps) == (ink < paper)


def test_a_bold_digit_cropped_to_its_box_is_read_from_a_photo_too():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: cropped().shape[0], : cropped().shape[1]] / 150
    photo = (210 - 30 * x - 15 * y) * (1 - 0.75 * cropped() / 255) + rng.normal(0, 3, cropped().shape)
    picture = read_picture(png(photo.clip(0, 255).astype(np.uint8), format="JPEG", quality=80))
    assert alike(picture.pixels, read(np.pad(cropped(), 4)).pixels) > 0.95


def test_the_dark_corners_of_a_page_are_no_paper_beside_a_bright_digit():
    page = drawn_seven(paper=240, ink=20).copy()
    for rows in (slice(0, 20), slice(-20, None)):
        for columns in (slice(0, 20), slice(-20, None)):
            page[rows, columns] = 20
    picture = read(page)
    assert picture.steps[:2] == ("inverted (dark ink on light)", "4 specks removed")
    assert alike(picture.pixels, NORMAL) > 0.97


def test_very_thick_strokes_become_as_thin_as_mnist_has_them_and_loops_stay_open():
    ring = np.hypot(*(np.mgrid[:200, :200] - 99.5))
    page = np.where((ring < 80) & (ring > 12), 0, 255).astype(np.uint8)
    for picture in (read(page), read(page[16:-16, 16:-16])):
        assert "strokes thinned" in picture.steps
        assert picture.pixels[13:15, 13:15].max() < 30
        assert 100 < (picture.pixels > 127).sum() < 260  # a disc of 20 pixels has 314


@pytest.mark.parametrize("ink", [0.02, 0.3, 0.8])
def test_the_level_between_two_clusters_is_found_whatever_their_shares(ink):
    rng = np.random.default_rng(0)
    is_ink = rng.random((90, 110)) < ink
    grey = np.where(is_ink, 240, 20) + rng.normal(0, 3, is_ink.shape)
    level = dividing_level(grey)
    assert level is not None
    np.testing.assert_array_equal(grey > level, is_ink)


def test_an_even_slope_of_light_has_no_two_clusters():
    assert dividing_level(np.mgrid[0:100, 0:256][1]) is None
    assert dividing_level(np.full((9, 9), 7)) is None


def test_connected_cells_are_those_that_touch_by_a_side_or_a_corner():
    rng = np.random.default_rng(0)
    for _ in range(60):
        cells = (rng.random(tuple(rng.integers(1, 25, 2))) < rng.random()).astype(np.int64)
        label = np.arange(1, cells.size + 1).reshape(cells.shape) * cells
        for _ in range(cells.size):  # the largest number of the neighbours spreads
            padded = np.pad(label, 1)
            shifts = [padded[i : i + cells.shape[0], j : j + cells.shape[1]] for i in range(3) for j in range(3)]
            spread = np.max(shifts, axis=0) * cells
            if np.array_equal(spread, label):
                break
            label = spread
        wanted = {frozenset(zip(*np.nonzero(label == number), strict=True)) for number in np.unique(label[label > 0])}
        found = [list(zip(*part, strict=True)) for part in connected(cells)]
        assert {frozenset(part) for part in found} == wanted
        assert found == sorted(map(sorted, found))  # in reading order, by the first cell of each


def test_a_picture_without_contrast_stays_refused_whatever_it_is_told():
    for invert in ("auto", "yes", "no"):
        with pytest.raises(DataError, match="blank"):
            read(Image.new("L", (80, 100), 0), invert=invert)
