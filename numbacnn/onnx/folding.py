"""Operations on constants and on shapes, computed while a graph is imported. Shapes are arrays of type object that may hold ``BATCH``."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from numbacnn.onnx.attributes import Lacking, OnnxNode
from numbacnn.onnx.values import BATCH, Tensor

Array = NDArray[Any]

MOST_AXES = 16

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
"""The types of floats; numbacnn computes all of them as float32."""


def shape_of(tensor: Tensor) -> Array:
    """The shape of a value that depends on the image."""
    return np.array([BATCH, *tensor.dims], dtype=object)


def whole_numbers(array: Array, what: str) -> list[int]:
    """A constant of whole numbers; raises Lacking where it depends on the size of the batch."""
    if array.ndim > 1 or array.size > MOST_AXES or any(isinstance(value, type(BATCH)) for value in array.ravel()):
        raise Lacking(f"{what} that depend on the batch" if array.size <= MOST_AXES else f"{what} of {array.size:,} numbers")
    return [int(value) for value in array.ravel()]


def axes_of(node: OnnxNode, arrays: list[Array | None]) -> list[int] | None:
    """The axes of a Squeeze, Unsqueeze or ReduceMean: an attribute once, an input since."""
    given = node.numbers("axes")
    if given is not None:
        return given
    second = arrays[1] if len(arrays) > 1 else None
    return None if second is None else whole_numbers(second, f"{node.op} with axes")


def _constant(node: OnnxNode, arrays: list[Array | None]) -> Array:
    return node.constant()


def _constant_of_shape(node: OnnxNode, arrays: list[Array | None]) -> Array:
    value = node.tensor("value", np.zeros(1, np.float32))
    return np.full(whole_numbers(_first(arrays), "ConstantOfShape with sides"), value.reshape(-1)[0])


def _cast(node: OnnxNode, arrays: list[Array | None]) -> Array:
    array = _first(arrays)
    to = node.whole("to", TensorProto.FLOAT)
    if array.dtype == object:
        return array
    return array.astype(np.float32 if to in FLOATS else helper.tensor_dtype_to_np_dtype(to))


def _reshape(node: OnnxNode, arrays: list[Array | None]) -> Array:
    array = _first(arrays)
    target = node.numbers("shape") or whole_numbers(_second(arrays), "Reshape with sides")
    sides = [array.shape[i] if side == 0 and not node.flag("allowzero") else side for i, side in enumerate(target)]
    return array.reshape(sides)


def _transpose(node: OnnxNode, arrays: list[Array | None]) -> Array:
    return _first(arrays).transpose(node.numbers("perm"))


def _squeeze(node: OnnxNode, arrays: list[Array | None]) -> Array:
    axes = axes_of(node, arrays)
    return np.squeeze(_first(arrays), None if axes is None else tuple(axes))


def _unsqueeze(node: OnnxNode, arrays: list[Array | None]) -> Array:
    return np.expand_dims(_first(arrays), tuple(axes_of(node, arrays) or ()))


def _concat(node: OnnxNode, arrays: list[Array | None]) -> Array:
    return np.concatenate([array for array in arrays if array is not None], node.whole("axis", 0))


def _gather(node: OnnxNode, arrays: list[Array | None]) -> Array:
    return np.take(_first(arrays), _second(arrays).astype(np.int64), node.whole("axis", 0))


def _slice(node: OnnxNode, arrays: list[Array | None]) -> Array:
    array = _first(arrays)
    given = [*arrays[1:5], None, None, None, None]
    starts, ends, axes, steps = (
        node.numbers(name, None if positions is None else whole_numbers(positions, "Slice with positions"))
        for name, positions in zip(("starts", "ends", "axes", "steps"), given, strict=False)
    )
    if starts is None or ends is None:
        raise Lacking("Slice without starts and ends")
    cut = [slice(None)] * array.ndim
    for position, axis in enumerate(axes if axes is not None else range(len(starts))):
        cut[axis] = slice(starts[position], ends[position], steps[position] if steps else None)
    return array[tuple(cut)]


def _arithmetic(compute: Callable[[Any, Any], Any]) -> "Fold":
    return lambda node, arrays: np.asarray(compute(_first(arrays), _second(arrays)))


def _div(a: Array, b: Array) -> Array:
    return a // b if a.dtype.kind in "iO" else a / b


def _shape(node: OnnxNode, arrays: list[Array | None]) -> Array:
    sides = np.array(_first(arrays).shape, np.int64)
    return sides[node.whole("start", 0) : node.whole("end", len(sides))]


def _first(arrays: list[Array | None]) -> Array:
    if not arrays or arrays[0] is None:
        raise Lacking("an operation without its first input")
    return arrays[0]


def _second(arrays: list[Array | None]) -> Array:
    if len(arrays) < 2 or arrays[1] is None:
        raise Lacking("an operation without its second input")
    return arrays[1]


Fold = Callable[[OnnxNode, list[Array | None]], Array]

FOLDS: dict[str, Fold] = {
    "Add": _arithmetic(lambda a, b: a + b),
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _arithmetic(_div),
    "Gather": _gather,
    "Identity": lambda node, arrays: _first(arrays),
    "Mul": _arithmetic(lambda a, b: a * b),
    "Neg": lambda node, arrays: -_first(arrays),
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Sqrt": lambda node, arrays: np.sqrt(_first(arrays)),
    "Squeeze": _squeeze,
    "Sub": _arithmetic(lambda a, b: a - b),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""Each operation on constants, by its name in ONNX."""


VIEWS = ("Identity", "Reshape", "Shape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
"""Folds whose result shares the memory of their input."""


def size_of(node: OnnxNode, arrays: list[Array | None]) -> int:
    """An upper bound of the values that a fold makes, before it makes them."""
    known = [array for array in arrays if array is not None]
    if node.op in ("Add", "Sub", "Mul", "Div") and len(known) == 2:
        return _product(np.broadcast_shapes(*(array.shape for array in known)))
    if node.op == "ConstantOfShape" and known:
        return _product(whole_numbers(known[0], "ConstantOfShape with sides"))
    if node.op == "Gather" and len(known) == 2:
        axis = node.whole("axis", 0)
        return known[1].size * (known[0].size // max(1, known[0].shape[axis]))
    return 0 if node.op in VIEWS else sum(array.size for array in known)


def _product(sides: Any) -> int:
    product = 1
    for side in sides:
        product *= max(0, int(side))
    return product
