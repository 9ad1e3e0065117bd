"""A short training run on random images: it compiles and caches every kernel that the real run needs."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from numbacnn.datasets import Dataset
from numbacnn.graph import Graph, without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.layers import Context
from numbacnn.layers.planned import PlannedConv2D
from numbacnn.memory import activation_bytes, check_batch, check_parameters, drawing_bytes, largest_batch
from numbacnn.network import to_device
from numbacnn.normalisation import PIXEL_SCALE
from numbacnn.ops import Ops
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.plan import PlannedLayer, make_plan
from numbacnn.prediction import predict, prepare_kernels
from numbacnn.shapes import cells
from numbacnn.training.loop import train
from numbacnn.training.settings import Settings
from numbacnn.training.state import new_state
from numbacnn.values import Array, Augmentation, AugmentKey, Update

IMAGES = 16
"""A batch that a device computes with the kernels of larger ones, unless its kernels depend on the size."""


def warm_up(graph: Graph, settings: Settings, ops: Ops) -> None:
    """Train for a few steps on random images, then predict many images and a single one. A network without classes only predicts."""
    images_at_once = warmup_batch(graph, ops)
    batch_size = settings.batch_size if ops.kernels_depend_on_batch else images_at_once
    count = max(batch_size, ops.inference_batch) if ops.kernels_depend_on_batch else images_at_once
    images = np.random.default_rng(0).integers(0, 256, (count, *graph.input_shape), np.uint8)
    if len(graph.output_shape) > 1:
        predict(graph, ops, to_device(ops, initial_parameters(graph, 0)), images)
        return
    classes = graph.output_shape[0]
    labels = (np.arange(count) % classes).astype(np.int64)
    names = tuple(str(k) for k in range(classes))
    # The learning rate is tiny: random images must not lead to a loss that is not finite.
    tiny_steps = Settings.from_dict(settings.to_dict() | {"epochs": 1, "batch_size": batch_size, "learning_rate": 1e-9})
    state = new_state(graph, tiny_steps, ops)
    for _ in train(state, Dataset("warmup", images, labels, images, labels, names, "random numbers"), ops):
        pass
    predict(without_softmax(graph), ops, state.parameters, images[:1])


def warmup_batch(graph: Graph, ops: Ops) -> int:
    """The images of a step of a warm-up: ``IMAGES``, or as many as there may be memory for.

    Raises:
        DeviceMemoryError: not even one image fits; nothing was allocated.
    """
    held = ops.held_memory()
    if held is None:
        return IMAGES
    check_parameters(graph, drawing_bytes(graph))
    one = activation_bytes(graph, make_plan(graph, ops.can_fuse), 1, training=True)
    fits = largest_batch(one, IMAGES, held)
    check_batch(graph, one, fits or 1, held)
    return fits


class WarmupPart(NamedTuple):
    """The part of a warm-up that one process does.

    Args:
        graph: the network.
        layers: names of planned layers; none for the two ends of the network, pixels to numbers and logits to a loss.
    """

    graph: Graph
    layers: tuple[str, ...]


def warmup_parts(graph: Graph, ops: Ops) -> list[WarmupPart]:
    """Parts that share few kernels, the longest first: one for each convolution, and one for each other kind of layer."""
    kinds: dict[object, list[str]] = defaultdict(list)
    plan = make_plan(without_softmax(graph), ops.can_fuse)
    for each in plan:
        kinds[each.name if isinstance(each.layer, PlannedConv2D) else type(each.layer)].append(each.name)
    weights = {each.name: sum(cells(graph.parameters[name].shape) for _, name in each.parameters) for each in plan}
    found = [WarmupPart(graph, tuple(names)) for names in kinds.values()]
    return [*sorted(found, key=lambda part: -sum(weights[name] for name in part.layers)), WarmupPart(graph, ())]


def warm_up_part(part: WarmupPart, settings: Settings, ops: Ops) -> None:
    """Run a part on random numbers, as in training and as in the prediction of a single image."""
    graph = without_softmax(part.graph)
    for each in make_plan(graph, ops.can_fuse):
        if each.name in part.layers:
            _warm_up_layer(graph, each, settings, ops)
    if not part.layers:
        _warm_up_ends(graph, settings, ops)


def _warm_up_ends(graph: Graph, settings: Settings, ops: Ops) -> None:
    count, shape = warmup_batch(graph, ops), graph.input_shape
    indices = np.arange(count)
    x = ops.gather_images(ops.asarray(np.zeros((count, *shape), np.uint8)), ops.asarray(indices), PIXEL_SCALE)
    if settings.augment:
        ops.augment(x, Augmentation(), AugmentKey(settings.seed, 0))
    if len(graph.output_shape) == 1:
        ops.softmax_cross_entropy(ops.asarray(np.zeros((count, *graph.output_shape), np.float32)), ops.asarray(0 * indices))


def _warm_up_layer(graph: Graph, planned: PlannedLayer, settings: Settings, ops: Ops) -> None:
    generator, count = np.random.default_rng(0), warmup_batch(graph, ops)

    def numbers(shape: tuple[int, ...]) -> Array:
        return ops.asarray(generator.random(shape, np.float32))

    specs = {key: graph.parameters[name] for key, name in planned.parameters}
    own = {key: numbers(spec.shape) for key, spec in specs.items()}
    shapes = [graph.shapes[name] for name in planned.inputs]
    single = [numbers((1, *shape)) for shape in shapes]
    planned.layer.forward(ops, prepare_kernels(ops, specs, own), single, Context(training=False))
    result = planned.layer.forward(ops, own, [numbers((count, *shape)) for shape in shapes], Context(training=True))
    for key, moving in result.updates.items():
        ops.moving_average_update(own[key], *moving)
    if not planned.has_gradient:
        return
    dy = numbers((count, *graph.shapes[planned.name]))
    gradients = planned.layer.backward(ops, own, result.cache, dy, planned.needs_dx).gradients
    optimizer = OPTIMIZERS[settings.optimizer]
    changes = [
        Update(own[key], [ops.zeros_like(own[key]) for _ in optimizer.slots], gradient) for key, gradient in gradients.items()
    ]
    ops.update_all(changes, optimizer.rule(settings.learning_rate, 1))
