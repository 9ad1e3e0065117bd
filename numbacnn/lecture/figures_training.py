"""Figures of the network for MNIST, and of backpropagation through one convolution."""

from collections.abc import Iterator

import numpy as np

from numbacnn.lecture.arithmetic import Arithmetic
from numbacnn.lecture.backprop import Backprop, backprop
from numbacnn.lecture.checks_training import sum_of_products
from numbacnn.lecture.drawing import BLUE, GREEN, GREY, INK, ORANGE, Drawing
from numbacnn.lecture.figure import Figure, figure
from numbacnn.lecture.figures_layers import stack
from numbacnn.lecture.parts import frame, grid, listed, mixed, plain, sign, signed
from numbacnn.lecture.vectors import vectors
from numbacnn.models import PRESETS

CELL = 44


def tensorflow_figures(arithmetic: Arithmetic) -> Iterator[Figure]:
    """The network, with its parameters."""
    yield stack(PRESETS["cnn"].graph, "mnist-cnn", "CNN in TensorFlow (1/7)", is_counted=True)


def training_figures(arithmetic: Arithmetic) -> Iterator[Figure]:
    """Forward, backward, and the update, with the error E = h11 + h12 + h21 + h22."""
    table = vectors()["backprop_3x3_2x2"]
    found = backprop(arithmetic.ops, np.array(table["x"]), np.array(table["kernel"]), None, table["learning_rate"])
    yield _setting(found)
    yield _forward(found)
    yield _backward(found)
    yield _update(found)


def _setting(found: Backprop) -> Figure:
    drawing = Drawing(560, 190)
    _matrices(drawing, found, 40)
    sides = [" x ".join(map(str, matrix.shape)) for matrix in (found.x, found.w, found.h)]
    alt = (
        f"X, {sides[0]}: {listed(found.x)}, convolved with W, {sides[1]}: {listed(found.w)}, is H, {sides[2]}: {listed(found.h)}."
    )
    return figure("backprop-setting", "Training CNN (1/4)", "X convolved with W is H: no padding, stride 1", alt, drawing)


def _matrices(drawing: Drawing, found: Backprop, top: float) -> None:
    for left, name, matrix, colour in ((20, "X", found.x, ORANGE), (220, "W", found.w, GREEN), (380, "H", found.h, BLUE)):
        caption = f"{name}, {' x '.join(map(str, matrix.shape))}"
        y = top + (found.x.shape[0] - matrix.shape[0]) * CELL / 2
        grid(drawing, left, y, matrix, CELL, 15, lambda value, colour=colour: mixed(colour, 0.2), caption=caption)  # type: ignore[misc]
    middle = top + found.x.shape[0] * CELL / 2
    sign(drawing, 186, middle, "*")
    sign(drawing, 344, middle, "=")


def _forward(found: Backprop) -> Figure:
    drawing, told = Drawing(620, 330), []
    _matrices(drawing, found, 40)
    frame(drawing, 20, 40, CELL, (0, 0), found.w.shape)
    frame(drawing, 380, 62, CELL, (0, 0), (1, 1))
    for line, (i, j) in enumerate(np.ndindex(*found.h.shape)):
        told.append(f"h{i + 1}{j + 1} = {sum_of_products(found.forward_terms(i, j))} = {plain(float(found.h[i, j]))}")
        drawing.text(20, 206 + 24 * line, told[-1], 14, bold=line == 0)
    drawing.text(20, 318, "orange: the cells of X that h11 reads, weight times pixel", 12, fill=GREY)
    return figure(
        "backprop-forward",
        "Training CNN (2/4)",
        "The forward pass in four sums",
        f"X, W and H, and four sums: {'; '.join(told)}.",
        drawing,
    )


def _backward(found: Backprop) -> Figure:
    drawing, told = Drawing(700, 440), []
    _matrices(drawing, found, 40)
    frame(drawing, 20, 40, CELL, (0, 0), found.h.shape)
    frame(drawing, 220, 62, CELL, (0, 0), (1, 1))
    for line, (u, v) in enumerate(np.ndindex(*found.w.shape)):
        told.append(f"dE/dw{u + 1}{v + 1} = {sum_of_products(found.terms(u, v))} = {plain(float(found.dw[u, v]))}")
        drawing.text(20, 206 + 24 * line, told[-1], 14, bold=line == 0)
    shade = signed(float(max(np.abs(found.dw).max(), np.abs(found.dx).max())))
    grid(drawing, 20, 328, found.dh, 32, 13, lambda value: mixed(BLUE, 0.2), caption="dE/dH")
    grid(drawing, 130, 328, found.dw, 32, 13, shade, caption="dE/dW")
    grid(drawing, 250, 328, found.dx, 32, 13, shade, caption="dE/dX")
    drawing.text(370, 362, f"E = h11 + h12 + h21 + h22 = {plain(found.error)}", 13)
    drawing.text(370, 396, "orange: the pixels that met w11", 12, fill=GREY)
    alt = f"Four sums of dE/dh times the pixel that met the weight: {'; '.join(told)}. dE/dX is {listed(found.dx)}."
    return figure("backprop-backward", "Training CNN (3/4)", "The gradient of each weight, summed over all outputs", alt, drawing)


def _update(found: Backprop) -> Figure:
    drawing = Drawing(640, 190)
    shade = signed(float(np.abs(found.dw).max()))
    grid(drawing, 20, 40, found.w, CELL + 8, 15, lambda value: mixed(GREEN, 0.2), caption="W")
    drawing.text(142, 96, f"- {plain(found.eta)} *", 16)
    grid(drawing, 220, 40, found.dw, CELL + 8, 15, shade, caption="dE/dW")
    sign(drawing, 356, 92, "=")
    grid(drawing, 388, 40, found.w_next, CELL + 8, 15, lambda value: mixed(GREEN, 0.2), caption="W, next")
    lines = [
        f"w{u + 1}{v + 1}: {plain(before)} - {plain(found.eta)} * {plain(gradient)} = {plain(after)}"
        for u, v in np.ndindex(*found.w.shape)
        for before, gradient, after in [(float(found.w[u, v]), float(found.dw[u, v]), float(found.w_next[u, v]))]
    ]
    drawing.text(20, 172, lines[0], 13, fill=INK)
    alt = (
        f"W, {listed(found.w)}, less {plain(found.eta)} times dE/dW, {listed(found.dw)}, is the next W, "
        f"{listed(found.w_next)}. {'; '.join(lines)}."
    )
    return figure("backprop-update", "Training CNN (4/4)", "One step of gradient descent", alt, drawing)
