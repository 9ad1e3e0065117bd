"""The folder of compiled kernels, and whether its files may be trusted.

    <cache>/compiled-kernels/<digest of the device's sources and the compiler>/

Numba's own cache checks the file of the kernel alone: after an edit of a helper in another file it serves the old machine code. With
the digest in its name, any edit, or another compiler, leads to another folder, so a stale kernel is never found.

Compiled kernels are programs. A folder that belongs to another user, or that others can write to, is not used.
"""

import contextlib
import functools
import hashlib
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from platformdirs import user_cache_path

from numbacnn.backends import processor
from numbacnn.backends.kernel_files import SUFFIX, is_untrusted
from numbacnn.files import check_writable

SHARED = ("elementary.py", "groups.py", "shapes.py", "values.py")
"""Files of the package that kernels depend on: functions compiled into them, and named tuples that they take. Numba's types of the
latter name neither the fields nor their order."""

OPTIONS = ("OPT", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX")
"""Variables of Numba's configuration that change a kernel's code, but not the key that Numba gives it."""

KEEP_UNUSED_DAYS = 30
PRIVATE = 0o700

_decorating = threading.RLock()
_failures: list[str] = []


class CacheFolder(NamedTuple):
    """The folder of compiled kernels, or None and the problem: a clause, such as "others can write to ..."."""

    path: Path | None
    problem: str = ""

    def kernels(self) -> list[Path]:
        """The kernels' files."""
        return list(self.path.glob(f"*{SUFFIX}")) if self.path else []


def source_digest(folder: Path, *versions: str) -> str:
    """Twelve hex digits that change with every file that a kernel's code may depend on, and with the versions.

    These are the sources in ``folder`` and below, those that devices share, one folder up, and ``SHARED``.
    """
    backends = folder.parent
    digest = hashlib.sha256("\0".join(versions).encode())
    for path in (*sorted(folder.rglob("*.py")), *sorted(backends.glob("*.py")), *(backends.parent / name for name in SHARED)):
        digest.update(path.relative_to(backends.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def folder_name(sources: Path, *versions: str, compiled_for: str | None = None) -> str:
    """The name of the folder of kernels with these sources, compilers and processor, as ``cache_folder`` takes them."""
    return source_digest(sources, *compiler(compiled_for), *versions)


@functools.cache
def cache_folder(sources: Path, *versions: str, compiled_for: str | None = None) -> CacheFolder:
    """The folder for the compiled kernels of ``sources``, this compiler and one processor; made if it does not exist.

    It is below ``cache_root()``.

    Args:
        sources: the folder of a device's kernels.
        versions: of further compilers, besides Python and Numba.
        compiled_for: as in ``compiler``.
    """
    kernels = cache_root() / "compiled-kernels"
    folder = kernels / folder_name(sources, *versions, compiled_for=compiled_for)
    try:
        for path in (kernels, folder):
            make_private(path)
            if is_untrusted(path.stat()):
                return CacheFolder(None, f"others can write to {path}, or it is another user's")
        os.utime(folder)
        check_writable(folder)
    except OSError as error:
        return CacheFolder(None, f"{folder} cannot be written to ({error.strerror or error})")
    with contextlib.suppress(OSError):  # another process may remove them at the same time
        _forget_old_folders(kernels, keep=folder)
    return CacheFolder(folder)


def cache_root() -> Path:
    """The folder of all that is kept between runs: ``NUMBA_CACHE_DIR``, or by default the user's cache folder."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    return Path(os.path.expanduser(given)) if given else user_cache_path("numbacnn")


@contextlib.contextmanager
def saving() -> Iterator[None]:
    """Within it, a compiled kernel is saved. A failure costs the next run a compilation, and not this one: it is only noted."""
    try:
        yield
    except Exception as error:  # of the disk, or whatever a patched Numba raises
        _failures.append(f"{getattr(error, 'strerror', None) or error or type(error).__name__}")


def failure_to_save() -> str:
    """Why the last kernel that could not be saved was not, as a clause; empty if this process has saved all that it compiled."""
    return f"a compiled kernel could not be saved ({_failures[-1]})" if _failures else ""


def compiler(compiled_for: str | None = None) -> tuple[str, ...]:
    """What a compiled kernel depends on; equal on all machines of one level.

    Args:
        compiled_for: one of ``processor.PROCESSORS``; None for what this process compiles for.

    Returns:
        the versions of Python, Numba and llvmlite, the platform, LLVM's names of the processor and its instructions, and options.
    """
    import numba
    from llvmlite import __version__

    name, features = processor.target(compiled_for or processor.NATIVE)
    if compiled_for is None:
        name = getattr(numba.config, "CPU_NAME", None) or name
        told = getattr(numba.config, "CPU_FEATURES", None)
        features = features if told is None else told
    options = (f"{name}={getattr(numba.config, name, None)!r}" for name in OPTIONS)
    return sys.implementation.cache_tag or "", numba.__version__, __version__, sys.platform, name, features, *options


def make_private(folder: Path) -> None:
    """Make a folder and its missing parents, for this user alone, with any umask."""
    if folder.exists():
        return
    make_private(folder.parent)
    folder.mkdir(mode=PRIVATE, exist_ok=True)


def _forget_old_folders(kernels: Path, keep: Path) -> None:
    oldest = time.time() - KEEP_UNUSED_DAYS * 86400
    for other in kernels.iterdir():
        is_ours = re.fullmatch("[0-9a-f]{12}", other.name) and other.is_dir()
        if is_ours and other != keep and other.stat().st_mtime < oldest:
            shutil.rmtree(other, ignore_errors=True)


@contextlib.contextmanager
def cached_in(folder: Path, config: Any) -> Iterator[None]:
    """Within it, decorated functions are cached in ``folder``.

    Numba reads the folder from its ``config`` when it decorates. It is set for that moment only, and by one thread at a time, so that
    other users of Numba in this process keep their own. So is the order of folders that somebody else may have set.
    """
    ours = {"CACHE_DIR": str(folder), "CACHE_LOCATOR_CLASSES": ""}
    with _decorating:
        before = {name: getattr(config, name, "") for name in ours}
        try:
            vars(config).update(ours)
            yield
        finally:
            vars(config).update(before)
