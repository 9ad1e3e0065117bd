"""Dense networks and convolutional ones on images that are turned, lit, bent, scaled and seen from aside; and on shuffled pixels.

Source: the lecture's slides "Vanilla Deep Neural Networks Challenges (1/2)" (flattening discards the shape of an image) and
"Vanilla Deep Neural Networks Challenges (2/2)" (the five difficulties).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.datasets import Dataset
from numbacnn.lecture.contenders import Contender, Watch, quietly, train_contender
from numbacnn.lecture.perturbations import FAMILIES, permuted
from numbacnn.net import Net
from numbacnn.ops import Ops

UNCHANGED = "none"
"""The family of the images as they are."""

PERMUTATION_SEED = 784
"""Of the order in which the pixels of every image are written anew."""

SURE = 2.0
"""Standard errors of a difference of two accuracies from which on one network is said to be ahead."""


class Challenge(NamedTuple):
    """One change of the test images, and the accuracy of each network on them: a fraction, the mean over the seeds.

    Args:
        family: a name in ``perturbations.FAMILIES``, or ``UNCHANGED``.
        strength: in the family's unit.
    """

    family: str
    strength: float
    accuracy: dict[str, float]


class Permutation(NamedTuple):
    """The accuracy of a network trained on the images, and of one trained and tested on the images with their pixels permuted."""

    before: float
    after: float


class Challenges(NamedTuple):
    """The whole contest.

    Args:
        models: names of the networks.
        families: a row for each change, the unchanged images first.
        permutation: by the network's name; a network that has not been trained on permuted pixels yet is left out.
        images: number of test images.
        seeds: number of trainings of each network.
    """

    models: tuple[str, ...]
    families: tuple[Challenge, ...]
    permutation: dict[str, Permutation]
    images: int
    seeds: int

    def curve(self, family: str, model: str) -> list[float]:
        """The accuracy of a network at each strength of ``FAMILIES[family].curve()``."""
        measured = {row.strength: row.accuracy[model] for row in self.families if row.family == family}
        measured[FAMILIES[family].neutral] = self.families[0].accuracy[model]
        return [measured[strength] for strength in FAMILIES[family].curve()]


def contest(
    contenders: Sequence[Contender],
    dataset: Dataset,
    ops: Ops,
    *,
    epochs: int = 3,
    seeds: int = 1,
    watch: Watch = quietly,
) -> Iterator[Challenges]:
    """Train each network, by its own recipe but for the epochs, on unchanged images, measure it on changed test images, and train it
    anew on images with their pixels permuted.

    Yields:
        what is known so far, twice for each network: before and after it is trained on permuted pixels. The last one is the whole contest.

    Raises:
        TrainingError, ModelError, ShapeError, DataError: as for ``training.train``.
    """
    shuffled = with_permuted_pixels(dataset)
    accuracies: dict[tuple[str, float], dict[str, float]] = {(UNCHANGED, 0): {}}
    permutation: dict[str, Permutation] = {}

    def so_far() -> Challenges:
        rows = tuple(Challenge(*change, dict(measured)) for change, measured in accuracies.items())
        return Challenges(tuple(rows[0].accuracy), rows, dict(permutation), len(dataset.test_images), seeds)

    for each in contenders:
        plain = [train_contender(each, dataset, ops, epochs, seed, watch, f"seed {seed}") for seed in range(seeds)]
        before = _mean([result.accuracy for result in plain])
        measured = {(UNCHANGED, 0.0): before}
        for name, family in FAMILIES.items():
            for strength in family.strengths:
                images = family.change(dataset.test_images, strength)
                measured[name, strength] = _mean([_accuracy(result.net, images, dataset) for result in plain])
        for change, accuracy in measured.items():
            accuracies.setdefault(change, {})[each.name] = accuracy
        yield so_far()
        note = "permuted pixels, seed {}"
        anew = [train_contender(each, shuffled, ops, epochs, seed, watch, note.format(seed)) for seed in range(seeds)]
        permutation[each.name] = Permutation(before, _mean([result.accuracy for result in anew]))
        yield so_far()


def with_permuted_pixels(dataset: Dataset) -> Dataset:
    """The data set with the pixels of every image rearranged in one and the same way."""
    height, width = dataset.train_images.shape[1:3]
    order = np.random.default_rng(PERMUTATION_SEED).permutation(height * width)
    return replace(
        dataset,
        train_images=permuted(dataset.train_images, order),
        test_images=permuted(dataset.test_images, order),
        validation_images=None if dataset.validation_images is None else permuted(dataset.validation_images, order),
    )


def ahead(row: Challenge, images: int) -> str | None:
    """The network that is ahead of all others by more than chance would have it; None if there is none.

    Args:
        images: number of test images; the accuracies are taken for independent, which makes the test a cautious one.
    """
    first, second = sorted(row.accuracy, key=lambda model: -row.accuracy[model])[:2]
    high, low = row.accuracy[first], row.accuracy[second]
    error = math.sqrt((high * (1 - high) + low * (1 - low)) / images)
    return first if high - low > SURE * error else None


def verdict(found: Challenges) -> list[str]:
    """Where each network is ahead, in a line for each; a family in which the lead changes is named with its strengths.

    Of a single network there is nothing to say.
    """
    lines: list[str] = []
    if len(found.models) < 2:
        return lines
    for model in found.models:
        won = {name: _won(found, name, model) for name in FAMILIES}
        words = [
            name if len(strengths) == len(FAMILIES[name].strengths) else f"{name} {_listed(strengths)}"
            for name, strengths in won.items()
            if strengths
        ]
        lines.append(f"{model} is ahead at {', '.join(words)}." if words else f"{model} is ahead nowhere.")
    return lines


def _won(found: Challenges, family: str, model: str) -> list[float]:
    rows = (row for row in found.families if row.family == family)
    return [row.strength for row in rows if ahead(row, found.images * found.seeds) == model]


def _listed(strengths: Sequence[float]) -> str:
    return "/".join(f"{strength:g}" for strength in strengths)


def _accuracy(net: Net, images: NDArray[np.uint8], dataset: Dataset) -> float:
    return net.evaluate(images, dataset.test_labels)["accuracy"]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
