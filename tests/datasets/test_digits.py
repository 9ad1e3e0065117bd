"""The embedded digits: the same on every machine and with any number of threads, and in the shape of MNIST."""

import hashlib

import numba
import numpy as np
import pytest

from numbacnn.backends.cpu import strokes
from numbacnn.datasets import digits, skeletons
from numbacnn.datasets.draws import Draws, Sine, U, value
from numbacnn.errors import DataError

SHA256_OF_1000 = "c91da1e886a85a1656ad554937b316417de6fbcf026d9d0750402a9695bca30a"


@pytest.fixture(scope="module")
def images():
    return digits.draw(3000)[0]


@pytest.fixture
def one_thread():
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def ink_box(image):
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    return rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


def cropped(image):
    return image[np.ix_(image.any(1), image.any(0))].astype(float)


# --- the data set ---


def test_draw_gives_bytes_of_28_by_28_pixels_and_balanced_labels():
    images, labels = digits.draw(70)
    assert images.shape == (70, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [7] * 10


def test_draw_of_nothing_gives_nothing():
    images, labels = digits.draw(0)
    assert images.shape == (0, 28, 28)
    assert labels.shape == (0,)


def test_drawn_pixels_are_the_same_on_every_machine():
    images, _ = digits.draw(1000)
    assert hashlib.sha256(images.tobytes()).hexdigest() == SHA256_OF_1000


def test_one_thread_draws_the_same_bytes_as_all_of_them(images, one_thread):
    np.testing.assert_array_equal(digits.draw(3000)[0], images)


def test_an_image_depends_on_its_number_and_not_on_how_many_are_drawn(images):
    np.testing.assert_array_equal(digits.draw(100)[0], images[:100])
    slice_images, slice_labels = digits.draw(23, first=140)
    np.testing.assert_array_equal(slice_images, images[140:163])
    np.testing.assert_array_equal(slice_labels, np.arange(140, 163) % 10)


def test_images_are_the_same_across_the_border_of_a_block(monkeypatch, images):
    monkeypatch.setattr(digits, "BLOCK", 37)
    np.testing.assert_array_equal(digits.draw(100)[0], images[:100])


def test_another_seed_draws_other_digits(images):
    others = digits.draw(200, seed=digits.TEST_SEED)[0]
    assert digits.TEST_SEED != digits.TRAIN_SEED
    assert not (others == images[:200]).all(axis=(1, 2)).any()


def test_no_digit_is_drawn_twice(images):
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_load_limits_and_adds_the_channel_axis(images):
    train_images, train_labels, test_images, test_labels = digits.load(train_limit=50, test_limit=20)
    assert train_images.shape == (50, 28, 28, 1)
    assert test_images.shape == (20, 28, 28, 1)
    assert train_labels.shape == (50,)
    assert test_labels.shape == (20,)
    np.testing.assert_array_equal(train_images[..., 0], images[:50])


@pytest.mark.parametrize("arguments", [{"n": -1}, {"n": 1, "seed": -1}, {"n": 1, "first": -1}])
def test_negative_numbers_are_refused(arguments):
    with pytest.raises(DataError, match="expected n, seed and first of 0 or more"):
        digits.draw(**arguments)


# --- in the shape of MNIST ---


def test_the_long_side_of_the_ink_is_20_pixels(images):
    long_sides = np.array([max(ink_box(image)) for image in images])
    assert set(np.unique(long_sides)) <= {19, 20}  # 19 where pressure makes both ends thin
    assert (long_sides == 20).mean() > 0.99


def test_the_centre_of_mass_is_in_the_middle(images):
    mass = images.sum(axis=(1, 2), dtype=np.float64)
    for axis in (1, 2):
        centre = images.sum(axis=3 - axis) @ np.arange(28) / mass
        assert np.abs(centre - 14.0).max() < 0.51  # digits are moved by whole pixels; grey levels are rounded
        assert abs(centre.mean() - 14.0) < 0.03


def test_the_border_is_nearly_always_clean(images):
    border = images.copy()
    border[:, 1:-1, 1:-1] = 0
    assert border.any(axis=(1, 2)).mean() < 0.03  # MNIST: 0.014


def test_digits_have_as_much_ink_as_those_of_mnist(images):
    share = (images > 127).mean(axis=(1, 2))
    assert share.min() > 0.02
    assert share.max() < 0.36
    assert 0.12 < share.mean() < 0.145  # MNIST: 0.133


def test_edges_are_grey_as_if_scanned(images):
    inked = images[images > 0]
    assert 0.2 < ((inked > 0) & (inked < 255)).mean() < 0.7


# --- skeletons ---

VARIANTS = [(digit, variant) for digit, variants in enumerate(skeletons.DIGITS) for variant in variants]


def test_there_are_variants_of_ten_digits_and_their_shares_add_to_one():
    assert len(skeletons.DIGITS) == 10
    for variants in skeletons.DIGITS:
        assert sum(variant.share for variant in variants) == pytest.approx(1)
        assert len({variant.name for variant in variants}) == len(variants)


@pytest.mark.parametrize(("digit", "variant"), VARIANTS, ids=[f"{d} {v.name}" for d, v in VARIANTS])
def test_every_variant_can_be_placed_near_the_unit_box(digit, variant):
    points, kinds = skeletons.draw_points(variant.figure, Draws(0, np.arange(100), 1))
    assert points.shape == (100, len(variant.figure), 2)
    present = kinds != skeletons.ABSENT
    assert (present.sum(axis=1) >= 2).all()
    assert points[present].min() > -0.6
    assert points[present].max() < 1.7


def test_every_variant_gets_drawn(monkeypatch):
    placed = {}

    def place_and_note(figure, draws):
        placed[id(figure)] = draws.size
        return skeletons.draw_points(figure, draws)

    monkeypatch.setattr(digits, "draw_points", place_and_note)
    digits.draw(3000)
    assert all(placed[id(variant.figure)] > 0 for _, variant in VARIANTS)


def test_the_kinds_of_points_mean_the_same_to_the_kernel():
    for name in ("SMOOTH", "CORNER", "START", "ABSENT"):
        assert getattr(skeletons, name) == getattr(strokes, name)


def test_sometimes_has_all_of_its_points_or_none():
    figure = (
        skeletons.smooth(0.0, 0.0),
        *skeletons.sometimes(0.25, skeletons.start(1.0, 0.0), skeletons.smooth(1.0, 1.0)),
        skeletons.smooth(0.0, 1.0),
    )
    _, kinds = skeletons.draw_points(figure, Draws(0, np.arange(4000), 0))
    absent = kinds == skeletons.ABSENT
    np.testing.assert_array_equal(absent[:, 1], absent[:, 2])
    assert not absent[:, [0, 3]].any()
    assert absent[:, 1].mean() == pytest.approx(0.75, abs=0.03)  # 4 standard errors


def test_a_corner_of_a_share_is_smooth_in_the_rest():
    _, kinds = skeletons.draw_points((skeletons.corner(0.0, 0.0, share=0.6),), Draws(0, np.arange(4000), 0))
    assert set(np.unique(kinds)) == {skeletons.CORNER, skeletons.SMOOTH}
    assert (kinds == skeletons.CORNER).mean() == pytest.approx(0.6, abs=0.035)


def test_ring_runs_clockwise_for_positive_turns():
    points, _ = skeletons.draw_points(skeletons.ring(0.5, 0.5, 0.5, 0.25, 0, 90, 3), Draws(0, np.arange(1), 0))
    np.testing.assert_allclose(points[0, [0, 2]], [[1.0, 0.5], [0.5, 0.75]], atol=1e-3)


# --- draws ---


def test_an_expression_uses_one_draw_wherever_it_stands():
    waist = U(0.0, 1.0)
    draws = Draws(3, np.arange(50), 0)
    np.testing.assert_array_equal(value(waist - waist, draws), np.zeros(50))
    np.testing.assert_array_equal(value(2.0 * waist + 1.0, draws), 2.0 * draws.once(waist) + 1.0)
    np.testing.assert_array_equal(value(1.0 - waist * waist, draws), 1.0 - draws.once(waist) * draws.once(waist))


def test_two_draws_with_the_same_limits_differ():
    draws = Draws(3, np.arange(50), 0)
    assert (value(U(0.0, 1.0), draws) != value(U(0.0, 1.0), draws)).all()


def test_uniform_and_normal_draws_have_their_mean_and_spread():
    draws = Draws(0, np.arange(100_000), 0)
    uniform, normal = draws.uniform(2.0, 4.0), draws.normal(1.0, 0.5)
    assert uniform.min() >= 2.0
    assert uniform.max() < 4.0
    assert uniform.mean() == pytest.approx(3.0, abs=0.01)
    assert uniform.std() == pytest.approx(2 / 12**0.5, abs=0.01)
    assert normal.mean() == pytest.approx(1.0, abs=0.01)
    assert normal.std() == pytest.approx(0.5, abs=0.01)


def test_streams_seeds_and_images_do_not_share_numbers():
    numbers = [Draws(seed, np.arange(1000), stream).bits()[:, 0] for seed in (0, 1, 2) for stream in (0, 1, 2)]
    assert len(np.unique(np.concatenate(numbers))) == 9000


def test_sine_is_right_to_a_tenth_of_a_percent():
    degrees = np.linspace(-800.0, 800.0, 4001)
    np.testing.assert_allclose(value(Sine(degrees), Draws(0, np.arange(1), 0)), np.sin(np.deg2rad(degrees)), atol=1.2e-3)


# --- strokes ---


def drawn(points, pen=2.0, **hand_values):
    """One image of the given control points (x, y, kind), upright and without waves."""
    hand = np.zeros((1, strokes.HAND_COLUMNS))
    columns = {"WIDTH": 1.0, "COSINE": 1.0, "ROUNDNESS": 0.5, "EDGE": 1.0, "PEN": pen, "NARROW_PEN": 9.0} | hand_values
    for name, number in columns.items():
        hand[0, getattr(strokes, name)] = number
    control_points = np.array([[(x, y, 1.0) for x, y, _ in points]])
    kinds = np.array([[kind for _, _, kind in points]], np.uint8)
    images = np.empty((1, 28, 28), np.uint8)
    strokes.draw_strokes(control_points, kinds, hand, np.zeros((1, 0, 5)), images)
    return images[0]


LINE = ((0.5, 0.0, strokes.START), (0.5, 1.0, strokes.SMOOTH))


def test_an_upright_line_is_20_pixels_high_and_as_wide_as_the_pen():
    height, width = ink_box(drawn(LINE, pen=2.0))
    assert height == 20
    assert width == 2  # drawn from the edge of a pixel on, so that no ramp is left over


def test_a_mere_line_limits_the_pen():
    thin = drawn(LINE, pen=6.0, NARROW_PEN=1.0)
    assert thin.sum() < 0.4 * drawn(LINE, pen=6.0).sum()


def test_a_positive_rotation_turns_clockwise():
    z = ((0.0, 0.0, strokes.START), (1.0, 0.0, strokes.CORNER), (0.0, 1.0, strokes.CORNER), (1.0, 1.0, strokes.SMOOTH))
    upright, turned = cropped(drawn(z)), cropped(drawn(z, COSINE=0.0, SINE=1.0))
    np.testing.assert_allclose(turned, np.rot90(upright, -1), atol=1)  # where half a grey level is rounded


def test_the_pen_is_lifted_between_strokes():
    apart = drawn((*LINE, (1.0, 0.0, strokes.START), (1.0, 1.0, strokes.SMOOTH)))
    joined = drawn((*LINE, (1.0, 0.0, strokes.SMOOTH), (1.0, 1.0, strokes.SMOOTH)))
    assert not apart[:, 14].any()
    assert joined[:, 14].any()


def test_an_absent_point_leaves_no_trace():
    with_absent = (LINE[0], (0.0, 0.3, strokes.ABSENT), LINE[1])
    np.testing.assert_array_equal(drawn(with_absent), drawn(LINE))


def test_a_positive_shear_leans_the_top_to_the_right():
    rows, columns = np.nonzero(drawn(LINE, SHEAR=0.5))
    assert columns[rows < 10].mean() > columns[rows > 18].mean() + 3


def test_a_corner_is_sharper_than_a_smooth_turn():
    def bend(kind):
        return drawn(((0.0, 0.0, strokes.START), (1.0, 0.5, kind), (0.0, 1.0, strokes.SMOOTH)))

    assert (bend(strokes.SMOOTH) > 127).sum() != (bend(strokes.CORNER) > 127).sum()
