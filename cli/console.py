"""The two streams: results on stdout, progress and notices on stderr."""

import contextlib
import json
import math
import os
import sys
from typing import Any

import click
from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 120


def stdout() -> Console:
    """Where results go."""
    return _console(sys.stdout.isatty(), stderr=False)


def stderr() -> Console:
    """Where progress and notices go; live only on a real terminal, whatever FORCE_COLOR says."""
    return _console(is_live(), stderr=True)


def is_live() -> bool:
    """Whether stderr is a terminal that can redraw a line."""
    return sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


def _console(is_terminal: bool, stderr: bool) -> Console:
    width = None if is_terminal or os.environ.get("COLUMNS") else WIDTH_WITHOUT_TERMINAL
    return Console(
        stderr=stderr, highlight=False, width=width, force_interactive=is_terminal, soft_wrap=False, markup=False, emoji=False
    )


def notice(text: str) -> None:
    """A sentence on stderr. Nobody reading it is no reason to stop working."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def print_json(value: Any) -> None:
    """One JSON value on stdout; numbers that JSON has no word for become null."""
    click.echo(json.dumps(_plain(value), ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
