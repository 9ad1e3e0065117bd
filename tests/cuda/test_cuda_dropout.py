"""The dropout mask is the CPU's, bit for bit."""

import numpy as np
import pytest

from numbacnn.values import DropoutKey

KEYS = [DropoutKey(0, 0, 0), DropoutKey(3, 5, 2), DropoutKey(2**32 - 1, 2**40 + 7, 1), DropoutKey(2**63 - 1, 2**31, 255)]


@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (9,), (33,), (2, 3, 4, 5), (0, 3, 3, 1), (257,)], ids=str)
@pytest.mark.parametrize("rate", [0.3, 0.0])
def test_dropout_has_the_bits_of_the_cpu(ops, cpu, run, shape, rate):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    y = run(ops.dropout, x, rate, KEYS[1])
    np.testing.assert_array_equal(y, cpu.dropout(x, rate, KEYS[1]), strict=True)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.999])
def test_dropout_masks_of_any_key_are_the_cpus(ops, cpu, run, key, rate):
    x = np.ones(67, np.float32)
    np.testing.assert_array_equal(run(ops.dropout, x, rate, key), cpu.dropout(x, rate, key))


def test_dropout_is_its_own_gradient(ops, run):
    x, dy = np.random.default_rng(0).standard_normal((2, 6, 7))
    forward = np.vdot(run(ops.dropout, x, 0.4, KEYS[1]), dy)
    np.testing.assert_allclose(forward, np.vdot(x, run(ops.dropout, dy, 0.4, KEYS[1])), rtol=1e-12)


def test_dropout_passes_nan_on_where_it_is_kept(ops, cpu, run):
    x = np.full(40, np.nan, np.float32)
    np.testing.assert_array_equal(run(ops.dropout, x, 0.5, KEYS[0]), cpu.dropout(x, 0.5, KEYS[0]))


@pytest.mark.simulator
def test_dropout_in_float64_draws_the_same_mask(ops, cpu, run):
    x = np.random.default_rng(0).standard_normal(50)
    np.testing.assert_array_equal(run(ops.dropout, x, 0.3, KEYS[1]), cpu.dropout(x, 0.3, KEYS[1]), strict=True)
