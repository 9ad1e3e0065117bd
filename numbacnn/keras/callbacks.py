"""Keras's callbacks: a learning rate for each epoch, and the history that ``fit`` returns."""

import inspect
import sys
from collections.abc import Callable
from typing import Any

from numbacnn.errors import TrainingError
from numbacnn.keras.arguments import no_such_name
from numbacnn.keras.optimizers import check_rate
from numbacnn.quoting import short


class LearningRateScheduler:
    """Sets the learning rate at the start of each epoch. Source: the lecture's slide "Some Improvement (5/5)".

    Args:
        schedule: ``f(epoch)`` or ``f(epoch, rate)``, the rate of an epoch counted from 0, given the rate before it.
        verbose: whether to say each rate.

    Raises:
        TrainingError: the schedule is no such function.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int | bool = 0) -> None:
        if not callable(schedule):
            raise TrainingError(
                f"LearningRateScheduler: expected a function of the epoch, got {short(schedule)}. Give it without brackets: lr_decay"
            )
        self.schedule = schedule
        self.verbose = verbose
        self._takes_rate = _takes_two(schedule)

    def rate(self, epoch: int, rate: float) -> float:
        """The rate of an epoch, counted from 0.

        Args:
            rate: the one before it.

        Raises:
            TrainingError: the function gives no finite number greater than 0.
        """
        try:
            given = self.schedule(epoch, rate) if self._takes_rate else self.schedule(epoch)
        except NameError as error:
            if error.name in sys.stdlib_module_names:
                error.add_note(f"LearningRateScheduler: the function uses {error.name}. Write 'import {error.name}' first")
            raise
        new = check_rate(f"LearningRateScheduler: rate of epoch {epoch}, counted from 0", given)
        if self.verbose:
            from numbacnn_cli.console import notice

            notice(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {new}.")
        return new


class History:
    """What ``fit`` returns: ``history`` has a list of one number per epoch for each of ``loss``, ``accuracy`` and so on."""

    def __init__(self, history: dict[str, list[float]]) -> None:
        self.history = history
        self.epoch = list(range(len(history["loss"])))


def _takes_two(function: Callable[..., float]) -> bool:
    """Whether a function can be called with two arguments; one that does not say is called with one."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return False
    try:
        signature.bind(0, 0.01)
    except TypeError:
        return False
    return True


__all__ = ["History", "LearningRateScheduler"]


def __getattr__(name: str) -> Any:
    raise no_such_name("numbacnn.keras.callbacks", name, __all__)
