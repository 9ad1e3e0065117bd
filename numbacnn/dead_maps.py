"""Dead feature maps: those of a convolution that ReLU leaves 0 for every image. They cost time and tell nothing.

A filter whose bias has fallen so far that no image lifts it above 0 gets no gradient either: it stays as it is.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from numbacnn.graph import Graph, Node, without_softmax
from numbacnn.layers import Activation, BatchNorm, Conv2D, DepthwiseConv2D, MaxPool2D
from numbacnn.network import batches, trace
from numbacnn.normalisation import PIXELS, Normalisation
from numbacnn.ops import Ops
from numbacnn.prediction import Predictor
from numbacnn.values import Array

RECTIFIERS = ("relu", "relu6")
BATCH = 32
"""Images looked at together; most networks are known to be alive after the first batch."""


def dead_maps(
    graph: Graph,
    ops: Ops,
    parameters: Mapping[str, Array],
    images: NDArray,
    normalisation: Normalisation = PIXELS,
    batch_size: int = BATCH,
) -> dict[str, list[int]]:
    """The maps that are 0 everywhere in each of these images, after ReLU and, where it follows at once, max pooling.

    Args:
        parameters: the device's arrays, float32.
        images: (n, h, w, c), of the type that the network was trained on.
        batch_size: images looked at together.

    Raises:
        DeviceMemoryError: a single image takes more memory than there is. NotFiniteError: a parameter holds NaN or infinity.

    Returns:
        the numbers of the dead maps, from 0 on, by the name of every convolution that has a ReLU; an empty list where all are alive.
    """
    places = _rectified(graph)
    predictor = Predictor(
        without_softmax(graph), ops, parameters, normalisation
    )  # as an evaluation: no kernel is compiled for this alone
    device_images, indices = ops.asarray(images), ops.asarray(np.arange(len(images)))
    is_alive = {name: np.zeros(graph.shapes[name][-1], bool) for name in places}
    for part in batches(len(images), batch_size):
        if all(maps.all() for maps in is_alive.values()):
            break
        with ops.reuse_memory():
            x = ops.gather_images(device_images, indices[part], normalisation.scale)
            outputs = trace(predictor.graph, ops, predictor.parameters, x, fuse=True)
            for name, layers in places.items():
                output = next(outputs[layer] for layer in layers if layer in outputs)
                is_alive[name] |= ops.to_host(output).any(axis=(0, 1, 2))
    return {name: np.flatnonzero(~maps).tolist() for name, maps in is_alive.items()}


def _rectified(graph: Graph) -> dict[str, list[str]]:
    """For each convolution with a ReLU, the layers whose output shows its maps after it: a pooling too, which may be fused."""
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    only_reader = {name: node for node in graph.nodes for name in node.inputs if readers[name] == 1}
    found = {}
    for node in graph.nodes:
        if isinstance(node.layer, Conv2D | DepthwiseConv2D) and (last := _first_rectifier(node, only_reader)):
            pool = only_reader.get(last.name)
            is_pooled = pool is not None and isinstance(pool.layer, MaxPool2D)
            found[node.name] = [last.name, *([pool.name] if pool is not None and is_pooled else [])]
    return found


def _first_rectifier(node: Node, only_reader: Mapping[str, Node]) -> Node | None:
    """The layer that rectifies the maps of a convolution: itself, or one after it that changes each map by itself."""
    while getattr(node.layer, "activation", None) not in RECTIFIERS:
        following = only_reader.get(node.name)
        if getattr(node.layer, "activation", None) is not None or following is None:
            return None
        if not isinstance(following.layer, BatchNorm | MaxPool2D | Activation):
            return None
        node = following
    return node
