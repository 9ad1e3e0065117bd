"""Sums over a batch on the GPU: trees, whose shape depends on the problem alone."""

import numpy as np
import pytest

pytestmark = pytest.mark.devices("cuda")


def bias_gradient(device, dy):
    """The sum of dy's rows."""
    x, kernel = np.ones((len(dy), 1), dy.dtype), np.ones((1, dy.shape[1]), dy.dtype)
    return device.run(lambda *given: device.ops.dense_backward(*given, needs_dx=False, factored=True)[2], x, kernel, dy)


def test_a_sum_of_equal_numbers_does_not_drift(device):
    """Added one after the other, 3,000 times 0.1 would be off by 2e-5 of itself."""
    (total,) = bias_gradient(device, np.full((3000, 1), 0.1, np.float32))
    assert abs(total / (3000 * float(np.float32(0.1))) - 1) < 1e-6


@pytest.mark.simulator
@pytest.mark.parametrize("threads", [5, 7, 12])
@pytest.mark.parametrize("columns", [1, 2, 3, 13])
def test_sums_are_whole_whatever_the_number_of_lanes(device, monkeypatch, threads, columns):
    """A GPU's 256 threads make 85 lanes of 3 columns, or 51 of 5: odd numbers, and threads left over."""
    from numbacnn.backends.cuda.plain import reduction

    monkeypatch.setattr(reduction, "THREADS", threads)
    dy = np.arange(40 * columns, dtype=np.float32).reshape(40, columns)
    np.testing.assert_array_equal(bias_gradient(device, dy), dy.sum(axis=0))
