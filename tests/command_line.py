"""The command line in this process, which costs milliseconds where a process of its own costs half a second."""

import contextlib
import io
import sys
from typing import NamedTuple, TextIO
from unittest import mock

from numbacnn_cli.main import _guarded


class Done(NamedTuple):
    """How a command ended: its exit code, and what it wrote to stdout and stderr (but that kernels are compiled, the first time)."""

    code: int
    out: str
    err: str


def run_here(*args: object, out: TextIO | None = None) -> Done:
    """Run a command: ``run_here("shapes", "cnn")``. An exception that the program does not expect is the caller's.

    Args:
        out: takes the place of stdout; None: what is written to it is returned.
    """
    kept, err = io.StringIO(), io.StringIO()
    argv = ["numbacnn", *map(str, args)]
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out or kept), contextlib.redirect_stderr(err):
        code = _guarded()
    lines = [line for line in err.getvalue().splitlines(keepends=True) if not line.startswith("compiling kernels (")]
    return Done(code, kept.getvalue(), "".join(lines))
