"""The command line in this process, which costs milliseconds where a process of its own costs half a second."""

import contextlib
import io
import sys
from typing import NamedTuple, TextIO
from unittest import mock

import click
from numbacnn_cli.main import _guarded, app


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


def every_command(group: click.Group = app, words: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    """Every command of a group with its words, ``("lecture", "verify")``, then those of its groups."""
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found.append(((*words, name), command))
        if isinstance(command, click.Group):
            found += every_command(command, (*words, name))
    return found
