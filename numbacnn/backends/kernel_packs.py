"""A pack: the compiled kernels of one processor in one file, for machines that are to compile none.

    pack = zip of manifest.json and the files of the kernels

The manifest says what the kernels were compiled with and for, and has the size and the sha256 of each. They are programs, which no
checksum makes harmless; but none is loaded before all of a pack is found to be as its manifest says, and to fit this machine.
"""

import contextlib
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple, TypeVar

from numbacnn.backends import environment, processor
from numbacnn.backends.kernel_cache import CacheFolder, cache_folder, compiler, folder_name
from numbacnn.backends.kernel_files import MOST_BYTES, is_untrusted, is_whole
from numbacnn.backends.kernel_files import SUFFIX as KERNEL_SUFFIX
from numbacnn.errors import DeviceError
from numbacnn.files import write_whole
from numbacnn.quoting import listed, short
from numbacnn.reading import read_bounded
from numbacnn.version import __version__

FORMAT = 1
SUFFIX = ".pack"
MANIFEST = "manifest.json"

MOST_PACK_BYTES, MOST_UNPACKED_BYTES = 64 << 20, 256 << 20
MOST_MANIFEST_BYTES = 1 << 20
MOST_KERNELS = 2000
"""Bounds of what is read from a file that somebody else may have made; that of one kernel is ``kernel_files.MOST_BYTES``."""

ADVICE = "Take a file that 'numbacnn warmup --pack' has written, and copy it anew"
_KERNEL = re.compile(r"[\w.]{1,120}-[0-9a-f]{32}\.kernel", re.ASCII)
T = TypeVar("T")

_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
_CENTRAL_ENTRY = b"PK\x01\x02"


@dataclass(frozen=True)
class Target:
    """What kernels were compiled with and for, as texts.

    Args:
        numbacnn: the version, for people; ``folder`` has the sources themselves.
        python: the interpreter's tag, ``cpython-311``.
        numba, llvmlite: versions.
        platform: ``sys.platform``.
        processor: one of ``processor.PROCESSORS``.
        model: LLVM's name of the processor.
        folder: the name of their folder in the cache: a digest of all sources, versions and options.
    """

    numbacnn: str
    python: str
    numba: str
    llvmlite: str
    platform: str
    processor: str
    model: str
    folder: str


class Made(NamedTuple):
    """A new pack.

    Args:
        content: of its file.
        processor: that its kernels are compiled for.
        kernels: their number.
    """

    content: bytes
    processor: str
    kernels: int


class Laid(NamedTuple):
    """What became of a pack's kernels.

    Args:
        processor: that they are compiled for.
        new, present: numbers of kernels: written now; in the folder before.
        folder: of the cache.
    """

    processor: str
    new: int
    present: int
    folder: Path


class Pack:
    """A pack that has been read; its manifest has been checked, its kernels are checked by ``kernels``.

    Args:
        path: of the file.

    Raises:
        DeviceError: it cannot be read, or is no pack.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            content = read_bounded(path, MOST_PACK_BYTES)
        except OSError as error:
            raise DeviceError(f"{path}: cannot be read: {error.strerror or error}. {ADVICE}") from None
        if content.count(_CENTRAL_ENTRY) > 2 * MOST_KERNELS:  # zipfile would make an object of each
            raise self._damaged(f"at most {MOST_KERNELS} kernels", "a zip of more files")
        self._archive = self._guarded(lambda: zipfile.ZipFile(io.BytesIO(content)))
        entries = self._archive.infolist()
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) < len(entries):
            raise self._damaged("each name once", "a zip with two files of one name")
        if MANIFEST not in self._entries:
            raise self._damaged(f"a {MANIFEST} in it", "a zip without one")
        self.target, self._files = self._checked(self._read(MANIFEST, MOST_MANIFEST_BYTES))
        self._check_names()

    def __len__(self) -> int:
        """The number of kernels."""
        return len(self._files)

    def kernels(self) -> dict[str, bytes]:
        """The content of each kernel's file, by name.

        Raises:
            DeviceError: one is not as the manifest says.
        """
        return {name: self._kernel(name, size, digest) for name, (size, digest) in self._files.items()}

    def misfit(self) -> str:
        """In what the pack does not fit this machine, as ``expected X, got Y``; empty if it does."""
        target, level = self.target, self.target.processor
        here = _target(level)
        differences = [
            (f"{name} {getattr(here, field)}", f"{name} {_short_text(getattr(target, field))}")
            for field, name in (("python", "Python"), ("numba", "Numba"), ("llvmlite", "llvmlite"), ("platform", "the platform"))
            if getattr(here, field) != getattr(target, field)
        ]
        if lacking := processor.missing(level):
            levels = [name for name in processor.PROCESSORS if not processor.missing(name)]
            differences.append((" or ".join(levels), f"{level}, which needs {lacking[0]}"))
        elif here.model != target.model:
            differences.append((f"the processor {here.model}", f"{_short_text(target.model)}"))
        if not differences and here.folder != target.folder:
            got = f"{_short_text(target.folder)} of numbacnn {_short_text(target.numbacnn)}"
            differences.append((f"the sources and options {here.folder} of numbacnn {__version__}", got))
        if not differences:
            return ""
        expected, got = (", ".join(texts) for texts in zip(*differences, strict=True))
        return f"expected a pack for {expected}, got one for {got}"

    def _checked(self, text: bytes) -> tuple[Target, dict[str, tuple[int, str]]]:
        """The manifest's target, and the size and sha256 of each file."""
        try:
            manifest = json.loads(text)
        except (ValueError, RecursionError):
            raise self._damaged(f"JSON in {MANIFEST}", "something else") from None
        if not isinstance(manifest, dict):
            raise self._damaged(f"an object in {MANIFEST}", short(manifest))
        if manifest.get("format") != FORMAT or isinstance(manifest["format"], bool):
            raise self._damaged(f"a pack of format {FORMAT}", f"format {short(manifest.get('format'))}")
        texts: dict[str, str] = {}
        for field in (each.name for each in fields(Target)):
            value = manifest.get(field)
            if not isinstance(value, str):
                raise self._damaged(f"a text for {field!r} in {MANIFEST}", short(value))
            texts[field] = value
        if texts["processor"] not in processor.PROCESSORS:
            raise self._damaged(f"a processor of {', '.join(processor.PROCESSORS)}", short(texts["processor"]))
        files = manifest.get("files")
        if not isinstance(files, dict) or not 0 < len(files) <= MOST_KERNELS:
            raise self._damaged(f"1 to {MOST_KERNELS} kernels in 'files' of {MANIFEST}", short(files))
        found: dict[str, tuple[int, str]] = {}
        for name, entry in files.items():
            if not _KERNEL.fullmatch(name):
                raise self._damaged("names of kernels", short(name))
            size, digest = (entry.get("bytes"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
            if type(size) is not int or not 0 < size <= MOST_BYTES or not isinstance(digest, str):
                raise self._damaged(f"1 to {MOST_BYTES} bytes and a sha256 for {name}", short(entry))
            found[name] = size, digest
        if (total := sum(size for size, _ in found.values())) > MOST_UNPACKED_BYTES:
            raise self._damaged(f"at most {MOST_UNPACKED_BYTES} bytes of kernels", f"{total}")
        return Target(**texts), found

    def _check_names(self) -> None:
        stray, lost = self._entries.keys() - self._files.keys() - {MANIFEST}, self._files.keys() - self._entries.keys()
        if stray:
            raise self._damaged(f"the files that {MANIFEST} names", f"others too: {listed(sorted(stray))}")
        if lost:
            raise self._damaged(f"the files that {MANIFEST} names", f"a pack without {listed(sorted(lost))}")

    def _kernel(self, name: str, size: int, digest: str) -> bytes:
        content = self._read(name, size)
        if len(content) != size or hashlib.sha256(content).hexdigest() != digest or not is_whole(name, content):
            raise self._damaged(f"{name} as {MANIFEST} describes it", "other bytes")
        return content

    def _read(self, name: str, most: int) -> bytes:
        """A file of the zip, of at most ``most`` bytes, whatever the zip says of its size."""
        entry = self._entries[name]
        if entry.file_size > most:
            raise self._damaged(f"at most {most} bytes in {name}", f"{entry.file_size}")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self._damaged("a zip that is stored or deflated", f"compression {entry.compress_type}")

        def read() -> bytes:
            with self._archive.open(entry) as file:
                return file.read(most + 1)  # to the end, where zipfile compares the checksum

        return self._guarded(read)

    def _guarded(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except Exception:  # a damaged zip makes zipfile and zlib raise errors of a dozen classes
            raise self._damaged("a pack of kernels", "a file that is no zip, or is damaged") from None

    def _damaged(self, expected: str, got: str) -> DeviceError:
        return DeviceError(f"{self._path}: expected {expected}, got {got}. {ADVICE}")


def cache_to_pack() -> Path:
    """The folder whose kernels ``make_pack`` takes. Raises DeviceError if kernels are not kept."""
    folder = _folder(_settled())
    if folder.path is None:
        raise DeviceError(
            f"--pack: expected a cache of compiled kernels, got none: {folder.problem}. "
            "Set NUMBA_CACHE_DIR to a folder of your own"
        )
    return folder.path


def make_pack() -> Made:
    """A pack of all kernels in the cache that this process reads.

    Raises:
        DeviceError: there is no cache, or no kernel in it.
    """
    level, folder = _settled(), cache_to_pack()
    kernels = {path.name: content for path in sorted(folder.glob(f"*{KERNEL_SUFFIX}")) if (content := _kept(path))}
    if not kernels:
        raise DeviceError(f"--pack: expected compiled kernels in {folder}, got none. Make room there, or set NUMBA_CACHE_DIR")
    files = {name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in kernels.items()}
    manifest = json.dumps({"format": FORMAT, **asdict(_target(level)), "files": files}, indent=1).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in {MANIFEST: manifest, **kernels}.items():
            entry = zipfile.ZipInfo(name, _FIRST_DAY)  # the same kernels make the same pack
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return Made(buffer.getvalue(), level, len(kernels))


def take_pack(path: Path) -> Laid:
    """Lay a pack's kernels into the cache's folder of their processor: all of them, or none.

    Raises:
        DeviceError: the file cannot be read, is damaged, or does not fit; or the cache cannot be written to.
    """
    environment.import_numba()
    environment.check()
    pack = Pack(path)
    if problem := pack.misfit():
        raise DeviceError(
            f"{path}: {problem}. Make one on a machine that is like this one, or compile here: numbacnn warmup --all"
        )
    kernels = pack.kernels()
    folder = _folder(pack.target.processor)
    if folder.path is None:
        raise DeviceError(
            f"{path}: expected a cache to lay kernels into, got none: {folder.problem}. Set NUMBA_CACHE_DIR to a folder of your own"
        )
    new = lay(kernels, folder.path)
    return Laid(pack.target.processor, new, len(kernels) - new, folder.path)


def lay(kernels: dict[str, bytes], folder: Path) -> int:
    """Write the kernels that a folder lacks: all, or none; returns their number. Raises DeviceError if one cannot be written."""
    missing = [name for name in kernels if _kept(folder / name) is None]
    begun: list[Path] = []
    try:
        for name in missing:
            begun.append(folder / name)
            write_whole(begun[-1], kernels[name], mode=0o600)
    except OSError as error:
        for path in begun:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise DeviceError(
            f"{folder}: cannot be written to: {error.strerror or error}. No kernel was kept. Make room, or set NUMBA_CACHE_DIR"
        ) from None
    return len(missing)


def _kept(path: Path) -> bytes | None:
    """The content of a kernel's file that this user may trust; None if there is none, or it is damaged."""
    try:
        if is_untrusted(path.stat()):
            return None
        content = read_bounded(path, MOST_BYTES)
    except OSError:
        return None
    return content if is_whole(path.name, content) else None


def _settled() -> str:
    environment.import_numba()
    from numbacnn.backends import cpu  # noqa: F401  it tells Numba what to compile for

    return processor.settle().name


def _folder(level: str) -> CacheFolder:
    """The cache's folder for kernels of a processor, that of this process included."""
    from numbacnn.backends.cpu._jit import SOURCES

    return cache_folder(SOURCES, compiled_for=_other(level))


def _target(level: str) -> Target:
    """What this machine would compile with and for, for one of PROCESSORS."""
    from numbacnn.backends.cpu._jit import SOURCES

    python, numba, llvmlite, platform, model, *_ = compiler(_other(level))
    name = folder_name(SOURCES, compiled_for=_other(level))
    return Target(__version__, python, numba, llvmlite, platform, level, model, name)


def _other(level: str) -> str | None:
    """None for the processor that this process compiles for, which environment variables may describe."""
    return None if level == _settled() else level


def _short_text(text: str) -> str:
    """A text of a manifest, for messages."""
    return short(text)[1:-1]
