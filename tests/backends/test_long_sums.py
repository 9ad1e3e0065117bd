"""Long sums in float32 lose no digits: each is close to that of float64, where adding one value after the other is not."""

import numpy as np
import pytest

from numbacnn.shapes import pool_window2d

ROUNDING = 2.0**-24
"""Half the distance between neighbouring float32 values near 1."""

MOST = {"plain": 16, "fast": 64, "cuda": 64}
"""Roundings that a sum may be off. Sums on the CPU are taken in runs of 16 terms, those of products and on the GPU in longer ones."""

EQUAL = 0.7
"""Sums of equal numbers are the worst: most of their roundings go the same way."""


def terms(device):
    """As many as show a drift; the simulator of CUDA adds them in Python."""
    return 4096 if device.name == "cuda" else 100_000


def roundings(computed, exact):
    return float((np.abs(computed - exact) / np.abs(exact)).max() / ROUNDING)


def drifts(values):
    """Whether adding these values one after the other, in float32, would miss the bound."""
    return roundings(np.cumsum(values, dtype=np.float32)[-1], values.astype(np.float64).sum()) > 5 * max(MOST.values())


@pytest.mark.devices("plain", "cuda")
def test_the_mean_of_a_large_map_does_not_drift(device):
    side = int(terms(device) ** 0.5)
    x = np.full((1, side, side, 1), EQUAL, np.float32)
    assert drifts(x.ravel())
    y = device.run("avg_pool2d", x, window=pool_window2d((side, side), (side, side), (1, 1), "valid"))
    assert roundings(y, x.astype(np.float64).mean()) < MOST[device.name]


@pytest.mark.devices("plain", "cuda")
def test_softmax_and_its_loss_over_many_classes_add_up_to_one(device):
    classes = terms(device)
    z = np.full((1, classes), -0.36, np.float32)
    z[0, -1] = 0
    exponentials = np.exp(z.astype(np.float64))
    assert drifts(exponentials.astype(np.float32).ravel())
    y = device.run("softmax", z)
    assert roundings(y, exponentials / exponentials.sum()) < MOST[device.name]
    losses, _, dlogits = device.run("softmax_cross_entropy", z, np.array([classes - 1]))
    assert roundings(losses, np.log(exponentials.sum())) < MOST[device.name]
    assert roundings(dlogits[0, :-1], y[0, :-1].astype(np.float64)) < MOST[device.name]


@pytest.mark.devices("plain", "cuda")
def test_the_gradient_of_softmax_over_many_classes_does_not_drift(device):
    classes = terms(device)
    y, dy = np.full((1, classes), EQUAL, np.float32), np.ones((1, classes), np.float32)
    assert drifts(y.ravel())
    inner = y.astype(np.float64).sum()
    assert roundings(device.run("softmax_backward", y, dy), y * (1 - inner)) < MOST[device.name]


@pytest.mark.devices("fast", "cuda")
def test_the_gradients_of_a_dense_layer_over_a_large_batch_do_not_drift(device):
    count = terms(device)
    x, dy = np.full((count, 3), EQUAL, np.float32), np.ones((count, 2), np.float32)
    assert drifts(x[:, 0])
    _, dkernel, dbias = device.run("dense_backward", x, np.ones((3, 2), np.float32), EQUAL * dy, needs_dx=False)
    assert roundings(dbias, (EQUAL * dy).astype(np.float64).sum(0)) < MOST[device.name]
    assert roundings(dkernel, x.astype(np.float64).T @ (EQUAL * dy)) < MOST[device.name]
