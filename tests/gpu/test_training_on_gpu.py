"""Tests for a real GPU: large shapes, a whole epoch of MNIST, the same bits twice, memory that does not grow.

pytest -m gpu

Convolutions and dense layers are compared on small whole numbers, whose sums are exact in float32 in any order. Of random real numbers
some pre-activation of a million lies so near to 0 that it has another sign on another device, and ReLU passes another gradient on.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from numbacnn.backends import get_ops, gpu, why_not_cuda
from numbacnn.backends.cuda._jit import SIMULATED
from numbacnn.checkpoint import weights_sha256
from numbacnn.datasets import DIGIT_NAMES, Dataset, load_dataset
from numbacnn.layers.activation import ACTIVATIONS
from numbacnn.models import PRESETS
from numbacnn.ops import Ops
from numbacnn.shapes import Window2D, pool_window2d, window2d
from numbacnn.training import EpochDone, Settings, State, StepDone, new_state, train
from numbacnn.values import Augmentation, AugmentKey, ConvBlock, DropoutKey

MISSING = "the simulator is no GPU" if SIMULATED else why_not_cuda()


def needs_gpu(test: Callable[..., None]) -> Callable[..., None]:
    return pytest.mark.gpu(pytest.mark.skipif(MISSING is not None, reason=str(MISSING))(test))


BOUND = 1e-5
"""Relative L2 error of any result against the CPU's, both in float32 and on real numbers."""

MOST = 3
"""The whole numbers are at most so far from 0: sums of millions of their products stay below 2^24."""

WINDOWS = {
    "5x5 same": window2d((28, 28), (5, 5), (1, 1), "same"),
    "3x3 stride 2": window2d((28, 28), (3, 3), (2, 2), "same"),
    "3x2 valid": window2d((15, 14), (3, 2), (2, 1), "valid"),
}
POOL = pool_window2d((28, 28), (2, 2), (2, 2), "valid")
OVERLAPPING = pool_window2d((28, 28), (3, 3), (2, 2), "same")


def conv(ops: Ops, window: Window2D, pool: Window2D | None, x: Any, kernel: Any, bias: Any, dy: Any) -> tuple[Any, ...]:
    block = ConvBlock(window, True, pool)
    y, saved = ops.conv2d_block(x, kernel, bias, block)
    return y, *ops.conv2d_block_backward(saved, kernel, dy, block)


def dense(ops: Ops, x: Any, kernel: Any, bias: Any, dy: Any) -> tuple[Any, ...]:
    return ops.dense(x, kernel, bias, relu=True), *ops.dense_backward(x, kernel, dy)


def norm(ops: Ops, x: Any, gamma: Any, beta: Any, dy: Any) -> tuple[Any, ...]:
    y, mean, variance = ops.batch_norm(x, gamma, beta, 1e-3)
    inference = ops.batch_norm_inference(x, gamma, beta, mean, variance, 1e-3)
    return y, mean, variance, inference, *ops.batch_norm_backward(x, gamma, mean, variance, 1e-3, dy)


def max_pool(ops: Ops, x: Any, dy: Any) -> tuple[Any, ...]:
    y, winners = ops.max_pool2d(x, OVERLAPPING)
    return y, winners, ops.max_pool2d_backward(dy, winners, OVERLAPPING)


def avg_pool(ops: Ops, x: Any, dy: Any) -> tuple[Any, ...]:
    return ops.avg_pool2d(x, OVERLAPPING), ops.avg_pool2d_backward(dy, OVERLAPPING)


def activation(name: str) -> Callable[..., tuple[Any, ...]]:
    def both(ops: Ops, x: Any, dy: Any) -> tuple[Any, ...]:
        y = getattr(ops, name)(x)
        return y, getattr(ops, f"{name}_backward")(y, dy)

    return both


def conv_case(name: str, channels: int, filters: int, pool: Window2D | None = None, n: int = 64) -> tuple[Any, ...]:
    window = WINDOWS[name]
    rows, columns = window
    out = pool.out if pool else window.out
    shapes = (
        (n, rows.size, columns.size, channels),
        (rows.kernel, columns.kernel, channels, filters),
        (filters,),
        (n, *out, filters),
    )
    return lambda ops, *arrays: conv(ops, window, pool, *arrays), shapes


EXACT_CASES: dict[str, tuple[Any, ...]] = {
    "convolution": conv_case("5x5 same", 32, 64),
    "convolution of images": conv_case("5x5 same", 1, 32, POOL),
    "convolution and pooling": conv_case("5x5 same", 32, 64, POOL),
    "convolution with strides": conv_case("3x3 stride 2", 16, 24),
    "convolution of an odd shape": conv_case("3x2 valid", 5, 7),
    "a large batch": conv_case("3x3 stride 2", 16, 16, n=2000),
    "dense": (dense, ((1000, 3136), (3136, 1024), (1024,), (1000, 1024))),
    "dense, few units": (dense, ((100, 1024), (1024, 10), (10,), (100, 10))),
    "max_pool": (max_pool, ((64, 28, 28, 32), (64, 14, 14, 32))),
}

CASES: dict[str, tuple[Any, ...]] = {
    "batch_norm": (norm, ((100, 14, 14, 32), (32,), (32,), (100, 14, 14, 32))),
    "avg_pool": (avg_pool, ((64, 28, 28, 32), (64, 14, 14, 32))),
    **{name: (activation(name), ((1000, 300), (1000, 300))) for name in ACTIVATIONS},
    "dropout": (lambda ops, x: (ops.dropout(x, 0.3, DropoutKey(1, 2, 3)),), ((1000, 777),)),
    "augment": (lambda ops, x: (ops.augment(x, Augmentation(), AugmentKey(1, 2)),), ((200, 28, 28, 1),)),
}


def results(ops: Ops, name: str, dtype: Any = np.float32) -> list[NDArray[Any]]:
    """What a case of whole numbers gives, on the host."""
    call, shapes = EXACT_CASES[name]
    generator = np.random.default_rng(0)
    arrays = [generator.integers(-MOST, MOST, shape, endpoint=True).astype(dtype) for shape in shapes]
    return [np.array(ops.to_host(each)) for each in call(ops, *map(ops.asarray, arrays))]


@pytest.mark.parametrize("name", EXACT_CASES)
def test_the_sums_that_devices_are_compared_by_are_exact_in_float32(name: str) -> None:
    """On the CPU, against float64: what a GPU must give is known to the bit."""
    ops = get_ops("cpu", exact_conv=True)
    for single, double in zip(results(ops, name), results(ops, name, np.float64), strict=True):
        np.testing.assert_array_equal(single, double)


@needs_gpu
@pytest.mark.parametrize("name", EXACT_CASES)
def test_results_and_gradients_of_whole_numbers_are_those_of_the_cpu_to_the_bit(name: str) -> None:
    for ours, cpus in zip(results(get_ops("cuda"), name), results(get_ops("cpu", exact_conv=True), name), strict=True):
        np.testing.assert_array_equal(ours, cpus)


KINKS = (-3, 0, 3, 6)
"""Where an activation's gradient jumps."""


def real_numbers(name: str) -> list[NDArray[np.float32]]:
    """What a case of real numbers is given."""
    generator = np.random.default_rng(0)
    return [generator.standard_normal(shape).astype(np.float32) for shape in CASES[name][1]]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_real_number_lies_so_near_to_a_kink_that_rounding_decides_its_gradient(name: str) -> None:
    x = real_numbers(name)[0].astype(np.float64)
    assert min(np.abs(x - kink).min() for kink in KINKS) > 1e-6


@needs_gpu
@pytest.mark.parametrize("name", CASES)
def test_results_and_gradients_are_those_of_the_cpu(name: str) -> None:
    call, arrays = CASES[name][0], real_numbers(name)
    expected, found = (
        [np.array(ops.to_host(each)) for each in call(ops, *map(ops.asarray, arrays))]
        for ops in (get_ops("cpu"), get_ops("cuda"))
    )
    for ours, cpus in zip(found, expected, strict=True):
        error = np.linalg.norm((ours - cpus).astype(np.float64)) / max(np.linalg.norm(cpus.astype(np.float64)), 1e-30)
        assert error < BOUND, f"{ours.shape}: {error:.1e}"


def noise(count: int) -> Dataset:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 28, 28, 1), np.uint8)
    labels = generator.integers(0, 10, count).astype(np.uint8)
    return Dataset("noise", images, labels, images[:1], labels[:1], DIGIT_NAMES, "random numbers")


def steps(model: str, count: int, **settings: Any) -> Iterator[State]:
    """The state of a run, after each step."""
    ops, preset = get_ops("cuda"), PRESETS[model]
    state = new_state(preset.graph, Settings(epochs=10**6, optimizer=preset.recipe.optimizer, **settings), ops)
    yield from (state for event in islice(train(state, noise(6000), ops), 2 * count) if isinstance(event, StepDone))


@needs_gpu
@pytest.mark.parametrize("model", ["cnn", "accurate"])
def test_the_same_seed_gives_the_same_bits_twice(model: str) -> None:
    found = set()
    for _ in range(2):
        *_, last = steps(model, 20, augment=True)
        found.add(weights_sha256(last.graph, {name: array.copy_to_host() for name, array in last.parameters.items()}))
    assert len(found) == 1


@needs_gpu
def test_memory_does_not_grow_over_a_long_run() -> None:
    free = [gpu().memory_free for number, _ in enumerate(steps("small", 3000)) if number in (200, 1000, 2900)]
    assert abs(free[1] - free[2]) < 2**23, (
        "an epoch makes a tally and an order anew, and gives up the old ones, a few of them late"
    )
    assert free[0] - free[2] < 2**24


@needs_gpu
def test_an_epoch_of_mnist_reaches_98_6_percent(mnist_folder: Path) -> None:
    ops, preset = get_ops("cuda"), PRESETS["cnn"]
    state = new_state(preset.graph, Settings(epochs=1, learning_rate=preset.recipe.learning_rate), ops)
    (done,) = (event for event in train(state, load_dataset("mnist", mnist_folder), ops) if isinstance(event, EpochDone))
    assert done.record.test_accuracy >= 0.986


@needs_gpu
def test_an_epoch_is_that_of_the_cpu(mnist_folder: Path) -> None:
    """Rounding differs, and training enlarges what differs. Two ways of convolution on the CPU end, 60 steps on, 0.2 % of the loss and
    0.9 % of the test loss apart."""
    data, preset = load_dataset("mnist", mnist_folder, train_limit=6000, test_limit=2000), PRESETS["cnn"]
    records = []
    for device in ("cpu", "cuda"):
        ops = get_ops(device)
        state = new_state(preset.graph, Settings(epochs=1, learning_rate=preset.recipe.learning_rate), ops)
        records += [event.record for event in train(state, data, ops) if isinstance(event, EpochDone)]
    cpus, ours = records
    assert ours.loss == pytest.approx(cpus.loss, rel=0.01)
    assert ours.test_loss == pytest.approx(cpus.test_loss, rel=0.05)
    assert ours.test_accuracy == pytest.approx(cpus.test_accuracy, abs=0.005)
