"""ONNX Runtime: inference of a model built here, images (n, 1, h, w) as float32 that are ready, every graph optimisation on."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from protocol import (
    Network,
    Session,
    as_floats,
    channels_first,
    main,
    noise,
    read_check,
    read_network,
    repeat,
    same_padding,
    unsupported,
)

OPSET, IR_VERSION = 17, 8
"""Old enough for every ONNX Runtime of the last years."""


def open_work(request: dict[str, Any]) -> Session:
    """Get ready for a piece of work."""
    work = request["work"]
    network = read_network(request["folder"], work["model"])
    check = read_check(request["folder"], work["model"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request["threads"]
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    model = build(network, channels_first(network, check.parameters))
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(x: np.ndarray) -> np.ndarray:
        return session.run(None, {"images": x})[0]

    difference = float(np.abs(run(nchw(check.images)) - check.logits).max())
    x = nchw(noise(work["batch"])[0])
    repeat(lambda: run(x), 3)
    versions = {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__, "numpy": np.__version__}
    return Session(lambda count: repeat(lambda: run(x), count), versions, difference)


def nchw(images: np.ndarray) -> np.ndarray:
    """Pixels (n, h, w, c) as float32 (n, c, h, w)."""
    return np.ascontiguousarray(as_floats(images).transpose(0, 3, 1, 2))


def build(network: Network, parameters: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The same layers as an ONNX graph from ``images`` to logits."""
    nodes: list[onnx.NodeProto] = []
    last = "images"

    def add(operator: str, name: str, inputs: list[str], **attributes: Any) -> None:
        nonlocal last
        nodes.append(helper.make_node(operator, [last, *inputs], [name], name=name, **attributes))
        last = name

    for layer in network.layers:
        name = layer["name"]
        own = [key for key in parameters if key.startswith(f"{name}/")]
        if layer["type"] == "Conv2D":
            pads = [same_padding(layer)] * 4
            add("Conv", name, own, kernel_shape=layer["kernel_size"], strides=layer["strides"], pads=pads)
        elif layer["type"] == "MaxPool2D" and layer["padding"] == "valid":
            add("MaxPool", name, [], kernel_shape=layer["pool_size"], strides=layer["strides"])
        elif layer["type"] == "Flatten":
            add("Flatten", name, [])
        elif layer["type"] == "Dense":
            add("Gemm", name, own, transB=1)
        elif layer["type"] != "Dropout":
            raise unsupported(layer)
        if layer.get("activation") == "relu":
            add("Relu", f"{name}_relu", [])
        elif layer.get("activation"):
            raise unsupported(layer)
    height, width, channels = network.layers[0]["input_shape"]
    graph = helper.make_graph(
        nodes, "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", channels, height, width])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", network.layers[-1]["units"]])],
        [numpy_helper.from_array(array, name) for name, array in parameters.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    main(open_work)
