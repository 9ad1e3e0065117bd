"""Any drawing of a digit is brought into the form of MNIST's."""

import numpy as np
import pytest
from drawings import NORMAL, alike, drawn_seven, png, read
from PIL import Image, ImageDraw

from numbacnn.pictures import read_picture


def test_reading_twice_changes_nothing_more():
    once = read(drawn_seven(paper=255, ink=0)).pixels
    np.testing.assert_array_equal(read(once).pixels, once)


def test_a_large_off_centre_drawing_is_cropped_scaled_and_centred():
    picture = read(drawn_seven(500, 40, box=(0.05, 0.5, 0.3, 0.9)))
    assert picture.pixels.shape == (28, 28)
    assert picture.pixels.max() == 255
    rows, columns = np.nonzero(picture.pixels)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    total = picture.pixels.sum()
    assert abs((picture.pixels.sum(axis=1) @ np.arange(28)) / total - 14) <= 0.5
    assert abs((picture.pixels.sum(axis=0) @ np.arange(28)) / total - 14) <= 0.5
    assert [step.split()[0] for step in picture.steps] == ["cropped", "scaled", "centred"]


def test_the_steps_say_what_was_done():
    steps = read(drawn_seven(500, 40, paper=255, ink=0)).steps
    assert steps[0] == "inverted (dark ink on light)"
    assert steps[-1] == "centred by mass"
    assert any(step.startswith("scaled to ") and step.endswith("x20") for step in steps)


@pytest.mark.parametrize(
    "drawing",
    [
        drawn_seven(paper=255, ink=0),
        drawn_seven(paper=200, ink=90),
        drawn_seven(paper=60, ink=120),
        drawn_seven(400, 44),
        drawn_seven(60, 7),
        drawn_seven(box=(0.5, 0.4, 0.9, 1.0)),
        (drawn_seven() > 127).astype(np.uint8) * 255,
    ],
    ids=["black on white", "grey on grey", "dark grey", "400 pixels", "60 pixels", "at the edge", "two levels"],
)
def test_the_same_digit_comes_out_however_it_was_drawn(drawing):
    assert alike(read(drawing).pixels, NORMAL) > 0.93


def test_small_pictures_are_enlarged():
    small = np.asarray(Image.fromarray(NORMAL).resize((14, 14), Image.Resampling.BOX))
    picture = read(small)
    assert alike(picture.pixels, NORMAL) > 0.85
    assert any(step.startswith("scaled to") for step in picture.steps)


def test_a_thin_pen_is_thickened_to_what_mnist_has():
    picture = read(drawn_seven(500, 6))
    assert "strokes thickened" in picture.steps
    assert (picture.pixels > 127).sum() > 0.6 * (NORMAL > 127).sum()


def test_a_photo_with_shadow_noise_and_dust_is_read():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:300, 0:400] / 400
    ink = np.zeros((300, 400))
    ink[50:250, 120:320] = drawn_seven() / 255
    ink[270:276, 20:26] = 1  # a crumb
    photo = (200 - 70 * x - 40 * y * y) * (1 - 0.6 * ink) + rng.normal(0, 4, ink.shape)
    file = png(photo.clip(0, 255).astype(np.uint8), format="JPEG", quality=70)
    picture = read_picture(file)
    assert alike(picture.pixels, NORMAL) > 0.93
    assert picture.pixels[0].max() == 0
    assert "1 specks removed" in picture.steps


def test_the_desk_beside_the_paper_is_left_out():
    photo = drawn_seven(paper=220, ink=40).copy()
    photo[:, :25] = 60
    picture = read(photo)
    assert alike(picture.pixels, NORMAL) > 0.97
    assert picture.steps[0] == "frame or surroundings left out, to 175x200"
    noise = np.random.default_rng(0).normal(0, 12, photo.shape)
    for lean in (0, 0.05):  # no even band; a desk that leans is a part cut by the edge
        photo[np.mgrid[:200, :200][1] < 25 + lean * np.mgrid[:200, :200][0]] = 60
        picture = read((photo + noise).clip(0, 255).astype(np.uint8))
        assert alike(picture.pixels, NORMAL) > 0.93
        assert ("1 specks removed" if lean else "frame or surroundings left out, to 174x200") in picture.steps


def test_dust_that_is_darker_than_the_ink_does_not_make_the_ink_faint():
    page = drawn_seven(paper=255, ink=150).copy()
    page[180:184, 10:14] = 0
    assert alike(read(page).pixels, NORMAL) > 0.97


def test_a_digit_cropped_tightly_is_kept_and_a_crumb_beside_it_is_not():
    seven = drawn_seven()
    rows, columns = np.nonzero(seven > 127)
    tight = seven[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].copy()
    tight[80:84, 4:8] = 255
    picture = read(tight, invert="no")
    assert alike(picture.pixels, NORMAL) > 0.97
    assert "1 specks removed" in picture.steps


def test_both_parts_of_a_digit_written_in_two_strokes_are_kept():
    five = Image.new("L", (200, 200))
    ImageDraw.Draw(five).line([(80, 50), (70, 100), (130, 120), (70, 160)], fill=255, width=14)
    ImageDraw.Draw(five).line([(100, 50), (140, 45)], fill=255, width=14)  # the bar, lifted off
    picture = read(five)
    assert not any("specks" in step for step in picture.steps)
    assert (picture.pixels[4:8, 14:22] > 127).sum() >= 8


def test_invert_can_be_forced_either_way():
    np.testing.assert_array_equal(read(255 - NORMAL, invert="yes").pixels, NORMAL)
    np.testing.assert_array_equal(read(NORMAL, invert="no").pixels, NORMAL)
    for wrong in (read(NORMAL, invert="yes"), read(255 - NORMAL, invert="no")):  # nonsense, but what was asked for
        assert alike(wrong.pixels, NORMAL) < 0.5
        assert wrong.pixels.max() == 255


def test_another_size_has_the_same_proportions():
    pixels = read(drawn_seven(), size=(56, 56)).pixels
    assert pixels.shape == (56, 56)
    assert np.ptp(np.nonzero(pixels)[0]) + 1 == 40


def test_a_path_gives_the_picture_its_name(tmp_path):
    path = tmp_path / "seven.png"
    path.write_bytes(png(NORMAL).read())
    assert read_picture(path).name == str(path)
    assert read_picture(path, name="mine").name == "mine"
    assert read(NORMAL).name == "stdin"
