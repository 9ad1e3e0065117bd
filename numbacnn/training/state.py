"""Everything that changes while a network is trained. Saved whole and loaded whole, training goes on as if it had never stopped."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn.checkpoint import Arrays, Checkpoint
from numbacnn.errors import CheckpointError, ModelError, ShapeError, TrainingError
from numbacnn.graph import Graph, graph_from_dict, graph_to_dict
from numbacnn.initializers import initial_parameters
from numbacnn.network import to_device
from numbacnn.ops import Ops
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.training.events import EpochRecord
from numbacnn.training.settings import Settings
from numbacnn.values import Array, EpochLosses


@dataclass
class State:
    """A training run at one instant.

    Args:
        graph: the network, with its softmax.
        settings: of the run.
        parameters: the device's arrays.
        slots: the optimiser's arrays, by ``<layer>/<parameter>/<slot>``.
        step: updates done.
        epoch: epochs completed.
        batch: updates done in the epoch under way.
        loss_sum, correct: of the images seen in the epoch under way, as far as the steps have been looked at.
        epoch_losses: of the steps of the epoch under way, on the device.
        steps_read: how many of its steps are in ``loss_sum`` and ``correct``; ``look`` takes in the others.
        seconds: spent in the epoch under way.
        history: a record of each completed epoch.
        best: parameters of the best epoch so far, on the host; None where no validation images are held out.
        best_loss, best_epoch: the validation loss to beat.
        is_pretrained: whether the initial weights are those of a trained network, and not drawn from the seed.
    """

    graph: Graph
    settings: Settings
    parameters: dict[str, Array]
    slots: dict[str, Array]
    step: int = 0
    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seconds: float = 0.0
    history: list[EpochRecord] = field(default_factory=list)
    best: Arrays | None = None
    best_loss: float = math.inf
    best_epoch: int = 0
    epoch_losses: EpochLosses | None = None
    steps_read: int = 0
    is_pretrained: bool = False

    def read_losses(self, ops: Ops, steps: int) -> float:
        """Take in the losses of the first ``steps`` of the epoch.

        Returns:
            the first among them that is not finite, or the last of all; ``steps_read`` is the number of that step.
        """
        loss = 0.0
        if self.epoch_losses is None or self.steps_read == steps:
            return loss
        losses, correct = (ops.to_host(array) for array in self.epoch_losses)
        while self.steps_read < steps and math.isfinite(loss):
            loss = float(losses[self.steps_read])
            self.loss_sum += loss
            self.correct += int(correct[self.steps_read])
            self.steps_read += 1
        return loss

    def parameters_to_keep(self, ops: Ops) -> Arrays:
        """The network's parameters on the host: the best epoch's where that is known, else the present ones."""
        if self.best is not None:
            return self.best
        return {name: ops.to_host(array).copy() for name, array in self.parameters.items()}


PARAMETERS, SLOTS, BEST = "parameters/", "optimizer/", "best/"
"""What the names of a checkpoint's arrays start with: the network's own, the optimiser's, the best epoch's."""

COUNTERS = ("step", "epoch", "batch", "loss_sum", "correct", "seconds", "best_loss", "best_epoch")


def new_state(graph: Graph, settings: Settings, ops: Ops, pretrained: Arrays | None = None) -> State:
    """The start of a run.

    Args:
        pretrained: the weights to start from, by ``<layer>/<parameter>``; None draws them from the seed.
    """
    parameters = to_device(ops, initial_parameters(graph, settings.seed) if pretrained is None else pretrained)
    slots = {
        f"{name}/{slot}": ops.zeros_like(parameters[name])
        for name, spec in graph.parameters.items()
        if spec.trainable
        for slot in OPTIMIZERS[settings.optimizer].slots
    }
    return State(graph, settings, parameters, slots, is_pretrained=pretrained is not None)


def to_checkpoint(state: State, ops: Ops, about: dict[str, Any]) -> Checkpoint:
    """A state as a file's content; ``about`` is kept beside it (the data set, say).

    Raises:
        TrainingError: the loss of a step that nobody has looked at yet is not finite; there is nothing to go on from.
    """
    if not math.isfinite(loss := state.read_losses(ops, state.batch)):
        raise TrainingError(
            f"epoch {state.epoch + 1}: the loss of a step is {loss}, not a finite number. Not saved; files of earlier epochs are "
            f"as they were. Try --learning-rate {state.settings.learning_rate / 10:g}"
        )
    arrays: dict[str, NDArray[Any]] = {}
    if state.step or state.is_pretrained:  # else they follow from graph and seed: the beginning of a run costs next to nothing
        arrays |= {f"{PARAMETERS}{name}": ops.to_host(array) for name, array in state.parameters.items()}
        arrays |= {f"{SLOTS}{name}": ops.to_host(array) for name, array in state.slots.items()}
        arrays |= {f"{BEST}{name}": array for name, array in (state.best or {}).items()}
    values = {
        "graph": graph_to_dict(state.graph),
        "settings": state.settings.to_dict(),
        "counters": {name: getattr(state, name) for name in COUNTERS},
        "history": [asdict(record) for record in state.history],
        "about": about,
    }
    return Checkpoint(arrays, values)


def from_checkpoint(checkpoint: Checkpoint, ops: Ops, source: str) -> tuple[State, dict[str, Any]]:
    """Undo ``to_checkpoint``.

    Raises:
        CheckpointError: something is missing or does not fit.
    """
    try:
        values = checkpoint.state
        graph = graph_from_dict(values["graph"], source="graph")
        settings = Settings.from_dict(values["settings"])
        state = new_state(graph, settings, ops)
        if values["counters"]["step"] or checkpoint.arrays:
            state.parameters = _take(checkpoint.arrays, PARAMETERS, state.parameters, ops)
            state.slots = _take(checkpoint.arrays, SLOTS, state.slots, ops)
            state.is_pretrained = not values["counters"]["step"]
        if any(name.startswith(BEST) for name in checkpoint.arrays):
            state.best = {name: checkpoint.arrays[f"{BEST}{name}"] for name in state.parameters}
        for name in COUNTERS:
            setattr(state, name, values["counters"][name])
        state.steps_read = state.batch
        state.history = [EpochRecord(**record) for record in values["history"]]
        return state, dict(values["about"])
    except (KeyError, TypeError, ValueError, AttributeError, ModelError, ShapeError) as error:
        raise CheckpointError(f"{source}: the training state in it cannot be read: {error}. Start without --resume") from None


def _take(arrays: Arrays, prefix: str, like: dict[str, Array], ops: Ops) -> dict[str, Array]:
    taken = {}
    for name, pattern in like.items():
        array = arrays[prefix + name]
        if array.shape != tuple(pattern.shape) or array.dtype != np.float32:
            raise ValueError(f"{prefix + name} must be float32 {tuple(pattern.shape)}, got {array.dtype} {array.shape}")
        taken[name] = ops.asarray(array.copy())
    return taken
