"""The geometry of windows: sizes, padding, and the limits of both."""

import itertools
import math

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import functional as F
from numbacnn.shapes import MOST_POOLED, padding2d, pair, window


@pytest.mark.parametrize(("size", "kernel", "stride"), list(itertools.product((1, 2, 5, 7, 28), (1, 2, 3, 5), (1, 2, 3))))
def test_same_covers_every_cell_and_pads_the_odd_one_after(size: int, kernel: int, stride: int) -> None:
    w = window(size, kernel, stride, "same")
    assert w.out == -(-size // stride)
    assert 0 <= w.pad_after - w.pad_before <= 1
    needed = (w.out - 1) * stride + kernel
    assert w.pad_before + w.pad_after == max(needed - size, 0)


@pytest.mark.parametrize(("size", "kernel", "stride"), list(itertools.product((5, 7, 28), (1, 2, 3, 5), (1, 2, 3))))
def test_valid_counts_the_windows_that_fit(size: int, kernel: int, stride: int) -> None:
    assert window(size, kernel, stride, "valid").out == len(range(0, size - kernel + 1, stride))


def test_a_window_that_does_not_fit_shows_the_formula_and_two_ways_out() -> None:
    with pytest.raises(nc.ShapeError) as error:
        window(4, 7, 2, "valid")
    assert "floor((4 - 7) / 2) + 1 = -1" in str(error.value)
    assert "padding='same'" in str(error.value)
    assert "at most 4" in str(error.value)


@pytest.mark.parametrize("bad", [0, -1, 2.5, "3", True, None])
def test_sizes_must_be_positive_whole_numbers(bad: object) -> None:
    for arguments in ((bad, 1, 1), (5, bad, 1), (5, 1, bad)):
        with pytest.raises(nc.ShapeError):
            window(*arguments, "valid")  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["full", (1,), (-1, 0), (1, 2, 3), None, 1])
def test_padding_must_be_a_known_word_or_two_counts(bad: object) -> None:
    with pytest.raises(nc.ShapeError, match="padding"):
        window(5, 3, 1, bad)  # type: ignore[arg-type]


def test_one_number_stands_for_a_pair() -> None:
    assert pair(3, "strides") == (3, 3)
    assert pair([2, 3], "strides") == (2, 3)
    for bad in (0, (1, 2, 3), "33", 1.5, (1, 0), True):
        with pytest.raises(nc.ShapeError, match="strides"):
            pair(bad, "strides")  # type: ignore[arg-type]


def test_explicit_padding_is_brought_to_one_form() -> None:
    assert padding2d([[1, 2], [0, 3]]) == ((1, 2), (0, 3))
    for bad in ("Same", [[1, 2]], [[1, -2], [0, 0]], 3):
        with pytest.raises(nc.ShapeError, match="padding"):
            padding2d(bad)


@pytest.mark.parametrize("size", [46341, 65536, 100_000, 10_000_000, (10_000_000, 215), (10_000_000, 214)])
def test_a_pooling_window_whose_cells_no_index_can_count_is_refused(size: int | tuple[int, int]) -> None:
    """The index of the largest cell overflowed: gradients were lost, or written outside of their array."""
    rows, columns = pair(size, "pool_size")
    if rows * columns > MOST_POOLED:
        with pytest.raises(
            nc.ShapeError, match=rf"pool1: pool_size: expected a window of at most 2,147,483,647 cells, got {rows} x {columns}"
        ):
            nc.sequential(nc.MaxPool2D(size, 1, "same"), input_shape=(2, 2, 1))
        with pytest.raises(nc.ShapeError, match=r"the input has 2 x 2"):
            F.max_pool2d(np.ones((1, 2, 2, 1)), size, strides=1, padding="same")
    else:
        assert nc.sequential(nc.MaxPool2D(size, 1, "same"), input_shape=(2, 2, 1)).output_shape == (2, 2, 1)


def test_gradients_of_the_largest_possible_pooling_window_go_to_the_largest_cell() -> None:
    x = np.array([1, 2, 4, 3], np.float32).reshape(1, 2, 2, 1)
    dx = F.max_pool2d_backward(x, np.ones_like(x), math.isqrt(MOST_POOLED), strides=1, padding="same")
    assert dx.ravel().tolist() == [0, 0, 4, 0]


@pytest.mark.parametrize("padding", [10_000_001, 10**12, 10**19, -1])
def test_padding_beyond_the_limit_is_refused(padding: int) -> None:
    for side in range(4):
        both = [0, 0, 0, 0]
        both[side] = padding
        with pytest.raises(nc.ShapeError, match=r"padding: expected .* from 0 to 10,000,000"):
            nc.Conv2D(3, 3, padding=((both[0], both[1]), (both[2], both[3])))
