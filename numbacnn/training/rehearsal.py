"""A training run in small, for its side effect: every kernel that the real one will need is compiled, and cached."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from numbacnn.datasets import Dataset
from numbacnn.graph import Graph, without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.layers import Context
from numbacnn.layers.fused import PooledConv2D
from numbacnn.network import PIXEL_SCALE, to_device
from numbacnn.ops import Ops
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.plan import Step, make_plan
from numbacnn.prediction import freeze_weights, predict
from numbacnn.shapes import cells
from numbacnn.training.loop import train
from numbacnn.training.settings import Settings
from numbacnn.training.state import new_state
from numbacnn.values import Array, Augmentation, AugmentKey

IMAGES = 16
"""Enough for a device to compute them as it does larger batches, unless its kernels depend on the size."""


def rehearse(graph: Graph, settings: Settings, ops: Ops) -> None:
    """Train for a step or a few on random images, and predict many and a single one. What is no classifier only predicts."""
    batch_size = settings.batch_size if ops.kernels_depend_on_batch else IMAGES
    count = max(batch_size, ops.inference_batch) if ops.kernels_depend_on_batch else IMAGES
    images = np.random.default_rng(0).integers(0, 256, (count, *graph.input_shape), np.uint8)
    if len(graph.output_shape) > 1:
        predict(graph, ops, to_device(ops, initial_parameters(graph, 0)), images)
        return
    classes = graph.output_shape[0]
    labels = np.arange(count) % classes
    names = tuple(str(k) for k in range(classes))
    # At a learning rate of next to nothing: random images must not make a loss that is not finite.
    careful = Settings.from_dict(settings.to_dict() | {"epochs": 1, "batch_size": batch_size, "learning_rate": 1e-9})
    state = new_state(graph, careful, ops)
    for _ in train(state, Dataset("rehearsal", images, labels, images, labels, names, "random numbers"), ops):
        pass
    predict(without_softmax(graph), ops, state.parameters, images[:1])


class Part(NamedTuple):
    """A share of what ``rehearse`` compiles, for a process of its own: the steps of a plan that are named, or, if none is, its two
    ends, from pixels to numbers and from logits to a loss."""

    graph: Graph
    steps: tuple[str, ...]


def parts(graph: Graph) -> list[Part]:
    """Parts that share few kernels, those that take longest first: each convolution, and for the other layers each kind of them."""
    kinds: dict[object, list[str]] = defaultdict(list)
    plan = make_plan(without_softmax(graph))
    for step in plan:
        convolves = isinstance(step.layer, PooledConv2D) or step.layer.label == "conv"
        kinds[step.name if convolves else type(step.layer)].append(step.name)
    weights = {step.name: sum(cells(graph.parameters[name].shape) for _, name in step.parameters) for step in plan}
    found = [Part(graph, tuple(names)) for names in kinds.values()]
    return [*sorted(found, key=lambda part: -sum(weights[name] for name in part.steps)), Part(graph, ())]


def rehearse_part(part: Part, settings: Settings, ops: Ops) -> None:
    """Run a part on random numbers: as in training, and as in prediction, on a single image."""
    graph = without_softmax(part.graph)
    for step in make_plan(graph):
        if step.name in part.steps:
            _rehearse_step(graph, step, settings, ops)
    if not part.steps:
        _rehearse_ends(graph, settings, ops)


def _rehearse_ends(graph: Graph, settings: Settings, ops: Ops) -> None:
    places, shape = np.arange(IMAGES), graph.input_shape
    x = ops.gather_images(ops.asarray(np.zeros((IMAGES, *shape), np.uint8)), ops.asarray(places), PIXEL_SCALE)
    if settings.augment:
        ops.augment(x, Augmentation(), AugmentKey(settings.seed, 0))
    if len(graph.output_shape) == 1:
        ops.softmax_cross_entropy(ops.asarray(np.zeros((IMAGES, *graph.output_shape), np.float32)), ops.asarray(0 * places))


def _rehearse_step(graph: Graph, step: Step, settings: Settings, ops: Ops) -> None:
    draws = np.random.default_rng(0)

    def numbers(shape: tuple[int, ...]) -> Array:
        return ops.asarray(draws.random(shape, np.float32))

    own = {key: numbers(graph.parameters[name].shape) for key, name in step.parameters}
    shapes = [graph.shapes[name] for name in step.inputs]
    step.layer.forward(ops, freeze_weights(ops, own), [numbers((1, *shape)) for shape in shapes], Context(training=False))
    passed = step.layer.forward(ops, own, [numbers((IMAGES, *shape)) for shape in shapes], Context(training=True))
    for key, moving in passed.updates.items():
        ops.moving_average_update(own[key], *moving)
    if not step.has_gradient:
        return
    dy = numbers((IMAGES, *graph.shapes[step.name]))
    _, gradients = step.layer.backward(ops, own, passed.cache, dy, step.needs_dx)
    optimizer = OPTIMIZERS[settings.optimizer]
    for key, gradient in gradients.items():
        slots = [ops.zeros_like(own[key]) for _ in optimizer.slots]
        ops.update(own[key], slots, gradient, optimizer.rule(settings.learning_rate, 1))
