"""IDX files: whatever is done to one, MNIST is loaded equal to the last bit or refused with a DataError, and no file is changed."""

import bz2
import gzip
import lzma
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from battery_cases import Battery
from repository import ROOT, TESTS
from small_mnist import PACKED, RAW, SMALL_FILES, put

from numbacnn.datasets import idx, mnist
from numbacnn.errors import DataError

KEYS = tuple(SMALL_FILES)
MOST_MEGABYTES = 300


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST is four files of a few images, and no test reaches beyond this machine."""
    monkeypatch.setattr(mnist, "FILES", SMALL_FILES)
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, "http://127.0.0.1:9/")


def load_or_refuse(folder: Path, key: str, content: bytes, *, packed: bool) -> str:
    """The message of a DataError, or "" where the data are those of the right files. Fails if a file is changed."""
    usual = SMALL_FILES[key].name
    path = folder / (usual if packed else usual.removesuffix(".gz"))
    path.write_bytes(content)
    try:
        *arrays, _ = mnist.load(folder, allow_download=False)
    except DataError as error:
        message = str(error)
        assert message.startswith(str(path))
        assert message.isprintable()
        assert message.endswith("Move it away, or choose another --data-dir.")
    else:
        message = ""
        for each, array in zip(("train_images", "train_labels", "test_images", "test_labels"), arrays, strict=True):
            assert array.tobytes() == RAW[each][16 if each.endswith("images") else 8 :], each
    assert path.read_bytes() == content, "the file was changed"
    return message


@pytest.fixture
def folders(tmp_path: Path) -> dict[bool, Path]:
    """MNIST gzipped (True), and unpacked (False)."""
    return {packed: put(tmp_path / f"packed-{packed}", packed=packed) for packed in (True, False)}


def restore(folder: Path, key: str, *, packed: bool) -> None:
    put(folder, packed=packed, only=[key])


# --- mutated files --------------------------------------------------------------------------------------------------------------


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """A few bytes set, flipped, removed, inserted, exchanged or repeated; early ones more often, as the headers are there."""
    changed = bytearray(data)
    for _ in range(random.integers(1, 5)):
        most = len(changed) if random.random() < 0.5 else min(len(changed), 30)
        at = int(random.integers(max(1, most)))
        match random.integers(8):
            case 0 if changed:
                changed[at] = random.integers(256)
            case 1 if changed:
                changed[at] ^= 1 << random.integers(8)
            case 2:
                del changed[at : at + random.integers(1, 5)]
            case 3:
                changed[at:at] = random.bytes(random.integers(1, 5))
            case 4:
                changed[at : at + 4] = struct.pack(">I", random.choice((0, 1, 5, 12, 28, 2049, 2051, 2**31, 2**32 - 1)))
            case 5:
                del changed[at:]
            case 6:
                ends = (bytes(changed), bytes(9), random.bytes(7), gzip.compress(b""), gzip.compress(b"more"))
                changed += ends[random.integers(len(ends))]
            case 7:
                changed[at : at + 8] = changed[at : at + 8][::-1]
    return bytes(changed)


def test_a_mutated_file_of_mnist_is_refused_or_equal(battery: Battery, folders: dict[bool, Path]) -> None:
    for case in battery("mutated IDX files", smoke=120, whole=3_000):
        with case:
            random = case.random
            key, packed, before_packing = KEYS[case.index % 4], bool(case.index // 4 % 2), bool(case.index // 8 % 2)
            if packed and before_packing:  # a right gzip file of wrong bytes
                content = gzip.compress(mutated(RAW[key], random), 1)
            else:
                content = mutated(PACKED[key] if packed else RAW[key], random)
            try:
                load_or_refuse(folders[packed], key, content, packed=packed)
            finally:
                restore(folders[packed], key, packed=packed)


# --- files made by hand ---------------------------------------------------------------------------------------------------------


def words(*numbers: int, order: str = ">") -> bytes:
    return struct.pack(f"{order}{len(numbers)}I", *numbers)


def bomb(start: bytes, megabytes: int) -> bytes:
    """A gzip file of ``start`` and zeros."""
    compress = zlib.compressobj(9, wbits=31)
    return b"".join([compress.compress(start), *(compress.compress(bytes(1 << 20)) for _ in range(megabytes)), compress.flush()])


def with_field(packed: bytes, flag: int, field: bytes) -> bytes:
    """A gzip file with one of the optional fields of its header: the flag's bit, and the field's bytes."""
    return packed[:3] + bytes([flag]) + packed[4:10] + field + packed[10:]


IMAGES, LABELS = RAW["train_images"], RAW["train_labels"]
PIXELS = IMAGES[16:]
EQUAL, REFUSED = "equal", "refused"

MADE_IMAGES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", REFUSED),
    "magic alone": (lambda: words(2051), REFUSED),
    "header alone": (lambda: IMAGES[:16], REFUSED),
    "wrong magic": (lambda: words(2050, 12, 28, 28) + PIXELS, REFUSED),
    "magic of labels": (lambda: words(2049, 12, 28, 28) + PIXELS, REFUSED),
    "magic of signed bytes": (lambda: words(0x903, 12, 28, 28) + PIXELS, REFUSED),
    "magic of floats": (lambda: words(0xD03, 12, 28, 28) + PIXELS * 4, REFUSED),
    "two dimensions": (lambda: words(0x802, 12, 784) + PIXELS, REFUSED),
    "four dimensions": (lambda: words(0x804, 12, 28, 28, 1) + PIXELS, REFUSED),
    "255 dimensions": (lambda: words(0x8FF, *[1] * 255) + b"\0", REFUSED),
    "a dimension of 0": (lambda: words(2051, 12, 0, 28), REFUSED),
    "27 rows": (lambda: words(2051, 12, 27, 28) + PIXELS, REFUSED),
    "rows and columns exchanged for the count": (lambda: words(2051, 28, 28, 12) + PIXELS, REFUSED),
    "no images": (lambda: words(2051, 0, 28, 28), REFUSED),
    "one image less than it says": (lambda: IMAGES[:-784], REFUSED),
    "one image more than it says": (lambda: IMAGES + bytes(784), REFUSED),
    "one byte less": (lambda: IMAGES[:-1], REFUSED),
    "one byte more": (lambda: IMAGES + b"\0", REFUSED),
    "a count of 2^32 - 1": (lambda: words(2051, 2**32 - 1, 28, 28) + PIXELS, REFUSED),
    "sizes whose product overflows 64 bits": (lambda: words(2051, 2**32 - 1, 2**32 - 1, 2**32 - 1) + PIXELS, REFUSED),
    "sizes whose product is right, modulo 2^32": (lambda: words(2051, 2**30 + 12, 28, 28) + PIXELS, REFUSED),
    "little endian": (lambda: words(2051, 12, 28, 28, order="<") + PIXELS, REFUSED),
    "sizes in little endian": (lambda: words(2051) + words(12, 28, 28, order="<") + PIXELS, REFUSED),
    "sizes of 16 bits": (lambda: words(2051) + struct.pack(">3H", 12, 28, 28) + PIXELS, REFUSED),
    "another picture": (lambda: IMAGES[:-784] + bytes(784), REFUSED),
    "one pixel one level brighter": (lambda: IMAGES[:5000] + bytes([IMAGES[5000] ^ 1]) + IMAGES[5001:], REFUSED),
    "the test images": (lambda: RAW["test_images"], REFUSED),
    "as a numpy file": (lambda: b"\x93NUMPY\x01\0v\0{'descr': '|O', }" + bytes(100), REFUSED),
    "a zip archive": (lambda: b"PK\x03\x04" + bytes(100), REFUSED),
    "bzip2": (lambda: bz2.compress(IMAGES), REFUSED),
    "xz": (lambda: lzma.compress(IMAGES), REFUSED),
    "a byte order mark in front": (lambda: b"\xef\xbb\xbf" + IMAGES, REFUSED),
    "line ends of a text file": (lambda: IMAGES.replace(b"\n", b"\r\n"), REFUSED),
    "gzip": (lambda: PACKED["train_images"], EQUAL),
    "gzip, stored": (lambda: gzip.compress(IMAGES, 0), EQUAL),
    "gzip of gzip": (lambda: gzip.compress(PACKED["train_images"]), REFUSED),
    "gzip of several members": (lambda: gzip.compress(IMAGES[:1000]) + gzip.compress(IMAGES[1000:]), EQUAL),
    "gzip of 5,000 empty members, then the file": (lambda: gzip.compress(b"") * 5_000 + PACKED["train_images"], EQUAL),
    "gzip, then zeros": (lambda: PACKED["train_images"] + bytes(512), EQUAL),
    "gzip, then junk": (lambda: PACKED["train_images"] + b"junk", REFUSED),
    "gzip, then another file": (lambda: PACKED["train_images"] + PACKED["train_labels"], REFUSED),
    "gzip cut short": (lambda: PACKED["train_images"][:-1], REFUSED),
    "gzip cut in its first bytes": (lambda: PACKED["train_images"][:5], REFUSED),
    "gzip with a wrong checksum": (lambda: PACKED["train_images"][:-8] + bytes(4) + PACKED["train_images"][-4:], REFUSED),
    "gzip with a wrong length": (lambda: PACKED["train_images"][:-4] + bytes(4), REFUSED),
    "gzip with a name and a comment": (lambda: with_field(PACKED["train_images"], 0x18, b"a.b\0c d\0"), EQUAL),
    "gzip with a name without end": (lambda: PACKED["train_images"][:3] + b"\x08" + b"x" * 90_000, REFUSED),
    "gzip with an extra field": (lambda: with_field(PACKED["train_images"], 4, struct.pack("<H", 6) + b"BC\2\0\1\0"), EQUAL),
    "gzip with an extra field beyond its end": (lambda: with_field(PACKED["train_images"], 4, b"\xff\xff"), REFUSED),
    "gzip of another compression": (lambda: PACKED["train_images"][:2] + b"\x07" + PACKED["train_images"][3:], REFUSED),
    "gzip with reserved flags": (lambda: with_field(PACKED["train_images"], 0xE0, b""), REFUSED),
    "zlib": (lambda: zlib.compress(IMAGES), REFUSED),
    "deflate alone": (lambda: zlib.compress(IMAGES)[2:-4], REFUSED),
    "bomb of zeros": (lambda: bomb(b"", 100), REFUSED),
    "bomb behind a right header": (lambda: bomb(words(2051, 12, 28, 28), 100), REFUSED),
    "bomb behind the right file": (lambda: bomb(IMAGES, 100), REFUSED),
    "bomb behind a header of as many images": (lambda: bomb(words(2051, 100_000, 28, 28), 100), REFUSED),
    "bomb behind a header of too many images": (lambda: bomb(words(2051, 133_747, 28, 28), 100), REFUSED),
}  # fmt: skip

MADE_LABELS: dict[str, tuple[Callable[[], bytes], str]] = {
    "label 10": (lambda: LABELS[:-1] + b"\n", REFUSED),
    "label 255": (lambda: LABELS[:8] + b"\xff" + LABELS[9:], REFUSED),
    "another label": (lambda: LABELS[:8] + bytes([(LABELS[8] + 1) % 10]) + LABELS[9:], REFUSED),
    "labels of three dimensions": (lambda: words(2051, 12, 1, 1) + LABELS[8:], REFUSED),
    "labels of two dimensions": (lambda: words(0x802, 12, 1) + LABELS[8:], REFUSED),
    "one-hot labels": (lambda: words(0x802, 12, 10) + bytes(120), REFUSED),
    "labels of four bytes": (lambda: words(0xC01, 12) + np.frombuffer(LABELS[8:], np.uint8).astype(">i4").tobytes(), REFUSED),
    "fewer labels than images": (lambda: words(2049, 11) + LABELS[8:-1], REFUSED),
    "more labels than images": (lambda: words(2049, 13) + LABELS[8:] + b"\1", REFUSED),
    "a count that is too large": (lambda: words(2049, 13) + LABELS[8:], REFUSED),
    "labels as text": (lambda: b"5\n0\n4\n1\n", REFUSED),
    "the images": (lambda: IMAGES, REFUSED),
    "labels, gzip of two members": (lambda: gzip.compress(LABELS[:9]) + gzip.compress(LABELS[9:]), EQUAL),
}  # fmt: skip

MADE = {
    **{f"{name}, {'packed' if packed else 'as it is'}": ("train_images", make, packed, expected)
       for name, (make, expected) in MADE_IMAGES.items() for packed in (False, True)},
    **{f"{name}, {'packed' if packed else 'as it is'}": ("train_labels", make, packed, expected)
       for name, (make, expected) in MADE_LABELS.items() for packed in (False, True)},
}  # fmt: skip


def test_idx_files_made_by_hand(battery: Battery, folders: dict[bool, Path]) -> None:
    names = sorted(MADE, key=lambda name: "bomb" in name)
    slow = sum("bomb" in name for name in names)
    for case in battery("IDX files made by hand", smoke=len(names) - slow, whole=len(names)):
        with case:
            name = names[case.index]
            key, make, packed, expected = MADE[name]
            content = make()
            if packed and not idx.is_gzip(content):
                content = gzip.compress(content)
            try:
                message = load_or_refuse(folders[packed], key, content, packed=packed)
                assert (REFUSED if message else EQUAL) == expected, f"{name}: {message}"
            finally:
                restore(folders[packed], key, packed=packed)


MEASURED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import small_mnist
import test_idx_files as t
from peak_memory import peak_megabytes
t.mnist.FILES = small_mnist.SMALL_FILES
folder = small_mnist.put(Path(sys.argv[1]))
for name, (make, _) in t.MADE_IMAGES.items():
    t.load_or_refuse(folder, "train_images", make(), packed=True)
    print(peak_megabytes(), name, flush=True)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the most memory that was used")
def test_no_idx_file_made_by_hand_takes_much_memory(battery: Battery, tmp_path: Path) -> None:
    if not battery.whole:
        pytest.skip("part of the whole battery; tests/datasets measures one of them")
    command = [sys.executable, "-c", MEASURED, str(tmp_path), str(TESTS / "battery"), str(TESTS), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    largest, line = max((int(line.split()[0]), line) for line in done.stdout.splitlines())
    assert largest < MOST_MEGABYTES, line
    assert len(done.stdout.splitlines()) == len(MADE_IMAGES)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with pipes that have a name")
def test_what_is_no_file_at_the_place_of_mnists_is_refused_and_stays(folders: dict[bool, Path]) -> None:
    """Not waited for, not replaced, not removed: a pipe, a folder, links to nowhere and in a circle, devices, 2 GB of holes."""
    folder = folders[True]
    path = folder / SMALL_FILES["test_images"].name

    def sparse() -> None:
        with path.open("wb") as file:
            file.truncate(2 << 30)

    made: dict[str, Callable[[], Any]] = {
        "pipe": lambda: os.mkfifo(path), "folder": path.mkdir, "circle": lambda: path.symlink_to(path.name),
        "device": lambda: path.symlink_to("/dev/zero"), "null": lambda: path.symlink_to(os.devnull), "holes": sparse,
    }  # fmt: skip
    for name, make in made.items():
        path.unlink()
        make()
        kind = path.lstat().st_mode
        for attempt in (
            lambda: mnist.load(folder, allow_download=False),
            lambda: mnist.load(folder),
            lambda: mnist.download(folder),
        ):
            with pytest.raises(DataError, match=path.name):
                attempt()
            assert path.lstat().st_mode == kind, name
        if name == "folder":
            path.rmdir()
            path.touch()
