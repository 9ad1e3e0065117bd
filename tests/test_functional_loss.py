"""softmax_cross_entropy: the mean loss and its gradient, in one stable step."""

import math

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn import functional as F
from numbacnn.errors import DataError, NumbaCNNError, ShapeError

BOTH_TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def numbers(n, classes, dtype, seed, scale=5.0):
    generator = np.random.default_rng(seed)
    return (generator.standard_normal((n, classes)) * scale).astype(dtype), generator.integers(0, classes, n)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.integers(1, 130), st.integers(1, 40), st.sampled_from([np.float32, np.float64]), st.integers(0, 9999))
def test_cross_entropy_and_its_gradient_equal_the_formula(n, classes, dtype, seed):
    logits, labels = numbers(n, classes, dtype, seed)
    loss, dlogits = F.softmax_cross_entropy(logits, labels)
    exact_loss, exact_dlogits = oracle.softmax_cross_entropy(logits, labels)
    eps = np.finfo(dtype).eps
    assert isinstance(loss, float)
    assert dlogits.dtype == dtype
    # each loss is a difference of numbers up to 2 * max|z|, then n of them are averaged
    assert abs(loss - exact_loss) <= (n + classes + 16) * eps * max(2 * np.abs(logits).max(), 1)
    oracle.assert_close(dlogits, exact_dlogits, (classes + 16) * eps * max(np.abs(logits).max(), 1) / n)


def test_cross_entropy_of_equal_logits_is_the_log_of_the_number_of_classes():
    for classes in (2, 10, 37):
        loss, _ = F.softmax_cross_entropy(np.zeros((3, classes)), np.zeros(3, int))
        assert math.isclose(loss, math.log(classes), rel_tol=1e-14)


def test_cross_entropy_is_a_mean_and_not_a_sum():
    logits, labels = numbers(4, 10, np.float64, 0)
    loss, dlogits = F.softmax_cross_entropy(logits, labels)
    twice_loss, twice_dlogits = F.softmax_cross_entropy(np.tile(logits, (2, 1)), np.tile(labels, 2))
    assert math.isclose(loss, twice_loss, rel_tol=1e-14)
    np.testing.assert_allclose(twice_dlogits[:4], dlogits / 2, rtol=1e-14)


def test_cross_entropy_is_minus_the_log_of_the_labels_probability():
    logits, labels = numbers(9, 6, np.float64, 1)
    by_hand = -np.log(F.softmax(logits)[np.arange(9), labels]).mean()
    assert math.isclose(F.softmax_cross_entropy(logits, labels)[0], by_hand, rel_tol=1e-13)


def test_cross_entropy_gradient_rows_add_up_to_zero():
    _, dlogits = F.softmax_cross_entropy(*numbers(9, 6, np.float64, 1))
    np.testing.assert_allclose(dlogits.sum(axis=1), 0, atol=1e-16)


@BOTH_TYPES
def test_cross_entropy_of_logits_of_ten_thousand_is_finite(dtype):
    """exp(10000) overflows, and the probability of the wrong label underflows to 0: log(0) must not be taken."""
    logits = np.array([[1e4, -1e4, 0], [1e4, -1e4, 0]], dtype)
    loss, dlogits = F.softmax_cross_entropy(logits, np.array([0, 1]))
    assert loss == 1e4  # (0 + 20000) / 2
    np.testing.assert_array_equal(dlogits, [[0, 0, 0], [0.5, -0.5, 0]])


@BOTH_TYPES
def test_cross_entropy_does_not_change_when_all_logits_are_shifted(dtype):
    logits = np.random.default_rng(0).integers(-40, 40, (20, 10)).astype(dtype) / 8
    labels = np.arange(20) % 10
    loss, dlogits = F.softmax_cross_entropy(logits, labels)
    shifted_loss, shifted_dlogits = F.softmax_cross_entropy(logits + dtype(1024), labels)
    assert loss == shifted_loss
    np.testing.assert_array_equal(dlogits, shifted_dlogits)


@BOTH_TYPES
@pytest.mark.parametrize("column", [0, 3, 9])
def test_cross_entropy_passes_nan_on(column, dtype):
    logits, labels = numbers(4, 10, dtype, 0)
    logits[2, column] = np.nan
    loss, dlogits = F.softmax_cross_entropy(logits, labels)
    assert math.isnan(loss)
    assert np.isnan(dlogits[2]).all()
    assert np.isfinite(dlogits[[0, 1, 3]]).all()


@pytest.mark.parametrize("integer", [np.uint8, np.int8, np.int32, np.int64, np.uint64])
def test_cross_entropy_takes_labels_of_any_integer_type(integer):
    logits, labels = numbers(6, 10, np.float32, 0)
    assert F.softmax_cross_entropy(logits, labels.astype(integer))[0] == F.softmax_cross_entropy(logits, labels)[0]


@pytest.mark.parametrize("label", [-1, 10, 255, 2**40])
def test_cross_entropy_rejects_a_label_that_is_no_class(label):
    logits, labels = numbers(6, 10, np.float32, 0)
    labels[3] = label
    with pytest.raises((DataError, ShapeError), match=str(label)):
        F.softmax_cross_entropy(logits, labels)


@pytest.mark.parametrize("shape", [(5,), (7,), (6, 1), (6, 10), ()])
def test_cross_entropy_rejects_labels_that_do_not_match_the_logits(shape):
    logits, _ = numbers(6, 10, np.float32, 0)
    with pytest.raises((DataError, ShapeError)):
        F.softmax_cross_entropy(logits, np.zeros(shape, int))


@pytest.mark.parametrize("labels", [np.zeros(6), np.zeros(6, bool), np.array(["0"] * 6)], ids=["float", "bool", "text"])
def test_cross_entropy_rejects_labels_that_are_no_integers(labels):
    """A label of 0.7 would be cut to 0 unseen."""
    logits, _ = numbers(6, 10, np.float32, 0)
    with pytest.raises(NumbaCNNError):
        F.softmax_cross_entropy(logits, labels)


@pytest.mark.parametrize("shape", [(10,), (2, 3, 10), (2, 0)])
def test_cross_entropy_rejects_logits_that_are_no_rows_of_classes(shape):
    with pytest.raises((DataError, ShapeError)):
        F.softmax_cross_entropy(np.zeros(shape), np.zeros(shape[0], int))
