"""Predictions of a trained network: images in, logits out."""

from collections.abc import Mapping
from traceback import clear_frames
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.datasets.checks import check_images
from numbacnn.errors import DeviceMemoryError, NotFiniteError
from numbacnn.finite import check_finite, first_layer_that_is_not_finite, is_finite
from numbacnn.graph import Graph
from numbacnn.layers import ParameterSpec
from numbacnn.memory import activation_bytes, check_batch, largest_batch
from numbacnn.network import forward, take_parameters
from numbacnn.normalisation import PIXELS, Normalisation
from numbacnn.ops import Ops
from numbacnn.plan import make_plan
from numbacnn.quoting import plain
from numbacnn.values import Array


class Prediction(NamedTuple):
    """A network's answer to n images: logits, floats (n, classes), on the host."""

    logits: NDArray

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the logits, (n, classes)."""
        exponentials = np.exp(self._shifted())
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def losses(self, labels: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Cross-entropy of each image, -log(probability of its label), (n,); ``labels`` must be classes."""
        shifted = self._shifted()
        return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]

    def _shifted(self) -> NDArray[np.float64]:
        """The logits less the largest of each image: softmax stays the same, and no exponential overflows."""
        logits = self.logits.astype(np.float64)
        return logits - logits.max(axis=1, keepdims=True)


def prepare_kernels(ops: Ops, specs: Mapping[str, ParameterSpec], parameters: Mapping[str, Array]) -> dict[str, Any]:
    """The parameters by the names of their specs, each in the device's own form where its spec allows that."""
    return {
        name: ops.prepare_weights(parameters[name]) if spec.can_be_prepared else parameters[name] for name, spec in specs.items()
    }


class Predictor:
    """A network ready for many predictions: a device prepares its weights once.

    Args:
        graph: up to its logits; see ``without_softmax``.
        ops: the device.
        parameters: the device's arrays by ``<layer>/<parameter>``, float32. They must not change while the predictor is in use.
        normalisation: of the images that the network was trained on.

    Raises:
        ModelError, ShapeError, DataError: a parameter of the graph is missing, or of another shape or type.
        DeviceMemoryError: a single image takes more memory than there is.
        NotFiniteError: a parameter holds NaN or infinity.

    >>> predictor = Predictor(graph, ops, to_device(ops, parameters))
    >>> predictor(images).probabilities
    """

    def __init__(self, graph: Graph, ops: Ops, parameters: Mapping[str, Array], normalisation: Normalisation = PIXELS) -> None:
        self.graph, self.ops, self.normalisation = graph, ops, normalisation
        self._image_bytes = activation_bytes(graph, make_plan(graph, ops.can_fuse), 1, training=False)
        self._batch_size(1)
        self._taken = take_parameters(graph, ops, parameters, np.dtype(np.float32))
        check_finite(ops, self._taken, graph.parameters)
        self.parameters = prepare_kernels(ops, graph.parameters, self._taken)
        self._pace = ops.new_pace()

    def __call__(self, images: NDArray) -> Prediction:
        """The logits of images (n, h, w, c) of any number: uint8, or floats for a network trained on numbers.

        The batch is the device's, or smaller where its memory is short: the logits are the same, up to rounding.

        Raises:
            DataError, ShapeError: they are not of the type that the network was trained on, or not of the shape that the graph takes.
            NotFiniteError: a layer's outputs are beyond float32, so that there is no answer.
        """
        ops, images = self.ops, check_images("images", images, self.graph.input_shape, self.normalisation)
        device_images, indices = ops.asarray(images), ops.asarray(np.arange(len(images)))
        parts, done, size = [], 0, self._batch_size(min(ops.inference_batch, len(images)))
        while done < len(images):
            try:
                parts.append(self._logits(device_images, indices[done : done + size]))
                done += len(parts[-1])
            except DeviceMemoryError as error:
                if size == 1:
                    raise
                clear_frames(error.__traceback__)  # its frames hold arrays of the batch that did not fit
                size //= 2
                ops.release_memory()
        logits = np.concatenate(parts) if parts else np.zeros((0, *self.graph.output_shape), np.float32)
        if not is_finite(logits):
            is_answered = np.isfinite(logits.reshape(len(logits), -1)).all(axis=1)  # maps, of a network without classes
            self._explain(device_images, int(np.argmin(is_answered)))
        return Prediction(logits)

    def _explain(self, images: Array, index: int) -> None:
        """Raise the error of an image whose logits are not finite, with the layer where that begins."""
        with self.ops.reuse_memory():
            x = self.ops.gather_images(images, self.ops.asarray(np.array([index])), self.normalisation.scale)
            where = first_layer_that_is_not_finite(self.graph, self.ops, self._taken, x)
        raise NotFiniteError(
            f"{plain(self.graph.name)}: expected finite logits, got others for image {index}"
            f"{f'. First is {where}' if where else ''}. Train it again, with a lower learning rate",
            where,
            index,
        )

    def _batch_size(self, most: int) -> int:
        """The images that the device may have memory for at once, at most ``most``; a GPU finds out by trying."""
        held = self.ops.held_memory()
        if held is None:
            return most
        fits = largest_batch(self._image_bytes, most, held)
        if most and not fits:
            check_batch(self.graph, self._image_bytes, 1, held)
        return fits

    def _logits(self, images: Array, indices: Array) -> NDArray:
        with self._pace.step(len(indices)), self.ops.reuse_memory():
            x = self.ops.gather_images(images, indices, self.normalisation.scale)
            return self.ops.to_host(forward(self.graph, self.ops, self.parameters, x).y).copy()


def predict(
    graph: Graph, ops: Ops, parameters: Mapping[str, Array], images: NDArray, normalisation: Normalisation = PIXELS
) -> Prediction:
    """The logits of images, by a ``Predictor`` for one call; it raises the same errors."""
    return Predictor(graph, ops, parameters, normalisation)(images)
