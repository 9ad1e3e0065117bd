"""A folder of IDX files with any content: images and labels by their names, in parts if the names say so.

MNIST's names and EMNIST's are known. EMNIST's images are turned upright: its files hold them transposed.
"""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn.datasets import idx
from numbacnn.datasets.own import Arrays
from numbacnn.errors import DataError
from numbacnn.pictures.files import is_litter
from numbacnn.quoting import listed

_NAME = re.compile(r"(images|labels)[-._ ]*(idx\d?)?[-._ ]*(ubyte)?(\.gz)?$", re.IGNORECASE)
_PARTS = (("test", re.compile("t10k|test", re.IGNORECASE)), ("validation", re.compile("val", re.IGNORECASE)))


def is_one(folder: Path) -> bool:
    """Whether a folder holds IDX files, or has them in ``raw/``, as torchvision's do."""
    return bool(_files(folder) or _files(folder / "raw"))


def read(folder: Path) -> Arrays:
    """The images and labels of a folder's files.

    Raises:
        DataError: a file of a part is missing, there is more than one, or one is damaged.
    """
    paths = _files(folder) or _files(folder / "raw")
    found: dict[tuple[str, str], Path] = {}
    for path in paths:
        key = _part(path.name), _kind(path.name)
        if key in found and _stem(found[key].name) != _stem(path.name):
            raise DataError(
                f"{folder}: expected one file of {key[0]} {key[1]}, got {found[key].name} and {path.name}. "
                "Put each data set into a folder of its own"
            )
        found.setdefault(key, path)
    if not any(part == "train" for part, _ in found):  # a test part alone
        found = {("train", kind): path for (part, kind), path in found.items() if part == next(iter(found))[0]}
    parts = {part: _read_part(folder, part, found) for part in ("train", "test", "validation")}
    assert parts["train"] is not None
    turned = ", turned upright" if _is_emnist(paths[0]) else ""
    return Arrays(parts["train"], parts["test"], parts["validation"], source=turned)


def _read_part(folder: Path, part: str, found: dict[tuple[str, str], Path]) -> tuple[NDArray[Any], NDArray[Any]] | None:
    images, labels = found.get((part, "images")), found.get((part, "labels"))
    if images is None and labels is None:
        return None
    if images is None or labels is None:
        missing = "images" if images is None else "labels"
        names = listed(path.name for path in found.values())
        raise DataError(
            f"{folder}: expected a file of {part} {missing}, as {part}-{missing}-idx{3 if images is None else 1}-ubyte, got {names}. Add it"
        )
    pixels, numbers = idx.read_any(images), idx.read_any(labels)
    if pixels.ndim == 1 or numbers.ndim != 1:
        raise DataError(
            f"{folder}: expected images in {images.name} and labels in {labels.name}, got shapes {pixels.shape} and {numbers.shape}"
        )
    return np.ascontiguousarray(pixels.swapaxes(1, 2)) if _is_emnist(images) else pixels, numbers


def _files(folder: Path) -> list[Path]:
    """The IDX files of a folder; one may lie in a folder of its own name, as Kaggle's do."""
    try:
        names = sorted(name for name in os.listdir(folder) if _is_idx_name(name) and not is_litter(name))
    except OSError:
        return []
    paths = []
    for path in (folder / name for name in names):
        if path.is_dir():
            paths += [inner for inner in sorted(path.iterdir()) if _is_idx_name(inner.name) and inner.is_file()][:1]
        else:
            paths.append(path)
    return paths


def _is_idx_name(name: str) -> bool:
    match = _NAME.search(name)
    return match is not None and bool(match[2] or match[3])  # a class may be called "images"


def _kind(name: str) -> str:
    match = _NAME.search(name)
    assert match is not None
    return match[1].lower()


def _part(name: str) -> str:
    return next((part for part, pattern in _PARTS if pattern.search(name)), "train")


def _stem(name: str) -> str:
    return name.lower().removesuffix(".gz").replace(".idx", "-idx")


def _is_emnist(path: Path) -> bool:
    return path.name.lower().startswith("emnist-")
