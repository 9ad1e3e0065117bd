"""A training run as the content of a checkpoint, and back: loaded, it goes on as if it had never stopped."""

import math
from dataclasses import asdict
from dataclasses import fields as fields_of
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn.checkpoint import Arrays, Checkpoint
from numbacnn.errors import CheckpointError, ModelError, ShapeError, TrainingError
from numbacnn.finite import is_finite
from numbacnn.graph import Graph, graph_from_dict, graph_to_dict
from numbacnn.initializers import initial_parameters
from numbacnn.memory import check_parameters, drawing_bytes, parameter_bytes
from numbacnn.network import to_device
from numbacnn.ops import Ops
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.quoting import counted, plain
from numbacnn.training.divergence import check_arrays
from numbacnn.training.events import EpochRecord
from numbacnn.training.fields import ADVICE, Fields
from numbacnn.training.settings import Settings
from numbacnn.training.state import State, slot_shapes

PARAMETERS, SLOTS, BEST = "parameters/", "optimizer/", "best/"
"""The prefixes of a checkpoint's arrays: the network's own, the optimiser's, the best epoch's."""

COUNTERS = ("step", "epoch", "batch", "loss_sum", "correct", "seconds", "best_loss", "best_epoch")
ADDED_LATER = {"augment"}
"""Settings that a checkpoint of an earlier version lacks."""


def to_checkpoint(state: State, ops: Ops, about: dict[str, Any]) -> Checkpoint:
    """A state as a file's content.

    Args:
        about: plain values to keep beside it, such as the data set's name.

    Raises:
        TrainingError: the loss of a step not read before is not finite, or a weight, or a value of the optimiser.
    """
    if not math.isfinite(loss := state.read_losses(ops, state.batch)):
        raise TrainingError(
            f"epoch {state.epoch + 1}: the loss of a step is {loss}, not a finite number. Not saved; files of earlier epochs are "
            f"as they were. Try --learning-rate {state.settings.learning_rate / 10:g}"
        )
    check_arrays(state, ops)
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
    """Undo ``to_checkpoint``; trusts nothing.

    Args:
        source: the file, for messages.

    Returns:
        the state, and the plain values beside it.

    Raises:
        CheckpointError: a field is missing or not as expected, or contradicts another one.
    """
    fields = Fields(checkpoint.state, "", source)
    graph, settings, about = _graph(fields, source), _settings(fields, source), fields.fields("about").plain()
    counters = _counters(fields.fields("counters"))
    history = _history(fields, counters["epoch"], source)
    has_arrays = bool(counters["step"] or checkpoint.arrays)
    shapes = {name: spec.shape for name, spec in graph.parameters.items()}
    if has_arrays:
        parameters = _arrays(checkpoint.arrays, PARAMETERS, shapes, source)
        slots = _arrays(checkpoint.arrays, SLOTS, slot_shapes(graph, settings), source)
    else:
        check_parameters(graph, drawing_bytes(graph) + parameter_bytes(graph, len(OPTIMIZERS[settings.optimizer].slots)))
        parameters = initial_parameters(graph, settings.seed)
        slots = {name: np.zeros(shape, np.float32) for name, shape in slot_shapes(graph, settings).items()}
    state = State(graph, settings, to_device(ops, parameters), to_device(ops, slots), history=history, **counters)
    state.steps_read = state.batch
    state.is_pretrained = has_arrays and not state.step
    if state.best_epoch:
        state.best = _arrays(checkpoint.arrays, BEST, shapes, source)
    return state, about


def _graph(fields: Fields, source: str) -> Graph:
    try:
        return graph_from_dict(fields.fields("graph").plain(), source="graph")
    except (ModelError, ShapeError) as error:
        raise CheckpointError(f"{source}: {error}. {ADVICE}") from None


def _settings(fields: Fields, source: str) -> Settings:
    values = fields.fields("settings")
    known = {field.name for field in fields_of(Settings)}
    values.check_keys(known)
    for name in sorted(known - ADDED_LATER):
        values.take(name, "a value", lambda value: True)
    try:
        return Settings.from_dict(values.plain())
    except TrainingError as error:
        raise CheckpointError(f"{source}: settings.{error}. {ADVICE}") from None


def _counters(fields: Fields) -> dict[str, Any]:
    """The counters of a state, by name."""
    counters: dict[str, Any] = {name: fields.whole(name) for name in ("step", "epoch", "batch", "correct", "best_epoch")}
    counters |= {name: fields.number(name) for name in ("loss_sum", "seconds")}
    step, epoch, batch, best_epoch = (counters[name] for name in ("step", "epoch", "batch", "best_epoch"))
    least = epoch + batch  # an epoch takes at least one step
    if step < least or (epoch == 0 and step != batch):
        expected = f"at least {least}" if epoch else f"{batch}"
        raise fields.error("step", f"{expected} after {counted(epoch, 'epoch')} and {counted(batch, 'batch', 'batches')}")
    if best_epoch > epoch:
        raise fields.error("best_epoch", f"at most {epoch}, the epochs completed")
    if best_epoch:
        best_loss = fields.number("best_loss")
    else:
        best_loss = fields.take(
            "best_loss", "infinity before a best epoch", lambda value: isinstance(value, float) and value == math.inf
        )
    return counters | {"best_loss": best_loss}


def _history(fields: Fields, epochs: int, source: str) -> list[EpochRecord]:
    records = fields.items("history")
    if len(records) != epochs:
        raise CheckpointError(
            f"{source}: history: expected {counted(epochs, 'record')}, one for each epoch, got {len(records)}. {ADVICE}"
        )
    return [_record(Fields(values, f"history[{i}]", source), epoch=i + 1) for i, values in enumerate(records)]


def _record(fields: Fields, epoch: int) -> EpochRecord:
    fields.check_keys({field.name for field in fields_of(EpochRecord)})
    return EpochRecord(
        epoch=fields.take("epoch", str(epoch), lambda value: value == epoch and not isinstance(value, (bool, float))),
        learning_rate=fields.number("learning_rate"),
        loss=fields.number("loss"),
        accuracy=fields.number("accuracy"),
        test_loss=fields.number_or_none("test_loss"),
        test_accuracy=fields.number_or_none("test_accuracy"),
        seconds=fields.number("seconds"),
        images_per_second=fields.number("images_per_second"),
        validation_loss=fields.number_or_none("validation_loss"),
        validation_accuracy=fields.number_or_none("validation_accuracy"),
    )


def _arrays(arrays: Arrays, prefix: str, shapes: dict[str, tuple[int, ...]], source: str) -> Arrays:
    """The arrays of a prefix, without it: one of each of these shapes."""
    found = {}
    for name, shape in shapes.items():
        array = arrays.get(prefix + name)
        if array is None or array.shape != shape or array.dtype != np.float32:
            got = "none" if array is None else f"{array.dtype} {array.shape}"
            raise CheckpointError(f"{source}: {plain(prefix + name)}: expected float32 {shape}, got {got}. {ADVICE}")
        if not is_finite(array):
            raise CheckpointError(f"{source}: {plain(prefix + name)}: expected finite numbers, got others. {ADVICE}")
        found[name] = array.copy()
    return found
