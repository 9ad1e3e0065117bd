"""The end of an epoch: the network is evaluated, recorded and, if it is the best so far, kept."""

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn.datasets import Dataset
from numbacnn.errors import NotFiniteError
from numbacnn.finite import is_finite
from numbacnn.graph import Graph
from numbacnn.metrics import Evaluation, evaluate
from numbacnn.normalisation import Normalisation
from numbacnn.ops import Ops
from numbacnn.prediction import Prediction, predict
from numbacnn.training.clock import Clock
from numbacnn.training.divergence import diverged
from numbacnn.training.events import EpochDone, EpochRecord
from numbacnn.training.order import Held
from numbacnn.training.state import State


def finish_epoch(
    state: State,
    graph: Graph,
    ops: Ops,
    dataset: Dataset,
    held: Held,
    learning_rate: float,
    clock: Clock,
) -> EpochDone:
    """Evaluate the network on the test and validation images there are, record the epoch, and turn to the next one.

    Args:
        graph: the network up to its logits.
        held: the validation images.
        learning_rate: of the epoch.

    Raises:
        TrainingError: weights, logits or a loss are not finite.
    """
    images, labels = dataset.train_images, dataset.train_labels

    def evaluated(name: str, images: NDArray[Any], labels: NDArray[np.integer[Any]]) -> Evaluation | None:
        if not len(images):
            return None
        try:
            evaluation = evaluate(_predicted(graph, ops, state, images, dataset.normalisation), labels)
        except NotFiniteError as error:
            raise diverged(state, state.step, f"the {name} loss is not a finite number", error.where, learning_rate) from None
        if not math.isfinite(evaluation.loss):
            raise diverged(state, state.step, f"the {name} loss is {evaluation.loss}", None, learning_rate)
        return evaluation

    test = evaluated("test", dataset.test_images, dataset.test_labels)
    validation = evaluated("validation", *held)
    # The last update has no next step to show its effect: without other images, some training images do.
    few = slice(0, 0 if test or validation else state.settings.batch_size)
    evaluated("training", images[few], labels[few])
    state.seconds += clock.lap()
    trained_on = len(images) if dataset.validation_images is not None else len(images) - len(held.images)
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
    state.begin_next_epoch(record)
    return EpochDone(record, best=_keep_best(state, ops, validation))


def _predicted(graph: Graph, ops: Ops, state: State, images: NDArray[Any], normalisation: Normalisation) -> Prediction:
    """The logits of images, of which each rank computes a part."""
    ranks = ops.ranks
    cuts = ranks.cuts(len(images))
    counts = [stop - first for first, stop in itertools.pairwise(cuts)]
    try:
        own = predict(graph, ops, state.parameters, images[cuts[ranks.rank] : cuts[ranks.rank + 1]], normalisation).logits
    except NotFiniteError:
        if ranks.size == 1:
            raise
        own = np.full((counts[ranks.rank], *graph.output_shape), np.nan, np.float32)
    logits = ranks.gather(own, counts)
    if not is_finite(logits):  # on some rank: all of them raise the error
        return predict(graph, ops, state.parameters, images, normalisation)
    return Prediction(logits)


def _keep_best(state: State, ops: Ops, validation: Evaluation | None) -> bool:
    """Keep the parameters if no earlier epoch did better. Without validation images, the latest epoch counts as the best."""
    if validation is None:
        return True
    if validation.loss < state.best_loss:
        state.best_loss, state.best_epoch = validation.loss, state.epoch
        state.best = state.present_parameters(ops)
        return True
    return False
