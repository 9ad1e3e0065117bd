"""numbacnn as a backend of ONNX: ``onnx.backend.base.Backend`` over the importer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.base import Backend, BackendRep, namedtupledict

from numbacnn.backends import get_ops
from numbacnn.network import forward
from numbacnn.onnx import from_model
from numbacnn.onnx.values import OUR_AXES


class NumbaCNNBackend(Backend):
    """Runs a graph on the CPU's readable kernels. The first input is the image; the others are its weights."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **options: Any) -> "Prepared":
        super().prepare(model, device, **options)
        return Prepared(model)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"


class Prepared(BackendRep):
    """A graph, imported once its weights are known."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model

    def run(self, inputs: Sequence[Any], **options: Any) -> tuple[Any, ...]:
        x, *weights = (np.asarray(each) for each in inputs)
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        names = [each.name for each in model.graph.input][1 : 1 + len(weights)]
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in zip(names, weights, strict=True))
        found = from_model(model)
        order = [found.input_axes.index(letter) + 1 for letter in OUR_AXES if letter in found.input_axes]
        images = x.astype(np.float32).transpose(0, *order).reshape(len(x), *found.graph.input_shape)
        y = forward(found.graph, get_ops("cpu", plain=True), found.parameters, images * np.float32(found.normalisation.scale)).y
        if found.output_axes:
            y = y.transpose(0, *(OUR_AXES.index(a) + 1 for a in OUR_AXES if a not in found.output_axes),
                            *(OUR_AXES.index(a) + 1 for a in found.output_axes))  # fmt: skip
            y = y.reshape(len(y), *(y.shape[4 - len(found.output_axes) :]))
        return namedtupledict("Outputs", [each.name for each in model.graph.output])(y)
