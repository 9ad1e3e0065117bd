"""ONNX graphs as other programs write them, channels first, with random weights; and what ONNX Runtime makes of them."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class Builder:
    """A graph under construction: each call adds a node and returns the name of its output."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.arrays: list[onnx.TensorProto] = []

    def array(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"w{len(self.arrays)}"
        self.arrays.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def normal(self, *shape: int, spread: float = 1.0, mean: float = 0.0) -> str:
        return self.array(mean + spread * self.random.standard_normal(shape, np.float32))

    def __call__(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        number = len(self.nodes)
        names = [f"v{number}"] + [f"v{number}_{i}" for i in range(1, outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, f"{op.lower()}_{number}", **attributes))
        return names[0]

    def conv(
        self, x: str, channels: int, filters: int, size: int = 3, *, bias: bool = False, group: int = 1, **attributes: Any
    ) -> str:
        fan_in = channels // group * size * size
        kernel = self.normal(filters, channels // group, size, size, spread=(2 / fan_in) ** 0.5)
        more = [self.normal(filters, spread=0.1)] if bias else []
        return self("Conv", x, kernel, *more, kernel_shape=[size, size], **({"group": group} if group != 1 else {}), **attributes)

    def norm(self, x: str, channels: int) -> str:
        scale, shift, mean = (self.normal(channels, spread=0.1, mean=mean) for mean in (1, 0, 0))
        variance = self.array(self.random.uniform(0.5, 1.5, channels))
        return self("BatchNormalization", x, scale, shift, mean, variance, epsilon=1e-5)

    def dense(self, x: str, inputs: int, units: int) -> str:
        weights, bias = self.normal(units, inputs, spread=(1 / inputs) ** 0.5), self.normal(units, spread=0.1)
        return self("Gemm", x, weights, bias, transB=1)

    def dynamic_flatten(self, x: str, count: int) -> str:
        """The way in which PyTorch writes ``x.view(x.size(0), -1)``."""
        batch = self("Gather", self("Shape", x), self.array(0, np.int64), axis=0)
        rows = self("Unsqueeze", batch, self.array([0], np.int64))
        return self("Reshape", x, self("Concat", rows, self.array([-1], np.int64), axis=0))

    def model(
        self, output: str, shape: Any, *, element: int = TensorProto.FLOAT, opset: int = OPSET, ir: int = 8
    ) -> onnx.ModelProto:
        """The model whose input ``x`` has this shape, the first side open."""
        graph = helper.make_graph(
            self.nodes,
            "built",
            [helper.make_tensor_value_info("x", element, ["n", *shape])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.arrays,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def vgg16(width: int = 4, side: int = 32, classes: int = 10, hidden: int = 32) -> onnx.ModelProto:
    """VGG16 (Simonyan & Zisserman 2014, arXiv:1409.1556), ``width`` filters in the first block (64 in theirs, 224 x 224)."""
    b = Builder(16)
    x, channels = "x", 3
    for block, convs in enumerate((2, 2, 3, 3, 3)):
        filters = width * min(8, 2**block)
        for _ in range(convs):
            x = b("Relu", b.conv(x, channels, filters, bias=True, pads=[1, 1, 1, 1]))
            channels = filters
        x = b("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    count = channels * (side // 32) ** 2
    x = b.dynamic_flatten(x, count)
    for units in (hidden, hidden):
        x = b("Dropout", b("Relu", b.dense(x, count, units)))
        count = units
    return b.model(b("Softmax", b.dense(x, count, classes), axis=1), (3, side, side))


def resnet50(width: int = 4, side: int = 64, classes: int = 10) -> onnx.ModelProto:
    """ResNet50 (He et al. 2015, arXiv:1512.03385) as torchvision writes it, ``width`` filters in the stem (64 in theirs, 224 x 224)."""
    b = Builder(50)
    x = b("Relu", b.norm(b.conv("x", 3, width, 7, strides=[2, 2], pads=[3, 3, 3, 3]), width))
    x = b("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = width
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner, outer = width * 2**stage, 4 * width * 2**stage
        for block in range(blocks):
            step = 2 if stage > 0 and block == 0 else 1
            y = b("Relu", b.norm(b.conv(x, channels, inner, 1), inner))
            y = b("Relu", b.norm(b.conv(y, inner, inner, strides=[step, step], pads=[1, 1, 1, 1]), inner))
            y = b.norm(b.conv(y, inner, outer, 1), outer)
            if block == 0:
                x = b.norm(b.conv(x, channels, outer, 1, strides=[step, step]), outer)
            x, channels = b("Relu", b("Add", y, x)), outer
    x = b("Flatten", b("GlobalAveragePool", x), axis=1)
    return b.model(b.dense(x, channels, classes), (3, side, side))


def mobilenet_v2(width: float = 0.25, side: int = 32, classes: int = 10) -> onnx.ModelProto:
    """MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) as torchvision writes it."""
    b = Builder(2)

    def scaled(filters: int) -> int:
        return max(8, int(filters * width + 4) // 8 * 8)

    def relu6(x: str) -> str:
        return b("Clip", x, b.array(0.0), b.array(6.0))

    channels = scaled(32)
    x = relu6(b.norm(b.conv("x", 3, channels, strides=[2, 2], pads=[1, 1, 1, 1]), channels))
    for factor, filters, blocks, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for block in range(blocks):
            step, inner, outer, y = stride if block == 0 else 1, channels * factor, scaled(filters), x
            if factor != 1:
                y = relu6(b.norm(b.conv(y, channels, inner, 1), inner))
            y = relu6(b.norm(b.conv(y, inner, inner, group=inner, strides=[step, step], pads=[1, 1, 1, 1]), inner))
            y = b.norm(b.conv(y, inner, outer, 1), outer)
            x, channels = b("Add", x, y) if step == 1 and channels == outer else y, outer
    last = max(1280, scaled(1280)) if width >= 1 else 320
    x = relu6(b.norm(b.conv(x, channels, last, 1), last))
    x = b("ReduceMean", x, axes=[2, 3], keepdims=0)
    return b.model(b.dense(x, last, classes), (3, side, side))


def runtime(model: onnx.ModelProto, x: np.ndarray, name: str = "x") -> np.ndarray:
    """The output by ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {name: x})[0]
