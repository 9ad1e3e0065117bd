"""What ``inspect`` has found out about one image and a network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.checkpoint import TrainedNetwork
from numbacnn.inspection.cell import CellSum
from numbacnn.inspection.heat import Heat
from numbacnn.inspection.tracing import Trace
from numbacnn.quoting import plain

from .answers import label_of
from .subject import Subject

METHODS = ("occlusion", "gradient")


class Filters(NamedTuple):
    """The filters of a convolution.

    Args:
        layer: its name.
        values: (maps, channels, height, width).
        in_colour: whether they read red, green and blue.
    """

    layer: str
    values: NDArray[Any]
    in_colour: bool


class Why(NamedTuple):
    """The places that the answer depends on, by one of ``METHODS``."""

    method: str
    heat: Heat

    def in_words(self, answer: str) -> str:
        """What the picture shows, and its largest value."""
        row, column, value = self.heat.largest
        if self.heat.patch is None:
            return f"size of the gradient of the logit of {answer}; the largest, {value:.3g}, at row {row}, column {column}"
        high, wide = self.heat.patch
        lost = f"probability of {answer} lost when {high}x{wide} pixels around a place are blanked"
        return f"{lost}; most, {value:.4f}, at row {row}, column {column}"


class Like(NamedTuple):
    """A training image.

    Args:
        number: among those searched, from 0 on.
        label: its class number.
        similarity: the cosine of its features with those of the image.
        image: its values.
    """

    number: int
    label: int
    similarity: float
    image: NDArray[Any]


class Likes(NamedTuple):
    """The training images most like an image, of those searched."""

    dataset: str
    searched: int
    images: tuple[Like, ...]


class Seen(NamedTuple):
    """An image that went through the network: what each layer made of it, and the probability of each class."""

    subject: Subject
    trace: Trace
    probabilities: NDArray[np.float64]

    @property
    def answer(self) -> int:
        """The most probable class."""
        return int(self.probabilities.argmax())


@dataclass
class Findings:
    """One image and a network; None for what was not asked for."""

    path: Path
    network: TrainedNetwork
    seen: Seen | None = None
    layer: str | None = None
    filters: Filters | None = None
    cell: CellSum | None = None
    why: Why | None = None
    likes: Likes | None = None
    files: list[Path] | None = None

    def class_name(self, number: int) -> str:
        """For people."""
        return plain(self.network.class_names[number])

    def about(self, subject: Subject) -> str:
        """Where an image is from, and what was done to it."""
        known = [] if subject.label is None else [f"labelled {self.class_name(subject.label)}"]
        return "; ".join([*known, *subject.steps]) or "taken as it is"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the answer and the layers' numbers, then what was asked for. That of ``--cell`` stands among them."""
        found: dict[str, Any] = {"model": str(self.path)}
        names = self.network.class_names
        if self.seen is not None:
            subject, trace, shares = self.seen
            found |= {
                "file": subject.name, "label": label_of(names[self.seen.answer]), "probability": float(shares[self.seen.answer]),
                "probabilities": shares.tolist(), "preprocessing": list(subject.steps),
            }  # fmt: skip
            if subject.label is not None:
                found["true_label"] = label_of(names[subject.label])
            found["layers"] = [
                {"name": layer.name, "output_shape": list(layer.values.shape)} | layer.numbers() for layer in trace.layers
            ]
            if self.layer is not None:
                found["maps"] = {"layer": self.layer, "values": trace.layer(self.layer).values.tolist()}
        if self.filters is not None:
            found["filters"] = {"layer": self.filters.layer, "values": self.filters.values.tolist()}
        if self.cell is not None:
            found |= _cell_dict(self.cell)
        if self.why is not None:
            row, column, value = self.why.heat.largest
            found["why"] = {
                "method": self.why.method, "patch": self.why.heat.patch, "step": self.why.heat.step,
                "heat": self.why.heat.values.tolist(), "largest": {"row": row, "column": column, "value": value},
            }  # fmt: skip
        if self.likes is not None:
            found["like"] = {
                "dataset": self.likes.dataset, "searched": self.likes.searched,
                "images": [
                    {"index": each.number, "label": label_of(names[each.label]), "similarity": each.similarity}
                    for each in self.likes.images
                ],
            }  # fmt: skip
        if self.files is not None:
            found["files"] = [str(path) for path in self.files]
        return found


def _cell_dict(cell: CellSum) -> dict[str, Any]:
    return {
        "layer": cell.layer, "cell": list(cell.cell), "reads": cell.reads, "receptive_field": cell.receptive_field,
        "image_field": cell.image_field, "terms": [list(term) for term in cell.terms], "sum": cell.sum, "bias": cell.bias,
        "value": cell.value, "kernel_value": cell.kernel_value, "bound": cell.bound, "activation": cell.activation,
        "output": cell.output,
    }  # fmt: skip
