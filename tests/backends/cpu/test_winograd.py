"""Winograd's convolution: matrices in exact arithmetic, programs, and all three passes against the readable kernels."""

import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from numbacnn.backends.cpu.codegen.straight_line import linear_program
from numbacnn.backends.cpu.codegen.winograd_matrices import (
    POINTS,
    SUMMING_POINT,
    TILES,
    WinogradKind,
    matrices,
    matrix_of,
    winograd_program,
)
from numbacnn.backends.cpu.conv import winograd
from numbacnn.backends.cpu.conv.algorithm import choose_algorithm
from numbacnn.backends.cpu.plain import conv2d
from numbacnn.backends.fused_pool import pool_geometry
from numbacnn.ranks import whole
from numbacnn.shapes import pool_window2d, window2d

EVERY = [(m, r) for m in range(1, 9) for r in range(1, 9) if m + r - 2 <= len(POINTS)]
ERROR = 1e-5  # relative L2, of float32 after two transforms that cancel; direct summation has 5e-7


def product(matrix, vector):
    return [sum((a * b for a, b in zip(row, vector, strict=True)), Fraction(0)) for row in matrix]


def fractions(rng, count):
    return [Fraction(int(a), int(b)) for a, b in zip(rng.integers(-9, 10, count), rng.integers(1, 10, count), strict=True)]


@pytest.mark.parametrize(("m", "r"), EVERY)
def test_matrices_correlate_and_give_both_gradients_exactly(m, r):
    rng = np.random.default_rng(m * 10 + r)
    d, g, y = (fractions(rng, count) for count in (m + r - 1, r, m))
    points = {
        kind: product(matrix_of(kind, m, r), x)
        for kind, x in ((WinogradKind.INPUT, d), (WinogradKind.FILTER, g), (WinogradKind.OUTPUT_BACK, y))
    }

    def back(kind, one, other):
        return product(matrix_of(kind, m, r), [a * b for a, b in zip(points[one], points[other], strict=True)])

    assert back(WinogradKind.OUTPUT, WinogradKind.INPUT, WinogradKind.FILTER) == [
        sum(d[i + k] * g[k] for k in range(r)) for i in range(m)
    ]
    assert back(WinogradKind.FILTER_BACK, WinogradKind.INPUT, WinogradKind.OUTPUT_BACK) == [
        sum(d[i + k] * y[i] for i in range(m)) for k in range(r)
    ]
    both = [(i, k) for i in range(m) for k in range(r)]
    assert back(WinogradKind.INPUT_BACK, WinogradKind.OUTPUT_BACK, WinogradKind.FILTER) == [
        sum(y[i] * g[k] for i, k in both if i + k == j) for j in range(m + r - 1)
    ]


def test_matrices_of_lavin_and_gray():
    a, g, bt = matrices(4, 3)
    assert a == [[1, 0, 0, 0], [1, 1, 1, 1], [1, -1, 1, -1], [1, 2, 4, 8], [1, -2, 4, -8], [0, 0, 0, 1]]
    assert [[24 * value for value in row] for row in g] == [[6, 0, 0], [-4] * 3, [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]
    assert bt[0] == [4, 0, -5, 0, 1, 0]
    assert bt[5] == [0, 4, 0, -5, 0, 1]


def test_matrices_that_need_more_points_than_are_known_are_refused():
    with pytest.raises(ValueError, match=r"F\(9, 9\) needs 16 finite points"):
        matrices(9, 9)


@pytest.mark.parametrize("r", TILES)
def test_images_and_outputs_are_transformed_without_rounding_of_coefficients(r):
    made = matrices(TILES[r], r)
    assert all(float(np.float32(float(value))) == value for matrix in (made.a, made.bt) for row in matrix for value in row)
    assert all(value == 1 for value in made.a[SUMMING_POINT])


@pytest.mark.parametrize("kind", WinogradKind)
@pytest.mark.parametrize(("m", "r"), EVERY)
def test_programs_do_what_their_matrices_do(kind, m, r):
    matrix = np.array(matrix_of(kind, m, r), float)
    program = winograd_program(kind, m, r)
    inputs = np.random.default_rng(r).standard_normal((matrix.shape[1], 3))
    outputs = matrix @ inputs
    assert np.abs(program.run(inputs) - outputs).max() <= 1e-12 * np.abs(matrix).max() * np.abs(outputs).max()


@pytest.mark.parametrize("kind", [WinogradKind.INPUT, WinogradKind.INPUT_BACK, WinogradKind.OUTPUT, WinogradKind.OUTPUT_BACK])
@pytest.mark.parametrize("r", TILES)
def test_programs_take_far_less_than_their_matrices_row_by_row(r, kind):
    matrix = np.array(matrix_of(kind, TILES[r], r), float)
    row_by_row = sum(2 * np.count_nonzero(row) - np.count_nonzero(np.abs(row) == 1) - 1 for row in matrix)
    assert winograd_program(kind, TILES[r], r).arithmetic <= 0.9 * row_by_row


def test_linear_program_shares_halves_between_rows_and_between_columns():
    even_and_odd = [[Fraction(v) for v in row] for row in ((1, 2, 4, 8), (1, -2, 4, -8))]
    assert linear_program(even_and_odd).arithmetic == 7  # 4 x2 + x0, 2 (4 x3 + x1), their sum, their difference
    assert linear_program([list(column) for column in zip(*even_and_odd, strict=True)]).arithmetic == 5


def test_linear_program_with_a_row_of_zeros():
    assert (linear_program([[Fraction(0), Fraction(0)], [Fraction(3), Fraction(0)]]).run(np.array([1.0, 2.0])) == [0, 3]).all()


def case(rng, count, size, r, channels, maps, padding, pool):
    """A block to convolve: window, pool, and data in float32."""
    window = window2d(size, (r, r), (1, 1), padding)
    pooling = None if pool is None else pool_window2d(window.out, *pool, "valid")
    data = {
        "x": rng.standard_normal((count, *size, channels)),
        "filters": rng.standard_normal((r, r, channels, maps)),
        "bias": rng.standard_normal(maps),
        "dy": rng.standard_normal((count, *(pooling or window).out, maps)),
    }
    return window, pool_geometry(window, pooling), {name: value.astype(np.float32) for name, value in data.items()}


def run(window, pool, data, relu, needs_dx=True):
    share = whole(len(data["x"]))
    y, saved = winograd.conv2d(data["x"], data["filters"], data["bias"], window, pool, relu, share)
    return (
        y,
        saved,
        *winograd.conv2d_backward(data["x"], data["filters"], y, saved, data["dy"], window, pool, relu, needs_dx, share),
    )


def expected(window, pool, data, relu, y, winners):
    """The results in float64. Winners and signs are taken from the fast kernel, since ties may be broken either way."""
    x, filters, bias, dy = (data[name].astype(float) for name in ("x", "filters", "bias", "dy"))
    z = conv2d.conv2d(x, filters, bias, window)
    dz = np.zeros_like(z)
    best = np.zeros(y.shape)
    for p, q in np.ndindex(pool.rows, pool.columns):
        cells = z[:, p * pool.sh : p * pool.sh + pool.kh, q * pool.sw : q * pool.sw + pool.kw]
        best[:, p, q] = cells.max((1, 2))
        passes = dy[:, p, q] * (y[:, p, q] > 0 if relu else 1)
        for u, v in np.ndindex(pool.kh, pool.kw):
            won = winners[:, p, q] == u * pool.kw + v if pool.kh * pool.kw > 1 else 1
            dz[:, p * pool.sh + u, q * pool.sw + v] = passes * won
    return np.maximum(best, 0) if relu else best, *conv2d.conv2d_backward(x, filters, dz, window, True, whole(len(x)))


def relative(a, b):
    return np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30)


@pytest.mark.parametrize("r", [3, 5])
def test_every_pass_agrees_with_the_readable_kernels(r):
    rng = np.random.default_rng(r)
    for _ in range(25):
        size = tuple(rng.integers(r, 20, 2).tolist())
        count, channels, maps = (int(rng.integers(1, most)) for most in (4, 40, 40))
        padding = tuple(tuple(pair) for pair in rng.integers(0, r + 2, (2, 2)).tolist())
        sides = tuple(rng.integers(1, 4, 2).tolist())
        pool = None if rng.random() < 0.3 else (sides, tuple(s + int(rng.integers(2)) for s in sides))
        relu = bool(rng.integers(2))
        window, pooled, data = case(rng, count, size, r, channels, maps, padding if rng.random() < 0.7 else "same", pool)
        if min(pooled.rows, pooled.columns) < 1:
            continue
        y, saved, *gradients = run(window, pooled, data, relu)
        wanted = expected(window, pooled, data, relu, y, saved.winners)
        what = (window, pooled, count, channels, maps, relu)
        for mine, reference in zip((y, *gradients), wanted, strict=True):
            assert mine.shape == reference.shape, what
            assert relative(mine, reference) < ERROR, what


@pytest.mark.parametrize(("r", "size"), [(3, 14), (3, 28), (5, 14), (5, 28)])
def test_errors_are_small_with_many_channels(r, size):
    window, pool, data = case(np.random.default_rng(0), 2, (size, size), r, 64, 64, "same", None)
    y, saved, *gradients = run(window, pool, data, False)
    wanted = expected(window, pool, data, False, y, saved.winners)
    assert max(map(relative, (y, *gradients), wanted)) < ERROR


@pytest.mark.parametrize("pool", [None, ((2, 2), (2, 2))])
@pytest.mark.parametrize(("count", "chunks"), [(7, 4), (24, 16)], ids=["of whole groups", "of parts of groups"])
def test_chunks_of_a_batch_add_up(monkeypatch, count, chunks, pool):
    """Groups of 1 image, two of them a chunk of at most 3; groups of 3 images, each in chunks of 2 and 1."""
    window, pooled, data = case(np.random.default_rng(0), count, (9, 10), 3, 5, 6, "same", pool)
    together = run(window, pooled, data, True)
    monkeypatch.setattr(winograd, "CHUNK_VALUES", (3 if count == 7 else 2) * 9 * 36 * 16)
    assert len(winograd.tiling(window, whole(count), 5, 6).chunks) == chunks
    in_chunks = run(window, pooled, data, True)
    assert np.array_equal(in_chunks[0], together[0])
    assert np.array_equal(in_chunks[2], together[2])
    assert relative(in_chunks[3], together[3]) < ERROR
    assert relative(in_chunks[4], together[4]) < ERROR


def test_input_gradient_is_left_out_on_request():
    window, pool, data = case(np.random.default_rng(0), 2, (7, 7), 3, 3, 5, "same", None)
    _, _, dx, dfilters, dbias = run(window, pool, data, True, needs_dx=False)
    assert dx is None
    assert all(np.array_equal(a, b) for a, b in zip((dfilters, dbias), run(window, pool, data, True)[3:], strict=True))


def test_nan_reaches_every_output_whose_window_holds_it():
    window, pool, data = case(np.random.default_rng(0), 1, (9, 9), 3, 2, 3, "same", None)
    data["x"][0, 4, 4, 1] = np.nan
    y, *_ = run(window, pool, data, True)
    assert np.isnan(y[0, 3:6, 3:6]).all()


def test_square_filters_of_stride_one_have_a_winograd_convolution():
    def is_possible(kernel, strides=(1, 1)):
        window = window2d((20, 20), kernel, strides, "same")
        return "winograd" in choose_algorithm(100, window, 32, 32).costs

    assert all(is_possible((r, r)) for r in range(2, 8))
    assert not any((is_possible((1, 1)), is_possible((8, 8)), is_possible((3, 5)), is_possible((3, 3), (2, 1))))


THREADS = """
import hashlib, sys, numba, numpy as np
sys.path.insert(0, {folder!r})
from test_winograd import case, run
numba.set_num_threads(int(sys.argv[1]))
window, pool, data = case(np.random.default_rng(0), 5, (13, 22), 3, 35, 50, "same", ((2, 2), (2, 2)))
y, _, *gradients = run(window, pool, data, True)
print([hashlib.sha256(a.tobytes()).hexdigest() for a in (y, *gradients)])
"""


def test_bits_do_not_depend_on_the_number_of_threads(request):
    code = THREADS.format(folder=str(request.path.parent))
    environment = os.environ | {"NUMBA_NUM_THREADS": "2"}
    one, two = (
        subprocess.run([sys.executable, "-c", code, threads], env=environment, capture_output=True, check=True).stdout
        for threads in ("1", "2")
    )
    assert one == two
