"""Fitting tables to a width. Names and numbers are never cut: texts fold, and less important columns are left out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from numbacnn.quoting import printable

from .console import can_print, folded

GAP = "  "
LEAST_TEXT = 16
"""A text is folded to this width before a column is left out."""
LEAST_NAME = 12
"""A name is folded, down to this width, if no further column can be left out."""


class Column(NamedTuple):
    """A column and its layout.

    Args:
        title: its heading; it may fold between words.
        right: whether cells are aligned to the right, as numbers are.
        folds: whether cells may fold, as texts do.
        rank: 0 for a column that is always shown; others are left out for lack of room, the highest rank first.
    """

    title: str
    right: bool = True
    folds: bool = False
    rank: int = 0


class Table:
    """Rows of texts under headings, laid out when they are printed.

    Args:
        columns: from left to right; the first one names the rows.
        in_parts: for a matrix: no column is left out, and a wide table is printed in several parts.
    """

    def __init__(self, *columns: Column, in_parts: bool = False):
        self.columns = columns
        self._in_parts = in_parts
        self._titles = [printable(column.title) for column in columns]
        self._rows: list[list[str]] = []  # a section ends at an empty one

    def add_row(self, *cells: str) -> None:
        """Add a row: one text for each column."""
        self._rows.append([printable(cell) for cell in cells])

    def add_section(self) -> None:
        """Add an empty line."""
        self._rows.append([])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rule = "─" if can_print(console, "─") else "-"
        parts = self._parts(options.max_width)
        for number, widths in enumerate(parts):
            if number:
                yield _line("")
            for line in self._row_lines(self._titles, widths, console, align_bottom=True):
                yield _line(line, "bold")
            yield _line(rule * _total(widths.values()))
            for row in self._rows:
                yield from map(_line, self._row_lines(row, widths, console) if row else [""])
        left_out = [title for index, title in enumerate(self._titles) if not any(index in widths for widths in parts)]
        if left_out:
            note = f"{options.max_width} columns have no room for: {', '.join(left_out)}"
            yield from (_line(line, "dim") for line in folded(note, options.max_width, console))

    def _parts(self, width: int) -> list[dict[int, int]]:
        """The width of each column shown, by its index: one part, or several to print one below the other."""
        wanted = dict(enumerate(max(self._cells(index), cell_len(title)) for index, title in enumerate(self._titles)))
        least = {index: self._least(index, wanted[index]) for index in wanted}
        for index in sorted(wanted, key=lambda index: -self.columns[index].rank):
            if _total(least.values()) <= width or not self.columns[index].rank:
                break
            del least[index]
        if _total(least.values()) <= width:
            return [_widened(least, wanted, width)]
        if self._in_parts:
            return self._split(wanted, width)
        for index in least:
            least[index] = self._least_of_all(index, wanted[index])
        return [_widened(least, wanted, width)]

    def _split(self, wanted: dict[int, int], width: int) -> list[dict[int, int]]:
        """The columns in as few parts as fit, with equal numbers of columns; each part begins with the first column."""
        names, *others = wanted
        widest = max(others, key=lambda index: wanted[index])
        least = {index: self._least_of_all(index, wanted[index]) for index in wanted}
        pair = _widened({index: least[index] for index in (names, widest)}, wanted, width)
        widths = {index: max(least[index], min(wanted[index], pair[widest])) for index in others}
        for size in (-(-len(others) // count) for count in range(1, len(others) + 1)):
            parts = [
                {names: pair[names]} | {index: widths[index] for index in others[start : start + size]}
                for start in range(0, len(others), size)
            ]
            if all(_total(part.values()) <= width for part in parts):
                break
        return parts

    def _cells(self, index: int) -> int:
        return max((cell_len(row[index]) for row in self._rows if row), default=0)

    def _least(self, index: int, wanted: int) -> int:
        """The least width of a column with whole names."""
        is_name = self._in_parts and index > 0  # of a class; other titles are words
        title = max(map(cell_len, [self._titles[index]] if is_name else self._titles[index].split(" ")))
        cells = self._cells(index)
        return min(wanted, max(title, min(cells, LEAST_TEXT) if self.columns[index].folds else cells))

    def _least_of_all(self, index: int, wanted: int) -> int:
        """The least width of a column with whole numbers; its names may fold."""
        numbers = self._cells(index) if self.columns[index].right else 0
        return min(wanted, max(numbers, LEAST_NAME))

    def _row_lines(
        self, cells: Sequence[str], widths: dict[int, int], console: Console, align_bottom: bool = False
    ) -> Iterator[str]:
        lines = {index: folded(cells[index], width, console) for index, width in widths.items()}
        height = max(map(len, lines.values()))
        if align_bottom:
            lines = {index: [""] * (height - len(texts)) + texts for index, texts in lines.items()}
        for number in range(height):
            line = []
            for index, width in widths.items():
                text = lines[index][number] if number < len(lines[index]) else ""
                space = " " * (width - cell_len(text))
                line.append(space + text if self.columns[index].right else text + space)
            yield GAP.join(line).rstrip()


def _widened(least: dict[int, int], wanted: dict[int, int], width: int) -> dict[int, int]:
    """The widths after the remaining room is shared equally among the columns that want more."""
    widths = dict(least)
    room = width - _total(least.values())
    waiting = sorted(widths, key=lambda index: wanted[index] - least[index])
    while waiting and room > 0:
        more = min(wanted[waiting[0]] - least[waiting[0]], room // len(waiting))
        widths[waiting.pop(0)] += more
        room -= more
    return widths


def _total(widths: Iterable[int]) -> int:
    widths = list(widths)
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ignore")
