"""Exported networks: ONNX Runtime computes what numbacnn computes, and back again they are the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra onnx: pip install 'numbacnn[onnx]'")

import numbacnn as nc  # noqa: E402
from numbacnn.backends import get_ops  # noqa: E402
from numbacnn.checkpoint import TrainedNetwork  # noqa: E402
from numbacnn.datasets.arrays import numbered_names  # noqa: E402
from numbacnn.errors import CheckpointError, ModelError  # noqa: E402
from numbacnn.export import export  # noqa: E402
from numbacnn.graph import Graph  # noqa: E402
from numbacnn.initializers import initial_parameters  # noqa: E402
from numbacnn.layers import LAYERS  # noqa: E402
from numbacnn.layers.activation import ACTIVATIONS  # noqa: E402
from numbacnn.models import PRESETS  # noqa: E402
from numbacnn.network import forward  # noqa: E402
from numbacnn.normalisation import NUMBERS, PIXELS, RAW_PIXELS, Normalisation  # noqa: E402
from numbacnn.onnx import export_network, from_model, import_network, to_model  # noqa: E402
from numbacnn.onnx.exporter import ACTIVATION_WRITERS, WRITERS, WRITTEN  # noqa: E402


def network(graph: Graph, normalisation: Normalisation = PIXELS) -> TrainedNetwork:
    """A network with random parameters, statistics of batch normalisations among them."""
    random, parameters = np.random.default_rng(3), initial_parameters(graph, 0)
    for name, array in parameters.items():
        if name.endswith(("/bias", "/beta", "/moving_mean")):
            array[...] = random.normal(0, 0.5, array.shape)
        elif name.endswith(("/gamma", "/moving_variance")):
            array[...] = random.uniform(0.5, 2, array.shape)
    names = numbered_names(graph.output_shape[0]) if len(graph.output_shape) == 1 else ()
    return TrainedNetwork(graph, parameters, names, {"dataset": "digits"}, normalisation)


def output(found: Any, x: np.ndarray) -> np.ndarray:
    images = x.astype(np.float32) * np.float32(found.normalisation.scale)
    return forward(found.graph, get_ops("cpu", plain=True), found.parameters, images).y


def check(graph: Graph, normalisation: Normalisation = PIXELS) -> onnx.ModelProto:
    """Export, compare with ONNX Runtime, import, compare with ourselves."""
    pytest.importorskip("onnxruntime", reason="compares with onnxruntime: pip install onnxruntime")
    from onnx_graphs import runtime

    random = np.random.default_rng(1)
    shape = (3, *graph.input_shape)
    x = random.integers(0, 256, shape, np.uint8) if normalisation.dtype == "uint8" else random.standard_normal(shape, np.float32)
    ours = network(graph, normalisation)
    model = to_model(ours)
    onnx.checker.check_model(model, full_check=True)
    expected = output(ours, x)
    result = runtime(model, x, "images")
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=1e-5 * max(1, abs(expected).max()))
    back = from_model(model)
    assert back.normalisation == (PIXELS if normalisation == RAW_PIXELS else normalisation), "the weights take up the factor"
    np.testing.assert_allclose(output(back, x), expected, atol=1e-5 * max(1, abs(expected).max()))
    return model


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_equals_onnx_runtime_and_comes_back_the_same(name: str) -> None:
    model = check(PRESETS[name].graph)
    assert (model.opset_import[0].version, model.ir_version) == (17, 8)
    assert [each.name for each in model.graph.output] == ["output" if name == "cs231n" else "probabilities"]
    sides = model.graph.input[0].type.tensor_type.shape.dim
    assert [side.dim_param or side.dim_value for side in sides] == ["n", *PRESETS[name].graph.input_shape]
    kept = [(node.name, type(node.layer)) for node in PRESETS[name].graph.nodes if not isinstance(node.layer, nc.Dropout)]
    assert [(node.name, type(node.layer)) for node in from_model(model).graph.nodes] == kept


LAYERS_AND_FIELDS: dict[str, list[Any]] = {
    "explicit pads": [nc.Conv2D(3, (2, 3), strides=(2, 1), padding=((0, 2), (3, 1)), activation="tanh")],
    "same with strides": [nc.Conv2D(3, 4, strides=(3, 2), padding="same", use_bias=False)],
    "window as large as the stride": [nc.Conv2D(3, 1, strides=4, padding="same", activation="sigmoid")],
    "max of pads": [nc.MaxPool2D((3, 2), strides=2, padding=((1, 2), (0, 1)))],
    "max same": [nc.MaxPool2D(3, strides=2, padding="same")],
    "mean without pads": [nc.AvgPool2D((3, 2), strides=(1, 2), padding=((2, 1), (1, 0)))],
    "mean same": [nc.AvgPool2D(3, strides=2, padding="same")],
    "global mean": [nc.GlobalAvgPool2D(), nc.Dense(3, use_bias=False)],
    "flattened": [nc.Conv2D(3, 3), nc.Flatten(), nc.Dense(4, activation="tanh"), nc.Activation("softmax")],
    "first flattened, then normalised": [nc.Flatten(), nc.BatchNorm(epsilon=0.1), nc.Dense(4)],
    "normalised images": [nc.BatchNorm(momentum=0.5), nc.Activation("relu"), nc.Conv2D(2, 2), nc.BatchNorm()],
    "dropout": [nc.Dropout(0.5), nc.Conv2D(2, 2, activation="softmax"), nc.Dropout(0.0), nc.Activation("softmax")],
    "softmax of pixels": [nc.Activation("softmax"), nc.Flatten(), nc.Activation("sigmoid"), nc.Dropout(0.1)],
}


@pytest.mark.parametrize("normalisation", [PIXELS, RAW_PIXELS, NUMBERS], ids=["pixels", "raw pixels", "numbers"])
@pytest.mark.parametrize("layers", LAYERS_AND_FIELDS.values(), ids=LAYERS_AND_FIELDS)
def test_every_layer_and_field(layers: list[Any], normalisation: Normalisation) -> None:
    check(nc.sequential(*layers, input_shape=(7, 8, 3)), normalisation)


def test_gaps_groups_and_padding_that_counts() -> None:
    depthwise = nc.DepthwiseConv2D(3, depth_multiplier=2, dilation_rate=2, padding="same", activation="relu6")  # type: ignore[attr-defined]
    groups = nc.Conv2D(6, (1, 2), groups=3, strides=2, activation="leaky_relu")  # type: ignore[call-arg]
    slope = nc.Activation("leaky_relu", negative_slope=0.5)  # type: ignore[call-arg]
    means = nc.AvgPool2D(2, padding=((1, 1), (0, 1)), count_include_pad=True)  # type: ignore[call-arg]
    norms = [nc.BatchNorm(center=False), nc.BatchNorm(scale=False)]  # type: ignore[call-arg]
    check(nc.sequential(depthwise, *norms, groups, slope, means, input_shape=(7, 8, 3)))


def test_branches_of_images_and_of_vectors() -> None:
    check(nc.build_graph("net", (6, 5, 2), [
        ("a", nc.Conv2D(3, 3, padding="same"), None), ("b", nc.Conv2D(3, 1, activation="relu"), ["input"]),
        ("sum", nc.Add(), ["a", "b", "a"]), ("both", nc.Concatenate(), ["sum", "input", "b"]),
        ("flat", nc.Flatten(), None), ("mean", nc.GlobalAvgPool2D(), ["both"]), ("all", nc.Concatenate(), ["flat", "mean", "mean"]),
        ("norm", nc.BatchNorm(), None), ("head", nc.Dense(4, activation="softmax"), None),
    ]))  # fmt: skip


def test_every_layer_has_a_form_and_every_activation_that_has_none_is_refused() -> None:
    assert WRITERS.keys() >= {LAYERS[name] for name in ("Conv2D", "MaxPool2D", "AvgPool2D", "GlobalAvgPool2D", "Flatten", "Dense",
                                                        "Dropout", "BatchNorm", "Activation", "Add", "Concatenate")}  # fmt: skip
    assert WRITTEN.keys() <= WRITERS.keys()
    for activation in ACTIVATIONS:
        graph = nc.sequential(nc.Activation(activation), nc.Flatten(), nc.Dense(2), input_shape=(2, 2, 1))
        if activation in ACTIVATION_WRITERS:
            check(graph, NUMBERS)
        else:
            with pytest.raises(ModelError, match=f"activation1: expected one of the activations .* got {activation}"):
                to_model(network(graph))


def test_a_field_that_the_file_cannot_hold_is_refused_and_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WRITTEN, nc.Conv2D, WRITTEN[nc.Conv2D] - {"strides"})
    with pytest.raises(ModelError, match="conv1: expected a layer that is written to ONNX files, got Conv2D with strides"):
        to_model(network(nc.sequential(nc.Conv2D(2, 2, strides=2), input_shape=(4, 4, 1))))


def test_class_names_and_the_report_of_the_training_come_back(tmp_path: Path) -> None:
    ours = network(nc.sequential(nc.Flatten(), nc.Dense(2, activation="softmax"), input_shape=(2, 2, 1)))
    ours = TrainedNetwork(ours.graph, ours.parameters, ("cat", "dog"), {"dataset": "pets"}, ours.normalisation)
    path = tmp_path / "net.onnx"
    export_network(ours, path)
    properties = {each.key: each.value for each in onnx.load(path).metadata_props}
    assert json.loads(properties["class_names"]) == ["cat", "dog"]
    back = import_network(path)
    assert (back.graph, back.class_names, back.summary) == (ours.graph, ("cat", "dog"), {"dataset": "pets"})
    assert all(np.array_equal(back.parameters[name], array) for name, array in ours.parameters.items())
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"class_names": '["cat", "cat"]', "training": '{"recipe": 7}'})
    onnx.save(model, path)
    back = import_network(path)
    assert (back.class_names, back.summary) == (("0", "1"), {"imported_from": "net.onnx"})


def test_a_net_is_exported_and_loaded_from_python(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 4, 4), np.uint8)
    graph = nc.sequential(nc.Flatten(), nc.Dense(2, activation="softmax"), input_shape=(4, 4, 1))
    net = nc.fit(graph, images, np.where(images.mean(axis=(1, 2)) > 127, "light", "dark"), epochs=1, progress=False)
    net.export(tmp_path / "net.onnx")
    assert np.array_equal(nc.load(tmp_path / "net.onnx").predict_proba(images), net.predict_proba(images))
    net.export(str(tmp_path / "net.npz"))
    with np.load(tmp_path / "net.npz") as arrays:
        assert {name: arrays[name].tobytes() for name in arrays} == {
            name: array.tobytes() for name, array in net.parameters.items()
        }
    with pytest.raises(ModelError, match=r"expected a name that ends in \.onnx or \.npz"):
        net.export(tmp_path / "net.h5")


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, path = network(PRESETS["xo"].graph), tmp_path / "net.onnx"
    export_network(ours, path)
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    for name in ("net.onnx", "net.npz"):
        with pytest.raises(CheckpointError, match="No space left on device"):
            export(ours, tmp_path / name)
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("net.onnx", before)]


def test_parameters_that_no_onnx_file_holds_are_refused_before_they_are_made() -> None:
    graph = nc.sequential(nc.Flatten(), nc.Dense(10**6), input_shape=(1, 1000, 1))
    with pytest.raises(ModelError, match="expected at most 2,143,289,344 bytes of parameters, which an ONNX file holds"):
        to_model(TrainedNetwork(graph, {}, (), {}))
