"""Files that are no picture of a digit are refused in one line."""

import io
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from drawings import NORMAL, chunk, drawn_seven, hand_made_png, png, with_alpha
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from numbacnn.errors import DataError
from numbacnn.pictures import decode, read_picture


def animated(format="PNG"):
    frames = [Image.fromarray(NORMAL), Image.fromarray(255 - NORMAL)]
    return png(frames[0], save_all=True, append_images=frames[1:], format=format).read()


def wrong_checksum():
    data = bytearray(png(NORMAL).read())
    data[data.index(b"IDAT") + 20] ^= 1
    return bytes(data)


GOOD = png(drawn_seven()).read()


REFUSED = {
    "empty": (b"", "got an empty file"),
    "junk": (bytes(range(256)) * 4, "got something else"),
    "text": (b"this is not a picture\n", "got something else"),
    "signature only": (GOOD[:8], "damaged|something else"),
    "truncated header": (GOOD[:20], "damaged|something else"),
    "truncated": (GOOD[: len(GOOD) // 2], "damaged"),
    "wrong checksum": (wrong_checksum(), "damaged"),
    "no pixels": (hand_made_png(0, 0), "damaged|something else|blank"),
    "bomb of 60000x60000": (hand_made_png(60000, 60000, body=zlib.compress(bytes(1 << 20))), "megapixels"),
    "bomb of 8000x8000": (hand_made_png(8000, 8000, body=zlib.compress(bytes(1 << 20))), "megapixels, got 8000x8000"),
    "text bomb, blank without its text": (
        hand_made_png(
            28, 28, before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100 << 20), 9)), body=zlib.compress(bytes(140))
        ),
        "blank",
    ),
    "animation": (animated(), "got 2 frames"),
    "animated gif": (animated("GIF"), "got 2 frames"),
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
        read_picture(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_folders_fifos_and_missing_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "missing.png"):
        with pytest.raises(DataError, match=str(path)):
            read_picture(path)


def test_files_that_are_too_large_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(DataError, match=r"got 2147483648\. Give a picture file of at most 50 MB"):
        read_picture(path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the most memory that was used")
def test_the_largest_picture_that_is_accepted_needs_less_than_300_megabytes(tmp_path):
    path = tmp_path / "large.png"
    side = int(decode.MAX_PIXELS**0.5)
    rows = b"".join(b"\0" + bytes(4 * side) for _ in range(64))
    compress = zlib.compressobj(1)
    body = (
        b"".join(compress.compress(rows[: min(64, side - top) * (4 * side + 1)]) for top in range(0, side, 64)) + compress.flush()
    )
    path.write_bytes(hand_made_png(side, side, 8, 6, body))
    code = (
        "import sys, pathlib; from numbacnn.pictures import read_picture; from numbacnn.errors import DataError\n"
        "try: read_picture(pathlib.Path(sys.argv[1]))\n"
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
        picture = read_picture(io.BytesIO(bytes(mutated)), name="mutated")
    except DataError as error:
        message = str(error)
    else:
        message = "mutated: " * (picture.pixels.shape == (28, 28) and picture.pixels.dtype == np.uint8)
    assert message.startswith("mutated: ")


MUTATED = [png(Image.fromarray(drawn_seven(60, 7)), format=format).read() for format in decode.FORMATS]


@pytest.mark.parametrize("size", [(2_000_000, 1), (1, 2_000_000), (60_000, 500)])
def test_a_strip_is_refused_before_memory_for_its_blocks_is_asked_for(size):
    """One of 2,000,000x1 pixels, a file of 300 bytes, asked for 15 GB: its only row was padded to a block of 1954."""
    data = hand_made_png(*size, body=zlib.compress(bytes(-(-size[0] // 8) + 1) * size[1]))
    with pytest.raises(DataError, match=rf"expected a picture of one digit, got a strip of {size[0]}x{size[1]} pixels"):
        read_picture(io.BytesIO(data))


def test_a_png_of_a_million_chunks_is_refused_at_once(monkeypatch):
    """Pillow took 14 seconds and 400 MB for them."""
    many = GOOD[:33] + chunk(b"teSt", b"") * 1_000_000 + GOOD[33:]
    monkeypatch.setattr(decode.Image, "open", lambda *_, **__: pytest.fail("it reached Pillow"))
    with pytest.raises(DataError, match="at most 100,000 chunks"):
        read_picture(io.BytesIO(many))
