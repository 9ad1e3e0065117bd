"""Networks of other programs: what ONNX Runtime computes, numbacnn computes too."""

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra onnx: pip install 'numbacnn[onnx]'")
pytest.importorskip("onnxruntime", reason="compares with onnxruntime: pip install onnxruntime")

from onnx import TensorProto  # noqa: E402
from onnx_graphs import Builder, mobilenet_v2, resnet50, runtime, vgg16  # noqa: E402

from numbacnn.backends import get_ops  # noqa: E402
from numbacnn.network import forward  # noqa: E402
from numbacnn.normalisation import NUMBERS, PIXELS  # noqa: E402
from numbacnn.onnx import Imported, from_model  # noqa: E402
from numbacnn.onnx.values import OUR_AXES  # noqa: E402


def ours(found: Imported, x: np.ndarray) -> np.ndarray:
    """The output of an imported network, in ONNX's axes, for an input in ONNX's axes."""
    batch = x.astype(np.float32) * np.float32(found.normalisation.scale)
    order = [found.input_axes.index(letter) + 1 for letter in OUR_AXES if letter in found.input_axes]
    images = batch.transpose(0, *order).reshape(len(x), *found.graph.input_shape)
    y = forward(found.graph, get_ops("cpu", plain=True), found.parameters, images).y
    return y.transpose(0, *(OUR_AXES.index(letter) + 1 for letter in found.output_axes)) if found.output_axes else y


def check(model: Any, *shape: int, tolerance: float = 1e-4, bytes_: bool = False) -> Imported:
    """Compare with ONNX Runtime on two random images; returns the network."""
    random = np.random.default_rng(1)
    x = random.integers(0, 256, (2, *shape), np.uint8) if bytes_ else random.standard_normal((2, *shape), np.float32)
    found = from_model(model)
    expected = runtime(model, x)
    result = ours(found, x)
    assert result.size == expected.size
    np.testing.assert_allclose(result.reshape(expected.shape), expected, atol=tolerance * max(1, abs(expected).max()))
    return found


def types(found: Imported) -> list[str]:
    return [type(node.layer).__name__ for node in found.graph.nodes]


def test_resnet50_is_imported_and_equals_onnx_runtime() -> None:
    found = check(resnet50(), 3, 64, 64)
    assert (types(found).count("Conv2D"), types(found).count("BatchNorm"), types(found).count("Add")) == (53, 53, 16)
    assert types(found)[-2:] == ["GlobalAvgPool2D", "Dense"]


def test_vgg16_is_imported_and_equals_onnx_runtime() -> None:
    found = check(vgg16(side=64), 3, 64, 64)
    assert (types(found).count("Conv2D"), types(found).count("Dense"), types(found).count("Activation")) == (13, 3, 0)
    assert found.graph.nodes[-1].layer.activation == "softmax"


def test_mobilenet_v2_is_imported_and_equals_onnx_runtime() -> None:
    found = check(mobilenet_v2(), 3, 32, 32)
    assert types(found).count("Conv2D") == 52


def test_activations_of_mobile_networks() -> None:
    for op, name, attributes in (
        ("LeakyRelu", "leaky_relu", {}), ("LeakyRelu", "leaky_relu", {"alpha": 0.2}), ("Elu", "elu", {}), ("HardSwish", "hard_swish", {}),
        ("HardSigmoid", "hard_sigmoid", {"alpha": 1 / 6}),
    ):  # fmt: skip
        b = Builder()
        found = check(b.model(b(op, b.norm(b("LeakyRelu", "x", alpha=0.3), 2), **attributes), (2, 6, 5)), 2, 6, 5)
        assert [getattr(node.layer, "activation", None) for node in found.graph.nodes] == ["leaky_relu", None, name]
    b = Builder()
    x = b("Conv", "x", b.normal(4, 1, 3, 3), group=2, dilations=[2, 1])
    x = b("Mul", x, b("Sigmoid", x))
    x = b("AveragePool", x, kernel_shape=[2, 2], pads=[1, 0, 0, 1], count_include_pad=1)
    assert types(check(b.model(x, (2, 6, 5)), 2, 6, 5)) == ["Conv2D", "AvgPool2D"]


@pytest.mark.parametrize(
    ("size", "attributes"),
    [
        (3, {}),
        (3, {"pads": [1, 1, 1, 1]}),
        (3, {"pads": [0, 1, 2, 3], "strides": [2, 1]}),
        (2, {"auto_pad": "SAME_UPPER"}),
        (4, {"auto_pad": "SAME_LOWER", "strides": [2, 3]}),
        (3, {"auto_pad": "VALID", "strides": [3, 2]}),
    ],
)
def test_a_convolution_with_any_padding(size: int, attributes: dict[str, Any]) -> None:
    b = Builder()
    check(b.model(b.conv("x", 2, 3, size, bias=True, **attributes), (2, 7, 8)), 2, 7, 8)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [2, 2]},
        {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 2, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
        {"kernel_shape": [3, 3], "strides": [3, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
        {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1},
        {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"kernel_shape": [2, 3], "strides": [1, 2], "auto_pad": "SAME_LOWER"},
    ],
)
def test_a_pooling_with_any_padding_and_rounding(op: str, attributes: dict[str, Any]) -> None:
    b = Builder()
    check(b.model(b(op, "x", **attributes), (2, 7, 8)), 2, 7, 8)


@pytest.mark.parametrize("flatten", ["Flatten", "static", "open", "zeros", "shape", "squeeze"])
def test_the_rows_of_a_dense_kernel_behind_any_flattening(flatten: str) -> None:
    b = Builder()
    x = b.conv("x", 2, 3)
    x = {
        "Flatten": lambda: b("Flatten", x),
        "static": lambda: b("Reshape", x, b.array([-1, 36], np.int64)),
        "open": lambda: b("Reshape", x, b.array([0, -1], np.int64)),
        "zeros": lambda: b("Reshape", x, b.array([0, 36], np.int64)),
        "shape": lambda: b.dynamic_flatten(x, 36),
        "squeeze": lambda: b("Squeeze", b("GlobalMaxPool", x), b.array([2, 3], np.int64)),
    }[flatten]()
    check(b.model(b.dense(x, 3 if flatten == "squeeze" else 36, 4), (2, 6, 5)), 2, 6, 5)


def test_flattened_branches_are_joined_and_normalised_in_onnxs_order() -> None:
    b = Builder()
    flat = b("Flatten", b.conv("x", 2, 3))
    joined = b("Concat", flat, b("Flatten", "x"), flat, axis=1)
    count = 2 * 36 + 60
    check(b.model(b.dense(b("Relu", b.norm(joined, count)), count, 4), (2, 6, 5)), 2, 6, 5)


def test_images_with_channels_last_stay_so() -> None:
    b = Builder()
    x = b.conv(b("Transpose", "x", perm=[0, 3, 1, 2]), 2, 3, pads=[1, 1, 1, 1])
    x = b("Concat", b("Transpose", x, perm=[0, 2, 3, 1]), "x", axis=3)
    x = b("Softmax", x, axis=3)
    found = check(b.model(x, (6, 5, 2)), 6, 5, 2)
    assert (found.graph.input_shape, found.input_axes, found.output_axes) == ((6, 5, 2), "hwc", "hwc")
    b = Builder()
    x = b("Reshape", b("Transpose", b.conv("x", 2, 3), perm=[0, 2, 3, 1]), b.array([-1, 36], np.int64))
    assert types(check(b.model(b.dense(x, 36, 4), (2, 6, 5)), 2, 6, 5)) == ["Conv2D", "Flatten", "Dense"]


def test_factors_and_biases_of_their_own_enter_the_kernels_before_them() -> None:
    b = Builder()
    x = b("Add", b("Mul", b.conv("x", 2, 3, bias=True), b.normal(1, 3, 1, 1)), b.normal(3, 1, 1))
    x = b("Relu", b("Div", b("Sub", x, b.array(0.5)), b.array([2.0])))
    x = b("Add", b("MatMul", b("Flatten", x), b.normal(36, 4)), b.normal(4))
    assert types(check(b.model(b("Sub", b.array(1.0), x), (2, 6, 5)), 2, 6, 5)) == ["Conv2D", "Flatten", "Dense"]


def test_numbers_are_taken_as_they_are_and_a_factor_of_the_input_becomes_a_layer() -> None:
    b = Builder()
    scaled = b("Sub", b("Mul", "x", b.array(1 / 255)), b.normal(1, 2, 1, 1))
    found = check(b.model(b.conv(b("Div", scaled, b.normal(2, 1, 1, mean=3)), 2, 3), (2, 6, 5)), 2, 6, 5)
    assert (types(found), found.normalisation) == (["BatchNorm", "Conv2D"], NUMBERS)


@pytest.mark.parametrize(("op", "factor", "expected"), [
    ("Mul", 1 / 255, ["Conv2D"]), ("Div", 255, ["Conv2D"]), ("Mul", 1 / 128, ["BatchNorm", "Conv2D"]), (None, 1, ["BatchNorm", "Conv2D"]),
])  # fmt: skip
def test_bytes_are_pixels(op: str | None, factor: float, expected: list[str]) -> None:
    b = Builder()
    x = b("Cast", "x", to=TensorProto.FLOAT)
    x = b(op, x, b.array(factor)) if op else x
    found = check(b.model(b.conv(x, 2, 3), (2, 6, 5), element=TensorProto.UINT8), 2, 6, 5, bytes_=True)
    assert (types(found), found.normalisation) == (expected, PIXELS)


def test_a_pad_enters_the_convolution_or_the_pooling_behind_it() -> None:
    b = Builder()
    x = b("Pad", "x", b.array([0, 0, 1, 2, 0, 0, 3, 0], np.int64))
    x = b("Relu", b.conv(x, 2, 3, strides=[2, 2], pads=[1, 0, 0, 0]))
    x = b("Pad", x, b.array([1, 1, 1, 1], np.int64), "", b.array([2, 3], np.int64))
    found = check(b.model(b("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2]), (2, 6, 5), opset=18), 2, 6, 5)
    assert types(found) == ["Conv2D", "MaxPool2D"]


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("opset", [17, 18])
def test_a_mean_over_height_and_width(keepdims: int, opset: int) -> None:
    b = Builder()
    x = b.conv("x", 2, 3)
    axes = ([], {"axes": [2, 3]}) if opset == 17 else ([b.array([-1, -2], np.int64)], {})
    x = b("ReduceMean", x, *axes[0], keepdims=keepdims, **axes[1])
    found = check(b.model(b.dense(b("Flatten", x), 3, 4), (2, 6, 5), opset=opset), 2, 6, 5)
    assert types(found) == ["Conv2D", "GlobalAvgPool2D", "Dense"]


def test_clips_that_change_nothing_or_are_a_relu() -> None:
    b = Builder()
    x = b("Clip", b.conv("x", 2, 3), b.array(0.0))
    found = check(b.model(b("Clip", x), (2, 6, 5)), 2, 6, 5)
    assert [node.layer.activation for node in found.graph.nodes] == ["relu"]


def test_weights_are_computed_from_constants_and_of_other_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numbacnn.onnx.importer.FREE_VALUES", 10)
    b = Builder()
    half = b.array(b.random.standard_normal((4, 36)), np.float16)
    kernel = b("Transpose", b("Mul", b("Cast", half, to=TensorProto.FLOAT), b("Constant", value_float=0.5)), perm=[1, 0])
    check(b.model(b("MatMul", b("Flatten", b.conv("x", 2, 3)), kernel), (2, 6, 5)), 2, 6, 5)


def test_vectors_and_grey_images_without_channels() -> None:
    b = Builder()
    x = b("Tanh", b.dense(b("Sigmoid", "x"), 7, 5))
    found = check(b.model(x, (7,)), 7)
    assert (found.graph.input_shape, types(found)) == ((1, 7, 1), ["Activation", "Flatten", "Dense"])
    b = Builder()
    x = b("Unsqueeze", "x", b.array([1], np.int64))
    found = check(b.model(b.conv(x, 1, 3), (6, 5)), 6, 5)
    assert found.graph.input_shape == (6, 5, 1)


def test_nodes_that_nothing_reads_are_left_out_and_names_are_kept() -> None:
    b = Builder()
    b("LSTM", "x", "nothing", "nothing")
    y = b("Identity", b.conv("x", 2, 3))
    b("Shape", y)
    model = b.model(y, (2, 6, 5))
    model.graph.node[1].name = "/features/0/Conv"
    assert [node.name for node in from_model(model).graph.nodes] == ["features.0.Conv"]
