"""The origin of a run: the options that, besides its settings, decide its result. A checkpoint keeps it."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from numbacnn.backends.precisions import FLOAT32, PRECISIONS
from numbacnn.dataset_names import DATASETS
from numbacnn.training.fields import Fields


def is_own(dataset: str) -> bool:
    """Whether a data set is the user's own: a path."""
    return dataset not in DATASETS


def dataset_label(dataset: str) -> str:
    """The name of a data set, for reports and the folder of a run."""
    from numbacnn.datasets import own

    return own.label(dataset) if is_own(dataset) else dataset


@dataclass(frozen=True)
class Origin:
    """What a run was started with.

    Args:
        model: as ``--model`` named it.
        dataset: a name in ``DATASETS``, or the absolute path of one's own data.
        train_limit, test_limit: images of each part; None for all.
        exact_conv: whether convolutions are summed directly.
        precision: of a GPU's products.
        raw_pixels: whether the network reads pixels as numbers 0...255.
        keep_epochs: whether the network of each epoch is kept.
        data_sha256: of the images and labels; None for a run stopped before it had loaded them.
    """

    model: str
    dataset: str
    train_limit: int | None
    test_limit: int | None
    exact_conv: bool = False
    raw_pixels: bool = False
    data_sha256: str | None = None
    keep_epochs: bool = False
    precision: str = FLOAT32

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        values = asdict(self)
        absent = {"data_sha256"} if not self.data_sha256 else set()
        absent |= {"keep_epochs"} if not self.keep_epochs else set()
        return {key: value for key, value in values.items() if key not in absent}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None, source: str) -> "Origin":
        """Undo ``to_dict``; trusts nothing.

        Args:
            source: the checkpoint's file, for messages.

        Raises:
            CheckpointError: a field is missing or not as expected.
        """
        fields = Fields(values, "about", source)
        known = f"one of {', '.join(DATASETS)}, or an absolute path"
        return cls(
            model=fields.text("model"),
            dataset=fields.take(
                "dataset", known, lambda value: isinstance(value, str) and (value in DATASETS or os.path.isabs(value))
            ),
            train_limit=fields.whole_or_none("train_limit", 1),
            test_limit=fields.whole_or_none("test_limit", 1),
            exact_conv=fields.take("exact_conv", "true or false", lambda value: isinstance(value, bool), False),
            precision=fields.take("precision", f"one of {', '.join(PRECISIONS)}", lambda value: value in PRECISIONS, FLOAT32),
            raw_pixels=fields.take("raw_pixels", "true or false", lambda value: isinstance(value, bool), False),
            keep_epochs=fields.take("keep_epochs", "true or false", lambda value: isinstance(value, bool), False),
            data_sha256=fields.take("data_sha256", "a text", lambda value: value is None or isinstance(value, str), None),
        )
