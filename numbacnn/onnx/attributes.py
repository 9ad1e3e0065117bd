"""The fields of an ONNX node and the arrays of a file, checked: their types, and the sizes that they claim."""

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from numbacnn.errors import ModelError
from numbacnn.quoting import plain, short

MOST_AXES = 16
"""Upper bound of an array's axes: NumPy's own is 64, and no layer needs more than four."""


class Lacking(Exception):
    """A part of the graph that numbacnn has no layer for; the text says which."""


class Skipped(Exception):
    """An input comes from an operation that is lacking: nothing more can be said of this node."""


class OnnxNode:
    """One node, with defaults for what it leaves out."""

    def __init__(self, proto: onnx.NodeProto, opset: int) -> None:
        self.op = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
        self.name = proto.name or (proto.output[0] if proto.output else "")
        self.own_name = proto.name
        self.inputs, self.outputs, self.opset = list(proto.input), list(proto.output), opset
        self._attributes = {attribute.name: attribute for attribute in proto.attribute}

    @property
    def attributes(self) -> list[str]:
        """The names of the attributes that are given."""
        return list(self._attributes)

    def input(self, index: int) -> str:
        """The name of an input; empty where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def number(self, name: str, default: float) -> float:
        """A float."""
        return self._get(name, AttributeProto.FLOAT, "f", default)

    def whole(self, name: str, default: int) -> int:
        """A whole number."""
        return self._get(name, AttributeProto.INT, "i", default)

    def flag(self, name: str, default: bool = False) -> bool:
        """A whole number that means yes or no."""
        return bool(self.whole(name, int(default)))

    def text(self, name: str, default: str) -> str:
        """A text."""
        return self._get(name, AttributeProto.STRING, "s", default.encode()).decode("utf-8", "replace")

    def numbers(self, name: str, default: list[int] | None = None) -> list[int] | None:
        """Whole numbers."""
        found = self._get(name, AttributeProto.INTS, "ints", default)
        return None if found is None else list(found)

    def constant(self) -> NDArray[Any]:
        """The value of a Constant."""
        if len(self._attributes) != 1:
            raise Lacking("Constant without one value")
        (attribute,) = self._attributes.values()
        if attribute.name == "value" and attribute.type == AttributeProto.TENSOR:
            return to_array(attribute.t, self.name)
        if attribute.name not in NUMBERS:
            raise Lacking(f"Constant with {plain(attribute.name)}")
        field, dtype = NUMBERS[attribute.name]
        return np.array(getattr(attribute, field), dtype)

    def tensor(self, name: str, default: NDArray[Any]) -> NDArray[Any]:
        """An array."""
        found = self._get(name, AttributeProto.TENSOR, "t", None)
        return default if found is None else to_array(found, self.name)

    def _get(self, name: str, kind: int, field: str, default: Any) -> Any:
        attribute = self._attributes.get(name)
        if attribute is None:
            return default
        if attribute.type != kind:
            raise Lacking(f"{self.op} with {name} of another type")
        return getattr(attribute, field)


ELEMENTS: dict[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.FLOAT16: "int32_data",
    TensorProto.BFLOAT16: "int32_data",
    TensorProto.INT64: "int64_data",
    TensorProto.INT32: "int32_data",
    TensorProto.INT8: "int32_data",
    TensorProto.UINT8: "int32_data",
    TensorProto.BOOL: "int32_data",
}
"""The types of arrays that are read, and the field of their values where these are not raw bytes."""


NUMBERS: dict[str, tuple[str, Any]] = {
    "value_float": ("f", np.float32),
    "value_floats": ("floats", np.float32),
    "value_int": ("i", np.int64),
    "value_ints": ("ints", np.int64),
}
"""The attributes in which a Constant may hold numbers: their fields and types."""


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether an array lies in another file, which is never opened."""
    return tensor.data_location == TensorProto.EXTERNAL or bool(tensor.external_data)


def to_array(tensor: onnx.TensorProto, who: str) -> NDArray[Any]:
    """An array of the file, once its values are known to be as many as its sides claim.

    Raises:
        ModelError: they are not, or they lie in another file. Lacking: its type is not read.
    """
    if is_external(tensor):
        raise ModelError(f"{plain(who)}: {external_advice()}")
    if tensor.data_type not in ELEMENTS:
        raise Lacking(f"arrays of type {_type_name(tensor.data_type)}")
    dims = list(tensor.dims)
    if len(dims) > MOST_AXES or any(side < 0 for side in dims):
        raise ModelError(f"{plain(who)}: expected an array of at most {MOST_AXES} axes, none negative, got {short(dims)}")
    count = math.prod(dims)
    if tensor.HasField("raw_data"):
        size = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
        found, rest = divmod(len(tensor.raw_data), size)
    else:
        found, rest = len(getattr(tensor, ELEMENTS[tensor.data_type])), 0
    if found != count or rest:
        raise ModelError(
            f"{plain(who)}: expected {count:,} values for an array of shape {short(tuple(dims))}, got {found:,}. The file is damaged"
        )
    array = numpy_helper.to_array(tensor)
    return array.astype(np.float32) if tensor.data_type == TensorProto.BFLOAT16 else array


def external_advice() -> str:
    """Why arrays in other files are not read, and what to do."""
    return (
        "expected its arrays within the file, got a path of another file, which is never opened. "
        "Write one file: onnx.save(onnx.load(...), ..., save_as_external_data=False)"
    )


def _type_name(kind: int) -> str:
    try:
        return TensorProto.DataType.Name(kind).lower()
    except ValueError:
        return f"number {kind}"
