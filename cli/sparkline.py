"""Curves of one line: a character for each epoch, the higher the larger its value."""

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from .console import can_print
from .tables import percent

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-=+*#@"
WIDEST = 40
"""Characters of the longest curve; of more epochs, each character is the mean of several."""

LEAST_EPOCHS = 3


def curves(history: Sequence[Any], console: Console) -> list[str]:
    """The loss and the accuracy over the epochs, each in one line with its first and last value; no line for fewer than three epochs.

    Args:
        history: an ``EpochRecord`` for each epoch. The accuracy is that on test images, else on validation images, else in training.
    """
    if len(history) < LEAST_EPOCHS:
        return []
    fields = ("test_accuracy", "validation_accuracy", "accuracy")
    field = next(name for name in fields if getattr(history[-1], name) is not None)
    losses = [record.loss for record in history]
    accuracies = [getattr(record, field) for record in history]
    kind = field.replace("_", " ") if field != "accuracy" else "training accuracy"
    rows = [
        ("training loss", losses, [f"{losses[0]:.4f}", f"{losses[-1]:.4f}"]),
        (kind, accuracies, [percent(accuracies[0]), percent(accuracies[-1])]),
    ]
    width = max(len(name) for name, _, _ in rows)
    return [f"{name:{width}}  {sparkline(values, console)}  {ends[0]} to {ends[1]}" for name, values, ends in rows]


def sparkline(values: Sequence[float | None], console: Console) -> str:
    """The values as bars, the least the lowest; a blank for one that is None or not finite. In ASCII where the terminal has no other."""
    bars = BARS if can_print(console, BARS) else ASCII_BARS
    points = [_mean(values[start:end]) for start, end in _parts(len(values))]
    finite = [point for point in points if point is not None]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    scale = (len(bars) - 1) / (high - low) if high > low else 0.0
    return "".join(" " if point is None else bars[round((point - low) * scale)] for point in points)


def _parts(count: int) -> list[tuple[int, int]]:
    """The ranges of values that share a character."""
    parts = min(count, WIDEST)
    return [(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def _mean(values: Sequence[float | None]) -> float | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None
