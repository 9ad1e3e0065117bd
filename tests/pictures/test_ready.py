"""A PNG that says that it is ready is taken as it is; all others, and other sizes, are brought into the form of digits."""

import io

import numpy as np
from drawings import png
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from numbacnn.pictures import read_picture
from numbacnn.pictures.ready import png_bytes


def off_centre(side: int = 28) -> np.ndarray:
    pixels = np.full((side, side), 60, np.uint8)
    pixels[2:9, 3:5] = 250
    return pixels


def test_a_ready_picture_keeps_every_pixel() -> None:
    for pixels in (off_centre(), np.zeros((28, 28), np.uint8), np.full((28, 28), 255, np.uint8)):
        picture = read_picture(io.BytesIO(png_bytes(pixels, ready=True)))
        np.testing.assert_array_equal(picture.pixels, pixels)
        assert picture.pixels.dtype == np.uint8
        assert picture.steps == ("taken as it is, as the file asks",)


def test_the_same_picture_is_prepared_if_it_does_not_say_so() -> None:
    for file in (io.BytesIO(png_bytes(off_centre())), png(off_centre())):
        assert "centred by mass" in read_picture(file).steps


def test_it_is_prepared_if_its_size_is_another_or_if_the_user_says_how_to_invert_it() -> None:
    assert "centred by mass" in read_picture(io.BytesIO(png_bytes(off_centre(40), ready=True))).steps
    assert read_picture(io.BytesIO(png_bytes(off_centre(40), ready=True)), size=(40, 40)).steps == (
        "taken as it is, as the file asks",
    )
    assert "centred by mass" in read_picture(io.BytesIO(png_bytes(off_centre(), ready=True)), invert="no").steps


def test_other_texts_and_other_formats_say_nothing() -> None:
    about = PngInfo()
    about.add_text("numbacnn", "Ready")
    for form, options in (("PNG", {"pnginfo": about}), ("TIFF", {})):
        packed = io.BytesIO()
        image = Image.fromarray(off_centre())
        image.info["numbacnn"] = "ready"
        image.save(packed, form, **options)
        packed.seek(0)
        assert "centred by mass" in read_picture(packed).steps
