"""The training loop: for each epoch, for each batch: forward, loss, backward, update."""

import math
import time
from collections.abc import Iterator
from traceback import clear_frames
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.datasets import Dataset
from numbacnn.datasets.checks import check_labels
from numbacnn.errors import DeviceMemoryError, ModelError, ShapeError, TrainingError
from numbacnn.graph import Graph, without_softmax
from numbacnn.layers import BatchNorm
from numbacnn.metrics import Evaluation, evaluate
from numbacnn.network import PIXEL_SCALE, Forward, Gradients, backward, batches, forward, take_parameters
from numbacnn.ops import Ops
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.prediction import predict
from numbacnn.schedules import schedule
from numbacnn.shapes import cells
from numbacnn.training.batch_limit import largest_that_fits
from numbacnn.training.events import EpochDone, EpochRecord, EvaluationStarted, Event, StepDone, StoppedEarly
from numbacnn.training.settings import Settings
from numbacnn.training.state import State
from numbacnn.values import Array, Augmentation, AugmentKey, FiniteLossCheck

SHUFFLE_STREAM, VALIDATION_STREAM = 1, 2


def train(state: State, dataset: Dataset, ops: Ops) -> Iterator[Event]:
    """Train a network, one event at a time; ``state`` is always ready to be saved when an event comes.

    The result depends on the settings, the data and the device, and on nothing else: not on the number of threads, nor on how
    often the loop was stopped and taken up again.

    Args:
        state: from ``new_state``, or one that was saved; it is changed as training goes on.
        dataset: images and labels.
        ops: the device.

    Raises:
        ModelError, ShapeError, DataError: the network does not fit the data, or the state's parameters not the network.
        TrainingError: there is nothing to train on, batch normalisation would see one value of each channel at a time, or the
            loss is not finite; the update it would lead to is not applied.
    """
    check_matches(state.graph, dataset)
    state.parameters = take_parameters(state.graph, ops, state.parameters, np.dtype(np.float32))
    logits_graph = without_softmax(state.graph)
    settings = state.settings
    fit, held_out = _split(len(dataset.train_images), settings)
    _check_normalisation(state.graph, min(settings.batch_size, len(fit)))
    images = ops.asarray(dataset.train_images)
    # A copy of its own, and looked at again: the caller may have written into the labels since the data set was made.
    classes = dataset.train_labels.astype(np.int64)
    check_labels("train_labels", classes, len(dataset.train_images), len(dataset.class_names))
    rate = schedule(settings.schedule, settings.learning_rate, settings.lr_decay, settings.epochs)
    clock = _Clock()
    while state.epoch < settings.epochs and not _out_of_patience(state):
        order = fit[_permutation(len(fit), settings.seed, state.epoch)]
        slices = list(batches(len(order), settings.batch_size))
        places, labels = ops.asarray(order), ops.asarray(classes[order])
        _read_losses(state, ops, state.batch, rate(state.epoch))  # the steps of an earlier call
        state.epoch_losses = ops.new_epoch_losses(len(slices))
        for batch in slices[state.batch :]:
            learning_rate = rate(state.epoch + state.batch / len(slices))
            x = Batch(images, places[batch], labels[batch])
            _step_or_explain_memory(state, logits_graph, ops, x, learning_rate)
            clock.add(state, batch.stop - batch.start)
            if clock.read_is_due():
                _read_losses(state, ops, state.batch, learning_rate)
            yield StepDone(
                epoch=state.epoch + 1,
                epochs=settings.epochs,
                images=batch.stop,
                images_in_epoch=len(order),
                loss=state.loss_sum / slices[state.steps_read - 1].stop,
                accuracy=state.correct / slices[state.steps_read - 1].stop,
                images_per_second=clock.images_per_second,
            )
        _read_losses(state, ops, state.batch, rate(state.epoch))
        if len(dataset.test_images) or len(held_out):
            yield EvaluationStarted(state.epoch + 1)
        yield _finish_epoch(state, logits_graph, ops, dataset, held_out, len(order), rate(state.epoch), clock)
    if settings.early_stop and _out_of_patience(state):
        yield StoppedEarly(state.epoch, settings.early_stop, state.best_epoch)


def _out_of_patience(state: State) -> bool:
    patience = state.settings.early_stop
    return patience is not None and state.epoch - state.best_epoch >= patience


def check_matches(graph: Graph, dataset: Dataset) -> None:
    """Raise unless the network takes the data set's images and tells its classes apart."""
    shape = dataset.train_images.shape[1:]
    if graph.input_shape != shape:
        raise ShapeError(
            f"{graph.name}: takes images of shape {graph.input_shape}, but those of {dataset.name} are {shape}. "
            "Choose another model, or another data set"
        )
    if graph.output_shape != (len(dataset.class_names),):
        raise ModelError(
            f"{graph.name}: its output has shape {graph.output_shape}, but {dataset.name} has {len(dataset.class_names)} classes. "
            f"End it with Dense({len(dataset.class_names)}, activation='softmax')"
        )


def _check_normalisation(graph: Graph, batch: int) -> None:
    """Raise if a batch normalisation would see one value of each channel: its variance is 0, and every output the same."""
    for node in graph.nodes:
        (shape, *_) = graph.input_shapes(node)
        if isinstance(node.layer, BatchNorm) and batch * cells(shape[:-1]) < 2:
            raise TrainingError(
                f"{node.name}: BatchNorm normalises over a batch, in which each of its {shape[-1]} features has one value "
                f"(batch size {batch}): nothing could be learned. Use --batch-size 2 or more, or leave this layer out"
            )


class Batch(NamedTuple):
    """Images of one step, on the device: all images, uint8 (count, h, w, c), which of them, and their classes, int64 (n,) each."""

    images: Array
    places: Array
    labels: Array


def _step_or_explain_memory(state: State, graph: Graph, ops: Ops, batch: Batch, learning_rate: float) -> None:
    """Update; and where the device's memory does not suffice for that, say which batch size it does suffice for."""
    try:
        _train_step(state, graph, ops, batch, learning_rate)
        return
    except DeviceMemoryError as error:
        shortage = error
        clear_frames(error.__traceback__)  # they hold arrays of the step that failed
    never = FiniteLossCheck(ops.asarray(np.full(1, np.nan, np.float32)), 0)

    def try_out(images: int) -> None:
        with ops.reuse_memory():
            fewer = Batch(batch.images, batch.places[:images], batch.labels[:images])
            forward_pass, _, _, gradients = _gradients(state, graph, ops, fewer)
            _apply_updates(state, ops, forward_pass, gradients, learning_rate, never)

    fits = largest_that_fits(try_out, len(batch.labels), ops)
    advice = f"{fits} fits" if fits else "not even a single image fits"
    raise DeviceMemoryError(f"{shortage}. --batch-size {state.settings.batch_size} is too large: {advice}", shortage.asked)


def _train_step(state: State, graph: Graph, ops: Ops, batch: Batch, learning_rate: float) -> None:
    """One step. A loss that is not finite leaves every parameter as it was."""
    with ops.reuse_memory():
        forward_pass, losses, correct, gradients = _gradients(state, graph, ops, batch)
        assert state.epoch_losses is not None  # made when the epoch began
        check = ops.record_step(state.epoch_losses, state.batch, losses, correct)
        if not ops.asynchronous:
            _read_losses(state, ops, state.batch + 1, learning_rate)
        _apply_updates(state, ops, forward_pass, gradients, learning_rate, check)
    state.step += 1
    state.batch += 1


def _gradients(state: State, graph: Graph, ops: Ops, batch: Batch) -> tuple[Forward, Array, Array, Gradients]:
    """Forward, loss and backward: the outputs, the loss and rightness of each image, and the gradients."""
    x = ops.gather_images(batch.images, batch.places, PIXEL_SCALE)
    if state.settings.distorts(state.epoch):
        x = ops.augment(x, Augmentation(), AugmentKey(state.settings.seed, state.step))
    forward_pass = forward(graph, ops, state.parameters, x, training=True, seed=state.settings.seed, step=state.step)
    losses, correct, dlogits = ops.softmax_cross_entropy(forward_pass.y, batch.labels)
    return forward_pass, losses, correct, backward(ops, state.parameters, forward_pass, dlogits)


def _apply_updates(
    state: State, ops: Ops, forward_pass: Forward, gradients: Gradients, learning_rate: float, check: FiniteLossCheck
) -> None:
    """Change parameters, slots and moving averages, if the loss is finite."""
    optimizer = OPTIMIZERS[state.settings.optimizer]
    rule = optimizer.rule(learning_rate, state.step + 1)
    for name, gradient in gradients.items():
        slots = [state.slots[f"{name}/{slot}"] for slot in optimizer.slots]
        ops.update(state.parameters[name], slots, gradient, rule, check)
    for name, moving in forward_pass.updates.items():
        ops.moving_average_update(state.parameters[name], *moving, check)


def _read_losses(state: State, ops: Ops, steps: int, learning_rate: float) -> None:
    """Take in the losses so far; raise if one is not finite."""
    loss = state.read_losses(ops, steps)
    if not math.isfinite(loss):
        step = state.step - state.batch + state.steps_read
        raise TrainingError(_diverged(state, step, f"the loss is {loss}", learning_rate))


def _diverged(state: State, step: int, what: str, learning_rate: float) -> str:
    return (
        f"epoch {state.epoch + 1}, step {step}: {what}, not a finite number (learning rate {learning_rate:g}). "
        f"Training stopped; files of earlier epochs are as they were. "
        f"Try --learning-rate {state.settings.learning_rate / 10:g}, or he_normal weights for a deep network"
    )


def _finish_epoch(
    state: State,
    graph: Graph,
    ops: Ops,
    dataset: Dataset,
    held_out: NDArray[np.int64],
    trained_on: int,
    learning_rate: float,
    clock: "_Clock",
) -> EpochDone:
    """Look at the test and validation images, as far as there are any, write the record, and turn to the next epoch."""
    images, labels = dataset.train_images, dataset.train_labels
    test = _evaluate(state, graph, ops, dataset.test_images, dataset.test_labels)
    validation = _evaluate(state, graph, ops, images[held_out], labels[held_out])
    # The last update has no next step to show what it did: without other images, some of those trained on do.
    few = slice(0, 0 if test or validation else state.settings.batch_size)
    training = _evaluate(state, graph, ops, images[few], labels[few])
    for name, seen in (("test", test), ("validation", validation), ("training", training)):
        if seen is not None and not math.isfinite(seen.loss):
            raise TrainingError(_diverged(state, state.step, f"the {name} loss is {seen.loss}", learning_rate))
    clock.add(state, 0)
    record = EpochRecord(
        epoch=state.epoch + 1,
        learning_rate=learning_rate,
        loss=state.loss_sum / trained_on,
        accuracy=state.correct / trained_on,
        test_loss=test.loss if test else None,
        test_accuracy=test.accuracy if test else None,
        seconds=round(state.seconds, 3),
        images_per_second=round(clock.images_per_second, 1),
        validation_loss=validation.loss if validation else None,
        validation_accuracy=validation.accuracy if validation else None,
    )
    state.history.append(record)
    state.epoch, state.batch, state.loss_sum, state.correct, state.seconds = state.epoch + 1, 0, 0.0, 0, 0.0
    state.steps_read = 0
    return EpochDone(record, best=_keep_best(state, ops, validation))


def _keep_best(state: State, ops: Ops, validation: Evaluation | None) -> bool:
    if validation is None:
        return True
    if validation.loss < state.best_loss:
        state.best_loss, state.best_epoch = validation.loss, state.epoch
        state.best = {name: ops.to_host(array).copy() for name, array in state.parameters.items()}
        return True
    return False


def _evaluate(
    state: State, graph: Graph, ops: Ops, images: NDArray[np.uint8], labels: NDArray[np.integer[Any]]
) -> Evaluation | None:
    """What the network makes of images; None of none."""
    return evaluate(predict(graph, ops, state.parameters, images), labels) if len(images) else None


def _split(count: int, settings: Settings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices to train on and indices held out, in a random division that depends on the seed alone."""
    held_out = round(count * settings.validation)
    if count - held_out < 1 or (settings.validation and not held_out):
        raise TrainingError(
            f"{count} training images cannot be divided with validation {settings.validation:g}: "
            f"{count - held_out} to train on, {held_out} held out. Use more images, or another share"
        )
    if not held_out:
        return np.arange(count), np.arange(0)
    order = _generator(settings.seed, VALIDATION_STREAM, 0).permutation(count)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def _permutation(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of images in an epoch: a function of seed and epoch, so there is no generator whose state a checkpoint could lose."""
    return _generator(seed, SHUFFLE_STREAM, epoch).permutation(count)


def _generator(seed: int, stream: int, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, stream, number])


class _Clock:
    """Time and speed. The first step, which may compile kernels, does not count for the speed."""

    READ_EVERY = 0.2
    """Seconds between two looks at the losses of an asynchronous device: as often as people can follow."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._seconds = 0.0
        self._images = 0
        self._warm = False
        self._first = 0.0
        self._last_read = -math.inf

    def add(self, state: State, images: int) -> None:
        """Add the time since the last call to the state, and ``images`` trained on in it (0: none, so none of the speed's business)."""
        now = time.perf_counter()
        elapsed, self._last = now - self._last, now
        state.seconds += elapsed
        if images and self._warm:
            self._seconds += elapsed
            self._images += images
        elif images and not self._images:
            self._first = images / max(elapsed, 1e-9)
        self._warm = True

    def read_is_due(self) -> bool:
        """Whether it is a while since this was last true."""
        if self._last - self._last_read < self.READ_EVERY:
            return False
        self._last_read = self._last
        return True

    @property
    def images_per_second(self) -> float:
        """Of the steps since this process began to train."""
        return self._images / self._seconds if self._seconds else self._first
