"""The convolution of a benchmark, and its results in plain Python and NumPy: all of them are the oracle's."""

from typing import Any

import numpy as np
import oracle
import pytest

from numbacnn.bench import numpy_patches, plain_python, problem
from numbacnn.bench.problem import Convolution, convolution, in_float64
from numbacnn.errors import DeviceMemoryError, ModelError
from numbacnn.graph import Graph, sequential
from numbacnn.layers import Conv2D, Dense, DepthwiseConv2D, Flatten, Layer
from numbacnn.models import preset

LAYERS: dict[str, tuple[Layer, dict[str, Any]]] = {
    "same": (Conv2D(6, (3, 2), padding="same"), {"padding": "same"}),
    "valid, strides": (Conv2D(5, 3, strides=(2, 3)), {"strides": (2, 3)}),
    "padding, dilation": (
        Conv2D(4, (2, 3), padding=((2, 0), (1, 3)), dilation_rate=(3, 2)),
        {"padding": ((2, 0), (1, 3)), "dilation_rate": (3, 2)},
    ),
    "groups": (Conv2D(8, 3, groups=2, padding="same"), {"padding": "same", "groups": 2}),
    "depthwise": (DepthwiseConv2D(3, strides=2, depth_multiplier=2), {"strides": 2, "groups": 4}),
}


def of_layer(layer: Layer, count: int = 3) -> Convolution:
    return convolution(network(layer), batch_size=count)


def network(layer: Layer) -> Graph:
    return sequential(layer, Flatten(), Dense(2), input_shape=(9, 10, 4))


def expected(found: Convolution, options: dict[str, Any]) -> Any:
    return oracle.conv2d(found.x, found.filters, found.bias, **options)


@pytest.mark.parametrize("name", LAYERS)
def test_the_sum_that_all_are_compared_with_is_the_oracles(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, options = LAYERS[name]
    found = of_layer(layer)
    for values in (problem.CHUNK_VALUES, 1):  # the batch at once, and image by image
        monkeypatch.setattr(problem, "CHUNK_VALUES", values)
        np.testing.assert_allclose(in_float64(found), expected(found, options), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_numpys_patches_give_the_oracles_values(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, options = LAYERS[name]
    found = of_layer(layer)
    for values in (problem.CHUNK_VALUES, 1):
        monkeypatch.setattr(problem, "CHUNK_VALUES", values)
        y = numpy_patches.convolve(found)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, expected(found, options), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_plain_python_gives_the_oracles_values_of_the_first_image(name: str) -> None:
    layer, options = LAYERS[name]
    found = of_layer(layer)
    cells = plain_python.some_cells(found)
    y = expected(found, options)[0]
    assert len(set(cells)) == len(cells) == y.size, "so small a convolution is computed whole"
    values = plain_python.convolve(found, plain_python.as_lists(found), cells)
    np.testing.assert_allclose(values, [y[cell] for cell in cells], rtol=0, atol=1e-12)


def test_plain_python_computes_a_part_of_a_large_convolution_spread_over_the_image() -> None:
    found = convolution(preset("cnn").graph, batch_size=2)
    cells = plain_python.some_cells(found)
    macs = found.macs // (2 * 14 * 14 * 64)
    assert macs == 5 * 5 * 32
    assert plain_python.MOST_MACS - macs < len(cells) * macs <= plain_python.MOST_MACS
    assert len(set(cells)) == len(cells)
    assert [len({cell[axis] for cell in cells}) for axis in range(2)] == [14, 14]
    assert len({cell[2] for cell in cells}) > 32


def test_plain_python_computes_at_least_one_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_python, "MOST_MACS", 1)
    assert plain_python.some_cells(of_layer(Conv2D(2, 3))) == [(0, 0, 0)]


def test_the_default_is_the_convolution_with_the_most_work_and_its_macs_are_those_of_shapes() -> None:
    found = convolution(preset("cnn").graph)
    assert (found.layer, found.x.shape, found.filters.shape) == ("conv2", (100, 14, 14, 32), (5, 5, 32, 64))
    assert found.macs == 100 * 10_035_200
    assert convolution(preset("cnn").graph, "conv1", 3).macs == 3 * 627_200


def test_the_numbers_are_the_same_every_time() -> None:
    one, other = (of_layer(Conv2D(3, 3)) for _ in range(2))
    for field in ("x", "filters", "bias"):
        assert getattr(one, field).tobytes() == getattr(other, field).tobytes()


@pytest.mark.parametrize(
    ("model", "layer", "words"),
    [
        ("cnn", "conv3", r"no layer 'conv3'\. Did you mean 'conv2'\?"),
        ("cnn", "pool1", r"pool1: expected a convolution of cnn, got a layer MaxPool2D\. Its convolutions: conv1, conv2"),
        ("dense128", None, "dense128: expected a network with a convolution, got none"),
        ("dense128", "dense1", "got a layer Dense. It has no convolution: take another network"),
    ],
)
def test_a_layer_that_is_no_convolution_is_refused_in_words(model: str, layer: str | None, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        convolution(preset(model).graph, layer)


def test_a_batch_larger_than_the_memory_is_refused_before_anything_is_allocated() -> None:
    with pytest.raises(DeviceMemoryError, match=r"conv2: a batch of 1,000,000,000 image.*Use a smaller --batch-size"):
        convolution(preset("cnn").graph, batch_size=10**9)
