"""The lecture's toy network, which tells X from O: three filters, ReLU, two poolings and two votes.

Source: the lecture's slides "A Toy ConvNet: X's and O's", "Filtering: The Math Behind the Match" and "Putting It All Together"; the votes
are those of the picture's original (brohrer.github.io).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.errors import DataError, ShapeError
from numbacnn.lecture.arithmetic import Arithmetic, Matrix, image
from numbacnn.lecture.vectors import vectors
from numbacnn.ops import Ops
from numbacnn.pictures.decode import scaled_pixels, shape_of
from numbacnn.reading import read_bounded

SIDE = 9
FILTERS: tuple[str, ...] = ("diag_down", "cross", "diag_up")
IMAGES = {"X": "X", "deformed": "X_deformed", "O": "O"}
"""The lecture's images by their names on the command line."""
MOST_BYTES = 10_000_000


class Answer(NamedTuple):
    """Every layer's output for one image; maps are (filter, row, column).

    Args:
        image: pixels of -1 and +1 (9, 9).
        maps: mean of the nine products at each place (3, 7, 7).
        relu: the maps without their negative values.
        pooled: largest of each 2x2 (3, 4, 4); ``pooled_again`` (3, 2, 2).
        votes: of X and O.
        label: the greater vote's; None if they are equal.
        equal_pixels: how many of the 81 pixels are those of the lecture's X, and O.
    """

    image: Matrix
    maps: Matrix
    relu: Matrix
    pooled: Matrix
    pooled_again: Matrix
    votes: dict[str, float]
    label: str | None
    equal_pixels: dict[str, int]


class Place(NamedTuple):
    """One cell of a map, as the sum of its products.

    Args:
        map: the filter's name.
        row, column: of the cell.
        products: (row, column, pixel, weight, product) of each pixel under the filter.
        sum: of the products.
        mean: the sum divided by 9.
    """

    map: str
    row: int
    column: int
    products: list[tuple[int, int, int, int, int]]
    sum: int
    mean: float


def filter_bank() -> Matrix:
    """The three filters, HWIO (3, 3, 1, 3)."""
    filters = vectors()["xo_toy"]["filters"]
    return np.stack([np.array(filters[name], np.float64) for name in FILTERS], axis=-1)[:, :, None, :]


def lecture_image(name: str) -> Matrix:
    """The lecture's image of a name in ``IMAGES``: pixels of -1 and +1 (9, 9)."""
    return np.array(vectors()["xo_toy"]["images"][IMAGES[name]], np.float64)


def read_image(path: Path) -> tuple[Matrix, bool]:
    """A picture of 9x9 pixels as -1 and +1. The strokes are the colour with fewer pixels.

    Returns:
        the pixels (9, 9), and whether they are dark on light, so that they were inverted.

    Raises:
        DataError: the file cannot be read, or is no picture. ShapeError: the picture is not 9x9.
    """
    name = str(path)
    try:
        data = read_bounded(path, MOST_BYTES)
    except OSError as error:
        raise DataError(f"{name}: {error.strerror or error}. Give X, deformed, O, or a picture of 9x9 pixels") from None
    height, width, _ = shape_of(data, name)
    if (height, width) != (SIDE, SIDE):
        raise ShapeError(
            f"{name}: expected a picture of {SIDE}x{SIDE} pixels, got {height}x{width}. Draw it on {SIDE}x{SIDE} pixels"
        )
    pixels: NDArray[np.uint8] = scaled_pixels(data, name, (SIDE, SIDE), 1, [])[:, :, 0]
    bright = pixels > 127
    inverted = bool(bright.sum() > bright.size / 2)
    return np.where(bright != inverted, 1.0, -1.0), inverted


def classify(ops: Ops, pixels: Matrix) -> Answer:
    """Run an image of -1 and +1 (9, 9) through the network."""
    arithmetic = Arithmetic(ops)
    maps = arithmetic.conv2d(image(pixels), filter_bank()) / SIDE
    relu = arithmetic.run("relu", maps)
    pooled = arithmetic.max_pool2d(relu)
    again = arithmetic.max_pool2d(pooled)
    votes = vote(ops, _by_filter(again).reshape(-1))
    label = None if votes["X"] == votes["O"] else max(votes, key=lambda name: votes[name])
    equal = {name: equal_pixels(ops, pixels, lecture_image(name)) for name in votes}
    return Answer(pixels, _by_filter(maps), _by_filter(relu), _by_filter(pooled), _by_filter(again), votes, label, equal)


def vote(ops: Ops, twelve: Matrix) -> dict[str, float]:
    """The votes of X and O for twelve numbers: the maps one after the other, each row by row."""
    weights = np.array(vectors()["xo_toy"]["vote_weights"])
    x, o = Arithmetic(ops).run("dense", np.ascontiguousarray(twelve).reshape(1, -1), weights, None)[0].tolist()
    return {"X": x, "O": o}


def equal_pixels(ops: Ops, first: Matrix, second: Matrix) -> int:
    """How many pixels of two images of -1 and +1 are equal: the sum of products is equal ones minus others."""
    agreement = Arithmetic(ops).conv2d(image(first), second[:, :, None, None]).item()
    return round((first.size + agreement) / 2)


def explain(pixels: Matrix, name: str, row: int, column: int) -> Place:
    """One cell of a map, product by product.

    Args:
        pixels: -1 and +1 (9, 9).
        name: of ``FILTERS``.
        row, column: 0...6.
    """
    weights = filter_bank()[:, :, 0, FILTERS.index(name)]
    products = [
        (
            row + u,
            column + v,
            int(pixels[row + u, column + v]),
            int(weights[u, v]),
            int(pixels[row + u, column + v] * weights[u, v]),
        )
        for u, v in np.ndindex(3, 3)
    ]
    total = sum(product for *_, product in products)
    return Place(name, row, column, products, total, total / SIDE)


def _by_filter(maps: Matrix) -> Matrix:
    """(1, h, w, 3) as (3, h, w)."""
    return np.ascontiguousarray(maps[0].transpose(2, 0, 1))
