"""The recipe of a network: how to train it. Presets have one, and so do model files (``[training]``) and trained networks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from numbacnn.errors import ModelError, TrainingError
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.plain_numbers import is_number, is_whole
from numbacnn.quoting import short
from numbacnn.schedules import SCHEDULES
from numbacnn.spelling import did_you_mean

EARLY_STOP_VALIDATION = 0.1
"""The share of the training images that early stopping holds out unless another one is given."""


@dataclass(frozen=True)
class Recipe:
    """How to train a network: the defaults of ``train``'s options.

    Args:
        optimizer: a key of ``OPTIMIZERS``.
        learning_rate: of the first epoch (the peak, for one-cycle).
        schedule: a name in ``SCHEDULES``.
        lr_decay: factor per epoch of the exponential schedule.
        epochs: how many times each image is seen.
        augment: distort the training images at random, anew each time they are seen (``values.Augmentation`` says how far); see
            ``Settings.distorts``.
        batch_size: images per update.
        validation: share of the training images held out for validation, in [0, 1).
        early_stop: stop after this many epochs without a better validation loss; None for never.

    Raises:
        TrainingError: a value has another type or lies outside its range.
    """

    optimizer: str = "adam"
    learning_rate: float = 0.001
    schedule: str = "exponential"
    lr_decay: float = 0.6
    epochs: int = 3
    augment: bool = False
    batch_size: int = 100
    validation: float = 0.0
    early_stop: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            self._check(name, is_whole(getattr(self, name), 1), "a whole number of at least 1")
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
        # NumPy's numbers are taken, too, but files are JSON and TOML, which have none.
        for name in ("epochs", "batch_size", "early_stop"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, int(getattr(self, name)))
        for name in ("learning_rate", "lr_decay", "validation"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.schedule == "exponential":
            self._check(
                "lr_decay", self._last_rate_is_finite(), f"a factor that leaves the rate finite over {self.epochs} epochs"
            )

    def _last_rate_is_finite(self) -> bool:
        try:
            return is_number(self.learning_rate * self.lr_decay ** (self.epochs - 1))
        except OverflowError:
            return False

    def _check(self, name: str, is_expected: bool, expected: str) -> None:
        if not is_expected:
            raise TrainingError(f"{name}: expected {expected}, got {short(getattr(self, name))}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def recipe(self) -> "Recipe":
        """The recipe alone, of a run's settings."""
        return Recipe(**{field.name: getattr(self, field.name) for field in fields(Recipe)})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Undo ``to_dict``."""
        return cls(**values)


def read_recipe(values: Any, source: str) -> Recipe:
    """The recipe that a file holds: ``to_dict``'s values, any of which may be missing.

    Args:
        values: read from a file; nothing is trusted.
        source: the file and the table, for messages: ``net.toml: [training]``.

    Raises:
        ModelError: it is no table, or a key or value is not as expected.
    """
    if not isinstance(values, Mapping):
        raise ModelError(f"{source}: expected a table of settings, got {short(values)}")
    known = [field.name for field in fields(Recipe)]
    for key in values:
        if key not in known:
            raise ModelError(f"{source}: unknown key {short(key)}.{did_you_mean(str(key), known)} Known keys: {', '.join(known)}")
    try:
        return Recipe.from_dict(values)
    except TrainingError as error:
        raise ModelError(f"{source}: {error}") from None
