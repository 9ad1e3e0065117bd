"""The geometry of windows, and the graph's shape rules built on it."""

import itertools

import pytest

import numbacnn as nc
from numbacnn.shapes import padding2d, pair, window


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
