"""Features of images: the values of the last hidden layer, and the nearest of them."""

import numpy as np
import pytest

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.checkpoint import TrainedNetwork
from numbacnn.features import distances_to, features, hidden_layer, nearest, unit_length
from numbacnn.graph import INPUT
from numbacnn.initializers import initial_parameters
from numbacnn.models import PRESETS
from numbacnn.net import Net

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("cnn", "dense1"), ("small", "dense1"), ("dense128", "dropout1"), ("softmax", "flatten1"), ("residual", "mean")],
)
def test_the_last_hidden_layer_is_what_the_last_layer_with_weights_reads(name: str, layer: str) -> None:
    assert hidden_layer(PRESETS[name].graph) == layer


def test_features_are_the_roots_of_that_layers_values_with_length_1() -> None:
    graph, ops = PRESETS["small"].graph, get_ops("cpu")
    parameters = initial_parameters(graph, seed=0)
    images = RNG.integers(0, 256, (3, 28, 28, 1), dtype=np.uint8)
    found = features(graph, ops, parameters, images)
    network = Net(TrainedNetwork(graph, parameters, tuple("0123456789"), {}), ops)
    values = np.sqrt(network.activations(images, "dense1").astype(np.float64))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, values / np.linalg.norm(values, axis=1, keepdims=True), atol=1e-6)
    np.testing.assert_array_equal(found[1:2], features(graph, ops, parameters, images[1:2]))


def test_a_network_of_one_layer_compares_pixels() -> None:
    graph = nc.sequential(nc.Conv2D(filters=2, kernel_size=3), nc.GlobalAvgPool2D(), input_shape=(3, 3, 1))
    assert hidden_layer(graph) == INPUT
    images = np.zeros((2, 3, 3, 1), np.uint8)
    images[0, :, 0], images[0, :, 1] = 7, 28
    found = features(graph, get_ops("cpu"), initial_parameters(graph, seed=0), images)
    np.testing.assert_allclose(found, [[15**-0.5, 2 * 15**-0.5, 0] * 3, [0] * 9], atol=1e-6)


def test_the_nearest_are_those_of_the_least_angle() -> None:
    bank, vectors = RNG.normal(size=(50, 6)).astype(np.float32), RNG.normal(size=(4, 6)).astype(np.float32)
    found = nearest(vectors, bank, 3)
    for i, vector in enumerate(vectors.astype(np.float64)):
        distances = [1 - float(vector @ row) / np.linalg.norm(vector) / np.linalg.norm(row) for row in bank.astype(np.float64)]
        expected = sorted(range(50), key=distances.__getitem__)[:3]
        assert found.indices[i].tolist() == expected
        np.testing.assert_allclose(found.distances[i], [distances[j] for j in expected], atol=1e-6)


def test_of_equally_near_ones_the_first_comes_first() -> None:
    bank = np.array([[0, 1], [1, 0], [1, 0], [1, 0]], np.float32)
    assert nearest(bank[1:2], bank, 2).indices.tolist() == [[1, 2]]


def test_a_bank_of_another_width_is_refused() -> None:
    bank = unit_length(RNG.normal(size=(4, 6)))
    with pytest.raises(nc.ShapeError, match="rows of one width"):
        nearest(bank[:, :5], bank, 1)
    with pytest.raises(nc.ShapeError, match="at least 5 rows, got 4"):
        nearest(bank, bank, 5)


@pytest.mark.parametrize("count", [0, 1, 3, 260])
def test_the_distance_to_the_kth_alone_is_the_last_of_the_nearest(count: int) -> None:
    generator = np.random.default_rng(0)
    bank = generator.integers(-3, 4, (40, 6)).astype(np.float32)  # many equal distances, and rows of zeros
    vectors = generator.integers(-3, 4, (count, 6)).astype(np.float32)
    for k in (1, 5, 40):
        assert distances_to(vectors, bank, k).tolist() == nearest(vectors, bank, k).distances[:, -1].tolist()
