"""A network as an ONNX graph. Convolutions and poolings of ONNX take the channels first; the images stay as numbacnn takes them.

Each value has up to two forms, channels first (n, c, h, w) and channels last (n, h, w, c); a Transpose is written where a layer
needs the form that is not there yet. So the rows of a dense kernel behind a Flatten keep their order.
"""

import json
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from numbacnn.checkpoint import TrainedNetwork
from numbacnn.errors import ModelError
from numbacnn.files import write_atomically
from numbacnn.graph import INPUT, Node
from numbacnn.layers import (
    Activation,
    Add,
    AvgPool2D,
    BatchNorm,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Layer,
    MaxPool2D,
)
from numbacnn.memory import parameter_bytes
from numbacnn.quoting import plain
from numbacnn.shapes import Shape, Window2D, pair
from numbacnn.version import __version__

OPSET = 17
IR_VERSION = 8
"""The oldest that may hold opset 17: any ONNX Runtime that knows the opset reads it."""

MOST_BYTES = 2**31 - 2**22
"""Upper bound of the parameters: a protobuf message holds at most 2 GiB."""

IMAGES = "images"
PROBABILITIES, LOGITS, OUTPUT = "probabilities", "logits", "output"
"""Names of the graph's input and output. All others hold a slash, which no layer's name does."""

FIRST, LAST = "first", "last"
"""The two forms of an image, by the place of the channels. Vectors have the form ``FIRST``."""


def export_network(network: TrainedNetwork, path: Path) -> None:
    """Write a network as an ONNX file; see ``write_atomically``.

    Raises:
        ModelError: a layer has no form in ONNX, or the parameters are more than an ONNX file holds.
        CheckpointError: the file cannot be written; an earlier file is untouched.
    """
    write_atomically(path, to_model(network).SerializeToString(deterministic=True))


def to_model(network: TrainedNetwork) -> onnx.ModelProto:
    """A network as an ONNX model, checked by ``onnx.checker``.

    Its input ``images`` is (n, height, width, channels), of type uint8 for a network of pixels, else float32; n is any number. Its
    output is ``probabilities`` where the graph ends with softmax, else ``logits`` (``output`` where it is no vector), float32.

    Raises:
        ModelError: a layer has no form in ONNX, or the parameters are more than an ONNX file holds.
    """
    graph = network.graph
    if (needed := parameter_bytes(graph)) > MOST_BYTES:
        raise ModelError(
            f"{plain(graph.name)}: expected at most {MOST_BYTES:,} bytes of parameters, which an ONNX file holds, got {needed:,}. "
            "Use fewer units or filters"
        )
    writer = Writer(network)
    for node in graph.nodes:
        _check_fields(node)
        own = {key: network.parameters[f"{node.name}/{key}"] for key in node.layer.parameters(*graph.input_shapes(node))}
        WRITERS[type(node.layer)](writer, node, own)
    return writer.finish()


class Writer:
    """The ONNX nodes written so far, and the forms of each layer's output."""

    def __init__(self, network: TrainedNetwork) -> None:
        self.network, self.graph = network, network.graph
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.forms: dict[str, dict[str, str]] = {INPUT: {LAST: IMAGES}}
        if network.normalisation.dtype == "uint8":
            numbers = self.node("Cast", [IMAGES], "input/numbers", to=TensorProto.FLOAT)
            factor = self.constant("input/scale", np.float32(network.normalisation.scale))
            self.forms[INPUT] = {LAST: self.node("Mul", [numbers, factor], "input/scaled")}

    def node(self, op: str, inputs: list[str], output: str, name: str | None = None, **attributes: Any) -> str:
        """Write a node; returns its output."""
        self.nodes.append(helper.make_node(op, inputs, [output], name or output, **attributes))
        return output

    def constant(self, name: str, values: Any) -> str:
        """Write an array, float32 unless it is of integers; returns its name."""
        array = np.asarray(values)
        array = array if array.dtype.kind == "i" else array.astype(np.float32)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def take(self, name: str, form: str = FIRST) -> str:
        """The output of a layer in a form."""
        forms = self.forms[name]
        if len(self.graph.shapes[name]) == 1:
            return forms[FIRST]
        if form not in forms:
            perm = [0, 3, 1, 2] if form == FIRST else [0, 2, 3, 1]
            (other,) = forms.values()
            forms[form] = self.node("Transpose", [other], f"{name}/channels_{form}", perm=perm)
        return forms[form]

    def take_any(self, name: str) -> tuple[str, str]:
        """The output of a layer, and its form, for a layer that reads both."""
        form = next(iter(self.forms[name]))
        return self.forms[name][form], form

    def put(self, node: Node, value: str, activation: str | None = None, form: str = FIRST) -> None:
        """Note the output of a layer, after its activation."""
        if activation is not None:
            channels = 1 if form == FIRST else len(self.graph.shapes[node.name])
            value = _writer_of(node, activation)(self, node.layer, value, f"{node.name}/{activation}", channels)
            if isinstance(node.layer, Activation):
                self.nodes[-1].name = node.name
        self.forms[node.name] = {form: value}

    def finish(self) -> onnx.ModelProto:
        """The model."""
        last, shape = self.graph.nodes[-1], self.graph.output_shape
        name = OUTPUT if len(shape) > 1 else PROBABILITIES if getattr(last.layer, "activation", None) == "softmax" else LOGITS
        self.node("Identity", [self.take(last.name, LAST)], name)
        self._drop_identity(name)
        element = TensorProto.UINT8 if self.network.normalisation.dtype == "uint8" else TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            self.graph.name,
            [helper.make_tensor_value_info(IMAGES, element, ["n", *self.graph.input_shape])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])],
            self.constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="numbacnn",
            producer_version=__version__,
        )
        helper.set_model_props(model, {
            "class_names": json.dumps(list(self.network.class_names)),
            "pictures": self.network.pictures,
            "layout": "NHWC",
            "normalisation": json.dumps(self.network.normalisation.to_dict()),
            "training": json.dumps(dict(self.network.summary)),
        })  # fmt: skip
        onnx.checker.check_model(model)
        return model

    def _drop_identity(self, name: str) -> None:
        """Give the output's name to the value itself, where a node made it and no other reads it."""
        value = self.nodes[-1].input[0]
        makers = [node for node in self.nodes[:-1] if value in node.output]
        if makers and not any(value in node.input for node in self.nodes[:-1]):
            self.nodes.pop()
            makers[0].output[0] = name


def _conv2d(writer: Writer, node: Node, own: dict[str, NDArray[Any]]) -> None:
    assert isinstance(node.layer, Conv2D)
    _conv(writer, node, own, own["kernel"], getattr(node.layer, "groups", 1))


def _depthwise_conv2d(writer: Writer, node: Node, own: dict[str, NDArray[Any]]) -> None:
    rows, columns, channels, multiplier = own["kernel"].shape
    _conv(writer, node, own, own["kernel"].reshape(rows, columns, 1, channels * multiplier), channels)


def _conv(writer: Writer, node: Node, own: dict[str, NDArray[Any]], kernel: NDArray[Any], groups: int) -> None:
    """A convolution; each filter of the kernel (rows, columns, depth, filters) sees the channels of its group."""
    layer: Any = node.layer
    window = layer.window(*writer.graph.input_shapes(node))
    arrays = [writer.constant(f"{node.name}/kernel", kernel.transpose(3, 2, 0, 1))]
    arrays += [writer.constant(f"{node.name}/bias", own["bias"])] if layer.use_bias else []
    dilations = list(pair(getattr(layer, "dilation_rate", 1), "dilation_rate"))
    value = writer.node(
        "Conv",
        [writer.take(node.inputs[0]), *arrays],
        f"{node.name}/z",
        node.name,
        group=groups,
        dilations=dilations,
        **_window(window),
    )
    writer.put(node, value, layer.activation)


def _dense(writer: Writer, node: Node, own: dict[str, NDArray[Any]]) -> None:
    layer = node.layer
    assert isinstance(layer, Dense)
    arrays = [writer.constant(f"{node.name}/{key}", array) for key, array in own.items()]
    value = writer.node("Gemm", [writer.take(node.inputs[0]), *arrays], f"{node.name}/z", node.name)
    writer.put(node, value, layer.activation)


def _pool(op: str) -> "LayerWriter":
    def write(writer: Writer, node: Node, own: dict[str, NDArray[Any]]) -> None:
        window = node.layer.window(*writer.graph.input_shapes(node))
        assert window is not None
        counts = {"count_include_pad": 1} if getattr(node.layer, "count_include_pad", False) else {}
        inputs = [writer.take(node.inputs[0])]
        writer.put(node, writer.node(op, inputs, f"{node.name}/y", node.name, **_window(window), **counts))

    return write


def _global_mean(writer: Writer, node: Node, own: dict[str, NDArray[Any]]) -> None:
    means = writer.node("GlobalAveragePool", [writer.take(node.inputs[0])], f"{node.name}/means", node.name)
    writer.put(node, writer.node("Flatten", [means], f"{node.name}/y", axis=1))


def _flatten(writer: Writer, node: Node, own: dict[str, NDArray[Any]]) -> None:
    writer.put(node, writer.node("Flatten", [writer.take(node.inputs[0], LAST)], f"{node.name}/y", node.name, axis=1))


def _dropout(writer: Writer, node: Node, own: dict[str, NDArray[Any]]) -> None:
    writer.forms[node.name] = writer.forms[node.inputs[0]]  # the identity, in prediction


def _batch_norm(writer: Writer, node: Node, own: dict[str, NDArray[Any]]) -> None:
    layer = node.layer
    assert isinstance(layer, BatchNorm)
    mean = own["moving_mean"]
    all_four = {"gamma": np.ones_like(mean), "beta": np.zeros_like(mean)} | own
    keys = ("gamma", "beta", "moving_mean", "moving_variance")
    arrays = [writer.constant(f"{node.name}/{key}", all_four[key]) for key in keys]
    inputs = [writer.take(node.inputs[0]), *arrays]
    value = writer.node("BatchNormalization", inputs, f"{node.name}/y", node.name, epsilon=layer.epsilon, momentum=layer.momentum)
    writer.put(node, value)


def _activation(writer: Writer, node: Node, own: dict[str, NDArray[Any]]) -> None:
    assert isinstance(node.layer, Activation)
    value, form = writer.take_any(node.inputs[0])
    writer.put(node, value, node.layer.activation, form)


def _add(writer: Writer, node: Node, own: dict[str, NDArray[Any]]) -> None:
    value, *others = (writer.take(name) for name in node.inputs)
    for index, other in enumerate(others, 1):
        value = writer.node("Add", [value, other], f"{node.name}/sum{index}", node.name if index == 1 else None)
    writer.put(node, value)


def _concatenate(writer: Writer, node: Node, own: dict[str, NDArray[Any]]) -> None:
    inputs = [writer.take(name) for name in node.inputs]
    writer.put(node, writer.node("Concat", inputs, f"{node.name}/y", node.name, axis=1))


LayerWriter = Callable[[Writer, Node, dict[str, NDArray[Any]]], None]

WRITERS: dict[type[Layer], LayerWriter] = {
    Activation: _activation,
    Add: _add,
    AvgPool2D: _pool("AveragePool"),
    BatchNorm: _batch_norm,
    Concatenate: _concatenate,
    Conv2D: _conv2d,
    Dense: _dense,
    DepthwiseConv2D: _depthwise_conv2d,
    Dropout: _dropout,
    Flatten: _flatten,
    GlobalAvgPool2D: _global_mean,
    MaxPool2D: _pool("MaxPool"),
}
"""How each layer is written, given its parameters by key."""

POOL_FIELDS = {"pool_size", "strides", "padding"}
CONV_FIELDS = {"kernel_size", "strides", "padding", "dilation_rate", "activation", "use_bias", "kernel_initializer"}
WRITTEN: dict[type[Layer], set[str]] = {
    Activation: {"activation", "negative_slope"},
    AvgPool2D: POOL_FIELDS | {"count_include_pad"},
    BatchNorm: {"momentum", "epsilon", "center", "scale"},
    Conv2D: CONV_FIELDS | {"filters", "groups"},
    Dense: {"units", "activation", "use_bias", "kernel_initializer"},
    DepthwiseConv2D: CONV_FIELDS | {"depth_multiplier"},
    Dropout: {"rate"},
    MaxPool2D: POOL_FIELDS,
}
"""The fields that the writer of a layer knows. A layer that sets another field is refused rather than written without it."""

ActivationWriter = Callable[[Writer, Layer, str, str, int], str]


def _one_node(op: str, **attributes: Any) -> ActivationWriter:
    return lambda writer, layer, value, name, channels: writer.node(op, [value], name, **attributes)


def _leaky_relu(writer: Writer, layer: Layer, value: str, name: str, channels: int) -> str:
    usual = {f.name: f.default for f in fields(Activation)}["negative_slope"]
    return writer.node("LeakyRelu", [value], name, alpha=getattr(layer, "negative_slope", usual))


def _relu6(writer: Writer, layer: Layer, value: str, name: str, channels: int) -> str:
    return writer.node("Clip", [value, writer.constant(f"{name}/low", 0.0), writer.constant(f"{name}/high", 6.0)], name)


def _silu(writer: Writer, layer: Layer, value: str, name: str, channels: int) -> str:
    return writer.node("Mul", [value, writer.node("Sigmoid", [value], f"{name}/sigmoid")], name)


ACTIVATION_WRITERS: dict[str, ActivationWriter] = {
    "relu": _one_node("Relu"),
    "sigmoid": _one_node("Sigmoid"),
    "tanh": _one_node("Tanh"),
    "softmax": lambda writer, layer, value, name, channels: writer.node("Softmax", [value], name, axis=channels),
    "relu6": _relu6,
    "silu": _silu,
    "hard_swish": _one_node("HardSwish"),
    "leaky_relu": _leaky_relu,
    "elu": _one_node("Elu", alpha=1.0),
    "hard_sigmoid": _one_node("HardSigmoid", alpha=1 / 6, beta=0.5),
}
"""How each activation is written, given its layer, its input, the name of its output and the axis of the channels."""


def _writer_of(node: Node, activation: str) -> ActivationWriter:
    if activation not in ACTIVATION_WRITERS:
        raise ModelError(
            f"{plain(node.name)}: expected one of the activations {', '.join(ACTIVATION_WRITERS)}, which are written to ONNX files, got "
            f"{activation}. Export the network to a .npz file"
        )
    return ACTIVATION_WRITERS[activation]


def _check_fields(node: Node) -> None:
    """Raise ModelError where the layer, or a field that it sets, cannot be written."""
    layer = node.layer
    written = WRITTEN.get(type(layer), set())
    others = [f for f in fields(layer) if f.name not in written]  # type: ignore[arg-type]
    lacking = [f.name for f in others if f.default is MISSING or getattr(layer, f.name) != f.default]
    if type(layer) not in WRITERS or lacking:
        raise ModelError(
            f"{plain(node.name)}: expected a layer that is written to ONNX files, got {type(layer).__name__}"
            f"{' with ' + ', '.join(lacking) if lacking else ''}. Export the network to a .npz file"
        )


def _window(window: Window2D) -> dict[str, Any]:
    """The attributes of a convolution or pooling."""
    rows, columns = window
    sides: Shape = (rows.pad_before, columns.pad_before, rows.pad_after, columns.pad_after)
    return {"kernel_shape": [rows.kernel, columns.kernel], "strides": [rows.stride, columns.stride], "pads": list(sides)}
