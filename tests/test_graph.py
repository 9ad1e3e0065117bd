"""Graphs: how they are built, checked, written and read."""

import tomllib
from pathlib import Path

import pytest

import numbacnn as nc
from numbacnn.config import read_model_file, write_model_file
from numbacnn.graph import graph_from_dict, graph_to_dict, without_softmax
from numbacnn.models import PRESETS, preset

NET = """
name = "net"
input_shape = [8, 8, 1]

[[layers]]
type = "Conv2D"
filters = 4
kernel_size = [3, 2]
padding = [[1, 1], [0, 1]]

[[layers]]
type = "Conv2D"
name = "side"
filters = 4
kernel_size = 1
inputs = ["input"]

[[layers]]
type = "Add"
inputs = ["conv1", "side"]

[[layers]]
type = "Flatten"

[[layers]]
type = "Dense"
units = 3
activation = "softmax"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "net.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_sequential_names_layers_by_kind_and_number() -> None:
    graph = PRESETS["cnn"].graph
    assert [node.name for node in graph.nodes] == ["conv1", "pool1", "conv2", "pool2", "flatten1", "dense1", "dense2"]
    assert graph.output_shape == (10,)


def test_a_shape_error_names_the_layer() -> None:
    with pytest.raises(nc.ShapeError, match=r"^conv2: a window of 5 does not fit 4 cells"):
        nc.sequential(nc.Conv2D(4, 5), nc.Conv2D(4, 5), input_shape=(8, 8, 1))


def test_dense_on_an_image_asks_for_flatten() -> None:
    with pytest.raises(nc.ShapeError, match=r"dense1: .*\(8, 8, 1\).*Flatten.*GlobalAvgPool2D"):
        nc.sequential(nc.Dense(3), input_shape=(8, 8, 1))


def test_a_branch_is_two_nodes_that_read_one(tmp_path: Path) -> None:
    graph, _ = read_model_file(write(tmp_path, NET))
    assert graph.shapes["add1"] == (8, 8, 4)
    assert graph.nodes[2].inputs == ("conv1", "side")


def test_a_model_file_round_trips(tmp_path: Path) -> None:
    graph, _ = read_model_file(write(tmp_path, NET))
    assert graph_from_dict(tomllib.loads(write_model_file(graph))) == graph


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_round_trips_through_toml_and_plain_values(name: str) -> None:
    graph = PRESETS[name].graph
    assert graph.name == name
    assert graph_from_dict(tomllib.loads(write_model_file(graph))) == graph
    assert graph_from_dict(graph_to_dict(graph)) == graph


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("filters = 4", "filter = 4", r"unknown key 'filter'\. Did you mean 'filters'\?"),
        ("filters = 4", "filters = 0", "filters: expected a whole number from 1 to 10,000,000, got 0"),
        ("filters = 4", 'filters = "4"', "filters: expected a whole number"),
        ("filters = 4", "", "'filters' is missing"),
        ('type = "Add"', 'type = "Sum"', "type: expected one of"),
        ('type = "Dense"', 'type = "Desne"', "Did you mean 'Dense'"),
        ('"conv1", "side"', '"conv1", "sdie"', "Did you mean 'side'"),
        ('"conv1", "side"', '"conv1"', "Add expected at least 2 input"),
        ('name = "side"', 'name = "conv1"', "one that is taken"),
        ('name = "side"', 'name = "../x"', "without slashes"),
        ("units = 3", "units = 3\nactivation2 = 1", "unknown key 'activation2'"),
        ('activation = "softmax"', 'activation = "sofmax"', "activation: expected one of relu"),
        ("input_shape = [8, 8, 1]", "input_shape = [8, 8]", "input_shape: expected"),
        ("input_shape = [8, 8, 1]", "", "'input_shape' is missing"),
        ("[[layers]]", "[layers]", "not valid TOML"),
        ("kernel_size = [3, 2]", "kernel_size = [30, 2]", "does not fit"),
        ("kernel_size = 1", "kernel_size = 1\nstrides = 2", "expected inputs of one shape"),
        ('type = "Add"', 'type = ["Add"]', "type: expected one of"),
        ('name = "net"', 'name = "../../net"', "without slashes"),
        ("units = 3", "units = " + "9" * 4000, "from 1 to 10,000,000, got a number of"),
        ("units = 3", "units = " + "9" * 6000, "not a model file"),
        ("inputs = [\"input\"]", "inputs = \"input\"", "inputs: expected a list"),
    ],
)  # fmt: skip
def test_a_wrong_model_file_says_where_and_what(tmp_path: Path, old: str, new: str, expected: str) -> None:
    path = write(tmp_path, NET.replace(old, new, 1))
    with pytest.raises((nc.ModelError, nc.ShapeError), match=expected) as error:
        read_model_file(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"= 3", b"layers = " + b"[" * 5000, b"layers = 3\ninput_shape = [1,1,1]", b""]
)
def test_a_file_of_another_kind_is_a_model_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.toml"
    path.write_bytes(content)
    with pytest.raises(nc.ModelError, match=r"net\.toml"):
        read_model_file(path)


def test_a_missing_model_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(nc.ModelError, match="cannot be read"):
        read_model_file(tmp_path / "none.toml")


def test_a_layer_without_a_reader_is_refused() -> None:
    with pytest.raises(nc.ModelError, match="conv1: no later layer reads it"):
        nc.build_graph("net", (8, 8, 1), [(None, nc.Conv2D(4, 3), None), (None, nc.Flatten(), ["input"])])


def test_an_unknown_preset_is_an_error_that_lists_the_presets() -> None:
    with pytest.raises(nc.ModelError, match=r"Did you mean 'cnn'\?.*sigmoid5"):
        preset("cnm")


def test_without_softmax_keeps_the_parameters_and_drops_the_softmax() -> None:
    graph = PRESETS["dense128"].graph
    logits = without_softmax(graph)
    assert logits.nodes[-1].layer == nc.Dense(10)
    assert list(logits.parameters) == list(graph.parameters)
    separate = nc.sequential(nc.Flatten(), nc.Dense(3), nc.Activation("softmax"), input_shape=(2, 2, 1))
    assert without_softmax(separate).nodes[-1].name == "dense1"
    assert without_softmax(logits) == logits


@pytest.mark.parametrize(
    "make",
    [
        lambda: nc.Dropout(1.0),
        lambda: nc.Dropout(-0.1),
        lambda: nc.Dropout(float("nan")),
        lambda: nc.BatchNorm(epsilon=0),
        lambda: nc.BatchNorm(momentum=1.5),
        lambda: nc.Dense(0),
        lambda: nc.Dense(3, use_bias="yes"),
        lambda: nc.Dense(3, kernel_initializer="he"),
        lambda: nc.Activation("swish"),
        lambda: nc.Conv2D(3, 3, activation="Relu"),
    ],
)
def test_a_layer_refuses_invalid_fields(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(nc.ModelError):
        make()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("Dense", r"got the text 'Dense'\. Make a layer: Dense\(\.\.\.\)"), ("dense", "got 'dense'"),
        (nc.Dense, r"got the class Dense\. Make a layer of it: Dense\(\.\.\.\)"), (nc.Flatten, "got the class Flatten"),
        (int, "got <class 'int'>"), (None, "got None"), (3, "got 3"),
        ([nc.Flatten(), nc.Dense(3)], r"got a list\. Give the layers one by one"),
        (("a", nc.Flatten(), 3), "got a tuple"), (("a", "Dense"), "got the text 'Dense'"), (lambda: nc.Dense(3), "got <function"),
    ],
)  # fmt: skip
def test_a_text_or_a_class_in_the_place_of_a_layer_is_refused(layer: object, message: str) -> None:
    with pytest.raises(nc.ModelError, match=rf"^layer 2: expected a layer, {message}"):
        nc.sequential(nc.Flatten(), layer, input_shape=(28, 28, 1))  # type: ignore[arg-type]
    node = nc.Node("dense1", layer, ("input",))  # type: ignore[arg-type]
    with pytest.raises(nc.ModelError, match=r"^dense1: expected a layer, got"):
        nc.Graph("net", (3, 3, 1), (node,))


@pytest.mark.parametrize("shape", [None, 3, "28,28,1", (28, 28), (28, 28, 0), (28, 28, True), (28.0, 28, 1), [], {28, 1}])
def test_an_input_shape_that_is_none_is_refused(shape: object) -> None:
    with pytest.raises(nc.ModelError, match=r"^input_shape: expected \[height, width, channels\]"):
        nc.sequential(nc.Flatten(), input_shape=shape)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [3, ["a"], b"a", "a/b", ".a", "a\n"])
def test_a_layers_name_that_is_no_plain_text_is_refused(name: object) -> None:
    given = (name, nc.Flatten())
    with pytest.raises(nc.ModelError, match=r"^layer name: expected printable text"):
        nc.sequential(given, input_shape=(2, 2, 1))  # type: ignore[arg-type]
