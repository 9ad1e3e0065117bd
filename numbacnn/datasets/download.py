"""The files of a data set, fetched once: from the first mirror that has them, under a lock.

A file appears under its name only when it is complete and its sha256 is right; what lay there is renamed. Several processes may
ask at once: one downloads, the others wait and find everything there.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from numbacnn.errors import DataError
from numbacnn.files import create_folder, remove_leftovers, write_whole

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes received, and the bytes of the whole file."""
Notice = Callable[[str], None]
"""Called with one line for the user."""


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch: its name at the mirrors and in the folder, and the content it must have."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Collection:
    """The files of one data set and where to get them.

    Args:
        title: the data set's name in messages; in lower case, in the name of its lock.
        files: all of them.
        mirrors: base URLs, tried in order.
        mirrors_variable: environment variable with other base URLs, separated by spaces or commas.
        without_network: advice where no mirror answers.
    """

    title: str
    files: tuple[RemoteFile, ...]
    mirrors: tuple[str, ...]
    mirrors_variable: str
    without_network: str


def fetch_missing(
    collection: Collection,
    folder: Path,
    find_missing: Callable[[Notice], Sequence[RemoteFile]],
    *,
    mirrors: Sequence[str] | None = None,
    timeout: float = 30.0,
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> None:
    """Download the files of a data set that a folder lacks.

    Args:
        collection: the data set.
        folder: the folder; created when it does not exist.
        find_missing: the files to fetch; called again under the lock, as another process may have fetched them.
        mirrors: base URLs, tried in order for every file; None: those of the environment variable, else the collection's.
        timeout: seconds a mirror may be silent.
        progress: called as bytes arrive.
        notice: called with one line for each event, for instance that another process is waited for.
    Raises:
        DataError: the folder cannot be written, a mirror is no web address, or no mirror has a file.
    """
    tell = notice or ignore
    bases = mirror_list(collection, mirrors)
    if not find_missing(ignore):  # asked before the lock, which a read-only folder would refuse
        return
    try:
        create_folder(folder)
        with _locked(folder / f"{collection.title.lower()}.lock", collection.title, tell):
            if missing := find_missing(tell):
                megabytes = sum(file.bytes for file in missing) / 1e6
                tell(f"downloading {collection.title} to {folder}: {len(missing)} files, {megabytes:.1f} MB")
                _Download(collection, folder, timeout, progress or ignore, tell).fetch_all(missing, bases)
    except (OSError, NotImplementedError) as error:  # filelock raises the latter where a file system has no locks
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{folder}: {collection.title} cannot be stored: {reason}. Choose another folder with --data-dir."
        ) from error


def mirror_list(collection: Collection, mirrors: Sequence[str] | None) -> list[str]:
    """Base URLs that end in a slash.

    Raises:
        DataError: an address is no web address.
    """
    variable = collection.mirrors_variable
    chosen = list(mirrors or re.split(r"[\s,]+", os.environ.get(variable, "").strip(" ,\t\n")))
    chosen = [url for url in chosen if url] or list(collection.mirrors)
    for url in chosen:
        if not _is_web_address(url):
            shown = url.rpartition("@")[2]  # without user and password
            raise DataError(f"{variable}: expected addresses that start with https:// or http:// and a host, got {shown!r}.")
    return [url.rstrip("/") + "/" for url in chosen]


def _is_web_address(url: str) -> bool:
    """Plain http is allowed: the checksum decides, not the connection."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is no number, as where a password has a slash
        return False


def ignore(*_: object) -> None:
    """The notice or progress of a caller who wants none."""


@contextmanager
def _locked(path: Path, title: str, tell: Notice) -> Iterator[None]:
    """Hold a lock file; tell when another process has it."""
    from filelock import FileLock, Timeout  # imported late for the start-up time: 50 ms that only a download needs

    if os.path.lexists(path) and (path.is_symlink() or not path.is_file() or path.stat().st_size):
        raise DataError(
            f"{path}: expected the empty file of a lock, got something else. Move it away, or choose another --data-dir."
        )
    path.touch()  # where no file can be made, as in /proc, filelock would wait for ever
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0.2)
    except Timeout:
        tell(f"another process is downloading {title}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True)
class _Download:
    """One download into one folder, whose lock is held."""

    collection: Collection
    folder: Path
    timeout: float
    progress: Progress
    tell: Notice

    def fetch_all(self, files: Sequence[RemoteFile], bases: list[str]) -> None:
        for file in self.collection.files:
            remove_leftovers(self.folder / file.name)
        for file in files:
            base = self._fetch(file, bases)
            bases = [base, *(other for other in bases if other != base)]  # a mirror that worked is asked first from now on

    def _fetch(self, file: RemoteFile, bases: list[str]) -> str:
        """Put one file into the folder, from the first mirror that delivers it whole; returns that mirror."""
        from numbacnn.datasets.receive import MirrorError, receive  # imported late for the start-up time

        def progress(received: int) -> None:
            self.progress(file.name, received, file.bytes)

        path, failures = self.folder / file.name, []
        for base in bases:
            try:
                with closing(receive(base + file.name, file.bytes, file.sha256, self.timeout, progress)) as parts:
                    # The mode is that of files for all, whatever the umask: a data folder may serve a whole class.
                    write_whole(path, self._then_keep_aside(parts, path), mode=0o644)
            except MirrorError as error:
                failures.append(_without_password(f"  {base}{file.name}\n    {error}", base))
            else:
                return base
        raise DataError(self._failure(file, _without_password(bases[0], bases[0]), failures))

    def _then_keep_aside(self, parts: Iterable[bytes], path: Path) -> Iterator[bytes]:
        """The parts of a file; once it is complete, what lies at its place makes room."""
        yield from parts
        self._keep_aside(path)

    def _keep_aside(self, path: Path) -> None:
        """Rename what lies at a file's place, as it may be somebody's only copy of something."""
        if not os.path.lexists(path) or path.lstat().st_size == 0:
            return
        names = (path.with_name(f"{path.name}.damaged{number}") for number in ("", *(f"-{n}" for n in range(2, 1000))))
        kept = next(name for name in names if not os.path.lexists(name))
        os.replace(path, kept)
        self.tell(f"the damaged file is kept as {kept}")

    def _failure(self, file: RemoteFile, base: str, failures: list[str]) -> str:
        folder = self.folder.resolve()
        names = [each.name for each in self.collection.files]
        return "\n".join(
            [
                f"{self.collection.title}: {file.name} could not be downloaded to {folder}; every mirror failed:",
                *failures,
                f"Without a network: {self.collection.without_network}",
                "By hand:",
                *(f"  curl -L --create-dirs -o '{folder / name}' {base}{name}" for name in names),
            ]
        )


def _without_password(text: str, url: str) -> str:
    """The text without the user and password of an address."""
    user_and_password, at_sign, _ = urlsplit(url).netloc.rpartition("@")
    return text.replace(user_and_password + at_sign, "") if at_sign else text
