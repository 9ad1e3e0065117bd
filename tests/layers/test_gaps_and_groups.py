"""Convolutions with dilation, with groups, and depthwise: as layers, in plans, and in the report of ``shapes``."""

from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import functional as F
from numbacnn.backends import get_ops
from numbacnn.graph import Graph
from numbacnn.initializers import initial_parameters
from numbacnn.layers import Context
from numbacnn.network import backward, forward
from numbacnn.plan import make_plan
from numbacnn.prediction import Predictor
from numbacnn.shapes import Window2D


def row(layer: nc.layers.Layer, *before: nc.layers.Layer, input_shape: tuple[int, ...] = (9, 9, 4)) -> Any:
    """The line of ``shapes`` of the last layer."""
    return nc.summarise(nc.sequential(*before, layer, input_shape=input_shape)).layers[-1]


def test_shapes_counts_a_dilated_filters_cells_once_and_its_gaps_in_the_receptive_field() -> None:
    dilated = row(nc.Conv2D(8, 3, dilation_rate=(2, 3)))
    assert (dilated.output_shape, dilated.parameters, dilated.macs) == ((5, 3, 8), 3 * 3 * 4 * 8 + 8, 5 * 3 * 3 * 3 * 4 * 8)
    assert dilated.receptive_field == (5, 7)
    after = row(nc.Conv2D(2, 3, dilation_rate=2), nc.MaxPool2D(2), input_shape=(20, 20, 4))
    assert (after.receptive_field, after.jump) == ((2 + 4 * 2, 2 + 4 * 2), (2, 2))


def test_shapes_divides_the_parameters_and_work_of_groups() -> None:
    grouped = row(nc.Conv2D(6, 3, groups=2, padding="same"))
    assert (grouped.output_shape, grouped.parameters, grouped.macs) == ((9, 9, 6), 3 * 3 * 2 * 6 + 6, 81 * 3 * 3 * 2 * 6)
    depthwise = row(nc.DepthwiseConv2D(3, strides=2, depth_multiplier=2, use_bias=False))
    assert (depthwise.output_shape, depthwise.parameters, depthwise.macs) == ((4, 4, 8), 3 * 3 * 8, 16 * 3 * 3 * 8)
    assert (depthwise.receptive_field, depthwise.jump) == ((3, 3), (2, 2))


def test_groups_that_do_not_divide_filters_or_channels_are_refused() -> None:
    with pytest.raises(nc.ModelError, match="groups: expected a number that divides the 4 filters, got 3"):
        nc.Conv2D(4, 3, groups=3)
    with pytest.raises(nc.ShapeError, match="conv1: groups: expected a number that divides the 3 channels of the input, got 2"):
        nc.sequential(nc.Conv2D(4, 3, groups=2), input_shape=(5, 5, 3))


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "2", (1, 2)])
def test_a_number_of_groups_is_a_positive_whole_number(bad: Any) -> None:
    with pytest.raises(nc.ModelError, match="groups"):
        nc.Conv2D(4, 3, groups=bad)


@pytest.mark.parametrize("layer", [nc.Conv2D, nc.DepthwiseConv2D])
@pytest.mark.parametrize("bad", [0, (1, -2), 1.5, "2", (1, 2, 3)])
def test_a_dilation_rate_is_one_or_two_positive_whole_numbers(layer: Any, bad: Any) -> None:
    with pytest.raises(nc.ShapeError, match="dilation_rate"):
        layer(kernel_size=3, dilation_rate=bad, **({"filters": 2} if layer is nc.Conv2D else {}))


def test_a_dilated_filter_that_does_not_fit_is_refused_with_the_cells_that_it_spans() -> None:
    with pytest.raises(nc.ShapeError, match=r"a window of 9 does not fit 8 cells"):
        nc.sequential(nc.Conv2D(1, 3, dilation_rate=4), input_shape=(8, 9, 1))


@pytest.mark.parametrize("multiplier", [1, 2])
def test_a_depthwise_layer_is_a_convolution_of_as_many_groups_as_channels(multiplier: int) -> None:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2, 6, 5, 3)).astype(np.float32)
    kernel = generator.standard_normal((3, 2, 3, multiplier)).astype(np.float32)
    options: dict[str, Any] = {
        "kernel_size": (3, 2),
        "strides": (2, 1),
        "padding": "same",
        "activation": "silu",
        "use_bias": False,
    }
    depthwise = nc.DepthwiseConv2D(depth_multiplier=multiplier, dilation_rate=2, **options)
    grouped = nc.Conv2D(3 * multiplier, groups=3, dilation_rate=2, **options)
    ops, context = get_ops("cpu"), Context(training=True)
    one = depthwise.forward(ops, {"kernel": kernel}, [x], context)
    filters = {"kernel": kernel.reshape(3, 2, 1, -1)}
    other = grouped.forward(ops, filters, [x], context)
    assert np.array_equal(one.y, other.y)
    assert depthwise.output_shape(x.shape[1:]) == grouped.output_shape(x.shape[1:]) == one.y.shape[1:]
    back, again = (
        layer.backward(ops, own, passed.cache, one.y, True)
        for layer, own, passed in ((depthwise, {"kernel": kernel}, one), (grouped, filters, other))
    )
    assert np.array_equal(back.dx[0], again.dx[0])
    assert back.gradients["kernel"].shape == kernel.shape
    assert np.array_equal(back.gradients["kernel"].reshape(-1), again.gradients["kernel"].reshape(-1))


def test_weights_of_a_filter_that_sees_few_channels_are_drawn_for_few_inputs() -> None:
    """A neuron's inputs are the cells that it reads: 9 of one channel, not 9 of all 512."""
    graph = nc.sequential(nc.DepthwiseConv2D(3, kernel_initializer="he_uniform"), input_shape=(3, 3, 512))
    assert np.std(initial_parameters(graph, 0)["conv1/kernel"]) == pytest.approx(np.sqrt(2 / 9), rel=0.05)
    graph = nc.sequential(nc.Conv2D(512, 3, groups=64, kernel_initializer="he_uniform"), input_shape=(3, 3, 512))
    assert np.std(initial_parameters(graph, 0)["conv1/kernel"]) == pytest.approx(np.sqrt(2 / 72), rel=0.05)


def gaps_then_pool() -> Graph:
    return nc.sequential(
        nc.Conv2D(4, 3, dilation_rate=2, activation="relu"), nc.MaxPool2D(), nc.Conv2D(4, 1, groups=2, activation="relu"),
        nc.MaxPool2D(), nc.Flatten(), nc.Dense(3), input_shape=(12, 12, 1),
    )  # fmt: skip


def fuse_all(pool: Window2D) -> bool:
    return True


def test_a_pooling_is_not_fused_to_a_convolution_with_gaps_or_groups() -> None:
    assert [each.name for each in make_plan(gaps_then_pool(), fuse_all)] == [
        "conv1",
        "pool1",
        "conv2",
        "pool2",
        "flatten1",
        "dense1",
    ]


def test_prediction_of_a_network_with_gaps_and_groups_equals_its_forward_pass_in_any_batch() -> None:
    graph, ops = gaps_then_pool(), get_ops("cpu")
    parameters = initial_parameters(graph, 3)
    images = np.random.default_rng(0).integers(0, 256, (9, 12, 12, 1), np.uint8)
    x = images.astype(np.float32) / 255
    logits = Predictor(graph, ops, parameters)(images).logits
    z = F.max_pool2d(F.relu(F.conv2d(x, parameters["conv1/kernel"], parameters["conv1/bias"], dilation_rate=2)))
    z = F.max_pool2d(F.relu(F.conv2d(z, parameters["conv2/kernel"], parameters["conv2/bias"], groups=2)))
    np.testing.assert_allclose(logits, F.dense(z.reshape(9, -1), parameters["dense1/kernel"]), rtol=0, atol=1e-5)
    assert np.array_equal(Predictor(graph, ops, parameters)(images[4:5]).logits, logits[4:5])


def test_any_number_of_threads_gives_the_same_bits_of_a_depthwise_convolution() -> None:
    numba = pytest.importorskip("numba")
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("Numba was given one thread")
    graph, ops = nc.sequential(nc.DepthwiseConv2D(3, strides=2, padding="same"), input_shape=(11, 10, 5)), get_ops("cpu")
    generator = np.random.default_rng(0)
    x, dy = generator.random((13, 11, 10, 5), np.float32), generator.random((13, 6, 5, 5), np.float32)
    before, found = numba.get_num_threads(), []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            passed = forward(graph, ops, initial_parameters(graph, 0), x, training=True)
            gradients = backward(ops, initial_parameters(graph, 0), passed, dy)
            found.append([passed.y.tobytes(), *(ops.to_host(each).tobytes() for each in gradients.values())])
    finally:
        numba.set_num_threads(before)
    assert found[0] == found[1]


def test_zero_padding_is_the_explicit_padding_of_the_layer_after_it() -> None:
    """Keras's ZeroPadding2D((top, bottom), (left, right)) is no layer here."""
    x, kernel = np.random.default_rng(0).normal(size=(2, 5, 4, 3)), np.random.default_rng(1).normal(size=(3, 3, 3, 2))
    padded = np.pad(x, ((0, 0), (0, 1), (2, 1), (0, 0)))
    padding = ((0, 1), (2, 1))
    np.testing.assert_array_equal(F.conv2d(x, kernel, padding=padding, strides=2), F.conv2d(padded, kernel, strides=2))
    np.testing.assert_array_equal(F.avg_pool2d(x, 3, padding=padding, count_include_pad=True), F.avg_pool2d(padded, 3))
    positive = F.relu(x)  # no value is less than 0, so zeros around it are never the largest
    np.testing.assert_array_equal(
        F.max_pool2d(positive, 3, strides=1, padding=padding), F.max_pool2d(F.relu(padded), 3, strides=1)
    )
