"""The events of a training run. The loop prints nothing; the command line draws them, a notebook may plot them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochRecord:
    """One epoch, as in ``history.jsonl``. Losses are means per image; accuracies fractions; times seconds.

    ``test_loss`` and ``test_accuracy`` are None for a data set without test images, ``validation_loss`` and
    ``validation_accuracy`` for a run without validation images.
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
    """After each update: the progress of training, and the running means of the epoch."""

    epoch: int
    epochs: int
    images: int
    images_in_epoch: int
    loss: float
    accuracy: float
    images_per_second: float


@dataclass(frozen=True)
class EvaluationStarted:
    """Before the network is evaluated on test and validation images, if there are any."""

    epoch: int


@dataclass(frozen=True)
class EpochDone:
    """After each epoch. ``best`` says whether to keep the network: it is the best so far by validation, or simply the latest."""

    record: EpochRecord
    best: bool


@dataclass(frozen=True)
class StoppedEarly:
    """Validation has not improved for ``patience`` epochs; training ends."""

    epoch: int
    patience: int
    best_epoch: int


Event = StepDone | EvaluationStarted | EpochDone | StoppedEarly
