"""A trace: announced shapes, true statistics, and the probabilities of a prediction."""

from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.graph import INPUT, Graph, without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.inspection.heat import image_gradient, occlusion
from numbacnn.inspection.tiles import Scale, in_rows, repeats, shrunk
from numbacnn.inspection.tracing import Trace, trace_image
from numbacnn.models import PRESETS
from numbacnn.network import backward, forward, to_device
from numbacnn.normalisation import NUMBERS
from numbacnn.prediction import Predictor


def with_everything() -> Graph:
    """Branches, batch normalisation, dropout, and a softmax of its own."""
    return nc.build_graph("net", (9, 8, 2), [
        ("a", nc.Conv2D(4, 3, padding="same", activation="relu"), [INPUT]), ("norm", nc.BatchNorm(), ["a"]),
        ("b", nc.DepthwiseConv2D(3, padding="same", activation="tanh"), ["norm"]), ("join", nc.Add(), ["a", "b"]),
        ("pool", nc.MaxPool2D(), ["join"]), ("flat", nc.Flatten(), ["pool"]), ("drop", nc.Dropout(0.5), ["flat"]),
        ("logits", nc.Dense(3), ["drop"]), ("softmax", nc.Activation("softmax"), ["logits"]),
    ])  # fmt: skip


def prepared(graph: Graph, seed: int = 0, **options: Any) -> tuple[Predictor, dict[str, np.ndarray]]:
    random, parameters = np.random.default_rng(seed), initial_parameters(graph, seed)
    for array in parameters.values():  # moving averages and biases that are not 0
        array += 0.2 * random.random(array.shape).astype(np.float32)
    ops = get_ops("cpu")
    return Predictor(without_softmax(graph), ops, to_device(ops, parameters), **options), parameters


def image_of(graph: Graph, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, graph.input_shape, dtype=np.uint8)


def traced(graph: Graph) -> tuple[Trace, Predictor, np.ndarray]:
    predictor, _ = prepared(graph)
    image = image_of(graph)
    return trace_image(graph, predictor, image), predictor, image


GRAPHS = {name: PRESETS[name].graph for name in ("small", "dense128", "residual")} | {"everything": with_everything()}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_trace_has_the_announced_shapes_and_the_probabilities_of_a_prediction(name: str) -> None:
    graph = GRAPHS[name]
    found, predictor, image = traced(graph)
    assert [(layer.name, layer.values.shape) for layer in found.layers] == [
        (node.name, graph.shapes[node.name]) for node in graph.nodes
    ]
    prediction = predictor(image[None])
    np.testing.assert_array_equal(found.probabilities, prediction.probabilities[0])
    np.testing.assert_array_equal(found.layers[-1].values, prediction.probabilities[0].astype(np.float32))
    np.testing.assert_array_equal(found.x, image.astype(np.float32) * np.float32(1 / 255))


def test_the_logits_of_a_trace_have_the_bits_of_a_prediction() -> None:
    found, predictor, image = traced(with_everything())
    np.testing.assert_array_equal(found.layer("logits").values, predictor(image[None]).logits[0])


def test_the_statistics_of_a_layer_are_those_of_its_values() -> None:
    layer = traced(PRESETS["small"].graph)[0].layer("conv2")
    values = layer.values.astype(np.float64)
    assert (layer.min, layer.max) == (values.min(), values.max())
    assert layer.mean == pytest.approx(values.mean(), rel=1e-12)
    assert layer.zero_share == (values == 0).sum() / values.size
    assert (layer.maps, layer.maps_alive) == (16, sum(bool(values[:, :, index].any()) for index in range(16)))


def test_a_dead_map_is_not_alive_and_the_most_active_ones_are_found() -> None:
    graph = PRESETS["small"].graph
    predictor, parameters = prepared(graph)
    parameters["conv1/bias"][[0, 5]] = -1000
    parameters["conv1/bias"][[1, 4]] = 50
    ops = predictor.ops
    layer = trace_image(
        graph, Predictor(without_softmax(graph), ops, to_device(ops, parameters)), image_of(graph)
    ).layer("conv1")  # fmt: skip
    assert (layer.maps, layer.maps_alive) == (8, 6)
    assert layer.most_active(2) == [1, 4]


def test_a_network_without_classes_is_traced_too() -> None:
    found = traced(PRESETS["cs231n"].graph)[0]
    assert found.probabilities is None
    assert found.layers[-1].values.shape == (3, 3, 2)


def test_weights_that_give_no_finite_answer_are_refused() -> None:
    graph = PRESETS["small"].graph
    predictor, parameters = prepared(graph)
    parameters["dense1/kernel"][:] = 3e38
    ops = predictor.ops
    with pytest.raises(nc.NotFiniteError, match="dense1"):
        trace_image(graph, Predictor(without_softmax(graph), ops, to_device(ops, parameters)), image_of(graph))


# --- why --------------------------------------------------------------------------------------------------------------------------


def test_the_gradient_of_the_image_is_that_of_finite_differences() -> None:
    """In float64, through branches, batch normalisation and pooling."""
    graph, ops = without_softmax(with_everything()), get_ops("cpu", plain=True)
    parameters = {name: array.astype(np.float64) for name, array in prepared(with_everything())[1].items()}
    x, step = np.random.default_rng(3).standard_normal((1, *graph.input_shape)), 1e-6
    passed = forward(graph, ops, parameters, x, of_image=True)
    dy = np.zeros((1, 3))
    dy[0, 1] = 1
    dx = backward(ops, parameters, passed, dy)[INPUT]
    for place in [(0, 0, 0, 0), (0, 4, 3, 1), (0, 8, 7, 0), (0, 2, 5, 1)]:
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * step
            ends.append(forward(graph, ops, parameters, moved).y[0, 1])
        assert dx[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-8)


def test_the_heat_of_a_gradient_is_its_size_in_the_largest_channel() -> None:
    graph = without_softmax(PRESETS["small"].graph)
    predictor, parameters = prepared(PRESETS["small"].graph, normalisation=NUMBERS)
    image = np.random.default_rng(2).standard_normal(graph.input_shape).astype(np.float32)
    ops = predictor.ops
    heat = image_gradient(graph, ops, to_device(ops, parameters), image, 2, NUMBERS)
    passed = forward(graph, ops, parameters, image[None], of_image=True)
    dx = backward(ops, parameters, passed, np.eye(10, dtype=np.float32)[2:3])[INPUT]
    np.testing.assert_allclose(heat.values, np.abs(dx[0]).max(axis=2), rtol=1e-6)
    assert (heat.step, heat.patch) == (1, None)


def test_training_does_without_the_gradient_of_the_image() -> None:
    graph = without_softmax(PRESETS["small"].graph)
    predictor, parameters = prepared(PRESETS["small"].graph)
    passed = forward(graph, predictor.ops, parameters, np.ones((2, *graph.input_shape), np.float32), training=True)
    assert INPUT not in backward(predictor.ops, parameters, passed, np.ones((2, 10), np.float32))


def test_occlusion_is_the_probability_lost_when_a_patch_is_blanked() -> None:
    graph = PRESETS["small"].graph
    predictor, _ = prepared(graph)
    image = image_of(graph)
    heat = occlusion(predictor, image, 3)
    assert (heat.values.shape, heat.step, heat.patch) == ((28, 28), 1, (5, 5))
    kept = predictor(image[None]).probabilities[0, 3]
    for row, column in [(0, 0), (13, 20), (27, 1)]:
        blanked = image.copy()
        blanked[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = 0
        assert heat.values[row, column] == pytest.approx(kept - predictor(blanked[None]).probabilities[0, 3], abs=1e-6)
    row, column, value = heat.largest
    assert value == heat.values.max() == heat.values[row, column]


def test_large_images_are_blanked_at_some_places_by_their_own_mean() -> None:
    graph = nc.sequential(nc.AvgPool2D(40), nc.Flatten(), nc.Dense(2, activation="softmax"), input_shape=(40, 80, 3))
    predictor, _ = prepared(graph)
    image = np.full(graph.input_shape, 90, np.uint8)
    heat = occlusion(predictor, image, 0, "photographs")
    assert (heat.step, heat.patch, heat.values.shape) == (3, (7, 7), (14, 27))
    np.testing.assert_allclose(heat.values, 0, atol=1e-6)  # the mean of an even image changes nothing
    assert heat.of_pixels(40, 80).shape == (40, 80)


# --- small pictures ---------------------------------------------------------------------------------------------------------------


def test_zero_is_black_and_the_largest_white_or_signs_have_colours() -> None:
    values = np.array([[0.0, 2.0], [4.0, 1.0]])
    assert Scale.of(values).grey(values).tolist() == [[0, 128], [255, 64]]
    assert Scale.of(np.array([3.0, 4.0])).low == 0
    signed = np.array([-2.0, 0.0, 1.0])
    colours = Scale.of(signed).colours(signed)
    assert colours[0, 2] > colours[0, 0]  # blue
    assert colours[2, 0] > colours[2, 2]  # orange
    assert colours[1].tolist() == [0, 0, 0]
    assert Scale.of(np.zeros(3)).grey(np.zeros(3)).tolist() == [0, 0, 0]


def test_maps_shrink_to_means_and_units_stand_in_rows() -> None:
    assert shrunk(np.arange(16.0).reshape(4, 4), 2).tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert shrunk(np.ones((5, 3)), 5).shape == (5, 3)
    assert in_rows(np.arange(5), 3).tolist() == [[0, 1, 2], [3, 4, 0]]


def test_a_layer_that_repeats_another_is_named() -> None:
    layers = traced(PRESETS["small"].graph)[0].layers
    names = {layer.name: repeats(layer, layers[:index]) for index, layer in enumerate(layers)}
    assert names["flatten1"] == "pool2"
    assert names["dense1"] is None
