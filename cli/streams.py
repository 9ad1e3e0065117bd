"""stdout and stderr as commands see them: a reader or a terminal may leave before the end, and a disk may be full."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from numbacnn.errors import NumbaCNNError


class OutputError(NumbaCNNError):
    """Results cannot be written to stdout."""


class Results(io.TextIOWrapper):
    """stdout. A reader that leaves, as in ``numbacnn models | head -1``, is no error: the rest goes nowhere, the work goes on.
    Neither is a terminal that goes away, as where a window is closed or a connection ends.

    Raises:
        OutputError: what is written cannot be kept, as on a full disk.
    """

    was_terminal = False

    def write(self, text: str) -> int:
        with self._reader_may_leave():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with self._reader_may_leave():
            super().flush()

    @contextlib.contextmanager
    def _reader_may_leave(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._discard()
            if not _is_broken_pipe(error) and not self.was_terminal:
                raise OutputError(
                    f"stdout: cannot be written to: {error.strerror or error}. Make room, or send the output elsewhere"
                ) from None

    def _discard(self) -> None:
        """Send the rest nowhere: text still buffered would fail again when the program ends."""
        with contextlib.suppress(OSError):  # it would hide the error that matters
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)


class Notices(io.TextIOWrapper):
    """stderr. Nobody reading it is no reason to stop working, nor to leave with another exit code."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()


def open_streams() -> None:
    """Replace the standard streams, some of which the shell may have closed."""
    if sys.stdin is None:  # closed by the shell, as in `numbacnn predict - <&-`
        sys.stdin = open(os.devnull)  # noqa: SIM115
    sys.stdout = _opened(Results, sys.stdout)
    sys.stderr = _opened(Notices, sys.stderr)


def _opened(kind: type[io.TextIOWrapper], stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w")
    if type(stream) is not io.TextIOWrapper:  # put in place by another program
        return stream
    # What the encoding lacks is written as an escape: a question mark would make different names equal.
    opened = kind(stream.buffer, encoding=stream.encoding, errors="backslashreplace", line_buffering=stream.line_buffering)
    if isinstance(opened, Results):
        opened.was_terminal = stream.isatty()  # asked now: a terminal that has gone away says that it is none
    return opened


def _is_broken_pipe(error: OSError) -> bool:
    return isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL)  # Windows's word for it
