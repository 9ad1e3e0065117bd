"""Compiled kernels as files. They are pickles, that is, programs: a file is read only if owner, key and checksum are right.

    file = header, key, sha256 of the pickle, pickle          named by a digest of the key

Numba keeps an index and numbered files for each function. Two processes that save at once, a kill or a full disk can leave an index
that points to the code of another kernel. A name that is a digest needs no index, and each file is written whole or not at all.
"""

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numbacnn.files import write_whole
from numbacnn.reading import open_regular

SUFFIX = ".kernel"
MOST_BYTES = 32 << 20
"""Of a kernel in a pack. Those of this program have up to 1 MB."""

_START = b"numbacnn kernel 1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size
_OTHERS_MAY_WRITE = 0o022


class KernelFiles:
    """The compiled forms of one function, by key: replaces Numba's ``IndexDataCacheFile``.

    Args:
        folder: of the files; see ``kernel_cache``.
        function: the source. Two functions of one name, from a factory, differ in the key.
        dump: from a compiled kernel to its pickle.
    """

    def __init__(self, folder: Path, function: Callable[..., Any], dump: Callable[[Any], bytes]) -> None:
        self._folder = folder
        self._function = f"{function.__module__}.{function.__qualname__}:{function.__code__.co_firstlineno}"
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self._dump = dump

    def load(self, key: Any) -> Any:
        """The compiled kernel of a key; None if its file is missing, damaged, of another user, or writable by others."""
        path, text = self._file(key)
        header = _START + text
        try:
            with open_regular(path) as file:
                if is_untrusted(os.fstat(file.fileno())) or file.read(len(header)) != header:
                    return None
                digest, payload = file.read(_DIGEST_BYTES), file.read()
        except OSError:
            return None
        return pickle.loads(payload) if hashlib.sha256(payload).digest() == digest else None

    def save(self, key: Any, data: Any) -> None:
        """Write a compiled kernel, whole or not at all. Raises OSError if the disk fails."""
        path, text = self._file(key)
        payload = self._dump(data)
        write_whole(path, (_START, text, hashlib.sha256(payload).digest(), payload), mode=0o600)

    def flush(self) -> None:
        """Called by Numba before it compiles again. Nothing to do: a new kernel replaces the old file."""

    def _file(self, key: Any) -> tuple[Path, bytes]:
        text = f"{self._function}\n{key!r}\n".encode()
        return self._folder / f"{self._name}{_ending(text)}", text


def is_whole(name: str, content: bytes) -> bool:
    """Whether these are the bytes of a kernel's file of this name: its key gives the name, its pickle the checksum. None is loaded."""
    parts = content.split(b"\n", 3)
    if len(parts) < 4 or parts[0] + b"\n" != _START:
        return False
    digest, payload = parts[3][:_DIGEST_BYTES], parts[3][_DIGEST_BYTES:]
    return name.endswith(_ending(b"%b\n%b\n" % (parts[1], parts[2]))) and hashlib.sha256(payload).digest() == digest


def _ending(text: bytes) -> str:
    return f"-{hashlib.sha256(text).hexdigest()[:32]}{SUFFIX}"


def is_untrusted(info: os.stat_result) -> bool:
    """Whether a file or folder belongs to another user, or others may write to it. False on Windows, which has other rights."""
    return hasattr(os, "geteuid") and (info.st_uid != os.geteuid() or bool(info.st_mode & _OTHERS_MAY_WRITE))
