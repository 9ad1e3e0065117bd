"""People's pictures: whatever the encoding, the same digit comes out; what is no digit is refused."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from numbacnn.datasets import mnist
from numbacnn.pictures import normalise as images
from numbacnn.errors import DataError


def drawn_seven(side=200, width=22, box=(0.3, 0.2, 0.7, 0.8), paper=0, ink=255):
    """A seven on a large canvas, drawn with a pen of that width; ``box`` in fractions of the canvas."""
    image = Image.new("L", (side, side), paper)
    left, top, right, bottom = (round(side * at) for at in box)
    ImageDraw.Draw(image).line(
        [(left, top), (right, top), (left + (right - left) // 3, bottom)], fill=ink, width=width, joint="curve"
    )
    return np.asarray(image.filter(ImageFilter.GaussianBlur(side / 200)))


def png(image, **options):
    """The file of a picture (or of an array), as an open stream."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, options.pop("format", "PNG"), **options)
    file.seek(0)
    return file


def read(image, **options):
    return images.read_picture(png(image), **options)


NORMAL = images.read_picture(png(drawn_seven())).pixels
"""A seven in the form of MNIST's, 28x28."""


def alike(a, b):
    """Correlation of two pictures, from -1 to 1."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def with_alpha(colour, alpha):
    rgba = np.full((*alpha.shape, 4), colour, dtype=np.uint8)
    rgba[..., 3] = alpha
    return Image.fromarray(rgba)


def palette(x):
    """Grey levels through a palette in which index and brightness have nothing to do with each other."""
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


# --- what is already normal stays as it is ---


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


def test_reading_twice_changes_nothing_more():
    once = read(drawn_seven(paper=255, ink=0)).pixels
    np.testing.assert_array_equal(read(once).pixels, once)


# --- what is not is brought to it ---


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


def test_a_drawing_of_one_bit_is_read():
    assert alike(read(Image.fromarray(drawn_seven()).convert("1", dither=Image.Dither.NONE)).pixels, NORMAL) > 0.93


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
    assert alike(images.read_picture(png(image, transparency=0)).pixels, NORMAL) > 0.93


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
    picture = images.read_picture(file)
    assert alike(picture.pixels, NORMAL) > 0.93
    assert picture.pixels[0].max() == 0
    assert "1 specks removed" in picture.steps


def test_the_desk_beside_the_paper_is_left_out():
    photo = drawn_seven(paper=220, ink=40).copy()
    photo[:, :25] = 60
    picture = read(photo)
    assert alike(picture.pixels, NORMAL) > 0.97
    assert "1 specks removed" in picture.steps


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


def test_very_large_pictures_are_averaged_down_first():
    big = Image.fromarray(drawn_seven()).resize((3000, 3000), Image.Resampling.BICUBIC)
    picture = read(big)
    assert picture.steps[0] == "averaged down to 1000x1000"
    assert alike(picture.pixels, NORMAL) > 0.97


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone(orientation):
    seven = Image.fromarray(drawn_seven(paper=255, ink=0))
    method = Image.Transpose
    undo = {  # how a picture lies in the file so that the orientation turns it upright
        2: [method.FLIP_LEFT_RIGHT],
        3: [method.ROTATE_180],
        4: [method.FLIP_TOP_BOTTOM],
        5: [method.TRANSPOSE],
        6: [method.ROTATE_90],
        7: [method.TRANSVERSE],
        8: [method.ROTATE_270],
    }
    for step in undo.get(orientation, []):
        seven = seven.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert alike(images.read_picture(png(seven, exif=exif, format="JPEG")).pixels, NORMAL) > 0.97


@pytest.mark.parametrize("format", ["JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
def test_the_other_formats_are_read(format):
    picture = images.read_picture(png(Image.fromarray(drawn_seven()).convert("L"), format=format))
    assert alike(picture.pixels, NORMAL) > 0.97


def test_pictures_of_real_numbers_are_read():
    for scale in (1 / 255, 1):
        image = Image.fromarray((NORMAL * scale).astype(np.float32))
        np.testing.assert_array_equal(images.read_picture(png(image, format="TIFF")).pixels, NORMAL)


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
    assert images.read_picture(path).name == str(path)
    assert images.read_picture(path, name="mine").name == "mine"
    assert read(NORMAL).name == "stdin"


# --- what is refused ---


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def hand_made_png(width, height, bits=1, colour=0, body=b"", before=b""):
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def animated(format="PNG"):
    frames = [Image.fromarray(NORMAL), Image.fromarray(255 - NORMAL)]
    return png(frames[0], save_all=True, append_images=frames[1:], format=format).read()


def wrong_checksum():
    data = bytearray(png(NORMAL).read())
    data[data.index(b"IDAT") + 20] ^= 1
    return bytes(data)


GOOD = png(drawn_seven()).read()
REFUSED = {
    "empty": (b"", "came an empty file"),
    "junk": (bytes(range(256)) * 4, "came something else"),
    "text": (b"this is not a picture\n", "came something else"),
    "signature only": (GOOD[:8], "damaged|something else"),
    "truncated header": (GOOD[:20], "damaged|something else"),
    "truncated": (GOOD[: len(GOOD) // 2], "damaged"),
    "wrong checksum": (wrong_checksum(), "damaged"),
    "no pixels": (hand_made_png(0, 0), "damaged|something else|blank"),
    "bomb of 60000x60000": (hand_made_png(60000, 60000, body=zlib.compress(bytes(1 << 20))), "megapixels"),
    "bomb of 8000x8000": (hand_made_png(8000, 8000, body=zlib.compress(bytes(1 << 20))), "megapixels, came 8000x8000"),
    "text bomb": (
        hand_made_png(
            28, 28, before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100 << 20), 9)), body=zlib.compress(bytes(140))
        ),
        "damaged",
    ),
    "animation": (animated(), "came 2 frames"),
    "animated gif": (animated("GIF"), "came 2 frames"),
    "all black": (png(np.zeros((28, 28), np.uint8)).read(), "blank"),
    "all white": (png(np.full((90, 70), 255, np.uint8)).read(), "blank"),
    "one pixel": (png(np.array([[200]], np.uint8)).read(), "blank"),
    "hardly any contrast": (png((NORMAL // 32 + 100).astype(np.uint8)).read(), "blank"),
    "noise without a digit": (
        png(np.random.default_rng(0).normal(128, 10, (300, 300)).clip(0, 255).astype(np.uint8)).read(),
        "blank",
    ),
    "wholly transparent": (png(with_alpha(0, np.zeros((28, 28), np.uint8))).read(), "blank"),
    "not a number": (png(Image.fromarray(np.full((28, 28), np.nan, np.float32)), format="TIFF").read(), "damaged"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_picture_of_a_digit_is_refused_in_one_line(data, message, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        images.read_picture(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_folders_fifos_and_missing_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "missing.png"):
        with pytest.raises(DataError, match=str(path)):
            images.read_picture(path)


def test_files_that_are_too_large_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(DataError, match=r"got 2147483648\. Give a picture file of at most 50 MB"):
        images.read_picture(path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the most memory that was used")
def test_the_largest_picture_that_is_accepted_needs_less_than_300_megabytes(tmp_path):
    path = tmp_path / "large.png"
    side = int(images.MAX_PIXELS**0.5)
    rows = b"".join(b"\0" + bytes(4 * side) for _ in range(64))
    compress = zlib.compressobj(1)
    body = (
        b"".join(compress.compress(rows[: min(64, side - top) * (4 * side + 1)]) for top in range(0, side, 64)) + compress.flush()
    )
    path.write_bytes(hand_made_png(side, side, 8, 6, body))
    code = (
        "import sys, pathlib; from numbacnn.pictures import normalise as images; from numbacnn.errors import DataError\n"
        "try: images.read_picture(pathlib.Path(sys.argv[1]))\n"
        "except DataError as error: print(str(error).count('blank'), open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    blank, used = map(int, done.stdout.split())
    assert blank == 1
    assert used * 1024 < 300e6


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_mutated_file_gives_a_picture_or_a_data_error(data):
    mutated = bytearray(data.draw(st.sampled_from(MUTATED)))
    for _ in range(data.draw(st.integers(1, 6))):
        mutated[data.draw(st.integers(0, 10_000)) % len(mutated)] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del mutated[data.draw(st.integers(0, 10_000)) % len(mutated) :]
    try:
        picture = images.read_picture(io.BytesIO(bytes(mutated)), name="mutated")
    except DataError as error:
        message = str(error)
    else:
        message = "mutated: " * (picture.pixels.shape == (28, 28) and picture.pixels.dtype == np.uint8)
    assert message.startswith("mutated: ")


MUTATED = [png(Image.fromarray(drawn_seven(60, 7)), format=format).read() for format in images.FORMATS]
