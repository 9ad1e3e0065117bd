"""The true trace: an image goes through a network, and every layer's output is kept and described."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn import memory
from numbacnn.graph import INPUT, Graph
from numbacnn.network import trace
from numbacnn.prediction import Predictor
from numbacnn.quoting import plain
from numbacnn.shapes import cells
from numbacnn.summary import FLOAT_BYTES, IMAGE_AXES


class LayerTrace(NamedTuple):
    """The output of one layer for one image.

    Args:
        name: of the layer.
        values: float32 (height, width, maps), or (units,).
        min, mean, max: of all values.
        zero_share: the share of values that are exactly 0.
        maps: number of feature maps, or of units.
        maps_alive: the maps with a value that is not 0.
    """

    name: str
    values: NDArray[np.float32]
    min: float
    mean: float
    max: float
    zero_share: float
    maps: int
    maps_alive: int

    @property
    def has_maps(self) -> bool:
        """Whether it has rows and columns."""
        return self.values.ndim == IMAGE_AXES

    def numbers(self) -> dict[str, float | int]:
        """All but its name and values, by name."""
        return {name: value for name, value in self._asdict().items() if name not in ("name", "values")}

    def most_active(self, count: int) -> list[int]:
        """The maps of the largest mean size, at most ``count``, in their own order."""
        activity = np.abs(self.values.reshape(-1, self.maps)).mean(axis=0)
        return sorted(np.argsort(-activity, kind="stable")[:count].tolist())


class Trace(NamedTuple):
    """One image on its way through a network.

    Args:
        layers: in the graph's order.
        probabilities: of each class, float64 (classes,): those of a prediction; None if the network has no classes.
        x: the image as the first layer reads it, float32 (height, width, channels).
    """

    layers: tuple[LayerTrace, ...]
    probabilities: NDArray[np.float64] | None
    x: NDArray[np.float32]

    @property
    def outputs(self) -> dict[str, NDArray[np.float32]]:
        """The values of each layer, by its name, and before them x, as ``graph.INPUT``."""
        return {INPUT: self.x} | {layer.name: layer.values for layer in self.layers}

    def layer(self, name: str) -> LayerTrace:
        """The layer of this name, which there must be."""
        return next(layer for layer in self.layers if layer.name == name)


def trace_image(graph: Graph, predictor: Predictor, image: NDArray) -> Trace:
    """Let one image through a network, and keep what each layer makes of it.

    Args:
        graph: the network with its softmax, whose values are the probabilities.
        predictor: of the network.
        image: (height, width, channels), as the network was trained on.

    Raises:
        DataError, ShapeError, NotFiniteError: as for a prediction. DeviceMemoryError: all outputs together take too much memory.

    Source: the lecture's slide "CNN in TensorFlow (7/7)", whose shapes these are.
    """
    held = FLOAT_BYTES * sum(map(cells, graph.shapes.values()))
    memory.check(2 * held, f"{plain(graph.name)}: the outputs of all layers", "Use smaller images, or fewer filters or units")
    prediction = predictor(image[None])  # first, as it checks the image and the answer
    probabilities = prediction.probabilities[0] if prediction.logits.ndim == 2 else None
    ops = predictor.ops
    with ops.reuse_memory():
        x = ops.gather_images(ops.asarray(image[None]), ops.asarray(np.arange(1)), predictor.normalisation.scale)
        outputs = {name: ops.to_host(y)[0].copy() for name, y in trace(predictor.graph, ops, predictor.parameters, x).items()}
    if predictor.graph != graph and probabilities is not None:  # its last layer is a softmax
        outputs[graph.nodes[-1].name] = probabilities.astype(np.float32)
    layers = tuple(_described(name, values) for name, values in outputs.items() if name != INPUT)
    return Trace(layers, probabilities, outputs[INPUT])


def _described(name: str, values: NDArray[np.float32]) -> LayerTrace:
    maps = values.shape[-1]
    alive = int(np.count_nonzero(values.reshape(-1, maps).any(axis=0)))
    least, mean, most = float(values.min()), float(values.mean(dtype=np.float64)), float(values.max())
    return LayerTrace(name, values, least, mean, most, float(np.mean(values == 0)), maps, alive)
