"""What a training loop tells whoever listens. The loop prints nothing; the command line draws these, a notebook may plot them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochRecord:
    """One epoch, as in ``history.jsonl``. Losses are means per image; accuracies fractions; times seconds.

    ``test_loss`` and ``test_accuracy`` are None where the data set has no test images, ``validation_loss`` and
    ``validation_accuracy`` where none are held out.
    """

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    test_loss: float | None
    test_accuracy: float | None
    seconds: float
    images_per_second: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None


@dataclass(frozen=True)
class StepDone:
    """After each update: where training is, and the running means of this epoch."""

    epoch: int
    epochs: int
    images: int
    images_in_epoch: int
    loss: float
    accuracy: float
    images_per_second: float


@dataclass(frozen=True)
class EvaluationStarted:
    """Before the test and validation images are looked at, if there are any."""

    epoch: int


@dataclass(frozen=True)
class EpochDone:
    """After each epoch. ``best`` says whether the network is to be kept: the best so far by validation, or simply the latest."""

    record: EpochRecord
    best: bool


@dataclass(frozen=True)
class StoppedEarly:
    """Validation has not improved for ``patience`` epochs; training ends."""

    epoch: int
    patience: int
    best_epoch: int


Event = StepDone | EvaluationStarted | EpochDone | StoppedEarly
