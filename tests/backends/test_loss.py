"""The loss of each image, its gradient, and the record of an epoch's steps."""

import math

import numpy as np
import oracle
import pytest
from devices import normal, small
from gradient_check import numeric_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn.values import EpochLosses


def numbers(count, classes, dtype, seed, scale):
    generator = np.random.default_rng(seed)
    return (scale * generator.standard_normal((count, classes))).astype(dtype), generator.integers(0, classes, count)


def check(device, count, classes, dtype, scale, seed):
    logits, labels = numbers(count, classes, dtype, seed, scale)
    losses, correct, dlogits = device.run("softmax_cross_entropy", logits, labels)
    assert (losses.dtype, correct.dtype, dlogits.dtype) == (dtype, np.bool_, dtype)
    each = [oracle.softmax_cross_entropy(logits[n : n + 1], labels[n : n + 1])[0] for n in range(count)]
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(losses, each, rtol=0, atol=32 * eps)  # each is a difference of numbers of about 10
    np.testing.assert_array_equal(correct, logits.argmax(axis=1) == labels)
    np.testing.assert_allclose(dlogits, oracle.softmax_cross_entropy(logits, labels)[1], rtol=0, atol=16 * eps / count)


@pytest.mark.parametrize("classes", [1, 2, 10])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 33])
def test_losses_answers_and_gradient_equal_the_formula(device, dtype, count, classes):
    check(device, count, classes, dtype, 3, seed=count)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.integers(1, 130), st.integers(1, 40), st.sampled_from([np.float32, np.float64]), st.integers(0, 9999))
def test_losses_answers_and_gradient_equal_the_formula_on_random_shapes(count, classes, dtype, seed):
    with small("plain") as device:
        check(device, count, classes, dtype, 5, seed)


@pytest.mark.simulator
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("count", "classes"), [(3, 4), *(pytest.param(6, k, marks=pytest.mark.large) for k in (1, 2, 10))])
def test_gradient_of_the_mean_loss_equals_finite_differences(device, count, classes):
    ops, (logits,), labels = device.ops, normal(0, np.float64, (count, classes)), np.arange(count) % classes
    *_, dlogits = device.run("softmax_cross_entropy", logits, labels)

    def loss(probe):
        return float(np.mean(ops.to_host(ops.softmax_cross_entropy(ops.asarray(probe), ops.asarray(labels))[0])))

    np.testing.assert_allclose(dlogits, numeric_gradient(loss, logits), rtol=1e-6, atol=1e-10)


def test_no_images_have_no_losses(device, dtype):
    losses, correct, dlogits = device.run("softmax_cross_entropy", np.zeros((0, 5), dtype), np.zeros(0, np.int64))
    assert (losses.shape, correct.shape, dlogits.shape) == ((0,), (0,), (0, 5))


def test_the_first_of_equal_logits_is_the_answer(device, dtype):
    """As for argmax."""
    logits = np.array([[1, 3, 2], [0, 0, 0], [5, 5, 1], [5, 5, 1]], dtype)
    losses, correct, _ = device.run("softmax_cross_entropy", logits, np.array([1, 2, 0, 1]))
    assert correct.tolist() == [True, False, True, False]
    expected = [oracle.softmax_cross_entropy(logits[k : k + 1], [label])[0] for k, label in enumerate([1, 2, 0, 1])]
    np.testing.assert_allclose(losses, expected, rtol=8 * np.finfo(dtype).eps)


def test_huge_logits_have_a_finite_loss(device, dtype):
    """exp(10000) overflows, and the probability of the wrong label underflows to 0: log(0) must not be taken."""
    logits = np.array([[1e30, 0, 0], [-1e30, 0, 0], [1e4, -1e4, 0], [1e4, -1e4, 0]], dtype)
    losses, _, dlogits = device.run("softmax_cross_entropy", logits, np.array([0, 1, 0, 1]))
    np.testing.assert_allclose(losses, [0, math.log(2), 0, 20000], rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(4 * dlogits[[0, 2, 3]], [[0, 0, 0], [0, 0, 0], [1, -1, 0]])
    np.testing.assert_allclose(4 * dlogits[1], [0, -0.5, 0.5])


def test_losses_do_not_change_when_all_logits_are_shifted(device, dtype):
    logits, labels = np.random.default_rng(0).integers(-40, 40, (20, 10)).astype(dtype) / 8, np.arange(20) % 10
    results = device.run("softmax_cross_entropy", logits, labels)
    for one, other in zip(results, device.run("softmax_cross_entropy", logits + dtype(1024), labels), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # inf - inf, which the simulator leaves to NumPy
@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_logit_that_is_no_number_spoils_the_loss_of_its_image_alone(device, dtype, bad, column):
    logits = np.zeros((4, 3), dtype)
    logits[2, column] = bad
    losses, _, dlogits = device.run("softmax_cross_entropy", logits, np.zeros(4, np.int64))
    expected = [True, True, False, True]
    assert np.isfinite(losses).tolist() == expected
    assert np.isfinite(dlogits).all(axis=1).tolist() == np.isfinite(dlogits).any(axis=1).tolist() == expected


# --- the losses of an epoch ------------------------------------------------------------------------------------------------


def recorded(device, *steps):
    """The record of (losses, correct) of each step."""
    new = device.ops.new_epoch_losses(len(steps))
    assert device.get(new.losses).tolist() == device.get(new.correct).tolist() == [0] * len(steps)
    epoch = EpochLosses(device.put(device.get(new.losses)), device.put(device.get(new.correct)))
    for step, (losses, correct) in enumerate(steps):
        check = device.ops.record_step(epoch, step, device.put(np.float32(losses)), device.put(np.array(correct, bool)))
        assert check.losses is epoch.losses
        assert check.step == step
    device.check()
    return device.get(epoch.losses), device.get(epoch.correct)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 31, 33, 257])
def test_an_epoch_has_the_sum_of_a_steps_losses_and_right_answers(device, count):
    generator = np.random.default_rng(count)
    losses, right = generator.random((2, count)).astype(np.float32), generator.random((2, count)) < 0.5
    sums, correct = recorded(device, (losses[0], right[0]), (losses[1], right[1]))
    np.testing.assert_allclose(sums, losses.sum(axis=1, dtype=np.float64), rtol=32 * np.finfo(np.float32).eps)
    np.testing.assert_array_equal(correct, right.sum(axis=1))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_after_a_loss_that_is_not_finite_all_losses_are_nan(device, bad):
    steps = [([1, 2], [1, 0]), ([3, bad], [1, 1]), ([5, 6], [1, 1]), ([7, 8], [0, 0])]
    losses, correct = recorded(device, *steps)
    assert losses[0] == 3
    assert not math.isfinite(losses[1])
    assert np.isnan(losses[2:]).all()
    assert correct.tolist() == [1, 2, 2, 0]
