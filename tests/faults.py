"""Calls of the system that fail when a test wants them to: the n-th one, or all from the n-th on."""

import builtins
import contextlib
import errno
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EINTR, errno.EMFILE)

CALLS = (
    "open", "write", "fsync", "replace", "rename", "link", "unlink", "remove", "mkdir", "rmdir", "chmod", "utime", "scandir",
    "sendfile", "lstat", "close",
)  # fmt: skip
"""Functions of ``os`` by which the program and the libraries that it calls change the disk."""


class Faults:
    """Counts the calls of this thread that concern a folder, and has some of them fail.

    Args:
        folder: calls with a path outside of it are left alone.
        first: the number of the first call that fails, from 1; 0: none.
        code: the error's number.
        lasting: whether all later ones fail too, as on a disk that is gone.
    """

    def __init__(self, folder: Path, first: int = 0, code: int = errno.EIO, lasting: bool = False) -> None:
        self._folder = os.fspath(folder)
        self._first, self._code, self._lasting = first, code, lasting
        self._thread = threading.get_ident()
        self.code = code
        self.names: list[str] = []

    @property
    def happened(self) -> bool:
        """Whether a call has failed."""
        return 0 < self._first <= len(self.names)

    @contextlib.contextmanager
    def injected(self) -> Iterator[None]:
        """Within it, calls are counted and fail."""
        with contextlib.ExitStack() as stack:
            for name in filter(lambda name: hasattr(os, name), CALLS):
                stack.enter_context(mock.patch.object(os, name, self._watched(name, getattr(os, name))))
            stack.enter_context(mock.patch.object(builtins, "open", self._watched("open a file", open)))
            stack.enter_context(mock.patch.object(io, "open", self._watched("open a file", io.open)))
            if fcntl is not None:
                stack.enter_context(mock.patch.object(fcntl, "flock", self._watched("flock", fcntl.flock)))
            yield

    def _watched(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not self._concerns(args[0] if args else None) or (name == "flock" and args[1] == fcntl.LOCK_UN):
                return original(*args, **kwargs)
            self.names.append(name)
            number = len(self.names)
            if self._first and (number == self._first or (self._lasting and number > self._first)):
                if name == "close":  # it reports the error of an earlier write, and closes all the same
                    original(*args, **kwargs)
                path = args[0] if isinstance(args[0], (str, bytes, os.PathLike)) else None
                self.code = errno.ENOLCK if name == "flock" else self._code  # EACCES would say that another process has the lock
                raise OSError(self.code, os.strerror(self.code), path)
            return original(*args, **kwargs)

        return call

    def _concerns(self, target: Any) -> bool:
        if threading.get_ident() != self._thread:
            return False
        if isinstance(target, int):
            return True
        if not isinstance(target, (str, os.PathLike)):
            return False
        return not os.path.isabs(target) or os.fspath(target).startswith(self._folder)
