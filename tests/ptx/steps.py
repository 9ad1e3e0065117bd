"""Training steps of presets on random images."""

from collections.abc import Iterator

import numpy as np

from numbacnn.datasets import DIGIT_NAMES, Dataset
from numbacnn.models import PRESETS
from numbacnn.ops import Ops
from numbacnn.training import Settings, State, new_state, train
from numbacnn.training.events import StepDone


def noise(count: int, shape: tuple[int, ...]) -> Dataset:
    """Random images and labels, the same ones each time."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, *shape), np.uint8)
    labels = generator.integers(0, 10, count).astype(np.uint8)
    return Dataset("noise", images, labels, images[:1], labels[:1], DIGIT_NAMES, "random numbers")


def steps_of(preset: str, batch_size: int, count: int, ops: Ops, *, augment: bool | None = None) -> Iterator[State]:
    """The state of a run by the preset's recipe: before the first step, and after each of ``count``.

    Args:
        augment: whether images are distorted; by default as in the recipe.
    """
    graph, recipe = PRESETS[preset].graph, PRESETS[preset].recipe
    distorts = recipe.augment if augment is None else augment
    settings = Settings(epochs=5, batch_size=batch_size, optimizer=recipe.optimizer, learning_rate=1e-3, augment=distorts)
    state = new_state(graph, settings, ops)
    yield state
    for event in train(state, noise(batch_size * count, graph.input_shape), ops):
        if isinstance(event, StepDone):
            yield state
            if state.step == count:
                return
