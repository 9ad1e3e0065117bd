"""Backpropagation through one convolution, against the slide, an oracle in loops, and finite differences."""

import json

import numpy as np
import oracle
import pytest
from command_line import run_here

from numbacnn.backends import get_ops
from numbacnn.errors import ShapeError
from numbacnn.lecture.backprop import backprop
from numbacnn.lecture.vectors import vectors

SLIDE = vectors()["backprop_3x3_2x2"]


def found(*args: object) -> dict:
    done = run_here("lecture", "backprop", *args, "--format", "json")
    assert done.code == 0, done.err
    answer: dict = json.loads(done.out)
    return answer


def test_the_slides_numbers() -> None:
    answer, expected = found(), SLIDE["sum_of_outputs"]
    assert answer.keys() >= {"x", "w", "h", "dh", "dw", "dx", "w_next", "eta", "error"}
    assert (answer["x"], answer["w"], answer["h"]) == (SLIDE["x"], SLIDE["kernel"], SLIDE["y"])
    assert (answer["dh"], answer["dw"], answer["dx"]) == (expected["dy"], expected["dkernel"], expected["dx"])
    np.testing.assert_allclose(answer["w_next"], expected["kernel_next"], rtol=1e-14)
    assert (answer["eta"], answer["error"]) == (0.01, -14)


def test_the_squared_error() -> None:
    answer, expected = found("--target", "0 1; 2 -1"), SLIDE["half_squared_error"]
    assert (answer["error"], answer["dw"], answer["dx"]) == (36.25, expected["dkernel"], expected["dx"])


def test_the_sums_are_written_out_with_their_numbers() -> None:
    done = run_here("lecture", "backprop")
    lines = [line.strip() for line in done.out.splitlines()]
    assert "h11 = 1*1 + 2*2 + (-3)*4 + 0.5*5 = -4.5" in lines
    assert "dE/dw11 = 1*1 + 1*2 + 1*4 + 1*5 = 12" in lines
    assert "dE/dw22 = 1*5 + 1*6 + 1*8 + 1*9 = 28" in lines
    assert "w21 next = -3 - 0.01 * 24 = -3.24" in lines


@pytest.mark.parametrize("seed", range(12))
def test_any_matrices_agree_with_the_oracle_the_terms_and_finite_differences(seed: int) -> None:
    generator = np.random.default_rng(seed)
    height, width = generator.integers(1, 4, 2)
    x = generator.integers(-9, 10, generator.integers(3, 7, 2)).astype(float)
    w = generator.integers(-9, 10, (height, width)).astype(float)
    stride, padding = int(generator.integers(1, 4)), ("valid", "same")[seed % 2]
    ops = get_ops("cpu", plain=True)
    shape = backprop(ops, x, w, stride=stride, padding=padding).h.shape
    target = generator.integers(-9, 10, shape).astype(float) if seed % 3 else None
    result = backprop(ops, x, w, target, 0.1, stride, padding)
    options = {"strides": stride, "padding": padding}
    h = oracle.conv2d(x[None, :, :, None], w[:, :, None, None], **options)
    np.testing.assert_array_equal(result.h, h[0, :, :, 0])
    dx, dw, _ = oracle.conv2d_backward(x[None, :, :, None], w[:, :, None, None], result.dh[None, :, :, None], **options)
    np.testing.assert_array_equal(result.dw, dw[:, :, 0, 0])
    np.testing.assert_array_equal(result.dx, dx[0, :, :, 0])
    np.testing.assert_allclose(result.dw_by_differences, result.dw, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(result.w_next, w - 0.1 * result.dw)
    for u, v in np.ndindex(*w.shape):
        assert sum(dh * each for dh, each in result.terms(u, v)) == result.dw[u, v]
    for i, j in np.ndindex(*result.h.shape):
        assert sum(weight * each for weight, each in result.forward_terms(i, j)) == result.h[i, j]


def test_a_step_against_the_gradient_makes_the_error_smaller() -> None:
    x, w, target = (np.array(each, float) for each in (SLIDE["x"], SLIDE["kernel"], SLIDE["half_squared_error"]["targets"]))
    ops = get_ops("cpu", plain=True)
    first = backprop(ops, x, w, target, 0.001)
    assert backprop(ops, x, first.w_next, target, 0.001).error < first.error


@pytest.mark.parametrize("text", ["1 2; 3 4", "1,2;3,4", "1 2\n3 4", " 1  2 ;3 4; "])
def test_a_matrix_may_be_written_with_commas_and_in_lines(text: str) -> None:
    assert found("--w", text)["w"] == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("text", "said"),
    [("1 2; 3", "rows of 2, 1"), ("1 a", "'a' is not a number"), ("", "rows of"), ("nan", "got nan"), ("1e9", "got 1e9"),
     ("0 " * 257, "at most 256")],
)  # fmt: skip
def test_a_matrix_that_is_none_is_refused(text: str, said: str) -> None:
    done = run_here("lecture", "backprop", "--x", text)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_an_x_smaller_than_w_is_refused() -> None:
    done = run_here("lecture", "backprop", "--x", "1 2", "--w", "1 2; 3 4")
    assert (done.code, done.out) == (1, "")
    assert "x: expected at least the 2 x 2 cells of w, got 1 x 2" in done.err
    assert found("--x", "1 2", "--w", "1 2; 3 4", "--padding", "same")["h"] == [[5, 2]]


def test_a_target_of_another_shape_is_refused() -> None:
    with pytest.raises(ShapeError, match="expected the 2 x 2 cells of h, got 1 x 3"):
        backprop(get_ops("cpu", plain=True), np.ones((3, 3)), np.ones((2, 2)), np.ones((1, 3)))


def test_a_step_too_large_for_a_number_is_refused_and_not_printed_as_infinity() -> None:
    done = run_here("lecture", "backprop", "--eta", "1e308", "--x", "1e6", "--w", "1e6")
    assert (done.code, done.out) == (1, "")
    assert "finite numbers" in done.err


def test_large_numbers_are_written_out_whole() -> None:
    assert "h11 = 1000*1234 = 1234000" in run_here("lecture", "backprop", "--x", "1234", "--w", "1000").out
