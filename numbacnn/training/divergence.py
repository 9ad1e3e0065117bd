"""A loss that is not finite stops training before the network is kept."""

import math

from numbacnn.errors import TrainingError
from numbacnn.ops import Ops
from numbacnn.training.state import State


def read_losses(state: State, ops: Ops, steps: int, learning_rate: float) -> None:
    """Read the losses of the epoch's first ``steps`` from the device.

    Raises:
        TrainingError: one of them is not finite.
    """
    loss = state.read_losses(ops, steps)
    check_finite(state, state.step - state.batch + state.steps_read, "loss", loss, learning_rate)


def check_finite(state: State, step: int, name: str, loss: float, learning_rate: float) -> None:
    """Raise if a loss is not finite.

    Args:
        step: the last update before it.
        name: of the loss, for the message.
        learning_rate: of that step.
    """
    if not math.isfinite(loss):
        raise TrainingError(
            f"epoch {state.epoch + 1}, step {step}: the {name} is {loss}, not a finite number (learning rate {learning_rate:g}). "
            f"Training stopped; files of earlier epochs are as they were. "
            f"Try --learning-rate {state.settings.learning_rate / 10:g}, or he_normal weights for a deep network"
        )
