"""The layers' outputs for one image, in words and small pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.text import Text

from numbacnn.inspection.tiles import Scale, in_rows, repeats, shrunk
from numbacnn.inspection.tracing import LayerTrace, Trace
from numbacnn.quoting import plain

from .console import Printer
from .pictures import GAP, INDENT, MOST_COLUMNS, draw_picture, draw_row, room

LEAST_SIDE = 14
"""Maps are shrunk to about this many columns, or more where four of them fit side by side."""
MOST_STRIP_ROWS = 16
"""Rows of a picture of units; of more units, each pixel is the mean of several."""

LEAST_CLASSES, LEAST_SHARE = 3, 0.001
BAR = 30
"""Characters of a probability of 1."""


def trace_lines(layers: Sequence[LayerTrace], width: int) -> list[str]:
    """One line for each layer, its numbers below each other; shortened where they are wider than ``width``."""
    for gap, alive, extremes in ((GAP, True, True), (" ", True, True), (" ", False, True), (" ", False, False)):
        rows = [
            (plain(layer.name), "x".join(map(str, layer.values.shape)), *[f"min {layer.min:.3f}"] * extremes,
             f"mean {layer.mean:.3f}", f"max {layer.max:.3f}", f"zero {layer.zero_share:.1%}",
             f"{('maps ' if layer.has_maps else 'units ') * alive}alive {layer.maps_alive}/{layer.maps}")
            for layer in layers
        ]  # fmt: skip
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [gap.join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip() for row in rows]
        if max(map(len, lines)) <= width:
            break
    return lines


def print_trace(console: Printer, trace: Trace) -> None:
    """Every layer: its numbers, and the most active of its maps, as many as stand side by side."""
    for index, (layer, line) in enumerate(zip(trace.layers, trace_lines(trace.layers, console.width), strict=True)):
        if index:
            console.print()
        console.print(line)
        same = repeats(layer, trace.layers[:index])
        if same is not None and layer.values.ndim == 1:
            console.print(f"{INDENT}the numbers of {plain(same)}")
        else:
            print_layer(console, layer, some=True)


def print_layer(console: Printer, layer: LayerTrace, some: bool = False) -> None:
    """The pictures of a layer: all of its maps, or the most active ones."""
    scale = Scale.of(layer.values)
    if not layer.has_maps:
        console.print(draw_picture(scale.grey(_strip(layer, console)), console), soft_wrap=True)
        return
    side = max(LEAST_SIDE, min(console.width, MOST_COLUMNS) // 4 - 3)
    width = shrunk(layer.values[:, :, 0], side).shape[1]
    fit = room(console, max(width, len(str(layer.maps - 1))))
    chosen = layer.most_active(fit) if some else list(range(layer.maps))
    for first in range(0, len(chosen), fit):
        maps = chosen[first : first + fit]
        tiles = [scale.grey(shrunk(layer.values[:, :, index], side)) for index in maps]
        console.print(draw_row(tiles, [str(index) for index in maps], console), soft_wrap=True)
    if len(chosen) < layer.maps:
        console.print(f"{INDENT}the {len(chosen)} most active of {layer.maps} maps", style="dim")


def _strip(layer: LayerTrace, console: Printer) -> Any:
    """The units in rows as wide as the terminal."""
    columns = min(console.width, 80, MOST_COLUMNS) - 2 * len(INDENT)
    values = layer.values
    if values.size > columns * MOST_STRIP_ROWS:
        step = -(-values.size // (columns * MOST_STRIP_ROWS))
        values = np.pad(values, (0, -values.size % step)).reshape(-1, step).mean(axis=1)
    return in_rows(values, min(columns, values.size))


def probability_lines(class_names: Sequence[str], probabilities: Any, top: int) -> list[Text]:
    """The most probable classes, a bar for each; of those below one in a thousand, as many as make three."""
    order = np.argsort(-probabilities, kind="stable")[:top]
    order = order[: max(LEAST_CLASSES, int((probabilities[order] >= LEAST_SHARE).sum()))]
    names = [plain(class_names[index]) for index in order]
    longest = max(map(len, names))
    return [
        Text(f"{INDENT}{name.ljust(longest)}  {probabilities[index]:7.2%}  {'#' * round(BAR * probabilities[index])}".rstrip())
        for name, index in zip(names, order, strict=True)
    ]
