"""A small network, images that it learns in milliseconds, and a training of it."""

from collections.abc import Callable

import numpy as np

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.checkpoint import weights_sha256
from numbacnn.datasets import Dataset
from numbacnn.graph import Graph
from numbacnn.training import Settings, State, train

SETTINGS = Settings(epochs=4, batch_size=20, learning_rate=0.01, lr_decay=0.9, seed=5)


def stripes(count: int = 130, test: int = 30, seed: int = 0) -> Dataset:
    """Three classes of 6x6 images: rows, columns and flat, with noise: easy to learn, in milliseconds."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count + test) % 3
    images = generator.integers(0, 60, (count + test, 6, 6, 1))
    images[labels == 0, ::2] += 150
    images[labels == 1, :, ::2] += 150
    images[labels == 2] += 75
    pixels, classes = images.astype(np.uint8), labels.astype(np.uint8)
    return Dataset(
        "stripes", pixels[:count], classes[:count], pixels[count:], classes[count:], ("rows", "columns", "flat"), "drawn here"
    )


def net() -> Graph:
    return nc.sequential(
        nc.Conv2D(4, 3, activation="relu", padding="same"),
        nc.BatchNorm(momentum=0.8),
        nc.MaxPool2D(),
        nc.Flatten(),
        nc.Dropout(0.2),
        nc.Dense(3, activation="softmax"),
        input_shape=(6, 6, 1),
        name="net",
    )


def run(state: State, dataset: Dataset, stop: Callable[[object], bool] = lambda event: False) -> list[object]:
    events = []
    for event in train(state, dataset, get_ops("cpu")):
        events.append(event)
        if stop(event):
            break
    return events


def sha(state: State) -> str:
    return weights_sha256(state.graph, state.parameters)
