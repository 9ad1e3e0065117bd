"""Networks that are trained to be compared: each as ``numbacnn train`` trains it, so that one command repeats it."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from numbacnn.datasets import Dataset
from numbacnn.errors import DataError, ModelError
from numbacnn.fitting import trained
from numbacnn.graph import Graph
from numbacnn.models import MNIST_SHAPE, PRESETS
from numbacnn.net import Net
from numbacnn.ops import Ops
from numbacnn.quoting import short
from numbacnn.recipe import Recipe
from numbacnn.spelling import did_you_mean
from numbacnn.summary import summarise
from numbacnn.training import Event, Settings, check_matches, new_state, train

CONTENDERS = [name for name, preset in PRESETS.items() if preset.graph.input_shape == MNIST_SHAPE]
"""Names of the presets that read MNIST's images."""


class Training(NamedTuple):
    """A training that is to begin.

    Args:
        name: of the preset.
        note: what sets it apart from others of the preset, in words; may be empty.
        graph, settings: of the network.
    """

    name: str
    note: str
    graph: Graph
    settings: Settings


Watch = Callable[[Training, Iterator[Event]], None]
"""Called with each training and its events, of which it must take all."""


def quietly(training: Training, events: Iterable[Event]) -> None:
    """A ``Watch`` that shows nothing."""
    for _ in events:
        pass


class Contender(NamedTuple):
    """A network, and how it is trained."""

    name: str
    graph: Graph
    recipe: Recipe

    @property
    def parameters(self) -> int:
        """Their number."""
        return summarise(self.graph).parameters

    def settings(self, epochs: int, seed: int) -> Settings:
        """Those of ``numbacnn train --model NAME --epochs EPOCHS --seed SEED``."""
        return Settings(**replace(self.recipe, epochs=epochs).to_dict(), seed=seed)


class Result(NamedTuple):
    """A trained network, its accuracy on the test images as a fraction, and the seconds that its epochs took."""

    net: Net
    accuracy: float
    seconds: float


def contender(name: str) -> Contender:
    """A preset that reads MNIST's images.

    Raises:
        ModelError: there is none of this name; the message lists those that there are.
    """
    if name not in CONTENDERS:
        raise ModelError(
            f"models: expected presets for images of 28x28, got {short(name)}.{did_you_mean(name, CONTENDERS)} "
            f"They are: {', '.join(CONTENDERS)}"
        )
    return Contender(name, PRESETS[name].graph, PRESETS[name].recipe)


def check_contest(contenders: Iterable[Contender], dataset: Dataset) -> None:
    """Raise before the first training if a network does not match a data set, or nothing would tell them apart.

    Raises:
        ModelError, ShapeError: a network does not match. DataError: there is no test image.
    """
    for each in contenders:
        check_matches(each.graph, dataset)
    if not len(dataset.test_images):
        raise DataError(f"{dataset.name}: expected test images, by which networks are compared, got none. Use another data set")


def train_contender(
    each: Contender, dataset: Dataset, ops: Ops, epochs: int, seed: int, watch: Watch = quietly, note: str = ""
) -> Result:
    """Train a network from the beginning.

    Raises:
        ModelError, ShapeError, DataError: as for ``check_contest``. TrainingError: its loss diverged, or there is nothing to train on.
    """
    check_contest([each], dataset)
    settings = each.settings(epochs, seed)
    state = new_state(each.graph, settings, ops)
    watch(Training(each.name, note, each.graph, settings), train(state, dataset, ops))
    kept = state.history[(state.best_epoch or len(state.history)) - 1]
    assert kept.test_accuracy is not None  # there are test images
    seconds = sum(record.seconds for record in state.history)
    return Result(trained(state, dataset, ops, dataset.pictures), kept.test_accuracy, seconds)


def command(name: str, epochs: int, seed: int = 0, options: Mapping[str, object] | None = None) -> str:
    """The command line that trains the same network.

    Args:
        options: further options by name; True stands for a flag, None and False for one that is left out.
    """
    words = ["numbacnn", "train", "--model", name, "--epochs", str(epochs)]
    for option, value in {"seed": seed or None, **(options or {})}.items():
        if value is not None and value is not False:
            words += [f"--{option}"] if value is True else [f"--{option}", str(value)]
    return shlex.join(words)
