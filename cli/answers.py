"""What a network says of pictures: for each a row of values, as JSON has them."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.checkpoint import TrainedNetwork, load_likeness
from numbacnn.doubts import doubts
from numbacnn.errors import CheckpointError, NotFiniteError
from numbacnn.features import FeatureReader
from numbacnn.likeness import Likeness
from numbacnn.network import to_device
from numbacnn.ops import Ops
from numbacnn.picture_forms import DIGITS
from numbacnn.pictures import Picture
from numbacnn.training.run_folder import FEATURES_FILE

from .console import notice
from .picture_reading import Unread


class Answer(NamedTuple):
    """What is said of a picture.

    Args:
        row: by the names that JSON has; of a picture that cannot be read, ``file`` and ``error``.
        pixels: uint8, as the network sees them; None where there are none.
    """

    row: dict[str, Any]
    pixels: NDArray[np.uint8] | None = None


class Answers:
    """Answers pictures by a network, any number at a time: no answer depends on the others.

    Args:
        path: of the network. What tells pictures unlike the training images is in a file beside it; without, a notice says why.
        form: of the pictures, one of ``picture_forms.FORMS``.

    Raises:
        DeviceMemoryError: a single picture takes more memory than there is.
    """

    def __init__(self, path: Path, network: TrainedNetwork, ops: Ops, form: str) -> None:
        self._network, self._form = network, form
        self._predictor = network.predictor(ops)
        self.likeness = _likeness(path, network)
        self._features = None
        if self.likeness is not None:
            on_device = to_device(ops, network.parameters)
            self._features = FeatureReader(network.graph, ops, on_device, network.normalisation)

    def __call__(self, read: Sequence[Picture | Unread]) -> list[Answer]:
        """The answers, in the same order.

        Raises:
            NotFiniteError: the network has none.
        """
        pictures = [each for each in read if isinstance(each, Picture)]
        images = np.array([picture.pixels for picture in pictures], np.uint8).reshape(-1, *self._network.graph.input_shape)
        try:
            probabilities = self._predictor(images).probabilities
        except NotFiniteError as error:
            if error.image is None:
                raise
            raise NotFiniteError(f"{pictures[error.image].name}: {error}", error.where, error.image) from None
        distances: list[float | None] = [None] * len(images)
        if self.likeness is not None and self._features is not None and len(images):
            distances = self.likeness.distances(self._features(images)).tolist()
        seen = zip(pictures, probabilities, distances, strict=True)
        answered = iter([Answer(self._row(*each), each[0].pixels) for each in seen])
        return [
            next(answered) if isinstance(each, Picture) else Answer({"file": each.name, "error": each.error}) for each in read
        ]

    def _row(self, picture: Picture, probabilities: Any, distance: float | None) -> dict[str, Any]:
        best = int(np.argmax(probabilities))
        probability = float(probabilities[best])
        unlike = None if self.likeness is None or distance is None else self.likeness.is_unlike(distance)
        parts = picture.parts if self._form == DIGITS else None
        return {
            "file": picture.name,
            "label": label_of(self._network.class_names[best]),
            "probability": probability,
            "probabilities": [float(p) for p in probabilities],
            "unlike": unlike,
            "distance": distance,
            "parts": parts,
            "unsure": list(doubts(probability, unlike=unlike, parts=parts, guesses=picture.guesses)),
            "preprocessing": list(picture.steps),
        }


def label_of(name: str) -> int | str:
    """A class as JSON has it: a number if its name is one."""
    return int(name) if re.fullmatch("0|[1-9][0-9]{0,8}", name) else name


def _likeness(model: Path, network: TrainedNetwork) -> Likeness | None:
    """What tells pictures unlike the training images, from the file beside the network's; else None, and the reason on stderr."""
    path = model.with_name(FEATURES_FILE)
    if not os.path.lexists(path):
        return None
    try:
        return load_likeness(path, network.graph, network.parameters)
    except CheckpointError as problem:
        notice(f"whether a picture is unlike all training images is not told: {problem}")
        return None
