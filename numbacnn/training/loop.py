"""The training loop: for each epoch, for each batch: forward, loss, backward, update."""

from collections.abc import Iterator
from traceback import clear_frames
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.datasets import Dataset
from numbacnn.datasets.checks import check_labels
from numbacnn.errors import DeviceMemoryError
from numbacnn.finite import check_finite, first_layer_that_is_not_finite
from numbacnn.graph import Graph, without_softmax
from numbacnn.memory import activation_bytes, check_batch
from numbacnn.network import Forward, Gradients, backward, batches, forward, take_parameters
from numbacnn.ops import Ops
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.plan import make_plan
from numbacnn.schedules import Schedule, schedule
from numbacnn.training.batch_limit import explain_shortage
from numbacnn.training.clock import Clock
from numbacnn.training.divergence import Locate, check_gradients, read_losses
from numbacnn.training.evaluation import finish_epoch
from numbacnn.training.events import EvaluationStarted, Event, StepDone, StoppedEarly
from numbacnn.training.matching import check_matches, check_normalisation, check_progress
from numbacnn.training.order import epoch_order, held_out
from numbacnn.training.state import State
from numbacnn.values import Array, Augmentation, AugmentKey, FiniteLossCheck, Update


class Batch(NamedTuple):
    """A batch on the device: all images (count, h, w, c), and the indices and labels of the batch's images, int64 (n,).

    Args:
        scale: factor of the images' values.
    """

    images: Array
    indices: Array
    labels: Array
    scale: float

    def part(self, part: slice) -> "Batch":
        """The batch restricted to a slice."""
        return self._replace(indices=self.indices[part], labels=self.labels[part])


def train(state: State, dataset: Dataset, ops: Ops, rate: Schedule | None = None) -> Iterator[Event]:
    """Train a network, one event at a time; ``state`` can be saved at each of them.

    The result depends on the settings, the data and the device alone: neither on the number of threads nor on interruptions.

    Args:
        state: from ``new_state`` or ``from_checkpoint``; it changes as training goes on.
        dataset: images and labels.
        ops: the device.
        rate: the learning rate, asked for at least once in each epoch; None takes the schedule of the settings.

    Raises:
        ModelError, ShapeError, DataError: the network does not match the data, or the state's parameters the network.
        CheckpointError: the state is further in its epoch than the data set reaches.
        NotFiniteError: a parameter that training would begin with is not finite.
        DeviceMemoryError: a batch is more than the device has memory for.
        TrainingError: there is nothing to train on, batch normalisation would see one value of each channel at a time, or a
            loss or gradient is not finite; the update it would lead to is not applied. On a GPU, gradients are not looked at: the
            next loss shows what they did.
    """
    check_matches(state.graph, dataset)
    settings = state.settings
    state.parameters = take_parameters(state.graph, ops, state.parameters, np.dtype(np.float32))
    check_finite(ops, state.parameters, state.graph.parameters)
    graph = without_softmax(state.graph)
    training_indices, validation = held_out(dataset, settings)
    check_normalisation(state.graph, min(settings.batch_size, len(training_indices)))
    _check_memory(state, graph, ops, min(settings.batch_size, len(training_indices)))
    images, classes = ops.asarray(dataset.train_images), _classes(dataset)
    rate = rate or schedule(settings.schedule, settings.learning_rate, settings.lr_decay, settings.epochs)
    clock, pace = Clock(), ops.new_pace()
    while state.epoch < settings.epochs and not _is_out_of_patience(state):
        order = epoch_order(training_indices, settings.seed, state.epoch)
        epoch = Batch(images, ops.asarray(order), ops.asarray(classes[order]), dataset.normalisation.scale)
        slices = list(batches(len(order), settings.batch_size))
        check_progress(state, len(slices))

        def locate(index: int, epoch: Batch = epoch, slices: list[slice] = slices) -> str | None:
            return _first_layer_that_is_not_finite(state, graph, ops, epoch.part(slices[index]), state.step - state.batch + index)

        read_losses(state, ops, state.batch, rate(state.epoch))  # of the steps of an earlier call
        state.epoch_losses = ops.new_epoch_losses(len(slices))
        for batch in slices[state.batch :]:
            learning_rate = rate(state.epoch + state.batch / len(slices))
            with pace.step(batch.stop - batch.start):
                _step_or_explain_shortage(state, graph, ops, epoch.part(batch), learning_rate, locate)
            state.seconds += clock.lap(batch.stop - batch.start)
            if clock.read_is_due():
                read_losses(state, ops, state.batch, learning_rate, locate)
            yield _step_done(state, batch.stop, slices, clock)
        read_losses(state, ops, state.batch, rate(state.epoch), locate)
        if len(dataset.test_images) or len(validation.images):
            yield EvaluationStarted(state.epoch + 1)
        yield finish_epoch(state, graph, ops, dataset, validation, rate(state.epoch), clock)
    if settings.early_stop and _is_out_of_patience(state):
        yield StoppedEarly(state.epoch, settings.early_stop, state.best_epoch)


def _check_memory(state: State, graph: Graph, ops: Ops, batch_size: int) -> None:
    """Raise if the host, as the device, has too little memory for a batch; a GPU raises once its own runs out."""
    held = ops.held_memory()
    if held is not None:
        batch_size = max(share.images for share in ops.ranks.shares(batch_size))
        check_batch(state.graph, activation_bytes(graph, make_plan(graph, ops.can_fuse), 1, training=True), batch_size, held)


def _classes(dataset: Dataset) -> NDArray[np.int64]:
    """The training labels: a copy, checked again, as the caller may have written into them since the data set was made."""
    classes = dataset.train_labels.astype(np.int64)
    check_labels("train_labels", classes, len(dataset.train_images), len(dataset.class_names))
    return classes


def _is_out_of_patience(state: State) -> bool:
    patience = state.settings.early_stop
    return patience is not None and state.epoch - state.best_epoch >= patience


def _step_done(state: State, images: int, slices: list[slice], clock: Clock) -> StepDone:
    """The event after a step: loss and accuracy are means of the steps read so far."""
    images_read = slices[state.steps_read - 1].stop
    return StepDone(
        epoch=state.epoch + 1,
        epochs=state.settings.epochs,
        images=images,
        images_in_epoch=slices[-1].stop,
        loss=state.loss_sum / images_read,
        accuracy=state.correct / images_read,
        images_per_second=clock.images_per_second,
    )


def _step_or_explain_shortage(state: State, graph: Graph, ops: Ops, batch: Batch, learning_rate: float, locate: Locate) -> None:
    """Take a step. If the device's memory is too small for it, name the batch size that fits."""
    try:
        _train_step(state, graph, ops, batch, learning_rate, locate)
        return
    except DeviceMemoryError as error:
        shortage = error
        clear_frames(error.__traceback__)  # they hold arrays of the step that failed
    no_update = FiniteLossCheck(ops.asarray(np.full(1, np.nan, np.float32)), 0)

    def try_step(images: int) -> None:
        with ops.reuse_memory():
            forward_pass, _, _, gradients = _gradients(state, graph, ops, batch.part(slice(images)))
            _apply_updates(state, ops, forward_pass, gradients, learning_rate, no_update)

    raise explain_shortage(shortage, try_step, len(batch.labels), state.settings.batch_size, ops)


def _train_step(state: State, graph: Graph, ops: Ops, batch: Batch, learning_rate: float, locate: Locate) -> None:
    """Forward, loss, backward, update. A loss that is not finite leaves every parameter as it was; on the CPU, a gradient does too."""
    with ops.reuse_memory(), ops.ranks.step(len(batch.labels)) as share:
        forward_pass, losses, correct, gradients = _gradients(state, graph, ops, batch.part(share.slice))
        if share.ranks is not None:
            both = share.gather(
                np.stack([ops.to_host(losses), ops.to_host(correct)], axis=1)
            )  # float32: 0 and 1 stay what they are
            losses, correct = ops.asarray(both[:, 0]), ops.asarray(both[:, 1] != 0)
        assert state.epoch_losses is not None  # made when the epoch began
        check = ops.record_step(state.epoch_losses, state.batch, losses, correct)
        if not ops.asynchronous:
            read_losses(state, ops, state.batch + 1, learning_rate, locate)
            watched = gradients | {name: moving.value for name, moving in forward_pass.updates.items()}
            check_gradients(state, ops, watched, losses, learning_rate)
        _apply_updates(state, ops, forward_pass, gradients, learning_rate, check)
    state.step += 1
    state.batch += 1


def _first_layer_that_is_not_finite(state: State, graph: Graph, ops: Ops, batch: Batch, step: int) -> str | None:
    """The first layer that is not finite in the forward pass of a batch, taken as the given step of the run."""
    with ops.reuse_memory():
        x = _images(state, ops, batch, step)
        return first_layer_that_is_not_finite(graph, ops, state.parameters, x, seed=state.settings.seed, step=step, training=True)


def _images(state: State, ops: Ops, batch: Batch, step: int) -> Array:
    """The images of a batch as numbers, distorted if the recipe says so."""
    x = ops.gather_images(batch.images, batch.indices, batch.scale)
    if state.settings.distorts(state.epoch):
        x = ops.augment(x, Augmentation(), AugmentKey(state.settings.seed, step, ops.ranks.share(len(x)).first))
    return x


def _gradients(state: State, graph: Graph, ops: Ops, batch: Batch) -> tuple[Forward, Array, Array, Gradients]:
    """The forward pass, the loss of each image and whether its answer is right, and the gradients."""
    x = _images(state, ops, batch, state.step)
    forward_pass = forward(graph, ops, state.parameters, x, training=True, seed=state.settings.seed, step=state.step)
    losses, correct, dlogits = ops.softmax_cross_entropy(forward_pass.y, batch.labels)
    return forward_pass, losses, correct, backward(ops, state.parameters, forward_pass, dlogits)


def _apply_updates(
    state: State, ops: Ops, forward_pass: Forward, gradients: Gradients, learning_rate: float, check: FiniteLossCheck
) -> None:
    """Update parameters, slots and moving averages if the loss is finite."""
    optimizer = OPTIMIZERS[state.settings.optimizer]
    rule = optimizer.rule(learning_rate, state.step + 1)
    changes = [
        Update(state.parameters[name], [state.slots[f"{name}/{slot}"] for slot in optimizer.slots], gradient)
        for name, gradient in gradients.items()
    ]
    with ops.ranks.updates():
        ops.update_all(changes, rule, check)
        for name, moving in forward_pass.updates.items():
            ops.moving_average_update(state.parameters[name], *moving, check)
