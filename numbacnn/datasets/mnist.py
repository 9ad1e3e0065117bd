"""MNIST: found on disk, or downloaded once, and never used unless its checksum is right.

Where it is looked for, below a data folder: in ``LAYOUTS``, under ``MnistFile.names``, gzipped or not, whatever the case of the
letters. A file may also lie in a folder of its own that bears one of its names, as Kaggle and unpackers make them. Missing files
are downloaded into the data folder itself, from the first mirror that has them.

The content decides, unpacked: whoever packed it, with whatever tool and level, it is MNIST. A file that is not is never replaced,
unless it is a damaged one of our own.

Source: Yann LeCun, Corinna Cortes, Christopher Burges, "The MNIST database of handwritten digits", 1998. Sizes and checksums are
those of tensorflow/datasets (url_checksums/mnist.txt), recomputed from the files.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from numbacnn.datasets import idx
from numbacnn.errors import DataError

if TYPE_CHECKING:
    from urllib3 import HTTPResponse

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes that have come, and the bytes there are."""
Notice = Callable[[str], None]
"""Called with one line for the user."""


@dataclass(frozen=True)
class MnistFile:
    """One of the four files, as downloaded (gzipped) and as unpacked (raw)."""

    name: str
    bytes: int
    sha256: str
    raw_bytes: int
    raw_sha256: str
    magic: int

    @property
    def names(self) -> tuple[str, ...]:
        """What the file is called in the places where people get it: with a hyphen or, in the original archives, a dot."""
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
"""Tried in this order; yann.lecun.com, the first home, no longer answers."""

MIRRORS_VARIABLE = "NUMBACNN_MNIST_MIRRORS"
"""Environment variable with other base URLs, separated by spaces or commas: a classroom's own server, for instance."""

LAYOUTS = (".", "mnist", "MNIST/raw", "raw")
"""Below the data folder, in this order: itself, a folder for MNIST alone, and torchvision's place, seen from above and from MNIST/."""

_LOCK_NAME = "mnist.lock"
_STAGING_NAME = ".mnist-download"  # on the file system of its target, so that moving a finished file out of it is atomic
_CHUNK_BYTES = 1 << 16
_SLOWEST_BYTES_PER_SECOND = 1024


def find(data_dir: Path) -> dict[str, Path] | None:
    """The four MNIST files below ``data_dir`` by the keys of ``FILES``, or None unless all are there; they are not read."""
    found = _locate(Path(data_dir))
    return found if len(found) == len(FILES) else None


def load(
    data_dir: Path,
    train_limit: int | None = None,
    test_limit: int | None = None,
    *,
    allow_download: bool = True,
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]:
    """MNIST as arrays; what is missing below ``data_dir`` is downloaded first.

    Args:
        data_dir: where to look (see ``LAYOUTS``) and where to download to.
        train_limit, test_limit: use only the first so many images.
        allow_download: False makes missing files an error.
        progress, notice: told about a download, see ``download``.
    Returns:
        train_images uint8 (n, 28, 28, 1), train_labels uint8 (n,), test_images, test_labels, and in words where they came from.
    Raises:
        DataError: files are missing and cannot be had, or are not MNIST's.
    """
    data_dir = Path(data_dir)
    limits = {"train": _checked_limit("train_limit", train_limit), "test": _checked_limit("test_limit", test_limit)}
    paths = _complete(data_dir, allow_download, progress, notice)
    arrays = {}
    for key, path in paths.items():
        limit = limits[key.split("_")[0]]
        try:
            arrays[key] = _read_verified(path, FILES[key], limit)
        except _Damaged:
            if not (allow_download and _is_ours(path, data_dir, FILES[key])):
                raise
            # Only what a download put there is replaced by a download.
            download(data_dir, progress=progress, notice=notice)
            arrays[key] = _read_verified(path, FILES[key], limit)
    places = {str(_place(path, FILES[key])) for key, path in paths.items()}
    return (
        arrays["train_images"][..., np.newaxis],
        arrays["train_labels"],
        arrays["test_images"][..., np.newaxis],
        arrays["test_labels"],
        f"{', '.join(sorted(places))} (sha256 checked)",
    )


def download(
    data_dir: Path,
    *,
    mirrors: Sequence[str] | None = None,
    timeout: float = 30.0,
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> Path:
    """Make the four MNIST files be below ``data_dir``: download those that are missing or damaged, keep those that are right.

    A file appears under its name only when it is complete and its sha256 is right. Several processes may call this at once: one
    downloads, the others wait and then find everything there.

    Args:
        data_dir: the folder; created when it does not exist.
        mirrors: base URLs, tried in order for every file; None: those in ``NUMBACNN_MNIST_MIRRORS``, else ``MIRRORS``.
        timeout: seconds a mirror may be silent; one slower than 1 KiB/s for that long is given up, too.
        progress: called with (file name, bytes so far, bytes in all) as bytes arrive.
        notice: called with one line on what happens, for instance that a damaged file is replaced.
    Returns:
        data_dir
    Raises:
        DataError: the folder cannot be written, a file of the same name is another data set, or no mirror has a file.
    """
    data_dir = Path(data_dir)
    tell = notice or _ignore
    bases = _mirror_list(mirrors)
    if not _wanted(data_dir, _ignore):  # asked before the lock, which a read-only folder would refuse
        return data_dir
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with _locked(data_dir / _LOCK_NAME, tell):
            _download_missing(data_dir, bases, timeout, progress, tell)
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{data_dir}: expected a folder in which MNIST can be stored, came: {reason}. Choose another one with --data-dir."
        ) from error
    return data_dir


class _Damaged(DataError):
    """A file that is not intact, as opposed to an intact file of another data set."""


def _locate(data_dir: Path) -> dict[str, Path]:
    """Every MNIST file that is somewhere below ``data_dir``; the first place wins, and in it the first of its names.

    Where there is but a folder of that name, without the file in it, that folder: so that whoever reads it can say so.
    """
    paths = {key: _locate_file(data_dir, file.names) for key, file in FILES.items()}
    return {key: path for key, path in paths.items() if path is not None}


def _locate_file(data_dir: Path, names: Sequence[str]) -> Path | None:
    without_file = None
    for folder in _folders(data_dir):
        for path in _named(folder, names):
            if not os.path.isdir(path):
                return path
            inside = next((inner for inner in _named(path, names) if not os.path.isdir(inner)), None)
            if inside is not None:
                return inside
            without_file = without_file or path
    return without_file


def _place(path: Path, file: MnistFile) -> Path:
    """The folder a file was found in, as ``_folders`` has it."""
    has_own_folder = path.parent.name.lower() in (name.lower() for name in file.names)
    return path.parent.parent if has_own_folder else path.parent


def _folders(data_dir: Path) -> Iterator[Path]:
    """The folders of ``LAYOUTS`` that are there, one by one: usually the first is all that has to be looked at."""
    for layout in LAYOUTS:
        folders = [data_dir]
        for part in Path(layout).parts:
            folders = [inner for folder in folders for inner in _named(folder, (part,))]
        yield from folders


def _named(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """What bears one of the names in a folder, in that order, and then what differs from one in the case of its letters."""
    yield from (folder / name for name in names if os.path.lexists(folder / name))
    try:
        others = sorted(set(os.listdir(folder)) - set(names))
    except OSError:  # no folder, or one that may not be listed
        return
    lowered = {name.lower() for name in names}
    yield from (folder / other for other in others if other.lower() in lowered)


def _complete(data_dir: Path, allow_download: bool, progress: Progress | None, notice: Notice | None) -> dict[str, Path]:
    """All four paths, after a download if need be."""
    found = _locate(data_dir)
    missing = [FILES[key].name for key in FILES if key not in found]
    if not missing:
        return found
    if not allow_download:
        places = ", ".join(str(data_dir / layout) for layout in LAYOUTS)
        raise DataError(
            f"MNIST: expected {', '.join(missing)} (gzipped or not), found in none of {places}. "
            "Run 'numbacnn download mnist', choose another --data-dir, or use --dataset digits."
        )
    if found and notice:
        notice(f"MNIST in {data_dir} is incomplete: {', '.join(missing)} missing")
    download(data_dir, progress=progress, notice=notice)
    return _locate(data_dir)


def _checked_limit(name: str, limit: int | None) -> int | None:
    if limit is not None and limit < 0:
        raise DataError(f"{name}: expected 0 images or more, came {limit}.")
    return limit


def _read_verified(path: Path, file: MnistFile, limit: int | None = None) -> np.ndarray:
    """The content of one file, once its sha256 has been found right."""
    name = str(path)
    if os.path.isdir(path):
        raise DataError(f"{name}: expected a file, or a folder with {' or '.join(file.names)} in it, came another. {idx.ADVICE}.")
    data = idx.read_file(path)
    if hashlib.sha256(data).hexdigest() in (file.sha256, file.raw_sha256):
        # The fast way: of a file packed as usual, no more is unpacked than is asked for.
        return idx.parse_idx(data, name, magic=file.magic, limit=limit)
    try:
        content = idx.unpack(data, name, file.raw_bytes)
    except DataError as error:
        raise _Damaged(str(error)) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest == file.raw_sha256:
        return idx.parse_idx(content, name, magic=file.magic, limit=limit)
    # What unpacks without an error, or is as long as it announces, is not one of our downloads that was damaged later.
    is_intact = idx.is_gzip(data) or idx.is_idx(data)
    if is_intact and len(content) > file.raw_bytes:
        raise DataError(f"{name}: expected MNIST's {file.raw_bytes} bytes (unpacked), came more: other data. {idx.ADVICE}.")
    try:
        idx.parse_idx(content, name, magic=file.magic)
    except DataError as error:
        if is_intact:
            raise
        raise _Damaged(str(error)) from error
    raise DataError(
        f"{name}: an intact file of other data than MNIST's: expected sha256 {file.raw_sha256} (unpacked), came {digest}. "
        f"{idx.ADVICE}."
    )


def _is_ours(path: Path, data_dir: Path, file: MnistFile) -> bool:
    return path == data_dir / file.name


def _mirror_list(mirrors: Sequence[str] | None) -> list[str]:
    """Base URLs that end in a slash."""
    chosen = list(mirrors or re.split(r"[\s,]+", os.environ.get(MIRRORS_VARIABLE, "").strip(" ,\t\n")))
    chosen = [url for url in chosen if url] or list(MIRRORS)
    for url in chosen:
        # Plain http is allowed: it is the checksum that decides, not the connection.
        if not url.lower().startswith(("https://", "http://")):
            raise DataError(f"{MIRRORS_VARIABLE}: expected addresses that start with https:// or http://, came {url!r}.")
    return [url.rstrip("/") + "/" for url in chosen]


def _ignore(_: str) -> None:
    """A notice nobody asked for."""


@contextmanager
def _locked(path: Path, tell: Notice) -> Iterator[None]:
    """Hold a lock file; say so when another process has it."""
    from filelock import FileLock, Timeout  # imported late for the start-up time: 50 ms that only a download needs

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0.2)
    except Timeout:
        tell("another process is downloading MNIST: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download_missing(data_dir: Path, bases: list[str], timeout: float, progress: Progress | None, tell: Notice) -> None:
    """Under the lock: look again, then fetch what is not there."""
    wanted = _wanted(data_dir, tell)
    if not wanted:
        return
    megabytes = sum(file.bytes for file in wanted) / 1e6
    tell(f"downloading MNIST to {data_dir}: {len(wanted)} files, {megabytes:.1f} MB")
    staging = data_dir / _STAGING_NAME
    shutil.rmtree(staging, ignore_errors=True)  # we hold the lock: what lies there is from a process that was killed
    try:
        for file in wanted:
            base = _fetch(file, staging, data_dir, bases, timeout, progress)
            bases = [base, *(other for other in bases if other != base)]  # a mirror that worked is asked first from now on
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _wanted(data_dir: Path, tell: Notice) -> list[MnistFile]:
    return [file for key, file in FILES.items() if _needs_download(key, data_dir, tell)]


def _needs_download(key: str, data_dir: Path, tell: Notice) -> bool:
    path = _locate(data_dir).get(key)
    if path is None:
        return True
    try:
        _read_verified(path, FILES[key], limit=1)
    except _Damaged:
        if not _is_ours(path, data_dir, FILES[key]):
            raise
        tell(f"downloading again, {path} is damaged")
        return True
    return False


def _fetch(file: MnistFile, staging: Path, data_dir: Path, bases: list[str], timeout: float, progress: Progress | None) -> str:
    """Put one file in its place, from the first mirror that delivers it whole; returns that mirror."""
    failures = []
    for base in bases:
        url = base + file.name
        try:
            finished = _retrieve(url, file, staging, timeout, progress)
        except _MirrorError as error:
            failures.append(f"  {url}\n    {error}")
        else:
            os.chmod(finished, 0o644)  # temporary files are private, a data folder may serve a whole class
            os.replace(finished, data_dir / file.name)
            return base
    raise DataError(_nothing_worked(file, data_dir, bases, failures))


class _MirrorError(Exception):
    """What one mirror did wrong: the next one is tried."""


def _retrieve(url: str, file: MnistFile, staging: Path, timeout: float, progress: Progress | None) -> str:
    """The path of the downloaded file in ``staging``, its sha256 verified by pooch."""
    # Imported late for the start-up time: 60 ms and more that only a download needs.
    import pooch
    import requests
    import urllib3

    receive = _Receiver(file, timeout, progress)
    try:
        with _silent(pooch.get_logger()):
            return pooch.retrieve(url, known_hash=f"sha256:{file.sha256}", fname=file.name, path=staging, downloader=receive)
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise _MirrorError(_reason(error)) from error


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """pooch logs to stderr, which belongs to the caller."""
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason(error: BaseException) -> str:
    """The innermost cause, in one line: requests and urllib3 wrap what happened several times over."""
    while isinstance(inner := getattr(error, "reason", None) or (error.args[0] if error.args else None), BaseException):
        error = inner
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"^HTTPS?Connection(Pool)?\(.*?\): ", "", text).split(" for url: ")[0]
    return text if len(text) <= 200 else text[:197] + "..."


class _Receiver:
    """A pooch downloader that gives up on a body that is too long, too short or too slow."""

    def __init__(self, file: MnistFile, timeout: float, progress: Progress | None) -> None:
        self._file = file
        self._timeout = timeout
        self._progress = progress

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        import requests

        # The file itself is gzip: a server must not wrap or unwrap it on the way.
        headers = {"Accept-Encoding": "identity"}
        with requests.get(url, stream=True, timeout=self._timeout, headers=headers) as response:
            response.raise_for_status()
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise _MirrorError("sent a web page instead of the file: is there a login page in the way?")
            with open(output_file, "wb") as output:
                digest = self._copy(response.raw, output)
        if digest != self._file.sha256:
            raise _MirrorError(f"sha256 is {digest}, expected {self._file.sha256}")

    def _copy(self, body: HTTPResponse, output: BinaryIO) -> str:
        """Write the body to the file; returns its sha256."""
        digest = hashlib.sha256()
        started = time.monotonic()
        received = 0
        # read1 returns what has come; reading a fixed amount could wait for hours on a server that drips.
        while part := body.read1(_CHUNK_BYTES, decode_content=False):
            received += len(part)
            self._check(received, time.monotonic() - started)
            digest.update(part)
            output.write(part)
            if self._progress:
                self._progress(self._file.name, received, self._file.bytes)
        if received < self._file.bytes:
            raise _MirrorError(f"sent {received} of {self._file.bytes} bytes")
        return digest.hexdigest()

    def _check(self, received: int, seconds: float) -> None:
        if received > self._file.bytes:
            raise _MirrorError(f"sends more than the {self._file.bytes} bytes of the file")
        if seconds > self._timeout and received < seconds * _SLOWEST_BYTES_PER_SECOND:
            raise _MirrorError(f"too slow: {received} bytes in {seconds:.0f} s")


def _nothing_worked(file: MnistFile, data_dir: Path, bases: list[str], failures: list[str]) -> str:
    folder = data_dir.resolve()
    commands = "\n".join(f"  curl -L --create-dirs -o '{folder / each.name}' {bases[0]}{each.name}" for each in FILES.values())
    return (
        f"MNIST: {file.name} could not be downloaded to {folder}; every mirror failed:\n"
        + "\n".join(failures)
        + "\nWithout a network: --dataset digits (drawn by the program), or --data-dir with a folder that has the four files.\n"
        + f"By hand:\n{commands}"
    )
