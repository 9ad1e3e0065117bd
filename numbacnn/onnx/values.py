"""The values of an ONNX graph, as the importer follows them: constants, and outputs of our layers seen with ONNX's axes."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.shapes import Pair, Shape, cells

OUR_AXES = "hwc"
"""The axes of an image of ours, by letter."""


class Batch:
    """The number of images in a batch, where a graph computes with shapes. It stands in arrays of type object."""

    def __repr__(self) -> str:
        return "batch"


BATCH = Batch()


class Piece(NamedTuple):
    """A stretch of a vector: an image of ours, flattened by ONNX in another order of axes.

    Args:
        shape: ours.
        order: the axes of ours, in ONNX's order.
    """

    shape: Shape
    order: tuple[int, ...]

    def to_ours(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows of an array (cells, ...), brought from ONNX's order into ours."""
        rest = rows.shape[1:]
        sides = [self.shape[axis] for axis in self.order]
        back = [self.order.index(axis) for axis in range(len(self.shape))]
        kept = range(len(sides), len(sides) + len(rest))
        return rows.reshape(*sides, *rest).transpose(*back, *kept).reshape(rows.shape)


@dataclass(frozen=True)
class Tensor:
    """The output of one of our layers, or the image, as ONNX sees it.

    Args:
        layer: the name of our layer, or ``"input"``.
        shape: ours, for one image: (h, w, c), or (k,).
        axes: of an image, the letters of our axes in ONNX's order, after the batch; an axis of one cell may be missing.
        pieces: of a vector, its stretches.
        zeros: ((top, bottom), (left, right)) that a Pad has put around the image.
        factor: of the image alone: by which the numbers of ONNX are larger than ours.
        is_pixels: of the image alone: whether the values are bytes, not yet cast to floats.
    """

    layer: str
    shape: Shape
    axes: str = ""
    pieces: tuple[Piece, ...] = ()
    zeros: tuple[Pair, Pair] = ((0, 0), (0, 0))
    factor: float = 1.0
    is_pixels: bool = False

    @property
    def dims(self) -> tuple[int, ...]:
        """The sides in ONNX's order, without the batch."""
        if self.pieces:
            return self.shape
        (top, bottom), (left, right) = self.zeros
        more = {"h": top + bottom, "w": left + right, "c": 0}
        return tuple(self.side(letter) + more[letter] for letter in self.axes)

    @property
    def is_ordered(self) -> bool:
        """Whether a vector has the same order in ONNX and in numbacnn."""
        return all(piece.order == tuple(sorted(piece.order)) for piece in self.pieces)

    def side(self, letter: str) -> int:
        """The side of an image along an axis of ours."""
        return self.shape[OUR_AXES.index(letter)]

    def to_ours(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows of an array (k, ...), one for each number of a vector, brought from ONNX's order into ours."""
        if self.is_ordered:
            return rows
        ends = np.cumsum([cells(piece.shape) for piece in self.pieces])
        parts = np.split(rows, ends[:-1])
        return np.concatenate([piece.to_ours(part) for piece, part in zip(self.pieces, parts, strict=True)])

    def with_axes(self, axes: str) -> "Tensor":
        """The same image with ONNX's axes in another order."""
        return replace(self, axes=axes)


def flattened(axes: str, shape: Shape) -> tuple[Piece, ...]:
    """The pieces of an image of ours that ONNX flattens with its axes in this order."""
    letters = axes + "".join(letter for letter in OUR_AXES if letter not in axes)
    order = [OUR_AXES.index(letter) for letter in letters]
    long = [axis for axis in order if shape[axis] > 1]
    if long == sorted(long):
        return (plain_piece(cells(shape)),)
    return (Piece(shape, tuple(order)),)


def plain_piece(count: int) -> Piece:
    """A stretch in the same order on both sides."""
    return Piece((count,), (0,))


Value = Tensor | NDArray[Any] | None
"""A value of the ONNX graph; None where it is the output of an operation that numbacnn lacks."""
