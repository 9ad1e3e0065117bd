"""Whole networks: gradients against finite differences, branches, what is not computed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.errors import NotFiniteError
from numbacnn.graph import Graph, without_softmax
from numbacnn.initializers import initial_parameters, initial_values
from numbacnn.layers import Context
from numbacnn.layers.activation import ACTIVATIONS, OF_INPUT
from numbacnn.layers.initialization import INITIALIZERS
from numbacnn.metrics import evaluate
from numbacnn.models import PRESETS
from numbacnn.network import backward, batches, forward, to_device, trace
from numbacnn.normalisation import PIXEL_SCALE
from numbacnn.prediction import Prediction, Predictor, predict
from numbacnn.random_numbers import stream

Arrays = dict[str, np.ndarray]


def branched() -> Graph:
    return nc.build_graph(
        "branched",
        (7, 6, 2),
        [
            ("a", nc.Conv2D(3, (3, 2), padding="same", activation="tanh"), ["input"]),
            ("b", nc.Conv2D(3, 1, activation="sigmoid"), ["a"]),
            ("sum", nc.Add(), ["a", "b"]),
            ("both", nc.Concatenate(), ["sum", "a", "input"]),
            ("norm", nc.BatchNorm(), None),
            ("mean", nc.AvgPool2D((3, 2), strides=(2, 1), padding="same"), None),
            ("drop", nc.Dropout(0.3), None),
            ("flat", nc.Flatten(), None),
            ("head", nc.Dense(4, activation="softmax"), None),
        ],
    )


def pooled() -> Graph:
    return nc.sequential(
        nc.Conv2D(4, 3, strides=(2, 1), padding=((1, 0), (2, 1)), activation="relu", kernel_initializer="he_normal"),
        nc.MaxPool2D((2, 3), strides=(1, 2), padding="same"),
        nc.Conv2D(3, 2, use_bias=False),
        nc.BatchNorm(),
        nc.Activation("relu"),
        nc.GlobalAvgPool2D(),
        nc.Dense(5, activation="tanh", use_bias=False),
        nc.Dense(3, activation="softmax"),
        input_shape=(9, 8, 2),
    )


def softmax_inside() -> Graph:
    return nc.sequential(
        nc.Flatten(), nc.Dense(6, activation="softmax"), nc.Dense(4, activation="softmax"), input_shape=(3, 2, 1)
    )


def with_every_option() -> Graph:
    return nc.sequential(
        nc.Conv2D(4, 2, dilation_rate=(2, 1), activation="silu"),
        nc.DepthwiseConv2D((2, 3), strides=(1, 2), padding="same", depth_multiplier=2, activation="hard_swish"),
        nc.BatchNorm(scale=False),
        nc.Activation("leaky_relu", negative_slope=0.3),
        nc.Conv2D(6, 2, padding=((1, 0), (0, 1)), groups=2, activation="elu"),
        nc.BatchNorm(center=False),
        nc.AvgPool2D(3, strides=2, padding="same", count_include_pad=True),
        nc.BatchNorm(center=False, scale=False),
        nc.Activation("hard_sigmoid"),
        nc.Flatten(),
        nc.Dense(5, activation="silu"),
        nc.Dense(3, activation="softmax"),
        input_shape=(6, 5, 2),
    )


def loss_and_gradients(graph: Graph, parameters: Mapping[str, Any], x: np.ndarray, labels: np.ndarray) -> tuple[float, Arrays]:
    ops = get_ops("cpu")
    logits = without_softmax(graph)
    passed = forward(logits, ops, parameters, x, training=True, seed=3, step=5)
    losses, _, dlogits = ops.softmax_cross_entropy(passed.y, labels)
    return float(losses.mean()), backward(ops, parameters, passed, dlogits)


@pytest.mark.parametrize("make", [branched, pooled, softmax_inside, with_every_option])
def test_every_gradient_of_a_network_equals_its_finite_difference(make) -> None:  # type: ignore[no-untyped-def]
    graph = make()
    generator = np.random.default_rng(1)
    parameters = initial_parameters(graph, seed=2, dtype=np.float64)
    for name in parameters:
        parameters[name] += generator.normal(0, 0.1, parameters[name].shape)  # so that no bias is exactly zero
    x, labels = generator.normal(size=(5, *graph.input_shape)), np.array([0, 2, 1, 2, 0])
    _, gradients = loss_and_gradients(graph, parameters, x, labels)
    assert set(gradients) == {name for name, spec in graph.parameters.items() if spec.trainable}
    for name, gradient in gradients.items():
        for place in generator.choice(gradient.size, min(gradient.size, 8), replace=False):
            slope = difference_quotient(graph, parameters, name, int(place), x, labels)
            assert gradient.reshape(-1)[place] == pytest.approx(slope, rel=1e-5, abs=1e-8), (name, place)


def difference_quotient(graph: Graph, parameters: Arrays, name: str, place: int, x: np.ndarray, labels: np.ndarray) -> float:
    step = 1e-6
    values = []
    for sign in (1, -1):
        moved = {key: array.copy() for key, array in parameters.items()}
        moved[name].reshape(-1)[place] += sign * step
        values.append(loss_and_gradients(graph, moved, x, labels)[0])
    return (values[0] - values[1]) / (2 * step)


def test_nothing_is_computed_before_the_first_trainable_layer() -> None:
    graph = without_softmax(PRESETS["softmax"].graph)
    ops = get_ops("cpu")
    parameters = initial_parameters(graph, 0)
    asked: list[bool] = []
    dense_backward = ops.dense_backward
    ops.dense_backward = lambda x, k, dy, *, needs_dx=True, **o: (
        asked.append(needs_dx) or dense_backward(x, k, dy, needs_dx=needs_dx, **o)
    )  # type: ignore
    passed = forward(graph, ops, parameters, np.zeros((2, 28, 28, 1), np.float32), training=True)
    assert set(backward(ops, parameters, passed, np.ones((2, 10), np.float32))) == {"dense1/kernel", "dense1/bias"}
    assert asked == [False]


def test_batch_norm_without_scale_or_centre_has_no_such_parameter() -> None:
    for scale, center in ((False, True), (True, False), (False, False)):
        graph = nc.sequential(nc.BatchNorm(scale=scale, center=center), input_shape=(2, 2, 3))
        learned = {name for name, spec in graph.parameters.items() if spec.trainable}
        assert learned == {name for name, is_there in (("norm1/gamma", scale), ("norm1/beta", center)) if is_there}


def test_only_leaky_relu_has_a_slope() -> None:
    assert nc.Activation("leaky_relu").negative_slope == 0.2
    with pytest.raises(nc.ModelError, match=r"negative_slope: expected none for relu, got 0\.1\. Use leaky_relu"):
        nc.Activation("relu", negative_slope=0.1)
    for bad in (-0.1, 1, "0.1", True, float("nan")):
        with pytest.raises(nc.ModelError, match="negative_slope"):
            nc.Activation("leaky_relu", negative_slope=bad)  # type: ignore[arg-type]


def test_only_activations_of_their_input_keep_it() -> None:
    """All others keep the output, which the next layer keeps too: no more memory."""
    ops, x = get_ops("cpu"), np.ones((1, 2, 2, 1), np.float32)
    for name in ACTIVATIONS:
        passed = nc.Activation(name).forward(ops, {}, [x], Context(training=True))
        assert passed.cache is (x if name in OF_INPUT else passed.y)


def test_dropout_is_the_identity_when_not_training() -> None:
    graph = without_softmax(PRESETS["dense128"].graph)
    parameters = initial_parameters(graph, 0)
    x = np.random.default_rng(0).random((3, 28, 28, 1), np.float32)
    ops = get_ops("cpu")
    plain = forward(graph, ops, parameters, x).y
    assert np.array_equal(plain, forward(graph, ops, parameters, x, seed=9, step=4).y)
    assert not np.array_equal(plain, forward(graph, ops, parameters, x, training=True).y)


def test_two_dropout_layers_drop_other_values() -> None:
    graph = nc.sequential(nc.Dropout(0.5), nc.Dropout(0.5), nc.Dropout(0.5), input_shape=(20, 20, 1))
    passed = forward(graph, get_ops("cpu"), {}, np.ones((2, 20, 20, 1), np.float32), training=True, seed=3, step=1)
    kept = np.count_nonzero(passed.y) / passed.y.size
    assert abs(kept - 1 / 8) < 5 * np.sqrt(1 / 8 * 7 / 8 / passed.y.size), (
        "with one mask, half of the values would pass all three"
    )


def test_batch_norm_uses_the_batch_while_training_and_its_averages_after() -> None:
    graph = nc.sequential(nc.BatchNorm(momentum=0.5, epsilon=1e-9), input_shape=(1, 1, 2))
    ops, parameters = get_ops("cpu"), initial_parameters(nc.sequential(nc.BatchNorm(), input_shape=(1, 1, 2)), 0)
    x = np.array([[1, 10], [3, 30]], np.float32).reshape(2, 1, 1, 2)
    passed = forward(graph, ops, parameters, x, training=True)
    assert np.allclose(passed.y.reshape(2, 2), [[-1, -1], [1, 1]])
    assert np.array_equal(parameters["norm1/moving_mean"], [0, 0]), "the pass itself changes nothing"
    for name, moving in passed.updates.items():
        ops.moving_average_update(parameters[name], *moving)
    assert np.allclose(parameters["norm1/moving_mean"], [1, 10])
    assert np.allclose(parameters["norm1/moving_variance"], [1, 50.5])
    later = forward(graph, ops, parameters, x).y
    assert np.allclose(later.reshape(2, 2), [[0, 0], [2, 20 / np.sqrt(50.5)]], atol=1e-6)


@pytest.mark.parametrize("name", ["cnn", "residual", "sigmoid5", "accurate"])
def test_an_image_is_predicted_with_the_same_bits_in_any_batch(name: str) -> None:
    graph = without_softmax(PRESETS[name].graph)
    ops = get_ops("cpu")
    predictor = Predictor(graph, ops, to_device(ops, initial_parameters(graph, 0)))
    images = np.random.default_rng(0).integers(0, 256, (130, 28, 28, 1), np.uint8)
    together = predictor(images).logits
    assert np.array_equal(together[3:11], predictor(images[3:11]).logits)
    assert np.array_equal(together[90:], predictor(images[90:]).logits)
    few = np.concatenate([predictor(image[None]).logits for image in images[:5]])
    assert np.array_equal(few, together[:5])
    assert np.array_equal(together[:2], predictor(images[:2]).logits)


@pytest.mark.parametrize("name", ["cnn", "residual", "dense128"])
def test_a_predictor_says_what_the_forward_pass_does(name: str) -> None:
    graph = without_softmax(PRESETS[name].graph)
    ops = get_ops("cpu")
    parameters = to_device(ops, initial_parameters(graph, 0))
    images = np.random.default_rng(0).integers(0, 256, (9, 28, 28, 1), np.uint8)
    x = ops.gather_images(images, np.arange(9), PIXEL_SCALE)
    passed = forward(graph, ops, parameters, x).y
    predictor = Predictor(graph, ops, parameters)
    for _ in range(2):
        assert np.array_equal(predictor(images).logits, passed)


def test_predictors_of_two_networks_do_not_mix_their_weights() -> None:
    graph = without_softmax(PRESETS["small"].graph)
    ops = get_ops("cpu")
    images = np.random.default_rng(0).integers(0, 256, (9, 28, 28, 1), np.uint8)
    both = [to_device(ops, initial_parameters(graph, seed)) for seed in (0, 1)]
    predictors = [Predictor(graph, ops, parameters) for parameters in both]
    for _ in range(2):
        for parameters, predictor in zip(both, predictors, strict=True):
            assert np.array_equal(predictor(images).logits, predict(graph, ops, parameters, images).logits)
    assert not np.array_equal(predictors[0](images).logits, predictors[1](images).logits)


def test_the_brightest_pixel_is_one_and_the_darkest_zero() -> None:
    graph = nc.sequential(nc.Activation("relu"), input_shape=(1, 2, 1))
    logits = predict(graph, get_ops("cpu"), {}, np.array([0, 255], np.uint8).reshape(1, 1, 2, 1)).logits
    assert logits.ravel().tolist() == [0, 1]


def test_probabilities_of_an_image_add_up_to_one_for_logits_of_any_size() -> None:
    logits = np.array([[0, 1, 2], [1e30, 1e30, -1e30], [-1000, -1001, -2000], [3, 3, 3], [5e4, 0, -5e4]], np.float32)
    prediction = Prediction(logits)
    assert prediction.probabilities.sum(axis=1) == pytest.approx(np.ones(5))
    assert prediction.probabilities[1].tolist() == [0.5, 0.5, 0]
    assert prediction.probabilities[2, :2] == pytest.approx(1 / (1 + np.exp([-1, 1])))
    losses = prediction.losses(np.array([2, 0, 1, 0, 2]))
    assert losses == pytest.approx([np.log1p(np.exp(-1) + np.exp(-2)), np.log(2), 1 + np.log1p(np.exp(-1)), np.log(3), 1e5])


def test_no_images_have_no_predictions() -> None:
    graph = without_softmax(PRESETS["softmax"].graph)
    prediction = predict(graph, get_ops("cpu"), initial_parameters(graph, 0), np.zeros((0, 28, 28, 1), np.uint8))
    assert prediction.probabilities.shape == (0, 10)


def test_batches_cover_everything_once() -> None:
    assert [(b.start, b.stop) for b in batches(7, 3)] == [(0, 3), (3, 6), (6, 7)]
    assert list(batches(0, 3)) == []


def test_initial_values_depend_on_the_seed_and_the_place_alone() -> None:
    one, two = initial_parameters(PRESETS["cnn"].graph, 1), initial_parameters(PRESETS["cnn"].graph, 1)
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not np.array_equal(one["conv1/kernel"], initial_parameters(PRESETS["cnn"].graph, 2)["conv1/kernel"])
    assert all(array.dtype == np.float32 for array in one.values())


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializers_have_the_spread_they_promise(name: str) -> None:
    values = initial_values(name, (400, 300), 400, 300, stream(0), np.float64)
    how = INITIALIZERS[name]
    if not hasattr(how, "scale"):
        assert (values == how.value).all()
        return
    fan = 400 if how.fan == "in" else 350
    sd = np.sqrt(how.scale / fan)
    assert values.std() == pytest.approx(sd, rel=0.01)
    assert abs(values.mean()) < 5 * sd / np.sqrt(values.size)
    limit = sd * np.sqrt(3) if how.distribution == "uniform" else 2 * sd / 0.87962566103423978
    assert 0.99 * limit < np.abs(values).max() <= limit


def test_metrics_count_what_was_taken_for_what() -> None:
    logits = np.array([[2, 1, 0], [0, 3, 1], [0, 1, 5], [4, 0, 0]], np.float32)
    result = evaluate(Prediction(logits), np.array([0, 1, 1, 2]))
    assert result.confusion.tolist() == [[1, 0, 0], [0, 1, 1], [1, 0, 0]]
    assert result.accuracy == 0.5
    expected = -np.log(np.exp(logits[np.arange(4), [0, 1, 1, 2]]) / np.exp(logits.astype(np.float64)).sum(1)).mean()
    assert result.loss == pytest.approx(expected)
    zero, one, two = result.per_class(("a", "b", "c"))
    assert (zero.precision, zero.recall, one.precision, one.recall) == (0.5, 1.0, 1.0, 0.5)
    assert two.recall == 0.0
    assert (zero.images, one.images, two.images) == (1, 2, 1)


@pytest.mark.parametrize("make", [branched, pooled, softmax_inside])
def test_a_trace_has_the_announced_shape_of_every_layer_and_the_bits_of_a_prediction(make: Any) -> None:
    graph, ops = make(), get_ops("cpu")
    parameters = to_device(ops, initial_parameters(graph, 3))
    x = np.random.default_rng(4).standard_normal((5, *graph.input_shape)).astype(np.float32)
    with ops.reuse_memory():
        traced = {name: ops.to_host(y).copy() for name, y in trace(graph, ops, parameters, x).items()}
    assert list(traced) == ["input", *(node.name for node in graph.nodes)]
    assert {name: y.shape[1:] for name, y in traced.items()} == dict(graph.shapes)
    with ops.reuse_memory():
        expected = ops.to_host(forward(graph, ops, parameters, x).y).copy()
    np.testing.assert_array_equal(traced[graph.nodes[-1].name], expected)
    np.testing.assert_array_equal(traced["input"], x)


def test_maps_that_are_not_finite_are_of_an_image_that_there_is() -> None:
    """Of a network without classes, the 37th of five images was named, and read from beyond their memory."""
    graph, ops = nc.sequential(nc.Conv2D(2, 3, padding="same"), input_shape=(6, 6, 1)), get_ops("cpu")
    parameters = initial_parameters(graph, 0)
    parameters["conv1/kernel"] = np.full_like(parameters["conv1/kernel"], 3e38)
    images = np.zeros((5, 6, 6, 1), np.uint8)
    images[3] = 255
    with pytest.raises(NotFiniteError, match=r"for image 3\. First is the layer conv1"):
        predict(graph, ops, to_device(ops, parameters), images)
