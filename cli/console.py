"""Printing: results go to stdout, progress and notices to stderr. This is the one file in which text becomes printable."""

import math
import os
import re
import sys
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console, detect_legacy_windows
from rich.text import Text

from numbacnn.quoting import printable

from .live_line import live_line

NO_LIMIT = 1_000_000
"""The width of a pipe or a file, in columns."""

COMMAND = "  numbacnn "
"""The beginning of a line that is a command."""


class Printer(Console):
    """A console that shows every string whole, with control characters as escapes."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)

    def print(self, *objects: Any, soft_wrap: bool | None = None, crop: bool = False, **options: Any) -> None:
        if not soft_wrap:
            objects = tuple(self._folded(item) if isinstance(item, str) else item for item in objects)
        with live_line.out_of_the_way():
            super().print(*objects, soft_wrap=soft_wrap, crop=crop, **options)

    def print_wrapped(self, text: str, indent: str = "  ") -> None:
        """Print a sentence, or a path and what is said of it: ``wrapped`` on a terminal, else in one line, which programs read."""
        lines = wrapped(text, self.width, indent) if self.file.isatty() else [printable(text)]
        self.print(Text("\n".join(lines)), soft_wrap=True)

    def draw(self, text: Text) -> None:
        """Write a text at the cursor, with neither a line end nor a fold: only ``live_line`` does."""
        super().print(text, end="", no_wrap=True, overflow="ignore", crop=False, soft_wrap=True)

    def _folded(self, text: str) -> Text:
        return Text("\n".join(folded(text, self.width, self)))


def stdout() -> Printer:
    """The console of results."""
    return _printer(sys.stdout, is_terminal=sys.stdout.isatty())


def stderr() -> Printer:
    """The console of progress and notices; live only on a real terminal, whatever FORCE_COLOR says."""
    return _printer(sys.stderr, is_terminal=is_live())


def terminal_width() -> int | None:
    """The columns of the terminal that stderr is; None if it is a pipe or a file."""
    return stderr().width if sys.stderr.isatty() else None


def is_live() -> bool:
    """Whether stderr is a terminal that can redraw a line."""
    is_plain = os.environ.get("CI") or os.environ.get("TERM") == "dumb" or detect_legacy_windows()  # which knows no escapes
    return sys.stderr.isatty() and not is_plain


def _printer(stream: TextIO, is_terminal: bool) -> Printer:
    return Printer(
        stderr=stream is sys.stderr,
        highlight=False,
        width=_width(stream),
        force_interactive=is_terminal,
        markup=False,
        emoji=False,
    )


def _width(stream: TextIO) -> int | None:
    """The width in columns: that of COLUMNS, else the terminal's (None: Rich watches it), else no limit."""
    for name in ("COLUMNS", "LINES"):
        if not re.fullmatch("[1-9][0-9]{0,5}", os.environ.get(name, "")):
            os.environ.pop(name, None)  # Rich cannot read it
    given = os.environ.get("COLUMNS")
    return int(given) if given else None if stream.isatty() else NO_LIMIT


def folded(text: str, width: int, console: Console) -> list[str]:
    """A text, made printable, as lines of at most ``width`` columns: broken between words, and within longer words.

    All lines are indented as the first one is.
    """
    text = printable(text)
    if cell_len(text) <= width:
        return [text]
    indent = text[: len(text) - len(text.lstrip(" "))]
    if len(indent) > width // 2:
        indent = ""
    lines = Text(text[len(indent) :]).wrap(console, width - len(indent), overflow="fold")
    return [indent + line.plain.rstrip() for line in lines]


def wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    """A text, made printable, as lines of at most ``width`` columns, broken between words; a longer word stays whole.

    So that paths can be copied: a terminal breaks them by itself, and knows that they go on.

    Args:
        indent: of all lines but the first, in addition to the first one's.
    """
    text = printable(text)
    if cell_len(text) <= width:
        return [text]
    indent += " " * (len(text) - len(text.lstrip(" ")))
    lines, line = [], ""
    for gap, word in re.findall("( *)([^ ]+)", text):
        if line.strip() and cell_len(line) + len(gap) + cell_len(word) > width:
            lines.append(line)
            line, gap = indent, ""
        line += gap + word
    return [*lines, line]


def can_print(console: Console, text: str) -> bool:
    """Whether the console's encoding has these characters."""
    try:
        text.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def printable_lines(text: str) -> str:
    """A printable text of several lines; its line ends are kept."""
    return "\n".join(map(printable, text.split("\n")))


def notice(text: str) -> None:
    """Print a sentence on stderr."""
    _write(sys.stderr, f"{_fitted(text)}\n")


def error(text: str) -> None:
    """Print an error on stderr: one line, or one with an indented list below it, such as the mirrors that failed."""
    lines = text.split("\n") if "\n  " in text else [text]
    _write(sys.stderr, "\n".join(map(_fitted, [f"Error: {lines[0]}", *lines[1:]])) + "\n")


def _fitted(text: str) -> str:
    """A printable text, wrapped where stderr is a terminal; in a pipe or a file it is one line.

    A command in a line of its own stays whole: it is there to be copied.
    """
    width = terminal_width()
    return printable(text) if width is None or text.startswith(COMMAND) else "\n".join(wrapped(text, width))


def print_text(text: str) -> None:
    """Print a file's content on stdout, unchanged."""
    _write(sys.stdout, text)


def json_text(value: Any) -> str:
    """One JSON value in one line of ASCII. NaN and infinities become null."""
    import json  # tables do without

    return json.dumps(_plain(value), ensure_ascii=True)


def print_json(value: Any) -> None:
    """Print one JSON value on stdout, in ASCII whatever the stream's encoding."""
    print_json_text(json_text(value) + "\n")


def print_json_text(text: str) -> None:
    """Print a part of what ``json_text`` made."""
    if hasattr(sys.stdout, "reconfigure"):  # a stream put in place by another program may lack it
        sys.stdout.reconfigure(encoding="ascii")  # not every encoding writes ASCII as ASCII
    _write(sys.stdout, text)


def _write(stream: TextIO, text: str) -> None:
    with live_line.out_of_the_way():
        stream.write(text)
        stream.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
