"""Figures of the lecture's dense networks: one layer for MNIST, five improvements, and why they do not scale."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from numbacnn import functional
from numbacnn.datasets import digits
from numbacnn.graph import sequential
from numbacnn.initializers import initial_values
from numbacnn.layers import Dense, Flatten
from numbacnn.lecture.arithmetic import Arithmetic
from numbacnn.lecture.drawing import BLUE, GREY, INK, ORANGE, PALE, PAPER, Drawing, Point
from numbacnn.lecture.figure import Figure, figure
from numbacnn.lecture.parts import Axes, Column, grid, ink, legend, listed, mixed, network, picture, plain, sign
from numbacnn.lecture.vectors import vectors
from numbacnn.models import PRESETS
from numbacnn.optimizers import SGD, Adam
from numbacnn.random_numbers import stream
from numbacnn.schedules import exponential
from numbacnn.summary import summarise
from numbacnn.values import DropoutKey

EPOCHS = 10
DRAWN = 20_000
"""Weights drawn for a picture of their distribution."""
NEURON = mixed(BLUE, 0.3)
FOUR: tuple[tuple[Point, ...], ...] = (((0.6, 0.0), (0.05, 0.65), (0.95, 0.65)), ((0.66, 0.35), (0.66, 1.0)))
"""The strokes of a digit 4 in a box from 0 to 1."""


def dense_figures(arithmetic: Arithmetic) -> Iterator[Figure]:
    """From the digits to the decay of the learning rate."""
    yield _digits()
    yield _one_layer()
    yield _weighted_sum(arithmetic)
    yield _softmax(arithmetic)
    yield _cross_entropy()
    yield _deep()
    yield _sigmoid(arithmetic)
    yield _he()
    yield _adam(arithmetic)
    yield _relu(arithmetic)
    yield _dropout(arithmetic)
    yield _decay()


def challenge_figures(arithmetic: Arithmetic) -> Iterator[Figure]:
    """An image as a vector, and five ways to look different."""
    yield _vector()
    yield _difficulties()


def _digits() -> Figure:
    images, labels = digits.draw(10)
    drawing = Drawing(520, 264)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        x, y = 16 + number % 5 * 100, 16 + number // 5 * 120
        picture(drawing, x, y, _levels(image), 3, ink(255))
        drawing.text(x + 42, y + 102, f"label {label}", 12, "middle")
    alt = (
        f"Ten pictures of {images.shape[1]} by {images.shape[2]} grey pixels, dark ink on white, one handwritten digit each: "
        f"{', '.join(map(str, labels.tolist()))}. The program has drawn them in the form of MNIST's."
    )
    return figure("mnist-digits", "MNIST Dataset", "Handwritten digits of 28 x 28 pixels", alt, drawing)


def _one_layer() -> Figure:
    summary = summarise(PRESETS["softmax"].graph)
    inputs, outputs = summary.layers[-1].fan_in or 0, summary.layers[-1].output_shape[0]
    drawing = Drawing(420, 360)
    columns = [Column(inputs, f"{inputs} pixels", PALE, 9), Column(outputs, f"{outputs} neurons\nsoftmax", NEURON, 10)]
    network(drawing, 130, 16, columns, 170)
    title = f"One layer: {inputs} pixels, {outputs} neurons, {summary.parameters:,} parameters"
    alt = (
        f"A column of {inputs} pixels, of which nine are drawn, each linked to all of a column of {outputs} neurons with softmax."
    )
    return figure("one-layer", "One-Layer Network For Classifying MNIST (2/4)", title, alt, drawing)


def _weighted_sum(arithmetic: Arithmetic) -> Figure:
    graph = PRESETS["softmax"].graph
    kernel, bias = (spec.shape for spec in graph.parameters.values())
    layer, batch = vectors()["one_layer_formula"], PRESETS["softmax"].recipe.batch_size
    x, weights = np.array(layer["x"], float), np.array(layer["kernel"], float)
    first = arithmetic.run("dense", x, weights, None)[0, 0]
    drawing = Drawing(620, 210)
    left = 20.0
    for name, shape, symbol in (
        ("X", (batch, kernel[0]), "·"),
        ("W", kernel, "+"),
        ("b", bias, "="),
        ("L", (batch, kernel[1]), ""),
    ):
        wide = 150.0 if shape[-1] > 100 else 56.0
        tall = 26.0 if len(shape) == 1 else 110.0 if shape[0] > 100 else 60.0
        drawing.rectangle(left, 80 - tall / 2, wide, tall, NEURON if name == "L" else PALE, INK)
        drawing.text(left + wide / 2, 86, name, 16, "middle", bold=True)
        drawing.text(left + wide / 2, 158, " x ".join(map(str, shape)), 12, "middle")
        if symbol:
            sign(drawing, left + wide + 24, 80, symbol)
        left += wide + 48
    products = " + ".join(f"{plain(a)} * {plain(b)}" for a, b in zip(x[0], weights[:, 0], strict=True))
    drawing.text(20, 194, f"one neuron of a small example: {products} = {plain(first)}", 13)
    alt = (
        f"Four matrices as boxes: X of {batch} images by {kernel[0]} pixels, times W of {kernel[0]} by {kernel[1]}, plus b of {bias[0]}, "
        f"is L of {batch} by {kernel[1]}. Below, one weighted sum in numbers: {products} = {plain(first)}."
    )
    return figure(
        "weighted-sum", "One-Layer Network For Classifying MNIST (3/4)", "The weighted sums of a batch: L = X W + b", alt, drawing
    )


def _softmax(arithmetic: Arithmetic) -> Figure:
    logits = np.array(vectors()["softmax_cross_entropy"]["batch"]["logits"][:1], float)
    shares = arithmetic.run("softmax", logits)
    drawing = Drawing(460, 180)
    for x, values, name in ((24, logits[0], "weighted sums L"), (260, shares[0], "softmax(L)")):
        drawing.text(x, 22, name, 13, bold=True)
        for row, value in enumerate(values):
            y, wide = 40 + 40 * row, 110 * value / values.max()
            drawing.text(x, y + 17, row, 12)
            drawing.rectangle(x + 18, y, wide, 24, NEURON, BLUE)
            drawing.text(x + 26 + wide, y + 17, f"{value:.3f}", 12)
    drawing.line([(198, 92), (246, 92)], INK, 2, arrow=True)
    drawing.text(24, 170, f"the probabilities add up to {plain(shares.sum())}", 12)
    alt = (
        f"Bars of three weighted sums, {listed(logits)}, become bars of three probabilities, "
        f"{', '.join(f'{value:.3f}' for value in shares[0])}, which add up to {plain(shares.sum())}."
    )
    return figure(
        "softmax", "One-Layer Network For Classifying MNIST (4/4)", "Softmax turns sums into probabilities", alt, drawing
    )


def _cross_entropy() -> Figure:
    table = vectors()["softmax_cross_entropy"]
    printed, label = np.array(table["probabilities_as_printed"]), table["label"]
    truth = functional.one_hot(np.array([label]), len(printed))
    loss = float(functional.cross_entropy(printed[None], truth))
    total = printed.sum()
    true_loss = float(functional.cross_entropy(printed[None] / total, truth))
    drawing = Drawing(560, 240)
    grid(drawing, 24, 34, truth, 50, 13, lambda value: mixed(ORANGE, 0.5 * value), caption=f"actual, one-hot: this is a {label}")
    grid(
        drawing,
        24,
        142,
        printed[None],
        50,
        13,
        lambda value: mixed(BLUE, 0.6 * value),
        caption="computed, as the slide prints them",
    )
    for digit in range(len(printed)):
        drawing.text(49 + 50 * digit, 102, digit, 12, "middle", GREY)
    drawing.text(24, 210, f"cross-entropy: -log({plain(printed[label])}) = {loss:.4f}", 13)
    drawing.text(24, 229, f"the printed numbers add up to {plain(total)}; divided by it: {true_loss:.4f}", 12, fill=GREY)
    alt = (
        f"Two rows of ten cells for the digits 0 to 9. The upper row is 0 but for a 1 at {label}. The lower row has the computed "
        f"probabilities {listed(printed)}. The cross-entropy is -log({plain(printed[label])}) = {loss:.4f}. The printed "
        f"numbers add up to "
        f"{plain(total)}, so they are no softmax."
    )
    return figure("cross-entropy", "How Good the Predictions Are?", "Cross-entropy of a digit 6", alt, drawing)


def _deep() -> Figure:
    summary = summarise(PRESETS["sigmoid5"].graph)
    rows = [row for row in summary.layers if row.type == "Dense"]
    columns = [Column(rows[0].fan_in or 0, f"{rows[0].fan_in}\npixels", PALE, 9)]
    columns += [
        Column(row.output_shape[0], f"{row.output_shape[0]}\n{'softmax' if row is rows[-1] else 'sigmoid'}", NEURON)
        for row in rows
    ]
    drawing = Drawing(640, 320)
    network(drawing, 50, 10, columns, 108)
    widths = ", ".join(str(row.output_shape[0]) for row in rows)
    title = f"{len(rows)} layers of neurons: {summary.parameters:,} parameters"
    alt = (
        f"Columns of neurons from left to right, each linked to all of the next: {rows[0].fan_in} pixels, then {widths} neurons."
    )
    return figure("five-layers", "Some Improvement (1/5)", title, alt, drawing)


def _sigmoid(arithmetic: Arithmetic) -> Figure:
    z = np.linspace(-6, 6, 97)[None]
    y = arithmetic.run("sigmoid", z)
    slope = arithmetic.run("sigmoid_backward", y, np.ones_like(y))
    drawing = _curves(
        z[0], [("sigmoid(z)", y[0], BLUE, False), ("its slope", slope[0], ORANGE, True)], (0, 1), (0, 0.25, 0.5, 0.75, 1)
    )
    alt = (
        f"The sigmoid rises from {y.min():.3f} at z = -6 through {plain(y[0, 48])} at 0 to {y.max():.3f} at 6. Its slope, dashed, is "
        f"{plain(slope.max())} at most, at 0, and {slope.min():.3f} at both ends: there, gradients vanish."
    )
    return figure("sigmoid", "Some Improvement (1/5)", "The sigmoid and its slope", alt, drawing)


def _relu(arithmetic: Arithmetic) -> Figure:
    z = np.sort(np.append(np.linspace(-6, 6, 25), 1e-9))[None]  # the slope jumps right after 0
    y = arithmetic.run("relu", z)
    slope = arithmetic.run("relu_backward", y, np.ones_like(y))
    curves = [("ReLU(z) = max(0, z)", y[0], BLUE, False), ("its slope", slope[0], ORANGE, True)]
    drawing = _curves(z[0], curves, (0, 6), (0, 1, 2, 3, 4, 5, 6))
    alt = (
        f"ReLU is 0 for z below 0 and z above it, up to {plain(y.max())} at {plain(z.max())}. Its slope, dashed, is {plain(slope.min())} "
        f"below 0, and at 0, and {plain(slope.max())} above."
    )
    return figure("relu", "Some Improvement (3/5)", "ReLU and its slope", alt, drawing)


def _curves(
    z: np.ndarray, lines: list[tuple[str, np.ndarray, str, bool]], up: tuple[float, float], steps: tuple[float, ...]
) -> Drawing:
    drawing = Drawing(520, 330)
    axes = Axes(50, 60, 440, 220, (float(z[0]), float(z[-1])), up)
    axes.draw(drawing, range(-6, 7, 2), steps, ("z", ""))
    legend(drawing, 60, 20, [(name, colour, dashed) for name, _, colour, dashed in lines])
    for _, values, colour, dashed in lines:
        axes.curve(drawing, z.tolist(), values.tolist(), colour, dashed)
    return drawing


def _he() -> Figure:
    layer = next(spec for spec in PRESETS["dense128"].graph.parameters.values() if spec.initializer == "he_normal")
    weights = initial_values("he_normal", (DRAWN,), layer.fan_in, 1, stream(0), np.float64)
    spread = float(weights.std())
    limit = float(np.ceil(np.abs(weights).max() * 50) / 50)
    counts, edges = np.histogram(weights, 41, (-limit, limit))
    drawing = Drawing(520, 310)
    axes = Axes(60, 40, 430, 220, (-limit, limit), (0, float(counts.max()) * 1.05))
    axes.draw(
        drawing, (-limit, -limit / 2, 0, limit / 2, limit), (), ("weight", f"{DRAWN:,} weights drawn: how many have each size")
    )
    for count, (left, right) in zip(counts, pairwise(edges), strict=True):
        (x, y), (end, bottom) = axes.at(left, count), axes.at(right, 0)
        drawing.rectangle(x, y, end - x, bottom - y, NEURON, BLUE, 0.8)
    drawing.text(70, 58, f"standard deviation {spread:.4f}", 12)
    drawing.text(70, 74, f"sqrt(2 / {layer.fan_in}) = {(2 / layer.fan_in) ** 0.5:.4f}", 12)
    alt = (
        f"A histogram of {DRAWN:,} initial weights of a neuron with {layer.fan_in} inputs: a bell around 0, cut off at "
        f"{np.abs(weights).max():.3f}. Its standard deviation is {spread:.4f}."
    )
    return figure("he-initialisation", "Some Improvement (2/5)", "Initial weights by He", alt, drawing)


def _adam(arithmetic: Arithmetic) -> Figure:
    table = vectors()["optimisers"]
    start, gradients, rate = table["weight"], table["gradients"], table["learning_rate"]
    paths = {type(each).__name__: [start, *arithmetic.update(each, start, gradients, rate)] for each in (SGD(), Adam())}
    steps = list(range(len(gradients) + 1))
    drawing = Drawing(520, 350)
    low = float(np.floor(min(map(min, paths.values())) * 200) / 200)
    axes = Axes(60, 90, 430, 200, (0, len(gradients)), (low, 1.005))
    axes.draw(drawing, steps, np.arange(low, 1.006, 0.005).round(4).tolist(), ("step", "weight"))
    legend(drawing, 66, 16, [("gradient descent (SGD)", BLUE, False), ("Adam", ORANGE, True)])
    drawing.text(66, 60, f"gradients {listed(gradients)}, learning rate {rate}", 12, fill=GREY)
    for (_, path), colour, dashed in zip(paths.items(), (BLUE, ORANGE), (False, True), strict=True):
        axes.curve(drawing, steps, path, colour, dashed)
        for step, weight in zip(steps, path, strict=True):
            drawing.circle(*axes.at(step, weight), 4, PAPER, colour)
    told = "; ".join(f"{name} {listed(np.round(path, 4))}" for name, path in paths.items())
    alt = (
        f"A weight over five steps with the gradients {listed(gradients)}, by two rules. {told}. Adam's steps are about the "
        f"learning rate."
    )
    return figure("optimisers", "Some Improvement (2/5)", "Five steps of gradient descent and of Adam", alt, drawing)


def _dropout(arithmetic: Arithmetic) -> Figure:
    rate, count = 0.4, 10
    masks = (arithmetic.run("dropout", np.ones((1, count)), rate, DropoutKey(seed, 0, 0))[0] for seed in range(1000))
    kept = next(mask for mask in masks if (mask == 0).sum() == rate * count)  # the share differs from draw to draw
    dropped = frozenset(np.flatnonzero(kept == 0).tolist())
    scale = float(kept.max())
    drawing = Drawing(640, 380)
    for x, words, away in ((60, f"TRAINING, rate = {rate}", dropped), (380, "EVALUATION, rate = 0", frozenset[int]())):
        columns = [
            Column(5, "inputs", PALE),
            Column(count, f"{count} neurons", NEURON, count, away),
            Column(3, "outputs", NEURON),
        ]
        drawing.text(x - 30, 22, words, 14, bold=True)
        network(drawing, x, 34, columns, 90)
    drawing.text(
        30,
        366,
        f"{len(dropped)} of {count} neurons dropped; those that stay are multiplied by 1 / (1 - {rate}) = {scale:.4f}",
        12,
    )
    alt = (
        f"Twice the same small network. At the left, in training, {len(dropped)} of its {count} inner neurons are crossed out "
        f"and have no "
        f"links, and the others count {scale:.4f} times. At the right, in evaluation, all neurons are there."
    )
    return figure("dropout", "Some Improvement (4/5)", f"Dropout of {rate} in training, none in evaluation", alt, drawing)


def _decay() -> Figure:
    rule = exponential(0.01, 0.6)
    rates = [rule(epoch) for epoch in range(EPOCHS)]
    drawing = Drawing(560, 340)
    axes = Axes(70, 40, 460, 240, (-0.3, EPOCHS - 0.7), (0, 0.011))
    axes.draw(drawing, range(EPOCHS), np.arange(0, 0.0101, 0.002).round(4).tolist(), ("epoch", "learning rate"))
    axes.curve(drawing, range(EPOCHS), rates, BLUE)
    for epoch, rate in enumerate(rates):
        x, y = axes.at(epoch, rate)
        drawing.circle(x, y, 4, NEURON, BLUE)
        if epoch < 6:
            drawing.text(x + 8, y - 6, plain(rate), 11)
    alt = f"The learning rate of ten epochs falls on a curve, each 0.6 of the one before: {listed(rates)}."
    return figure("learning-rate-decay", "Some Improvement (5/5)", "The learning rate decays: 0.01 * 0.6^epoch", alt, drawing)


def _vector() -> Figure:
    image = digits.draw(10)[0][7]
    pixels = _levels(image)
    counts = [
        summarise(sequential(Flatten(), Dense(1), input_shape=shape)).parameters - 1 for shape in ((28, 28, 1), (224, 224, 3))
    ]
    drawing = Drawing(830, 240)
    picture(drawing, 20, 20, pixels, 5, ink(255))
    drawing.line([(90, 166), (90, 186)], INK, 2, arrow=True)
    picture(drawing, 20, 190, pixels.reshape(1, -1), 1, ink(255), 18)
    drawing.text(190, 60, f"28 x 28 pixels: a neuron has {counts[0]:,} weights", 14)
    drawing.text(190, 86, f"224 x 224 pixels in colour: {counts[1]:,} weights", 14)
    drawing.text(190, 112, "the rows, one after the other: the digit is no longer seen", 14)
    drawing.text(20, 228, f"a vector of {pixels.size} numbers", 12)
    alt = (
        f"A handwritten 7 of 28 by 28 pixels, and below it the same {pixels.size} pixels in one row, in which no digit is "
        f"seen. A neuron has "
        f"{counts[0]:,} weights; for 224 by 224 pixels in three colours it would have {counts[1]:,}."
    )
    return figure(
        "flattened-pixels", "Vanilla Deep Neural Networks Challenges (1/2)", "An image flattened into a vector", alt, drawing
    )


def _difficulties() -> Figure:
    turned = np.deg2rad(25)

    def rotated(x: float, y: float) -> Point:
        a, b = x - 0.5, y - 0.5
        return 0.5 + a * np.cos(turned) - b * np.sin(turned), 0.5 + a * np.sin(turned) + b * np.cos(turned)

    ways: list[tuple[str, str, str, Callable[[float, float], Point]]] = [
        ("as it was", PAPER, INK, lambda x, y: (x, y)),
        ("rotation", PAPER, INK, rotated),
        ("lighting", "#5c636a", "#868e96", lambda x, y: (x, y)),
        ("deformation", PAPER, INK, lambda x, y: (x + 0.07 * np.sin(7 * y), y + 0.05 * np.sin(7 * x))),
        ("scale", PAPER, INK, lambda x, y: (0.5 + 0.5 * (x - 0.5), 0.5 + 0.5 * (y - 0.5))),
        ("viewpoint", PAPER, INK, lambda x, y: (0.5 + (x - 0.5) * (0.5 + 0.6 * y), 0.15 + 0.75 * y)),
    ]
    drawing = Drawing(700, 150)
    for number, (name, paper, pen, move) in enumerate(ways):
        left = 14 + number * 114
        drawing.rectangle(left, 14, 100, 100, paper, GREY)
        for stroke in FOUR:
            points = [move(*point) for point in _between(stroke)]
            drawing.line([(left + 20 + 60 * x, 34 + 60 * y) for x, y in points], pen, 6)
        drawing.text(left + 50, 136, name, 13, "middle")
    alt = (
        "A digit 4 in six frames: as it was; turned by 25 degrees; grey on dark grey; bent like waves; at half its size; and "
        "seen from below."
    )
    return figure(
        "difficulties",
        "Vanilla Deep Neural Networks Challenges (2/2)",
        "One digit that looks different in five ways",
        alt,
        drawing,
    )


def _between(stroke: tuple[Point, ...], parts: int = 12) -> list[Point]:
    """The points of a stroke and others between them, so that it can be bent."""
    points = [stroke[0]]
    for (x0, y0), (x1, y1) in pairwise(stroke):
        points += [(x0 + (x1 - x0) * part / parts, y0 + (y1 - y0) * part / parts) for part in range(1, parts + 1)]
    return points


def _levels(image: np.ndarray) -> np.ndarray:
    """Grey levels 0...255 in 16 steps, for fewer rectangles."""
    return np.rint(image / 17.0) * 17
