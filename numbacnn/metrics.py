"""The quality of a network: loss, accuracy, and which class it takes for which."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.datasets.checks import check_array, check_class_names, check_labels
from numbacnn.errors import DataError, ShapeError
from numbacnn.prediction import Prediction


@dataclass(frozen=True)
class ClassReport:
    """One class: shares in [0, 1]; nan where the divisor is 0."""

    name: str
    images: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Evaluation:
    """A network's result on labelled images.

    Args:
        loss: mean cross-entropy.
        accuracy: a fraction in [0, 1].
        confusion: ``confusion[true, predicted]`` counts images.
    """

    loss: float
    accuracy: float
    confusion: NDArray[np.int64]

    def per_class(self, class_names: tuple[str, ...]) -> list[ClassReport]:
        """Precision, recall and F1 of each class.

        Raises:
            DataError: there is not one name for each class.
        """
        if len(check_class_names(class_names)) != len(self.confusion):
            raise DataError(f"class_names: expected {len(self.confusion)}, one for each class, got {len(class_names)}")
        hits = np.diag(self.confusion)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = hits / self.confusion.sum(axis=0)
            recall = hits / self.confusion.sum(axis=1)
            f1 = 2 * hits / (self.confusion.sum(axis=0) + self.confusion.sum(axis=1))
        images = self.confusion.sum(axis=1)
        rows = zip(class_names, images, precision, recall, f1, strict=True)
        return [ClassReport(name, int(n), float(p), float(r), float(f)) for name, n, p, r, f in rows]


class Mistake(NamedTuple):
    """An image taken for another class.

    Args:
        number: of the image, from 0 on.
        label, answer: the class numbers of the truth and of the most probable class.
        probability: of the answer.
        label_probability: of the truth.
    """

    number: int
    label: int
    answer: int
    probability: float
    label_probability: float


def worst_mistakes(prediction: Prediction, labels: NDArray, count: int) -> list[Mistake]:
    """The images taken for another class, at most ``count``: those whose true class is least probable first.

    Args:
        prediction: the network's answer to n images.
        labels: class numbers (n,), checked.
    """
    answers = prediction.logits.argmax(axis=1)
    losses = prediction.losses(labels)
    wrong = np.flatnonzero(answers != labels)
    worst = wrong[np.argsort(-losses[wrong], kind="stable")[:count]]
    shares = Prediction(prediction.logits[worst]).probabilities
    return [
        Mistake(int(index), int(labels[index]), int(answers[index]), float(share[answers[index]]), float(share[labels[index]]))
        for index, share in zip(worst, shares, strict=True)
    ]


def evaluate(prediction: Prediction, labels: NDArray) -> Evaluation:
    """Compare logits with labels; the mean loss and all counts are exact in float64, whatever the batches were.

    Args:
        prediction: the network's answer to n images.
        labels: whole numbers of any type (n,), each in 0...classes-1.

    Raises:
        ShapeError: there is no image, or not one label and one row of logits for each.
        DataError: logits are no floats, or a label is no class.
    """
    logits = check_array("logits", prediction.logits)
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ShapeError(f"logits: expected (images, classes), got shape {logits.shape}")
    if len(logits) == 0:
        raise ShapeError("logits: expected those of at least one image, got none. Give at least one image")
    if logits.dtype.kind != "f":
        raise DataError(f"logits: expected floats, got {logits.dtype}")
    truth = check_labels("labels", labels, *logits.shape).astype(np.int64)
    with np.errstate(invalid="ignore", over="ignore"):  # the loss of a network gone wrong is reported as nan
        losses = Prediction(logits).losses(truth)
    predicted = logits.argmax(axis=1)
    classes = logits.shape[1]
    confusion = np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)
    return Evaluation(float(losses.mean()), float((predicted == truth).mean()), confusion)
