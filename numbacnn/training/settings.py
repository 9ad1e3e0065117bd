"""The settings of a training run: all that decides its result."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from numbacnn.errors import TrainingError
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.schedules import SCHEDULES

EPOCHS_PER_PLAIN_ONE = 6
"""Of so many epochs of augmented training, one sees images as they are; all of these come last."""


@dataclass(frozen=True)
class Settings:
    """How to train.

    Args:
        epochs: how many times each image is seen.
        batch_size: images per update.
        optimizer: a key of ``OPTIMIZERS``.
        learning_rate: of the first epoch (the peak, for one-cycle).
        schedule: a name in ``SCHEDULES``.
        lr_decay: factor per epoch of the exponential schedule.
        seed: decides initial weights, the order of images, dropout, and augmentation.
        validation: share of the training images held out to watch, in [0, 1).
        early_stop: stop after this many epochs without a better validation loss; None for never.
        augment: distort the training images at random, anew each time they are seen (``ops.Augmentation`` says how far); see
            ``distorts``.
    """

    epochs: int = 3
    batch_size: int = 100
    optimizer: str = "adam"
    learning_rate: float = 0.001
    schedule: str = "exponential"
    lr_decay: float = 0.6
    seed: int = 0
    validation: float = 0.0
    early_stop: int | None = None
    augment: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        _require(0 <= self.seed < 2**63, "seed", "a whole number from 0 to 2^63 - 1", self.seed)
        for name in ("learning_rate", "lr_decay"):
            value = getattr(self, name)
            _require(math.isfinite(value) and value > 0, name, "a number greater than 0", value)
        _require(0 <= self.validation < 1, "validation", "a share from 0 up to 1", self.validation)
        _require(self.optimizer in OPTIMIZERS, "optimizer", f"one of {', '.join(OPTIMIZERS)}", self.optimizer)
        _require(self.schedule in SCHEDULES, "schedule", f"one of {', '.join(SCHEDULES)}", self.schedule)
        _require(isinstance(self.augment, bool), "augment", "true or false", self.augment)
        if self.early_stop is not None:
            _require(self.early_stop >= 1, "early_stop", "at least 1 epoch", self.early_stop)
            _require(
                self.validation > 0, "validation", "greater than 0, so that early stopping has images to watch", self.validation
            )

    def distorts(self, epoch: int) -> bool:
        """Whether the images of an epoch, from 0 on, are distorted: all but the last sixth of the epochs, or the last one of few.

        What is to be predicted later is not distorted either, and batch normalisation, whose averages are those of the latest
        batches, goes by the images it was shown last. A single epoch is distorted.
        """
        plain = max(1, self.epochs // EPOCHS_PER_PLAIN_ONE) if self.epochs > 1 else 0
        return self.augment and epoch < self.epochs - plain

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Settings":
        """Undo ``to_dict``."""
        return cls(**values)


def _require(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise TrainingError(f"{name} must be {expected}, got {got!r}")
