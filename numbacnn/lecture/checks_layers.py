"""Checks of the lecture's filters, and of the layers of a CNN."""

from collections.abc import Iterator

import numpy as np

from numbacnn.graph import sequential
from numbacnn.layers import Conv2D, Flatten
from numbacnn.layers.base import Context
from numbacnn.lecture.arithmetic import Arithmetic, Matrix, image, kernel, plane
from numbacnn.lecture.check import Check, check
from numbacnn.lecture.vectors import vectors
from numbacnn.models import PRESETS
from numbacnn.shapes import Pair
from numbacnn.summary import summarise

POOLING = "Pooling Layer (2/2)"


def filter_checks(arithmetic: Arithmetic) -> Iterator[Check]:
    """The curve detector, and what it would give if it were turned."""
    curve = vectors()["curve_filter"]
    weights = kernel(curve["filter"])
    hit, miss = image(curve["field_hit"]), image(curve["field_miss"])
    products = " + ".join(f"{pixel}*{weight}" for _, _, pixel, weight, _ in curve["row_column_pixel_weight_product"])
    yield check(
        "the curve filter on its curve", "Filters Example (2/3)", f"{products} = 6600", curve["expect_hit"],
        arithmetic.conv2d(hit, weights).item(), "slide",
    )  # fmt: skip
    yield check(
        "the same filter beside the curve", "Filters Example (3/3)", "no pixel under the curve: 0", curve["expect_miss"],
        arithmetic.conv2d(miss, weights).item(), "slide",
    )  # fmt: skip
    turned = np.ascontiguousarray(weights[::-1, ::-1])
    formula = "a true convolution turns the filter by 180 degrees"
    slide = "Convolution Operation"
    expected = curve["flipped"]
    yield check("the curve, filter turned", slide, formula, expected["hit"], arithmetic.conv2d(hit, turned).item())
    yield check("beside the curve, filter turned", slide, formula, expected["miss"], arithmetic.conv2d(miss, turned).item())
    transposed = np.ascontiguousarray(weights.swapaxes(0, 1))
    yield check(
        "the curve, filter transposed", slide, "rows and columns exchanged", curve["transposed"]["hit"],
        arithmetic.conv2d(hit, transposed).item(),
    )  # fmt: skip


def layer_checks(arithmetic: Arithmetic) -> Iterator[Check]:
    """Receptive fields, shared weights, padding, strides, pooling and flattening."""
    yield from _windows(arithmetic)
    yield from _pooling(arithmetic)
    cells = arithmetic.ops.asarray(np.arange(8.0).reshape(1, 2, 2, 2))
    flat = arithmetic.ops.to_host(Flatten().forward(arithmetic.ops, {}, [cells], Context(False)).y)
    yield check(
        "order of a flattened image", "Flattening", "row by row, cell by cell, channel by channel", [list(range(8))], flat
    )
    yield check("outputs for ten digits", "Fully Connected Layer", "N = 10", [10], PRESETS["cnn"].graph.output_shape, "slide")


def _windows(arithmetic: Arithmetic) -> Iterator[Check]:
    slide = "Convolutional Layer (4/4)"
    rows, columns = _cells_read(arithmetic, (3, 2), (1, 1), (2, 4))
    yield check("rows that neuron (2, 4) reads, 3x2", slide, "i ... i + fh - 1 = 2 ... 4", [2, 3, 4], rows, "slide")
    yield check("columns that neuron (2, 4) reads, 3x2", slide, "j ... j + fw - 1 = 4 ... 5", [4, 5], columns, "slide")
    rows, columns = _cells_read(arithmetic, (3, 2), (2, 3), (2, 1))
    formula = "i*sh ... i*sh + fh - 1 = 4 ... 6"
    yield check("rows that neuron (2, 1) reads, strides 2 and 3", "Stride", formula, [4, 5, 6], rows, "slide")
    formula = "j*sw ... j*sw + fw - 1 = 3 ... 4"
    yield check("columns that neuron (2, 1) reads, strides 2 and 3", "Stride", formula, [3, 4], columns, "slide")
    numbered = 10.0 * np.arange(5)[:, None] + np.arange(7)
    yield check(
        "a 1x1 filter with strides 2 and 3", "Stride", "x[2i, 3j], where x[i, j] = 10 i + j", [[0, 3, 6], [20, 23, 26], [40, 43, 46]],
        plane(arithmetic.conv2d(image(numbered), np.ones((1, 1, 1, 1)), strides=(2, 3))),
    )  # fmt: skip
    sizes = [summarise(sequential(Conv2D(32, 3), input_shape=(side, side, 1))).parameters for side in (28, 224)]
    yield check(
        "parameters of 32 filters of 3x3",
        "Convolutional Layer (3/4)",
        "32 * (3*3 + 1), for 28x28 and for 224x224",
        [320, 320],
        sizes,
    )
    wide = arithmetic.conv2d(image(np.ones((32, 32))), np.ones((5, 5, 1, 1)))
    yield check("a 5x5 filter over 32x32", "Padding", "32 - 5 + 1 = 28", [28, 28], plane(wide).shape, "slide")
    same = arithmetic.conv2d(image(np.ones((32, 32))), np.ones((5, 5, 1, 1)), padding="same")
    yield check("a 5x5 filter over 32x32, padded", "Padding", "height and width stay", [32, 32], plane(same).shape, "slide")
    yield check(
        "pixels under a padded 5x5 filter",
        "Padding",
        "3*3 in the corner, 5*5 inside",
        [9, 25],
        [same[0, 0, 0, 0], same[0, 9, 9, 0]],
    )
    yield check(
        "a 2x2 filter over 3x3, padded", "Padding", "an odd row and column of zeros go after", [[4, 4, 2], [4, 4, 2], [2, 2, 1]],
        plane(arithmetic.conv2d(image(np.ones((3, 3))), np.ones((2, 2, 1, 1)), padding="same")),
    )  # fmt: skip
    figure = arithmetic.conv2d(image(np.ones((5, 7))), np.ones((3, 3, 1, 1)), strides=(2, 2), padding="same")
    yield check(
        "a 3x3 filter over 5x7, stride 2, padded", "Reference", "ceil(5/2), ceil(7/2): Geron's figure 14-4",
        vectors()["shape_rules"]["same_5x7_kernel_3_stride_2"], plane(figure).shape, "source",
    )  # fmt: skip
    biased = arithmetic.conv2d(image([[1.0, 2.0], [3.0, 4.0]]), kernel([[1.0, 1.0], [1.0, 1.0]]), [-7.0])
    yield check("weighted sum and bias", "Convolutional Layer (2/4)", "1 + 2 + 3 + 4 - 7 = 3", 3, biased.item())


def _cells_read(arithmetic: Arithmetic, size: Pair, strides: Pair, neuron: Pair) -> tuple[list[int], list[int]]:
    """Rows and columns of a 9x11 image that a neuron reads: those that its gradient reaches."""
    out = (9 - size[0]) // strides[0] + 1, (11 - size[1]) // strides[1] + 1
    dy = np.zeros((1, *out, 1))
    dy[0, neuron[0], neuron[1], 0] = 1
    dx, _, _ = arithmetic.conv2d_backward(np.ones((1, 9, 11, 1)), np.ones((*size, 1, 1)), dy, strides)
    rows, columns = np.nonzero(plane(dx))
    return sorted(set(rows.tolist())), sorted(set(columns.tolist()))


def _pooling(arithmetic: Arithmetic) -> Iterator[Check]:
    figure = vectors()["maxpool_figure"]
    x: Matrix = image(figure["input"])
    yield check(
        "max pooling 2x2, stride 2", POOLING, "max(1, 0, 4, 6) = 6, ...", figure["max"], plane(arithmetic.max_pool2d(x)), "source"
    )
    yield check(
        "mean pooling 2x2, stride 2", POOLING, "(1 + 0 + 4 + 6) / 4 = 2.75, ...", figure["mean"], plane(arithmetic.avg_pool2d(x))
    )
    yield check(
        "gradient of max pooling", POOLING, "each gradient goes to the largest cell", figure["dx"],
        plane(arithmetic.max_pool2d_backward(x, image(np.array(figure["dy"], np.float64)))),
    )  # fmt: skip
    yield check(
        "gradient of max pooling, four equal cells", POOLING, "the first of equals takes all", [[1, 0], [0, 0]],
        plane(arithmetic.max_pool2d_backward(image([[5.0, 5.0], [5.0, 5.0]]), image([[1.0]]))),
    )  # fmt: skip
    ones = image(np.ones((3, 3)))
    yield check(
        "mean pooling at the border",
        POOLING,
        "padding is not counted: the mean of ones is 1",
        [[1, 1], [1, 1]],
        plane(arithmetic.avg_pool2d(ones)),
    )
    yield check(
        "max pooling at the border",
        POOLING,
        "padding is no value: the largest of -1s is -1",
        [[-1, -1], [-1, -1]],
        plane(arithmetic.max_pool2d(-ones)),
    )
    weights = [row.parameters for row in summarise(PRESETS["cnn"].graph).layers if row.type == "MaxPool2D"]
    yield check("weights of pooling layers", POOLING, "none", [0, 0], weights, "slide")
