"""augment: random distortions of training images, the same ones whatever the machine is doing."""

import math

import numba
import numpy as np
import oracle
import pytest

from numbacnn.backends import get_ops
from numbacnn.backends.augmentation import DRAWS
from numbacnn.backends.cpu.plain.augment import grid_weights, moved_grid
from numbacnn.values import Augmentation, AugmentKey

STILL = Augmentation(0, 0, 0, 0, 0)
KEY = AugmentKey(seed=3, step=5)


def augment(x, amounts=Augmentation(), key=KEY):  # noqa: B008
    return get_ops("cpu").augment(x, amounts, key)


def pictures(*shape, dtype=np.float32):
    return np.random.default_rng(0).random(shape).astype(dtype)


def disc(n: int, side: int = 29):
    """A soft disc in the middle: its centre of mass and its size are known."""
    rows, columns = np.mgrid[:side, :side] - side // 2
    return np.repeat(np.exp(-(rows**2 + columns**2) / 18).astype(np.float32)[None, ..., None], n, axis=0)


def stripe(n: int, side: int = 29):
    """A soft upright stripe: its slope can be measured."""
    rows, columns = np.mgrid[:side, :side] - side // 2
    return np.repeat(np.exp(-(columns**2) / 2 - rows**2 / 50).astype(np.float32)[None, ..., None], n, axis=0)


def moments(y):
    """Mass, centre (down, across from the middle) and covariance of each picture."""
    places = np.mgrid[: y.shape[1], : y.shape[2]] - np.reshape([y.shape[1] // 2, y.shape[2] // 2], (2, 1, 1))
    mass = y[..., 0].astype(np.float64)
    total = mass.sum((1, 2))
    centre = np.einsum("nij,kij->nk", mass, places) / total[:, None]
    away = places[None] - centre[..., None, None]
    return total, centre, np.einsum("nij,nkij,nlij->nkl", mass, away, away) / total[:, None, None]


@pytest.mark.parametrize("shape", [(3, 28, 28, 1), (2, 5, 5, 1), (2, 9, 6, 3), (2, 2, 3, 2)])
@pytest.mark.parametrize(
    "amounts",
    [
        Augmentation(), Augmentation(0.3, 90, 0.5, 0.5, 0.5), STILL._replace(shift=0.2), STILL._replace(rotation=30),
        STILL._replace(scale=0.3), STILL._replace(shear=0.3), STILL._replace(elastic=0.2),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_augment_equals_the_oracle(shape, amounts, dtype):
    """Places are float32 in pixels, so 2e-6 off in a picture of 28 pixels; neighbours differ by up to 1."""
    x = pictures(*shape, dtype=dtype)
    y = augment(x, amounts)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, oracle.augment(x, amounts, *KEY), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 28, 28, 1), (2, 5, 5, 3), (3, 1, 1, 1), (2, 1, 7, 2), (0, 28, 28, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_augment_by_nothing_is_the_identity_bit_for_bit(shape, dtype):
    x = pictures(*shape, dtype=dtype)
    before = x.copy()
    y = augment(x, STILL)
    np.testing.assert_array_equal(y, x, strict=True)
    assert not np.shares_memory(x, y)
    augment(x)
    np.testing.assert_array_equal(x, before)


def test_augment_depends_on_seed_step_and_place_in_the_batch():
    x = np.repeat(pictures(1, 12, 12, 1), 4, axis=0)
    y = augment(x)
    np.testing.assert_array_equal(y, augment(x))
    for one in range(4):
        for other in range(one):
            assert not np.array_equal(y[one], y[other])
    for key in (AugmentKey(4, 5), AugmentKey(3, 6), AugmentKey(5, 3), AugmentKey(2**63 - 1, 2**40)):
        assert not np.array_equal(y, augment(x, key=key))


def test_augment_distorts_an_image_the_same_way_in_a_larger_batch():
    x = pictures(9, 12, 12, 1)
    np.testing.assert_array_equal(augment(x)[:4], augment(x[:4].copy()))


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
def test_augment_gives_the_same_bits_with_one_thread_and_with_all():
    x, before, results = pictures(67, 28, 28, 1), numba.get_num_threads(), []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        results.append(augment(x))
    numba.set_num_threads(before)
    np.testing.assert_array_equal(*results)


def test_augment_moves_all_channels_alike():
    x = np.repeat(pictures(3, 28, 28, 1), 3, axis=3)
    y = augment(x)
    np.testing.assert_array_equal(y[..., 0], y[..., 2])
    np.testing.assert_array_equal(y[..., :1], augment(x[..., :1].copy()))


def test_augment_shifts_evenly_up_to_its_share_of_the_side():
    """2,000 shifts, evenly in -2.9...2.9 pixels: mean 0 (sigma 1.67 / sqrt(2000) = 0.04), variance 2.9^2 / 3 (sigma 2 %)."""
    _, centre, _ = moments(augment(disc(2000), STILL._replace(shift=0.1)))
    assert np.abs(centre).max() < 2.9 + 1e-3
    assert np.abs(centre).max(axis=0) == pytest.approx([2.9, 2.9], abs=0.03)
    assert centre.mean(axis=0) == pytest.approx([0, 0], abs=5 * 0.04)
    assert centre.var(axis=0) == pytest.approx(2.9**2 / 3, rel=0.1)
    assert abs(np.corrcoef(centre.T)[0, 1]) < 5 / math.sqrt(2000)


def test_augment_rotates_evenly_up_to_its_angle_around_the_middle():
    _, centre, spread = moments(augment(stripe(2000), STILL._replace(rotation=20.0)))
    angles = np.degrees(0.5 * np.arctan2(2 * spread[:, 0, 1], spread[:, 0, 0] - spread[:, 1, 1]))
    assert np.abs(centre).max() < 0.01
    assert np.abs(angles).max() == pytest.approx(20, abs=0.3)
    assert angles.mean() == pytest.approx(0, abs=5 * 11.5 / math.sqrt(2000))
    assert angles.var() == pytest.approx(20**2 / 3, rel=0.1)


def test_augment_scales_each_axis_up_to_its_share():
    _, _, spread = moments(augment(disc(500), STILL._replace(scale=0.2)))
    widths = np.sqrt(spread[:, [0, 1], [0, 1]]) / 3
    assert widths.max() == pytest.approx(1 / 0.8, abs=0.02)
    assert widths.min() == pytest.approx(1 / 1.2, abs=0.02)


def test_augment_slants_up_to_its_shear():
    _, _, spread = moments(augment(stripe(500), STILL._replace(shear=0.3)))
    slopes = spread[:, 0, 1] / spread[:, 0, 0]
    assert np.abs(slopes).max() == pytest.approx(0.3, abs=0.02)
    assert abs(slopes.mean()) < 5 * 0.17 / math.sqrt(500)


def test_augment_bends_smoothly():
    """The field never leaves the grid's range, is about a quarter of it on average, and a pixel's neighbour moves along."""
    draws = np.random.default_rng(0).uniform(-1, 1, (500, DRAWS)).astype(np.float32)
    weights = grid_weights(28)
    field = np.einsum("nkab,ai,bj->nkij", moved_grid(draws, STILL._replace(elastic=0.2), 28, 28), weights, weights)
    assert np.abs(field).max() <= 5.6
    assert 0.25 < field.std() / 5.6 < 0.31
    assert np.diff(field, axis=2).std() < 0.2 * field.std()


@pytest.mark.parametrize("size", [1, 2, 5, 28, 101])
def test_the_weights_of_the_grid_points_add_up_to_one_everywhere(size):
    weights = grid_weights(size)
    assert weights.shape == (7, size)
    np.testing.assert_allclose(weights.sum(axis=0), 1, rtol=1e-6)
    assert weights.min() >= 0
