"""Checks of the toy network for X and O, and of the CS231n demo."""

from collections.abc import Iterator

import numpy as np

from numbacnn.lecture import xo
from numbacnn.lecture.arithmetic import Arithmetic, Matrix, image
from numbacnn.lecture.check import ROUNDING, Check, check
from numbacnn.lecture.vectors import vectors
from numbacnn.models import PRESETS
from numbacnn.summary import summarise

REPEAT = "Repeat For All the Filtered Images"
VOTES = "Fully Connected Layer"


def truncated(values: Matrix) -> Matrix:
    """To two decimals toward zero, as the slides print: 5/9 is 0.55. The term keeps 0.55 from becoming 0.54 by rounding."""
    return np.sign(values) * np.floor(np.abs(values) * 100 + 1e-4) / 100


def xo_checks(arithmetic: Arithmetic) -> Iterator[Check]:
    """Three images, layer by layer, and the demo of one more convolution."""
    for shown, name in xo.IMAGES.items():
        yield from _image(arithmetic, shown, vectors()["xo_toy"]["cases"][name])
    yield from _slides_maps(arithmetic)
    yield from _votes(arithmetic)
    yield from _demo(arithmetic)


def _image(arithmetic: Arithmetic, shown: str, expected: dict) -> Iterator[Check]:
    answer = xo.classify(arithmetic.ops, xo.lecture_image(shown))
    ninths = {"conv_times9": answer.maps, "pool_times9": answer.pooled, "pool_twice_times9": answer.pooled_again}
    of = {
        "conv_times9": (f"the three maps of {shown}, times 9", "Filtering: The Math Behind the Match", "sum of nine products"),
        "pool_times9": (f"the pooled maps of {shown}, times 9", "Pooling: Shrinking the Image Stack", "largest of each 2x2"),
        "pool_twice_times9": (f"the maps of {shown} pooled twice, times 9", "Deep Stacking", "largest of each 2x2, again"),
    }
    for key, values in ninths.items():
        name, slide, formula = of[key]
        origin = "source" if key == "pool_twice_times9" and shown == "X" else "derived"
        yield check(name, slide, formula, _stack(expected[key]), values * xo.SIDE, origin, ROUNDING)  # type: ignore[arg-type]
    yield check(
        f"the rectified maps of {shown}", "Rectified Linear Units (ReLUs)", "max(0, map), truncated to two decimals",
        _stack(expected["relu_truncated"]), truncated(answer.relu),
    )  # fmt: skip
    yield check(f"least value of {shown} after ReLU", "ReLU Layer", "no negative values", 0, answer.relu.min(), "slide")
    for letter, key, formula in (
        ("X", "vote_x", "mean of numbers 1, 4, 5, 10, 11 of 12"),
        ("O", "vote_o", "mean of numbers 2, 3, 9, 12 of 12"),
    ):
        yield check(f"vote of {shown} for {letter}", VOTES, formula, expected[key], answer.votes[letter], tolerance=ROUNDING)
    label = "O" if shown == "O" else "X"
    yield check(
        f"{shown} is told to be {label}",
        "Putting It All Together",
        "the greater vote (1: it is)",
        1,
        int(answer.label == label),
        "slide",
    )


def _slides_maps(arithmetic: Arithmetic) -> Iterator[Check]:
    table = vectors()["xo_toy"]
    answer = xo.classify(arithmetic.ops, xo.lecture_image("X"))
    yield check(
        "the stack of filtered images", "Convolution Layer", "three filters, 9 - 3 + 1 = 7", [3, 7, 7], answer.maps.shape, "slide"
    )
    printed = _stack(table["relu_as_printed_on_slide"])
    yield check(
        "cells that the slide prints wrongly", REPEAT, "29 of 147 differ from the rectified maps", 29,
        int((np.abs(truncated(answer.relu) - printed) > 0.001).sum()), "slide",
    )  # fmt: skip
    yield check(
        "the pooled maps as the slide prints them", REPEAT, "truncated to two decimals", _stack(table["pool_as_printed_on_slide"]),
        truncated(answer.pooled), "slide",
    )  # fmt: skip
    cross = xo.classify(arithmetic.ops, xo.lecture_image("deformed")).maps[1:2, :, :, None]
    yield check(
        "the last cell of a map that was not rectified, times 9", "Pooling: Shrinking the Image Stack",
        "the cross on the deformed X; padding is no value: -3, not 0", -3,
        arithmetic.max_pool2d(np.ascontiguousarray(cross))[0, 3, 3, 0] * xo.SIDE, tolerance=ROUNDING,
    )  # fmt: skip
    first = xo.lecture_image("X")
    for shown, equal in (("deformed", 65), ("O", 60)):
        yield check(
            f"pixels of {shown} that equal X's", "Computers are Literal", f"{equal} of 81", equal,
            xo.equal_pixels(arithmetic.ops, xo.lecture_image(shown), first), "source",
        )  # fmt: skip


def _votes(arithmetic: Arithmetic) -> Iterator[Check]:
    table = vectors()["xo_toy"]
    found = xo.vote(arithmetic.ops, np.array(table["vote_vector"]))
    x, o = table["votes"]
    yield check(
        "vote of the twelve numbers for X",
        VOTES,
        "(0.9 + 0.87 + 0.96 + 0.89 + 0.94) / 5 = 0.912",
        x,
        found["X"],
        "source",
        ROUNDING,
    )
    yield check(
        "vote of the twelve numbers for O", VOTES, "(0.65 + 0.45 + 0.44 + 0.53) / 4 = 0.5175", o, found["O"], "source", ROUNDING
    )


def _demo(arithmetic: Arithmetic) -> Iterator[Check]:
    demo, slide = vectors()["cs231n_conv"], "One more example"
    weights = np.array(demo["kernel_hwio"], np.float64)
    padded = image(demo["padded_7x7x3"])
    maps = arithmetic.conv2d(padded, weights, demo["bias"], (2, 2))
    yield check("shape of the two feature maps", slide, "(7 - 3) / 2 + 1 = 3", [3, 3, 2], maps[0].shape, "slide")
    yield check(
        "two feature maps of three channels", slide, "27 products and a bias for each cell", demo["output_3x3x2"], maps[0]
    )
    inner = arithmetic.conv2d(image(demo["input_5x5x3"]), weights, demo["bias"], (2, 2), "same")
    yield check("the same, padded by the layer", slide, "5x5 and a border of zeros", demo["output_3x3x2"], inner[0])
    outer = arithmetic.conv2d(padded, weights, demo["bias"], (2, 2), "same")
    yield check("shape if 7x7 were padded too", slide, "ceil(7 / 2) = 4", [4, 4, 2], outer[0].shape)
    parameters = summarise(PRESETS["cs231n"].graph).parameters
    yield check("parameters of the demo", slide, "2 * (3*3*3 + 1) = 56", demo["parameters"], parameters)


def _stack(tables: dict) -> Matrix:
    """{filter: (h, w)} as (3, h, w)."""
    return np.array([tables[name] for name in xo.FILTERS], np.float64)
