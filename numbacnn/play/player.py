"""What the page shows, computed: no HTTP, no files, and no state but the last drawing."""

import base64
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.checkpoint import TrainedNetwork
from numbacnn.errors import DataError, ModelError
from numbacnn.features import hidden_layer
from numbacnn.inspection.tracing import LayerTrace, trace_image
from numbacnn.network import to_device
from numbacnn.normalisation import PIXELS
from numbacnn.ops import Ops
from numbacnn.picture_forms import PHOTOGRAPHS
from numbacnn.pictures import Picture, read_photograph, read_picture
from numbacnn.pictures.ready import png_bytes
from numbacnn.play.cells import told_cell
from numbacnn.play.distortions import NEUTRAL, SLIDERS, check_strengths, distort
from numbacnn.play.neighbours import Neighbours
from numbacnn.quoting import listed
from numbacnn.shapes import cells

DRAWING_SIDE = 280
"""Pixels of the longer side of the drawing, or the next multiple of the network's."""
MOST_SIDE = 1000
"""Pixels of a network's images; a larger drawing would be slow to send."""
MOST_SHOWN = 65_536
"""Values of one layer that are sent to the page."""


class Contestant(NamedTuple):
    """A trained network under the name that the page shows."""

    name: str
    network: TrainedNetwork


class Player:
    """One or two networks that look at a drawing.

    Args:
        contestants: the networks, the first of which finds the nearest training images. They take grey pixels of the same size.
        ops: the device. All calls must come from one thread.
        exact_ops: the device with direct summation, for the sum of a cell; a transform's rounding depends on all its inputs.
        neighbours: training images; None if there are none.
        about_neighbours: what they are, or the reason why there are none; ``{read}`` in it becomes the number that is read so far.
        command: the command line that reads a saved ``digit.png``.

    Raises:
        ModelError: a network does not take grey pixels, or the two do not answer the same question.
    """

    def __init__(
        self,
        contestants: Sequence[Contestant],
        ops: Ops,
        exact_ops: Ops,
        neighbours: Neighbours | None = None,
        about_neighbours: str = "",
        command: str = "numbacnn predict digit.png",
    ) -> None:
        for each in contestants:
            _check(each, contestants[0])
        self._contestants, self._exact_ops = tuple(contestants), exact_ops
        self._neighbours, self._about_neighbours, self._command = neighbours, about_neighbours, command
        self._first = first = contestants[0].network
        self._size = (first.graph.input_shape[0], first.graph.input_shape[1])
        scale = -(-DRAWING_SIDE // max(self._size))
        self.drawing_size = (self._size[0] * scale, self._size[1] * scale)
        """Height and width of a drawing, in pixels."""
        self._predictors = [each.network.predictor(ops) for each in contestants]
        self._parameters = [to_device(exact_ops, each.network.parameters) for each in contestants]
        self._last: tuple[bytes, Picture] | None = None

    def warm_up(self) -> None:
        """Answer once, so that all kernels are compiled and loaded."""
        height, width = self.drawing_size
        drawing = np.zeros(self.drawing_size, np.uint8)
        drawing[height // 4 : -(height // 4), width // 2 : width // 2 + max(width // 14, 1)] = 255
        self.answer(drawing.tobytes(), {})
        _, pixels = self._seen(drawing.tobytes(), {})
        for index, each in enumerate(self._contestants):
            graph = each.network.graph
            outputs = trace_image(graph, self._predictors[index], pixels).outputs
            for node in graph.nodes:
                cell = tuple(side // 2 for side in graph.shapes[node.name])
                told_cell(graph, self._exact_ops, self._parameters[index], outputs, node.name, cell)

    def about(self) -> dict[str, Any]:
        """What the page needs to know once: the networks with their layers, the classes, the sliders, the sizes."""
        return {
            "drawing": list(self.drawing_size),
            "image": list(self._size),
            "classes": list(self._first.class_names),
            "sliders": {name: slider._asdict() for name, slider in SLIDERS.items()},
            "networks": [
                {
                    "name": each.name,
                    "parameters": sum(cells(spec.shape) for spec in each.network.graph.parameters.values()),
                    "layers": [
                        {
                            "name": node.name,
                            "type": type(node.layer).__name__,
                            "shape": list(each.network.graph.shapes[node.name]),
                        }
                        for node in each.network.graph.nodes
                    ],
                }
                for each in self._contestants
            ],
            "neighbours": self._about_neighbours,
            "command": self._command,
        }

    def answer(self, drawing: bytes, strengths: dict[str, float]) -> dict[str, Any]:
        """What the networks see and say.

        Args:
            drawing: grey levels, one byte for each pixel, row by row: light ink on black.
            strengths: of the difficulties; see ``check_strengths``.

        Returns:
            plain values: ``seen`` (the image, in base64), ``steps`` that brought the drawing into this form, ``networks``, each with
            ``label``, ``probabilities`` and the ``values`` of its layers, ``nearest`` training images, and how many were ``read``.

        Raises:
            DataError: there is no ink, the drawing is of another size, or a strength is out of range.
            NotFiniteError: a network has no answer.
        """
        picture, pixels = self._seen(drawing, strengths)
        networks, nearest = [], []
        for each, predictor in zip(self._contestants, self._predictors, strict=True):
            network = each.network
            traced = trace_image(network.graph, predictor, pixels)
            assert traced.probabilities is not None  # every trained network has classes
            networks.append({
                "label": network.class_names[int(np.argmax(traced.probabilities))],
                "probabilities": traced.probabilities.tolist(),
                "layers": [_shown(layer) for layer in traced.layers],
            })  # fmt: skip
            if each is self._contestants[0] and self._neighbours is not None:
                hidden = hidden_layer(network.graph)
                nearest = self._neighbours.nearest(traced.outputs[hidden])
        return {
            "seen": _base64(pixels[:, :, 0]),
            "steps": list(picture.steps),
            "networks": networks,
            "nearest": [{"label": n.label, "distance": n.distance, "pixels": _base64(n.pixels)} for n in nearest],
            "read": 0 if self._neighbours is None else self._neighbours.count,
        }

    def cell(
        self, drawing: bytes, strengths: dict[str, float], network: int, layer: str, cell: tuple[int, ...]
    ) -> dict[str, Any]:
        """How one value of a layer comes about; see ``told_cell``.

        Args:
            drawing, strengths: as for ``answer``.
            network: index of the network.

        Raises:
            ModelError, ShapeError: there is no such network, layer or cell. DataError, NotFiniteError: as for ``answer``.
        """
        if not 0 <= network < len(self._contestants):
            raise ModelError(f"network: expected a number below {len(self._contestants)}, got {network}. Reload the page")
        _, pixels = self._seen(drawing, strengths)
        graph = self._contestants[network].network.graph
        outputs = trace_image(graph, self._predictors[network], pixels).outputs
        return told_cell(graph, self._exact_ops, self._parameters[network], outputs, layer, cell)

    def saved(self, drawing: bytes, strengths: dict[str, float]) -> bytes:
        """A PNG for which ``predict`` has the same answer: the drawing, or what the networks see if it is distorted.

        Raises:
            DataError: as for ``answer``.
        """
        _, image = self._seen(drawing, strengths)
        if check_strengths(strengths) == NEUTRAL:
            return png_bytes(self._levels(drawing))
        pixels = image[:, :, 0]
        return png_bytes(pixels, ready=not self._is_read_back(pixels))

    def read_more(self) -> bool:
        """Read a few more training images; returns whether there are more."""
        return self._neighbours is not None and self._neighbours.read_more()

    def _is_read_back(self, pixels: NDArray[np.uint8]) -> bool:
        """Whether ``predict`` sees the same pixels in a PNG of them."""
        try:
            return np.array_equal(self._read(png_bytes(pixels)).pixels, pixels)
        except DataError:  # too faint to count as a digit
            return False

    def _levels(self, drawing: bytes) -> NDArray[np.uint8]:
        if len(drawing) != cells(self.drawing_size):
            height, width = self.drawing_size
            raise DataError(f"drawing: expected {height} x {width} bytes, got {len(drawing):,}. Reload the page")
        return np.frombuffer(drawing, np.uint8).reshape(self.drawing_size)

    def _seen(self, drawing: bytes, strengths: dict[str, float]) -> tuple[Picture, NDArray[np.uint8]]:
        """The picture made of a drawing, and the image that the networks see, (height, width, 1)."""
        picture = self._picture(drawing)
        return picture, distort(picture.pixels, strengths)[:, :, np.newaxis]

    def _picture(self, drawing: bytes) -> Picture:
        """The drawing as ``predict`` reads it from a file. Moving a slider leaves the drawing as it was, so the last one is kept."""
        if self._last is None or self._last[0] != drawing:
            self._last = drawing, self._read(png_bytes(self._levels(drawing)))
        return self._last[1]

    def _read(self, png: bytes) -> Picture:
        if self._first.pictures == PHOTOGRAPHS:
            picture = read_photograph(io.BytesIO(png), name="drawing", size=self._size, channels=1)
            return Picture(picture.name, picture.pixels[:, :, 0], picture.steps)
        return read_picture(io.BytesIO(png), name="drawing", size=self._size)


def _check(contestant: Contestant, first: Contestant) -> None:
    network, rival = contestant.network, first.network
    height, width, channels = network.graph.input_shape
    if channels != 1:
        raise ModelError(
            f"{contestant.name}: takes images of {channels} channels; a drawing is grey and has 1. Choose another network"
        )
    if network.normalisation.dtype != PIXELS.dtype:
        raise ModelError(
            f"{contestant.name}: was trained on floats, whose scale only you know; a drawing is pixels. "
            "Choose a network that was trained on pixels 0...255 (uint8)"
        )
    if max(height, width) > MOST_SIDE:
        raise ModelError(
            f"{contestant.name}: expected images of at most {MOST_SIDE} pixels, got {height} x {width}. Choose another"
        )
    if network.graph.input_shape != rival.graph.input_shape or network.pictures != rival.pictures:
        raise ModelError(
            f"{contestant.name}: expected images as {first.name} takes them, {rival.graph.input_shape} and {rival.pictures}, got "
            f"{network.graph.input_shape} and {network.pictures}. Choose two networks that were trained on the same images"
        )
    if network.class_names != rival.class_names:
        raise ModelError(
            f"{contestant.name}: expected the classes of {first.name}, {listed(rival.class_names)}, got {listed(network.class_names)}. "
            "Choose two networks that were trained on the same images"
        )


def _shown(layer: LayerTrace) -> dict[str, Any]:
    """A layer's output for the page: the first maps, or numbers, as bytes from -127 to 127 of the largest."""
    most = max(1, MOST_SHOWN // cells(layer.values.shape[:-1]))
    # Maps come one after the other, where a device has the values of one place together.
    planes = np.moveaxis(layer.values, -1, 0)[:most]
    scale = float(np.abs(layer.values).max())
    levels = np.rint(planes / (scale or 1) * 127).astype(np.int8)
    return {
        "name": layer.name, "maps": len(planes), "alive": layer.maps_alive, "zero_share": layer.zero_share, "least": layer.min,
        "mean": layer.mean, "greatest": layer.max, "values": _base64(levels),
    }  # fmt: skip


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
