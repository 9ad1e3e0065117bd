"""The loss of each image, its gradient, and the tally of an epoch's steps."""

import math

import numpy as np
import oracle
import pytest
from gradient_check import numeric_gradient

from numbacnn.values import EpochLosses

EPS = np.finfo(np.float32).eps


def case(count, classes):
    generator = np.random.default_rng(count)
    logits = (3 * generator.standard_normal((count, classes))).astype(np.float32)
    return logits, generator.integers(0, classes, count)


@pytest.mark.parametrize("classes", [1, 2, 10])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 33])
def test_losses_answers_and_gradient_equal_the_formula(ops, run, count, classes):
    logits, labels = case(count, classes)
    losses, correct, dlogits = run(ops.softmax_cross_entropy, logits, labels)
    assert (losses.dtype, correct.dtype, dlogits.dtype) == (np.float32, np.bool_, np.float32)
    each = [oracle.softmax_cross_entropy(logits[n : n + 1], labels[n : n + 1])[0] for n in range(count)]
    np.testing.assert_allclose(losses, each, rtol=0, atol=32 * EPS)
    np.testing.assert_array_equal(correct, logits.argmax(axis=1) == labels)
    np.testing.assert_allclose(dlogits, oracle.softmax_cross_entropy(logits, labels)[1], rtol=0, atol=16 * EPS / count)


def test_no_images_have_no_losses(ops, run):
    losses, correct, dlogits = run(ops.softmax_cross_entropy, np.zeros((0, 5), np.float32), np.zeros(0, np.int64))
    assert (losses.shape, correct.shape, dlogits.shape) == ((0,), (0,), (0, 5))


def test_the_first_of_equal_logits_is_the_answer(ops, run):
    logits = np.array([[1, 3, 2], [0, 0, 0], [5, 5, 1], [5, 5, 1]], np.float32)
    _, correct, _ = run(ops.softmax_cross_entropy, logits, np.array([1, 2, 0, 1]))
    assert correct.tolist() == [True, False, True, False]


def test_huge_logits_have_a_finite_loss(ops, run):
    logits = np.array([[1e30, 0, 0], [-1e30, 0, 0], [1000, 0, -1000]], np.float32)
    losses, _, dlogits = run(ops.softmax_cross_entropy, logits, np.array([0, 1, 2]))
    np.testing.assert_allclose(losses, [0, math.log(2), 2000], rtol=4 * EPS)
    assert np.isfinite(dlogits).all()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # inf - inf, which the simulator leaves to NumPy
def test_a_logit_that_is_no_number_spoils_the_loss_of_its_image_alone(ops, run):
    logits = np.zeros((4, 3), np.float32)
    logits[0, 0], logits[1, 2], logits[2, 1] = np.nan, np.nan, np.inf
    losses, _, dlogits = run(ops.softmax_cross_entropy, logits, np.zeros(4, np.int64))
    assert np.isfinite(losses).tolist() == [False, False, False, True]
    assert np.isfinite(dlogits).all(axis=1).tolist() == [False, False, False, True]


@pytest.mark.simulator
def test_gradient_of_the_mean_loss_equals_finite_differences(ops, run):
    logits, labels = np.random.default_rng(0).standard_normal((3, 4)), np.array([0, 3, 1])
    *_, dlogits = run(ops.softmax_cross_entropy, logits, labels)

    def loss(probe):
        return float(np.mean(ops.to_host(ops.softmax_cross_entropy(ops.asarray(probe), ops.asarray(labels))[0])))

    np.testing.assert_allclose(dlogits, numeric_gradient(loss, logits), rtol=1e-6, atol=1e-10)


def tallied(ops, canaries, *steps):
    """What is written down of (losses, correct) of each step."""
    count = len(steps)
    tally = EpochLosses(canaries.device(np.zeros(count, np.float32)), canaries.device(np.zeros(count, np.int32)))
    for step, (losses, correct) in enumerate(steps):
        guard = ops.record_step(tally, step, canaries.device(np.float32(losses)), canaries.device(np.array(correct, bool)))
        assert (guard.losses, guard.step) == (tally.losses, step)
    canaries.check()
    return ops.to_host(tally.losses), ops.to_host(tally.correct)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 31, 33, 257])
def test_a_tally_has_the_sum_of_a_steps_losses_and_right_answers(ops, canaries, count):
    generator = np.random.default_rng(count)
    losses, right = generator.random((2, count)).astype(np.float32), generator.random((2, count)) < 0.5
    sums, correct = tallied(ops, canaries, (losses[0], right[0]), (losses[1], right[1]))
    np.testing.assert_allclose(sums, losses.sum(axis=1, dtype=np.float64), rtol=32 * EPS)
    np.testing.assert_array_equal(correct, right.sum(axis=1))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_after_a_loss_that_is_not_finite_all_losses_are_nan(ops, canaries, bad):
    steps = [([1, 2], [1, 0]), ([3, bad], [1, 1]), ([5, 6], [1, 1]), ([7, 8], [0, 0])]
    losses, correct = tallied(ops, canaries, *steps)
    assert losses[0] == 3
    assert not math.isfinite(losses[1])
    assert np.isnan(losses[2:]).all()
    assert correct.tolist() == [1, 2, 2, 0]


def test_a_new_tally_has_all_its_steps_ahead(ops):
    tally = ops.new_epoch_losses(3)
    assert ops.to_host(tally.losses).tolist() == ops.to_host(tally.correct).tolist() == [0, 0, 0]
