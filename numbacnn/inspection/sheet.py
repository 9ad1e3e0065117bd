"""Sheets: the summary of one image, all maps of a layer, the filters of a convolution, and a network's worst mistakes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.inspection.drawing import (
    BODY,
    FAINT,
    GAP,
    SMALL,
    TITLE,
    WIDTH,
    Block,
    as_colours,
    bars,
    beside,
    grid,
    page,
    stacked,
    text,
    tile,
)
from numbacnn.inspection.heat import Heat
from numbacnn.inspection.tiles import HEAT, Pixels, Scale, in_rows, repeats, strip_columns
from numbacnn.inspection.tracing import LayerTrace
from numbacnn.quoting import counted, plain

PICTURE_SIDE, MAP_SIDE, SHEET_SIDE, LIKE_SIDE = 226, 72, 114, 86
MOST_CLASSES = 10
MOST_UNIT_COLUMNS, UNIT_SIDE = 120, 24

LEGEND = (
    "Within a layer all pictures share one scale: 0 is black, the largest value white. Where a layer has negative values, the positive "
    "ones are orange and the negative ones blue."
)


class Captioned(NamedTuple):
    """Pixels (h, w, 1) or (h, w, 3), and the words below them."""

    pixels: Pixels
    words: str


class Answer(NamedTuple):
    """What a network says of one image.

    Args:
        title: the answer, in words.
        lines: what is to be known of the image and the network.
        image: pixels of the image as the network reads it (h, w, 1) or (h, w, 3).
        names: of the classes.
        layers: of its trace.
        probabilities: of each class, (classes,).
        heat: why.
        heat_words: what it shows.
        likes: the training images most like it.
    """

    title: str
    lines: Sequence[str]
    image: Pixels
    names: Sequence[str]
    layers: Sequence[LayerTrace]
    probabilities: NDArray[np.float64]
    heat: Heat
    heat_words: str
    likes: Sequence[Captioned] = ()


def summary_sheet(answer: Answer) -> bytes:
    """One PNG that answers first: image, probabilities and the reason; then the layers, each with its most active maps."""
    order = np.argsort(-answer.probabilities, kind="stable")[:MOST_CLASSES]
    third = WIDTH - 2 * (PICTURE_SIDE + 4 * GAP)
    top = beside(
        [
            _with_words(tile(as_colours(answer.image), PICTURE_SIDE), "what the network reads"),
            bars([answer.names[index] for index in order], [float(answer.probabilities[index]) for index in order], third),
            _with_words(tile(overlaid(answer.image, answer.heat), PICTURE_SIDE), answer.heat_words),
        ],
        4 * GAP,
    )
    blocks = [stacked([text(answer.title, TITLE), *(text(line, BODY, colour=FAINT) for line in answer.lines)], 4), top]
    if answer.likes:
        row = [_with_words(tile(as_colours(pixels), LIKE_SIDE), words) for pixels, words in answer.likes]
        blocks.append(stacked([text("the training images most like it"), grid(row, gap=2 * GAP)]))
    for index, layer in enumerate(answer.layers):
        blocks.append(stacked([text(layer_words(layer)), _some_maps(layer, answer.layers[:index])]))
    return page([*blocks, text(LEGEND, SMALL, colour=FAINT)])


def layer_sheet(layer: LayerTrace) -> bytes:
    """One PNG with all maps of a layer, or its units."""
    title = f"{plain(layer.name)}: {layer.maps:,} {'maps' if layer.has_maps else 'units'}"
    pictures = _maps(layer, range(layer.maps), SHEET_SIDE) if layer.has_maps else _units(layer)
    return page([text(title, TITLE), text(layer_words(layer)), pictures, text(LEGEND, SMALL, colour=FAINT)])


def filters_sheet(filters: NDArray, title: str, in_colour: bool) -> bytes:
    """One PNG with the filters of a convolution: one picture each, or a row of one for each channel.

    Args:
        filters: (filters, channels, height, width).
        in_colour: whether the three channels are red, green and blue.
    """
    scale = Scale.of(filters)
    if in_colour:
        span = max(scale.high, -scale.low) or 1.0
        shown = np.rint(127.5 + 127.5 * filters / span).astype(np.uint8).transpose(0, 2, 3, 1)
        blocks = [_with_words(tile(pixels, MAP_SIDE), str(index)) for index, pixels in enumerate(shown)]
        words = "Red, green and blue are the weights of these channels; 0 is mid-grey."
    else:
        side = MAP_SIDE if filters.shape[1] == 1 else 5 * max(filters.shape[2:])
        rows = [[tile(scale.colours(channel), side) for channel in each] for each in filters]
        blocks = [_with_words(grid(row, gap=3), str(index)) for index, row in enumerate(rows)]
        channels = counted(filters.shape[1], "channel")
        words = f"Positive weights are orange, negative ones blue, 0 is black. A picture for each of {channels}."
    return page([text(title, TITLE), text(words, colour=FAINT), grid(blocks, gap=2 * GAP)])


def mistakes_sheet(mistakes: Sequence[Captioned], title: str, words: str) -> bytes:
    """One PNG of images, each with its true class and the network's answer below it."""
    blocks = [_with_words(tile(as_colours(pixels), SHEET_SIDE), caption) for pixels, caption in mistakes]
    return page([text(title, TITLE), text(words, colour=FAINT), *([grid(blocks, gap=2 * GAP)] if blocks else [])])


def overlaid(image: Pixels, heat: Heat) -> Pixels:
    """The image, dimmed, with heat above 0 in red: the largest is opaque."""
    share = np.clip(heat.of_pixels(*image.shape[:2]), 0, None)
    share = (share / (share.max() or 1.0))[..., None]
    mixed = 0.6 * as_colours(image) * (1 - share) + np.array(HEAT) * share
    return np.rint(mixed).astype(np.uint8)


def layer_words(layer: LayerTrace) -> str:
    """A layer's numbers in one line."""
    return (
        f"{plain(layer.name)}   {'x'.join(map(str, layer.values.shape))}   min {layer.min:.3f}   mean {layer.mean:.3f}   "
        f"max {layer.max:.3f}   zero {layer.zero_share:.1%}   {'maps' if layer.has_maps else 'units'} alive "
        f"{layer.maps_alive}/{layer.maps}"
    )


def _some_maps(layer: LayerTrace, before: Sequence[LayerTrace]) -> Block:
    same = repeats(layer, before)
    if same is not None and not layer.has_maps:
        return text(f"the numbers of {plain(same)}", SMALL, colour=FAINT)
    if not layer.has_maps:
        return _units(layer)
    fit = (WIDTH + GAP) // (MAP_SIDE + GAP)
    return _maps(layer, layer.most_active(fit), MAP_SIDE)


def _maps(layer: LayerTrace, chosen: Sequence[int], side: int) -> Block:
    scale = Scale.of(layer.values)
    return grid([_with_words(tile(scale.colours(layer.values[:, :, index]), side), str(index)) for index in chosen])


def _units(layer: LayerTrace) -> Block:
    values = layer.values
    columns = strip_columns(len(values), MOST_UNIT_COLUMNS if len(values) < 10_000 else WIDTH - 2)
    strip = tile(Scale.of(values).colours(in_rows(values, columns)), min(WIDTH, UNIT_SIDE * columns + 2))
    rows = -(-len(values) // columns)
    return strip if rows == 1 else _with_words(strip, f"units from 0 on, {columns} in a row")


def _with_words(block: Block, words: str) -> Block:
    return stacked([block, text(words, SMALL, max(block.width, SMALL), FAINT)], 2)
