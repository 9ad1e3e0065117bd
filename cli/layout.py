"""How a table fits the width there is. Names and numbers are never cut: texts fold, and columns of lesser importance are left out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from .console import can_print, folded, printable

GAP = "  "
LEAST_TEXT = 16
"""A text is folded to this width before a column is left out."""
LEAST_NAME = 12
"""A name is folded, down to this width, where no column can be left out any more."""


@dataclass(frozen=True)
class Column:
    """What stands in a column.

    Args:
        title: its heading; it may fold between words.
        right: to the right, as numbers are.
        folds: a text, which may fold.
        rank: 0 for a column that is always shown; others are left out where there is no room, the highest rank first.
    """

    title: str
    right: bool = True
    folds: bool = False
    rank: int = 0


class Table:
    """Rows of texts under headings, laid out when they are printed.

    Args:
        columns: from left to right; the first one names the rows.
        in_parts: a matrix, of which no column can be left out: where there is no room, the columns are printed in several parts.
    """

    def __init__(self, *columns: Column, in_parts: bool = False):
        self.columns = columns
        self._in_parts = in_parts
        self._titles = [printable(column.title) for column in columns]
        self._rows: list[list[str]] = []  # a section ends at an empty one

    def add_row(self, *cells: str) -> None:
        """One text for each column."""
        self._rows.append([printable(cell) for cell in cells])

    def add_section(self) -> None:
        """An empty line."""
        self._rows.append([])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rule = "─" if can_print(console, "─") else "-"
        parts = self._parts(options.max_width)
        for number, widths in enumerate(parts):
            if number:
                yield _line("")
            for line in self._row_lines(self._titles, widths, console, at_the_bottom=True):
                yield _line(line, "bold")
            yield _line(rule * _total(widths.values()))
            for row in self._rows:
                yield from map(_line, self._row_lines(row, widths, console) if row else [""])
        left_out = [title for place, title in enumerate(self._titles) if not any(place in widths for widths in parts)]
        if left_out:
            note = f"{options.max_width} columns have no room for: {', '.join(left_out)}"
            yield from (_line(line, "dim") for line in folded(note, options.max_width, console))

    def _parts(self, width: int) -> list[dict[int, int]]:
        """The width of each column that is shown, by its place: one part, or several one below the other."""
        wanted = dict(enumerate(max(self._cells(place), cell_len(title)) for place, title in enumerate(self._titles)))
        least = {place: self._least(place, wanted[place]) for place in wanted}
        for place in sorted(wanted, key=lambda place: -self.columns[place].rank):
            if _total(least.values()) <= width or not self.columns[place].rank:
                break
            del least[place]
        if _total(least.values()) <= width:
            return [_widened(least, wanted, width)]
        if self._in_parts:
            return self._split(wanted, width)
        for place in least:
            least[place] = self._least_of_all(place, wanted[place])
        return [_widened(least, wanted, width)]

    def _split(self, wanted: dict[int, int], width: int) -> list[dict[int, int]]:
        """The columns in as few parts as there is room for, of equal numbers of columns; the first column stands in each."""
        names, *others = wanted
        widest = max(others, key=lambda place: wanted[place])
        least = {place: self._least_of_all(place, wanted[place]) for place in wanted}
        pair = _widened({place: least[place] for place in (names, widest)}, wanted, width)
        widths = {place: max(least[place], min(wanted[place], pair[widest])) for place in others}
        for size in (-(-len(others) // count) for count in range(1, len(others) + 1)):
            parts = [
                {names: pair[names]} | {place: widths[place] for place in others[start : start + size]}
                for start in range(0, len(others), size)
            ]
            if all(_total(part.values()) <= width for part in parts):
                break
        return parts

    def _cells(self, place: int) -> int:
        return max((cell_len(row[place]) for row in self._rows if row), default=0)

    def _least(self, place: int, wanted: int) -> int:
        """The width that a column can do with while names are whole."""
        is_name = self._in_parts and place > 0  # of a class; other titles are words
        title = max(map(cell_len, [self._titles[place]] if is_name else self._titles[place].split(" ")))
        cells = self._cells(place)
        return min(wanted, max(title, min(cells, LEAST_TEXT) if self.columns[place].folds else cells))

    def _least_of_all(self, place: int, wanted: int) -> int:
        """The width that a column can do with at all: its numbers are whole."""
        numbers = self._cells(place) if self.columns[place].right else 0
        return min(wanted, max(numbers, LEAST_NAME))

    def _row_lines(
        self, cells: Sequence[str], widths: dict[int, int], console: Console, at_the_bottom: bool = False
    ) -> Iterator[str]:
        lines = {place: folded(cells[place], width, console) for place, width in widths.items()}
        height = max(map(len, lines.values()))
        if at_the_bottom:
            lines = {place: [""] * (height - len(texts)) + texts for place, texts in lines.items()}
        for number in range(height):
            line = []
            for place, width in widths.items():
                text = lines[place][number] if number < len(lines[place]) else ""
                space = " " * (width - cell_len(text))
                line.append(space + text if self.columns[place].right else text + space)
            yield GAP.join(line).rstrip()


def _widened(least: dict[int, int], wanted: dict[int, int], width: int) -> dict[int, int]:
    """Room that is left goes to the columns that want more, in equal shares."""
    widths = dict(least)
    room = width - _total(least.values())
    waiting = sorted(widths, key=lambda place: wanted[place] - least[place])
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
