"""Checks of the lecture's CNN for MNIST: the shapes that its layers compute, its parameters and its work."""

from collections.abc import Iterator

import numpy as np

from numbacnn.layers.base import Context
from numbacnn.lecture.arithmetic import Arithmetic
from numbacnn.lecture.check import Check, check
from numbacnn.lecture.vectors import vectors
from numbacnn.models import PRESETS
from numbacnn.summary import summarise

CNN = "CNN in TensorFlow ({}/7)"
SLIDES = (2, 3, 4, 5, 6, 6, 6)
"""The number of the slide of each layer."""


def network_checks(arithmetic: Arithmetic) -> Iterator[Check]:
    """An image of zeros goes through every layer; then parameters, work and receptive fields."""
    graph, expected = PRESETS["cnn"].graph, vectors()["networks"]["cnn"]
    ops = arithmetic.ops
    y = ops.asarray(np.zeros((1, *graph.input_shape)))
    for node, row, number in zip(graph.nodes, expected["layers"], SLIDES, strict=True):
        own = {
            name.partition("/")[2]: ops.asarray(np.zeros(spec.shape))
            for name, spec in graph.parameters.items() if name.startswith(f"{node.name}/")
        }  # fmt: skip
        y = node.layer.forward(ops, own, [y], Context(False)).y
        formula = f"{row['input_shape']} to {row['output_shape']}"
        yield check(f"output shape of {node.name}", CNN.format(number), formula, row["output_shape"], tuple(y.shape)[1:], "slide")
    whole = summarise(graph)
    yield check(
        "parameters of the CNN",
        CNN.format(7),
        "832 + 51264 + 3212288 + 10250 = 3274634",
        expected["parameters"],
        whole.parameters,
    )
    yield check(
        "multiplications for one image",
        CNN.format(7),
        "627200 + 10035200 + 3211264 + 10240 = 13883904",
        expected["macs"],
        whole.macs,
    )
    rows = {row.name: row for row in whole.layers}
    fields = [row.receptive_field[0] for row in whole.layers[:4]]
    yield check("side of what a neuron sees, four layers", CNN.format(7), "5, 5 + 1, 6 + 4*2, 14 + 2", [5, 6, 14, 16], fields)
    share = max(row.parameters for row in rows.values()) / whole.parameters
    yield check("weights in the first dense layer, %", CNN.format(6), "3212288 / 3274634", 98, round(100 * share))
    share = max(row.macs for row in rows.values()) / whole.macs
    yield check("work in the second convolution, %", CNN.format(4), "10035200 / 13883904", 72, round(100 * share))
