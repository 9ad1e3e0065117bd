"""The arithmetic of the layers on plain NumPy arrays, for experiments, worksheets and checks.

>>> import numpy as np, numbacnn.functional as F
>>> F.conv2d(np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1))).ravel()
array([4., 4., 4., 4.])

Images are NHWC, filters HWIO, all float32 or all float64; the result has the type of the input, and no argument is changed.
``padding`` is ``"valid"``, ``"same"`` (TensorFlow's rule: the odd cell goes after) or ``((top, bottom), (left, right))``;
``strides`` and ``pool_size`` are a number or a pair (down, across). ``device`` is ``"cpu"``, ``"cuda"`` or ``"auto"``; the CPU computes
by its readable kernels (``backends/cpu/plain``), which ``docs/kernels.md`` introduces.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numbacnn.backends import get_ops
from numbacnn.datasets.checks import check_array, check_labels
from numbacnn.errors import DataError, ModelError, ShapeError
from numbacnn.layers.activation import activate, activate_backward
from numbacnn.layers.base import check_fraction, check_positive
from numbacnn.ops import NEGATIVE_SLOPE, Ops
from numbacnn.quoting import short
from numbacnn.shapes import Padding2D, Window2D, padding2d, pair, pool_window2d, window2d
from numbacnn.values import DropoutKey

ROUNDING = 1e-5
"""How far a probability may lie above 1: a softmax in float32 rounds."""

Floats = NDArray[Any]
Size = int | Sequence[int]


def conv2d(
    x: ArrayLike,
    kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    strides: Size = 1,
    padding: Padding2D = "valid",
    dilation_rate: Size = 1,
    groups: int = 1,
    device: str = "cpu",
) -> Floats:
    """Slide filters over images: y[n,i,j,f] = bias[f] + sum_{u,v,c} x[n, i*s-p+u*d, j*s-p+v*d, c] * kernel[u,v,c,f].

    A cross-correlation, as everywhere in deep learning: the filter is not turned.

    Args:
        x: images (n, h, w, c).
        kernel: filters (kh, kw, c / groups, f).
        bias: (f,), or None.
        dilation_rate: d, the distance between neighbouring cells of a filter (down, across).
        groups: channels and filters are divided into so many groups, in order; a filter sees its own group of channels.

    Returns:
        y (n, oh, ow, f).

    Raises:
        ShapeError: the shapes do not match. DataError: the arrays are not all float32 or all float64.

    Source: Dumoulin & Visin 2016 (arXiv:1603.07285); the lecture's slides "Convolutional Layer (4/4)" and "Stride".
    """
    (images, filters), window = _convolution(x, kernel, strides, padding, dilation_rate, groups)
    offset = _bias(bias, filters)
    return _run(device, lambda ops, a, k, b: ops.conv2d(a, k, b, window), images, filters, offset)


def conv2d_backward(
    x: ArrayLike,
    kernel: ArrayLike,
    dy: ArrayLike,
    *,
    strides: Size = 1,
    padding: Padding2D = "valid",
    dilation_rate: Size = 1,
    groups: int = 1,
    device: str = "cpu",
) -> tuple[Floats, Floats, Floats]:
    """The gradients of ``conv2d`` with respect to x, kernel and bias, given dy (n, oh, ow, f).

    Returns:
        dx (n, h, w, c), dkernel (kh, kw, c / groups, f), dbias (f,).

    dkernel is x correlated with dy, dx the full convolution of dy with the kernel.

    Source: the lecture's slide "Training CNN (3/4)".
    """
    (images, filters), window = _convolution(x, kernel, strides, padding, dilation_rate, groups)
    gradient = _like(images, "dy", dy, (images.shape[0], *window.out, filters.shape[3]))
    return _run(device, lambda ops, a, k, g: ops.conv2d_backward(a, k, g, window), images, filters, gradient)


def max_pool2d(
    x: ArrayLike, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding2D = "valid", device: str = "cpu"
) -> Floats:
    """The largest value under each window: x (n, h, w, c) to (n, oh, ow, c). ``strides`` defaults to ``pool_size``.

    Source: the lecture's slide "Pooling Layer (2/2)".
    """
    images, window = _pooling(x, pool_size, strides, padding)
    return _run(device, lambda ops, a: ops.max_pool2d(a, window)[0], images)


def max_pool2d_backward(
    x: ArrayLike,
    dy: ArrayLike,
    pool_size: Size = 2,
    *,
    strides: Size | None = None,
    padding: Padding2D = "valid",
    device: str = "cpu",
) -> Floats:
    """dx (n, h, w, c): each gradient goes to the cell that was largest, the first one (row by row) of equals."""
    images, window = _pooling(x, pool_size, strides, padding)
    gradient = _like(images, "dy", dy, (images.shape[0], *window.out, images.shape[3]))
    return _run(device, lambda ops, a, g: ops.max_pool2d_backward(g, ops.max_pool2d(a, window)[1], window), images, gradient)


def avg_pool2d(
    x: ArrayLike,
    pool_size: Size = 2,
    *,
    strides: Size | None = None,
    padding: Padding2D = "valid",
    count_include_pad: bool = False,
    device: str = "cpu",
) -> Floats:
    """The mean under each window: x (n, h, w, c) to (n, oh, ow, c). ``strides`` defaults to ``pool_size``.

    Padding is not counted; with ``count_include_pad``, it is counted as zeros.

    Source: the lecture's slide "Pooling Layer (2/2)".
    """
    images, window = _pooling(x, pool_size, strides, padding)
    counted = bool(count_include_pad)
    return _run(device, lambda ops, a: ops.avg_pool2d(a, window, counted), images)


def avg_pool2d_backward(
    x: ArrayLike,
    dy: ArrayLike,
    pool_size: Size = 2,
    *,
    strides: Size | None = None,
    padding: Padding2D = "valid",
    count_include_pad: bool = False,
    device: str = "cpu",
) -> Floats:
    """dx (n, h, w, c): each gradient is shared equally by the cells that were averaged."""
    counted = bool(count_include_pad)
    images, window = _pooling(x, pool_size, strides, padding)
    gradient = _like(images, "dy", dy, (images.shape[0], *window.out, images.shape[3]))
    return _run(device, lambda ops, g: ops.avg_pool2d_backward(g, window, counted), gradient)


def dense(x: ArrayLike, kernel: ArrayLike, bias: ArrayLike | None = None, *, device: str = "cpu") -> Floats:
    """x @ kernel + bias: x (n, k), kernel (k, f), bias (f,) or None, result (n, f).

    Source: the lecture's slides "One-Layer Network For Classifying MNIST (3/4)" and "One-Layer Network For Classifying MNIST (4/4)".
    """
    rows, weights = _product(x, kernel)
    offset = _bias(bias, weights)
    return _run(device, lambda ops, a, k, b: ops.dense(a, k, b), rows, weights, offset)


def dense_backward(x: ArrayLike, kernel: ArrayLike, dy: ArrayLike, *, device: str = "cpu") -> tuple[Floats, Floats, Floats]:
    """dx = dy @ kernel.T, dkernel = x.T @ dy, dbias = dy summed over the batch, given dy (n, f)."""
    rows, weights = _product(x, kernel)
    gradient = _like(rows, "dy", dy, (rows.shape[0], weights.shape[1]))
    return _run(device, lambda ops, a, k, g: ops.dense_backward(a, k, g), rows, weights, gradient)


def relu(x: ArrayLike, *, device: str = "cpu") -> Floats:
    """max(0, x), any shape; NaN stays NaN."""
    return _activate("relu", x, device)


def relu_backward(x: ArrayLike, dy: ArrayLike, *, device: str = "cpu") -> Floats:
    """dx = dy where x > 0, else 0 (0 at x = 0 too)."""
    return _activate_backward("relu", x, dy, device)


def leaky_relu(x: ArrayLike, negative_slope: float = NEGATIVE_SLOPE, *, device: str = "cpu") -> Floats:
    """x where x > 0, else negative_slope * x, any shape; Keras's default."""
    return _activate("leaky_relu", x, device, _slope(negative_slope))


def leaky_relu_backward(x: ArrayLike, dy: ArrayLike, negative_slope: float = NEGATIVE_SLOPE, *, device: str = "cpu") -> Floats:
    """dx = dy where x > 0, else negative_slope * dy."""
    return _activate_backward("leaky_relu", x, dy, device, _slope(negative_slope))


def relu6(x: ArrayLike, *, device: str = "cpu") -> Floats:
    """min(max(0, x), 6), any shape; NaN stays NaN."""
    return _activate("relu6", x, device)


def relu6_backward(x: ArrayLike, dy: ArrayLike, *, device: str = "cpu") -> Floats:
    """dx = dy where 0 < x < 6, else 0."""
    return _activate_backward("relu6", x, dy, device)


def elu(x: ArrayLike, *, device: str = "cpu") -> Floats:
    """x where x > 0, else exp(x) - 1, any shape."""
    return _activate("elu", x, device)


def elu_backward(x: ArrayLike, dy: ArrayLike, *, device: str = "cpu") -> Floats:
    """dx = dy where x > 0, else dy * exp(x)."""
    return _activate_backward("elu", x, dy, device)


def hard_sigmoid(x: ArrayLike, *, device: str = "cpu") -> Floats:
    """min(max(0, x + 3), 6) / 6, any shape."""
    return _activate("hard_sigmoid", x, device)


def hard_sigmoid_backward(x: ArrayLike, dy: ArrayLike, *, device: str = "cpu") -> Floats:
    """dx = dy / 6 where -3 < x < 3, else 0."""
    return _activate_backward("hard_sigmoid", x, dy, device)


def silu(x: ArrayLike, *, device: str = "cpu") -> Floats:
    """x / (1 + exp(-x)), any shape; also called swish."""
    return _activate("silu", x, device)


def silu_backward(x: ArrayLike, dy: ArrayLike, *, device: str = "cpu") -> Floats:
    """dx = dy * (s + x * s * (1 - s)), where s = sigmoid(x)."""
    return _activate_backward("silu", x, dy, device)


def hard_swish(x: ArrayLike, *, device: str = "cpu") -> Floats:
    """x * min(max(0, x + 3), 6) / 6, any shape."""
    return _activate("hard_swish", x, device)


def hard_swish_backward(x: ArrayLike, dy: ArrayLike, *, device: str = "cpu") -> Floats:
    """dx = 0 where x <= -3, dy where x >= 3, else dy * (2 * x + 3) / 6."""
    return _activate_backward("hard_swish", x, dy, device)


def sigmoid(x: ArrayLike, *, device: str = "cpu") -> Floats:
    """1 / (1 + exp(-x)), any shape, without overflow."""
    return _activate("sigmoid", x, device)


def sigmoid_backward(x: ArrayLike, dy: ArrayLike, *, device: str = "cpu") -> Floats:
    """dx = dy * s * (1 - s), where s = sigmoid(x)."""
    return _activate_backward("sigmoid", x, dy, device)


def tanh(x: ArrayLike, *, device: str = "cpu") -> Floats:
    """tanh(x), any shape."""
    return _activate("tanh", x, device)


def tanh_backward(x: ArrayLike, dy: ArrayLike, *, device: str = "cpu") -> Floats:
    """dx = dy * (1 - tanh(x)^2)."""
    return _activate_backward("tanh", x, dy, device)


def softmax(x: ArrayLike, *, device: str = "cpu") -> Floats:
    """exp(x) / sum exp(x) along the last axis, without overflow.

    Source: the lecture's slide "One-Layer Network For Classifying MNIST (4/4)".
    """
    return _activate("softmax", x, device)


def softmax_backward(x: ArrayLike, dy: ArrayLike, *, device: str = "cpu") -> Floats:
    """dx = y * (dy - sum(dy * y)) along the last axis, where y = softmax(x)."""
    return _activate_backward("softmax", x, dy, device)


def softmax_cross_entropy(logits: ArrayLike, labels: ArrayLike, *, device: str = "cpu") -> tuple[float, Floats]:
    """The mean of -log softmax(logits)[label] over a batch, and its gradient.

    Args:
        logits: (n, classes).
        labels: whole numbers (n,), each in 0...classes-1.

    Returns:
        the mean loss, and dlogits = (softmax - onehot) / n, shaped as logits.

    Raises:
        ShapeError, DataError: the shapes differ, the batch is empty, or a label has no class.

    Source: the lecture's slide "How Good the Predictions Are?".
    """
    rows = _floats("logits", logits, axes=2)
    if 0 in rows.shape:
        raise ShapeError(f"logits: expected at least one row and one column, got shape {rows.shape}")
    classes = check_labels("labels", _array("labels", labels), *rows.shape)
    losses, _, gradient = _run(device, lambda ops, z, t: ops.softmax_cross_entropy(z, t), rows, classes.astype(np.int64))
    return float(np.mean(losses, dtype=np.float64)), gradient


def one_hot(labels: ArrayLike, classes: int, *, dtype: str = "float64") -> Floats:
    """One row for each label: 1 in the label's column, 0 in the others.

    >>> one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]])

    Args:
        labels: whole numbers (n,), each in 0...classes-1.
        classes: the number of columns.
        dtype: ``"float64"`` or ``"float32"``.

    Returns:
        (n, classes).

    Raises:
        ShapeError, DataError, ModelError: labels are no row of whole numbers, a label has no class, or another argument is wrong.

    Source: the lecture's slide "How Good the Predictions Are?".
    """
    check_positive("classes", classes)
    if dtype not in ("float32", "float64"):
        raise DataError(f"dtype: expected 'float32' or 'float64', got {short(dtype)}")
    given = _array("labels", labels)
    numbers = check_labels("labels", given.astype(np.int64) if given.shape == (0,) else given, given.size, classes)
    rows = np.zeros((len(numbers), classes), dtype)
    rows[np.arange(len(numbers)), numbers] = 1
    return rows


def cross_entropy(probabilities: ArrayLike, targets: ArrayLike) -> float:
    """The mean over a batch of -sum_k Y_k * log(Yhat_k), summed in float64.

    A class whose target is 0 adds nothing, whatever its probability. A class whose target is greater and whose probability is 0
    makes the loss infinite: nothing is clipped. ``softmax_cross_entropy`` takes logits, stays finite and has a gradient.

    >>> cross_entropy(np.array([[0.5, 0.25, 0.25]]), one_hot([0], 3))
    0.6931471805599453

    Args:
        probabilities: Yhat (n, classes), each in 0...1, as ``softmax`` gives.
        targets: Y (n, classes), each in 0...1, as ``one_hot`` gives.

    Raises:
        ShapeError, DataError: the shapes or types differ, the batch is empty, or a value lies outside 0...1.

    Source: the lecture's slide "How Good the Predictions Are?".
    """
    predicted = _floats("probabilities", probabilities, axes=2)
    _check_not_empty("probabilities", predicted)
    wanted = _like(predicted, "targets", targets, predicted.shape)
    for name, values in (("probabilities", predicted), ("targets", wanted)):
        outside = (values < 0) | (values > 1 + ROUNDING)
        if outside.any():
            place = tuple(int(i) for i in np.argwhere(outside)[0])
            raise DataError(
                f"{name}: expected numbers in 0...1, got {values[place]} at {place}. "
                "For a network's outputs before the softmax, use softmax_cross_entropy"
            )
    with np.errstate(divide="ignore"):
        logs = np.log(predicted, where=wanted != 0, out=np.zeros(predicted.shape), dtype=np.float64)
    return float(-(wanted * logs).sum(axis=1).mean()) + 0.0


def dropout(x: ArrayLike, rate: float, seed: int, step: int, *, device: str = "cpu") -> Floats:
    """Zero a share ``rate`` of the values and scale the others by 1 / (1 - rate).

    Args:
        x: any shape.
        rate: the share, in [0, 1).
        seed, step: whole numbers of at least 0; the same pair drops the same cells, on any machine.

    Source: Srivastava et al. 2014 (JMLR 15); the lecture's slide "Some Improvement (4/5)".
    """
    values = _floats("x", x)
    check_fraction("rate", rate)
    for name, number in (("seed", seed), ("step", step)):
        if not isinstance(number, (int, np.integer)) or number < 0:
            raise ModelError(f"{name}: expected a whole number of at least 0, got {number!r}")
    return _run(device, lambda ops, a: ops.dropout(a, rate, DropoutKey(int(seed), int(step), 0)), values)


def _activate(name: str, x: ArrayLike, device: str, *numbers: float) -> Floats:
    return _run(device, lambda ops, a: activate(ops, name, a, *numbers)[0], _activation_input(name, x))


def _activate_backward(name: str, x: ArrayLike, dy: ArrayLike, device: str, *numbers: float) -> Floats:
    values = _activation_input(name, x)
    gradient = _like(values, "dy", dy, values.shape)

    def backward(ops: Ops, a: Any, g: Any) -> Any:
        _, kept = activate(ops, name, a, *numbers)
        return activate_backward(ops, name, kept, g, *numbers)

    return _run(device, backward, values, gradient)


def _slope(value: float) -> float:
    check_fraction("negative_slope", value)
    return value


def _activation_input(name: str, x: ArrayLike) -> Floats:
    values = _floats("x", x)
    if name == "softmax" and (values.ndim == 0 or values.shape[-1] == 0):
        raise ShapeError(f"x: expected a last axis of at least one value, got shape {values.shape}")
    return values


def _run(device: str, function: Callable[..., Any], *arrays: NDArray[Any] | None) -> Any:
    """Call ``function(ops, *arrays)`` with the arrays on the device, and bring its results to the host."""
    ops = get_ops(device, plain=True)
    result = function(ops, *(None if array is None else ops.asarray(array) for array in arrays))
    return tuple(map(ops.to_host, result)) if isinstance(result, tuple) else ops.to_host(result)


def _floats(name: str, value: ArrayLike, axes: int | None = None) -> Floats:
    array = _array(name, value)
    native = array.dtype.newbyteorder("=")
    if native not in (np.float32, np.float64):
        raise DataError(f"{name}: expected float32 or float64, got {array.dtype}. Convert it with .astype('float32')")
    if axes is not None and array.ndim != axes:
        wanted = {2: "(rows, columns)", 4: "four axes, as (n, height, width, channels)"}[axes]
        raise ShapeError(f"{name}: expected {wanted}, got shape {array.shape}")
    return array.astype(native, copy=False)


def _array(name: str, value: ArrayLike) -> NDArray[Any]:
    """A NumPy array of any value that NumPy can convert without loss."""
    if isinstance(value, np.ma.MaskedArray):
        return check_array(name, value)
    try:
        return check_array(name, np.asarray(value))
    except ValueError as error:  # rows of unequal length
        raise DataError(f"{name}: no array can be made of it: {error}") from None


def _like(first: Floats, name: str, value: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """Another argument, of the first one's dtype and of this shape."""
    array = _floats(name, value)
    _check_dtype(first, name, array)
    if array.shape != shape:
        raise ShapeError(f"{name}: expected shape {shape}, got {array.shape}")
    return array


def _bias(bias: ArrayLike | None, kernel: Floats) -> Floats | None:
    return None if bias is None else _like(kernel, "bias", bias, kernel.shape[-1:])


def _check_dtype(first: Floats, name: str, array: Floats) -> None:
    if array.dtype != first.dtype:
        raise DataError(f"{name}: expected {first.dtype}, as the first argument, got {array.dtype}. Give all of one type")


def _check_not_empty(name: str, array: NDArray[Any]) -> None:
    if array.size == 0:
        raise ShapeError(f"{name}: expected at least one value, got shape {array.shape}")


def _convolution(
    x: ArrayLike, kernel: ArrayLike, strides: Size, padding: Padding2D, dilation_rate: Size, groups: int
) -> tuple[tuple[Floats, Floats], Window2D]:
    images, filters = _floats("x", x, axes=4), _floats("kernel", kernel, axes=4)
    _check_dtype(images, "kernel", filters)
    _check_not_empty("kernel", filters)
    check_positive("groups", groups)
    if images.shape[3] != filters.shape[2] * groups:
        share = f" divided by {groups} groups" if groups > 1 else ""
        raise ShapeError(
            f"kernel: expected filters of as many channels as x (={images.shape[3]}){share}, got {filters.shape[2]}. "
            "Images are NHWC, filters HWIO"
        )
    if filters.shape[3] % groups:
        raise ShapeError(f"groups: expected a number that divides the {filters.shape[3]} filters, got {groups}")
    size, reach = (images.shape[1], images.shape[2]), (filters.shape[0], filters.shape[1])
    dilation = pair(dilation_rate, "dilation_rate")
    return (images, filters), window2d(size, reach, pair(strides, "strides"), padding2d(padding), dilation)


def _pooling(x: ArrayLike, pool_size: Size, strides: Size | None, padding: Padding2D) -> tuple[Floats, Window2D]:
    images = _floats("x", x, axes=4)
    pool = pair(pool_size, "pool_size")
    steps = pool if strides is None else pair(strides, "strides")
    return images, pool_window2d((images.shape[1], images.shape[2]), pool, steps, padding2d(padding))


def _product(x: ArrayLike, kernel: ArrayLike) -> tuple[Floats, Floats]:
    rows, weights = _floats("x", x, axes=2), _floats("kernel", kernel, axes=2)
    _check_dtype(rows, "kernel", weights)
    _check_not_empty("kernel", weights)
    if rows.shape[1] != weights.shape[0]:
        raise ShapeError(f"kernel: expected as many rows as x has columns (={rows.shape[1]}), got {weights.shape[0]}")
    return rows, weights
