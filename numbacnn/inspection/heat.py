"""Why this answer: the probability that is lost when a patch of the image is blanked, or the gradient of the answer's score."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.graph import INPUT, Graph
from numbacnn.network import backward, batches, forward
from numbacnn.normalisation import Normalisation
from numbacnn.ops import Ops
from numbacnn.picture_forms import DIGITS
from numbacnn.prediction import Predictor
from numbacnn.shapes import Pair
from numbacnn.values import Array

PATCHES_ACROSS = 6
"""A patch has about a sixth of the image's shorter side."""
MOST_PLACES_ACROSS = 32
"""Larger images are blanked at every second place, or every third, and so on."""
_BATCH = 256


class Heat(NamedTuple):
    """How much the answer depends on each place of an image.

    Args:
        values: float64 (rows, columns): probability lost, or size of the gradient.
        step: pixels between two neighbouring values, down and across; the first is of pixel (0, 0).
        patch: height and width of the blanked patch in pixels, or None for a gradient.
    """

    values: NDArray[np.float64]
    step: int
    patch: Pair | None

    @property
    def largest(self) -> tuple[int, int, float]:
        """Row and column, in pixels, and value of the place that matters most; the first of equals."""
        row, column = np.unravel_index(int(np.argmax(self.values)), self.values.shape)
        return int(row) * self.step, int(column) * self.step, float(self.values[row, column])

    def of_pixels(self, height: int, width: int) -> NDArray[np.float64]:
        """A value for each pixel: that of the nearest place."""
        rows, columns = (
            np.minimum(np.rint(np.arange(side) / self.step).astype(int), count - 1)
            for side, count in zip((height, width), self.values.shape, strict=True)
        )
        return self.values[np.ix_(rows, columns)]


def occlusion(predictor: Predictor, image: NDArray, answer: int, form: str = DIGITS) -> Heat:
    """The probability of an answer, less that with a patch blanked, for a patch around each pixel.

    A value below 0 tells of a patch that spoke against the answer. Digits are blanked with 0, the paper; other pictures with their own
    mean, in each channel.

    Args:
        image: (height, width, channels), as the network was trained on.
        answer: the class in question.
        form: of the images, one of ``picture_forms.FORMS``.

    Raises:
        DataError, ShapeError, NotFiniteError: as for a prediction.

    Source: Zeiler & Fergus 2014 (arXiv:1311.2901), section 4.2.
    """
    height, width, _ = image.shape
    side = max(1, round(min(height, width) / PATCHES_ACROSS)) | 1  # odd: it has a middle
    step = -(-max(height, width) // MOST_PLACES_ACROSS)
    blank = 0 if form == DIGITS else image.mean(axis=(0, 1)).astype(image.dtype)
    rows, columns = range(0, height, step), range(0, width, step)
    places = [(row, column) for row in rows for column in columns]
    kept = predictor(image[None]).probabilities[0, answer]
    lost: list[NDArray[np.float64]] = []
    for batch in batches(len(places), _BATCH):
        blanked = np.repeat(image[None], len(places[batch]), axis=0)
        for each, (row, column) in zip(blanked, places[batch], strict=True):
            top, left = max(0, row - side // 2), max(0, column - side // 2)
            each[top : row + side // 2 + 1, left : column + side // 2 + 1] = blank
        lost.append(kept - predictor(blanked).probabilities[:, answer])
    return Heat(np.concatenate(lost).reshape(len(rows), len(columns)), step, (side, side))


def image_gradient(
    graph: Graph, ops: Ops, parameters: Mapping[str, Array], image: NDArray, answer: int, normalisation: Normalisation
) -> Heat:
    """The size of the gradient of an answer's logit, for each pixel the largest of its channels, per unit of the network's input.

    Args:
        graph: up to its logits; see ``graph.without_softmax``.
        parameters: by ``<layer>/<parameter>``, float32, NumPy's or the device's.
        image: (height, width, channels), as the network was trained on.
        answer: the class in question.

    Raises:
        ShapeError, DataError, ModelError: the image or a parameter does not fit the graph.

    Source: Simonyan et al. 2014 (arXiv:1312.6034), section 3.
    """
    with ops.reuse_memory():
        x = ops.gather_images(ops.asarray(image[None]), ops.asarray(np.arange(1)), normalisation.scale)
        passed = forward(graph, ops, parameters, x, of_image=True)
        dy = np.zeros((1, *graph.output_shape), np.float32)
        dy[0, answer] = 1
        dx = ops.to_host(backward(ops, parameters, passed, ops.asarray(dy))[INPUT])[0]
        return Heat(np.abs(dx).max(axis=2).astype(np.float64), 1, None)
