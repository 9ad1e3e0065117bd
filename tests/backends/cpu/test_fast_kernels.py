"""The fast kernels in float32 against the readable ones in float64, which ``tests/backends`` checks against the NumPy oracle."""

import itertools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from numbacnn.backends import get_ops
from numbacnn.backends.cpu.conv import direct, frequency
from numbacnn.backends.cpu.conv.algorithm import choose_algorithm
from numbacnn.backends.cpu.conv.lengths import has_transform, point_count, transform_lengths
from numbacnn.backends.cpu.conv.pooling import can_fuse
from numbacnn.backends.cpu.plain import updates
from numbacnn.backends.cpu.products import dense
from numbacnn.backends.cpu.products.points import CACHED_ROWS, correlate_groups, tree_levels, whole_vectors
from numbacnn.backends.cpu.products.prepared import PreparedWeights
from numbacnn.backends.cpu.vector_unit import LANES, vector_unit
from numbacnn.backends.fused_pool import no_pooling, pool_geometry
from numbacnn.errors import ShapeError
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.ranks import whole
from numbacnn.shapes import Window2D, pool_window2d, window, window2d
from numbacnn.values import ConvBlock, FactoredGradient

BOUND = 1e-5
"""The largest relative error of any algorithm, in the L2 norm."""

Floats = np.ndarray


def error(found: Floats, right: Floats) -> float:
    return float(np.linalg.norm(found.astype(np.float64) - right) / max(np.linalg.norm(right), 1e-30))


def normal(generator: np.random.Generator, *shape: int) -> Floats:
    return generator.standard_normal(shape, np.float32)


# --- dense ----------------------------------------------------------------------------------------------------------------------

GENERATOR = np.random.default_rng(7)
DENSE_SHAPES = [(1, 1, 1), (1, 300, 17), (3, 5, 2), (4, 1, 33), (100, 784, 10), (7, 257, 65), (130, 513, 129)] + [
    tuple(int(n) for n in GENERATOR.integers(1, 90, 3)) for _ in range(120)
]


@pytest.mark.parametrize("shape", DENSE_SHAPES, ids=str)
def test_dense_equals_the_product_in_float64(shape: tuple[int, int, int]) -> None:
    count, terms, units = shape
    generator = np.random.default_rng(shape)
    x, weights, bias = normal(generator, count, terms), normal(generator, terms, units), normal(generator, units)
    dy = normal(generator, count, units)
    right = x.astype(np.float64) @ weights + bias
    y = dense.dense(x, weights, bias, False)
    assert error(y, right) < BOUND
    assert np.array_equal(dense.dense(x, weights, bias, True), np.maximum(y, 0))
    assert error(dense.input_gradient(dy, weights), dy.astype(np.float64) @ weights.T) < BOUND
    assert error(dense.weight_gradient(x, dy), x.T.astype(np.float64) @ dy) < BOUND


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [*DENSE_SHAPES, (1, 513, 65), (1, 300, 129), (2, 300, 64)], ids=str)
def test_prepared_weights_give_equal_bits_and_a_row_has_the_same_bits_alone(shape: tuple[int, int, int], relu: bool) -> None:
    count, terms, units = shape
    generator = np.random.default_rng(shape)
    x, weights, bias = normal(generator, count, terms), normal(generator, terms, units), normal(generator, units)
    prepared = PreparedWeights(weights)
    y = dense.dense(x, weights, bias, relu)
    for _ in range(2):
        assert np.array_equal(dense.dense(x, prepared, bias, relu), y)
    for row in range(min(count, 8)):
        assert np.array_equal(dense.dense(x[row : row + 1], prepared, bias, relu)[0], y[row])


def test_prepared_weights_outlive_the_step_they_were_prepared_in() -> None:
    ops = get_ops("cpu")
    weights, x = np.eye(40, dtype=np.float32), normal(np.random.default_rng(0), 5, 40)
    prepared = ops.prepare_weights(weights)
    for _ in range(3):
        with ops.reuse_memory():
            assert np.array_equal(ops.dense(x, prepared, None), x)
            ops.dense(-x, weights, None)
    assert ops.prepare_weights(weights.astype(np.float64)).dtype == np.float64, "readable kernels take plain arrays"


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 50, 33), (100, 130, 40)], ids=str)
def test_an_update_fused_to_its_gradient_has_the_bits_of_a_separate_one(shape: tuple[int, int, int]) -> None:
    count, terms, units = shape
    generator = np.random.default_rng(shape)
    x, dy = normal(generator, count, terms), normal(generator, count, units)
    start = [normal(generator, terms, units) for _ in range(2)] + [normal(generator, terms, units) ** 2]
    gradient = dense.weight_gradient(x, dy)
    for optimizer in OPTIMIZERS.values():
        arrays = 1 + len(optimizer.slots)
        separate, fused = ([array.copy() for array in start[:arrays]] for _ in range(2))
        updates.update(separate[0], separate[1:], gradient, optimizer.rule(0.01, 3))
        dense.update(fused[0], fused[1:], x, dy, optimizer.rule(0.01, 3))
        assert all(np.array_equal(a, b) for a, b in zip(separate, fused, strict=True))


def test_a_factored_gradient_is_multiplied_on_its_way_to_the_host() -> None:
    ops = get_ops("cpu")
    x, dy = normal(np.random.default_rng(0), 4, 6), normal(np.random.default_rng(1), 4, 3)
    assert error(ops.to_host(FactoredGradient(x, dy)), x.T.astype(np.float64) @ dy) < BOUND


@pytest.mark.parametrize("where", [(0, 0), (3, 7)])
@pytest.mark.parametrize("prepare", [np.asarray, PreparedWeights])
def test_nan_is_not_lost(where: tuple[int, int], prepare: Callable[[Floats], Any]) -> None:
    x = np.zeros((4, 8), np.float32)
    x[where] = np.nan
    y = dense.dense(x, prepare(np.ones((8, 3), np.float32)), np.zeros(3, np.float32), True)
    assert np.isnan(y[where[0]]).all()
    assert not np.isnan(np.delete(y, where[0], axis=0)).any()


# --- convolution ----------------------------------------------------------------------------------------------------------------


def right_answers(x: Floats, filters: Floats, bias: Floats, dy: Floats, block: ConvBlock) -> list[Floats]:
    """y, dx, dfilters, dbias by the readable kernels, one op after the other, in float64."""
    ops = get_ops("cpu")
    x, filters, bias, dy = (each.astype(np.float64) for each in (x, filters, bias, dy))
    z = ops.conv2d(x, filters, bias, block.window)
    y = ops.relu(z) if block.relu else z
    gradient = dy
    if block.pool is not None:
        pooled, winners = ops.max_pool2d(y, block.pool)
        gradient = ops.max_pool2d_backward(dy, winners, block.pool)
    if block.relu:
        gradient = ops.relu_backward(y, gradient)
    return [y if block.pool is None else pooled, *ops.conv2d_backward(x, filters, gradient, block.window)]


@st.composite
def blocks(draw: st.DrawFn) -> tuple[ConvBlock, tuple[int, ...], tuple[int, ...]]:
    """A convolution of any kind, the shape of its images and that of its filters."""
    pairs = {most: st.tuples(st.integers(1, most), st.integers(1, most)) for most in (3, 5, 15)}
    sides, kernel, strides = draw(pairs[15]), draw(pairs[5]), draw(pairs[3])
    padded = st.tuples(st.integers(0, 3), st.integers(0, 3))
    padding = draw(st.one_of(st.sampled_from(["same", "valid"]), st.tuples(padded, padded)))
    try:
        window = window2d(sides, kernel, strides, padding)
    except ShapeError:
        reject()
    pool = None
    if min(window.out) >= 3 and draw(st.booleans()):
        pool = pool_window2d(window.out, draw(pairs[3]), draw(pairs[3]), "valid")
    count, channels, maps = draw(st.integers(1, 11)), draw(st.integers(1, 19)), draw(st.integers(1, 35))
    return ConvBlock(window, draw(st.booleans()), pool), (count, *sides, channels), (*kernel, channels, maps)


def check_block(block: ConvBlock, image_shape: tuple[int, ...], filter_shape: tuple[int, ...], *, exact: bool) -> None:
    generator = np.random.default_rng([*image_shape, *filter_shape])
    ops = get_ops("cpu", exact_conv=exact)
    x, filters, bias = normal(generator, *image_shape), normal(generator, *filter_shape), normal(generator, filter_shape[3])
    # As in a plan: a pooling that cannot be fused is an op of its own.
    separate = None if block.pool is None or ops.can_fuse(block.pool) else block.pool
    fused = block if separate is None else block._replace(pool=None)
    y, saved = ops.conv2d_block(x, filters, bias, fused)
    y, winners = (y, None) if separate is None else ops.max_pool2d(y, separate)
    dy = normal(generator, *y.shape)
    dz = dy if separate is None else ops.max_pool2d_backward(dy, winners, separate)
    found = [y, *ops.conv2d_block_backward(saved, filters, dz, fused)]
    for what, a, b in zip(("y", "dx", "dfilters", "dbias"), found, right_answers(x, filters, bias, dy, block), strict=True):
        # Where two pixels of a window are equal to seven digits, either may win, and one gradient goes to another pixel.
        assert a.shape == b.shape, what
        assert error(a, b) < BOUND, what
    without_dx = ops.conv2d_block_backward(saved, filters, dz, fused, needs_dx=False)
    assert without_dx[0] is None
    assert np.array_equal(without_dx[1], found[2])


@settings(derandomize=True, deadline=None, max_examples=250)
@given(blocks())
def test_direct_convolution_equals_the_readable_one(drawn: tuple[ConvBlock, tuple[int, ...], tuple[int, ...]]) -> None:
    check_block(*drawn, exact=True)


FREQUENCY_WINDOWS = [
    ((7, 5), (3, 3), "same"),
    ((14, 14), (5, 5), "same"),
    ((9, 11), (2, 4), "valid"),
    ((6, 6), (3, 5), ((4, 0), (1, 3))),
]
"""Few, since each is compiled on its own; images and channels need no compilation."""


@pytest.mark.parametrize("case", range(12))
@pytest.mark.parametrize("window", FREQUENCY_WINDOWS, ids=str)
def test_convolution_in_the_frequency_domain_equals_the_readable_one(window: tuple, case: int) -> None:  # type: ignore[type-arg]
    size, kernel, padding = window
    generator = np.random.default_rng(case)
    count, channels, maps = (int(n) for n in generator.integers(1, (12, 20, 36)))
    geometry = window2d(size, kernel, (1, 1), padding)
    outs = tuple(axis.out for axis in geometry)
    pool = pool_window2d(outs, (2, 2), (2, 2), "valid") if case % 3 else None  # type: ignore[arg-type]
    block = ConvBlock(geometry, case % 2 == 0, pool)
    x, filters = normal(generator, count, *size, channels), normal(generator, *kernel, channels, maps)
    bias = normal(generator, maps)
    fused = pool_geometry(geometry, pool)
    y, saved = frequency.conv2d(x, filters, bias, geometry, fused, block.relu, whole(len(x)))
    dy = normal(generator, *y.shape)
    found = [y, *frequency.conv2d_backward(x, filters, y, saved, dy, geometry, fused, block.relu, True, whole(len(x)))]
    for a, b in zip(found, right_answers(x, filters, bias, dy, block), strict=True):
        assert error(a, b) < BOUND


@pytest.mark.parametrize("algorithm", [direct, frequency])
def test_any_number_of_threads_gives_the_same_bits(algorithm) -> None:  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(3)
    window = window2d((14, 14), (5, 5), (1, 1), "same")
    pool = pool_geometry(window, pool_window2d((14, 14), (2, 2), (2, 2), "valid"))
    x, filters, bias = normal(generator, 11, 14, 14, 9), normal(generator, 5, 5, 9, 20), normal(generator, 20)
    weights, dy = normal(generator, 70, 90), normal(generator, 11, 7, 7, 20)

    def everything(threads: int) -> list[Floats]:
        get_ops("cpu", threads)
        y, saved = algorithm.conv2d(x, filters, bias, window, pool, True, whole(len(x)))
        gradients = algorithm.conv2d_backward(x, filters, y, saved, dy, window, pool, True, True, whole(len(x)))
        rows = weights[:33].copy()
        return [y, *gradients, dense.dense(weights, weights.T.copy(), weights[:, 0].copy(), True),
                dense.dense(rows[:1, :70].copy(), weights, weights[0], False), dense.weight_gradient(rows, rows)]  # fmt: skip

    before = numba.get_num_threads()
    try:
        once = everything(1)
        for threads in range(2, numba.config.NUMBA_NUM_THREADS + 1):
            assert all(np.array_equal(a, b) for a, b in zip(once, everything(threads), strict=True)), threads
    finally:
        numba.set_num_threads(before)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
def test_threads_that_sum_a_gradient_of_filters_at_the_same_time_do_not_meet() -> None:
    """Long enough that they overlap, even on a busy machine: in a shorter sum, the second begins when the first has ended."""
    generator = np.random.default_rng(4)
    window = window2d((28, 28), (5, 5), (1, 1), "same")
    x, filters, dy = (normal(generator, *shape) for shape in ((64, 28, 28, 32), (5, 5, 32, 48), (64, 28, 28, 48)))
    no_winners = np.zeros((1, 1, 1, 1), np.uint8)

    def gradient(threads: int) -> Floats:
        get_ops("cpu", threads)
        _, dfilters, _ = direct.conv2d_backward(
            x, filters, dy, no_winners, dy, window, no_pooling(window), False, False, whole(len(x))
        )
        return dfilters.copy()

    before = numba.get_num_threads()
    try:
        once = gradient(1)
        assert all(np.array_equal(once, gradient(numba.config.NUMBA_NUM_THREADS)) for _ in range(3))
    finally:
        numba.set_num_threads(before)


@pytest.mark.parametrize("rows", [0, 1, CACHED_ROWS, CACHED_ROWS + 1, 2 * CACHED_ROWS + 300])
@pytest.mark.parametrize("groups", [8, 16])
def test_a_correlation_adds_groups_by_a_tree_however_they_are_handed_over(rows: int, groups: int) -> None:
    """Whole, one by one, or in pieces; groups of more than CACHED_ROWS are summed in runs."""
    generator = np.random.default_rng(rows)
    points, depth, columns, levels = 2, whole_vectors(5), whole_vectors(9), tree_levels(groups)
    starts = np.cumsum([0] + [rows * (group % 3) // 2 for group in range(groups)])  # none, some, many
    x, dy = normal(generator, points, starts[-1], depth), normal(generator, points, starts[-1], columns)
    by_group = [
        np.matmul(x[:, a:b].transpose(0, 2, 1).astype(np.float64), dy[:, a:b]) for a, b in itertools.pairwise(starts.tolist())
    ]
    calls = [
        [(0, groups, False, False)],
        [(group, group + 1, False, False) for group in range(groups)],
        [(0, groups // 2, False, False), (groups // 2, groups, False, False)],
    ]
    found = []
    for parts in calls:
        sums = np.full((points, (levels + 1) * depth * columns + 16), np.nan, np.float32)
        for first, stop, begun, cut in parts:
            rows_of = slice(starts[first], starts[stop])
            part = (np.ascontiguousarray(array[:, rows_of]).reshape(points, -1) for array in (x, dy))
            bounds = starts[first : stop + 1] - starts[first]
            correlate_groups(*part, bounds, first, begun, cut, levels, depth, columns, sums)
        found.append(sums[:, (levels - 1) * depth * columns : levels * depth * columns].reshape(points, depth, columns))
    assert error(found[0], sum(by_group)) < BOUND
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


# --- choice of the algorithm ----------------------------------------------------------------------------------------------------


def test_the_algorithm_depends_on_shapes_alone() -> None:
    conv2 = window2d((14, 14), (5, 5), (1, 1), "same")
    assert choose_algorithm(100, conv2, 32, 64).algorithm == "frequency"
    assert choose_algorithm(100, conv2, 32, 64).size == (16, 16)
    assert choose_algorithm(1, conv2, 32, 64).algorithm == "direct"
    assert choose_algorithm(1, conv2, 32, 64, is_prepared=True) == choose_algorithm(100, conv2, 32, 64)
    assert choose_algorithm(100, window2d((28, 28), (5, 5), (1, 1), "same"), 1, 32).algorithm == "direct"
    assert choose_algorithm(100, window2d((28, 28), (5, 5), (2, 1), "same"), 32, 32).algorithm == "direct"
    assert choose_algorithm(100, window2d((28, 28), (3, 3), (1, 1), "same"), 64, 64).algorithm == "winograd"
    assert choose_algorithm(100, window2d((28, 28), (3, 3), (1, 1), "same"), 64, 64).size == (6, 6)
    assert choose_algorithm(100, window2d((224, 224), (5, 3), (1, 1), "same"), 32, 32).algorithm == "direct"


@pytest.mark.parametrize("padding", ["valid", "same", (0, 4), (3, 0), (2, 1), (6, 6)], ids=str)
def test_cells_that_wrap_around_in_a_transform_meet_zeros_only(padding: str | tuple[int, int]) -> None:
    before, after = (6, 6) if isinstance(padding, str) else padding
    for size in range(1, 15):
        for kernel in range(1, size + 1 if padding == "valid" else size + min(before, after) + 1):
            axis = window(size, kernel, 1, padding)
            length, _ = transform_lengths(Window2D(axis, axis))
            read = range(-axis.pad_before, axis.out + axis.kernel - 1 - axis.pad_before)
            assert not [cell for cell in read if not 0 <= cell < size and cell % length < size], axis


def test_a_transform_is_long_enough_and_no_longer_than_needed() -> None:
    assert transform_lengths(window2d((14, 14), (5, 5), (1, 1), "same")) == (16, 16)
    assert transform_lengths(window2d((28, 18), (5, 3), (1, 1), "valid")) == (32, 18)
    assert not has_transform(window2d((28, 40), (5, 5), (1, 1), "same"))
    assert point_count(16, 16) == 130


@pytest.mark.parametrize(
    ("features", "machine", "expected"),
    [("+avx512f,+avx2,+fma", "x86_64", ("AVX-512", 16, 32)), ("+avx2,+fma,-avx512f", "x86_64", ("AVX2", 8, 16)),
     ("+sse2", "x86_64", ("SSE", 4, 16)), ("", "x86_64", ("SSE", 4, 16)), ("+neon", "aarch64", ("NEON", 4, 32))],
)  # fmt: skip
def test_vectors_are_those_of_the_cpu(features: str, machine: str, expected: tuple[str, int, int]) -> None:
    assert tuple(vector_unit(features, machine)) == expected
    assert LANES in (4, 8, 16)


def test_only_poolings_without_overlap_and_padding_are_fused() -> None:
    assert can_fuse(pool_window2d((8, 8), (2, 2), (2, 2), "valid"))
    assert can_fuse(pool_window2d((8, 8), (2, 2), (3, 3), "valid"))
    assert not can_fuse(pool_window2d((8, 8), (3, 3), (2, 2), "valid"))
    assert not can_fuse(pool_window2d((7, 7), (2, 2), (2, 2), "same"))
    assert not can_fuse(pool_window2d((8, 8), (1, 1), (2, 2), "valid"))
    assert not can_fuse(pool_window2d((99, 99), (17, 17), (17, 17), "valid"))


@pytest.mark.parametrize(("rows", "terms", "columns"), [(100, 784, 128), (15, 300, 55), (29, 131, 333)])
def test_weights_packed_before_all_tasks_give_the_bits_of_those_packed_by_each(rows: int, terms: int, columns: int) -> None:
    generator = np.random.default_rng(0)
    x, dy = (generator.normal(size=(rows, width)).astype(np.float32) for width in (terms, columns))
    weights = generator.normal(size=(terms, columns)).astype(np.float32)
    bias, zeros = generator.normal(size=columns).astype(np.float32), np.zeros(terms, np.float32)
    assert dense._is_packed_before(rows, terms, columns), "or this test compares a product with itself"
    y, dx = np.empty_like(dy), np.empty_like(x)
    dense._multiply(x, weights.reshape(-1), columns, 1, bias, True, y)
    dense._multiply(dy, weights.reshape(-1), 1, columns, zeros, False, dx)
    assert np.array_equal(dense.dense(x, weights, bias, True), y)
    if dense._is_packed_before(rows, columns, terms):
        assert np.array_equal(dense.input_gradient(dy, weights), dx)
    assert np.abs(dense.input_gradient(dy, weights) - dy.astype(np.float64) @ weights.T.astype(np.float64)).max() < 1e-3
