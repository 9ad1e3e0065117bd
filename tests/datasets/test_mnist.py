"""MNIST's files: found wherever they lie, and never used with a wrong checksum."""

import gzip
import hashlib
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import http_server as web
import numpy as np
import pytest
from small_mnist import (
    BY_NAME,
    CHILD,
    CHILD_PATHS,
    PACKED,
    RAW,
    SMALL_FILES,
    TRAIN_IMAGES,
    assert_complete,
    dotted,
    in_a_folder,
    names,
    put,
)  # fmt: skip

from numbacnn.datasets import download, idx, mnist
from numbacnn.errors import DataError


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("layout", mnist.LAYOUTS)
@pytest.mark.parametrize("packed", [True, False])
def test_files_are_found_in_every_layout_gzipped_or_not(tmp_path, layout, packed):
    put(tmp_path / layout, packed=packed)
    assert set(mnist.find(tmp_path)) == set(mnist.FILES)
    train_images, train_labels, test_images, test_labels, source = mnist.load(tmp_path, allow_download=False)
    assert train_images.shape == (12, 28, 28, 1)
    assert test_images.shape == (5, 28, 28, 1)
    assert train_images.tobytes() == RAW["train_images"][16:]
    assert test_images.tobytes() == RAW["test_images"][16:]
    assert train_labels.tobytes() == RAW["train_labels"][8:]
    assert test_labels.tobytes() == RAW["test_labels"][8:]
    assert str(tmp_path / layout) in source


NAMES = {
    "dotted": dotted,
    "upper case": str.upper,
    "capitalised": str.capitalize,
    "in a folder of its name (Kaggle)": in_a_folder,
    "in a folder, dotted (7-Zip)": lambda name: f"{name}/{dotted(name)}",
    "in a dotted folder": lambda name: f"{dotted(name)}/{name}",
    "in a folder, upper case": lambda name: in_a_folder(name).upper(),
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("layout", mnist.LAYOUTS)
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_mnist_under_the_names_that_kaggle_and_unpackers_give_it_is_found(tmp_path, layout, packed, name):
    put(tmp_path / layout, packed=packed, name=name)
    found = mnist.find(tmp_path)
    assert set(found) == set(mnist.FILES)
    assert all(path.is_file() for path in found.values())
    images, *_, source = mnist.load(tmp_path, allow_download=False)
    assert images.tobytes() == RAW["train_images"][16:]
    assert source == f"{tmp_path / layout} (sha256 checked)"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("layout", ["Mnist", "MNIST", "mnist/raw", "Raw"])
def test_the_case_of_a_folder_does_not_matter(tmp_path, layout):
    put(tmp_path / layout)
    assert mnist.find(tmp_path)["test_labels"].parent.samefile(tmp_path / layout)


@pytest.mark.usefixtures("small")
def test_a_data_dir_above_raw_is_enough(tmp_path):
    put(tmp_path / "MNIST" / "raw")
    for data_dir in (tmp_path, tmp_path / "MNIST", tmp_path / "MNIST" / "raw"):
        assert set(mnist.find(data_dir)) == set(mnist.FILES)


@pytest.mark.usefixtures("small")
def test_the_usual_name_wins_over_the_others(tmp_path):
    put(tmp_path / "raw")
    put(tmp_path, name=str.upper)
    put(tmp_path, packed=False, name=dotted)
    put(tmp_path, packed=False, name=in_a_folder)
    put(tmp_path)
    assert mnist.find(tmp_path)["train_images"] == tmp_path / TRAIN_IMAGES


@pytest.mark.usefixtures("small")
def test_a_folder_that_bears_a_files_name_is_passed_over_where_the_file_lies_elsewhere(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").mkdir()
    put(tmp_path / "mnist")
    assert mnist.find(tmp_path)["train_images"] == tmp_path / "mnist" / TRAIN_IMAGES


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", TRAIN_IMAGES])
def test_a_folder_that_bears_a_files_name_without_the_file_in_it_is_named(tmp_path, name):
    put(tmp_path, only=["train_labels", "test_images", "test_labels"])
    (tmp_path / name / "train-images-idx3-ubyte").mkdir(parents=True)
    for attempt in (mnist.load, mnist.download):
        with pytest.raises(
            DataError, match=rf"{name}: expected a file, or a folder with .*train-images.idx3-ubyte in it.*--data-dir"
        ):
            attempt(tmp_path)


@pytest.mark.usefixtures("small")
@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_may_be_entered_but_not_listed_is_read(tmp_path):
    put(tmp_path / "mnist")
    tmp_path.chmod(0o300)
    try:
        assert set(mnist.find(tmp_path)) == set(mnist.FILES)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.usefixtures("small")
def test_limits_take_the_first_images(tmp_path):
    train_images, train_labels, test_images, test_labels, _ = mnist.load(put(tmp_path), 3, 2)
    assert [len(array) for array in (train_images, train_labels, test_images, test_labels)] == [3, 3, 2, 2]
    assert train_images.tobytes() == RAW["train_images"][16 : 16 + 3 * 784]
    assert mnist.load(tmp_path, 0, 2)[0].shape == (0, 28, 28, 1)
    with pytest.raises(DataError, match="train_limit: expected 0 images or more, got -1"):
        mnist.load(tmp_path, -1)


@pytest.mark.usefixtures("small")
def test_missing_files_are_named_when_downloads_are_not_allowed(tmp_path):
    put(tmp_path, only=["train_images", "test_images", "test_labels"])
    assert mnist.find(tmp_path) is None
    with pytest.raises(DataError, match=r"expected train-labels-idx1-ubyte.gz \(gzipped or not\)") as caught:
        mnist.load(tmp_path, allow_download=False)
    assert "--dataset digits" in str(caught.value)


PACKERS = {
    "gzip -1": lambda raw: gzip.compress(raw, 1),
    "gzip, with a date": lambda raw: gzip.compress(raw, 6, mtime=1_700_000_000),
    "stored": lambda raw: gzip.compress(raw, 0),
    "in blocks (bgzip)": lambda raw: (
        b"".join(gzip.compress(raw[offset : offset + 1000]) for offset in range(0, len(raw), 1000)) + gzip.compress(b"")
    ),
    "padded with zeros (tape)": lambda raw: gzip.compress(raw) + bytes(700),
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("layout", [".", "mnist"])
@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS.keys())
def test_mnist_that_was_unpacked_and_packed_again_is_still_mnist(tmp_path, layout, pack):
    put(tmp_path / layout)
    for key, file in SMALL_FILES.items():
        (tmp_path / layout / file.name).write_bytes(pack(RAW[key]))
    images, labels, *_ = mnist.load(tmp_path, 3, allow_download=False)
    assert images.tobytes() == RAW["train_images"][16 : 16 + 3 * 784]
    assert labels.tobytes() == RAW["train_labels"][8 : 8 + 3]
    assert mnist.load(tmp_path, allow_download=False)[0].tobytes() == RAW["train_images"][16:]
    assert mnist.download(tmp_path) == tmp_path  # there is nothing to download


@pytest.mark.usefixtures("small")
def test_of_a_file_packed_as_usual_only_what_is_asked_for_is_unpacked(tmp_path, monkeypatch):
    put(tmp_path)
    monkeypatch.setattr(mnist.idx, "unpack", lambda *_: pytest.fail("unpacked as a whole"))
    assert len(mnist.load(tmp_path, 3, 2)[0]) == 3


def images_file(*sizes, magic=idx.IMAGES_MAGIC):
    """An intact IDX file of bytes."""
    return struct.pack(f">{1 + len(sizes)}I", magic, *sizes) + bytes(np.arange(np.prod(sizes)).astype(np.uint8))


OTHER_DATA = {
    "as many images (Fashion-MNIST)": (gzip.compress(images_file(12, 28, 28)), "MNIST's sha256 .*: an intact file of other data"),
    "fewer images": (gzip.compress(RAW["test_images"]), "MNIST's sha256 .*: an intact file of other data"),
    "more images (EMNIST)": (gzip.compress(images_file(13, 28, 28)), "got more: other data"),
    "many more images": (gzip.compress(images_file(120_000, 2, 2)), "got more: other data"),
    "other sizes": (gzip.compress(images_file(12, 16, 16)), "28x28 pixels, got 16x16"),
    "labels": (PACKED["train_labels"], "got 2049"),
    "three channels": (gzip.compress(images_file(2, 3, 28, 28, magic=2052)), "got 2052"),
    "a table": (gzip.compress(b"label,pixel\n5,0\n"), "magic number"),
    "not packed": (images_file(12, 28, 28), "MNIST's sha256 .*: an intact file of other data"),
    "not packed, other sizes": (images_file(12, 16, 16), "28x28 pixels, got 16x16"),
    "not packed, three channels": (images_file(2, 3, 28, 28, magic=2052), "got 2052"),
    "not packed, more images": (images_file(13, 28, 28), "got more: other data"),
}


@pytest.mark.parametrize(("content", "expected"), OTHER_DATA.values(), ids=OTHER_DATA.keys())
def test_other_data_under_mnists_name_are_named_and_never_overwritten(server, tmp_path, monkeypatch, content, expected):
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, server.mirror("good", web.good))
    put(tmp_path)
    (tmp_path / TRAIN_IMAGES).write_bytes(content)
    for attempt in (mnist.load, mnist.download):
        with pytest.raises(DataError, match=expected) as caught:
            attempt(tmp_path)
        assert str(caught.value).endswith("Move it away, or choose another --data-dir.")
    assert (tmp_path / TRAIN_IMAGES).read_bytes() == content
    assert not server.requests


@pytest.mark.usefixtures("small")
def test_an_intact_file_of_other_data_is_refused_with_both_hashes_of_the_content(tmp_path):
    put(tmp_path)
    (tmp_path / TRAIN_IMAGES).write_bytes(gzip.compress(RAW["test_images"]))
    with pytest.raises(DataError) as caught:
        mnist.load(tmp_path)
    assert hashlib.sha256(RAW["test_images"]).hexdigest() in str(caught.value)
    assert SMALL_FILES["train_images"].raw_sha256 in str(caught.value)


DAMAGES = {
    "cut short": lambda packed: packed[:-10],
    "one bit": lambda packed: packed[:200] + bytes([packed[200] ^ 1]) + packed[201:],
    "zeros, as after a power cut": lambda packed: bytes(len(packed)),
    "empty": lambda packed: b"",
    "its first two bytes": lambda packed: packed[:2],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_download_is_downloaded_again(server, tmp_path, monkeypatch, damage):
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, server.mirror("good", web.good))
    put(tmp_path)
    (tmp_path / TRAIN_IMAGES).write_bytes(damage(PACKED["train_images"]))
    damaged, notices = (tmp_path / TRAIN_IMAGES).read_bytes(), []
    mnist.load(tmp_path, notice=notices.append)
    assert sum(server.requests.values()) == 1
    aside = tmp_path / f"{TRAIN_IMAGES}.damaged"
    if damaged:  # nobody else's file is lost, whatever it was
        assert aside.read_bytes() == damaged
        assert any(str(aside) in notice for notice in notices)
        aside.unlink()
    assert_complete(tmp_path)


def test_what_was_kept_of_an_earlier_damage_is_kept(server, tmp_path, monkeypatch):
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, server.mirror("good", web.good))
    put(tmp_path)
    for number in range(3):
        (tmp_path / TRAIN_IMAGES).write_bytes(PACKED["train_images"][: 100 + number])
        mnist.load(tmp_path)
    kept = [len((tmp_path / f"{TRAIN_IMAGES}.damaged{end}").read_bytes()) for end in ("", "-2", "-3")]
    assert kept == [100, 101, 102]


def test_a_damaged_file_stays_where_it_is_when_no_mirror_answers(tmp_path, small):
    put(tmp_path)
    (tmp_path / TRAIN_IMAGES).write_bytes(PACKED["train_images"][:100])
    with pytest.raises(DataError, match="every mirror failed"):
        mnist.load(tmp_path)
    assert (tmp_path / TRAIN_IMAGES).read_bytes() == PACKED["train_images"][:100]


NOT_OURS = {
    "a login page": b"<html>Please log in</html>",
    "a text": "Notizen über MNIST\n".encode(),
    "random bytes": np.random.default_rng(0).bytes(5000),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "one byte": b"x",
    "half an idx file, not packed": RAW["train_images"][:5000],
    "a gzip of a text, cut short": gzip.compress(np.random.default_rng(0).bytes(5000))[:2000],
    "other images, cut short": gzip.compress(images_file(500, 28, 28))[:-100],
    "labels, cut short": gzip.compress(RAW["train_labels"])[:-6],
}


@pytest.mark.parametrize("content", NOT_OURS.values(), ids=NOT_OURS.keys())
def test_what_is_no_download_of_ours_is_named_and_stays_as_it_is(server, tmp_path, monkeypatch, content):
    """All that was no intact IDX file was taken for a damaged download, and replaced."""
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, server.mirror("good", web.good))
    put(tmp_path)
    (tmp_path / TRAIN_IMAGES).write_bytes(content)
    for attempt in (mnist.load, mnist.download):
        with pytest.raises(DataError, match=TRAIN_IMAGES) as caught:
            attempt(tmp_path)
        assert str(caught.value).endswith("Move it away, or choose another --data-dir.")
    assert (tmp_path / TRAIN_IMAGES).read_bytes() == content
    assert names(tmp_path) == sorted(BY_NAME)
    assert not server.requests


MEASURED_LOAD = """
used = lambda: int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])
before = used()
try: mnist.load(Path(sys.argv[1]), allow_download=False)
except mnist.DataError: print('refused', used() - before)
"""


@pytest.mark.usefixtures("small")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the most memory that was used")
def test_a_gzip_bomb_under_mnists_name_is_unpacked_no_further_than_mnist(tmp_path):
    put(tmp_path)
    compress = zlib.compressobj(9, wbits=31)
    header = struct.pack(">4I", idx.IMAGES_MAGIC, idx.MAX_ITEMS, 28, 28)
    parts = [compress.compress(header)] + [compress.compress(bytes(1 << 20)) for _ in range(200)]
    (tmp_path / TRAIN_IMAGES).write_bytes(b"".join(parts) + compress.flush())
    code = CHILD.replace("mnist.load(Path(sys.argv[1]))", MEASURED_LOAD)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), *CHILD_PATHS], capture_output=True, text=True, check=True)
    answer, grown = done.stdout.split()
    assert answer == "refused"
    assert int(grown) * 1024 < 10e6  # bytes; the bomb holds 200 MB, and its header announces 78


@pytest.mark.usefixtures("small")
def test_a_damaged_file_in_somebody_elses_folder_is_refused_not_replaced(tmp_path):
    put(tmp_path / "mnist")
    (tmp_path / "mnist" / TRAIN_IMAGES).write_bytes(PACKED["train_images"][:100])
    with pytest.raises(DataError, match=r"mnist/train-images.*cut short"):
        mnist.load(tmp_path)
    assert (tmp_path / "mnist" / TRAIN_IMAGES).read_bytes() == PACKED["train_images"][:100]


@pytest.mark.usefixtures("small")
def test_a_complete_read_only_folder_is_used_without_writing(tmp_path, monkeypatch):
    put(tmp_path)
    monkeypatch.setattr(download, "_locked", lambda *_: pytest.fail("a lock was taken"))
    assert mnist.download(tmp_path) == tmp_path
    mnist.load(tmp_path)
    assert names(tmp_path) == sorted(BY_NAME)


def test_the_real_files_packed_again_are_mnist(mnist_folder, tmp_path):
    for key, path in mnist.find(mnist_folder).items():
        data = path.read_bytes()
        raw = gzip.decompress(data) if idx.is_gzip(data) else data
        assert len(raw) == mnist.FILES[key].raw_bytes
        (tmp_path / mnist.FILES[key].name).write_bytes(gzip.compress(raw, 1))
    assert len(mnist.load(tmp_path, allow_download=False)[0]) == 60000
    assert mnist.load(tmp_path, 3, 3, allow_download=False)[3].tolist() == [7, 2, 1]


def test_the_real_files_are_mnist(mnist_folder):
    train_images, train_labels, test_images, test_labels, _ = mnist.load(mnist_folder, allow_download=False)
    assert train_images.shape == (60000, 28, 28, 1)
    assert test_images.shape == (10000, 28, 28, 1)
    assert train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert round(float(train_images.mean()) / 255, 4) == 0.1307  # the mean with which MNIST is usually normalised
