"""EMNIST's letters, balanced and digits: handwriting in MNIST's form, its images turned upright, its classes counted from 0.

All of EMNIST is one archive. It is downloaded and checked once and kept; only the four files of the set that is asked for are unpacked.

Source: Gregory Cohen, Saeed Afshar, Jonathan Tapson, André van Schaik, "EMNIST: an extension of MNIST to handwritten letters", 2017
(arXiv:1702.05373). The archive's size and checksum are those of tensorflow/datasets (url_checksums/emnist.txt); nobody has published
any of the files in it.
"""

import string
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from numbacnn.datasets import idx, mnist
from numbacnn.datasets.download import Collection, Notice, Progress, RemoteFile, fetch_missing, ignore
from numbacnn.datasets.locate import locate
from numbacnn.datasets.mnist import Bytes, FourFiles, MnistFile
from numbacnn.errors import DataError
from numbacnn.files import write_atomically

ARCHIVE = RemoteFile("gzip.zip", 561753746, "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e")
MIRRORS = ("https://biometrics.nist.gov/cs_links/EMNIST/", "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/")
MIRRORS_VARIABLE = "NUMBACNN_EMNIST_MIRRORS"
FOLDER = "emnist"
LAYOUTS = (FOLDER, "EMNIST/raw", "EMNIST", "emnist/gzip", "EMNIST/raw/gzip", "gzip")
WITHOUT_NETWORK = "--dataset digits (drawn by the program), or --data-dir with a folder emnist/ that has the set's four files."


@dataclass(frozen=True)
class Split:
    """One of EMNIST's data sets.

    Args:
        train, test: the number of images.
        class_names: one for each class.
        first_label: the label of the first class in the files.
    """

    train: int
    test: int
    class_names: tuple[str, ...]
    first_label: int = 0


SPLITS = {
    "emnist-letters": Split(124_800, 20_800, tuple(string.ascii_lowercase), first_label=1),
    # Capital and small letters that look alike are one class, named by the capital.
    "emnist-balanced": Split(112_800, 18_800, tuple(string.digits + string.ascii_uppercase + "abdefghnqrt")),
    "emnist-digits": Split(240_000, 40_000, tuple(string.digits)),
}


def description(name: str) -> FourFiles:
    """The four files of one of ``SPLITS``."""
    split = SPLITS[name]
    counts = {"train": split.train, "test": split.test}
    files = {}
    for key, like in mnist.FILES.items():
        part, kind = key.split("_")
        is_images = kind == "images"
        raw_bytes = 16 + counts[part] * 28 * 28 if is_images else 8 + counts[part]
        file = f"{name}-{part}-{kind}-idx{3 if is_images else 1}-ubyte.gz"
        files[key] = MnistFile(file, 0, "", raw_bytes, None, like.magic)  # the archive alone has a published size and sum
    return FourFiles(
        name, "EMNIST", files, LAYOUTS, MIRRORS, MIRRORS_VARIABLE, WITHOUT_NETWORK, FOLDER,
        len(split.class_names) + split.first_label, max(counts.values()),
    )  # fmt: skip


def load(
    name: str,
    data_dir: Path,
    train_limit: int | None = None,
    test_limit: int | None = None,
    *,
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> tuple[Bytes, Bytes, Bytes, Bytes, str]:
    """One of ``SPLITS`` as arrays, as ``mnist.load`` returns them; downloaded and unpacked first if it is missing.

    Raises:
        DataError: as ``mnist.load``.
    """
    download(name, data_dir, progress=progress, notice=notice)
    loaded = mnist.load(data_dir, train_limit, test_limit, of=description(name), allow_download=False)
    train_images, train_labels, test_images, test_labels, source = loaded
    first = SPLITS[name].first_label
    return (
        upright(train_images),
        _counted_from_0(train_labels, first, name),
        upright(test_images),
        _counted_from_0(test_labels, first, name),
        source,
    )


def download(name: str, data_dir: Path, *, progress: Progress | None = None, notice: Notice | None = None) -> Path:
    """Complete the four files of one of ``SPLITS`` below ``data_dir``; returns the folder of the archive.

    Raises:
        DataError: the archive cannot be fetched or stored.
    """
    of, data_dir = description(name), Path(data_dir)
    folder = data_dir / FOLDER
    if mnist.find(data_dir, of):
        return folder
    archive = locate(data_dir, LAYOUTS, (ARCHIVE.name, "emnist.zip"))
    if archive is None or not archive.is_file() or archive.stat().st_size != ARCHIVE.bytes:
        archive = folder / ARCHIVE.name
        if archive.exists() and archive.stat().st_size != ARCHIVE.bytes:
            raise DataError(
                f"{archive}: expected EMNIST's archive of {ARCHIVE.bytes} bytes, got {archive.stat().st_size}. {idx.ADVICE}."
            )
        fetch_missing(
            Collection(of.title, (ARCHIVE,), of.mirrors, of.mirrors_variable, of.without_network),
            folder,
            lambda tell: [] if archive.exists() else [ARCHIVE],
            progress=progress,
            notice=notice,
        )
    _unpack(archive, of, folder, notice or ignore)
    return folder


def upright(images: Bytes) -> Bytes:
    """EMNIST's images (n, height, width, 1) as they are read; its files hold them transposed."""
    return np.ascontiguousarray(images.transpose(0, 2, 1, 3))


def _counted_from_0(labels: Bytes, first: int, name: str) -> Bytes:
    if first and len(labels) and labels.min() < first:
        raise DataError(f"{name}: expected labels from {first} on, got {labels.min()}. {idx.ADVICE}.")
    return labels - np.uint8(first)


def _unpack(archive: Path, of: FourFiles, folder: Path, tell: Notice) -> None:
    """Put the set's four files, gzipped as they are, into the folder; no name in the archive becomes a path."""
    tell(f"unpacking {of.name} from {archive}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive) as members:
            for file in of.files.values():
                most = file.raw_bytes + 65536  # gzip makes nothing larger than that
                member = members.getinfo(f"gzip/{file.name}")
                if member.file_size > most:
                    raise DataError(
                        f"{archive}: {file.name}: expected at most {most} bytes, got {member.file_size}. {idx.ADVICE}."
                    )
                with members.open(member) as packed:
                    data = packed.read(most + 1)
                write_atomically(folder / file.name, data)
    except KeyError as error:
        raise DataError(f"{archive}: expected EMNIST's archive with {error.args[0]}, got another one. {idx.ADVICE}.") from None
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive}: cannot be unpacked to {folder}: {error}. {idx.ADVICE}.") from error
