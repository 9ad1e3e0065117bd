"""A training run in small, for its side effect: every kernel that the real one will need is compiled, and cached."""

import numpy as np

from numbacnn.datasets import Dataset
from numbacnn.graph import Graph, without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.network import predict, to_device
from numbacnn.ops import Ops
from numbacnn.training.loop import train
from numbacnn.training.settings import Settings
from numbacnn.training.state import new_state

IMAGES = 16
"""A batch large enough for the device to compute it as it does larger ones."""


def rehearse(graph: Graph, settings: Settings, ops: Ops) -> None:
    """Train for one step on random images, and predict many images and a single one. What is no classifier only predicts."""
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, *graph.input_shape), np.uint8)
    if len(graph.output_shape) > 1:
        predict(graph, ops, to_device(ops, initial_parameters(graph, 0)), images)
        return
    classes = graph.output_shape[0]
    labels = (np.arange(IMAGES) % classes).astype(np.uint8)
    names = tuple(str(k) for k in range(classes))
    # At a learning rate of next to nothing: random images must not make a loss that is not finite.
    careful = Settings.from_dict(settings.to_dict() | {"epochs": 1, "batch_size": IMAGES, "learning_rate": 1e-9})
    state = new_state(graph, careful, ops)
    for _ in train(state, Dataset("rehearsal", images, labels, images, labels, names, "random numbers"), ops):
        pass
    predict(without_softmax(graph), ops, state.parameters, images[:1])
