"""People's files: whatever the encoding, the same digit comes out."""

import io
import zlib

import numpy as np
import pytest
from drawings import NORMAL, alike, chunk, drawn_seven, hand_made_png, png, read, with_alpha
from PIL import ExifTags, Image

from numbacnn.datasets import mnist
from numbacnn.errors import DataError
from numbacnn.pictures import read_photograph, read_picture


def palette(x):
    """Grey levels through a palette whose order is not that of brightness."""
    order = np.random.default_rng(0).permutation(256).astype(np.uint8)
    image = Image.fromarray(np.argsort(order).astype(np.uint8)[x], "P")
    image.putpalette(np.repeat(order, 3).tobytes())
    return image


ENCODINGS = {
    "L": Image.fromarray,
    "P": lambda x: Image.fromarray(x).convert("P"),
    "P, shuffled palette": palette,
    "LA": lambda x: Image.fromarray(x).convert("LA"),
    "RGB": lambda x: Image.fromarray(x).convert("RGB"),
    "RGBA": lambda x: Image.fromarray(x).convert("RGBA"),
    "16 bits, times 257": lambda x: Image.fromarray(x.astype(np.uint16) * 257),
    "16 bits, times 256": lambda x: Image.fromarray(x.astype(np.uint16) << 8),
}


ON_TRANSPARENT = {
    "black ink on transparent": lambda x: with_alpha(0, x),
    "white ink on transparent": lambda x: with_alpha(255, x),
}


EVERY_ENCODING = {
    **ENCODINGS,
    **ON_TRANSPARENT,
    **{f"{name}, inverted": (lambda x, encode=encode: encode(255 - x)) for name, encode in ENCODINGS.items()},
}


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
@pytest.mark.parametrize("encode", EVERY_ENCODING.values(), ids=EVERY_ENCODING.keys())
def test_a_normal_picture_passes_unchanged_in_every_encoding(encode):
    picture = read(encode(NORMAL))
    np.testing.assert_array_equal(picture.pixels, NORMAL)
    assert picture.pixels.dtype == np.uint8


def test_the_steps_of_a_normal_picture_are_none_or_the_inversion():
    assert read(NORMAL).steps == ()
    assert read(255 - NORMAL).steps == ("inverted (dark ink on light)",)
    assert read(with_alpha(0, NORMAL)).steps == ("laid on white", "inverted (dark ink on light)")
    assert read(with_alpha(255, NORMAL)).steps == ("laid on black",)


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
def test_mnist_passes_unchanged_in_every_encoding(mnist_folder):
    digits = mnist.load(mnist_folder, 1, 40, allow_download=False)[2][..., 0]
    for encode in EVERY_ENCODING.values():
        for digit in digits:
            np.testing.assert_array_equal(read(encode(digit)).pixels, digit)


@pytest.mark.parametrize("format", ["JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
def test_the_other_formats_are_read(format):
    picture = read_picture(png(Image.fromarray(drawn_seven()).convert("L"), format=format))
    assert alike(picture.pixels, NORMAL) > 0.97


def test_a_drawing_of_one_bit_is_read():
    assert alike(read(Image.fromarray(drawn_seven()).convert("1", dither=Image.Dither.NONE)).pixels, NORMAL) > 0.93


def test_pictures_of_real_numbers_are_read():
    for scale in (1 / 255, 1):
        image = Image.fromarray((NORMAL * scale).astype(np.float32))
        np.testing.assert_array_equal(read_picture(png(image, format="TIFF")).pixels, NORMAL)


@pytest.mark.parametrize(("dtype", "paper", "ink"), [(np.int32, 200, 60_000), (np.float32, 200, 60_000), (np.float32, 0.9, 235)])
def test_the_range_of_32_bit_pixels_is_that_of_the_whole_picture(dtype, paper, ink):
    """It was taken strip by strip: paper came out bright wherever no ink lay beside it."""
    is_ink = np.zeros((1500, 1500), bool)
    is_ink[700:1300, 400:1000] = drawn_seven(600, 60) > 127  # the strips have 666 rows
    picture = read_picture(png(Image.fromarray(np.where(is_ink, ink, paper).astype(dtype)), format="TIFF"))
    expected = read(np.where(is_ink, 235, 0).astype(np.uint8))
    assert picture.steps == expected.steps
    assert alike(picture.pixels, expected.pixels) > 0.999


def test_very_large_pictures_are_averaged_down_first():
    big = Image.fromarray(drawn_seven()).resize((3000, 3000), Image.Resampling.BICUBIC)
    picture = read(big)
    assert picture.steps[0] == "averaged down to 1000x1000"
    assert alike(picture.pixels, NORMAL) > 0.97


_UNDONE = {  # the position of a picture in its file from which the orientation turns it upright
    1: [],
    2: [Image.Transpose.FLIP_LEFT_RIGHT],
    3: [Image.Transpose.ROTATE_180],
    4: [Image.Transpose.FLIP_TOP_BOTTOM],
    5: [Image.Transpose.TRANSPOSE],
    6: [Image.Transpose.ROTATE_90],
    7: [Image.Transpose.TRANSVERSE],
    8: [Image.Transpose.ROTATE_270],
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_picture_is_turned_upright_once_whatever_its_format(format, orientation):
    """TIFFs were turned twice: Pillow turns them already."""
    page = Image.fromarray(drawn_seven(paper=255, ink=0)).crop((20, 0, 180, 200))
    for method in _UNDONE[orientation]:
        page = page.transpose(method)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    picture = read_picture(png(page, exif=exif, format=format))
    assert alike(picture.pixels, NORMAL) > 0.97
    assert ("turned upright (EXIF)" in picture.steps) == (orientation != 1)


def test_an_orientation_that_does_not_exist_is_ignored():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 9
    np.testing.assert_array_equal(read_picture(png(Image.fromarray(NORMAL), exif=exif)).pixels, NORMAL)


@pytest.mark.parametrize("colour", [0, 255])
def test_ink_on_transparent_is_read_whatever_its_colour(colour):
    assert alike(read(with_alpha(colour, drawn_seven())).pixels, NORMAL) > 0.99


def test_a_page_with_a_transparent_rim_keeps_its_own_paper():
    page = drawn_seven(paper=255, ink=0)
    alpha = np.full_like(page, 255)
    alpha[:10] = alpha[-10:] = alpha[:, :10] = alpha[:, -10:] = 0
    rgba = np.dstack((page, page, page, alpha))
    assert alike(read(rgba).pixels, NORMAL) > 0.99


def test_a_colour_that_a_palette_calls_transparent_is_paper():
    image = Image.fromarray((drawn_seven() > 127).astype(np.uint8), "L").convert("P")
    image.putpalette([0, 0, 0, 0, 0, 0] + [0] * 762)  # black on black: only the transparency tells them apart
    assert alike(read_picture(png(image, transparency=0)).pixels, NORMAL) > 0.93


def with_transparent_level(levels, depth, transparent):
    """A grey PNG of that depth, one level of which is transparent."""
    height, width = levels.shape
    if depth == 16:
        rows = levels.astype(">u2").view(np.uint8).reshape(height, -1)
    else:
        bits = (levels[..., None] >> np.arange(depth - 1, -1, -1)) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    body = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes())
    return io.BytesIO(hand_made_png(width, height, depth, body=body, before=chunk(b"tRNS", transparent.to_bytes(2, "big"))))


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_level_that_a_grey_png_calls_transparent_is_paper(depth):
    """With 2, 4 or 16 bits the level was not found among the pixels."""
    seven = drawn_seven() > 127
    white = 2**depth - 1
    picture = read_picture(with_transparent_level(np.where(seven, 0, white), depth, white))
    assert picture.steps[0] == "laid on white"
    assert alike(picture.pixels, NORMAL) > 0.93


@pytest.mark.parametrize("depth", [4, 16])
def test_a_level_beside_the_transparent_one_is_ink(depth):
    """Ink and paper differ by one level: only the transparency tells them apart."""
    levels = np.where(drawn_seven() > 127, 2, 3)
    picture = read_picture(with_transparent_level(levels, depth, 3))
    assert picture.steps[0] == "laid on white"
    assert alike(picture.pixels, NORMAL) > 0.93


@pytest.mark.parametrize("depth", [8, 16])
def test_the_colour_that_a_png_calls_transparent_is_paper(depth):
    """Of 16 bits the lower 8 were compared with the pixels' upper 8."""
    paper = 0xC3 if depth == 8 else 0xC312
    levels = np.where(drawn_seven() > 127, 0, paper)[..., None].repeat(3, axis=2)
    rows = levels.astype(">u2" if depth == 16 else ">u1").view(np.uint8).reshape(len(levels), -1)
    body = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes())
    transparent = chunk(b"tRNS", paper.to_bytes(2, "big") * 3)
    picture = read_picture(io.BytesIO(hand_made_png(200, 200, depth, 2, body=body, before=transparent)))
    assert picture.steps[0] == "laid on white"
    assert alike(picture.pixels, NORMAL) > 0.93


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_a_camera_s_8_10_or_12_bits_within_16_are_no_blank_picture(bits, format):
    levels = np.rint(drawn_seven(paper=255, ink=0) / 255.0 * (2**bits - 1)).astype(np.uint16)
    picture = read_picture(png(Image.fromarray(levels), format=format))
    assert picture.steps[0] == "inverted (dark ink on light)"
    assert alike(picture.pixels, NORMAL) > 0.99


@pytest.mark.parametrize("paper", [235, 120])
def test_a_clean_pencil_drawing_of_14_levels_is_no_blank_picture(paper):
    levels = np.rint(paper - 14 * (drawn_seven() / 255)).astype(np.uint8)
    assert alike(read(levels).pixels, NORMAL) > 0.95


def test_a_smudge_of_14_levels_stays_a_blank_picture():
    y, x = np.mgrid[-1:1:200j, -1:1:200j]
    with pytest.raises(DataError, match="blank"):
        read(np.rint(235 - 14 * np.exp(-4 * (x * x + y * y))).astype(np.uint8))


def two_colours(ink, paper):
    """A page of two colours."""
    cover = drawn_seven()[..., None] / 255
    return Image.fromarray(np.rint(cover * ink + (1 - cover) * paper).astype(np.uint8))


@pytest.mark.parametrize(
    ("ink", "paper"),
    [((255, 0, 0), (0, 130, 0)), ((0, 0, 255), (97, 0, 0)), ((0, 130, 0), (255, 0, 0)), ((90, 128, 200), (150, 128, 90))],
)
@pytest.mark.parametrize(("format", "mode"), [("PNG", "RGB"), ("PNG", "P"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("WEBP", "RGB")])
def test_ink_and_paper_of_equal_brightness_are_told_apart_by_colour(ink, paper, format, mode):
    image = two_colours(np.array(ink), np.array(paper))
    image = image.quantize(32) if mode == "P" else image.convert(mode)
    picture = read_picture(png(image, format=format))
    assert picture.steps[0] == "told apart by colour"
    assert alike(picture.pixels, NORMAL) > 0.93


def test_a_large_turned_photo_of_equal_brightness_is_averaged_down_and_upright():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image = two_colours(np.array((255, 0, 0)), np.array((0, 130, 0))).resize((2400, 2400)).transpose(Image.Transpose.ROTATE_90)
    picture = read_picture(png(image, format="JPEG", exif=exif))
    assert picture.steps[0].startswith("averaged down")
    assert picture.steps[1:3] == ("turned upright (EXIF)", "told apart by colour")
    assert alike(picture.pixels, NORMAL) > 0.93


@pytest.mark.parametrize("invert", ["auto", "yes", "no"])
def test_ink_that_is_told_apart_by_colour_is_read_whatever_brightness_is_asked_for(invert):
    """Neither is darker, so there is nothing to invert."""
    assert alike(read(two_colours(np.array((255, 0, 0)), np.array((0, 130, 0))), invert=invert).pixels, NORMAL) > 0.93


def test_a_wall_of_one_colour_stays_a_blank_picture():
    noise = np.random.default_rng(0).normal(0, 4, (200, 200, 3))
    with pytest.raises(DataError, match="blank"):
        read((np.array((200, 60, 60)) + noise).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_photo_of_50_megapixels_is_read_reduced(mode):
    page = Image.fromarray(drawn_seven(paper=255, ink=0)).convert(mode).resize((8192, 6144), Image.Resampling.NEAREST)
    file = png(page, format="JPEG", quality=60)
    picture = read_picture(file)
    assert picture.steps[0].startswith("averaged down")
    narrow = Image.fromarray(drawn_seven(paper=255, ink=0)).resize((1024, 768))
    assert alike(picture.pixels, read(narrow).pixels) > 0.97
    file.seek(0)
    assert read_photograph(file, size=(32, 32)).pixels.shape == (32, 32, 3)


def test_what_is_decoded_as_a_whole_is_refused_above_40_megapixels():
    page = Image.new("L", (8192, 6144), 255)
    for options in ({"format": "JPEG", "progressive": True}, {"format": "PNG", "compress_level": 1}):
        with pytest.raises(DataError, match="at most 40 megapixels"):
            read_picture(png(page, **options))
