"""IDX files: read when they are right, refused with advice when anything about them is not."""

from __future__ import annotations

import gzip
import itertools
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

from numbacnn.datasets import idx
from numbacnn.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5, 9, 2, 6], dtype=np.uint8)
IMAGES_FILE = struct.pack(">4I", 2051, 5, 28, 28) + PIXELS.tobytes()
LABELS_FILE = struct.pack(">2I", 2049, 8) + LABELS.tobytes()


def images(data, **more):
    return idx.parse_idx(data, "images-file", magic=idx.IMAGES_MAGIC, **more)


def labels(data, **more):
    return idx.parse_idx(data, "labels-file", magic=idx.LABELS_MAGIC, **more)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_images_and_labels_are_read_gzipped_or_not(pack):
    np.testing.assert_array_equal(images(pack(IMAGES_FILE)), PIXELS)
    np.testing.assert_array_equal(labels(pack(LABELS_FILE)), LABELS)


def test_a_gzip_file_of_several_members_is_one_file():
    """As bgzip and ``cat a.gz b.gz`` make them; a member may begin anywhere within a step of the reader."""
    for cuts in ([], [0], [1], [16], [20, 1000, 2000], range(0, 3900, 7)):
        edges = [0, *cuts, len(IMAGES_FILE)]
        members = [gzip.compress(IMAGES_FILE[a:b]) for a, b in itertools.pairwise(edges)]
        np.testing.assert_array_equal(images(b"".join([*members, gzip.compress(b""), bytes(9)])), PIXELS)


def test_a_member_that_begins_anywhere_in_a_step_is_found(monkeypatch):
    data = gzip.compress(IMAGES_FILE[:500]) + gzip.compress(IMAGES_FILE[500:])
    for step in range(1, 40):
        monkeypatch.setattr(idx, "_INPUT_STEP", step)
        np.testing.assert_array_equal(images(data), PIXELS)


def test_content_decides_whether_a_file_is_gzipped(tmp_path):
    path = tmp_path / "not-really.gz"
    path.write_bytes(IMAGES_FILE)
    np.testing.assert_array_equal(images(idx.read_file(path)), PIXELS)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_limit_returns_the_first_items(pack):
    np.testing.assert_array_equal(images(pack(IMAGES_FILE), limit=2), PIXELS[:2])
    np.testing.assert_array_equal(images(pack(IMAGES_FILE), limit=99), PIXELS)


def test_the_arrays_are_writable_and_contiguous():
    for pack in (bytes, gzip.compress):
        array = images(pack(IMAGES_FILE))
        assert array.flags.writeable
        assert array.flags.c_contiguous


def test_large_files_are_read_over_many_steps():
    pixels = np.random.default_rng(1).integers(0, 256, (2000, 28, 28), dtype=np.uint8)
    data = struct.pack(">4I", 2051, 2000, 28, 28) + pixels.tobytes()
    np.testing.assert_array_equal(images(gzip.compress(data, 1)), pixels)
    np.testing.assert_array_equal(images(data), pixels)


def header(*numbers):
    return struct.pack(f">{len(numbers)}I", *numbers)


BAD_IMAGES = {
    "nothing": (b"", "0 bytes in all"),
    "half a header": (IMAGES_FILE[:9], "9 bytes in all"),
    "labels": (LABELS_FILE + bytes(8), r"magic number 2051 \(images\), got 2049 \(labels\)"),
    "another magic": (header(2052, 5, 28, 28) + PIXELS.tobytes(), "got 2052"),
    "little endian": (struct.pack("<4I", 2051, 5, 28, 28) + PIXELS.tobytes(), "magic number 2051"),
    "other image size": (header(2051, 5, 28, 27) + PIXELS.tobytes(), "28x28 pixels, got 28x27"),
    "no images": (header(2051, 0, 28, 28), "announces 0"),
    "4 billion images": (header(2051, 0xFFFFFFFF, 28, 28), "announces 4294967295"),
    "one image short": (IMAGES_FILE[:-784], "only 3136"),
    "one byte short": (IMAGES_FILE[:-1], "only 3919"),
    "one byte more": (IMAGES_FILE + b"\0", "got more"),
    "text": (b"<html><body>Please log in to the network</body></html>", "magic number"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(("data", "message"), BAD_IMAGES.values(), ids=BAD_IMAGES.keys())
def test_wrong_image_files_are_refused(data, message, pack):
    with pytest.raises(DataError, match=message) as caught:
        images(pack(data))
    assert "images-file" in str(caught.value)
    assert "Move it away, or choose another --data-dir" in str(caught.value)


def test_a_label_that_is_no_digit_is_refused_with_its_position():
    with pytest.raises(DataError, match="labels from 0 to 9, got 10 at position 3"):
        labels(header(2049, 4) + bytes([1, 2, 3, 10]))


def test_labels_of_three_dimensions_are_refused():
    with pytest.raises(DataError, match="got 2051"):
        labels(IMAGES_FILE)


PACKED = gzip.compress(IMAGES_FILE)
BAD_GZIP = {
    "cut in the middle": (PACKED[: len(PACKED) // 2], "cut short"),
    "cut before the checksum": (PACKED[:-8], "complete gzip file"),
    "cut in the checksum": (PACKED[:-3], "complete gzip file"),
    "wrong checksum": (PACKED[:-8] + bytes(4) + PACKED[-4:], "damaged one"),
    "wrong length": (PACKED[:-4] + b"\xff\0\0\0", "damaged one"),
    "junk behind": (PACKED + b"junk", "4 more bytes"),
    "junk behind zeros": (PACKED + bytes(10) + b"junk", "14 more bytes"),
    "a second member with more": (PACKED + gzip.compress(b"\0"), "got more"),
    "a second member cut short": (PACKED + gzip.compress(b"")[:-4], "complete gzip file"),
    "header only": (b"\x1f\x8b", "0 bytes in all"),
    "garbage inside": (PACKED[:100] + b"\xff" * 100 + PACKED[200:], "damaged one"),
}


@pytest.mark.parametrize(("data", "message"), BAD_GZIP.values(), ids=BAD_GZIP.keys())
def test_wrong_gzip_files_are_refused(data, message):
    with pytest.raises(DataError, match=message):
        images(data)


def zero_bomb(size, start=b""):
    """Gzip of ``start`` and then ``size`` zeros, made without holding them."""
    compress = zlib.compressobj(9, wbits=31)
    parts = [compress.compress(start)] + [compress.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    return b"".join(parts) + compress.flush()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the most memory that was used")
def test_a_zero_bomb_is_unpacked_no_further_than_its_header_promises(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(zero_bomb(200 << 20, IMAGES_FILE))
    code = (
        "import sys, pathlib; from numbacnn.datasets import idx; from numbacnn.errors import DataError\n"
        "used = lambda: int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
        "before = used()\n"
        "try: idx.parse_idx(idx.read_file(pathlib.Path(sys.argv[1])), 'bomb', magic=2051)\n"
        "except DataError as error: print('refused', used() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    answer, grown = done.stdout.split()
    assert answer == "refused"
    assert int(grown) * 1024 < 30e6  # bytes; the bomb holds 200 MB


def test_things_that_are_not_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "fifo"):
        with pytest.raises(DataError, match=str(path)):
            images(idx.read_file(path))


def test_a_huge_sparse_file_is_refused(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(DataError, match="expected at most 78465552 bytes, got 2147483648"):
        images(idx.read_file(path))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_mutated_file_is_refused_or_read_with_its_shape_intact(data):
    original = bytearray(PACKED if data.draw(st.booleans()) else IMAGES_FILE)
    for _ in range(data.draw(st.integers(1, 4))):
        offset = data.draw(st.integers(0, 40) | st.integers(0, 3900)) % len(original)
        action = data.draw(st.sampled_from(["set", "delete", "insert", "cut"]))
        if action == "set":
            original[offset] = data.draw(st.integers(0, 255))
        elif action == "delete":
            del original[offset : offset + 1 + offset % 3]
            original = original or bytearray(1)
        elif action == "insert":
            original.insert(offset, data.draw(st.integers(0, 255)))
        else:
            del original[offset + 1 :]
    try:
        array = images(bytes(original))
    except DataError as error:
        message = str(error)
    else:
        message = "images-file" * (array.shape == PIXELS.shape)
    assert "images-file" in message
