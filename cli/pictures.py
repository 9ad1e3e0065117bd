"""Small pictures in the terminal: two pixels to a character, one above the other."""

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from .console import can_print

HALF_BLOCK = "▀"
SHADES = " ░▒▓█"
ASCII_SHADES = " .:*#"
INDENT = "  "
MOST_COLUMNS = 120
"""A row of pictures is no wider, whatever the terminal: a pipe has no width at all."""


GAP = "  "


def draw_picture(pixels: NDArray[np.uint8], console: Console) -> Text:
    """Ink as light: half blocks in grey where the terminal has colours, shaded blocks elsewhere.

    Args:
        pixels: uint8 (height, width), or (height, width, channels), which are shown in grey.
    """
    return Text("\n").join(Text(INDENT) + line if line else line for line in _lines(pixels, console))


def draw_row(pictures: Sequence[NDArray[np.uint8]], captions: Sequence[str], console: Console) -> Text:
    """Pictures of one height side by side, each with a caption below it."""
    columns = [[*_lines(pixels, console), Text(caption, "dim")] for pixels, caption in zip(pictures, captions, strict=True)]
    widths = [max(pixels.shape[1], len(caption)) for pixels, caption in zip(pictures, captions, strict=True)]
    drawn = []
    for row in zip(*columns, strict=True):
        line = Text(INDENT)
        for cell, width in zip(row, widths, strict=True):
            line.append_text(cell).append(" " * (width - len(cell)) + GAP)
        line.rstrip()
        drawn.append(line)
    return Text("\n").join(drawn)


def room(console: Console, width: int) -> int:
    """The pictures of this width, at least 1, that stand side by side; at most as on ``MOST_COLUMNS`` columns."""
    columns = min(console.width, MOST_COLUMNS) - len(INDENT)
    return max(1, (columns + len(GAP)) // (width + len(GAP)))


def _lines(pixels: NDArray[np.uint8], console: Console) -> list[Text]:
    """Two rows of pixels to a line; an odd last row by itself."""
    if pixels.ndim == 3:
        pixels = pixels.mean(axis=2).round().astype(np.uint8)
    draw = _half_blocks if _has_greys(console) else _shaded(console)
    return [draw(upper, lower) for upper, lower in zip_longest(pixels[0::2], pixels[1::2])]


def _has_greys(console: Console) -> bool:
    """Rich keeps a colour system where NO_COLOR forbids to use it."""
    greys = console.color_system in ("256", "truecolor")
    return console.is_terminal and greys and not console.no_color and can_print(console, HALF_BLOCK)


def _half_blocks(upper: NDArray[np.uint8], lower: NDArray[np.uint8] | None) -> Text:
    line = Text()
    for top, bottom in zip(upper.tolist(), [None] * len(upper) if lower is None else lower.tolist(), strict=True):
        below = None if bottom is None else Color.from_rgb(bottom, bottom, bottom)
        line.append(HALF_BLOCK, Style(color=Color.from_rgb(top, top, top), bgcolor=below))
    return line


def _shaded(console: Console):  # type: ignore[no-untyped-def]
    shades = SHADES if can_print(console, SHADES) else ASCII_SHADES

    def draw(upper: NDArray[np.uint8], lower: NDArray[np.uint8] | None) -> Text:
        mean = (upper.astype(int) + (0 if lower is None else lower)) / 2
        return Text("".join(shades[round(value / 255 * (len(shades) - 1))] for value in mean).rstrip())

    return draw
