"""What the page shows is what the networks compute: the answers of ``predict``, the values of their layers, the sums of their cells."""

import base64
import json
from pathlib import Path

import numpy as np
import players
import pytest
from command_line import run_here

from numbacnn.backends import get_ops
from numbacnn.checkpoint import save_network
from numbacnn.errors import DataError, ModelError, ShapeError
from numbacnn.inspection.cell import WEIGHTED
from numbacnn.normalisation import NUMBERS, RAW_PIXELS
from numbacnn.picture_forms import PHOTOGRAPHS
from numbacnn.play.neighbours import AT_ONCE, Neighbours
from numbacnn.play.player import Player

STRENGTHS = (
    {}, {"rotation": 35.0}, {"light": -0.9}, {"light": -1.0}, {"light": 0.6}, {"bend": -2.5}, {"size": 0.5}, {"size": 1.6},
    {"viewpoint": 0.7},
    {"rotation": -80.0, "light": 0.3, "bend": 1.0, "size": 1.4, "viewpoint": -0.3},
)  # fmt: skip


@pytest.fixture(scope="module")
def player() -> Player:
    return players.player()


@pytest.mark.parametrize("pictures", ["digits", PHOTOGRAPHS])
def test_predict_has_the_same_answer_for_a_saved_picture(pictures: str, tmp_path: Path) -> None:
    network = players.network(players.cnn(), pictures=pictures)
    player = players.player(network)
    save_network(tmp_path / "net.safetensors", network)
    drawing = players.seven(player)
    for index, strengths in enumerate(STRENGTHS):
        (tmp_path / f"{index}.png").write_bytes(player.saved(drawing, strengths))
    files = [tmp_path / f"{index}.png" for index in range(len(STRENGTHS))]
    done = run_here("predict", *files, "--model", tmp_path / "net.safetensors", "--format", "json")
    assert done.code == 0, done.err
    for strengths, predicted in zip(STRENGTHS, json.loads(done.out), strict=True):
        (answer,) = player.answer(drawing, strengths)["networks"]
        assert answer["label"] == str(predicted["label"]), strengths
        assert answer["probabilities"] == predicted["probabilities"], strengths


def test_the_page_gets_the_picture_and_the_steps_that_led_to_it(player: Player) -> None:
    found = player.answer(players.seven(player), {})
    seen = np.frombuffer(base64.b64decode(found["seen"]), np.uint8).reshape(28, 28)
    assert seen.max() == 255
    assert found["steps"][-1] == "centred by mass"
    turned = player.answer(players.seven(player), {"rotation": 90})
    assert turned["seen"] != found["seen"]
    assert turned["steps"] == found["steps"]


def test_every_layer_of_both_networks_is_shown(player: Player) -> None:
    found, about = player.answer(players.seven(player), {}), player.about()
    for network, answer in zip(about["networks"], found["networks"], strict=True):
        assert [layer["name"] for layer in network["layers"]] == [layer["name"] for layer in answer["layers"]]
        for announced, layer in zip(network["layers"], answer["layers"], strict=True):
            assert layer["maps"] == announced["shape"][-1]
            levels = np.frombuffer(base64.b64decode(layer["values"]), np.int8)
            assert len(levels) == np.prod(announced["shape"])
            assert layer["least"] <= layer["mean"] <= layer["greatest"]
            largest = max(abs(layer["least"]), layer["greatest"])
            end = 127 if largest == layer["greatest"] else -127
            assert end in levels
    assert about["networks"][0]["name"] == "cnn"
    assert list(about["sliders"]) == ["rotation", "light", "bend", "size", "viewpoint"]


def test_maps_are_sent_one_after_the_other(player: Player) -> None:
    found = player.answer(players.seven(player), {})
    layer = found["networks"][0]["layers"][0]
    maps = np.frombuffer(base64.b64decode(layer["values"]), np.int8).reshape(3, 28, 28)
    told = player.cell(players.seven(player), {}, 0, "conv1", (9, 12, 2))
    largest = max(abs(layer["least"]), layer["greatest"])
    assert maps[2, 9, 12] / 127 * largest == pytest.approx(told["output"], abs=largest / 254)


def test_a_layer_too_large_for_the_page_is_shown_in_part(player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numbacnn.play.player.MOST_SHOWN", 2 * 28 * 28)
    layers = player.answer(players.seven(player), {})["networks"][0]["layers"]
    assert [layer["maps"] for layer in layers] == [2, 3, 4, 4, 24, 24, 10]


def test_every_kind_of_cell_is_told(player: Player) -> None:
    drawing = players.seven(player)
    for index, graph in enumerate((players.cnn(), players.dense())):
        for node in graph.nodes:
            cell = tuple(side // 2 for side in graph.shapes[node.name])
            told = player.cell(drawing, {"rotation": 10}, index, node.name, cell)
            assert told["reads"] == node.inputs[0]
            if isinstance(node.layer, WEIGHTED):
                assert told["kind"] == "sum"
                assert told["sum"] + told["bias"] == pytest.approx(told["kernel_value"], rel=1e-4, abs=1e-5)
                assert all(term["product"] == term["x"] * term["weight"] for term in told["terms"])
            elif node.name.startswith("pool"):
                values = [term["x"] for term in told["terms"]]
                expected = {"pool1": max(values), "pool2": float(np.mean(values))}[node.name]
                assert told["value"] == pytest.approx(expected, rel=1e-6)
                assert len(values) == 4
            else:
                assert (told["kind"], told["terms"]) == ("value", [])


def test_a_cell_says_which_part_of_the_picture_it_reads(player: Player) -> None:
    drawing = players.seven(player)
    assert player.cell(drawing, {}, 0, "conv1", (0, 27, 0))["image_field"] == ((0, 2), (25, 27))
    assert player.cell(drawing, {}, 0, "pool1", (3, 4, 0))["image_field"] == ((4, 9), (6, 11))
    assert player.cell(drawing, {}, 1, "dense1", (3,))["image_field"] == ((0, 27), (0, 27))


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (ModelError, (2, "conv1", (0, 0, 0))), (ModelError, (0, "conv9", (0, 0, 0))), (ShapeError, (0, "conv1", (0, 0))),
        (ShapeError, (0, "conv1", (28, 0, 0))), (ShapeError, (1, "dense1", (8,))), (ShapeError, (0, "pool1", (0, 0, 99))),
    ],
)  # fmt: skip
def test_a_cell_that_is_not_there_is_refused(player: Player, error: type[Exception], where: tuple) -> None:
    with pytest.raises(error, match="expected"):
        player.cell(players.seven(player), {}, *where)


def test_a_drawing_without_ink_or_of_another_size_is_refused(player: Player) -> None:
    with pytest.raises(DataError, match="blank"):
        player.answer(bytes(280 * 280), {})
    with pytest.raises(DataError, match="drawing: expected 280 x 280 bytes, got 3"):
        player.answer(b"abc", {})
    with pytest.raises(DataError, match="light: expected"):
        player.answer(players.seven(player), {"light": 2})


def test_networks_that_cannot_read_a_drawing_are_refused() -> None:
    import numbacnn as nc

    def net(shape: tuple[int, int, int], classes: int = 10, **fields: object):  # type: ignore[no-untyped-def]
        graph = nc.sequential(nc.Flatten(), nc.Dense(classes, activation="softmax"), input_shape=shape, name="other")
        return players.network(graph, **fields)

    for network, message in (
        (net((28, 28, 3)), "other: takes images of 3 channels; a drawing is grey"),
        (net((28, 28, 1), normalisation=NUMBERS), "other: was trained on floats"),
        (net((1, 2000, 1)), "other: expected images of at most 1000 pixels, got 1 x 2000"),
    ):
        with pytest.raises(ModelError, match=message):
            players.player(network)
    for rival, message in (
        (net((32, 32, 1)), r"other: expected images as cnn takes them, \(28, 28, 1\) and digits, got \(32, 32, 1\)"),
        (net((28, 28, 1), pictures=PHOTOGRAPHS), "other: expected images as cnn takes them"),
        (net((28, 28, 1), classes=3), "other: expected the classes of cnn, 0, 1, 2"),
    ):
        with pytest.raises(ModelError, match=message):
            players.player(players.network(players.cnn()), rival)


def test_networks_of_raw_pixels_and_of_other_sizes_play(tmp_path: Path) -> None:
    import numbacnn as nc

    graph = nc.sequential(nc.Conv2D(2, 3), nc.Flatten(), nc.Dense(3, activation="softmax"), input_shape=(20, 12, 1), name="tall")
    network = players.network(graph, normalisation=RAW_PIXELS)
    player = players.player(network)
    assert player.drawing_size == (280, 168)
    player.warm_up()
    save_network(tmp_path / "net.safetensors", network)
    (tmp_path / "a.png").write_bytes(player.saved(players.seven(player), {"size": 0.6}))
    done = run_here("predict", tmp_path / "a.png", "--model", tmp_path / "net.safetensors", "--format", "json")
    (answer,) = player.answer(players.seven(player), {"size": 0.6})["networks"]
    assert answer["probabilities"] == json.loads(done.out)[0]["probabilities"]


@pytest.mark.parametrize("graph", [players.cnn(), players.dense()], ids=lambda graph: graph.name)
def test_the_nearest_training_image_of_a_training_image_is_itself(graph) -> None:  # type: ignore[no-untyped-def]
    network, ops = players.network(graph), get_ops("cpu")
    first = players.player(network)
    drawing = players.seven(first)
    seen = np.frombuffer(base64.b64decode(first.answer(drawing, {})["seen"]), np.uint8)
    images = np.random.default_rng(1).integers(0, 256, (AT_ONCE + 30, 28, 28, 1), np.uint8)
    images[AT_ONCE + 7, :, :, 0] = seen.reshape(28, 28)
    neighbours = Neighbours(network, ops, images, (np.arange(AT_ONCE + 30) % 10).astype(np.int64))
    player = players.player(network, neighbours=neighbours)
    assert player.answer(drawing, {})["nearest"] == []
    assert player.read_more()
    assert player.answer(drawing, {})["read"] == AT_ONCE
    assert not player.read_more()
    nearest = player.answer(drawing, {})["nearest"]
    assert len(nearest) == 5
    assert nearest[0]["label"] == str((AT_ONCE + 7) % 10)
    assert nearest[0]["distance"] == pytest.approx(0, abs=1e-5)
    assert base64.b64decode(nearest[0]["pixels"]) == seen.tobytes()
    assert [each["distance"] for each in nearest] == sorted(each["distance"] for each in nearest)


def test_training_images_of_another_size_or_class_are_refused() -> None:
    network, ops = players.network(players.dense()), get_ops("cpu")
    with pytest.raises(ShapeError, match="training images: expected shape"):
        Neighbours(network, ops, np.zeros((3, 9, 9, 1), np.uint8), np.zeros(3, np.int64))
    with pytest.raises(DataError, match="training images: expected labels below 10, got 10"):
        Neighbours(network, ops, np.zeros((3, 28, 28, 1), np.uint8), np.full(3, 10))
