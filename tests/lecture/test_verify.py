"""``verify`` passes on this program's kernels, and fails on a device, a layer or a formula that is broken in one place."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from numbacnn import initializers
from numbacnn.backends import get_ops
from numbacnn.backends.cpu.plain.ops import PlainOps
from numbacnn.layers import Dropout, Flatten
from numbacnn.layers.base import Forward
from numbacnn.lecture import Check, verify
from numbacnn.lecture import checks_dense as dense
from numbacnn.lecture.check import check
from numbacnn.lecture.verification import CHECKED
from numbacnn.optimizers import Adam
from numbacnn.shapes import Window, Window2D
from numbacnn.values import Rule


@pytest.fixture(scope="module")
def checks() -> list[Check]:
    return verify(get_ops("cpu", plain=True))


def test_every_check_passes(checks: list[Check]) -> None:
    assert [each for each in checks if not each.passed] == []
    assert len(checks) >= 55


def test_checks_have_names_of_their_own_and_an_origin(checks: list[Check]) -> None:
    assert len({each.name for each in checks}) == len(checks)
    assert {each.origin for each in checks} == {"slide", "source", "derived"}
    assert all(each.formula for each in checks)


def test_a_section_has_its_own_checks_and_no_others(checks: list[Check]) -> None:
    ops = get_ops("cpu", plain=True)
    assert [each.name for name in CHECKED for each in verify(ops, name)] == [each.name for each in checks]


@pytest.mark.parametrize("device", ["cpu"])
def test_the_fast_device_gives_the_lectures_numbers_too(device: str) -> None:
    assert [each for each in verify(get_ops(device)) if not each.passed] == []


def test_the_numbers_are_the_same_bits_each_time(checks: list[Check]) -> None:
    assert verify(get_ops("cpu", plain=True)) == checks


@pytest.mark.parametrize(
    ("expected", "computed", "tolerance", "passed"),
    [
        (6600, 6600.0, 0, True), (6600, 6600.0000001, 0, False), (0, -0.0, 0, True), (0, math.nan, 1, False), (math.nan, 1, 1, False),
        ([1, 2], [1, 2], 0, True), ([1, 1], 1, 0, False), ([1, 2], [[1, 2]], 0, False), ([1, 2], [1, 2.001], 0.001, True),
        ([1, 2], [1, 2.1], 0.001, False), (1, math.inf, 1, False),
    ],
)  # fmt: skip
def test_a_check_compares_shape_and_value(expected: Any, computed: Any, tolerance: float, passed: bool) -> None:
    assert check("", "", "", expected, computed, tolerance=tolerance).passed is passed


# --- devices that are broken in one place ------------------------------------------------------------------------------------------


def padded_before(axis: Window) -> Window:
    return axis._replace(pad_before=axis.pad_after, pad_after=axis.pad_before)


def swapped_strides(window: Window2D) -> Window2D:
    """The strides of rows and columns exchanged; the size of the output stays, as far as there are cells to read."""
    rows, columns = window
    return Window2D(rows._replace(stride=columns.stride), columns._replace(stride=rows.stride))


class FlippedKernel(PlainOps):
    def conv2d(self, x: Any, kernel: Any, bias: Any, window: Any) -> Any:
        return super().conv2d(x, np.ascontiguousarray(kernel[::-1, ::-1]), bias, window)


class TransposedKernel(PlainOps):
    def conv2d(self, x: Any, kernel: Any, bias: Any, window: Any) -> Any:
        square = kernel.shape[0] == kernel.shape[1]
        return super().conv2d(x, np.ascontiguousarray(kernel.swapaxes(0, 1)) if square else kernel, bias, window)


class ConvolutionPadsBefore(PlainOps):
    def conv2d(self, x: Any, kernel: Any, bias: Any, window: Any) -> Any:
        return super().conv2d(x, kernel, bias, Window2D(*map(padded_before, window)))


class PoolingPadsBefore(PlainOps):
    def max_pool2d(self, x: Any, window: Any) -> Any:
        return super().max_pool2d(x, Window2D(*map(padded_before, window)))


class MeanCountsPadding(PlainOps):
    def avg_pool2d(self, x: Any, window: Any, count_padding: bool = False) -> Any:
        return super().avg_pool2d(x, window, True)


class MaxPadsZero(PlainOps):
    """The least value of a window that reaches into the padding is 0: the rectified maps do not show it."""

    def max_pool2d(self, x: Any, window: Any) -> Any:
        y, winners = super().max_pool2d(x, window)
        rows, columns = window
        if rows.pad_after:
            y[:, -1] = np.maximum(y[:, -1], 0)
        if columns.pad_after:
            y[:, :, -1] = np.maximum(y[:, :, -1], 0)
        return y, winners


class TiesToTheLast(PlainOps):
    def max_pool2d(self, x: Any, window: Any) -> Any:
        y, winners = super().max_pool2d(x, window)
        rows, columns = window
        for n, i, j, c in np.ndindex(*y.shape):
            for u, v in np.ndindex(rows.kernel, columns.kernel):
                r, q = i * rows.stride - rows.pad_before + u, j * columns.stride - columns.pad_before + v
                if 0 <= r < rows.size and 0 <= q < columns.size and x[n, r, q, c] == y[n, i, j, c]:
                    winners[n, i, j, c] = u * columns.kernel + v
        return y, winners


class BiasTwiceInConvolutions(PlainOps):
    def conv2d(self, x: Any, kernel: Any, bias: Any, window: Any) -> Any:
        return super().conv2d(x, kernel, None if bias is None else 2 * bias, window)


class BiasTwiceInDenseLayers(PlainOps):
    def dense(self, x: Any, kernel: Any, bias: Any, *, relu: bool = False) -> Any:
        return super().dense(x, kernel, None if bias is None else 2 * bias, relu=relu)


class GradientNotAccumulated(PlainOps):
    """dX of a cell is that of the last window that reads it, instead of the sum over all."""

    def conv2d_backward(self, x: Any, kernel: Any, dy: Any, window: Any, *, needs_dx: bool = True) -> Any:
        dx, dkernel, dbias = super().conv2d_backward(x, kernel, dy, window, needs_dx=needs_dx)
        rows, columns = window
        for n, i, j, f in np.ndindex(*dy.shape):
            for u, v, c in np.ndindex(*kernel.shape[:3]):
                r, q = i * rows.stride - rows.pad_before + u, j * columns.stride - columns.pad_before + v
                if 0 <= r < rows.size and 0 <= q < columns.size:
                    dx[n, r, q, c] = dy[n, i, j, f] * kernel[u, v, c, f]
        return dx, dkernel, dbias


class SwappedStrides(PlainOps):
    def conv2d(self, x: Any, kernel: Any, bias: Any, window: Any) -> Any:
        rows, columns = window
        if rows.stride == columns.stride:
            return super().conv2d(x, kernel, bias, window)
        larger = np.zeros((x.shape[0], 64, 64, x.shape[3]))  # so that no cell outside of the memory is read
        larger[:, : x.shape[1], : x.shape[2]] = x
        swapped = swapped_strides(window)
        return super().conv2d(larger, kernel, bias, Window2D(*(axis._replace(size=64) for axis in swapped)))


class SwappedStridesBackward(PlainOps):
    def conv2d_backward(self, x: Any, kernel: Any, dy: Any, window: Any, *, needs_dx: bool = True) -> Any:
        rows, columns = window
        if rows.stride == columns.stride:
            return super().conv2d_backward(x, kernel, dy, window)
        larger = np.zeros((x.shape[0], 64, 64, x.shape[3]))
        swapped = Window2D(*(axis._replace(size=64) for axis in swapped_strides(window)))
        dx, dkernel, dbias = super().conv2d_backward(larger, kernel, dy, swapped)
        return np.ascontiguousarray(dx[:, : x.shape[1], : x.shape[2]]), dkernel, dbias


class ReluGradientOneAtZero(PlainOps):
    def relu_backward(self, y: Any, dy: Any) -> Any:
        return np.where(y >= 0, dy, 0)


class CrossEntropySummed(PlainOps):
    """The gradient is that of the sum over the batch, not of the mean."""

    def softmax_cross_entropy(self, logits: Any, labels: Any) -> Any:
        losses, correct, gradient = super().softmax_cross_entropy(logits, labels)
        return losses, correct, gradient * len(logits)


class LossesSummed(PlainOps):
    def softmax_cross_entropy(self, logits: Any, labels: Any) -> Any:
        losses, correct, gradient = super().softmax_cross_entropy(logits, labels)
        return losses * len(logits), correct, gradient


class NoMaxShift(PlainOps):
    def softmax(self, x: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


class NoMaxShiftInTheLoss(PlainOps):
    def softmax_cross_entropy(self, logits: Any, labels: Any) -> Any:
        with np.errstate(all="ignore"):
            total = np.exp(logits).sum(axis=1)
            _, correct, gradient = super().softmax_cross_entropy(logits, labels)
            return np.log(total) - logits[np.arange(len(labels)), labels], correct, gradient


class DropoutUnscaled(PlainOps):
    def dropout(self, x: Any, rate: float, key: Any) -> Any:
        return super().dropout(x, rate, key) * (1 - rate)


class DropoutKeepsTheRate(PlainOps):
    """The rate is taken for the share to keep."""

    def dropout(self, x: Any, rate: float, key: Any) -> Any:
        return super().dropout(x, 1 - rate, key)


BROKEN: dict[type[PlainOps], str] = {
    FlippedKernel: "the curve filter on its curve",
    TransposedKernel: "the curve filter on its curve",
    ConvolutionPadsBefore: "a 2x2 filter over 3x3, padded",
    PoolingPadsBefore: "the pooled maps as the slide prints them",
    MeanCountsPadding: "mean pooling at the border",
    MaxPadsZero: "the last cell of a map that was not rectified, times 9",
    TiesToTheLast: "gradient of max pooling, four equal cells",
    BiasTwiceInConvolutions: "two feature maps of three channels",
    BiasTwiceInDenseLayers: "two neurons, two images",
    GradientNotAccumulated: "dE/dX, E = h11 + h12 + h21 + h22",
    SwappedStrides: "a 1x1 filter with strides 2 and 3",
    SwappedStridesBackward: "rows that neuron (2, 1) reads, strides 2 and 3",
    ReluGradientOneAtZero: "gradient of ReLU at 0",
    CrossEntropySummed: "gradient of the cross-entropy",
    LossesSummed: "cross-entropy of three images",
    NoMaxShift: "softmax of three images",
    NoMaxShiftInTheLoss: "cross-entropy of three images",
    DropoutUnscaled: "dropout of 0.2 keeps",
    DropoutKeepsTheRate: "dropout of 0.2 drops",
}
"""Each broken device, and a check that must find it."""


@pytest.mark.parametrize("device", BROKEN, ids=lambda device: device.__name__)
def test_verify_handed_a_broken_device_fails(device: type[PlainOps]) -> None:
    """It is broken in one place, so most checks pass, and the one for that place does not."""
    checks = verify(device())
    assert BROKEN[device] in {each.name for each in checks if not each.passed}
    assert sum(each.passed for each in checks) > len(checks) / 2


def test_the_rectified_maps_alone_do_not_find_a_pooling_that_pads_zeros() -> None:
    """Why the map that was not rectified is checked."""
    failed = {each.name for each in verify(MaxPadsZero()) if not each.passed}
    assert failed == {BROKEN[MaxPadsZero], "max pooling at the border"}


def test_x_and_o_alone_do_not_find_a_flipped_kernel() -> None:
    """Each of the three filters equals its half turn."""
    failed = {each.slide for each in verify(FlippedKernel(), "xo") if not each.passed}
    assert failed == {"One more example"}


# --- layers and formulas that are broken ---------------------------------------------------------------------------------------------


def adam_uncorrected(monkeypatch: pytest.MonkeyPatch) -> str:
    def rule(self: Adam, learning_rate: float, step: int) -> Rule:
        return Rule("adam", (learning_rate, self.beta1, self.beta2, self.epsilon))

    monkeypatch.setattr(Adam, "rule", rule)
    return "five steps of Adam"


def decay_an_epoch_late(monkeypatch: pytest.MonkeyPatch) -> str:
    right = dense.exponential
    monkeypatch.setattr(dense, "exponential", lambda rate, decay: lambda epoch: right(rate, decay)(max(epoch - 1, 0)))
    return "learning rate of ten epochs"


def he_without_its_rescale(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(initializers, "TRUNCATED_SD", 1.0)
    return "He's weights of a neuron with 784 inputs"


def flatten_by_channels(monkeypatch: pytest.MonkeyPatch) -> str:
    def forward(self: Flatten, ops: Any, parameters: Any, inputs: Any, context: Any) -> Forward:
        (x,) = inputs
        return Forward(np.ascontiguousarray(x.transpose(0, 3, 1, 2)).reshape(len(x), -1), cache=x.shape)

    monkeypatch.setattr(Flatten, "forward", forward)
    return "order of a flattened image"


def dropout_in_evaluation(monkeypatch: pytest.MonkeyPatch) -> str:
    def forward(self: Dropout, ops: Any, parameters: Any, inputs: Any, context: Any) -> Forward:
        return Forward(ops.dropout(inputs[0], self.rate, context.dropout), cache=context.dropout)

    monkeypatch.setattr(Dropout, "forward", forward)
    return "dropout in evaluation"


@pytest.mark.parametrize(
    "breakage",
    [adam_uncorrected, decay_an_epoch_late, he_without_its_rescale, flatten_by_channels, dropout_in_evaluation],
)
def test_verify_finds_a_broken_layer_or_formula(
    breakage: Callable[[pytest.MonkeyPatch], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = breakage(monkeypatch)
    failed = {each.name for each in verify(get_ops("cpu", plain=True)) if not each.passed}
    assert name in failed
    assert len(failed) < 10
