"""A filter slides over an input: one picture for each cell of the output, with the input cells that it reads.

Source: the lecture's slides "Convolutional Layer (4/4)", "Padding" and "Stride"; Geron's figure 14-4 is the default of the command.
"""

from collections.abc import Iterator
from typing import NamedTuple

from numbacnn.errors import DataError
from numbacnn.lecture.drawing import BLUE, CHARACTER, GREY, INK, ORANGE, PALE, PAPER, Drawing, animation, elements, paint
from numbacnn.quoting import counted
from numbacnn.shapes import Pair, Window, Window2D, window2d

MOST_SIDE = 40
"""Cells of the longest side of the picture's grids, padding included."""
MOST_FRAMES = 400
SECONDS = 0.8
"""Time of one frame."""
CELL, SMALL_CELL, MARGIN, LABEL, HEAD, GAP, FOOT = 30, 18, 18, 26, 70, 64, 62
"""Pixels: a cell's side, that of a cell of a grid with more than ``LARGE`` cells to a side, and the room around and between the grids."""
LARGE, TITLE_SIZE = 20, 15


class Place(NamedTuple):
    """The filter at one place.

    Args:
        row, column: of the output's cell.
        rows, columns: first and last that it reads; below 0 and beyond the input is padding.
        padding: how many of the cells are padding.
    """

    row: int
    column: int
    rows: Pair
    columns: Pair
    padding: int


class Sliding:
    """A convolution's geometry as a picture with a place for each cell of the output, row by row.

    Args:
        size: height and width of the input.
        kernel: of the filter.
        strides: down and across.
        padding: ``"valid"`` or ``"same"``.

    Raises:
        ShapeError: the filter does not fit. DataError: the picture would be too large, or have too many frames.
    """

    def __init__(self, size: Pair, kernel: Pair, strides: Pair, padding: str) -> None:
        self.window: Window2D = window2d(size, kernel, strides, padding)
        self.padding = padding
        rows, columns = self.window
        side = max(_padded(rows), _padded(columns))
        if side > MOST_SIDE:
            raise DataError(
                f"figure: expected an input of at most {MOST_SIDE} cells a side, got {side} with its padding. Use a smaller one"
            )
        if rows.out * columns.out > MOST_FRAMES:
            raise DataError(
                f"figure: expected at most {MOST_FRAMES} places of the filter, got {rows.out * columns.out}. "
                "Use a larger --stride, or a smaller --input"
            )
        self._cell = CELL if side <= LARGE else SMALL_CELL
        self._input = MARGIN + LABEL, HEAD + LABEL
        gap = GAP + LABEL
        self._output = self._input[0] + _padded(columns) * self._cell + gap, self._input[1]
        right = self._output[0] + columns.out * self._cell + MARGIN
        bottom = self._input[1] + max(_padded(rows), rows.out) * self._cell + FOOT
        title = 2 * MARGIN + CHARACTER * TITLE_SIZE * len(self.title)
        self._paper = round(max(right, title)), bottom

    @property
    def title(self) -> str:
        """The geometry in one line."""
        rows, columns = self.window
        strides = f"{rows.stride}" if rows.stride == columns.stride else f"{rows.stride} down, {columns.stride} across"
        return (
            f"Input {rows.size} x {columns.size}, filter {rows.kernel} x {columns.kernel}, stride {strides}, "
            f"padding {self.padding}: output {rows.out} x {columns.out}"
        )

    @property
    def description(self) -> str:
        """What is to be seen, for those who do not see it."""
        rows, columns = self.window
        return self._described([self.place(0, 0), self.place(rows.out - 1, columns.out - 1)])

    def described(self, i: int, j: int) -> str:
        """The same of the still of one place."""
        return self._described([self.place(i, j)])

    def _described(self, places: list[Place]) -> str:
        rows, columns = self.window
        around = (
            f"zeros around it: {counted(rows.pad_before, 'row')} above, {rows.pad_after} below, "
            f"{counted(columns.pad_before, 'column')} left, {columns.pad_after} right"
        )
        return (
            f"At the left the input, {rows.size} rows by {columns.size} columns, {around if self._is_padded() else 'without padding'}. "
            f"At the right the output, {rows.out} by {columns.out}. The filter of {rows.kernel} by {columns.kernel} visits "
            f"{rows.out * columns.out} places, one for each cell of the output. {' '.join(map(_words, places))}"
        )

    def places(self) -> Iterator[Place]:
        """Each cell of the output, row by row."""
        rows, columns = self.window
        return (self.place(i, j) for i in range(rows.out) for j in range(columns.out))

    def place(self, i: int, j: int) -> Place:
        """What the output's cell (i, j) reads."""
        rows, columns = (_reads(axis, index) for axis, index in zip(self.window, (i, j), strict=True))
        inside = len(list(self.window.rows.under(i))) * len(list(self.window.columns.under(j)))
        return Place(i, j, rows, columns, self.window.rows.kernel * self.window.columns.kernel - inside)

    def gif(self) -> bytes:
        """An animation of a frame for each place."""
        base, frames = self._base().image(), []
        for place in self.places():
            frames.append(base.copy())
            paint(frames[-1], self._marks(place).shapes)
        return animation(frames, SECONDS, f"{self.title}. {self.description}")

    def svg(self) -> str:
        """A picture that moves where the reader's program and wishes allow it, else a still of the first place."""
        places = list(self.places())
        share = 100 / len(places)
        groups = [
            f'<g class="place" visibility="{"hidden" if number else "visible"}" style="animation-delay:{number * SECONDS:g}s">\n'
            f"{elements(self._marks(place).shapes)}</g>\n"
            for number, place in enumerate(places)
        ]
        style = (
            "<style>\n@media (prefers-reduced-motion: no-preference) {\n"
            f".place {{ visibility: hidden; animation: turn {len(places) * SECONDS:g}s step-end infinite; }}\n}}\n"
            f"@keyframes turn {{ 0% {{ visibility: visible; }} {share:.4f}%, 100% {{ visibility: hidden; }} }}\n</style>\n"
        )
        moving = style if len(places) > 1 else ""
        return self._base().svg(self.title, self.description, moving + "".join(groups))

    def still(self, i: int, j: int) -> Drawing:
        """The filter at one place."""
        drawing = self._base()
        drawing.shapes += self._marks(self.place(i, j)).shapes
        return drawing

    def _is_padded(self) -> bool:
        return any(axis.pad_before or axis.pad_after for axis in self.window)

    def _base(self) -> Drawing:
        """What all frames have: both grids, with the numbers of their rows and columns."""
        drawing = Drawing(*self._paper)
        rows, columns = self.window
        drawing.text(MARGIN, 26, self.title, TITLE_SIZE, bold=True)
        self._grid(drawing, self._input, rows.size, columns.size, rows, columns)
        self._grid(drawing, self._output, rows.out, columns.out, None, None)
        for (x, _), word in ((self._input, "input"), (self._output, "output")):
            drawing.text(x, HEAD - 14, word, 13, bold=True)
        if self._is_padded():
            drawing.text(self._input[0] + 46, HEAD - 14, "grey: padding, zeros", 12, fill=GREY)
        return drawing

    def _grid(self, drawing: Drawing, at: Pair, height: int, width: int, rows: Window | None, columns: Window | None) -> None:
        above, left = (rows.pad_before if rows else 0), (columns.pad_before if columns else 0)
        down, across = (_padded(rows) if rows else height), (_padded(columns) if columns else width)
        side, (x, y) = self._cell, at
        for r in range(down):
            for c in range(across):
                is_cell = above <= r < above + height and left <= c < left + width
                drawing.rectangle(x + c * side, y + r * side, side, side, PAPER if is_cell else PALE, "#adb5bd")
                if not is_cell:
                    drawing.text(x + (c + 0.5) * side, y + (r + 0.5) * side + 4, 0, 11, "middle", GREY)
        drawing.rectangle(x + left * side, y + above * side, width * side, height * side, None, INK, 2)
        for r in range(down):
            drawing.text(x - 6, y + (r + 0.5) * side + 4, r - above, 11, "end", INK if 0 <= r - above < height else GREY)
        for c in range(across):
            drawing.text(x + (c + 0.5) * side, y - 6, c - left, 11, "middle", INK if 0 <= c - left < width else GREY)

    def _marks(self, place: Place) -> Drawing:
        """What one frame has: the filter, the cell that it computes, and words."""
        drawing = Drawing(*self._paper)
        side, (rows, columns) = self._cell, self.window
        left = self._input[0] + (place.columns[0] + columns.pad_before) * side
        top = self._input[1] + (place.rows[0] + rows.pad_before) * side
        width, height = columns.kernel * side, rows.kernel * side
        x, y = self._output[0] + place.column * side, self._output[1] + place.row * side
        drawing.rectangle(left, top, width, height, ORANGE, ORANGE, 3, 0.3)
        drawing.line([(left + width, top), (x, y)], ORANGE, 1)
        drawing.line([(left + width, top + height), (x, y + side)], ORANGE, 1)
        drawing.rectangle(x, y, side, side, BLUE, BLUE, 3, 0.45)
        number = place.row * columns.out + place.column + 1
        first, second = self._paper[1] - 34, self._paper[1] - 14
        drawing.text(MARGIN, first, f"{number} of {rows.out * columns.out}: {_words(place)}", 13)
        drawing.text(MARGIN, second, _padding_words(place, rows.kernel * columns.kernel), 12, fill=GREY)
        return drawing


def _reads(axis: Window, index: int) -> Pair:
    first = index * axis.stride - axis.pad_before
    return first, first + axis.span - 1


def _padded(axis: Window) -> int:
    return axis.pad_before + axis.size + axis.pad_after


def _words(place: Place) -> str:
    (top, bottom), (left, right) = place.rows, place.columns
    return f"Output ({place.row}, {place.column}) reads input rows {top} to {bottom}, columns {left} to {right}."


def _padding_words(place: Place, cells: int) -> str:
    return f"{place.padding} of its {cells} cells are padding" if place.padding else f"all of its {cells} cells are in the input"
