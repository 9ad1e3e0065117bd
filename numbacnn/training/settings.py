"""The settings of a training run: all that decides its result."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from numbacnn.errors import TrainingError
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.schedules import SCHEDULES
from numbacnn.training.fields import is_number, is_whole

EPOCHS_PER_PLAIN_ONE = 6
"""In augmented training, one epoch of six sees the images undistorted; these epochs come last."""


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
        validation: share of the training images held out for validation, in [0, 1).
        early_stop: stop after this many epochs without a better validation loss; None for never.
        augment: distort the training images at random, anew each time they are seen (``values.Augmentation`` says how far); see
            ``distorts``.

    Raises:
        TrainingError: a value has another type or lies outside its range.
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
            self._check(name, is_whole(getattr(self, name), 1), "a whole number of at least 1")
        self._check("seed", is_whole(self.seed), "a whole number from 0 to 2^63 - 1")
        for name in ("learning_rate", "lr_decay"):
            value = getattr(self, name)
            self._check(name, is_number(value) and value > 0, "a finite number greater than 0")
        self._check("validation", is_number(self.validation, 0) and self.validation < 1, "a share from 0 up to, but not, 1")
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            value = getattr(self, name)
            self._check(name, isinstance(value, str) and value in known, f"one of {', '.join(known)}")
        self._check("augment", isinstance(self.augment, bool), "true or false")
        if self.early_stop is not None:
            self._check("early_stop", is_whole(self.early_stop, 1), "a whole number of at least 1, or none")
            self._check("validation", self.validation > 0, "a share greater than 0, as early stopping needs validation images")
        # NumPy's numbers are taken, too, but a checkpoint is JSON, which has none.
        for name in ("epochs", "batch_size", "seed", "early_stop"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, int(getattr(self, name)))
        for name in ("learning_rate", "lr_decay", "validation"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.schedule == "exponential":
            self._check(
                "lr_decay", self._last_rate_is_finite(), f"a factor that leaves the rate finite over {self.epochs} epochs"
            )

    def _check(self, name: str, is_expected: bool, expected: str) -> None:
        if not is_expected:
            raise TrainingError(f"{name}: expected {expected}, got {getattr(self, name)!r:.60}")

    def _last_rate_is_finite(self) -> bool:
        try:
            return is_number(self.learning_rate * self.lr_decay ** (self.epochs - 1))
        except OverflowError:
            return False

    def distorts(self, epoch: int) -> bool:
        """Whether the images of an epoch, counted from 0, are distorted: all epochs but the last sixth, and at least the last one.

        The images to predict are not distorted either, and the averages of batch normalisation are those of the latest batches.
        The only epoch of a run is distorted.
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
