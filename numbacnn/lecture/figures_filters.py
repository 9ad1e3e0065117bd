"""Figures of the lecture's filters: the flashlight, the curve detector, and a convolution of letters."""

from collections.abc import Iterator

import numpy as np

from numbacnn.lecture.arithmetic import Arithmetic, image, kernel
from numbacnn.lecture.drawing import BLUE, GREY, INK, ORANGE, PAPER, Drawing
from numbacnn.lecture.figure import Figure, figure
from numbacnn.lecture.parts import frame, grid, ink, mixed, plain, sign
from numbacnn.lecture.sliding import Sliding
from numbacnn.lecture.vectors import vectors
from numbacnn.shapes import window2d


def filter_figures(arithmetic: Arithmetic) -> Iterator[Figure]:
    """From the flashlight to the sums of products."""
    yield _flashlight()
    yield _curve_filter()
    yield _products(arithmetic, "field_hit", "Filters Example (2/3)", "curve-hit", "The curve filter on its curve")
    yield _products(arithmetic, "field_miss", "Filters Example (3/3)", "curve-miss", "The same filter beside the curve")
    sliding = Sliding((5, 5), (3, 3), (1, 1), "valid")
    title = "A filter slides over all areas of its input"
    yield Figure("convolution", "Convolution Operation", title, sliding.description, sliding.svg())
    yield _letters()


def _flashlight() -> Figure:
    rows, columns = window2d((32, 32), (5, 5), (1, 1), "valid")
    drawing, cell = Drawing(640, 330), 8
    for x, count in ((20, rows.size), (20 + cell * rows.size + 90, rows.out)):
        for line in range(count + 1):
            drawing.line([(x + line * cell, 30), (x + line * cell, 30 + count * cell)], "#dee2e6", 0.8)
            drawing.line([(x, 30 + line * cell), (x + count * cell, 30 + line * cell)], "#dee2e6", 0.8)
        drawing.rectangle(x, 30, count * cell, count * cell, None, INK, 1.5)
    right, side = 20 + cell * rows.size + 90, cell * rows.kernel
    drawing.rectangle(20, 30, side, side, ORANGE, ORANGE, 2.5, 0.35)
    drawing.rectangle(right, 30, cell, cell, BLUE, BLUE, 2.5, 0.6)
    drawing.line([(20 + side, 30), (right, 30)], ORANGE, 1)
    drawing.line([(20 + side, 30 + side), (right, 30 + cell)], ORANGE, 1)
    drawing.text(20, 20, f"image {rows.size} x {columns.size}", 13, bold=True)
    drawing.text(right, 20, f"activation map {rows.out} x {columns.out}", 13, bold=True)
    drawing.text(20, 312, f"receptive field, {rows.kernel} x {columns.kernel} pixels under the filter (orange)", 13)
    alt = (
        f"A {rows.kernel} by {columns.kernel} filter lies like a flashlight on the top left of an image of {rows.size} by {columns.size} "
        f"pixels. Two lines lead from it to the first cell of an activation map of {rows.out} by {columns.out}."
    )
    return figure("receptive-field", "Receptive Fields and Filters", "A receptive field and its filter", alt, drawing)


def _curve_filter() -> Figure:
    weights = np.array(vectors()["curve_filter"]["filter"], float)
    drawing = Drawing(470, 250)
    grid(drawing, 20, 34, weights, 28, 12, caption="the weights of the filter")
    grid(drawing, 250, 34, weights, 28, 12, ink(weights.max()), words=None, caption="the same as a picture")
    cells = ", ".join(f"({i}, {j})" for i, j in np.argwhere(weights))
    alt = (
        f"A grid of {weights.shape[0]} by {weights.shape[1]} weights, beside it the same as dark cells: a curve from the top "
        f"right down the "
        f"middle. The weights are {plain(weights.max())} at row and column {cells}, elsewhere 0."
    )
    return figure("curve-filter", "Filters Example (1/3)", "A filter that detects a curve", alt, drawing)


def _products(arithmetic: Arithmetic, field: str, slide: str, name: str, title: str) -> Figure:
    pixels, weights = (np.array(vectors()["curve_filter"][key], float) for key in (field, "filter"))
    total = arithmetic.conv2d(image(pixels), kernel(weights)).item()
    meeting = np.argwhere(pixels * weights)
    drawing = Drawing(520, 280)
    grid(drawing, 20, 34, pixels, 28, 12, ink(float(pixels.max()) * 1.6), caption="receptive field, pixels")
    grid(drawing, 290, 34, weights, 28, 12, lambda value: mixed(ORANGE, 0.5 * bool(value)), caption="filter, weights")
    sign(drawing, 253, 132, "*")
    for i, j in meeting:
        for x in (20, 290):
            frame(drawing, x, 34, 28, (i, j), (1, 1), BLUE)
    products = " + ".join(f"{plain(pixels[i, j])}*{plain(weights[i, j])}" for i, j in meeting) or "no pixel lies under the curve"
    drawing.text(20, 262, f"{products} = {plain(total)}" if len(meeting) else f"{products}: {plain(total)}", 14, bold=True)
    alt = (
        f"Pixels of a receptive field beside the curve filter. "
        f"{f'Blue frames: {len(meeting)} cells that are not 0 in both.' * bool(len(meeting))} "
        f"The sum of products: {products}, {plain(total)}."
    ).replace("  ", " ")
    return figure(name, slide, f"{title}: {plain(total)}", alt, drawing)


def _letters() -> Figure:
    """The example of Goodfellow's figure 9.1, written out by the window of the geometry."""
    size, reach = (3, 4), (2, 2)
    rows, columns = window2d(size, reach, (1, 1), "valid")
    letters, weights = "abcdefghijkl", "wxyz"
    drawing = Drawing(660, 330)
    drawing.text(20, 26, "input", 13, bold=True)
    drawing.text(270, 26, "filter", 13, bold=True)
    for x, width, text in ((20, size[1], letters), (270, reach[1], weights)):
        for number, letter in enumerate(text):
            i, j = divmod(number, width)
            marked = text == weights or (i < reach[0] and j < reach[1])
            drawing.rectangle(x + 44 * j, 36 + 44 * i, 44, 44, mixed(ORANGE, 0.3) if marked else PAPER, INK)
            drawing.text(x + 44 * j + 22, 36 + 44 * i + 28, letter, 16, "middle")
    drawing.text(20, 204, "output: each cell is the sum of products under the filter", 13, bold=True)
    sums = []
    for i in range(rows.out):
        for j in range(columns.out):
            terms = [
                f"{letters[(i + u) * size[1] + j + v]}{weights[u * reach[1] + v]}"
                for u in range(reach[0])
                for v in range(reach[1])
            ]
            sums.append(" + ".join(terms))
            drawing.rectangle(20 + 205 * j, 216 + 46 * i, 205, 46, mixed(BLUE, 0.3) if i == j == 0 else PAPER, INK)
            drawing.text(20 + 205 * j + 102, 216 + 46 * i + 29, sums[-1], 15, "middle")
    drawing.text(270, 160, "the first place is coloured", 12, fill=GREY)
    alt = (
        f"An input of {size[0]} by {size[1]} letters, {', '.join(letters)}, a filter of {reach[0]} by {reach[1]}, "
        f"{', '.join(weights)}, and "
        f"an output of {rows.out} by {columns.out} sums: {'; '.join(sums)}."
    )
    return figure("convolution-2d", "Convolution Operation - 2D Example", "A convolution in letters", alt, drawing)
