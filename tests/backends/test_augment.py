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
FAR = Augmentation(0.3, 200, 0.5, 0.5, 0.5)
KEY = AugmentKey(seed=3, step=5)
PARTS = [STILL._replace(**{part: 40.0 if part == "rotation" else 0.4}) for part in STILL._fields]


def pictures(*shape, dtype=np.float32):
    return np.random.default_rng(0).random(shape).astype(dtype)


LARGE_SHAPES = [pytest.param(shape, marks=pytest.mark.large) for shape in [(3, 28, 28, 1), (2, 9, 6, 3)]]


@pytest.mark.parametrize("shape", [(2, 5, 5, 1), (1, 4, 7, 3), (2, 2, 3, 2), (1, 9, 6, 1), *LARGE_SHAPES], ids=str)
@pytest.mark.parametrize("amounts", [Augmentation(), FAR])
def test_augment_equals_the_oracle(device, dtype, shape, amounts):
    """Positions are float32 in pixels, so 2e-6 off in a picture of 28 pixels; neighbours differ by up to 1."""
    x = pictures(*shape, dtype=dtype)
    y = device.run("augment", x, amounts, KEY)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, oracle.augment(x, amounts, *KEY[:2]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 4, 5, 1), *LARGE_SHAPES], ids=str)
@pytest.mark.parametrize("amounts", PARTS, ids=STILL._fields)
def test_each_part_of_a_distortion_equals_the_oracle(device, dtype, shape, amounts):
    x = pictures(*shape, dtype=dtype)
    np.testing.assert_allclose(device.run("augment", x, amounts, KEY), oracle.augment(x, amounts, *KEY[:2]), rtol=0, atol=1e-5)


def test_a_part_of_a_batch_is_distorted_as_in_the_whole_batch(device):
    x = pictures(4, 5, 4, 1)
    whole = device.run("augment", x, FAR, KEY)
    np.testing.assert_array_equal(device.run("augment", x[1:3].copy(), FAR, KEY._replace(first=1)), whole[1:3])


@pytest.mark.parametrize("key", [AugmentKey(4, 5), AugmentKey(3, 6), AugmentKey(5, 3), AugmentKey(2**63 - 1, 2**40)])
def test_augment_of_any_key_equals_the_oracle(device, dtype, key):
    x = pictures(1, 5, 4, 1, dtype=dtype)
    y = device.run("augment", x, FAR, key)
    np.testing.assert_allclose(y, oracle.augment(x, FAR, *key[:2]), rtol=0, atol=1e-5)
    assert not np.array_equal(y, device.run("augment", x, FAR, KEY))


@pytest.mark.parametrize(
    "shape",
    [(2, 5, 5, 1), (3, 1, 1, 1), (2, 1, 7, 2), (0, 5, 5, 1), pytest.param((4, 28, 28, 1), marks=pytest.mark.large)],
    ids=str,
)
def test_augment_by_nothing_is_the_identity_bit_for_bit(device, dtype, shape):
    x = pictures(*shape, dtype=dtype)
    np.testing.assert_array_equal(device.run("augment", x, STILL, KEY), x, strict=True)


def test_augment_by_nothing_gives_a_new_array():
    x = pictures(2, 5, 5, 1)
    assert not np.shares_memory(augment(x, STILL), x)


def test_an_image_is_distorted_the_same_way_in_a_larger_batch_and_unlike_its_neighbours(device, dtype):
    x = np.repeat(pictures(1, 4, 4, 1, dtype=dtype), 3, axis=0)
    y = device.run("augment", x, FAR, KEY)
    np.testing.assert_array_equal(y[:2], device.run("augment", x[:2], FAR, KEY))
    assert len({image.tobytes() for image in y}) == 3


def test_augment_moves_all_channels_alike(device, dtype):
    x = np.repeat(pictures(2, 5, 5, 1, dtype=dtype), 3, axis=3)
    y = device.run("augment", x, FAR, KEY)
    np.testing.assert_array_equal(y[..., 0], y[..., 2])
    np.testing.assert_array_equal(y[..., :1], device.run("augment", x[..., :1], FAR, KEY))


# --- special to one device -------------------------------------------------------------------------------------------------


@pytest.mark.devices("cuda")
@pytest.mark.simulator  # device functions are plain ones there
def test_draws_of_the_gpu_are_the_cpus_bit_for_bit(device):
    from numbacnn.backends.augmentation import STREAM
    from numbacnn.backends.cpu.plain import augment as cpu
    from numbacnn.backends.cuda.plain import augment as gpu

    draws = np.empty((3, DRAWS), np.float32)
    cpu._draw(draws, 3, 5, 0)
    key = gpu.stream_key(3, 5, STREAM)
    found = [[gpu.draw(n, k, key) for k in range(DRAWS)] for n in range(3)]
    np.testing.assert_array_equal(np.float32(found), draws)


@pytest.mark.devices("cuda")
@pytest.mark.simulator
def test_cosine_and_sine_of_any_angle(device):
    from numbacnn.backends.cuda.plain import augment as gpu

    for half_turns in np.linspace(-2.2, 2.2, 45).astype(np.float32).tolist():
        angle = np.pi * half_turns
        np.testing.assert_allclose(gpu.cosine_and_sine(np.float32(half_turns)), (np.cos(angle), np.sin(angle)), atol=2e-7)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
def test_augment_gives_the_same_bits_with_one_thread_and_with_all():
    x, before, results = pictures(67, 28, 28, 1), numba.get_num_threads(), []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        results.append(augment(x))
    numba.set_num_threads(before)
    np.testing.assert_array_equal(*results)


# --- how far: statistics of many images, on the CPU ------------------------------------------------------------------------


def augment(x, amounts=Augmentation()):  # noqa: B008
    return get_ops("cpu").augment(x, amounts, KEY)


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
    offsets = np.mgrid[: y.shape[1], : y.shape[2]] - np.reshape([y.shape[1] // 2, y.shape[2] // 2], (2, 1, 1))
    mass = y[..., 0].astype(np.float64)
    total = mass.sum((1, 2))
    centre = np.einsum("nij,kij->nk", mass, offsets) / total[:, None]
    away = offsets[None] - centre[..., None, None]
    return total, centre, np.einsum("nij,nkij,nlij->nkl", mass, away, away) / total[:, None, None]


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
