"""``.npz`` files: NumPy's archives of arrays, as Keras, MedMNIST and others store data sets. Nothing is unpickled.

What a header asks for is compared with the file and with the memory that is left, before any is taken.
"""

import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn import memory
from numbacnn.datasets.own import Arrays
from numbacnn.errors import DataError
from numbacnn.quoting import listed, plain, short
from numbacnn.reading import open_regular

PARTS = {
    "train": ("train", ""),
    "test": ("test",),
    "validation": ("val", "valid", "validation", "dev"),
}
"""Names of the parts; "" for an array whose name says nothing of a part."""
IMAGES = ("x", "images", "image", "imgs", "data", "features", "pixels")
LABELS = ("y", "labels", "label", "targets", "target", "classes")
CLASS_NAMES = ("class_names", "classnames", "label_names", "target_names")

_MOST_PACKED = 1100
"""Bytes that a byte of deflate may become: 1,032, and the headers of tiny members."""
_ADVICE = "Save it with np.savez(file, x=images, y=labels)"


def read(path: Path) -> Arrays:
    """The arrays of a file.

    Raises:
        DataError: it is no such file, is damaged, or has arrays of other names.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            members = {name.removesuffix(".npy"): info for name, info in ((i.filename, i) for i in archive.infolist())}
            parts = {part: _pair(path, part, members) for part in PARTS}
            if parts["train"] is None:
                raise DataError(
                    f"{path}: expected arrays x and y, or x_train, y_train, x_test and y_test, got {listed(members) or 'none'}. {_ADVICE}"
                )
            loaded = {
                part: (_array(path, archive, members[pair[0]]), _array(path, archive, members[pair[1]]))
                for part, pair in parts.items()
                if pair is not None
            }
            names = next((members[name] for name in members if _plain(name) in CLASS_NAMES), None)
            class_names = None if names is None else _array(path, archive, names).astype(str).ravel().tolist()
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, SyntaxError) as error:
        raise DataError(
            f"{path}: expected an .npz file of arrays, got a damaged or another one ({short(str(error))}). {_ADVICE}"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}. Give another file") from None
    return Arrays(loaded["train"], loaded.get("test"), loaded.get("validation"), class_names)


def _pair(path: Path, part: str, members: Mapping[str, Any]) -> tuple[str, str] | None:
    """The names of a part's images and labels; None if it has neither."""
    images, labels = (_named(members, part, known) for known in (IMAGES, LABELS))
    if images is None and labels is None:
        return None
    if images is None or labels is None:
        missing, there = ("images", labels) if images is None else ("labels", images)
        raise DataError(f"{path}: expected {missing} beside {plain(there)}, got {listed(members)}. {_ADVICE}")
    return images, labels


def _named(members: Mapping[str, Any], part: str, known: tuple[str, ...]) -> str | None:
    for word in PARTS[part]:
        for kind in known:
            wanted = {f"{kind}_{word}", f"{word}_{kind}", f"{kind}{word}"} if word else {kind}
            for name in members:
                if _plain(name) in wanted:
                    return name
    return None


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


def _array(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    """One array, whose size is checked first."""
    who = f"{path}: {plain(info.filename.removesuffix('.npy'))}"
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if header is None:
            raise DataError(f"{who}: expected an array of numbers or texts, got one of format {version}. {_ADVICE}")
        shape, _, dtype = header(file)
        if dtype.hasobject:
            raise DataError(
                f"{who}: expected an array of numbers or texts, got pickled objects, which are never loaded. {_ADVICE}"
            )
        size = math.prod(shape) * dtype.itemsize
    if not size <= info.file_size <= _MOST_PACKED * (info.compress_size + 1024):
        raise DataError(f"{who}: expected {size:,} bytes, as its header says, got another number. {_ADVICE} again")
    memory.check(2 * size, who, "Save fewer or smaller images", DataError)
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
