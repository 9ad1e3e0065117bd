"""The terminal's view of ``inspect``: the answer first, then what was asked for."""

import numpy as np

from numbacnn.graph import INPUT
from numbacnn.inspection.cell import CellSum
from numbacnn.inspection.tiles import Pixels, Scale, image_pixels, shrunk
from numbacnn.quoting import plain
from numbacnn.receptive import Range
from numbacnn.shapes import cells

from .console import Printer, stdout
from .findings import Filters, Findings, Likes, Seen, Why
from .pictures import INDENT, draw_picture, draw_row, room
from .traces import LEAST_SIDE, print_layer, print_trace, probability_lines, trace_lines

MOST_CLASSES = 10
MOST_TERMS = 12
"""Products that are listed one by one; the others are given as one sum."""
FIELD_LIGHT, OUTSIDE = 70, 0.5
"""Least brightness within a receptive field, and the factor outside of it."""

SMALL_FILTER = 8
"""Filters of fewer columns are drawn twice as large."""


def print_findings(found: Findings) -> None:
    """Print the answer, and below it each part that was asked for; the layers where nothing was."""
    console, seen = stdout(), found.seen
    if seen is not None:
        _print_answer(console, found, seen)
    if found.filters is not None:
        _print_filters(console, found.filters)
    asked = found.filters or found.layer or found.cell or found.likes or found.why
    if seen is not None and not asked:
        console.print()
        print_trace(console, seen.trace)
    if seen is not None and found.layer is not None:
        layer = seen.trace.layer(found.layer)
        console.print()
        console.print(trace_lines([layer], console.width)[0])
        print_layer(console, layer)
    if found.cell is not None:
        console.print()
        _print_cell(console, found, found.cell)
    if found.likes is not None:
        console.print()
        _print_likes(console, found, found.likes)
    for path in found.files or []:
        console.print_wrapped(f"wrote {path}")


def _print_answer(console: Printer, found: Findings, seen: Seen) -> None:
    """The answer, the probabilities, and the image, beside it the heat or with a cell's receptive field marked."""
    subject, answer = seen.subject, found.class_name(seen.answer)
    console.print_wrapped(f"{subject.name}: {answer}")
    for line in probability_lines(found.network.class_names, seen.probabilities, MOST_CLASSES):
        console.print(line, soft_wrap=True)
    console.print_wrapped(f"{INDENT}{found.about(subject)}")
    pixels = image_pixels(subject.image)
    if found.cell is not None and found.cell.image_field is not None and len(found.cell.cell) > 1:
        pixels = _marked(pixels, *found.cell.image_field)
    if found.why is not None:
        _print_why(console, answer, pixels, found.why)
    else:
        console.print(draw_picture(pixels, console), soft_wrap=True)


def _print_why(console: Printer, answer: str, pixels: Pixels, why: Why) -> None:
    grey = pixels.mean(axis=2)
    heat = np.clip(why.heat.of_pixels(*grey.shape), 0, None)
    side = max(28, grey.shape[0] if grey.shape[1] * 2 < console.width - 6 else LEAST_SIDE)
    tiles = [Scale(0, 255).grey(shrunk(grey, side)), Scale.of(heat).grey(shrunk(heat, side))]
    console.print(draw_row(tiles, ["image", "why"], console), soft_wrap=True)
    console.print(f"why: {why.in_words(answer)}")


def _marked(pixels: Pixels, rows: Range, columns: Range) -> Pixels:
    """The image in grey with a receptive field lighter and the rest darker."""
    grey = pixels.mean(axis=2)
    marked = grey * OUTSIDE
    field = slice(rows[0], rows[1] + 1), slice(columns[0], columns[1] + 1)
    marked[field] = FIELD_LIGHT + grey[field] * (255 - FIELD_LIGHT) / 255
    return np.rint(marked).astype(np.uint8)[:, :, None]


def _print_cell(console: Printer, found: Findings, cell: CellSum) -> None:
    """The sum of products: the largest of them one by one, two beside each other."""
    name, reads = f"{plain(cell.layer)}[{','.join(map(str, cell.cell))}]", plain(cell.reads)
    zeros = sum(1 for term in cell.terms if not term.product)
    is_dense, channels = len(cell.cell) == 1, len({term.c for term in cell.terms})
    if is_dense:
        where = f"the {_count(channels, 'number')} of {reads}"
    elif cell.receptive_field is None:
        where = f"nothing but the padding of {reads}"
    else:
        rows, columns = cell.receptive_field
        where = f"rows {rows[0]}..{rows[1]}, columns {columns[0]}..{columns[1]}, {_count(channels, 'channel')} of {reads}"
    products = f"{_count(len(cell.terms), 'product')} ({len(cell.terms) - zeros:,} not 0)"
    dense = "" if is_dense else f"; a dense neuron: {cells(found.network.graph.shapes[cell.reads]):,}"
    console.print(f"{name} reads {where}: {products}{dense}")
    if cell.image_field is not None and cell.reads != INPUT and not is_dense:
        (top, bottom), (left, right) = cell.image_field
        console.print(f"of the image it sees rows {top}..{bottom}, columns {left}..{right}")
    if cell.terms and zeros == len(cell.terms):
        console.print("all it reads is 0, or meets a weight of 0: there is no product to list")
    elif cell.terms:
        axes = "(row, column, channel)" if len(cell.places[0]) > 1 else "(index)"
        console.print(f"{axes} of {plain(cell.of)}, its value x the weight = the product")
    listed = [
        f"({','.join(map(str, place))}) {term.x:.4f} x {term.weight:.4f} = {term.product:+.4f}"
        for term, place in list(zip(cell.terms, cell.places, strict=True))[:MOST_TERMS]
        if term.product
    ]
    width = max(map(len, listed), default=0)
    beside = max(1, min(2, (console.width - len(INDENT)) // (width + 3)))
    for first in range(0, len(listed), beside):
        console.print(INDENT + "   ".join(line.ljust(width) for line in listed[first : first + beside]).rstrip())
    others = len(cell.terms) - zeros - len(listed)
    if others:
        rest = sum(term.product for term in cell.terms[len(listed) :])
        console.print(f"{INDENT}and {others:,} smaller ones, together {rest:+.4f}")
    console.print(f"{INDENT}sum {cell.sum:.6f}  bias {cell.bias:.6f}  z {cell.value:.6f}   kernel {cell.kernel_value:.6f}")
    console.print(f"{INDENT}they differ by {abs(cell.value - cell.kernel_value):.1e}; rounding may make it {cell.bound:.1e}")
    console.print(f"{INDENT}after {cell.activation}: {cell.output:.6f}" if cell.activation else f"{INDENT}no activation follows")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _print_likes(console: Printer, found: Findings, likes: Likes) -> None:
    console.print_wrapped(f"most like it among {likes.searched:,} training images of {likes.dataset}")
    tiles = [Scale(0, 255).grey(shrunk(image_pixels(each.image).mean(axis=2), LEAST_SIDE)) for each in likes.images]
    captions = [f"{found.class_name(each.label)[:10]} {each.similarity:.4f}" for each in likes.images]
    fit = room(console, max(*(tile.shape[1] for tile in tiles), *map(len, captions)))
    for first in range(0, len(tiles), fit):
        console.print(draw_row(tiles[first : first + fit], captions[first : first + fit], console), soft_wrap=True)


def _print_filters(console: Printer, filters: Filters) -> None:
    """One picture of each filter; of filters with several channels, a row with a picture of each."""
    count, channels, high, wide = filters.values.shape
    scale = Scale.of(filters.values)
    console.print(
        f"{plain(filters.layer)}: {_count(count, 'filter')} of {high}x{wide}, {_count(channels, 'channel')}, black {scale.low:.3f}, "
        f"white {scale.high:.3f}"
    )
    if channels == 1:
        larger = 1 + (wide < SMALL_FILTER)
        fit = room(console, max(larger * wide, len(str(count - 1))))
        for first in range(0, count, fit):
            some = range(first, min(first + fit, count))
            tiles = [scale.grey(filters.values[index, 0]).repeat(larger, axis=0).repeat(larger, axis=1) for index in some]
            console.print(draw_row(tiles, [str(index) for index in some], console), soft_wrap=True)
        return
    fit = room(console, wide)
    for index, each in enumerate(filters.values):
        strongest = sorted(np.argsort(-np.abs(each).sum(axis=(1, 2)), kind="stable")[:fit].tolist())
        left_out = f", the {fit} channels of the largest weights" if fit < channels else ""
        console.print(f"filter {index}{left_out}")
        captions = [str(channel) if len(str(channel)) <= wide else "" for channel in strongest]
        console.print(draw_row([scale.grey(each[channel]) for channel in strongest], captions, console), soft_wrap=True)
