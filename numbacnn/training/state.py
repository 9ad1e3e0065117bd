"""Everything that changes while a network is trained."""

import math
from dataclasses import dataclass, field

from numbacnn.checkpoint import Arrays
from numbacnn.graph import Graph
from numbacnn.initializers import initial_parameters
from numbacnn.memory import check_parameters, drawing_bytes, parameter_bytes
from numbacnn.network import to_device
from numbacnn.ops import Ops
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.shapes import Shape
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
        loss_sum, correct: losses and right answers of the epoch under way, over the steps read.
        epoch_losses: of the steps of the epoch under way, on the device.
        steps_read: the number of its steps in ``loss_sum`` and ``correct``; ``read_losses`` adds the others.
        seconds: spent in the epoch under way.
        history: a record of each completed epoch.
        best: parameters of the best epoch so far, on the host; None where no validation images are held out.
        best_loss, best_epoch: the validation loss to beat.
        is_pretrained: whether training began with the weights of a trained network, not with weights drawn from the seed.
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
        """Read the losses of the epoch's first ``steps`` from the device, up to the first one that is not finite.

        Returns:
            the last loss read; ``steps_read`` is the number of its step.
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

    def begin_next_epoch(self, record: EpochRecord) -> None:
        """Complete the epoch under way."""
        self.history.append(record)
        self.epoch += 1
        self.batch = self.correct = self.steps_read = 0
        self.loss_sum = self.seconds = 0.0

    def parameters_to_keep(self, ops: Ops) -> Arrays:
        """The network's parameters on the host: those of the best epoch if validation images are held out, else the present ones."""
        return self.present_parameters(ops) if self.best is None else self.best

    def present_parameters(self, ops: Ops) -> Arrays:
        """The network's parameters as they are now, on the host."""
        return {name: ops.to_host(array).copy() for name, array in self.parameters.items()}


def new_state(graph: Graph, settings: Settings, ops: Ops, pretrained: Arrays | None = None) -> State:
    """The start of a run.

    Args:
        pretrained: the weights to start from, by ``<layer>/<parameter>``; None draws them from the seed.

    Raises:
        DeviceMemoryError: parameters and slots are more than the machine has memory for; nothing was allocated.
    """
    slots_only = parameter_bytes(graph, len(OPTIMIZERS[settings.optimizer].slots))
    check_parameters(graph, slots_only + (drawing_bytes(graph) if pretrained is None else 0))
    parameters = to_device(ops, initial_parameters(graph, settings.seed) if pretrained is None else pretrained)
    slots = {name: ops.zeros_like(parameters[name.rpartition("/")[0]]) for name in slot_shapes(graph, settings)}
    return State(graph, settings, parameters, slots, is_pretrained=pretrained is not None)


def slot_shapes(graph: Graph, settings: Settings) -> dict[str, Shape]:
    """The shape of each array that the optimiser keeps, by ``<layer>/<parameter>/<slot>``."""
    return {
        f"{name}/{slot}": spec.shape
        for name, spec in graph.parameters.items()
        if spec.trainable
        for slot in OPTIMIZERS[settings.optimizer].slots
    }
