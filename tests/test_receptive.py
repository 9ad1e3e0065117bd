"""The receptive field of one cell: what ``receptive`` names is what the network depends on."""

import numpy as np
import pytest

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.graph import up_to
from numbacnn.models import PRESETS
from numbacnn.network import forward
from numbacnn.receptive import Read, receptive


def image(graph: nc.Graph, layer: str, *cell: int) -> Read:
    (*_, last) = receptive(graph, layer, (cell[0], cell[1]))
    assert last.name == "input"
    return last


def dependence(graph: nc.Graph, layer: str, cell: tuple[int, int]) -> tuple[list[int], list[int]]:
    """The rows and columns of the image by which one cell changes, found by changing every pixel on its own."""
    part, ops = up_to(graph, layer), get_ops("cpu", plain=True)
    parameters = {name: np.ones(spec.shape) for name, spec in part.parameters.items()}
    height, width, channels = graph.input_shape
    images = np.zeros((1 + height * width, height, width, channels))
    for index in range(height * width):
        images[1 + index, index // width, index % width] = 1
    y = forward(part, ops, parameters, images).y[:, cell[0], cell[1]]
    seen = np.flatnonzero((y[1:] != y[0]).any(axis=1))
    return sorted({int(i) // width for i in seen}), sorted({int(i) % width for i in seen})


def random_graph(random: np.random.Generator) -> nc.Graph:
    def layer(stride: int) -> nc.layers.Layer:
        kernel = tuple(int(k) for k in random.integers(1, 4, 2))
        if random.random() < 0.3:
            return nc.AvgPool2D(kernel, stride, "same")
        padding = random.choice(["same", "explicit"]) if stride == 1 else "same"
        if padding == "same":
            return nc.Conv2D(2, kernel, strides=stride, padding="same", dilation_rate=int(random.integers(1, 3)))
        before = [int(random.integers(0, side)) for side in kernel]
        return nc.Conv2D(2, kernel, padding=tuple((p, side - 1 - p) for p, side in zip(before, kernel, strict=True)))

    stride = int(random.integers(1, 3))
    return nc.build_graph("net", (11, 10, 2), [
        ("a", layer(1), ["input"]), ("b", layer(stride), ["a"]), ("c", layer(stride), ["input"]), ("d", layer(1), ["c"]),
        ("join", nc.Add() if random.random() < 0.5 else nc.Concatenate(), ["b", "d"]), ("valid", nc.Conv2D(1, 2, strides=3), ["join"]),
    ])  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_a_cell_depends_on_the_first_and_last_pixels_named_and_on_none_beyond(seed: int) -> None:
    random = np.random.default_rng(seed)
    graph = random_graph(random)
    for layer in ("b", "join", "valid"):
        rows, columns, _ = graph.shapes[layer]
        cell = int(random.integers(rows)), int(random.integers(columns))
        found = image(graph, layer, *cell)
        seen = dependence(graph, layer, cell)
        assert (found.rows, found.columns) == ((seen[0][0], seen[0][-1]), (seen[1][0], seen[1][-1]))


@pytest.mark.parametrize("seed", range(20))
def test_the_unclipped_field_has_the_size_that_the_summary_names(seed: int) -> None:
    """Where branches differ in their jumps, the field of the first or of the last cell is the largest."""
    graph = random_graph(np.random.default_rng(seed))
    for row in nc.summarise(graph).layers:
        ends = [image(graph, row.name, *(side - 1 for side in row.output_shape[:2])), image(graph, row.name, 0, 0)]
        sizes = [[last - first + 1 for first, last in (end.unclipped_rows, end.unclipped_columns)] for end in ends]
        assert row.receptive_field == tuple(map(max, zip(*sizes, strict=True)))


def test_the_lectures_cnn_is_traced_back_layer_by_layer() -> None:
    reads = receptive(PRESETS["cnn"].graph, "pool2", (0, 6))
    assert [(read.name, read.rows, read.columns) for read in reads] == [
        ("pool2", (0, 0), (6, 6)), ("conv2", (0, 1), (12, 13)), ("pool1", (0, 3), (10, 13)), ("conv1", (0, 7), (20, 27)),
        ("input", (0, 9), (18, 27)),
    ]  # fmt: skip
    assert (reads[-1].unclipped_rows, reads[-1].unclipped_columns) == ((-6, 9), (18, 33))


def test_rows_that_a_valid_stride_leaves_over_are_not_read() -> None:
    """Eight rows, windows of three every three: rows 6 and 7 are read by no cell, whatever lies above them."""
    graph = nc.sequential(nc.Conv2D(1, 3, strides=3), nc.Conv2D(1, 3, padding="same"), input_shape=(8, 8, 1))
    found = image(graph, "conv2", 1, 1)
    assert (found.rows, found.unclipped_rows) == ((0, 5), (0, 8))


def test_a_cell_that_reads_padding_alone_reads_no_pixel() -> None:
    graph = nc.sequential(nc.Conv2D(1, 2, padding=((4, 0), (0, 0))), nc.Conv2D(1, 1), input_shape=(5, 5, 1))
    found = image(graph, "conv2", 0, 0)
    assert (found.rows, found.columns, found.unclipped_rows) == (None, None, (-4, -3))


@pytest.mark.parametrize(
    ("layer", "cell", "error", "message"),
    [
        ("conv9", (0, 0), nc.ModelError, "no layer 'conv9'. Did you mean 'conv"),
        ("conv2", (14, 0), nc.ShapeError, "conv2: expected a row from 0 to 13, got 14"),
        ("conv2", (0, -1), nc.ShapeError, "conv2: expected a column from 0 to 13, got -1"),
        ("dense1", (0, 0), nc.ShapeError, "dense1: expected a layer of feature maps"),
        ("flatten1", (0, 0), nc.ShapeError, "flatten1: expected a layer of feature maps"),
    ],
)
def test_a_cell_that_is_not_there_is_named(layer: str, cell: tuple[int, int], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message.replace("(", "\\(")):
        receptive(PRESETS["cnn"].graph, layer, cell)
