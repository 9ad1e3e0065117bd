"""Random distortions: the CPU's draws, and its pictures up to rounding."""

import numpy as np
import oracle
import pytest

from numbacnn.values import Augmentation, AugmentKey

STILL = Augmentation(0, 0, 0, 0, 0)
KEY = AugmentKey(3, 5)
FAR = Augmentation(0.3, 200, 0.5, 0.5, 0.5)


def pictures(*shape):
    return np.random.default_rng(0).random(shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(2, 5, 5, 1), (1, 4, 7, 3), (2, 2, 3, 2), (1, 9, 6, 1)], ids=str)
@pytest.mark.parametrize("amounts", [Augmentation(), FAR])
def test_augment_equals_the_oracle_and_the_cpu(ops, cpu, run, shape, amounts):
    """Places are float32 in pixels, so about 1e-6 off; neighbours differ by up to 1."""
    x = pictures(*shape)
    y = run(ops.augment, x, amounts, KEY)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, oracle.augment(x, amounts, *KEY), rtol=0, atol=1e-5)
    np.testing.assert_allclose(y, cpu.augment(x, amounts, KEY), rtol=0, atol=1e-5)


@pytest.mark.parametrize("part", ["shift", "rotation", "scale", "shear", "elastic"])
def test_each_part_of_a_distortion_equals_the_oracle(ops, run, part):
    x, amounts = pictures(2, 4, 5, 1), STILL._replace(**{part: 40.0 if part == "rotation" else 0.4})
    np.testing.assert_allclose(run(ops.augment, x, amounts, KEY), oracle.augment(x, amounts, *KEY), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 5, 5, 1), (3, 1, 1, 1), (2, 1, 7, 2), (0, 5, 5, 1)], ids=str)
def test_augment_by_nothing_is_the_identity_bit_for_bit(ops, run, shape):
    x = pictures(*shape)
    np.testing.assert_array_equal(run(ops.augment, x, STILL, KEY), x)


@pytest.mark.parametrize("key", [AugmentKey(4, 5), AugmentKey(3, 6), AugmentKey(2**63 - 1, 2**40)])
def test_augment_of_any_key_equals_the_cpu(ops, cpu, run, key):
    x = pictures(1, 5, 4, 1)
    y = run(ops.augment, x, FAR, key)
    np.testing.assert_allclose(y, cpu.augment(x, FAR, key), rtol=0, atol=1e-5)
    assert not np.array_equal(y, run(ops.augment, x, FAR, KEY))


def test_an_image_is_distorted_the_same_way_in_a_larger_batch(ops, run):
    x = pictures(3, 4, 4, 1)
    np.testing.assert_array_equal(run(ops.augment, x, FAR, KEY)[:2], run(ops.augment, x[:2], FAR, KEY))


@pytest.fixture
def grid_kernel(canaries):
    from numbacnn.backends.cuda.plain import augment

    return augment


@pytest.mark.simulator  # device functions are plain ones there
def test_draws_are_the_cpus_bit_for_bit(grid_kernel):
    from numbacnn.backends.augmentation import DRAWS, STREAM
    from numbacnn.backends.cpu.plain import augment as cpu_augment

    draws = np.empty((3, DRAWS), np.float32)
    cpu_augment._draw(draws, 3, 5)
    key = grid_kernel.stream_key(3, 5, STREAM)
    found = [[grid_kernel.draw(n, k, key) for k in range(DRAWS)] for n in range(3)]
    np.testing.assert_array_equal(np.float32(found), draws)


@pytest.mark.simulator
@pytest.mark.parametrize("half_turns", np.linspace(-2.2, 2.2, 45).astype(np.float32).tolist())
def test_cosine_and_sine_of_any_angle(grid_kernel, half_turns):
    angle = np.pi * half_turns
    np.testing.assert_allclose(grid_kernel.cosine_and_sine(np.float32(half_turns)), (np.cos(angle), np.sin(angle)), atol=2e-7)
