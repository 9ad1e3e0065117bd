"""Metadata of a PNG that is large or damaged: the picture beside it was refused."""

import io
import zlib

import numpy as np
import pytest
from drawings import NORMAL, alike, chunk, drawn_seven, png
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from numbacnn.errors import DataError
from numbacnn.pictures import read_picture
from numbacnn.pictures.ready import png_bytes

HEADER = 33  # bytes: signature and IHDR


def with_chunk(extra, image=None):
    data = png(drawn_seven() if image is None else image).read()
    return io.BytesIO(data[:HEADER] + extra + data[HEADER:])


def damaged(kind, data):
    return chunk(kind, data)[:-4] + b"oops"


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2_000_000))),
        chunk(b"tEXt", b"Comment\0" + b"a" * 2_000_000),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(bytes(2_000_000))),
        chunk(b"prVt", bytes(2_000_000)),
    ],
    ids=["compressed", "plain", "international", "private"],
)
def test_two_megabytes_of_metadata_do_not_make_a_picture_a_damaged_one(extra):
    assert alike(read_picture(with_chunk(extra)).pixels, NORMAL) > 0.97


@pytest.mark.parametrize("kind", [b"iCCP", b"tEXt", b"pHYs", b"gAMA", b"tIME", b"eXIf", b"prVt"])
def test_a_wrong_checksum_of_a_side_chunk_does_not_make_a_picture_something_else(kind):
    picture = read_picture(with_chunk(damaged(kind, bytes(9))))
    np.testing.assert_array_equal(picture.pixels, read_picture(png(drawn_seven())).pixels)


@pytest.mark.parametrize("kind", [b"tRNS", b"PLTE"])
def test_a_wrong_checksum_of_what_pixels_need_is_still_refused(kind):
    with pytest.raises(DataError, match=r"damaged|something else"):
        read_picture(with_chunk(damaged(kind, bytes(6))))


def test_how_a_picture_is_turned_and_that_it_is_ready_are_still_read_beside_damaged_metadata():
    page = Image.fromarray(drawn_seven(paper=255, ink=0)).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    about = PngInfo()
    about.add_text("Comment", "a" * 50_000, zip=True)
    data = png(page, exif=exif, pnginfo=about).read()
    picture = read_picture(io.BytesIO(data[:HEADER] + damaged(b"iCCP", b"x") + data[HEADER:]))
    assert "turned upright (EXIF)" in picture.steps
    assert alike(picture.pixels, NORMAL) > 0.97
    ready = png_bytes(np.roll(NORMAL, 3, axis=1), ready=True)
    assert (
        read_picture(io.BytesIO(ready[:HEADER] + damaged(b"iCCP", b"x") + ready[HEADER:])).steps[0].startswith("taken as it is")
    )
