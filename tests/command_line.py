"""The command line in this process, which costs milliseconds where a process of its own costs half a second."""

import contextlib
import io
import sys
from typing import NamedTuple
from unittest import mock

from numbacnn_cli.main import _guarded


class Done(NamedTuple):
    """How a command ended: its exit code, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str


def run_here(*args: object) -> Done:
    """Run a command: ``run_here("shapes", "cnn")``. An exception that the program does not expect is the caller's."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["numbacnn", *map(str, args)]
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = _guarded()
    return Done(code, out.getvalue(), err.getvalue())
