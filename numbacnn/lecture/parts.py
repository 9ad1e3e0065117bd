"""Parts of figures: grids of numbers, pictures, axes, networks of neurons, and boxes in a row."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from numbacnn.lecture.checks_xo import truncated
from numbacnn.lecture.drawing import BLUE, CHARACTER, GREY, INK, ORANGE, PAPER, Drawing, Point

Shade = Callable[[float], str]
Words = Callable[[float], str]
LINE = "#adb5bd"
DARK = 140
"""Brightness below which a number is written in white."""


def mixed(colour: str, share: float) -> str:
    """A colour on white paper, of which ``share`` in 0...1 is seen."""
    parts = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (part - 255) * min(max(share, 0.0), 1.0)):02x}" for part in parts)


def signed(largest: float) -> Shade:
    """Orange for numbers above 0, blue below, the stronger the larger."""
    return lambda value: mixed(ORANGE if value > 0 else BLUE, 0.6 * abs(value) / max(largest, 1e-300))


def ink(largest: float) -> Shade:
    """White for 0, dark for the largest."""
    return lambda value: mixed(INK, 0.85 * value / max(largest, 1e-300))


def two_decimals(value: float) -> str:
    """A number truncated as the slides print it: 5/9 is 0.55."""
    return f"{float(truncated(np.array(value))) + 0.0:.2f}"


def plain(value: float) -> str:
    """A number in as few digits as it needs, at most four."""
    return f"{value + 0.0:.4g}"


def grid(
    drawing: Drawing, x: float, y: float, values: ArrayLike, cell: float = 30, size: int = 12, shade: Shade | None = None,
    words: Words | None = plain, caption: str = "",
) -> Point:  # fmt: skip
    """Cells (h, w) with their numbers.

    Args:
        shade: the colour of a cell; None for white.
        words: of a number; None leaves numbers out.
        caption: above the grid.

    Returns:
        the right bottom corner.
    """
    table = np.asarray(values, float)
    if caption:
        drawing.text(x, y - 8, caption, 12, bold=True)
    for (i, j), value in np.ndenumerate(table):
        colour = shade(float(value)) if shade else PAPER
        drawing.rectangle(x + j * cell, y + i * cell, cell, cell, colour, LINE)
        if words is not None:
            text = PAPER if _brightness(colour) < DARK else INK
            drawing.text(x + (j + 0.5) * cell, y + (i + 0.5) * cell + size * 0.36, words(float(value)), size, "middle", text)
    height, width = table.shape
    drawing.rectangle(x, y, width * cell, height * cell, None, INK, 1.5)
    return x + width * cell, y + height * cell


def frame(
    drawing: Drawing, x: float, y: float, cell: float, place: tuple[int, int], size: tuple[int, int], colour: str = ORANGE
) -> None:
    """A thick frame around some cells of a grid at (x, y)."""
    drawing.rectangle(x + place[1] * cell, y + place[0] * cell, size[1] * cell, size[0] * cell, None, colour, 3)


def picture(
    drawing: Drawing, x: float, y: float, pixels: ArrayLike, cell: float, shade: Shade, height: float | None = None
) -> None:
    """Pixels (h, w) without lines, equal neighbours in a row as one rectangle; ``height`` is a pixel's, if it is no square."""
    height = cell if height is None else height
    table = np.asarray(pixels, float)
    colours = [[shade(float(value)) for value in row] for row in table]
    for i, row in enumerate(colours):
        start = 0
        for j in range(1, len(row) + 1):
            if j == len(row) or row[j] != row[start]:
                if row[start] != PAPER:
                    drawing.rectangle(x + start * cell, y + i * height, (j - start) * cell, height, row[start], None)
                start = j
    drawing.rectangle(x, y, table.shape[1] * cell, table.shape[0] * height, None, GREY)


def sign(drawing: Drawing, x: float, y: float, text: str, size: int = 22) -> None:
    """An operator between two grids, around (x, y)."""
    drawing.text(x, y + size * 0.36, text, size, "middle")


class Axes(NamedTuple):
    """A plot's frame.

    Args:
        x, y, width, height: its place on the paper.
        across, up: the first and last value of each axis.
    """

    x: float
    y: float
    width: float
    height: float
    across: tuple[float, float]
    up: tuple[float, float]

    def at(self, a: float, b: float) -> Point:
        """The place of a value on the paper."""
        return (
            self.x + (a - self.across[0]) / (self.across[1] - self.across[0]) * self.width,
            self.y + self.height - (b - self.up[0]) / (self.up[1] - self.up[0]) * self.height,
        )

    def draw(self, drawing: Drawing, ticks: Iterable[float], steps: Iterable[float], labels: tuple[str, str]) -> None:
        """The frame, its lines and numbers, and what the axes are."""
        for tick in ticks:
            (x, bottom), (_, top) = self.at(tick, self.up[0]), self.at(tick, self.up[1])
            drawing.line([(x, bottom), (x, top)], "#dee2e6", 1)
            drawing.text(x, bottom + 16, plain(tick), 11, "middle")
        for step in steps:
            (left, y), (right, _) = self.at(self.across[0], step), self.at(self.across[1], step)
            drawing.line([(left, y), (right, y)], "#dee2e6", 1)
            drawing.text(left - 6, y + 4, plain(step), 11, "end")
        drawing.rectangle(self.x, self.y, self.width, self.height, None, INK, 1)
        drawing.text(self.x + self.width / 2, self.y + self.height + 34, labels[0], 12, "middle")
        drawing.text(self.x, self.y - 8, labels[1], 12)

    def curve(self, drawing: Drawing, across: Sequence[float], up: Sequence[float], colour: str, dashed: bool = False) -> None:
        """A line through values."""
        drawing.line([self.at(float(a), float(b)) for a, b in zip(across, up, strict=True)], colour, 2.5, dashed=dashed)


def legend(drawing: Drawing, x: float, y: float, entries: Sequence[tuple[str, str, bool]]) -> None:
    """Lines and their names, below each other; each is (name, colour, dashed)."""
    for number, (name, colour, dashed) in enumerate(entries):
        drawing.line([(x, y + 20 * number), (x + 28, y + 20 * number)], colour, 2.5, dashed=dashed)
        drawing.text(x + 36, y + 20 * number + 4, name, 12)


class Column(NamedTuple):
    """A layer of neurons in a picture.

    Args:
        neurons: how many there are; at most ``shown`` are drawn.
        name: below it.
        colour: of the neurons.
        dropped: the numbers of those crossed out.
    """

    neurons: int
    name: str
    colour: str = PAPER
    shown: int = 8
    dropped: frozenset[int] = frozenset()


def network(drawing: Drawing, x: float, y: float, columns: Sequence[Column], gap: float = 130, step: float = 26) -> None:
    """Layers of neurons from left to right, every neuron linked to all of the layer before, unless one of the two is dropped."""
    tallest = max(min(column.neurons, column.shown) for column in columns)
    places = []
    for number, column in enumerate(columns):
        drawn = min(column.neurons, column.shown)
        top = y + (tallest - drawn) * step / 2
        places.append([(x + number * gap, top + row * step + step / 2) for row in range(drawn)])
    for (before, after), (left, right) in zip(pairwise(places), pairwise(columns), strict=True):
        for i, start in enumerate(before):
            for j, end in enumerate(after):
                if i not in left.dropped and j not in right.dropped:
                    drawing.line([start, end], "#ced4da", 0.8)
    for column, spots in zip(columns, places, strict=True):
        for number, (cx, cy) in enumerate(spots):
            is_dropped = number in column.dropped
            drawing.circle(cx, cy, 8, PAPER if is_dropped else column.colour, GREY if is_dropped else INK)
            if is_dropped:
                drawing.line([(cx - 7, cy - 7), (cx + 7, cy + 7)], ORANGE, 2)
                drawing.line([(cx - 7, cy + 7), (cx + 7, cy - 7)], ORANGE, 2)
        bottom = y + tallest * step
        if column.neurons > column.shown:
            drawing.text(spots[0][0], spots[-1][1] + 20, "...", 14, "middle")
            bottom = max(bottom, spots[-1][1] + 24)
        for line, words in enumerate(column.name.split("\n")):
            drawing.text(spots[0][0], y + tallest * step + 40 + 16 * line, words, 12, "middle")


def boxes(drawing: Drawing, x: float, y: float, texts: Sequence[tuple[str, list[str]]], gap: float = 28) -> Point:
    """Boxes in a row with arrows between them; each is (colour, lines). Returns the right bottom corner."""
    height = 18 * max(len(lines) for _, lines in texts) + 16
    for number, (colour, lines) in enumerate(texts):
        width = max(CHARACTER * 12 * len(line) for line in lines) + 16
        drawing.rectangle(x, y, width, height, colour, GREY)
        for row, line in enumerate(lines):
            drawing.text(x + width / 2, y + 22 + 18 * row, line, 12, "middle", bold=row == 0)
        x += width
        if number + 1 < len(texts):
            drawing.line([(x + 2, y + height / 2), (x + gap - 2, y + height / 2)], INK, 1.5, arrow=True)
            x += gap
    return x, y + height


def listed(values: Any) -> str:
    """Numbers in words for an alternative text: rows are parted by semicolons."""
    table = np.asarray(values, float)
    rows = table if table.ndim == 2 else table[None]
    return "; ".join(" ".join(plain(value) for value in row) for row in rows.tolist())


def _brightness(colour: str) -> float:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return 0.3 * red + 0.59 * green + 0.11 * blue
