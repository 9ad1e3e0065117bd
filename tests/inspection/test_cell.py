"""One cell as the sum of its products: equal to the layer's own kernel within rounding, wherever it lies."""

import math

import numpy as np
import pytest

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.graph import Graph
from numbacnn.initializers import initial_parameters
from numbacnn.inspection.cell import CellSum, explain_cell
from numbacnn.network import to_device, trace

WEIGHTED = (nc.Conv2D, nc.DepthwiseConv2D, nc.Dense)


def random_convolution(random: np.random.Generator, channels: int) -> nc.layers.Layer:
    """Of any kernel, stride, padding and dilation; in groups, depthwise, or neither."""
    kernel = tuple(int(side) for side in random.integers(1, 5, 2))
    dilation = tuple(int(side) for side in random.integers(1, 3, 2)) if random.random() < 0.3 else 1
    strides = [1, 2, (2, 3), (3, 1)][int(random.integers(4))]
    explicit = tuple(tuple(int(side) for side in random.integers(0, 4, 2)) for _ in range(2))
    padding = ["same", "valid", explicit][int(random.integers(3))]
    activation = [None, "relu", "tanh", "silu"][int(random.integers(4))]
    shared = {
        "kernel_size": kernel, "strides": strides, "padding": padding, "dilation_rate": dilation, "activation": activation,
        "use_bias": bool(random.random() < 0.8),
    }  # fmt: skip
    if random.random() < 0.25:
        return nc.DepthwiseConv2D(depth_multiplier=int(random.integers(1, 4)), **shared)
    groups = 2 if channels % 2 == 0 and random.random() < 0.3 else 1
    return nc.Conv2D(filters=2 * int(random.integers(1, 5)), groups=groups, **shared)


def random_network(random: np.random.Generator) -> Graph:
    height, width = (int(side) for side in random.integers(9, 16, 2))
    channels = int(random.integers(1, 4))
    while True:
        first = random_convolution(random, channels)
        try:
            maps = first.output_shape((height, width, channels))[2]
            layers = [first, random_convolution(random, maps), nc.Flatten(), nc.Dense(5), nc.Dense(3, activation="softmax")]
            return nc.sequential(*layers, input_shape=(height, width, channels))
        except nc.ShapeError:  # a window that is larger than its input
            continue


def random_cell(random: np.random.Generator, graph: Graph) -> tuple[CellSum, np.ndarray]:
    """A cell of a random layer, half of them at a border, and the layer's outputs."""
    ops = get_ops("cpu", exact_conv=True)
    parameters = initial_parameters(graph, int(random.integers(1000)))
    for name, array in parameters.items():
        if name.endswith("/bias"):
            array += random.standard_normal(array.shape).astype(np.float32)
    x = np.maximum(random.standard_normal((1, *graph.input_shape)), 0).astype(np.float32)
    with ops.reuse_memory():
        outputs = {name: y[0].copy() for name, y in trace(graph, ops, to_device(ops, parameters), x).items()}
    weighted = [node for node in graph.nodes if isinstance(node.layer, WEIGHTED)]
    node = weighted[int(random.integers(len(weighted)))]
    edge = random.random() < 0.5
    cell = [int(random.choice([0, side - 1]) if edge else random.integers(side)) for side in graph.shapes[node.name]]
    return explain_cell(graph, ops, parameters, outputs, node.name, cell), outputs[node.name]


@pytest.mark.parametrize("seed", range(6))
def test_a_cell_is_the_sum_of_its_products_within_rounding(seed: int) -> None:
    """Ten cells each; the bound is that of any order of summation in float32."""
    random = np.random.default_rng(seed)
    graph = random_network(random)
    for _ in range(10):
        found, outputs = random_cell(random, graph)
        assert all(term.product == term.x * term.weight for term in found.terms)
        assert found.sum == math.fsum(term.product for term in found.terms)
        assert found.value == found.sum + found.bias
        assert abs(found.value - found.kernel_value) <= found.bound
        assert found.output == pytest.approx(float(outputs[found.cell]), rel=1e-5, abs=1e-6)
        sizes = [abs(term.product) for term in found.terms]
        assert sizes == sorted(sizes, reverse=True)
