"""The settings of a training run: all that decides its result."""

from dataclasses import dataclass

from numbacnn.plain_numbers import is_whole
from numbacnn.recipe import Recipe

EPOCHS_PER_PLAIN_ONE = 6
"""In augmented training, one epoch of six sees the images undistorted; these epochs come last."""


@dataclass(frozen=True)
class Settings(Recipe):
    """How to train: a recipe and a seed.

    Args:
        seed: decides initial weights, the order of images, dropout, and augmentation.

    Raises:
        TrainingError: a value has another type or lies outside its range.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("seed", is_whole(self.seed), "a whole number from 0 to 2^63 - 1")
        object.__setattr__(self, "seed", int(self.seed))

    def distorts(self, epoch: int) -> bool:
        """Whether the images of an epoch, counted from 0, are distorted: all epochs but the last sixth, and at least the last one.

        The images to predict are not distorted either, and the averages of batch normalisation are those of the latest batches.
        The only epoch of a run is distorted.
        """
        plain = max(1, self.epochs // EPOCHS_PER_PLAIN_ONE) if self.epochs > 1 else 0
        return self.augment and epoch < self.epochs - plain
