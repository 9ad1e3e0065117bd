"""Figures of the layers of a CNN: the stack, neurons that read a few cells, padding, strides, feature maps, pooling, flattening."""

from collections.abc import Iterator

import numpy as np

from numbacnn.graph import Graph, sequential
from numbacnn.layers import Conv2D, Flatten
from numbacnn.layers.base import Context
from numbacnn.lecture.arithmetic import Arithmetic, image, kernel, plane
from numbacnn.lecture.drawing import BLUE, GREEN, GREY, INK, ORANGE, PALE, PAPER, PURPLE, Drawing
from numbacnn.lecture.figure import Figure, figure
from numbacnn.lecture.parts import boxes, grid, listed, mixed, plain, sign, signed
from numbacnn.lecture.sliding import Sliding
from numbacnn.lecture.vectors import vectors
from numbacnn.models import PRESETS
from numbacnn.shapes import cells, window2d
from numbacnn.summary import Summary, summarise

KINDS = {"Conv2D": mixed(BLUE, 0.25), "MaxPool2D": mixed(ORANGE, 0.25), "Dense": mixed(GREEN, 0.25)}
QUARTERS = tuple(mixed(colour, 0.3) for colour in (BLUE, ORANGE, GREEN, PURPLE))


def layer_figures(arithmetic: Arithmetic) -> Iterator[Figure]:
    """In the order of the slides."""
    yield stack(PRESETS["cnn"].graph, "cnn-stack", "CNN Components (2/2)", is_counted=False)
    yield _sparse()
    yield _neuron(arithmetic)
    yield _shared()
    yield _window()
    yield _padding()
    sliding = Sliding((5, 7), (3, 3), (2, 2), "same")
    yield figure("stride", "Stride", sliding.title, sliding.described(1, 2), sliding.still(1, 2))
    yield _maps()
    yield _rectified(arithmetic)
    yield _pooling(arithmetic)
    yield _flattening(arithmetic)


def stack(graph: Graph, name: str, slide: str, is_counted: bool) -> Figure:
    """A network as boxes in two rows, with the shapes of its layers and, if asked for, their parameters."""
    summary = summarise(graph)
    entries = [(PALE, ["input", _sides(summary.input_shape)])]
    for row in summary.layers:
        told = [row.name, row.type, *([_sides(row.window)] if row.window else []), _sides(row.output_shape)]
        if is_counted:
            told.append(f"{row.parameters:,} param." if row.parameters else "no param.")
        entries.append((KINDS.get(row.type, PALE), told))
    half = (len(entries) + 1) // 2
    drawing = Drawing(560, 300 if is_counted else 260)
    _, bottom = boxes(drawing, 20, 16, entries[:half])
    _, end = boxes(drawing, 50, bottom + 26, entries[half:])
    middle = (bottom + 26 + end) / 2
    drawing.line([(24, middle), (48, middle)], INK, 1.5, arrow=True)
    total = f"{summary.parameters:,} parameters"
    drawing.text(20, drawing.height - 12, f"{graph.name}: {total}" if is_counted else _modules(summary), 12, fill=GREY)
    chain = "; ".join(
        f"{row.name}, {row.type}, to {_sides(row.output_shape)}{_counted(row.parameters) * is_counted}" for row in summary.layers
    )
    alt = f"Boxes with arrows, from the input of {_sides(summary.input_shape)} on: {chain}."
    title = f"The network {graph.name}, {total}" if is_counted else "A stack of convolutional modules, then dense layers"
    return figure(name, slide, title, alt, drawing)


def _modules(summary: Summary) -> str:
    convolutions, dense = (sum(row.type == kind for row in summary.layers) for kind in ("Conv2D", "Dense"))
    return f"{convolutions} modules of a convolution (blue) and a pooling (orange), then {dense} dense layers (green)"


def _counted(parameters: int) -> str:
    return f", {parameters:,} parameters" if parameters else ""


def _sparse() -> Figure:
    row = next(row for row in summarise(PRESETS["cnn"].graph).layers if row.name == "conv2")
    dense = cells(row.input_shape)
    window = window2d((1, 7), (1, 3), (1, 1), "valid").columns
    drawing = Drawing(620, 230)
    for left, name, first, last in (
        (20, "convolutional", 2, 2 + window.kernel - 1),
        (330, "fully connected", 0, window.size - 1),
    ):
        drawing.text(left, 22, name, 13, bold=True)
        for output in range(window.out):
            x = left + 55 + 38 * output
            is_marked = output == 2
            for cell in range(window.size):
                if is_marked and first <= cell <= last:
                    drawing.line([(x, 62), (left + 17 + 38 * cell, 152)], ORANGE, 2)
            drawing.circle(x, 60, 12, mixed(ORANGE, 0.5) if is_marked else PAPER)
        for cell in range(window.size):
            drawing.circle(left + 17 + 38 * cell, 160, 12, mixed(ORANGE, 0.3) if first <= cell <= last else PAPER)
        drawing.text(left, 196, f"a neuron reads {last - first + 1} of {window.size} inputs", 12)
    drawing.text(
        20,
        222,
        f"in the network cnn, a neuron of {row.name} reads {row.fan_in:,} numbers; a dense one would read {dense:,}",
        12,
        fill=GREY,
    )
    alt = (
        f"Two rows of neurons over {window.size} inputs. At the left a neuron is linked to {window.kernel} neighbouring "
        f"inputs, at the right "
        f"to all {window.size}. In the network cnn, a neuron of {row.name} reads {row.fan_in:,} numbers, a dense one would "
        f"read {dense:,}."
    )
    return figure("sparse-interactions", "Convolutional Layer (1/4)", "A neuron reads its receptive field alone", alt, drawing)


def _neuron(arithmetic: Arithmetic) -> Figure:
    x, w, bias = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, -1.0], [0.5, 1.0]]), -2.0
    z = arithmetic.conv2d(image(x), kernel(w), [bias])
    y = arithmetic.run("relu", z)
    drawing = Drawing(640, 190)
    grid(drawing, 20, 40, x, 44, 15, lambda value: mixed(ORANGE, 0.25), caption="receptive field")
    grid(drawing, 160, 40, w, 44, 15, signed(1.5), caption="filter")
    sign(drawing, 134, 84, "*")
    for left, name, value in ((296, "sum + bias", z.item()), (470, "ReLU", y.item())):
        drawing.line([(left - 40, 84), (left - 6, 84)], INK, 2, arrow=True)
        drawing.rectangle(left, 58, 110, 52, mixed(BLUE, 0.25), INK)
        drawing.text(left + 55, 82, name, 13, "middle")
        drawing.text(left + 55, 102, plain(value), 15, "middle", bold=True)
    drawing.line([(582, 84), (616, 84)], INK, 2, arrow=True)
    terms = " + ".join(f"{plain(a)} * {plain(b)}" for a, b in zip(x.reshape(-1), w.reshape(-1), strict=True))
    drawing.text(20, 170, f"{terms} + ({plain(bias)}) = {plain(z.item())}", 13)
    alt = (
        f"A receptive field of the pixels {listed(x)} times the filter {listed(w)}, plus the bias {plain(bias)}, is {plain(z.item())}; "
        f"ReLU leaves {plain(y.item())}."
    )
    return figure("neuron", "Convolutional Layer (2/4)", "A weighted sum, a bias and ReLU", alt, drawing)


def _shared() -> Figure:
    counts = [summarise(sequential(Conv2D(32, 3), input_shape=(side, side, 1))).parameters for side in (28, 224)]
    window = window2d((1, 7), (1, 3), (1, 1), "valid").columns
    colours = (BLUE, ORANGE, GREEN)
    drawing = Drawing(560, 220)
    for output in range(window.out):
        for weight, colour in enumerate(colours):
            start = (20 + 70 * (output + weight) + 40, 138)
            drawing.line([start, (20 + 70 * (output + 1) + 40, 62)], colour, 2.5, dashed=weight == 1)
        drawing.circle(60 + 70 * (output + 1), 50, 14)
    for cell in range(window.size):
        drawing.circle(60 + 70 * cell, 150, 14, PALE)
    drawing.text(20, 192, f"{window.out} neurons, {window.kernel} weights in all: lines of one colour have the same weight", 13)
    drawing.text(
        20, 212, f"32 filters of 3 x 3: {counts[0]} parameters for 28 x 28 pixels, {counts[1]} for 224 x 224", 12, fill=GREY
    )
    alt = (
        f"{window.out} neurons above {window.size} inputs, each linked to {window.kernel} neighbours by a blue, a dashed "
        f"orange and a green "
        f"line: the same {window.kernel} weights everywhere. 32 filters of 3 by 3 have {counts[0]} parameters for images of "
        f"28 by 28 pixels and "
        f"{counts[1]} for 224 by 224."
    )
    return figure("shared-weights", "Convolutional Layer (3/4)", "All neurons use the same weights", alt, drawing)


def _window() -> Figure:
    sliding = Sliding((7, 8), (3, 2), (1, 1), "valid")
    place = sliding.place(2, 4)
    title = f"Neuron (2, 4) reads rows {place.rows[0]} to {place.rows[1]}, columns {place.columns[0]} to {place.columns[1]}"
    return figure("neuron-window", "Convolutional Layer (4/4)", title, sliding.described(2, 4), sliding.still(2, 4))


def _padding() -> Figure:
    drawing = Drawing(640, 320)
    told = []
    for left, kind in ((20, "valid"), (340, "same")):
        axis = window2d((32, 32), (5, 5), (1, 1), kind).rows
        before, after, scale = axis.pad_before, axis.pad_after, 4.6
        full = axis.size + before + after
        drawing.text(left, 22, f'padding "{kind}": {axis.size} x {axis.size} to {axis.out} x {axis.out}', 13, bold=True)
        corner = 40 + (2 - before) * scale
        drawing.rectangle(left, corner, full * scale, full * scale, PALE, GREY)
        drawing.rectangle(left + before * scale, corner + before * scale, axis.size * scale, axis.size * scale, PAPER, INK, 2)
        drawing.rectangle(left, corner, 5 * scale, 5 * scale, ORANGE, ORANGE, 2, 0.35)
        side = axis.out * scale * 0.45
        drawing.line([(left + full * scale + 6, 120), (left + full * scale + 30, 120)], INK, 2, arrow=True)
        drawing.rectangle(left + full * scale + 36, 120 - side / 2, side, side, mixed(BLUE, 0.3), INK)
        drawing.text(left, 252, f"zeros around it: {before} before, {after} after" if before else "no zeros around it", 12)
        told.append(f"with padding {kind}, {before} zeros on each side, the output is {axis.out} by {axis.out}")
    drawing.text(
        20, 296, "orange: the filter of 5 x 5 at its first place; grey: zeros; blue: the output, smaller in scale", 12, fill=GREY
    )
    alt = f"Twice an input of 32 by 32 with a filter of 5 by 5 at its top left: {'; '.join(told)}."
    return figure("padding", "Padding", "A 5 x 5 filter over 32 x 32, without and with zeros around", alt, drawing)


def _maps() -> Figure:
    row = summarise(PRESETS["cs231n"].graph).layers[0]
    drawing = Drawing(620, 240)
    for channel in reversed(range(row.input_shape[2])):
        drawing.rectangle(
            30 + 16 * channel,
            60 - 14 * channel,
            130,
            130,
            (mixed(BLUE, 0.2), mixed(GREEN, 0.25), mixed(ORANGE, 0.25))[channel],
            INK,
        )
    for number in range(row.output_shape[2]):
        y = 46 + 84 * number
        for channel in reversed(range(row.input_shape[2])):
            drawing.rectangle(268 + 8 * channel, y - 7 * channel, 46, 46, PAPER, INK)
        drawing.line([(204, 110), (262, y + 22)], GREY, 1.5, arrow=True)
        drawing.line([(342, y + 22), (412, y + 22)], GREY, 1.5, arrow=True)
        drawing.rectangle(420, y - 6, 56, 56, mixed(PURPLE, 0.3), INK)
        drawing.text(488, y + 26, f"map {number + 1}", 12)
    for x, words in (
        (30, _sides(row.input_shape)),
        (236, f"{row.output_shape[2]} filters {_sides((*(row.window or ()), row.input_shape[2]))}"),
        (420, _sides(row.output_shape)),
    ):
        drawing.text(x, 212, words, 13)
    drawing.text(30, 234, f"{row.parameters} parameters: each filter sees all channels, and has a bias", 12, fill=GREY)
    alt = (
        f"An input of {row.input_shape[2]} planes, one for each colour channel, is read by {row.output_shape[2]} filters that "
        f"are as deep as "
        f"the input. Each makes one feature map: {_sides(row.input_shape)} becomes {_sides(row.output_shape)}, with "
        f"{row.parameters} parameters."
    )
    return figure("feature-maps", "Stacking Multiple Feature Maps", "Several channels in, several feature maps out", alt, drawing)


def _rectified(arithmetic: Arithmetic) -> Figure:
    demo = vectors()["cs231n_conv"]
    sums = arithmetic.conv2d(image(demo["padded_7x7x3"]), np.array(demo["kernel_hwio"], float), demo["bias"], (2, 2))
    first = np.ascontiguousarray(sums[:, :, :, :1])
    kept = arithmetic.run("relu", first)
    shade = signed(float(np.abs(first).max()))
    drawing = Drawing(440, 200)
    grid(drawing, 20, 34, plane(first), 44, 15, shade, caption="weighted sums and bias")
    grid(drawing, 270, 34, plane(kept), 44, 15, shade, caption="after ReLU")
    drawing.line([(170, 100), (252, 100)], INK, 2, arrow=True)
    drawing.text(211, 90, "max(0, z)", 12, "middle")
    drawing.text(20, 188, f"{int((first < 0).sum())} of {first.size} cells were negative", 12, fill=GREY)
    alt = f"A map of 3 by 3 sums, {listed(plane(first))}, and the same after ReLU: {listed(plane(kept))}."
    return figure("relu-of-a-map", "Activation Function", "ReLU leaves no negative value", alt, drawing)


def _pooling(arithmetic: Arithmetic) -> Figure:
    x = np.array(vectors()["maxpool_figure"]["input"], float)
    largest, mean = plane(arithmetic.max_pool2d(image(x))), plane(arithmetic.avg_pool2d(image(x)))
    drawing = Drawing(600, 240)
    _quarters(drawing, 20, 34, x, 2, 44)
    drawing.text(20, 26, "input", 12, bold=True)
    for y, name, values in ((34, "largest of each 2 x 2", largest), (140, "mean of each 2 x 2", mean)):
        drawing.line([(206, 122), (290, y + 40)], INK, 1.5, arrow=True)
        _quarters(drawing, 300, y, values, 1, 40)
        drawing.text(396, y + 34, name, 13, bold=True)
        drawing.text(396, y + 54, listed(values), 12)
    drawing.text(20, 232, "stride 2, no weights", 12, fill=GREY)
    alt = (
        f"A grid of 4 by 4, {listed(x)}, in four coloured quarters. Max pooling keeps the largest of each quarter, "
        f"{listed(largest)}; mean "
        f"pooling their mean, {listed(mean)}."
    )
    return figure("pooling", "Pooling Layer (2/2)", "Max and mean pooling, 2 x 2 with stride 2", alt, drawing)


def _quarters(drawing: Drawing, x: float, y: float, values: np.ndarray, side: int, cell: float) -> None:
    """A grid whose quarters have a colour each."""
    for (i, j), value in np.ndenumerate(values):
        drawing.rectangle(x + j * cell, y + i * cell, cell, cell, QUARTERS[i // side * 2 + j // side], INK)
        drawing.text(x + (j + 0.5) * cell, y + (i + 0.5) * cell + 5, plain(float(value)), 14, "middle")


def _flattening(arithmetic: Arithmetic) -> Figure:
    x = arithmetic.ops.asarray(np.arange(8.0).reshape(1, 2, 2, 2))
    flat = arithmetic.ops.to_host(Flatten().forward(arithmetic.ops, {}, [x], Context(False)).y)
    host = arithmetic.ops.to_host(x)
    colours = [mixed(BLUE, 0.3), mixed(ORANGE, 0.3)]
    drawing = Drawing(620, 200)
    for channel in (0, 1):
        left = 20 + 140 * channel
        grid(
            drawing, left, 40, host[0, :, :, channel], 44, 15, lambda value: colours[int(value) % 2], caption=f"map {channel + 1}"
        )
    drawing.line([(270, 84), (310, 84)], INK, 2, arrow=True)
    grid(drawing, 20, 148, flat, 44, 15, lambda value: colours[int(value) % 2])
    drawing.text(322, 88, "row by row, cell by cell, map by map", 13)
    drawing.text(388, 176, f"a vector of {flat.size}", 13)
    alt = (
        f"Two maps of 2 by 2 cells, {listed(host[0, :, :, 0])} and {listed(host[0, :, :, 1])}, become one vector: "
        f"{listed(flat)}. The cells of "
        "both maps at one place stand beside each other."
    )
    return figure("flattening", "Flattening", "Maps become one long vector", alt, drawing)


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
