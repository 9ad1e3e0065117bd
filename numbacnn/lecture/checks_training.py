"""Checks of backpropagation through one convolution."""

from collections.abc import Iterator

import numpy as np

from numbacnn.lecture.arithmetic import Arithmetic, image, kernel, plane
from numbacnn.lecture.backprop import Backprop, backprop
from numbacnn.lecture.check import ROUNDING, Check, check
from numbacnn.lecture.vectors import vectors

FORWARD, BACKWARD, UPDATE = "Training CNN (2/4)", "Training CNN (3/4)", "Training CNN (4/4)"


def training_checks(arithmetic: Arithmetic) -> Iterator[Check]:
    """X of 3x3, W of 2x2: with the sum of outputs as the error, then with half the squared error."""
    table = vectors()["backprop_3x3_2x2"]
    x, w = np.array(table["x"]), np.array(table["kernel"])
    eta = table["learning_rate"]
    summed = backprop(arithmetic.ops, x, w, None, eta)
    for i, j in np.ndindex(2, 2):
        formula = " + ".join(f"W{u + 1}{v + 1}*X{i + u + 1}{j + v + 1}" for u, v in np.ndindex(2, 2))
        yield check(f"h{i + 1}{j + 1}", FORWARD, f"{formula} = {table['y'][i][j]:.10g}", table["y"][i][j], summed.h[i, j])
    expected = table["sum_of_outputs"]
    for u, v in np.ndindex(2, 2):
        yield check(
            f"dE/dw{u + 1}{v + 1}", BACKWARD, f"{sum_of_products(summed.terms(u, v))} = {expected['dkernel'][u][v]:.10g}",
            expected["dkernel"][u][v], summed.dw[u, v],
        )  # fmt: skip
    yield from _gradients(summed, expected, "E = h11 + h12 + h21 + h22")
    dy = image(np.array(expected["dy"], np.float64))
    _, _, dbias = arithmetic.conv2d_backward(image(x), kernel(w), dy)
    yield check("dE/db", BACKWARD, "1 + 1 + 1 + 1 = 4", [expected["dbias"]], dbias)
    yield check(
        "dE/dW by differences",
        BACKWARD,
        "(E(w + d) - E(w - d)) / 2d",
        expected["dkernel"],
        summed.dw_by_differences,
        tolerance=1e-9,
    )
    expected = table["half_squared_error"]
    squared = backprop(arithmetic.ops, x, w, np.array(expected["targets"]), eta)
    yield check("half squared error", BACKWARD, "E = sum (h - t)^2 / 2, t = 0 1 2 -1", expected["loss"], squared.error)
    yield check("dE/dW of the squared error", BACKWARD, "X convolved with h - t", expected["dkernel"], squared.dw)
    yield from _gradients(squared, expected, "E = sum (h - t)^2 / 2")
    again = plane(arithmetic.conv2d(image(x), kernel(squared.dh)))
    yield check("X convolved with dE/dH", BACKWARD, "is dE/dW", expected["dkernel"], again)


def _gradients(found: Backprop, expected: dict, error: str) -> Iterator[Check]:
    yield check(f"dE/dX, {error}", BACKWARD, "every h that read the cell adds dE/dh * w", expected["dx"], found.dx)
    yield check(
        f"W after one step, {error}",
        UPDATE,
        f"W - {found.eta:.10g} * dE/dW",
        expected["kernel_next"],
        found.w_next,
        tolerance=ROUNDING,
    )


def sum_of_products(terms: list[tuple[float, float]]) -> str:
    """The sum of some products, written out."""
    return " + ".join(f"{number(first)}*{number(second)}" for first, second in terms) or "0"


def number(value: float) -> str:
    """A number as people write it in a formula; a negative one in parentheses."""
    return f"({value:.10g})" if value < 0 else f"{value:.10g}"
