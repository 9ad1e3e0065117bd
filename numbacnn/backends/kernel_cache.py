"""Where compiled kernels are kept.

Numba's own cache looks at the file of the kernel alone: edit a helper in another file and the old machine code is served. So the
cache folder carries a digest of all kernel sources of a device: any edit leads to another folder, and a stale kernel cannot be found.
"""

import contextlib
import functools
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

KEEP_UNUSED_DAYS = 30


def source_digest(folder: Path) -> str:
    """Twelve hex digits that change when any kernel source in ``folder`` changes, or what devices share, in the folder above."""
    digest = hashlib.sha256()
    for path in (*sorted(folder.glob("*.py")), *sorted(folder.parent.glob("*.py"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


@functools.cache
def cache_folder(sources: Path) -> Path | None:
    """The folder for the compiled kernels of ``sources``, made if need be, or None where no folder can be written.

    ``NUMBA_CACHE_DIR`` moves it; by default it lies in the user's cache folder.
    """
    given = os.environ.get("NUMBA_CACHE_DIR")
    kernels = (Path(given) if given else user_cache_path("numbacnn")) / "numbacnn-kernels"
    folder = kernels / source_digest(sources)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError:
        return None
    with contextlib.suppress(OSError):  # another process may be at it too
        _forget_old_folders(kernels, keep=folder)
    return folder


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
