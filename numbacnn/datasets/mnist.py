"""MNIST, and the data sets in its form: found on disk, or downloaded once, and never used unless their checksum is right.

MNIST is looked for below a data folder, in ``LAYOUTS`` and under ``MnistFile.names``, gzipped or not. Missing files are downloaded
into the data folder itself. ``FourFiles`` says the same of another data set of four files; see ``mnist_likes`` and ``emnist``.

The content decides, unpacked: whoever packed it, with whatever tool and level, it is MNIST. A file of other content stays where it
is. What may be a damaged download is downloaded again, and kept under another name.

Source: Yann LeCun, Corinna Cortes, Christopher Burges, "The MNIST database of handwritten digits", 1998. Sizes and checksums are
those of tensorflow/datasets (url_checksums/mnist.txt), recomputed from the files.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from numbacnn.datasets import idx
from numbacnn.datasets.download import Collection, Notice, Progress, RemoteFile, fetch_missing
from numbacnn.datasets.locate import folder_of, locate
from numbacnn.errors import DataError

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class MnistFile(RemoteFile):
    """One of the four files, as downloaded (gzipped) and as unpacked (raw); None for a checksum that nobody has published."""

    raw_bytes: int
    raw_sha256: str | None
    magic: int

    @property
    def names(self) -> tuple[str, ...]:
        """The file's names in the wild, gzipped or not: with a hyphen or, in the original archives, a dot."""
        hyphen = self.name.removesuffix(".gz")
        dot = hyphen.replace("-idx", ".idx")
        return self.name, hyphen, f"{dot}.gz", dot


FILES: dict[str, MnistFile] = {
    "train_images": MnistFile(
        "train-images-idx3-ubyte.gz",
        9912422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        47040016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        idx.IMAGES_MAGIC,
    ),
    "train_labels": MnistFile(
        "train-labels-idx1-ubyte.gz",
        28881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        60008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        idx.LABELS_MAGIC,
    ),
    "test_images": MnistFile(
        "t10k-images-idx3-ubyte.gz",
        1648877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        7840016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        idx.IMAGES_MAGIC,
    ),
    "test_labels": MnistFile(
        "t10k-labels-idx1-ubyte.gz",
        4542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        10008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        idx.LABELS_MAGIC,
    ),
}

MIRRORS: tuple[str, ...] = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
"""Tried in this order; yann.lecun.com, the files' first home, no longer answers."""

MIRRORS_VARIABLE = "NUMBACNN_MNIST_MIRRORS"
"""Environment variable with other base URLs, separated by spaces or commas: a classroom's own server, for instance."""

WITHOUT_NETWORK = "--dataset digits (drawn by the program), or --data-dir with a folder that has the four files."

LAYOUTS = (".", "mnist", "MNIST/raw", "raw")
"""Below the data folder, in this order: itself, a folder for MNIST alone, and torchvision's folder, seen from above and from MNIST/."""


@dataclass(frozen=True)
class FourFiles:
    """A data set in MNIST's form: training and test images and labels, 28x28 pixels in grey.

    Args:
        name: as in ``--dataset``.
        title: in messages; in lower case, in the name of the lock.
        files: by the keys of ``FILES``.
        layouts: folders below the data folder in which the files are looked for, in this order.
        mirrors: base URLs, tried in order.
        mirrors_variable: environment variable with other base URLs.
        without_network: advice where no mirror answers.
        folder: the folder below the data folder into which the files are downloaded.
        classes: labels are below this.
        max_items: most images that a file may announce.
    """

    name: str
    title: str
    files: Mapping[str, MnistFile]
    layouts: Sequence[str]
    mirrors: tuple[str, ...]
    mirrors_variable: str
    without_network: str
    folder: str = "."
    classes: int = 10
    max_items: int = idx.MAX_ITEMS

    def collection(self) -> Collection:
        """The files as data to download."""
        return Collection(self.title, tuple(self.files.values()), self.mirrors, self.mirrors_variable, self.without_network)


def description() -> FourFiles:
    """MNIST's."""
    return FourFiles("mnist", "MNIST", FILES, LAYOUTS, MIRRORS, MIRRORS_VARIABLE, WITHOUT_NETWORK)


def find(data_dir: Path, of: FourFiles | None = None) -> dict[str, Path] | None:
    """The four files of a data set (None: MNIST) below ``data_dir`` by the keys of ``FILES``, not read; None where one is missing."""
    of = of or description()
    found = _locate(Path(data_dir), of)
    return found if len(found) == len(of.files) else None


def load(
    data_dir: Path,
    train_limit: int | None = None,
    test_limit: int | None = None,
    *,
    of: FourFiles | None = None,
    allow_download: bool = True,
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> tuple[Bytes, Bytes, Bytes, Bytes, str]:
    """MNIST, or another data set in its form, as arrays; files missing below ``data_dir`` are downloaded first.

    Args:
        data_dir: the folder to search (see ``LAYOUTS``) and to download to.
        train_limit, test_limit: the number of images, from the first on; None for all.
        of: the data set; None for MNIST.
        allow_download: False makes missing files an error.
        progress, notice: told about a download, see ``download``.
    Returns:
        train_images uint8 (n, 28, 28, 1), train_labels uint8 (n,), test_images, test_labels, and their source in words.
    Raises:
        DataError: files are missing and cannot be downloaded, or are not the data set's.
    """
    of = of or description()
    data_dir = Path(data_dir)
    limits = {"train": _checked_limit("train_limit", train_limit), "test": _checked_limit("test_limit", test_limit)}
    paths = _complete(data_dir, of, allow_download, progress, notice)
    arrays, unchecked = {}, False
    for key, path in paths.items():
        limit = limits[key.split("_")[0]]
        try:
            arrays[key], is_checked = _read_verified(path, key, of, limit)
        except _Damaged:
            if not (allow_download and _is_download(path, data_dir, of.files[key], of)):
                raise
            download(data_dir, of=of, progress=progress, notice=notice)
            arrays[key], is_checked = _read_verified(path, key, of, limit)
        unchecked |= not is_checked
    folders = {str(folder_of(path, of.files[key].names)) for key, path in paths.items()}
    checked = "unpacked: taken as they are" if unchecked else "sha256 checked"
    return (
        arrays["train_images"][..., np.newaxis],
        arrays["train_labels"],
        arrays["test_images"][..., np.newaxis],
        arrays["test_labels"],
        f"{', '.join(sorted(folders))} ({checked})",
    )


def download(
    data_dir: Path,
    *,
    of: FourFiles | None = None,
    mirrors: Sequence[str] | None = None,
    timeout: float = 30.0,
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> Path:
    """Complete the four files of MNIST, or of another data set in its form, below ``data_dir``.

    The missing and damaged ones are downloaded, the right ones kept.

    A file appears under its name only when it is complete and its sha256 is right. Several processes may call this at once: one
    downloads, the others wait and find everything there.

    Args:
        data_dir: the folder; created when it does not exist.
        of: the data set; None for MNIST.
        mirrors: base URLs, tried in order for every file; None: those in the data set's variable, else its own.
        timeout: seconds a mirror may be silent. The next mirror is tried, too, where a file has not begun after three times as
            long, or comes at less than 1 KiB/s for as long, or at less than 4 KiB/s for ten times as long.
        progress: called with (file name, bytes received, bytes of the file) as bytes arrive.
        notice: called with one line for each event, for instance that a damaged file is replaced.
    Returns:
        the folder to which files are downloaded
    Raises:
        DataError: the folder cannot be written, a file of the same name is another data set, or no mirror has a file.
    """
    of = of or description()
    data_dir = Path(data_dir)
    fetch_missing(
        of.collection(),
        data_dir / of.folder,
        lambda tell: [file for key, file in of.files.items() if _needs_download(key, data_dir, of, tell)],
        mirrors=mirrors,
        timeout=timeout,
        progress=progress,
        notice=notice,
    )
    return data_dir / of.folder


def collection() -> Collection:
    """MNIST as data to download."""
    return description().collection()


class _Damaged(DataError):
    """A file that is not intact, as opposed to an intact file of another data set."""


def _locate(data_dir: Path, of: FourFiles) -> dict[str, Path]:
    """The files below ``data_dir``, as far as they are there."""
    paths = {key: locate(data_dir, of.layouts, file.names) for key, file in of.files.items()}
    return {key: path for key, path in paths.items() if path is not None}


def _complete(
    data_dir: Path, of: FourFiles, allow_download: bool, progress: Progress | None, notice: Notice | None
) -> dict[str, Path]:
    """All four paths, after a download where files are missing."""
    found = _locate(data_dir, of)
    missing = [file.name for key, file in of.files.items() if key not in found]
    if not missing:
        return found
    if not allow_download:
        searched = ", ".join(str(data_dir / layout) for layout in of.layouts)
        raise DataError(
            f"{of.title}: expected {', '.join(missing)} (gzipped or not), got none of them in {searched}. "
            f"Run 'numbacnn download {of.name}', choose another --data-dir, or use --dataset digits."
        )
    if found and notice:
        notice(f"{of.title} in {data_dir} is incomplete: {', '.join(missing)} missing")
    download(data_dir, of=of, progress=progress, notice=notice)
    return _locate(data_dir, of)


def _checked_limit(name: str, limit: int | None) -> int | None:
    if limit is not None and limit < 0:
        raise DataError(f"{name}: expected 0 images or more, got {limit}.")
    return limit


def _read_verified(path: Path, key: str, of: FourFiles, limit: int | None = None) -> tuple[Bytes, bool]:
    """The content of one file whose sha256 is right, and whether there was a published one to compare with.

    Raises:
        _Damaged: it may be what is left of a download, which is then made again.
        DataError: it is other data, or cannot be read.
    """
    name, file = str(path), of.files[key]

    def parse(data: bytes | memoryview, limit: int | None = limit) -> Bytes:
        return idx.parse_idx(data, name, magic=file.magic, classes=of.classes, limit=limit, max_items=of.max_items)

    if os.path.isdir(path):
        raise DataError(
            f"{name}: expected a file, or a folder with {' or '.join(file.names)} in it, got a folder without it. {idx.ADVICE}."
        )
    data = idx.read_file(path, of.max_items)
    if hashlib.sha256(data).hexdigest() in (file.sha256, file.raw_sha256):
        # The fast way: a file packed as usual is unpacked only up to the limit.
        return parse(data), True
    damage = _Damaged if _may_be_download(data, file) else DataError
    try:
        content = idx.unpack(data, name, file.raw_bytes)
    except DataError as error:
        raise damage(str(error)) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest == file.raw_sha256:
        return parse(content), True
    # A download damaged later neither unpacks without an error nor is as long as it announces.
    is_intact = idx.is_gzip(data) or idx.is_idx(data)
    if is_intact and len(content) > file.raw_bytes:
        raise DataError(f"{name}: expected {of.title}'s {file.raw_bytes} bytes (unpacked), got more: other data. {idx.ADVICE}.")
    try:
        parse(content, None)
    except DataError as error:
        if is_intact:
            raise
        raise damage(str(error)) from error
    if file.raw_sha256 is None and len(content) == file.raw_bytes:
        if key in FILES and digest == FILES[key].raw_sha256:
            raise DataError(f"{name}: expected a file of {of.title}, got MNIST's. {idx.ADVICE}.")
        return parse(content), False
    raise DataError(
        f"{name}: expected {of.title}'s {file.raw_bytes} bytes (unpacked), got {len(content)}. {idx.ADVICE}."
        if file.raw_sha256 is None
        else f"{name}: expected {of.title}'s sha256 {file.raw_sha256} (unpacked), got {digest}: an intact file of other data. {idx.ADVICE}."
    )


def _may_be_download(data: bytes, file: MnistFile) -> bool:
    """Whether bytes that are not intact may be what is left of a download: zeros, or gzip that begins as the file does."""
    header = idx.header_of(file.magic, file.raw_bytes)
    return not data.strip(b"\0") or (idx.is_gzip(data) and header.startswith(idx.first_bytes(data, len(header))))


def _is_download(path: Path, data_dir: Path, file: MnistFile, of: FourFiles) -> bool:
    """Whether a download would have put the file there."""
    return path == data_dir / of.folder / file.name


def _needs_download(key: str, data_dir: Path, of: FourFiles, tell: Notice) -> bool:
    path = _locate(data_dir, of).get(key)
    if path is None:
        return True
    try:
        _read_verified(path, key, of, limit=1)
    except _Damaged:
        if not _is_download(path, data_dir, of.files[key], of):
            raise
        tell(f"downloading again, {path} is damaged")
        return True
    return False
