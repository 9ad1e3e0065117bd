"""Photographs: the whole picture, scaled with antialiasing, upright, on white, in grey or in colour."""

import io
import random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from numbacnn.errors import DataError
from numbacnn.pictures import read_photograph
from numbacnn.pictures.decode import shape_of
from numbacnn.pictures.files import entries, natural_order

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (10, 12, 3), np.uint8)


def file(image: Image.Image, format: str = "PNG", **options: Any) -> io.BytesIO:
    out = io.BytesIO()
    image.save(out, format, **options)
    return io.BytesIO(out.getvalue())


def pixels(image: Image.Image, size: tuple[int, int] = (10, 12), channels: int = 3, **options: Any) -> np.ndarray:
    return read_photograph(file(image, **options), size=size, channels=channels).pixels


def test_a_picture_of_the_right_size_and_mode_passes_unchanged() -> None:
    picture = read_photograph(file(Image.fromarray(COLOUR)), size=(10, 12), channels=3)
    np.testing.assert_array_equal(picture.pixels, COLOUR)
    assert picture.steps == ()
    grey = read_photograph(file(Image.fromarray(COLOUR[..., 0])), size=(10, 12), channels=1)
    np.testing.assert_array_equal(grey.pixels, COLOUR[..., :1])
    assert grey.steps == ()


def test_fine_patterns_become_their_mean_and_not_an_alias() -> None:
    stripes = np.zeros((300, 300), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(pixels(Image.fromarray(stripes), (20, 20), 1).astype(int) - 127).max() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(orientation: int) -> None:
    image = Image.fromarray(COLOUR)
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    if orientation in turn:
        image = image.transpose(turn[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(pixels(image, exif=exif), COLOUR)
    assert shape_of(file(image, exif=exif).getvalue(), "x") == (10, 12, 3)


def test_transparent_parts_are_white() -> None:
    clear = np.dstack([COLOUR, np.where(np.arange(12) < 6, 0, 255) * np.ones((10, 1), np.uint8)]).astype(np.uint8)
    found = pixels(Image.fromarray(clear))
    assert (found[:, :6] == 255).all()
    np.testing.assert_array_equal(found[:, 6:], COLOUR[:, 6:])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_grey_or_colour(mode: str, channels: int) -> None:
    grey = np.where(np.arange(12) < 6, 0, 255) * np.ones((10, 1), np.uint8)
    image = Image.fromarray(grey.astype(np.uint8))
    if mode == "I;16":
        image = Image.fromarray((grey * 257).astype(np.uint16))
    elif mode == "CMYK":
        image = image.convert("RGB").convert(mode)
    else:
        image = image.convert(mode)
    found = pixels(image, channels=channels, format="TIFF" if mode in ("CMYK", "I", "F") else "PNG")
    assert found.shape == (10, 12, channels)
    assert np.abs(found.astype(int) - grey[..., None]).max() <= 1


def test_a_large_photograph_is_decoded_at_a_part_of_its_size_and_looks_the_same() -> None:
    y, x = np.mgrid[0:1200, 0:1600]
    image = Image.fromarray(np.dstack([x * 255 // 1600, y * 255 // 1200, (x + y) * 255 // 2800]).astype(np.uint8))
    found = pixels(image, (30, 40), format="JPEG", quality=90).astype(int)
    assert np.abs(found - np.asarray(image.resize((40, 30), Image.Resampling.BOX)).astype(int)).max() < 6


def test_what_is_no_picture_is_refused_by_name() -> None:
    for data in (b"", b"text", file(Image.fromarray(COLOUR)).getvalue()[:60]):
        with pytest.raises(DataError, match=r"^p\.png: expected"):
            read_photograph(io.BytesIO(data), name="p.png")


def test_names_are_sorted_as_people_do_and_litter_is_skipped(tmp_path: Any) -> None:
    for name in ("10.png", "2.png", "a2b10", "a2b9", "._2.png", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).touch()
    assert [path.name for path in entries(tmp_path)] == ["2.png", "10.png", "a2b9", "a2b10"]
    assert sorted(["B1", "a1", "²", "1" * 2000, ""], key=natural_order) == ["", "1" * 2000, "a1", "B1", "²"]
    ordered = ["0", "00", "01", "1", "1a", "2", "10", "a", "a01", "a1", "a1b", "a9", "a10", "a10a", "aa1", "b"]
    assert sorted(random.Random(0).sample(ordered, len(ordered)), key=natural_order) == ordered
