"""Checks of the lecture's dense networks: one layer for MNIST, five improvements, and why they do not scale."""

from collections.abc import Iterator

import numpy as np

from numbacnn import functional
from numbacnn.graph import sequential
from numbacnn.initializers import initial_values
from numbacnn.layers import Dense, Dropout, Flatten
from numbacnn.layers.base import Context
from numbacnn.lecture.arithmetic import Arithmetic, Matrix, image
from numbacnn.lecture.check import ROUNDING, Check, check
from numbacnn.lecture.vectors import vectors
from numbacnn.models import PRESETS
from numbacnn.optimizers import SGD, Adam
from numbacnn.random_numbers import stream
from numbacnn.schedules import exponential
from numbacnn.summary import summarise
from numbacnn.values import DropoutKey

LAYER, SOFTMAX, LOSS = "One-Layer Network For Classifying MNIST (3/4)", "One-Layer Network For Classifying MNIST (4/4)", \
    "How Good the Predictions Are?"  # fmt: skip
IMPROVEMENT = "Some Improvement ({}/5)"
DROPPED = 10_000
"""Values given to dropout."""
STEP = 1e-5
"""Of a weight, for differences."""
BY_DIFFERENCES = 1e-8
"""Tolerance of a gradient beside them."""
DRAWN = 200_000
"""Weights drawn; their standard deviation is within 0.6 % of the distribution's."""


def dense_checks(arithmetic: Arithmetic) -> Iterator[Check]:
    """From the weighted sum to the decay of the learning rate."""
    yield from _one_layer(arithmetic)
    yield from _loss(arithmetic)
    yield from _activations(arithmetic)
    yield from _regularisation(arithmetic)
    yield from _training(arithmetic)
    for name, slide in (("softmax", LAYER), ("sigmoid5", IMPROVEMENT.format(1)), ("dense128", IMPROVEMENT.format(5))):
        yield check(
            f"parameters of {name}", slide, "sum over the layers of (inputs + 1) * neurons",
            vectors()["networks"][name]["parameters"], summarise(PRESETS[name].graph).parameters,
        )  # fmt: skip


def _one_layer(arithmetic: Arithmetic) -> Iterator[Check]:
    layer = vectors()["one_layer_formula"]
    x, weights, bias = (np.array(layer[key], np.float64) for key in ("x", "kernel", "bias"))
    yield check(
        "first neuron", LAYER, "L00 = 1*0.1 + 2*0.3 + 3*(-0.5) = -0.8", -0.8,
        arithmetic.run("dense", x, weights, None)[0, 0], tolerance=ROUNDING,
    )  # fmt: skip
    yield check(
        "two neurons, two images",
        SOFTMAX,
        "L = X W + b",
        layer["y"],
        arithmetic.run("dense", x, weights, bias),
        tolerance=ROUNDING,
    )
    pixels = arithmetic.ops.asarray(image(np.arange(784.0).reshape(28, 28)))
    vector = arithmetic.ops.to_host(Flatten().forward(arithmetic.ops, {}, [pixels], Context(False)).y)
    yield check("an image as a vector", LAYER, "28 * 28 = 784 pixels", [1, 784], vector.shape, "slide")


def _loss(arithmetic: Arithmetic) -> Iterator[Check]:
    table = vectors()["softmax_cross_entropy"]
    batch = table["batch"]
    logits, labels = np.array(batch["logits"]), np.array(batch["labels"])
    rows = arithmetic.run("softmax", logits)
    formula = "exp(L - max) / sum exp(L - max)"
    yield check(
        "softmax of three images", SOFTMAX, f"{formula}; the third row has 1000s", batch["softmax"], rows, tolerance=ROUNDING
    )
    yield check("softmax adds up", SOFTMAX, "sum of each row = 1", [1, 1, 1], rows.sum(axis=1), tolerance=ROUNDING)
    losses, correct, gradient = arithmetic.run("softmax_cross_entropy", logits, labels)
    yield check(
        "cross-entropy of three images", LOSS, "mean of -sum Y log(softmax L)", batch["loss"], losses.mean(), tolerance=ROUNDING
    )
    yield check("gradient of the cross-entropy", LOSS, "(softmax L - Y) / 3", batch["dlogits"], gradient, tolerance=ROUNDING)
    yield check("images classified correctly", LOSS, "largest of L at the label: yes, yes, no", [1, 1, 0], correct.astype(int))
    yield from _gradients(arithmetic)
    printed, label = np.array(table["probabilities_as_printed"]), table["label"]
    yield check(
        "the label 6, one-hot encoded", LOSS, "1 at the label, 0 elsewhere", [0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
        functional.one_hot(np.array([label]), 10)[0], "slide",
    )  # fmt: skip
    ones = np.ones((10, 1))
    yield check(
        "the printed probabilities add up to", LOSS, "0.1+0.2+0.1+0.3+0.2+0.1+0.9+0.2+0.1+0.1 = 2.3", table["sum_as_printed"],
        arithmetic.run("dense", printed[None], ones, None).item(), "slide", ROUNDING,
    )  # fmt: skip
    yield check(
        "cross-entropy as printed", LOSS, "-log(0.9)", table["loss_as_printed"],
        functional.cross_entropy(printed[None], functional.one_hot(np.array([label]), 10)), tolerance=ROUNDING,
    )  # fmt: skip
    losses, _, _ = arithmetic.run("softmax_cross_entropy", np.log(printed)[None], np.array([label]))
    yield check(
        "cross-entropy, normalised", LOSS, "-log(0.9 / 2.3)", table["loss_if_normalised"], losses.item(), tolerance=ROUNDING
    )
    losses, _, _ = arithmetic.run("softmax_cross_entropy", np.zeros((1, 10)), np.array([label]))
    yield check(
        "cross-entropy before training", LOSS, "-log(1/10)", table["loss_of_ten_equal_logits"], losses.item(), tolerance=ROUNDING
    )


def _gradients(arithmetic: Arithmetic) -> Iterator[Check]:
    """J of a whole layer by its weights and biases, beside differences of J."""
    layer = vectors()["one_layer_formula"]
    x, weights, bias = (np.array(layer[key], np.float64) for key in ("x", "kernel", "bias"))
    labels = np.arange(len(x)) % len(bias)

    def cost(values: Matrix) -> float:
        logits = arithmetic.run("dense", x, values[:-1].copy(), values[-1].copy())
        losses, _, _ = arithmetic.run("softmax_cross_entropy", logits, labels)
        return float(losses.mean())

    both = np.vstack([weights, bias])
    differences = np.zeros_like(both)
    for place in np.ndindex(*both.shape):
        step = np.zeros_like(both)
        step[place] = STEP
        differences[place] = (cost(both + step) - cost(both - step)) / (2 * STEP)
    _, _, dlogits = arithmetic.run("softmax_cross_entropy", arithmetic.run("dense", x, weights, bias), labels)
    _, dkernel, dbias = arithmetic.run("dense_backward", x, weights, dlogits)
    yield check(
        "gradient of J by all weights and biases", LOSS, "X^T (softmax L - Y) / n and its column sums, beside (J(w+h) - J(w-h)) / 2h",
        differences, np.vstack([dkernel, dbias]), tolerance=BY_DIFFERENCES,
    )  # fmt: skip


def _activations(arithmetic: Arithmetic) -> Iterator[Check]:
    table = vectors()["activations"]
    z = np.array([table["z"]])
    ones = np.ones_like(z)
    slide = IMPROVEMENT.format(1)
    y = arithmetic.run("sigmoid", z)
    yield check("sigmoid", slide, "1 / (1 + exp(-z)) for z = -100 ... 100", [table["sigmoid"]], y, tolerance=ROUNDING)
    gradient = arithmetic.run("sigmoid_backward", y, ones)
    yield check("gradient of sigmoid", slide, "y * (1 - y)", [table["sigmoid_gradient"]], gradient, tolerance=ROUNDING)
    slide = IMPROVEMENT.format(3)
    yield check("ReLU", slide, "max(0, z) for z = -100 ... 100", [table["relu"]], arithmetic.run("relu", z))
    yield check(
        "gradient of ReLU at 0", slide, "0, by convention", table["relu_gradient_at_zero"],
        arithmetic.run("relu_backward", np.zeros((1, 1)), np.ones((1, 1))).item(),
    )  # fmt: skip
    yield check(
        "gradient of ReLU", slide, "1 where z > 0, else 0", [[0, 0, 1]],
        arithmetic.run("relu_backward", np.array([[0.0, 0.0, 2.0]]), np.ones((1, 3))),
    )  # fmt: skip


def _regularisation(arithmetic: Arithmetic) -> Iterator[Check]:
    slide = IMPROVEMENT.format(4)
    ones = np.ones((1, DROPPED))
    for rate in (0.2, 0.4):
        scale = vectors()["dropout"]["scale_by_rate"][str(rate)]
        y = arithmetic.run("dropout", ones, rate, DropoutKey(0, 0, 0))
        values = np.unique(y)
        yield check(f"dropout of {rate} keeps", slide, f"x / (1 - {rate}), or 0", [0, scale], values, tolerance=ROUNDING)
        yield check(f"dropout of {rate} drops", slide, f"a share of {rate}", rate, (y == 0).mean(), "slide", 0.05)
    x = arithmetic.ops.asarray(np.array([[1.0, -2.0, 3.0, 0.5] * 8]))
    same = arithmetic.ops.to_host(Dropout(0.4).forward(arithmetic.ops, {}, [x], Context(False, DropoutKey(0, 0, 0))).y)
    yield check("dropout in evaluation", slide, "rate = 0: y = x", [[1.0, -2.0, 3.0, 0.5] * 8], same, "slide")


def _training(arithmetic: Arithmetic) -> Iterator[Check]:
    for fan_in, sd in vectors()["he_normal"]["standard_deviation_by_fan_in"].items():
        drawn = initial_values("he_normal", (DRAWN,), int(fan_in), 1, stream(0), np.float64)
        yield check(
            f"He's weights of a neuron with {fan_in} inputs", IMPROVEMENT.format(2),
            f"standard deviation sqrt(2 / {fan_in}), within 1 %", sd, float(drawn.std()), tolerance=0.01,
        )  # fmt: skip
    table = vectors()["optimisers"]
    start = table["weight"], table["gradients"], table["learning_rate"]
    yield check(
        "five steps of gradient descent", LOSS, "w - eta * gradient; w = 1, eta = 0.01, gradients 0.1, -0.2, 0.3, 0, 0.05",
        table["sgd"], arithmetic.update(SGD(), *start), tolerance=ROUNDING,
    )  # fmt: skip
    yield check(
        "five steps of Adam", IMPROVEMENT.format(2), "the same gradients; Keras's form", table["adam"],
        arithmetic.update(Adam(), *start), tolerance=ROUNDING,
    )  # fmt: skip
    decay = exponential(0.01, 0.6)
    yield check(
        "learning rate of ten epochs", IMPROVEMENT.format(5), "0.01 * 0.6^epoch", vectors()["lr_decay"]["decay_0.6"],
        [decay(epoch) for epoch in range(10)], "slide", ROUNDING,
    )  # fmt: skip


def challenge_checks(arithmetic: Arithmetic) -> Iterator[Check]:
    """The number of weights of one neuron, by the size of its images."""
    slide = "Vanilla Deep Neural Networks Challenges (1/2)"
    for shape, count in (((28, 28, 1), 784), ((224, 224, 3), 150_528)):
        neuron = sequential(Flatten(), Dense(1), input_shape=shape)
        formula = f"{' * '.join(map(str, shape))} = {count}"
        weights = summarise(neuron).parameters - 1
        yield check(
            f"weights of a dense neuron, {shape[0]}x{shape[1]}",
            slide,
            formula,
            count,
            weights,
            "slide" if count == 784 else "derived",
        )
