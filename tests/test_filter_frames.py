"""The filters of a network over its epochs: a frame for each, with one scale of colours."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import numbacnn as nc
from numbacnn.checkpoint import TrainedNetwork, save_network
from numbacnn.errors import CheckpointError, ModelError
from numbacnn.filter_frames import HEAD, MARGIN, TILE, filters_gif, networks_of

GRAPH = nc.sequential(
    nc.Conv2D(2, 4, activation="relu"), nc.Conv2D(3, 2), nc.DepthwiseConv2D(2), nc.Flatten(), nc.Dense(2, activation="softmax"),
    input_shape=(9, 9, 1), name="net",
)  # fmt: skip


def network(epoch: int, weight: float, graph: nc.Graph = GRAPH) -> TrainedNetwork:
    """Filter 0 of the first convolution has this weight everywhere, but for a corner of the opposite sign; the others are 0."""
    parameters = {name: np.zeros(spec.shape, np.float32) for name, spec in graph.parameters.items()}
    parameters["conv1/kernel"][:, :, 0, 0] = weight
    parameters["conv1/kernel"][0, 0, 0, 0] = -weight
    return TrainedNetwork(graph, parameters, ("a", "b"), {"epochs": epoch})


def frames(packed: bytes) -> list[np.ndarray]:
    with Image.open(io.BytesIO(packed)) as animation:
        shown = []
        for number in range(getattr(animation, "n_frames", 1)):
            animation.seek(number)
            shown.append(np.asarray(animation.convert("RGB")).astype(int))
    return shown


def test_there_is_a_frame_for_each_epoch_with_its_number() -> None:
    same = [network(epoch, 0.5) for epoch in (1, 2, 7)]
    shown = frames(filters_gif(same, "conv1"))
    assert len(shown) == 3, "also where no weight changes"
    for frame in shown[1:]:
        rows, columns = np.nonzero(np.abs(frame - shown[0]).max(axis=2) > 60)
        assert 30 < rows.min() <= rows.max() < HEAD - 8, "the number of the epoch alone differs"
        assert columns.min() > MARGIN + 20
    assert filters_gif(same, "conv1") == filters_gif(same, "conv1")


def test_a_colour_means_the_same_weight_in_all_frames() -> None:
    half, whole = frames(filters_gif([network(1, 0.25), network(2, 0.5)], "conv1"))
    cell = TILE // 4
    corner, beside = (HEAD + 5, MARGIN + 5), (HEAD + 5, MARGIN + cell + 5)
    assert np.abs(whole[beside] - (0xD5, 0x5E, 0)).max() < 10, "orange: the largest weight"
    assert np.abs(whole[corner] - (0, 0x72, 0xB2)).max() < 10, "blue: its opposite"
    assert np.abs(half[beside] - (0xEA, 0xAE, 0x80)).max() < 10, "half as strong"
    other = (HEAD + 20, MARGIN + TILE + 22 + 20)
    assert half[other].tolist() == whole[other].tolist() == [255, 255, 255]


def test_several_channels_are_shown_by_their_mean_and_depthwise_filters_each() -> None:
    first = network(1, 1.0)
    first.parameters["conv2/kernel"][:, :, 0, 1] = 1
    first.parameters["conv2/kernel"][:, :, 1, 1] = -1
    first.parameters["conv2/kernel"][:, :, 0, 2] = 1
    (shown,) = frames(filters_gif([first], "conv2"))
    places = [(HEAD + 10, MARGIN + number * (TILE + 22) + 10) for number in range(3)]
    assert [shown[place].tolist() == [255, 255, 255] for place in places] == [True, True, False], "1 and -1 are 0 in the mean"
    depthwise = next(node.name for node in GRAPH.nodes if isinstance(node.layer, nc.DepthwiseConv2D))
    first.parameters[f"{depthwise}/kernel"][:, :, 2] = 1
    (shown,) = frames(filters_gif([first], depthwise))
    assert [shown[place].tolist() == [255, 255, 255] for place in places] == [True, True, False]


def test_many_filters_lie_on_the_paper_and_the_first_64_are_drawn() -> None:
    graph = nc.sequential(nc.Conv2D(70, 3), nc.Flatten(), nc.Dense(2, activation="softmax"), input_shape=(5, 5, 1), name="wide")
    made = network(1, 1.0, graph)
    made.parameters["conv1/kernel"][:] = 1
    (shown,) = frames(filters_gif([made], "conv1"))
    orange = np.abs(shown - (0xD5, 0x5E, 0)).max(axis=2) < 10
    columns = np.nonzero(orange)[1]
    assert columns.max() < shown.shape[1] - MARGIN / 2
    assert orange.sum() == 64 * 9 * (TILE // 3) ** 2


def test_the_networks_of_a_run_are_read_in_the_order_of_their_epochs(tmp_path: Path) -> None:
    for epoch in (2, 10, 1):
        save_network(tmp_path / f"epoch-{epoch:04}.safetensors", network(epoch, 0.1 * epoch))
    assert [each.summary["epochs"] for each in networks_of(tmp_path)] == [1, 2, 10]
    with pytest.raises(CheckpointError, match=r"expected the networks of its epochs.* Train with --keep-epochs"):
        networks_of(tmp_path / "none")


def test_what_has_no_filters_is_refused_in_words() -> None:
    with pytest.raises(ModelError, match=r"dense1: expected a convolution of net, got another name\. There are: conv1, conv2"):
        filters_gif([network(1, 1.0)], "dense1")
    with pytest.raises(ModelError, match="networks: expected at least one"):
        filters_gif([], "conv1")
    other = nc.sequential(nc.Conv2D(3, 4), nc.Flatten(), nc.Dense(2), input_shape=(9, 9, 1))
    with pytest.raises(ModelError, match="expected filters of one shape in all networks"):
        filters_gif([network(1, 1.0), network(2, 1.0, other)], "conv1")
