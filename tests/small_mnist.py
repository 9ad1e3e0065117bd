"""MNIST in four files of a few images, for tests of finding and downloading."""

import gzip
import hashlib
import struct

import numpy as np
from repository import ROOT, TESTS

from numbacnn.datasets import idx, mnist

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
    """The names in a folder, except the lock's."""
    return sorted(path.name for path in folder.iterdir() if path.name != "mnist.lock")


def assert_complete(folder):
    assert names(folder) == sorted(BY_NAME)
    for name, data in BY_NAME.items():
        assert (folder / name).read_bytes() == data


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import small_mnist
from numbacnn.datasets import mnist
mnist.FILES = small_mnist.SMALL_FILES
mnist.load(Path(sys.argv[1]))
"""


CHILD_PATHS = [str(path) for path in (TESTS, ROOT)]
