"""The operations of ONNX that numbacnn has: what each adds to a network. ``OPERATIONS`` at the end is the list."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from numbacnn.graph import INPUT
from numbacnn.layers import Activation, Add, AvgPool2D, BatchNorm, Concatenate, Conv2D, Dense, Dropout, MaxPool2D
from numbacnn.onnx.attributes import Lacking, OnnxNode, Skipped
from numbacnn.onnx.folding import FLOATS, axes_of, shape_of, whole_numbers
from numbacnn.onnx.values import BATCH, OUR_AXES, Tensor, Value, flattened
from numbacnn.quoting import plain, short
from numbacnn.shapes import Padding2D, Pair, cells, window2d

if TYPE_CHECKING:
    from numbacnn.onnx.importer import Importer

SOFTMAX_OF_ONE_AXIS = 13
"""The first opset whose softmax is along one axis; before, it was over that axis and all behind it."""

ROUNDED = 1e-6
"""Difference of two numbers that mean the same, as 1/6 and its float32."""

UNBOUNDED = float(np.finfo(np.float32).max)


class Operation(NamedTuple):
    """How one operation is followed.

    Args:
        follow: takes the importer and the node; returns its output, or a tuple of outputs.
        attributes: those that it reads.
    """

    follow: Callable[["Importer", OnnxNode], Value | tuple[Value, ...]]
    attributes: tuple[str, ...] = ()


def _conv(importer: "Importer", node: OnnxNode) -> Tensor:
    kernel = importer.constant(node, 1, "filters")
    if kernel.ndim != 4:
        raise Lacking(f"Conv of {kernel.ndim - 2} axes")
    bias = importer.optional(node, 2, "a bias")
    x = importer.tensor(node)
    zeros = x.zeros
    node_input = importer.whole(replace(x, zeros=((0, 0), (0, 0))), "before Conv")
    if node_input.axes != "chw":
        raise Lacking("Conv of a value without the axes batch, channels, height and width")
    filters, _, *size = kernel.shape
    if node.numbers("kernel_shape", size) != size:
        raise Lacking(f"Conv with kernel_shape {short(node.numbers('kernel_shape'))} for filters of shape {kernel.shape}")
    strides, dilations = _pair(node, "strides", (1, 1)), _pair(node, "dilations", (1, 1))
    dilated = [(side - 1) * dilation + 1 for side, dilation in zip(size, dilations, strict=True)]
    padding = _padding(node, node_input, (dilated[0], dilated[1]), strides, zeros, is_plain=dilations == (1, 1))
    layer = Conv2D(
        filters=filters,
        kernel_size=(size[0], size[1]),
        strides=strides,
        padding=padding,
        use_bias=bias is not None,
        dilation_rate=dilations,
        groups=node.whole("group", 1),
    )
    parameters = {"kernel": kernel.transpose(2, 3, 1, 0)} | ({} if bias is None else {"bias": bias})
    return importer.after(node_input, layer, parameters, node.own_name)


def _pool(kind: type[MaxPool2D] | type[AvgPool2D]) -> Callable[["Importer", OnnxNode], Tensor]:
    def follow(importer: "Importer", node: OnnxNode) -> Tensor:
        if any(each != 1 for each in node.numbers("dilations") or ()):
            importer.lack(f"{node.op} with dilations", node.name)
        if any(node.outputs[1:]):
            importer.lack(f"{node.op} with the indices of the largest", node.name)
        x = importer.tensor(node)
        zeros = x.zeros
        if any(map(any, zeros)) and not (kind is MaxPool2D and _is_never_negative(importer, x)):
            importer.whole(x, f"before {node.op}")  # raises
        x = importer.whole(replace(x, zeros=((0, 0), (0, 0))), f"before {node.op}")
        if x.axes != "chw":
            raise Lacking(f"{node.op} of a value without the axes batch, channels, height and width")
        size, strides = _pair(node, "kernel_shape", None), _pair(node, "strides", (1, 1))
        padding = _padding(node, x, size, strides, zeros, rounds_up=node.flag("ceil_mode"))
        given: dict[str, Any] = {}
        if node.flag("count_include_pad") and padding != "valid":
            if node.flag("ceil_mode"):
                raise Lacking(f"{node.op} with count_include_pad and ceil_mode")
            given["count_include_pad"] = True
        return importer.after(x, kind(pool_size=size, strides=strides, padding=padding, **given), {}, node.own_name)

    return follow


def _global(kind: type[MaxPool2D] | type[AvgPool2D]) -> Callable[["Importer", OnnxNode], Tensor]:
    def follow(importer: "Importer", node: OnnxNode) -> Tensor:
        x = importer.image(node)
        return importer.after(x, kind(pool_size=x.shape[:2]), {}, node.own_name)  # type: ignore[arg-type]

    return follow


def _reduce_mean(importer: "Importer", node: OnnxNode) -> Tensor:
    x = importer.take(node)
    axes = axes_of(node, [None, importer.optional(node, 1, "axes")]) or []
    rank = len(x.dims) + 1
    letters = {x.axes[axis % rank - 1] for axis in axes if x.axes and axis % rank > 0}
    if letters != {"h", "w"} or len(axes) != 2:
        raise Lacking("ReduceMean over other axes than height and width")
    means = importer.after(x, AvgPool2D(pool_size=x.shape[:2]), {}, node.own_name)  # type: ignore[arg-type]
    return means if node.flag("keepdims", True) else importer.vector(means)


def _gemm(importer: "Importer", node: OnnxNode) -> Tensor:
    if node.flag("transA"):
        importer.lack("Gemm with transA", node.name)
    kernel, bias = importer.constant(node, 1, "weights"), importer.optional(node, 2, "a bias")
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    kernel = kernel.T if node.flag("transB") else kernel
    x = _vector(importer, node)
    dense = _dense(importer, node, x, kernel if alpha == 1 else kernel * np.float32(alpha))
    if bias is None:
        return dense
    shift = bias if beta == 1 else bias * np.float32(beta)
    return importer.affine(dense, 1, _per_channel(importer, node, shift, dense))


def _matmul(importer: "Importer", node: OnnxNode) -> Tensor:
    kernel = importer.constant(node, 1, "weights")
    return _dense(importer, node, _vector(importer, node), kernel)


def _vector(importer: "Importer", node: OnnxNode) -> Tensor:
    x = importer.take(node)
    if len(x.dims) != 1:
        raise Lacking(f"{node.op} of a value that is no vector")
    return importer.vector(x)


def _dense(importer: "Importer", node: OnnxNode, x: Tensor, kernel: NDArray[Any]) -> Tensor:
    if kernel.ndim != 2 or kernel.shape[0] != x.shape[0]:
        raise Lacking(f"{node.op} of a vector of {x.shape[0]} numbers by weights of shape {kernel.shape}")
    name = importer.emit(Dense(kernel.shape[1], use_bias=False), [x], {"kernel": x.to_ours(kernel)}, node.own_name)
    return Tensor(name, importer.shapes[name], pieces=flattened("", (1, 1, kernel.shape[1])))


def _batch_normalization(importer: "Importer", node: OnnxNode) -> Tensor:
    if node.flag("training_mode") or not node.flag("spatial", True):
        importer.lack(
            "BatchNormalization with training_mode" if node.flag("training_mode") else "BatchNormalization without spatial",
            node.name,
        )
    arrays = [importer.constant(node, index, "parameters") for index in range(1, 5)]
    x = importer.take(node)
    if x.axes[:1] not in ("", "c"):
        x = importer.vector(x) if len(x.dims) == 1 else x
        if x.axes:
            raise Lacking("BatchNormalization of a value whose second axis is not the channels")
    if x.pieces:
        arrays = [x.to_ours(array) for array in arrays]
    momentum = node.number("momentum", 0.9)
    layer = BatchNorm(epsilon=_decimal(node.number("epsilon", 1e-5)), momentum=_decimal(momentum) if 0 <= momentum < 1 else 0.9)
    parameters = dict(zip(("gamma", "beta", "moving_mean", "moving_variance"), arrays, strict=True))
    return importer.after(x, layer, parameters, node.own_name)


def _activation(name: str) -> Callable[["Importer", OnnxNode], Tensor]:
    return lambda importer, node: _activated(importer, node, importer.take(node), name)


def _with_numbers(name: str, **numbers: tuple[float, float]) -> Callable[["Importer", OnnxNode], Tensor]:
    """An activation of which numbacnn has one kind.

    Args:
        numbers: of each attribute, ONNX's default and the value that numbacnn has.
    """

    def follow(importer: "Importer", node: OnnxNode) -> Tensor:
        for attribute, (usual, ours) in numbers.items():
            if abs(node.number(attribute, usual) - ours) > ROUNDED:
                importer.lack(f"{node.op} with {attribute} {node.number(attribute, usual):g}", node.name)
        return _activated(importer, node, importer.take(node), name)

    return follow


def _leaky_relu(importer: "Importer", node: OnnxNode) -> Tensor:
    slope = _decimal(node.number("alpha", 0.01))
    return _activated(importer, node, importer.take(node), "leaky_relu", negative_slope=slope)


def _activated(importer: "Importer", node: OnnxNode, x: Tensor, name: str, **numbers: float) -> Tensor:
    return importer.after(x, Activation(name, **numbers), {}, node.own_name)


def _softmax(importer: "Importer", node: OnnxNode) -> Tensor:
    x = importer.take(node)
    rank = len(x.dims) + 1
    axis = node.whole("axis", -1 if node.opset >= SOFTMAX_OF_ONE_AXIS else 1) % rank
    if len(x.dims) == 1 and axis == 1:
        return _activated(importer, node, importer.vector(x), "softmax")
    over = x.axes[axis - 1 :][: 1 if node.opset >= SOFTMAX_OF_ONE_AXIS else None] if axis and x.axes else ""
    if "c" not in over or any(x.side(letter) != 1 for letter in over if letter != "c"):
        raise Lacking("Softmax over another axis than the channels")
    return _activated(importer, node, x, "softmax")


def _clip(importer: "Importer", node: OnnxNode) -> Tensor:
    low, high = (
        node.number(name, usual) if name in node.attributes else _scalar(importer.optional(node, index, "bounds"), usual)
        for index, (name, usual) in enumerate((("min", -UNBOUNDED), ("max", UNBOUNDED)), 1)
    )  # fmt: skip
    x = importer.take(node)
    if low <= -UNBOUNDED and high >= UNBOUNDED:
        return x
    known = {(0.0, 6.0): "relu6"} | ({(0.0, high): "relu"} if high >= UNBOUNDED else {})
    if (low, high) in known:
        return _activated(importer, node, x, known[low, high])
    importer.lack(f"Clip to {low:g}...{high:g}", node.name)
    return x


def _flatten(importer: "Importer", node: OnnxNode) -> Tensor:
    x = importer.take(node)
    if node.whole("axis", 1) % (len(x.dims) + 1) != 1:
        raise Lacking("Flatten from another axis than 1")
    return importer.vector(x)


def _reshape(importer: "Importer", node: OnnxNode) -> Tensor:
    x = importer.take(node)
    target = list(importer.constant(node, 1, "sides").ravel()) if node.numbers("shape") is None else node.numbers("shape")
    assert target is not None
    sides = _resolved(node, target, x, importer.static_batch)
    return _viewed(importer, node, x, sides)


def _squeeze(importer: "Importer", node: OnnxNode) -> Tensor:
    x = importer.take(node)
    axes = axes_of(node, [None, importer.optional(node, 1, "axes")])
    rank = len(x.dims) + 1
    gone = {axis % rank for axis in axes} if axes is not None else {i for i, side in enumerate(x.dims, 1) if side == 1}
    if 0 in gone or any(x.dims[axis - 1] != 1 for axis in gone):
        raise Lacking("Squeeze of the batch or of an axis of several cells")
    return _viewed(importer, node, x, [side for i, side in enumerate(x.dims, 1) if i not in gone])


def _unsqueeze(importer: "Importer", node: OnnxNode) -> Tensor:
    x = importer.take(node)
    axes = axes_of(node, [None, importer.optional(node, 1, "axes")]) or []
    rank = len(x.dims) + 1 + len(axes)
    new = {axis % rank for axis in axes}
    if 0 in new:
        raise Lacking("Unsqueeze before the batch")
    sides = iter(x.dims)
    return _viewed(importer, node, x, [1 if i in new else next(sides) for i in range(1, rank)])


def _viewed(importer: "Importer", node: OnnxNode, x: Tensor, sides: list[int]) -> Tensor:
    """The same numbers with other sides: as a vector, or with axes of one cell more or less."""
    if tuple(sides) == x.dims:
        return x
    if len(sides) == 1:
        return importer.vector(x)
    kept = [letter for letter in x.axes if x.side(letter) != 1]
    if not x.axes or len(sides) > len(OUR_AXES) or [x.side(letter) for letter in kept] != [side for side in sides if side != 1]:
        raise Lacking(f"{node.op} to another image")
    spare = [letter for letter in "chw" if letter not in kept]
    letters = iter(kept)
    return x.with_axes("".join(next(letters) if side != 1 else spare.pop(0) for side in sides))


def _resolved(node: OnnxNode, target: list[Any], x: Tensor, static_batch: int | None) -> list[int]:
    """The sides of one image that a Reshape asks for."""
    if not target or len(target) > len(OUR_AXES) + 1:
        raise Lacking(f"{node.op} to {len(target)} axes")
    count = cells(x.shape)
    first, *rest = target
    if any(side is BATCH for side in rest):
        raise Lacking(f"{node.op} that moves the batch")
    sides = [int(side) for side in rest]
    if not node.flag("allowzero"):
        sides = [x.dims[i] if side == 0 and i < len(x.dims) else side for i, side in enumerate(sides)]
    if sides.count(-1) == 1:
        others = cells([side for side in sides if side != -1])
        sides = [count // others if side == -1 and others > 0 else side for side in sides]
        keeps_batch = first is BATCH or int(first) == 0 or int(first) == static_batch
    else:
        keeps_batch = first is BATCH or int(first) in (-1, 0) or int(first) == static_batch
    if not keeps_batch or cells(sides) != count or any(side < 1 for side in sides):
        raise Lacking(f"{node.op} that changes the number of images, or to sides that do not fit")
    return sides


def _transpose(importer: "Importer", node: OnnxNode) -> Tensor:
    x = importer.tensor(node)
    perm = node.numbers("perm") or list(reversed(range(len(x.dims) + 1)))
    if sorted(perm) != list(range(len(x.dims) + 1)) or perm[0] != 0:
        raise Lacking("Transpose that moves the batch")
    return x.with_axes("".join(x.axes[axis - 1] for axis in perm[1:])) if x.axes else x


def _cast(importer: "Importer", node: OnnxNode) -> Tensor:
    x = importer.tensor(node)
    if node.whole("to", TensorProto.FLOAT) not in FLOATS:
        raise Lacking("Cast to a type that is no float")
    return replace(x, is_pixels=False)


def _identity(importer: "Importer", node: OnnxNode) -> Tensor:
    return importer.tensor(node)


def _dropout(importer: "Importer", node: OnnxNode) -> tuple[Value, ...]:
    training = importer.optional(node, 2, "training_mode")
    if training is not None and training.any():
        importer.lack("Dropout with training_mode", node.name)
    x = importer.take(node)
    rate = node.number("ratio", _scalar(importer.optional(node, 1, "ratio"), 0.5))
    return (importer.after(x, Dropout(_decimal(rate)), {}, node.own_name), None) if 0 <= rate < 1 else (x, None)


def _pad(importer: "Importer", node: OnnxNode) -> Tensor:
    if node.text("mode", "constant") != "constant":
        importer.lack(f"Pad with mode {plain(node.text('mode', ''))}", node.name)
    value = node.number("value", _scalar(importer.optional(node, 2, "a value"), 0.0))
    if value != 0:
        importer.lack("Pad with another value than 0", node.name)
    pads = node.numbers("pads") or whole_numbers(importer.constant(node, 1, "pads"), "Pad with pads")
    axes = importer.optional(node, 3, "axes")
    x = importer.tensor(node)
    rank = len(x.dims) + 1
    chosen = [axis % rank for axis in (whole_numbers(axes, "Pad with axes") if axes is not None else range(rank))]
    if len(pads) != 2 * len(chosen):
        raise Lacking("Pad with pads that do not fit its axes")
    zeros = {"h": x.zeros[0], "w": x.zeros[1]}
    for axis, before, after in zip(chosen, pads, pads[len(chosen) :], strict=False):
        if before == after == 0:
            continue
        letter = x.axes[axis - 1] if axis > 0 and x.axes else ""
        if letter not in zeros or min(before, after) < 0 or x.is_pixels:
            raise Lacking("Pad of another axis than height and width, or that cuts")
        zeros[letter] = (zeros[letter][0] + before, zeros[letter][1] + after)
    return replace(x, zeros=(zeros["h"], zeros["w"]))


def _shape(importer: "Importer", node: OnnxNode) -> NDArray[Any]:
    sides = shape_of(importer.tensor(node))
    return sides[node.whole("start", 0) : node.whole("end", len(sides))]


def _add(importer: "Importer", node: OnnxNode) -> Tensor:
    values = [importer.values.get(name) for name in node.inputs]
    if any(value is None for value in values):
        raise Skipped
    tensors = [importer.take(node, i) for i, value in enumerate(values) if isinstance(value, Tensor)]
    constants = [value for value in values if isinstance(value, np.ndarray)]
    x = tensors[0]
    if any(len(each.dims) == 1 for each in tensors) and len({each.dims for each in tensors}) == 1:
        tensors = [importer.vector(each) for each in tensors]
        x = tensors[0]
    if any((each.shape, each.axes, each.pieces) != (x.shape, x.axes, x.pieces) for each in tensors):
        raise Lacking(f"{node.op} of values of different shapes")
    if len(tensors) > 1:
        name = importer.emit(Add(), tensors, {}, node.own_name)
        x = Tensor(name, importer.shapes[name], x.axes, x.pieces)
    for constant in constants:
        x, shift = _with_channels(importer, node, x, constant)
        x = importer.affine(x, 1, shift)
    return x


def _sub(importer: "Importer", node: OnnxNode) -> Tensor:
    x, constant, comes_first = _with_constant(importer, node)
    x, shift = _with_channels(importer, node, importer.whole(x, f"before {node.op}"), constant)
    return importer.affine(x, 1, -shift) if comes_first else importer.affine(x, -1, shift)


def _mul(importer: "Importer", node: OnnxNode) -> Tensor:
    values = [importer.values.get(name) for name in node.inputs]
    if all(isinstance(value, Tensor) for value in values) and len(values) == 2:
        x, gate = values
        for one, other in ((x, gate), (gate, x)):
            if _is_sigmoid_of(importer, other, one):
                return _activated(importer, node, one, "silu")  # type: ignore[arg-type]
        raise Lacking("Mul of two values that depend on the image")
    x, constant, _ = _with_constant(importer, node)
    return _scaled(importer, node, x, constant)


def _div(importer: "Importer", node: OnnxNode) -> Tensor:
    x, constant, comes_first = _with_constant(importer, node)
    if not comes_first or (constant == 0).any():
        raise Lacking("Div of a constant, or by 0")
    return _scaled(importer, node, x, 1 / constant.astype(np.float64))


def _scaled(importer: "Importer", node: OnnxNode, x: Tensor, constant: NDArray[Any]) -> Tensor:
    if x.layer == INPUT and constant.size == 1 and not x.is_pixels:
        factor = x.factor * float(constant.reshape(-1)[0])
        return replace(x, factor=1.0 if abs(factor - 1) < 1e-6 else factor)
    x, scale = _with_channels(importer, node, importer.whole(x, f"before {node.op}"), constant)
    return importer.affine(x, scale, 0)


def _with_constant(importer: "Importer", node: OnnxNode) -> tuple[Tensor, NDArray[Any], bool]:
    """A value that depends on the image, a constant, and whether the value comes first."""
    values = [importer.values.get(name) for name in node.inputs[:2]]
    match values:
        case [Tensor() as x, np.ndarray() as constant]:
            return x, constant, True
        case [np.ndarray() as constant, Tensor() as x]:
            return x, constant, False
        case [Tensor(), Tensor()]:
            raise Lacking(f"{node.op} of two values that depend on the image")
    raise Skipped


def _with_channels(importer: "Importer", node: OnnxNode, x: Tensor, array: NDArray[Any]) -> tuple[Tensor, NDArray[Any]]:
    """A value and a constant, one for each channel; a value with a single axis as a vector."""
    if len(x.dims) == 1 and array.size > 1:
        x = importer.vector(x)
    return x, _per_channel(importer, node, array, x)


def _per_channel(importer: "Importer", node: OnnxNode, array: NDArray[Any], x: Tensor) -> NDArray[Any]:
    """A constant that ONNX broadcasts to a value, as one number for each channel of ours, or one for all."""
    if array.dtype == object:
        raise Lacking(f"{node.op} of a value and a shape")
    letters = "k" if x.pieces else x.axes
    if array.size == 1 and array.ndim <= len(letters) + 1:
        return array.reshape(())
    sides = (1,) * (len(letters) + 1 - array.ndim) + array.shape
    channels = x.shape[-1]
    fits = len(sides) == len(letters) + 1 and all(
        side == (channels if letter in "ck" and side != 1 else 1) for letter, side in zip(letters, sides[1:], strict=True)
    )
    if sides[0] != 1 or not fits:
        raise Lacking(f"{node.op} of a constant with other numbers than one for each channel")
    return x.to_ours(array.reshape(-1)) if x.pieces else array.reshape(-1)


def _concat(importer: "Importer", node: OnnxNode) -> Tensor:
    tensors = [importer.take(node, index) for index in range(len(node.inputs))]
    if any(len(each.dims) == 1 for each in tensors):
        tensors = [importer.vector(each) if len(each.dims) == 1 else each for each in tensors]
    x = tensors[0]
    axis = node.whole("axis", 1) % (len(x.dims) + 1)
    letter = "c" if x.pieces else x.axes[axis - 1] if axis else ""
    if axis == 0 or letter != "c" or any(each.axes != x.axes or bool(each.pieces) != bool(x.pieces) for each in tensors):
        raise Lacking("Concat along another axis than the channels")
    if len(tensors) == 1:
        return x
    name = importer.emit(Concatenate(), tensors, {}, node.own_name)
    return Tensor(name, importer.shapes[name], x.axes, tuple(piece for each in tensors for piece in each.pieces))


# What operations share


def _pair(node: OnnxNode, name: str, usual: Pair | None) -> Pair:
    found = node.numbers(name, None if usual is None else list(usual))
    if found is None or len(found) != 2:
        raise Lacking(f"{node.op} with {name} of {0 if found is None else len(found)} axes")
    return found[0], found[1]


def _padding(
    node: OnnxNode,
    x: Tensor,
    size: Pair,
    strides: Pair,
    zeros: tuple[Pair, Pair],
    *,
    rounds_up: bool = False,
    is_plain: bool = True,
) -> Padding2D:
    """The padding of a window: in words where these give the same."""
    (height, width), mode = x.shape[:2], node.text("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        taken = window2d((height + sum(zeros[0]), width + sum(zeros[1])), size, strides, "same")
        own = [(axis.pad_before, axis.pad_after)[:: 1 if mode == "SAME_UPPER" else -1] for axis in taken]
    elif mode in ("NOTSET", "VALID", ""):
        pads = (node.numbers("pads") if mode != "VALID" else None) or [0, 0, 0, 0]
        if len(pads) != 4:
            raise Lacking(f"{node.op} with pads of {len(pads) // 2} axes")
        own = [(pads[0], pads[2]), (pads[1], pads[3])]
    else:
        raise Lacking(f"{node.op} with auto_pad {plain(mode)}")
    rows, columns = ((before + a, after + b) for (before, after), (a, b) in zip(own, zeros, strict=True))
    if rounds_up:
        rows, columns = (_rounded_up(*each) for each in zip((height, width), size, strides, (rows, columns), strict=True))
    if min(*rows, *columns) < 0:
        raise Lacking(f"{node.op} with pads that cut")
    if (rows, columns) == ((0, 0), (0, 0)):
        return "valid"
    same = window2d((height, width), size, strides, "same")
    is_same = [(axis.pad_before, axis.pad_after) for axis in same] == [rows, columns]
    return "same" if is_same and is_plain else (rows, columns)


def _rounded_up(side: int, size: int, stride: int, pads: Pair) -> Pair:
    """Pads with which the number of windows is rounded up: a last window counts if it begins within the image or its first pads."""
    left = side + sum(pads) - size
    if stride < 1 or left < 0:
        return pads
    count = -(-left // stride)
    if count * stride >= side + pads[0]:
        count -= 1
    return pads[0], pads[1] + max(0, count * stride - left)


def _decimal(value: float) -> float:
    """A float32 in the fewest digits that give it: 0.99 rather than 0.9900000095367432."""
    return float(str(np.float32(value)))


def _scalar(array: NDArray[Any] | None, usual: float) -> float:
    if array is None:
        return usual
    if array.size != 1:
        raise Lacking(f"a constant of shape {array.shape}, where one number is expected")
    return float(array.reshape(-1)[0])


def _is_never_negative(importer: "Importer", x: Tensor) -> bool:
    """Whether zeros around an image never change a maximum over it."""
    entry = importer.entries.get(x.layer)
    return entry is not None and getattr(entry.layer, "activation", None) in ("relu", "relu6", "sigmoid", "softmax")


def _is_sigmoid_of(importer: "Importer", gate: Value, x: Value) -> bool:
    if not isinstance(gate, Tensor) or not isinstance(x, Tensor) or gate.axes != x.axes or gate.pieces != x.pieces:
        return False
    entry = importer.entries.get(gate.layer)
    return entry is not None and entry.layer == Activation("sigmoid") and entry.inputs == (x.layer,)


WINDOW = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")

OPERATIONS: dict[str, Operation] = {
    "Add": Operation(_add),
    "AveragePool": Operation(_pool(AvgPool2D), (*WINDOW, "ceil_mode", "count_include_pad")),
    "BatchNormalization": Operation(_batch_normalization, ("epsilon", "is_test", "momentum", "spatial", "training_mode")),
    "Cast": Operation(_cast, ("to", "saturate", "round_mode")),
    "Clip": Operation(_clip, ("min", "max")),
    "Concat": Operation(_concat, ("axis",)),
    "Conv": Operation(_conv, (*WINDOW, "group")),
    "Div": Operation(_div),
    "Dropout": Operation(_dropout, ("is_test", "ratio", "seed")),
    "Elu": Operation(_with_numbers("elu", alpha=(1.0, 1.0)), ("alpha",)),
    "Flatten": Operation(_flatten, ("axis",)),
    "Gemm": Operation(_gemm, ("alpha", "beta", "broadcast", "transA", "transB")),
    "GlobalAveragePool": Operation(_global(AvgPool2D)),
    "GlobalMaxPool": Operation(_global(MaxPool2D)),
    "HardSigmoid": Operation(_with_numbers("hard_sigmoid", alpha=(0.2, 1 / 6), beta=(0.5, 0.5)), ("alpha", "beta")),
    "HardSwish": Operation(_activation("hard_swish")),
    "Identity": Operation(_identity),
    "LeakyRelu": Operation(_leaky_relu, ("alpha",)),
    "MatMul": Operation(_matmul),
    "MaxPool": Operation(_pool(MaxPool2D), (*WINDOW, "ceil_mode", "storage_order")),
    "Mul": Operation(_mul),
    "Pad": Operation(_pad, ("mode", "pads", "value")),
    "ReduceMean": Operation(_reduce_mean, ("axes", "keepdims", "noop_with_empty_axes")),
    "Relu": Operation(_activation("relu")),
    "Reshape": Operation(_reshape, ("allowzero", "shape")),
    "Shape": Operation(_shape, ("start", "end")),
    "Sigmoid": Operation(_activation("sigmoid")),
    "Softmax": Operation(_softmax, ("axis",)),
    "Squeeze": Operation(_squeeze, ("axes",)),
    "Sub": Operation(_sub),
    "Sum": Operation(_add),
    "Tanh": Operation(_activation("tanh")),
    "Transpose": Operation(_transpose, ("perm",)),
    "Unsqueeze": Operation(_unsqueeze, ("axes",)),
}
"""The operations by name."""

ELEMENTWISE = frozenset({
    "Abs", "Celu", "Erf", "Exp", "Gelu", "InstanceNormalization", "LRN", "LayerNormalization", "Log",
    "LogSoftmax", "LpNormalization", "Mish", "Neg", "PRelu", "Pow", "Reciprocal", "Selu", "Softplus", "Softsign", "Sqrt", "ThresholdedRelu",
})  # fmt: skip
"""Operations that numbacnn lacks, whose output has the shape of their first input."""
