"""A check of a GPU at its first use: does it compute what NumPy does on the CPU?

A driver, a compiler or a device that computes wrong numbers trains a network that is merely bad. So each new combination of GPU, driver,
compilers and kernels computes every kind of op once. The data are small whole numbers: their sums and products are exact in float32, in
any order, and in TF32 as well, and must be those of the CPU to the bit; where a root or an exponential is taken, they must be close.

A stamp in the folder of the compiled kernels, whose name changes with kernels and compilers, says that it has passed.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.backends.cuda._jit import SIMULATED, gpu, gpu_uuid, kernels_folder
from numbacnn.backends.precisions import FLOAT32
from numbacnn.errors import DeviceError, DeviceMemoryError
from numbacnn.files import write_whole
from numbacnn.ops import Ops
from numbacnn.shapes import pool_window2d, window2d
from numbacnn.values import Array, ConvBlock, FactoredGradient, Rule

Numbers = NDArray[np.float64]
Whole = Callable[..., Numbers]
"""From a shape to whole numbers."""
Put = Callable[[Numbers], Array]
"""To float32 on the device."""


class Sizes(NamedTuple):
    """Of the arrays, large enough for the tiles of training.

    Args:
        images, side, channels, filters, kernel: of the convolution.
        rows, inputs, units: of the dense layers.
    """

    images: int
    side: int
    channels: int
    filters: int
    kernel: int
    rows: int
    inputs: int
    units: int


SIZES = Sizes(2, 4, 1, 2, 3, 9, 10, 3) if SIMULATED else Sizes(8, 14, 32, 64, 5, 100, 784, 10)
MOST = 3
"""The whole numbers are at most so far from 0, and their sums below 2^24."""

CLOSE = 1e-5
"""The largest error of what is not exact, relative to the largest value."""

EPSILON = 1e-3
_passed: set[str] = set()


class Check(NamedTuple):
    """An op, and what it must give.

    Args:
        op: its name.
        compute: arrays on the device.
        expected: the same on the host, float64.
        is_exact: whether every bit of them is known.
    """

    op: str
    compute: Callable[[], Sequence[Any]]
    expected: Sequence[NDArray[Any]]
    is_exact: bool


def check_once(ops: Ops, on_check: Callable[[], None] = lambda: None) -> None:
    """Check this GPU unless it has passed before; then, ``on_check`` is called first. Not in the simulator, which is no GPU.

    Raises:
        DeviceError: it computes other numbers; the message names the op. DeviceMemoryError: it has no room for a few megabytes.
    """
    precision = getattr(ops, "precision", FLOAT32)
    identity = "" if SIMULATED else _identity(precision)
    if SIMULATED or identity in _passed or has_passed(precision):
        return
    on_check()
    check(ops)
    _passed.add(identity)
    if (folder := kernels_folder().path) is not None:
        with contextlib.suppress(OSError):  # the next process checks again
            write_whole(folder / _stamp(identity), identity.encode(), mode=0o600)


def has_passed(precision: str = FLOAT32) -> bool:
    """Whether there is a stamp for this GPU with its driver and the kernels as they are."""
    folder, identity = kernels_folder().path, _identity(precision)
    if folder is None:
        return False
    try:
        return (folder / _stamp(identity)).read_bytes() == identity.encode()
    except OSError:
        return False


def _identity(precision: str) -> str:
    device, other = gpu(), [precision] if precision != FLOAT32 else []  # whose kernels are others
    return "\n".join([device.name, gpu_uuid(), device.compute_capability, device.driver, *other])


def _stamp(identity: str) -> str:
    return f"self-check-{hashlib.sha256(identity.encode()).hexdigest()[:32]}.txt"


def check(ops: Ops) -> None:
    """Compute every kind of op, and compare. Raises DeviceError at the first that differs."""
    name = gpu().name  # asked for now: after a kernel that touched foreign memory the driver answers nothing
    for each in checks(ops):
        try:
            found = [np.asarray(ops.to_host(array)) for array in each.compute()]
        except DeviceMemoryError:
            raise
        except Exception as error:  # of the compiler, the driver, or memory that a kernel must not touch
            raise _failed(name, each.op, f"{type(error).__name__}: {error}") from error
        for array, expected in zip(found, each.expected, strict=True):
            if wrong := _differing(array, expected, each.is_exact):
                raise _failed(name, each.op, f"others in {wrong:,} of {expected.size:,} values")


def _differing(found: NDArray[Any], expected: NDArray[Any], is_exact: bool) -> int:
    if found.shape != expected.shape:
        return expected.size
    bound = 0 if is_exact else CLOSE * max(1.0, float(np.abs(expected).max()))
    return int(np.count_nonzero(~(np.abs(found.astype(np.float64) - expected) <= bound)))  # NaN differs, too


def _failed(name: str, op: str, got: str) -> DeviceError:
    return DeviceError(
        f"{name}: {op}: expected the numbers that the CPU computes, got {got}. "
        "Use --device cpu, or another driver: 'numbacnn doctor' lists it and the packages that compile kernels"
    )


def checks(ops: Ops) -> Iterator[Check]:
    """The ops and what they must give, one after the other."""
    generator = np.random.default_rng(0)

    def whole(*shape: int) -> Numbers:
        return generator.integers(-MOST, MOST, shape, endpoint=True).astype(np.float64)

    def put(array: Numbers) -> Array:
        return ops.asarray(array.astype(np.float32))

    yield from _dense(ops, whole, put)
    yield from _convolution(ops, whole, put)
    yield from _normalisation(ops, whole, put)
    yield from _loss(ops, whole, put)
    yield from _updates(ops, whole, put)


def _dense(ops: Ops, whole: Whole, put: Put) -> Iterator[Check]:
    _, _, _, _, _, rows, inputs, units = SIZES
    x, weights, bias, dy = whole(rows, inputs), whole(inputs, units), whole(units), whole(rows, units)
    left, right, addend = put(x), put(weights), put(bias)
    yield Check("dense", lambda: [ops.dense(left, right, addend, relu=True)], [np.maximum(x @ weights + bias, 0)], True)
    expected = dy @ weights.T, x.T @ dy, dy.sum(axis=0)
    yield Check("dense_backward", lambda: ops.dense_backward(left, right, put(dy)), expected, True)


def _convolution(ops: Ops, whole: Whole, put: Put) -> Iterator[Check]:
    images, side, channels, maps, size = SIZES[:5]
    window = window2d((side, side), (size, size), (1, 1), "same")
    block = ConvBlock(window, True, pool_window2d(window.out, (2, 2), (2, 2), "valid"))
    x, filters, bias = whole(images, side, side, channels), whole(size, size, channels, maps), whole(maps)
    dy = whole(images, side // 2, side // 2, maps)
    z = _cells(np.tensordot(_patches(x, size), filters, 3) + bias)
    winners = z.argmax(axis=-1)[..., None]  # the first of equals
    y = np.maximum(np.take_along_axis(z, winners, -1)[..., 0], 0)
    dz = np.zeros_like(z)
    np.put_along_axis(dz, winners, (dy * (y > 0))[..., None], -1)
    dz = dz.reshape(images, side // 2, side // 2, maps, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(images, side, side, maps)
    dx = np.tensordot(_patches(dz, size), filters[::-1, ::-1].transpose(0, 1, 3, 2), 3)
    dfilters = np.tensordot(_patches(x, size), dz, ([0, 1, 2], [0, 1, 2]))
    given = put(x), put(filters), put(bias)
    yield Check("conv2d_block", lambda: [ops.conv2d_block(*given, block)[0]], [y], True)

    def backward() -> Sequence[Any]:
        _, saved = ops.conv2d_block(*given, block)
        return ops.conv2d_block_backward(saved, given[1], put(dy), block)

    yield Check("conv2d_block_backward", backward, (dx, dfilters, dz.sum(axis=(0, 1, 2))), True)


def _patches(x: Numbers, size: int) -> Numbers:
    """(images, rows, columns, size, size, channels): what a filter sees at each pixel, with padding "same"."""
    padded = np.pad(x, ((0, 0), (size // 2, size // 2), (size // 2, size // 2), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2)).transpose(0, 1, 2, 4, 5, 3)


def _cells(z: Numbers) -> Numbers:
    """(images, rows / 2, columns / 2, filters, 4): the cells of each window of 2 x 2."""
    images, rows, columns, maps = z.shape
    return (
        z.reshape(images, rows // 2, 2, columns // 2, 2, maps).transpose(0, 1, 3, 5, 2, 4).reshape(images, rows // 2, -1, maps, 4)
    )


def _normalisation(ops: Ops, whole: Whole, put: Put) -> Iterator[Check]:
    images, side, channels = SIZES[:3]
    x, dy, gamma, beta = (
        whole(images, side, side, channels),
        whole(images, side, side, channels),
        whole(channels),
        whole(channels),
    )
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    unit = (x - mean) / np.sqrt(variance + EPSILON)
    dgamma, dbeta = (dy * unit).sum(axis=(0, 1, 2)), dy.sum(axis=(0, 1, 2))
    dx = gamma / np.sqrt(variance + EPSILON) * (dy - (dbeta + unit * dgamma) / (images * side * side))
    given = put(x), put(gamma), put(beta)
    expected = gamma * unit + beta, mean, variance
    yield Check("batch_norm", lambda: ops.batch_norm(*given, EPSILON), expected, False)

    def backward() -> Sequence[Any]:
        return ops.batch_norm_backward(given[0], given[1], put(mean), put(variance), EPSILON, put(dy))

    yield Check("batch_norm_backward", backward, (dx, dgamma, dbeta), False)


def _loss(ops: Ops, whole: Whole, put: Put) -> Iterator[Check]:
    rows, classes = SIZES.rows, SIZES.units
    z, labels = whole(rows, classes), np.arange(rows, dtype=np.int64) % classes
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    y = powers / powers.sum(axis=1, keepdims=True)
    yield Check("softmax", lambda: [ops.softmax(put(z))], [y], False)
    of_label = y[np.arange(rows), labels]
    expected = -np.log(of_label), z.argmax(axis=1) == labels, (y - np.eye(classes)[labels]) / rows
    yield Check("softmax_cross_entropy", lambda: ops.softmax_cross_entropy(put(z), ops.asarray(labels)), expected, False)


def _updates(ops: Ops, whole: Whole, put: Put) -> Iterator[Check]:
    """By Adam: of a gradient in memory, and of one that the update itself computes."""
    _, _, _, _, _, rows, inputs, units = SIZES
    step_size, beta1, beta2, epsilon = 0.5, 0.9, 0.999, 1e-7
    w, m, v = whole(inputs, units), whole(inputs, units), whole(inputs, units) ** 2 + 1  # a root of 0 would enlarge all else
    x, dy = whole(rows, inputs), whole(rows, units)
    gradient = x.T @ dy
    new_m, new_v = m + (1 - beta1) * (gradient - m), v + (1 - beta2) * (gradient**2 - v)
    expected = w - step_size * new_m / (np.sqrt(new_v) + epsilon), new_m, new_v

    def update(factored: bool) -> Sequence[Any]:
        parameter, slots = put(w), [put(m), put(v)]
        given = FactoredGradient(put(x), put(dy)) if factored else put(gradient)
        ops.update(parameter, slots, given, Rule("adam", (step_size, beta1, beta2, epsilon)))
        return [parameter, *slots]

    yield Check("update", lambda: update(False), expected, False)
    yield Check("update", lambda: update(True), expected, False)
