"""The options of ``numbacnn train`` as one value, and what follows from them."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from numbacnn.errors import CheckpointError
from numbacnn.recipe import EARLY_STOP_VALIDATION, Recipe
from numbacnn.training import Settings

from .model_source import Source, read_model
from .origin import Origin, dataset_label, is_own
from .run_config import RunConfig

FIXED = ({field.name for field in fields(Origin)} | {field.name for field in fields(Settings)}) - {
    "data_sha256",
    "epochs",
    "keep_epochs",
}
"""The options that a resumed run cannot change."""


@dataclass(frozen=True)
class TrainOptions:
    """One call of the command. None leaves a choice to the preset, or is the default that the option's help names.

    Args:
        config: the file of ``--config``; its options are in place already, where the user gave no others.
        named: the names of the options that the user gave, in the file too.
        is_model_named: whether the user gave ``--model`` itself.
    """

    model: str
    initializer: str | None
    dataset: str
    data_dir: Path
    input_shape: tuple[int, ...] | None
    epochs: int | None
    batch_size: int | None
    optimizer: str | None
    learning_rate: float | None
    lr_decay: float | None
    schedule: str | None
    validation: float | None
    early_stop: int | None
    augment: bool | None
    seed: int
    device: str
    threads: int | None
    exact_conv: bool
    precision: str
    raw_pixels: bool
    train_limit: int | None
    test_limit: int | None
    output: Path | None
    resume: bool
    checkpoint_every: float
    keep_epochs: bool
    log_dir: Path | None
    progress: str
    output_format: str
    config: RunConfig | None
    named: frozenset[str]
    is_model_named: bool

    def source(self) -> Source:
        """The network to train, and its recipe.

        Raises:
            ModelError, ShapeError, CheckpointError: there is none, or it cannot be read.
        """
        if self.config is None:
            return read_model(self.model, self.input_shape)
        return self.config.source(self.model, self.input_shape, self.is_model_named)

    def folder(self, model_name: str) -> Path:
        """Where the run is written to."""
        return self.output or Path("runs") / f"{model_name}-{dataset_label(self.dataset)}"

    def origin(self) -> Origin:
        """What a checkpoint keeps of the options, besides the settings."""
        return Origin(
            self.model,
            self.dataset,
            self.train_limit,
            self.test_limit,
            self.exact_conv,
            self.raw_pixels,
            keep_epochs=self.keep_epochs,
            precision=self.precision,
        )

    def settings(self, recipe: Recipe) -> Settings:
        """The settings of a new run; the model's recipe fills in what the user left out."""
        names = [field.name for field in fields(Recipe)]
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        if "lr_decay" in given:  # which only this schedule has
            given = {"schedule": "exponential"} | given
        if "early_stop" in given and not recipe.validation:
            given = {"validation": EARLY_STOP_VALIDATION} | given
        return Settings(**recipe.to_dict() | given, seed=self.seed)

    def check_unchanged(self, origin: Origin, settings: Settings, folder: Path) -> None:
        """Raise if the user gave another value for an option than the run was started with.

        Raises:
            CheckpointError: with the option, the run's value and the user's.
        """
        started_with: dict[str, Any] = {**origin.to_dict(), **settings.to_dict()}
        fixed = self.named & FIXED
        if is_own(self.dataset) and is_own(origin.dataset):  # it may have moved; its content is compared
            fixed -= {"dataset"}
        for name in sorted(fixed):
            if getattr(self, name) != started_with[name]:
                flag = "--" + name.replace("_", "-")
                raise CheckpointError(
                    f"{folder}: the run was started with {flag} {started_with[name]}, got {getattr(self, name)}. "
                    f"Leave {flag} out, or start a new run in another --output"
                )
