"""MNIST's files: found, downloaded once, and never used with a wrong checksum."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import http_server as web
import numpy as np
import pytest
from filelock import FileLock

from numbacnn.datasets import idx, mnist
from numbacnn.errors import DataError

COUNTS = {"train": 12, "test": 5}


def _small_file(key):
    """A valid IDX file with random content, for one of the keys of mnist.FILES."""
    part, kind = key.split("_")
    count = COUNTS[part]
    rng = np.random.default_rng(len(key))
    if kind == "images":
        return (
            struct.pack(">4I", idx.IMAGES_MAGIC, count, 28, 28) + rng.integers(0, 256, (count, 28, 28), dtype=np.uint8).tobytes()
        )
    return struct.pack(">2I", idx.LABELS_MAGIC, count) + rng.integers(0, 10, count, dtype=np.uint8).tobytes()


RAW = {key: _small_file(key) for key in mnist.FILES}
PACKED = {key: gzip.compress(raw, mtime=0) for key, raw in RAW.items()}


def _small(key):
    file = mnist.FILES[key]
    sizes_and_digests = [item for data in (PACKED, RAW) for item in (len(data[key]), hashlib.sha256(data[key]).hexdigest())]
    return mnist.MnistFile(file.name, *sizes_and_digests, file.magic)


SMALL_FILES = {key: _small(key) for key in mnist.FILES}
BY_NAME = {file.name: PACKED[key] for key, file in SMALL_FILES.items()}
TRAIN_IMAGES = SMALL_FILES["train_images"].name


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """No test reaches beyond this machine, whatever it does wrong."""
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, "http://127.0.0.1:9/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def small(monkeypatch):
    """MNIST, for the duration of a test, is four files of a few images."""
    monkeypatch.setattr(mnist, "FILES", SMALL_FILES)


@pytest.fixture
def server(small):
    with web.serving(BY_NAME) as server:
        yield server


def put(folder, *, packed=True, only=SMALL_FILES, name=lambda name: name):
    """Put MNIST's files into a folder; ``name`` makes a path below it from each usual name."""
    for key in only:
        usual = SMALL_FILES[key].name
        path = folder / name(usual if packed else usual.removesuffix(".gz"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((PACKED if packed else RAW)[key])
    return folder


def dotted(name):
    return name.replace("-idx", ".idx")


def in_a_folder(name):
    return f"{name}/{name}"


def names(folder):
    """What lies in a folder, but for the lock."""
    return sorted(path.name for path in folder.iterdir() if path.name != "mnist.lock")


def assert_complete(folder):
    assert names(folder) == sorted(BY_NAME)
    for name, data in BY_NAME.items():
        assert (folder / name).read_bytes() == data


# --- finding and loading ---


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
    with pytest.raises(DataError, match="train_limit: expected 0 images or more, came -1"):
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
        b"".join(gzip.compress(raw[at : at + 1000]) for at in range(0, len(raw), 1000)) + gzip.compress(b"")
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
    "as many images (Fashion-MNIST)": (gzip.compress(images_file(12, 28, 28)), "other data than MNIST's"),
    "fewer images": (gzip.compress(RAW["test_images"]), "other data than MNIST's"),
    "more images (EMNIST)": (gzip.compress(images_file(13, 28, 28)), "came more: other data"),
    "many more images": (gzip.compress(images_file(120_000, 2, 2)), "came more: other data"),
    "other sizes": (gzip.compress(images_file(12, 16, 16)), "28x28 pixels, came 16x16"),
    "labels": (PACKED["train_labels"], "came 2049"),
    "three channels": (gzip.compress(images_file(2, 3, 28, 28, magic=2052)), "came 2052"),
    "a table": (gzip.compress(b"label,pixel\n5,0\n"), "magic number"),
    "not packed": (images_file(12, 28, 28), "other data than MNIST's"),
    "not packed, other sizes": (images_file(12, 16, 16), "28x28 pixels, came 16x16"),
    "not packed, three channels": (images_file(2, 3, 28, 28, magic=2052), "came 2052"),
    "not packed, more images": (images_file(13, 28, 28), "came more: other data"),
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
    "a login page": lambda packed: b"<html>Please log in</html>",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_download_is_downloaded_again(server, tmp_path, monkeypatch, damage):
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, server.mirror("good", web.good))
    put(tmp_path)
    (tmp_path / TRAIN_IMAGES).write_bytes(damage(PACKED["train_images"]))
    mnist.load(tmp_path)
    assert sum(server.requests.values()) == 1
    assert_complete(tmp_path)


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
    monkeypatch.setattr(mnist, "_locked", lambda *_: pytest.fail("a lock was taken"))
    assert mnist.download(tmp_path) == tmp_path
    mnist.load(tmp_path)
    assert names(tmp_path) == sorted(BY_NAME)


# --- downloading ---


def test_all_files_are_downloaded_with_progress_and_a_notice(server, tmp_path):
    seen, notices = [], []
    folder = mnist.download(
        tmp_path / "new" / "data",
        mirrors=[server.mirror("good", web.good)],
        progress=lambda *args: seen.append(args),
        notice=notices.append,
    )
    assert_complete(folder)
    assert {(file.name, file.bytes, file.bytes) for file in SMALL_FILES.values()} <= set(seen)
    assert len(notices) == 1
    assert "4 files" in notices[0]
    assert (folder / TRAIN_IMAGES).stat().st_mode & 0o777 == 0o644


def test_valid_files_are_never_downloaded_again(server, tmp_path):
    mirror = server.mirror("good", web.good)
    put(tmp_path, only=["train_images"])
    put(tmp_path / "MNIST/raw", packed=False, only=["test_images"])
    mnist.download(tmp_path, mirrors=[mirror])
    mnist.download(tmp_path, mirrors=[mirror])
    assert sorted(server.requests) == ["/good/t10k-labels-idx1-ubyte.gz", "/good/train-labels-idx1-ubyte.gz"]
    assert sum(server.requests.values()) == 2
    mnist.load(tmp_path, allow_download=False)


def test_load_downloads_what_is_missing_and_says_so(server, tmp_path, monkeypatch):
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, server.mirror("good", web.good).rstrip("/"))
    put(tmp_path, only=["train_images", "train_labels"])
    notices = []
    mnist.load(tmp_path, notice=notices.append)
    assert "incomplete: t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz missing" in notices[0]
    assert_complete(tmp_path)


def test_a_damaged_download_is_replaced_and_the_user_is_told(server, tmp_path, monkeypatch):
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, server.mirror("good", web.good))
    put(tmp_path)
    (tmp_path / TRAIN_IMAGES).write_bytes(PACKED["train_images"][:-10])
    notices = []
    images = mnist.load(tmp_path, notice=notices.append)[0]
    assert images.tobytes() == RAW["train_images"][16:]
    assert any(TRAIN_IMAGES in notice and "damaged" in notice for notice in notices)
    assert sum(server.requests.values()) == 1
    assert_complete(tmp_path)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (web.status(403), "403"),
        (web.status(404), "404"),
        (web.status(500), "500"),
        (web.wrong_bytes, "sha256 is [0-9a-f]{64}, expected [0-9a-f]{64}"),
        (web.too_short, r"sent \d+ of \d+ bytes"),
        (web.cut_off, "IncompleteRead|bytes read"),
        (web.too_long, "sends more than"),
        (web.endless, "sends more than"),
        (web.web_page, "login page"),
        (web.reset, "reset"),
        (web.silent, "timed out"),
        (web.dripping, "too slow"),
        (web.redirect("file:///etc/passwd"), "No connection adapters"),
        (web.redirect_in_a_circle, "redirects"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_bad_mirror_is_passed_over_and_named_when_it_is_the_only_one(server, tmp_path, behaviour, reason):
    bad = server.mirror("bad", behaviour)
    with pytest.raises(DataError) as caught:
        mnist.download(tmp_path / "alone", mirrors=[bad], timeout=0.4)
    message = str(caught.value)
    assert re.search(reason, message), message
    assert bad + TRAIN_IMAGES in message
    assert names(tmp_path / "alone") == []  # neither a wrong file nor part of one

    folder = mnist.download(tmp_path / "both", mirrors=[bad, server.mirror("good", web.good)], timeout=0.4)
    assert_complete(folder)
    assert server.requests["/bad/" + SMALL_FILES["test_labels"].name] == 0  # the mirror that worked is asked first from then on


def test_a_server_that_labels_the_file_as_gzip_encoded_is_understood(server, tmp_path):
    assert_complete(mnist.download(tmp_path, mirrors=[server.mirror("apache", web.says_gzip_encoded)]))


def test_the_third_mirror_is_reached(server, tmp_path):
    mirrors = ["http://127.0.0.1:9/", server.mirror("wrong", web.wrong_bytes), server.mirror("good", web.good)]
    assert_complete(mnist.download(tmp_path, mirrors=mirrors))


@pytest.mark.usefixtures("small")
def test_when_no_mirror_answers_the_message_says_what_can_be_done(tmp_path, monkeypatch):
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, "http://127.0.0.1:9/a, http://127.0.0.1:9/b/")
    with pytest.raises(DataError) as caught:
        mnist.load(tmp_path)
    message = str(caught.value)
    for expected in (
        f"http://127.0.0.1:9/a/{TRAIN_IMAGES}",
        f"http://127.0.0.1:9/b/{TRAIN_IMAGES}",
        "Connection refused",
        str(tmp_path),
        "--data-dir",
        "--dataset digits",
        f"curl -L --create-dirs -o '{tmp_path / TRAIN_IMAGES}' http://127.0.0.1:9/a/{TRAIN_IMAGES}",
    ):
        assert expected in message
    assert message.count("curl") == 4


@pytest.mark.usefixtures("small")
def test_mirrors_have_to_be_web_addresses(tmp_path, monkeypatch):
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, "folder/of/the/teacher")
    with pytest.raises(DataError, match=r"NUMBACNN_MNIST_MIRRORS.*'folder/of/the/teacher'"):
        mnist.download(tmp_path)


def test_the_built_in_mirrors_are_used_when_the_variable_is_empty(monkeypatch):
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, " , ")
    assert mnist._mirror_list(None) == list(mnist.MIRRORS)
    assert all(url.startswith("https://") for url in mnist.MIRRORS)


@pytest.mark.usefixtures("small")
def test_a_data_folder_that_is_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match="--data-dir") as caught:
            mnist.load(folder)
        assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("small")
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match=r"Permission denied.*--data-dir"):
        mnist.load(tmp_path)


def test_a_full_disk_leaves_nothing_behind(server, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mnist.os, "replace", full)
    with pytest.raises(DataError, match="No space left on device"):
        mnist.download(tmp_path, mirrors=[server.mirror("good", web.good)])
    assert names(tmp_path) == []


def test_what_a_killed_download_left_is_cleared_away(server, tmp_path):
    (tmp_path / ".mnist-download").mkdir()
    (tmp_path / ".mnist-download" / "tmp123").write_bytes(b"half")
    assert_complete(mnist.download(tmp_path, mirrors=[server.mirror("good", web.good)]))


def test_ctrl_c_leaves_no_part_of_a_file(server, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mnist.download(tmp_path, mirrors=[server.mirror("good", web.good)], progress=interrupt)
    assert names(tmp_path) == []


def test_nothing_is_printed(server, tmp_path, capfd):
    mnist.download(tmp_path, mirrors=[server.mirror("good", web.good)])
    assert capfd.readouterr() == ("", "")


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import test_mnist
from numbacnn.datasets import mnist
mnist.FILES = test_mnist.SMALL_FILES
mnist.load(Path(sys.argv[1]))
"""


CHILD_PATHS = [str(Path(__file__).parents[level]) for level in (0, 1, 2)]
MEASURED_LOAD = """
used = lambda: int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])
before = used()
try: mnist.load(Path(sys.argv[1]), allow_download=False)
except test_mnist.DataError: print('refused', used() - before)
"""


def test_several_processes_at_once_download_each_file_once(server, tmp_path):
    environment = dict(os.environ, **{mnist.MIRRORS_VARIABLE: server.mirror("slow", web.slow_but_good)})
    command = [sys.executable, "-c", CHILD, str(tmp_path), *CHILD_PATHS]
    children = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 0, errors
    assert_complete(tmp_path)
    assert sorted(server.requests.values()) == [1, 1, 1, 1]


def test_a_process_that_waits_for_another_says_so(server, tmp_path):
    notices = []
    held = threading.Event()

    def hold():
        with FileLock(tmp_path / "mnist.lock"):
            held.set()
            time.sleep(0.6)

    threading.Thread(target=hold).start()
    held.wait()
    mnist.download(tmp_path, mirrors=[server.mirror("good", web.good)], notice=notices.append)
    assert "another process" in notices[0]
    assert_complete(tmp_path)


# --- the real files ---


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
    assert round(float(train_images.mean()) / 255, 4) == 0.1307  # the mean that everybody normalises with


def test_the_real_files_are_downloaded_and_loaded(mnist_folder, tmp_path, monkeypatch):
    found = mnist.find(mnist_folder)
    files = {file.name: found[key].read_bytes() for key, file in mnist.FILES.items()}
    if not all(data.startswith(b"\x1f\x8b") for data in files.values()):
        pytest.skip("the files here are unpacked, a mirror serves them gzipped")
    with web.serving(files) as server:
        monkeypatch.setenv(mnist.MIRRORS_VARIABLE, server.mirror("good", web.good))
        _, labels, *_ = mnist.load(tmp_path, 10, 10)
    assert labels.tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
