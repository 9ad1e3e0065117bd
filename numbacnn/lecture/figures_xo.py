"""Figures of the toy network for X and O, layer by layer, and of the CS231n demo."""

from collections.abc import Iterator

import numpy as np

from numbacnn.lecture import xo
from numbacnn.lecture.arithmetic import Arithmetic, Matrix, image
from numbacnn.lecture.drawing import BLUE, GREEN, GREY, INK, ORANGE, PALE, PAPER, PURPLE, Drawing
from numbacnn.lecture.figure import Figure, figure
from numbacnn.lecture.parts import boxes, frame, grid, listed, mixed, plain, sign, signed, two_decimals
from numbacnn.lecture.vectors import vectors
from numbacnn.lecture.xo import Answer
from numbacnn.models import PRESETS
from numbacnn.summary import summarise

NAMES = {"diag_down": "diagonal down", "cross": "cross", "diag_up": "diagonal up"}
COLOURS = (ORANGE, GREEN, PURPLE)
PLACES = {"diag_down": (1, 1), "cross": (3, 3), "diag_up": (1, 5)}
"""For each filter a place of X at which all nine pixels agree, row and column of its left top."""
CELL, SMALL = 34, 20


def xo_figures(arithmetic: Arithmetic) -> Iterator[Figure]:
    """From the pixels to the votes, and one more example."""
    answers = {name: xo.classify(arithmetic.ops, xo.lecture_image(name)) for name in xo.IMAGES}
    x = answers["X"]
    yield _images()
    yield _trickier()
    yield _literal(answers)
    yield _filters(x)
    yield _match(x)
    yield _every_match(x)
    yield _three_maps(x)
    yield _rectified(x)
    yield _pooled(x)
    yield _repeated(x)
    yield _deep(x)
    yield _votes(arithmetic)
    yield _together(answers)
    yield _demo(arithmetic)


def _pixel(value: float) -> str:
    return mixed(INK, 0.8 if value > 0 else 0.06)


def _images() -> Figure:
    drawing = Drawing(520, 290)
    for left, name in ((20, "X"), (270, "O")):
        grid(drawing, left, 34, xo.lecture_image(name), 26, 11, _pixel, caption=f"{name}: strokes are 1, the rest is -1")
    alt = "Two images of 9 by 9 pixels of -1, and 1 where the strokes are: an X of two diagonals, and a round O."
    return figure("x-and-o", "A Toy ConvNet: X's and O's", "The images of X and O", alt, drawing)


def _trickier() -> Figure:
    drawing = Drawing(480, 250)
    for left, name, words in ((20, "X", "X"), (260, "deformed", "X, deformed")):
        grid(drawing, left, 34, xo.lecture_image(name), 22, shade=_pixel, words=None, caption=words)
    alt = "Two images of 9 by 9 pixels: an X of two straight diagonals, and an X whose strokes are bent and shifted."
    return figure("trickier-cases", "Trickier Cases", "An X, and one that is deformed", alt, drawing)


def _literal(answers: dict[str, Answer]) -> Figure:
    drawing, told = Drawing(520, 290), []
    first = answers["X"].image
    for left, name in ((20, "deformed"), (270, "O")):
        other = answers[name].image
        grid(drawing, left, 52, np.where(other == first, first, 0), 22, 12, _agreement, lambda value: "" if value else "x")
        equal = answers[name].equal_pixels["X"]
        drawing.text(left, 24, "the deformed X against X" if name == "deformed" else "O against X", 13, bold=True)
        drawing.text(left, 42, f"{equal} of {first.size} pixels are equal", 12)
        told.append(f"{name} and X: {equal} of {first.size}")
    drawing.text(20, 276, "crosses: pixels that differ; dark: strokes of both", 12, fill=GREY)
    alt = (
        f"Pixels compared one by one, crosses where they differ. Equal pixels of {'; of '.join(told)}. The numbers hardly "
        f"tell X from O."
    )
    return figure("literal-comparison", "Computers are Literal", "Comparing pixel by pixel", alt, drawing)


def _agreement(value: float) -> str:
    return mixed(ORANGE, 0.4) if value == 0 else _pixel(value)


def _filters(answer: Answer) -> Figure:
    drawing = Drawing(660, 300)
    weights = xo.filter_bank()[:, :, 0]
    grid(drawing, 20, 34, answer.image, 26, shade=_pixel, words=None, caption="X")
    for number, name in enumerate(xo.FILTERS):
        left = 290 + 124 * number
        grid(drawing, left, 60, weights[:, :, number], CELL, 14, _pixel, caption=NAMES[name])
        drawing.rectangle(left - 3, 57, 3 * CELL + 6, 3 * CELL + 6, None, COLOURS[number], 3)
        frame(drawing, 20, 34, 26, PLACES[name], (3, 3), COLOURS[number])
        drawing.text(left, 190, f"at {PLACES[name]}: {two_decimals(answer.maps[(number, *PLACES[name])])}", 12)
    drawing.text(20, 290, "frames of one colour: where the filter agrees with all nine pixels", 12, fill=GREY)
    told = "; ".join(
        f"{NAMES[name]}, {listed(weights[:, :, number])}, at {PLACES[name]}" for number, name in enumerate(xo.FILTERS)
    )
    alt = f"An X and three filters of 3 by 3. Each has a frame of its colour on the X, where all nine pixels agree: {told}."
    return figure("xo-filters", "Filters Match Pieces of the Image", "Three filters match pieces of X", alt, drawing)


def _match(answer: Answer) -> Figure:
    row, column = PLACES["cross"][0] - 1, PLACES["cross"][1] - 1
    place = xo.explain(answer.image, "diag_down", row, column)
    products = np.array([product for *_, product in place.products]).reshape(3, 3)
    drawing = Drawing(620, 310)
    grid(drawing, 20, 34, answer.image, 26, shade=_pixel, words=None, caption="X")
    frame(drawing, 20, 34, 26, (row, column), (3, 3))
    grid(drawing, 290, 34, answer.image[row : row + 3, column : column + 3], CELL, 14, _pixel, caption="pixels")
    sign(drawing, 408, 85, "x")
    grid(drawing, 430, 34, xo.filter_bank()[:, :, 0, 0], CELL, 14, _pixel, caption=NAMES["diag_down"])
    grid(drawing, 290, 172, products, CELL, 14, signed(2), caption="products")
    drawing.text(410, 214, f"sum {place.sum}, of nine", 13)
    drawing.text(410, 236, f"mean {place.sum} / {products.size} = {two_decimals(place.mean)}", 13, bold=True)
    drawing.text(20, 298, "1 * 1 and -1 * -1 are 1: equal pixels; the others give -1", 12, fill=GREY)
    alt = (
        f"The filter '{NAMES['diag_down']}' on nine pixels of X at row {row}, column {column}: the products are "
        f"{listed(products)}, their "
        f"sum {place.sum}, their mean {two_decimals(place.mean)}."
    )
    return figure("match", "Filtering: The Math Behind the Match", "One match as nine products", alt, drawing)


def _every_match(answer: Answer) -> Figure:
    drawing = Drawing(640, 310)
    grid(drawing, 20, 46, answer.image, 24, shade=_pixel, words=None, caption="X")
    sign(drawing, 254, 154, "*")
    grid(drawing, 272, 118, xo.filter_bank()[:, :, 0, 0], 24, 11, _pixel)
    sign(drawing, 362, 154, "=")
    grid(drawing, 382, 36, answer.maps[0], CELL, 11, signed(1), two_decimals, "a match at every place")
    height, width = answer.maps[0].shape
    alt = (
        f"X convolved with the filter '{NAMES['diag_down']}' gives a map of {height} by {width}: "
        f"{_truncated(answer.maps[0])}. The ones lie on "
        "the falling diagonal."
    )
    return figure("every-match", "Convolution: Trying Every Possible Match", "A filter on every place of X", alt, drawing)


def _three_maps(answer: Answer) -> Figure:
    drawing = _row_of_grids(answer.maps, 29)
    alt = f"Three maps of 7 by 7, one for each filter. {_stack(answer.maps)}."
    return figure(
        "three-maps", "Three Filters Here, So Three Images Out", "One image becomes a stack of filtered images", alt, drawing
    )


def _rectified(answer: Answer) -> Figure:
    drawing = Drawing(640, 290)
    grid(drawing, 20, 34, answer.maps[0], CELL, 11, signed(1), two_decimals, "a filtered image")
    drawing.line([(272, 152), (350, 152)], INK, 2, arrow=True)
    drawing.text(311, 142, "max(0, z)", 12, "middle")
    grid(drawing, 366, 34, answer.relu[0], CELL, 11, signed(1), two_decimals, "rectified")
    negative = int((answer.maps[0] < 0).sum())
    alt = (
        f"A map of 7 by 7, in which {negative} cells are negative, and the same after ReLU, in which these are 0: "
        f"{_truncated(answer.relu[0])}."
    )
    return figure("rectified-map", "Rectified Linear Units (ReLUs)", "Negative values become 0", alt, drawing)


def _pooled(answer: Answer) -> Figure:
    drawing = Drawing(560, 310)
    grid(drawing, 20, 34, answer.relu[0], CELL, 11, signed(1), two_decimals, "rectified, 7 x 7")
    marks = (((0, 0), (2, 2), BLUE), ((2, 2), (2, 2), GREEN), ((6, 6), (1, 1), PURPLE))
    for place, size, colour in marks:
        frame(drawing, 20, 34, CELL, place, size, colour)
        frame(drawing, 350, 34, CELL + 8, (place[0] // 2, place[1] // 2), (1, 1), colour)
    drawing.line([(272, 152), (336, 152)], INK, 2, arrow=True)
    grid(drawing, 350, 34, answer.pooled[0], CELL + 8, 12, signed(1), two_decimals, "largest of each 2 x 2, 4 x 4")
    for place, _, colour in marks:
        frame(drawing, 350, 34, CELL + 8, (place[0] // 2, place[1] // 2), (1, 1), colour)
    drawing.text(20, 298, "stride 2; the last row and column have windows of fewer cells", 12, fill=GREY)
    alt = (
        f"A map of 7 by 7 becomes one of 4 by 4, the largest of each 2 by 2 cells: {_truncated(answer.pooled[0])}. At the "
        f"right and the bottom "
        "the windows have fewer cells. Three windows have frames of the colour of their result."
    )
    return figure("pooled-map", "Pooling: Shrinking the Image Stack", "Max pooling of a map", alt, drawing)


def _repeated(answer: Answer) -> Figure:
    drawing = _row_of_grids(answer.relu, 29, 430)
    for number in range(len(xo.FILTERS)):
        left = 20 + 216 * number
        drawing.line([(left + 66, 244), (left + 66, 268)], INK, 2, arrow=True)
        grid(drawing, left, 274, answer.pooled[number], 36, 11, signed(1), two_decimals)
    alt = f"Three rectified maps, and below each its pooled map. Pooled: {_stack(answer.pooled)}."
    return figure("repeated", "Repeat For All the Filtered Images", "Pooling shrinks every image of the stack", alt, drawing)


def _deep(answer: Answer) -> Figure:
    layers = [
        ("image", answer.image, PALE), ("convolution", answer.maps, mixed(BLUE, 0.25)), ("ReLU", answer.relu, mixed(GREEN, 0.25)),
        ("pooling", answer.pooled, mixed(ORANGE, 0.25)), ("pooling", answer.pooled_again, mixed(ORANGE, 0.25)),
        ("flatten", answer.pooled_again.reshape(-1), PALE),
    ]  # fmt: skip
    entries = [(colour, [name, " x ".join(map(str, values.shape))]) for name, values, colour in layers]
    drawing = Drawing(700, 250)
    boxes(drawing, 20, 20, entries)
    for number, name in enumerate(xo.FILTERS):
        grid(
            drawing, 20 + 150 * number, 120, answer.pooled_again[number], 50, 13, signed(1), two_decimals, f"{NAMES[name]}, 2 x 2"
        )
    chain = ", ".join(f"{name} {' x '.join(map(str, values.shape))}" for name, values, _ in layers)
    alt = f"Boxes with arrows: {chain}. Below, the last three maps of 2 by 2: {_stack(answer.pooled_again)}."
    return figure("deep-stacking", "Deep Stacking", "The output of one layer is the input of the next", alt, drawing)


def _votes(arithmetic: Arithmetic) -> Figure:
    table = vectors()["xo_toy"]
    twelve, weights = np.array(table["vote_vector"], float), np.array(table["vote_weights"], float)
    votes = xo.vote(arithmetic.ops, twelve)
    drawing = Drawing(520, 400)
    grid(drawing, 40, 34, twelve[:, None], 29, 12, lambda value: mixed(ORANGE, 0.6 * value), two_decimals, "12 numbers")
    for number, (letter, colour, y) in enumerate((("X", BLUE, 120), ("O", GREEN, 290))):
        for index in np.flatnonzero(weights[:, number]):
            drawing.line([(70, 34 + 29 * (index + 0.5)), (298, y)], colour, 2, dashed=letter == "O")
        drawing.circle(320, y, 24, mixed(colour, 0.3), colour)
        drawing.text(320, y + 7, letter, 20, "middle", bold=True)
        drawing.text(356, y + 6, f"{votes[letter]:.4g}", 16, bold=True)
        drawing.text(356, y + 24, f"mean of {int((weights[:, number] > 0).sum())} numbers", 12, fill=GREY)
    alt = (
        f"A column of twelve numbers, {listed(twelve)}. Lines lead from {int((weights[:, 0] > 0).sum())} of them to X, whose vote is "
        f"{plain(votes['X'])}, and dashed lines from {int((weights[:, 1] > 0).sum())} others to O, {plain(votes['O'])}."
    )
    return figure("votes", "Fully Connected Layer", "Twelve numbers vote for X and O", alt, drawing)


def _together(answers: dict[str, Answer]) -> Figure:
    drawing, told = Drawing(620, 400), []
    for number, (name, answer) in enumerate(answers.items()):
        y = 24 + 124 * number
        grid(drawing, 20, y, answer.image, 12, shade=_pixel, words=None)
        drawing.line([(140, y + 54), (190, y + 54)], INK, 2, arrow=True)
        drawing.text(165, y + 44, "CNN", 12, "middle")
        for row, (letter, colour) in enumerate((("X", BLUE), ("O", GREEN))):
            vote = answer.votes[letter]
            drawing.text(204, y + 38 + 38 * row, letter, 14, bold=True)
            drawing.rectangle(224, y + 20 + 38 * row, 240 * vote, 26, mixed(colour, 0.4), colour)
            drawing.text(232 + 240 * vote, y + 38 + 38 * row, f"{vote:.3f}", 12)
        drawing.text(540, y + 60, f"it is {answer.label}", 14, bold=True)
        told.append(f"{name}: {answer.votes['X']:.3f} for X, {answer.votes['O']:.3f} for O, so it is {answer.label}")
    alt = f"Three images with two bars each, the votes of the network. {'; '.join(told)}."
    return figure("putting-it-together", "Putting It All Together", "The network tells three images", alt, drawing)


def _demo(arithmetic: Arithmetic) -> Figure:
    demo = vectors()["cs231n_conv"]
    padded, weights = np.array(demo["padded_7x7x3"], float), np.array(demo["kernel_hwio"], float)
    maps = arithmetic.conv2d(image(padded), weights, demo["bias"], (2, 2))[0]
    parameters = summarise(PRESETS["cs231n"].graph).parameters
    drawing = Drawing(620, 590)
    for channel in range(3):
        y = 40 + 178 * channel
        grid(drawing, 20, y, padded[:, :, channel], SMALL + 2, 11, _border, caption=f"input, channel {channel + 1}")
        frame(drawing, 20, y, SMALL + 2, (0, 0), (3, 3))
        for number in range(2):
            left = 214 + 120 * number
            grid(drawing, left, y + 30, weights[:, :, channel, number], 28, 12, signed(1.5), caption=f"filter {number + 1}")
    for number in range(2):
        y = 70 + 200 * number
        grid(
            drawing,
            480,
            y,
            maps[:, :, number],
            36,
            13,
            signed(float(np.abs(maps).max())),
            caption=f"map {number + 1}, bias {demo['bias'][number]}",
        )
        frame(drawing, 480, y, 36, (0, 0), (1, 1))
    drawing.text(
        20, 578, f"stride 2: three places down, three across; {parameters} parameters; orange: the first place", 12, fill=GREY
    )
    alt = (
        f"Three channels of 7 by 7 numbers, whose border is zeros, two filters of 3 by 3 by 3, and two maps of {maps.shape[0]} by "
        f"{maps.shape[1]}: {listed(maps[:, :, 0])} and {listed(maps[:, :, 1])}. There are {parameters} parameters."
    )
    return figure("cs231n", "One more example", "Two filters on three channels, stride 2", alt, drawing)


def _border(value: float) -> str:
    return PALE if value == 0 else PAPER


def _row_of_grids(stack: Matrix, cell: float, height: int = 256) -> Drawing:
    """Three maps beside each other."""
    drawing = Drawing(664, height)
    for number, name in enumerate(xo.FILTERS):
        grid(drawing, 20 + 216 * number, 34, stack[number], cell, 10, signed(1), two_decimals, NAMES[name])
    return drawing


def _truncated(values: Matrix) -> str:
    return "; ".join(" ".join(map(two_decimals, row)) for row in values.tolist())


def _stack(values: Matrix) -> str:
    return ". ".join(f"{NAMES[name].capitalize()}: {_truncated(values[number])}" for number, name in enumerate(xo.FILTERS))
