"""Where compiled kernels are kept, and whether what lies there may be trusted.

Numba's own cache looks at the file of the kernel alone: edit a helper in another file and the old machine code is served. So the
cache folder carries a digest of all kernel sources of a device and of the compiler: any edit, or another compiler, leads to another
folder, and a stale kernel cannot be found.

Compiled kernels are programs. A folder that belongs to another user, or that others can write to, is not used.
"""

import contextlib
import functools
import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from platformdirs import user_cache_path

from numbacnn.backends.kernel_files import SUFFIX, may_be_anothers

KEEP_UNUSED_DAYS = 30
PRIVATE = 0o700


class CacheFolder(NamedTuple):
    """The folder of compiled kernels, or why there is none: a clause, such as "others can write to ..."."""

    path: Path | None
    problem: str = ""

    def kernels(self) -> list[Path]:
        """The files of the kernels in it."""
        return list(self.path.glob(f"*{SUFFIX}")) if self.path else []


def source_digest(folder: Path, *versions: str) -> str:
    """Twelve hex digits that change with any kernel source in ``folder`` and below it, what devices share, above it, and the versions."""
    digest = hashlib.sha256("\0".join(versions).encode())
    for path in (*sorted(folder.rglob("*.py")), *sorted(folder.parent.glob("*.py"))):
        digest.update(path.relative_to(folder.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


@functools.cache
def cache_folder(sources: Path, *versions: str) -> CacheFolder:
    """The folder for the compiled kernels of ``sources``, made if need be, for this compiler and processor.

    ``NUMBA_CACHE_DIR`` moves it; by default it lies in the user's cache folder.

    Args:
        sources: the folder of a device's kernels.
        versions: of what compiles them, besides Python and Numba.
    """
    given = os.environ.get("NUMBA_CACHE_DIR")
    kernels = (Path(given) if given else user_cache_path("numbacnn")) / "compiled-kernels"
    folder = kernels / source_digest(sources, *_compiler(), *versions)
    try:
        for each in (kernels, folder):
            _make_private(each)
            if may_be_anothers(each.stat()):
                return CacheFolder(None, f"others can write to {each}, or it is another user's")
        os.utime(folder)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return CacheFolder(None, f"{folder} cannot be written to ({error.strerror or error})")
    with contextlib.suppress(OSError):  # another process may be at it too
        _forget_old_folders(kernels, keep=folder)
    return CacheFolder(folder)


def _compiler() -> tuple[str, ...]:
    """The versions and the processor that decide whether a compiled kernel is of any use here."""
    import numba
    from llvmlite import __version__, binding

    processor = (os.environ.get(name, "") for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"))
    return sys.implementation.cache_tag or "", numba.__version__, __version__, binding.get_host_cpu_name(), *processor


def _make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone, whatever the umask."""
    if folder.exists():
        return
    _make_private(folder.parent)
    folder.mkdir(mode=PRIVATE, exist_ok=True)


def _forget_old_folders(kernels: Path, keep: Path) -> None:
    oldest = time.time() - KEEP_UNUSED_DAYS * 86400
    for other in kernels.iterdir():
        is_ours = re.fullmatch("[0-9a-f]{12}", other.name) and other.is_dir()
        if is_ours and other != keep and other.stat().st_mtime < oldest:
            shutil.rmtree(other, ignore_errors=True)


@contextlib.contextmanager
def cached_in(folder: Path, config: Any) -> Iterator[None]:
    """Within it, what is decorated is cached in ``folder``.

    Numba reads the folder from its ``config`` when it decorates; it is set for that moment only, and other users of Numba in this
    process keep theirs.
    """
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before
