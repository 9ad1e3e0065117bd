"""The story of the lecture in one table: each network improves on the one before it.

Source: the lecture's slides "Some Improvement (1/5)" to "Some Improvement (5/5)", "Convolutional Neural Network (CNN)" and
"CNN in TensorFlow (7/7)".
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from numbacnn.datasets import Dataset
from numbacnn.lecture.contenders import Contender, Watch, command, quietly, train_contender
from numbacnn.models import PRESETS
from numbacnn.ops import Ops

RUNGS = {
    "softmax": "one layer, SGD",
    "sigmoid5-sgd": "five layers with sigmoid, SGD",
    "sigmoid5": "He's initial weights, Adam",
    "relu5": "ReLU in place of sigmoid",
    "dense128": "dropout, a rate that decays",
    "small": "convolution and pooling",
    "cnn": "the lecture's CNN",
}
"""The presets of the lecture's story, in its order, with what is new in each."""

CLEARLY_MORE = 1.5
"""Mistakes of the first network for one of the best, from which on they are counted."""

STALLED = 0.005
"""A network whose accuracy is at most this much above the share of the most frequent class has learnt nothing."""


class Rung(NamedTuple):
    """One network of the ladder.

    Args:
        rung: what is new in it.
        model: name of its preset.
        parameters: their number.
        accuracy: on the test images, a fraction; the mean over the seeds.
        spread: the highest accuracy less the lowest; None with one seed.
        seconds: of its epochs; the mean over the seeds.
        seeds: their number, from seed 0 on.
        command: the command line that repeats it, with seed 0.
    """

    rung: str
    model: str
    parameters: int
    accuracy: float
    spread: float | None
    seconds: float
    seeds: int
    command: str


def climb(
    contenders: Sequence[Contender],
    dataset: Dataset,
    ops: Ops,
    *,
    epochs: int = 3,
    seeds: int = 1,
    options: Mapping[str, object] | None = None,
    watch: Watch = quietly,
) -> Iterator[Rung]:
    """Train one network after the other, each by its own recipe but for the epochs, with the seeds 0...seeds-1.

    Args:
        options: of ``numbacnn train``, for the commands; see ``contenders.command``.
        watch: shows the trainings.

    Raises:
        TrainingError, ModelError, ShapeError, DataError: as for ``training.train``.
    """
    for each in contenders:
        results = [train_contender(each, dataset, ops, epochs, seed, watch, _note(seed, seeds)) for seed in range(seeds)]
        accuracies = [result.accuracy for result in results]
        yield Rung(
            rung=RUNGS.get(each.name, PRESETS[each.name].summary),
            model=each.name,
            parameters=each.parameters,
            accuracy=sum(accuracies) / seeds,
            spread=max(accuracies) - min(accuracies) if seeds > 1 else None,
            seconds=sum(result.seconds for result in results) / seeds,
            seeds=seeds,
            command=command(each.name, epochs, options=options),
        )


def _note(seed: int, seeds: int) -> str:
    return f"seed {seed}" if seeds > 1 else ""


def remarks(rungs: Sequence[Rung], dataset: Dataset) -> list[str]:
    """What the figures say: a network that has learnt nothing, and each that falls behind the one before it."""
    counts = np.bincount(dataset.test_labels.astype(np.int64), minlength=len(dataset.class_names))
    share, name = counts.max() / counts.sum(), dataset.class_names[int(counts.argmax())]
    found = []
    for rung in rungs:
        if rung.accuracy <= share + STALLED:
            found.append(
                f"{rung.model} has learnt nothing: {share:.2%} is what answering {name} to every image gives. "
                f"{_cure(rung, rungs)}".strip()
            )
    climbed = [rung for rung in rungs if rung.accuracy > share + STALLED]
    for before, after in pairwise(climbed):
        if after.accuracy < before.accuracy:
            found.append(f"{after.model} is {100 * (before.accuracy - after.accuracy):.2f} points behind {before.model}.")
    if len(climbed) > 1:
        first, best = climbed[0], max(climbed, key=lambda rung: rung.accuracy)
        mistakes = (1 - first.accuracy) / max(1 - best.accuracy, 1e-9)
        if mistakes >= CLEARLY_MORE:
            found.append(f"{best.model} makes one mistake where {first.model} makes {mistakes:.1f}.")
    return found


def _cure(rung: Rung, rungs: Sequence[Rung]) -> str:
    """For the slide's own network of sigmoids: the rung whose initial weights and optimiser mend it."""
    cured = next((each for each in rungs if rung.model == "sigmoid5-sgd" and each.model == "sigmoid5"), None)
    return "" if cured is None else f"The same layers with He's initial weights and Adam reach {cured.accuracy:.2%}."
