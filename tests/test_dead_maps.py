"""Feature maps that are 0 for every image: found wherever a ReLU follows its convolution, and no other is named."""

import numpy as np
import pytest

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.dead_maps import dead_maps
from numbacnn.graph import Graph
from numbacnn.initializers import initial_parameters
from numbacnn.network import trace

SHAPE = (12, 12, 1)
DEAD = -1e3
"""A bias below which no image of 0...1 gets a sum."""

NETWORKS = {
    "activation": (nc.Conv2D(4, 3, activation="relu"), nc.Flatten(), nc.Dense(3)),
    "pooled": (nc.Conv2D(4, 3, activation="relu"), nc.MaxPool2D(), nc.Flatten(), nc.Dense(3)),
    "layer of its own": (nc.Conv2D(4, 3), nc.Activation("relu"), nc.MaxPool2D(), nc.Flatten(), nc.Dense(3)),
    "after a pooling": (nc.Conv2D(4, 3), nc.MaxPool2D(), nc.Activation("relu"), nc.Flatten(), nc.Dense(3)),
    "relu6": (nc.Conv2D(4, 3, activation="relu6"), nc.Flatten(), nc.Dense(3)),
    "dilated": (nc.Conv2D(4, 3, activation="relu", dilation_rate=2), nc.MaxPool2D(), nc.Flatten(), nc.Dense(3)),
}
NONE = {
    "sigmoid": (nc.Conv2D(4, 3, activation="sigmoid"), nc.Activation("relu"), nc.Flatten(), nc.Dense(3)),
    "linear": (nc.Conv2D(4, 3), nc.Flatten(), nc.Dense(3, activation="relu")),
    "no convolution": (nc.Flatten(), nc.Dense(3, activation="relu")),
}


def made(*layers: object) -> tuple[Graph, dict]:
    graph = nc.sequential(*layers, input_shape=SHAPE)  # type: ignore[arg-type]
    return graph, initial_parameters(graph, seed=3)


def images(count: int = 40) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, *SHAPE)).astype(np.uint8)


@pytest.mark.parametrize("layers", NETWORKS.values(), ids=NETWORKS)
def test_a_filter_whose_bias_no_image_overcomes_is_dead(layers: tuple) -> None:
    graph, parameters = made(*layers)
    parameters["conv1/bias"][:] = 5
    assert dead_maps(graph, get_ops("cpu"), parameters, images()) == {"conv1": []}
    parameters["conv1/bias"][[1, 3]] = DEAD
    assert dead_maps(graph, get_ops("cpu"), parameters, images()) == {"conv1": [1, 3]}


@pytest.mark.parametrize("layers", NONE.values(), ids=NONE)
def test_a_convolution_without_relu_has_no_dead_maps(layers: tuple) -> None:
    graph, parameters = made(*layers)
    assert dead_maps(graph, get_ops("cpu"), parameters, images()) == {}


def test_a_map_that_one_image_in_the_last_batch_lifts_is_alive() -> None:
    graph, parameters = made(*NETWORKS["pooled"])
    parameters["conv1/kernel"][:] = 1
    parameters["conv1/bias"][:] = -0.5
    dark = np.zeros((40, *SHAPE), np.uint8)
    assert dead_maps(graph, get_ops("cpu"), parameters, dark) == {"conv1": [0, 1, 2, 3]}
    dark[-1, 5, 5] = 255
    assert dead_maps(graph, get_ops("cpu"), parameters, dark) == {"conv1": []}
    assert dead_maps(graph, get_ops("cpu"), parameters, dark[:-1], batch_size=7) == {"conv1": [0, 1, 2, 3]}


def test_the_maps_are_those_that_the_trace_shows_as_0() -> None:
    """A depthwise layer after a batch normalisation, and branches: a convolution that two layers read."""
    graph, parameters = made(
        nc.Conv2D(6, 3),
        nc.BatchNorm(),
        nc.Activation("relu"),
        nc.DepthwiseConv2D(3, activation="relu"),
        nc.Flatten(),
        nc.Dense(3),
    )
    generator = np.random.default_rng(7)
    for name in parameters:
        parameters[name] = generator.normal(0, 1, parameters[name].shape).astype(np.float32)
    parameters["norm1/moving_variance"] = np.ones(6, np.float32)
    parameters["norm1/beta"][:3] = DEAD
    ops, shown = get_ops("cpu"), images()
    found = dead_maps(graph, ops, parameters, shown)
    outputs = trace(graph, ops, parameters, shown.astype(np.float32) / np.float32(255))
    for conv, rectified in (("conv1", "activation1"), ("conv2", "conv2")):
        host = ops.to_host(outputs[rectified])
        assert found[conv] == [index for index in range(host.shape[-1]) if not host[..., index].any()]
    assert found["conv1"][:3] == [0, 1, 2]
