"""A loss, a gradient or a weight that is not finite stops training before the network is kept, and the message names the layer."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from numbacnn.errors import TrainingError
from numbacnn.finite import first_gradient_that_is_not_finite, is_finite
from numbacnn.ops import Ops
from numbacnn.training.state import State
from numbacnn.values import Array

Locate = Callable[[int], str | None]
"""Describes the first layer that is not finite in the step of this index in the epoch, or returns None. It may run the step's forward
pass again, with the present parameters: no update has been applied since."""


def read_losses(state: State, ops: Ops, steps: int, learning_rate: float, locate: Locate = lambda index: None) -> None:
    """Read the losses of the epoch's first ``steps`` from the device.

    Args:
        locate: names the layer where a loss stops being finite.

    Raises:
        TrainingError: one of them is not finite.
    """
    loss = state.read_losses(ops, steps)
    if not math.isfinite(loss):
        step = state.step - state.batch + state.steps_read
        raise diverged(state, step, f"the loss is {loss}, not a finite number", locate(state.steps_read - 1), learning_rate)


def check_gradients(state: State, ops: Ops, gradients: Mapping[str, Any], losses: Array, learning_rate: float) -> None:
    """Raise TrainingError if a gradient of the step under way is not finite, although its loss is: before the update.

    Args:
        gradients: and the next values of moving averages, by the parameter's name.
        losses: of the step's images.
    """
    if where := first_gradient_that_is_not_finite(ops, gradients):
        problem = f"the loss is {float(losses.mean()):g}, but a gradient or moving average is not finite"
        raise diverged(state, state.step + 1, problem, where, learning_rate)


def check_arrays(state: State, ops: Ops) -> None:
    """Raise TrainingError if a parameter or an array of the optimiser is not finite: before they are kept."""
    for arrays, what in ((state.parameters, "weights"), (state.slots, "optimiser's values")):
        for name, array in arrays.items():
            if not is_finite(ops.to_host(array)):
                raise diverged(state, state.step, f"the {what} {name} are not all finite", None, state.settings.learning_rate)


def diverged(state: State, step: int, problem: str, where: str | None, learning_rate: float) -> TrainingError:
    """The error that ends a training.

    Args:
        step: the step that failed, or the last one before.
        problem, where: a clause each; ``where`` names the layer in which it begins, if that is known.
        learning_rate: of that step.
    """
    return TrainingError(
        f"epoch {state.epoch + 1}, step {step}: {problem} (learning rate {learning_rate:g}).{f' First is {where}.' if where else ''} "
        f"Training stopped; files of earlier epochs are as they were. "
        f"Try --learning-rate {state.settings.learning_rate / 10:g}, or he_normal weights for a deep network"
    )
