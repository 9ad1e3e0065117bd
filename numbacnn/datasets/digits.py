"""`digits`: handwritten-looking digits drawn by the program itself, in the shape of MNIST; no file, no download.

A digit is a skeleton (``skeletons``) written by a hand (the tables below) with a pen (``backends.cpu.strokes``). Image i depends
on the seed and on i alone, and only exact arithmetic is used: the same bytes on every machine, with any number of threads.

Source: box of 20 pixels, centre of mass in the middle of 28x28: LeCun, Bottou, Bengio & Haffner 1998, section III.A.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from numbacnn.backends.cpu import strokes
from numbacnn.datasets.draws import Draws, Floats, sine
from numbacnn.datasets.skeletons import ABSENT, DIGITS, Variant, draw_points
from numbacnn.errors import DataError

TRAIN_IMAGES, TEST_IMAGES = 60_000, 10_000
TRAIN_SEED, TEST_SEED = 0, 1

Images = NDArray[np.uint8]
Labels = NDArray[np.uint8]

BLOCK = 20_000  # images drawn at a time, to bound the memory
MOST_POINTS = max(len(variant.figure) for variants in DIGITS for variant in variants)
VARIANT, FIGURE, HAND = range(3)  # streams of random numbers

# differences between hands: standard deviations ...
SHAKE = 0.016  # of a control point, boxes
PRESSURE = 0.12  # of the stroke width's factor at a control point
SLANT = 13.0  # degrees, about 10 to the right
ROTATION = 7.0  # degrees
WIDTH = 0.22  # of the logarithm of the width's factor
KEYSTONE = 0.12  # of the bottom's excess width over the top's, as a fraction
# ... and ranges
WAVES = 3
WAVE_LENGTH = (0.5, 2.0)  # boxes
WAVE_HEIGHT = (-0.06, 0.06)  # wavelengths
ROUNDNESS = (0.45, 0.6)  # of the tangents; 0.5 is Catmull-Rom
EDGE = (0.6, 1.35)  # pixels from ink to paper
PEN = (0.9, 4.2)  # pixels

# differences between digits              0     1     2     3     4     5     6     7     8     9
DIGIT_WIDTH = np.array([1.00, 1.00, 0.92, 0.84, 0.84, 0.97, 0.78, 0.88, 0.87, 0.74])  # factor of the width
DIGIT_LEAN = np.array([4.0, 4.0, 0.0, -7.0, 2.0, -4.0, -6.0, -6.0, 1.0, -2.0])  # degrees added to the slant
DIGIT_PEN = np.array([1.15, 1.05, 0.97, 0.97, 0.92, 0.97, 1.00, 1.00, 0.92, 0.92])  # factor of the stroke width's range
HEAVY_SHARE = np.array([0.10, 0.12, 0.06, 0.06, 0.06, 0.06, 0.06, 0.06, 0.06, 0.06])  # written with a heavier pen ...
HEAVY_PEN = np.array([2.5, 4.0, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5])  # ... by up to this, pixels
NARROW_PEN = np.array([1.0, 9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])  # pixels: the limit for a digit without width


def draw(n: int, *, seed: int = 0, first: int = 0) -> tuple[Images, Labels]:
    """Draw images ``first`` to ``first + n`` of the endless data set ``seed``.

    Args:
        n: the number of images.
        seed: the number of the data set.
        first: the number of the first image.
    Returns:
        images, uint8 (n, 28, 28), ink 255 on paper 0, and labels, uint8 (n,): image i shows i modulo 10.
    Raises:
        DataError: a negative argument.
    """
    if min(n, seed, first) < 0:
        raise DataError(f"digits: expected n, seed and first of 0 or more, got {n}, {seed} and {first}. Use positive numbers.")
    numbers = np.arange(first, first + n)
    labels = (numbers % 10).astype(np.uint8)
    images = np.empty((n, strokes.FRAME, strokes.FRAME), np.uint8)
    for begin in range(0, n, BLOCK):
        block = slice(begin, begin + BLOCK)
        points, kinds = _figures(seed, numbers[block], labels[block])
        hands = Draws(seed, numbers[block], HAND)
        strokes.draw_strokes(points, kinds, _hand(hands, labels[block]), _waves(hands), images[block])
    return images, labels


def load(train_limit: int | None = None, test_limit: int | None = None) -> tuple[Images, Labels, Images, Labels]:
    """The data set: 60,000 training and 10,000 test images, or the first of them.

    Returns:
        training images, uint8 (n, 28, 28, 1), training labels, uint8 (n,), test images and test labels.
    Raises:
        DataError: a limit is negative.
    """
    train_images, train_labels = draw(_limited(TRAIN_IMAGES, train_limit), seed=TRAIN_SEED)
    test_images, test_labels = draw(_limited(TEST_IMAGES, test_limit), seed=TEST_SEED)
    return train_images[..., None], train_labels, test_images[..., None], test_labels


def _limited(images: int, limit: int | None) -> int:
    return images if limit is None else min(images, limit)


def _figures(seed: int, numbers: NDArray[np.int64], labels: Labels) -> tuple[Floats, NDArray[np.uint8]]:
    """The control points of every image, float64 (n, p, 3): x, y, pressure; and their kinds, uint8 (n, p)."""
    points, kinds = np.ones((numbers.size, MOST_POINTS, 3)), np.full((numbers.size, MOST_POINTS), ABSENT, np.uint8)
    for variant, chosen in _choices(labels, Draws(seed, numbers, VARIANT).uniform()):
        draws = Draws(seed, numbers[chosen], FIGURE)
        count = len(variant.figure)
        points[chosen, :count, :2], kinds[chosen, :count] = draw_points(variant.figure, draws)
        points[chosen, :count] += _unsteadiness(count, draws)
    return points, kinds


def _choices(labels: Labels, dice: Floats) -> Iterator[tuple[Variant, NDArray[np.intp]]]:
    """Every variant with the indices of its images, whose dice falls into the variant's part of [0, 1)."""
    for digit, variants in enumerate(DIGITS):
        inner_borders = np.cumsum([variant.share for variant in variants])[:-1]
        parts = np.searchsorted(inner_borders, dice, side="right")
        for part, variant in enumerate(variants):
            yield variant, np.flatnonzero((labels == digit) & (parts == part))


def _unsteadiness(count: int, draws: Draws) -> Floats:
    """Shifts of each control point and its pressure, float64 (n, count, 3): no hand draws the same figure twice."""
    return draws.normals(3 * count).reshape(draws.size, count, 3) * (SHAKE, SHAKE, PRESSURE)


def _hand(draws: Draws, labels: Labels) -> Floats:
    """The slant, width, pen and edge of each digit, float64 (n, 9): see the columns in ``strokes``."""
    slant = np.clip(draws.normal(10.0, SLANT) + DIGIT_LEAN[labels], -30.0, 45.0)
    rotation = draws.normal(0.0, ROTATION)
    hand = np.empty((labels.size, strokes.HAND_COLUMNS))
    hand[:, strokes.SHEAR] = sine(slant) / sine(90.0 - slant)
    hand[:, strokes.COSINE], hand[:, strokes.SINE] = sine(90.0 - rotation), sine(rotation)
    hand[:, strokes.WIDTH] = DIGIT_WIDTH[labels] * _stretch(draws.normal(0.0, WIDTH))
    hand[:, strokes.KEYSTONE] = draws.normal(0.0, KEYSTONE)
    hand[:, strokes.ROUNDNESS] = draws.uniform(*ROUNDNESS)
    hand[:, strokes.PEN] = _pen(draws, labels)
    hand[:, strokes.NARROW_PEN] = NARROW_PEN[labels]
    hand[:, strokes.EDGE] = draws.uniform(*EDGE)
    return hand


def _stretch(x: Floats) -> Floats:
    """(1 + x/8)^8, which is nearly e^x and the same on every machine: twice as wide is as likely as half as wide."""
    root = 1.0 + x / 8.0
    square = root * root
    return square * square * (square * square)


def _pen(draws: Draws, labels: Labels) -> Floats:
    """The stroke width of each digit in pixels, float64 (n,)."""
    fineness = 0.6 * draws.uniform() + 0.4 * draws.uniform()
    pen = PEN[0] + (PEN[1] - PEN[0]) * fineness * DIGIT_PEN[labels]
    heavy = draws.uniform() < HEAVY_SHARE[labels]
    return pen + heavy * draws.uniform(0.0, HEAVY_PEN[labels])


def _waves(draws: Draws) -> Floats:
    """Elastic waves in any direction, float64 (n, WAVES, 5): see the columns in ``strokes``."""
    waves = np.empty((draws.size, WAVES, strokes.WAVE_COLUMNS))
    for w in range(WAVES):
        length, direction = draws.uniform(*WAVE_LENGTH), draws.uniform(0.0, 360.0)
        waves[:, w, strokes.WAVE_X] = sine(90.0 - direction) / length
        waves[:, w, strokes.WAVE_Y] = sine(direction) / length
        waves[:, w, strokes.WAVE_START] = draws.uniform()
        waves[:, w, strokes.SHIFT_X] = draws.uniform(*WAVE_HEIGHT) * length
        waves[:, w, strokes.SHIFT_Y] = draws.uniform(*WAVE_HEIGHT) * length
    return waves
