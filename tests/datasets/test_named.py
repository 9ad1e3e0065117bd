"""Fashion-MNIST, KMNIST and EMNIST: files made here in their published form, from a server on this machine."""

import gzip
import hashlib
import io
import json
import struct
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import http_server as web
import numpy as np
import pytest
from numbacnn_cli.main import _guarded
from small_mnist import put

from numbacnn.dataset_names import DATASETS, DOWNLOADS
from numbacnn.datasets import emnist, idx, load_dataset, mnist, mnist_likes, named
from numbacnn.datasets.download import RemoteFile
from numbacnn.errors import DataError

TRAIN, TEST = 12, 6
SIDE = 28
NAMED = [name for name in DATASETS if name not in ("mnist", "digits")]
LIKES = {"fashion-mnist": "FASHION_MNIST", "kmnist": "KMNIST"}


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE), np.uint8)


def idx_file(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


def contents(classes: int = 10, first: int = 0) -> dict[str, bytes]:
    """The four files, unpacked, by the keys of ``mnist.FILES``."""
    made = {"train_images": images(TRAIN, 1), "test_images": images(TEST, 2)}
    made |= {"train_labels": np.arange(TRAIN) % classes + first, "test_labels": np.arange(TEST) % classes + first}
    return {key: idx_file(made[key]) for key in mnist.FILES}


@pytest.fixture
def fashion(monkeypatch: pytest.MonkeyPatch) -> Iterator[web.Server]:
    """A server of both data sets in MNIST's form, whose published sums are those of the files that it serves."""
    raw = contents()
    packed = {key: gzip.compress(data, mtime=0) for key, data in raw.items()}
    for variable in LIKES.values():
        of = getattr(mnist_likes, variable)
        files = {
            key: mnist.MnistFile(
                file.name, len(packed[key]), hashlib.sha256(packed[key]).hexdigest(), len(raw[key]), None, file.magic
            )
            for key, file in of.files.items()
        }
        monkeypatch.setattr(mnist_likes, variable, replace(of, files=files))
    with web.serving({mnist.FILES[key].name: data for key, data in packed.items()}) as server:
        mirror = server.mirror("good", web.good)
        for name in LIKES:
            monkeypatch.setenv(named.description(name).mirrors_variable, f"http://127.0.0.1:9/ {mirror}")
        yield server


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[web.Server]:
    """A server of an archive like EMNIST's, with the published sum of its own, transposed images, and a huge member."""
    small = {name: replace(split, train=TRAIN, test=TEST) for name, split in emnist.SPLITS.items()}
    monkeypatch.setattr(emnist, "SPLITS", small)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name, split in small.items():
            for key, raw in contents(len(split.class_names), split.first_label).items():
                target.writestr(f"gzip/{emnist.description(name).files[key].name}", gzip.compress(raw, mtime=0))
        target.writestr("gzip/emnist-byclass-train-images-idx3-ubyte.gz", bytes(1 << 20))
        target.writestr("../outside", b"x")
    data = out.getvalue()
    monkeypatch.setattr(emnist, "ARCHIVE", RemoteFile("gzip.zip", len(data), hashlib.sha256(data).hexdigest()))
    with web.serving({"gzip.zip": data}) as server:
        monkeypatch.setenv(emnist.MIRRORS_VARIABLE, server.mirror("good", web.good))
        yield server


@pytest.mark.parametrize("name", LIKES)
def test_a_data_set_in_mnists_form_is_downloaded_checked_and_found_again(fashion: web.Server, name: str, tmp_path: Path) -> None:
    put(tmp_path)  # files of the same names, but MNIST's, in the data folder itself
    notices: list[str] = []
    data = load_dataset(name, tmp_path, notice=notices.append)
    assert any(f"downloading {named.description(name).title} to {tmp_path / name}" in notice for notice in notices)
    np.testing.assert_array_equal(data.train_images[..., 0], images(TRAIN, 1))
    np.testing.assert_array_equal(data.test_labels, np.arange(TEST))
    assert data.source == f"{tmp_path / name} (sha256 checked)"
    assert data.class_names == named.class_names(name)
    assert data.pictures == ("photographs" if name == "fashion-mnist" else "digits")
    requests = sum(fashion.requests.values())
    load_dataset(name, tmp_path)
    assert sum(fashion.requests.values()) == requests == 4


def test_fashion_mnist_is_found_where_torchvision_stores_it_and_mnist_in_its_place_is_refused(
    fashion: web.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for key, raw in contents().items():
        (folder / mnist.FILES[key].name.removesuffix(".gz")).write_bytes(raw)
    assert load_dataset("fashion-mnist", tmp_path).source == f"{folder} (unpacked: taken as they are)"
    assert not fashion.requests
    as_mnist = {key: replace(file, raw_sha256=hashlib.sha256(contents()[key]).hexdigest()) for key, file in mnist.FILES.items()}
    monkeypatch.setattr(mnist, "FILES", as_mnist)
    with pytest.raises(DataError, match="expected a file of Fashion-MNIST, got MNIST's"):
        load_dataset("fashion-mnist", tmp_path)


def test_a_file_of_another_size_is_not_taken_for_fashion_mnist(fashion: web.Server, tmp_path: Path) -> None:
    folder = put(tmp_path / "fashion-mnist", packed=False)
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(idx_file(images(TRAIN - 1, 5)))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte: expected Fashion-MNIST's \d+ bytes \(unpacked\), got \d+"):
        load_dataset("fashion-mnist", tmp_path)
    assert path.exists()


@pytest.mark.parametrize("name", ["emnist-letters", "emnist-balanced", "emnist-digits"])
def test_emnist_is_unpacked_from_its_archive_turned_upright_and_counted_from_0(
    archive: web.Server, name: str, tmp_path: Path
) -> None:
    data = load_dataset(name, tmp_path)
    np.testing.assert_array_equal(data.train_images[..., 0], images(TRAIN, 1).swapaxes(1, 2))
    np.testing.assert_array_equal(data.train_labels, np.arange(TRAIN) % len(data.class_names))
    assert {path.name for path in (tmp_path / "emnist").iterdir()} <= {
        "gzip.zip", "emnist.lock", *(file.name for file in emnist.description(name).files.values()),
    }  # fmt: skip
    assert not (tmp_path / "outside").exists()
    other = "emnist-digits" if name != "emnist-digits" else "emnist-letters"
    load_dataset(other, tmp_path, train_limit=3)  # from the same archive
    assert sum(archive.requests.values()) == 1


def test_emnist_is_found_where_torchvision_stores_it(archive: web.Server, tmp_path: Path) -> None:
    folder = tmp_path / "EMNIST" / "raw"
    folder.mkdir(parents=True)
    for key, file in emnist.description("emnist-letters").files.items():
        (folder / file.name.removesuffix(".gz")).write_bytes(contents(26, 1)[key])
    assert load_dataset("emnist-letters", tmp_path, test_limit=2).test_labels.tolist() == [0, 1]
    assert not archive.requests


def test_a_member_of_the_archive_larger_than_the_set_is_not_unpacked(
    archive: web.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for file in emnist.description("emnist-letters").files.values():
            target.writestr(f"gzip/{file.name}", bytes(50_000_000))
    data = out.getvalue()
    monkeypatch.setattr(emnist, "ARCHIVE", RemoteFile("gzip.zip", len(data), hashlib.sha256(data).hexdigest()))
    archive.files["gzip.zip"] = data
    with pytest.raises(DataError, match=r"expected at most \d+ bytes, got 50000000"):
        load_dataset("emnist-letters", tmp_path)


def test_another_file_at_the_archives_place_stays_there(archive: web.Server, tmp_path: Path) -> None:
    (tmp_path / "emnist").mkdir()
    (tmp_path / "emnist" / "gzip.zip").write_bytes(b"mine")
    with pytest.raises(DataError, match="expected EMNIST's archive"):
        load_dataset("emnist-letters", tmp_path)
    assert (tmp_path / "emnist" / "gzip.zip").read_bytes() == b"mine"
    assert not archive.requests


@pytest.mark.parametrize("name", NAMED)
def test_each_named_data_set_has_a_description(name: str) -> None:
    of = named.description(name)
    assert of.name == name
    assert all(mirror.startswith("http") for mirror in of.mirrors)
    assert len(of.mirrors) > 1
    assert of.classes >= len(named.class_names(name)) == len(set(named.class_names(name)))
    assert {file.magic for file in of.files.values()} == {idx.IMAGES_MAGIC, idx.LABELS_MAGIC}
    assert set(DOWNLOADS) == set(DATASETS) - {"digits"}


def test_letters_and_balanced_classes_are_those_of_the_paper() -> None:
    assert len(named.class_names("emnist-letters")) == 26
    assert len(named.class_names("emnist-balanced")) == 47
    assert emnist.description("emnist-letters").files["train_images"].raw_bytes == 16 + 124_800 * 784


def test_fashion_mnist_is_downloaded_trained_on_and_resumed_by_commands(
    fashion: web.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NUMBACNN_DATA_DIR", raising=False)  # a folder of the user's, into which nothing of a test may come

    def numbacnn(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["numbacnn", *map(str, args)])
        return _guarded(), *capsys.readouterr()

    code, out, error = numbacnn("download", "fashion-mnist")
    assert (code, out) == (0, "fashion-mnist is complete in data/fashion-mnist\n"), error
    train = (
        "train",
        "--model",
        "softmax",
        "--dataset",
        "fashion-mnist",
        "--batch-size",
        4,
        "--progress",
        "none",
        "--format",
        "json",
    )
    code, out, error = numbacnn(*train, "--epochs", 2)
    assert code == 0, error
    assert json.loads(out)["train_images"] == TRAIN
    code, out, error = numbacnn("evaluate", "--format", "json")
    assert (code, json.loads(out)["images"]) == (0, TEST), error
    code, out, error = numbacnn("train", "--resume", "--epochs", 3, "--progress", "none", "--format", "json")
    assert (code, json.loads(out)["epochs"]) == (0, 3), error
    assert sum(fashion.requests.values()) == 4
