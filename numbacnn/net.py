"""A trained network in memory: what ``nc.fit`` and ``nc.load`` return."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn.backends import get_ops
from numbacnn.checkpoint import Arrays, TrainedNetwork, load_network, save_network
from numbacnn.datasets.arrays import numbered_names, take_images, take_labels
from numbacnn.datasets.checks import check_labels
from numbacnn.errors import ModelError
from numbacnn.export import export
from numbacnn.graph import Graph, up_to
from numbacnn.metrics import evaluate
from numbacnn.network import to_device
from numbacnn.ops import Ops
from numbacnn.prediction import Prediction, Predictor, predict
from numbacnn.quoting import short
from numbacnn.summary import summarise


class Net:
    """A trained network: it predicts, is measured, looked into, saved.

    Images are given as in training: ``(n, height, width, channels)``, or ``(n, height, width)`` if grey; pixels of type uint8 where it was
    trained on pixels, floats where it was trained on floats. Results do not depend on the number of images given at once.

    >>> net = nc.load("runs/cnn-mnist/model.safetensors")
    >>> net.predict(images)
    """

    def __init__(self, network: TrainedNetwork, ops: Ops, history: Sequence[dict[str, Any]] = ()) -> None:
        self._network, self._ops = network, ops
        self.history: list[dict[str, Any]] = list(history)
        """A record of each epoch, as in ``history.jsonl``; empty for a network from a file."""

    @property
    def graph(self) -> Graph:
        """The layers."""
        return self._network.graph

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each output."""
        return self._network.class_names

    @property
    def parameters(self) -> Arrays:
        """Copies of all parameters, by ``<layer>/<parameter>``."""
        return {name: array.copy() for name, array in self._network.parameters.items()}

    def predict(self, images: object) -> NDArray[Any]:
        """The class of each image, (n,): its number, or its name if the classes have names.

        Raises:
            DataError, ShapeError: the images are not of the kind that the network was trained on.
        """
        numbers = self._logits(images).logits.argmax(axis=1)
        if self.class_names == numbered_names(len(self.class_names)):
            return numbers
        return np.array(self.class_names)[numbers]

    def predict_proba(self, images: object) -> NDArray[np.float64]:
        """The probability of each class, (n, classes).

        Raises:
            DataError, ShapeError: the images are not of the kind that the network was trained on.
        """
        return self._logits(images).probabilities

    def evaluate(self, images: object, labels: object) -> dict[str, float]:
        """``{"loss": mean cross-entropy, "accuracy": share of right answers}``.

        Args:
            labels: class numbers, class names or one-hot rows, one for each image.

        Raises:
            DataError, ShapeError: the images or labels are not of the kind that the network was trained on, or there is none.
        """
        prediction = self._logits(images)
        numbers, _ = take_labels("labels", labels, self.class_names)
        result = evaluate(prediction, check_labels("labels", numbers, len(prediction.logits), len(self.class_names)))
        return {"loss": result.loss, "accuracy": result.accuracy}

    def activations(self, images: object, layer: str) -> NDArray[np.float32]:
        """The output of a layer for each image, (n, *shape).

        Args:
            layer: its name; ``print(net)`` lists them.

        Raises:
            ModelError: there is no such layer. DataError, ShapeError, NotFiniteError: as for ``predict``.
        """
        graph = up_to(self.graph, layer)  # first, as it names an unknown layer
        pixels, normalisation = take_images("images", images, self.graph.input_shape, self._network.normalisation)
        return predict(graph, self._ops, to_device(self._ops, self._network.parameters), pixels, normalisation).logits

    def save(self, path: str | Path) -> None:
        """Write the network to a ``.safetensors`` file, the same that ``numbacnn train`` writes; never half of one.

        Raises:
            ModelError: the name ends otherwise. CheckpointError: it cannot be written; an earlier file is untouched.
        """
        target = Path(path).expanduser()
        if target.suffix != ".safetensors":
            raise ModelError(
                f"{target}: expected a name that ends in .safetensors, got {short(target.suffix)}. net.export writes .onnx and .npz"
            )
        save_network(target, self._network)

    def export(self, path: str | Path) -> None:
        """Write the network for other programs: ``.onnx``, or ``.npz`` with its parameters as arrays; never half of one.

        Raises:
            ModelError: the name ends otherwise, or a layer has no form in ONNX. DeviceError: the package ``onnx`` is missing.
            CheckpointError: the file cannot be written; an earlier file is untouched.
        """
        export(self._network, Path(path).expanduser())

    def plot(self, path: str | Path) -> None:
        """Draw loss and accuracy over the epochs of ``history``: ``.png``, ``.svg`` or ``.pdf``; never half a picture.

        Raises:
            DeviceError: matplotlib is missing. ModelError: there is no epoch, or the name ends otherwise.
            CheckpointError: it cannot be written; an earlier file is untouched.
        """
        from numbacnn.plotting import save_curves

        save_curves(self.history, Path(path).expanduser(), self.graph.name)

    @cached_property
    def _predictor(self) -> Predictor:
        return self._network.predictor(self._ops)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: the network without what a device made of it."""
        return {"network": self._network, "device": self._ops.name, "history": self.history}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["network"], get_ops(state["device"]), state["history"])  # type: ignore[misc]

    def _logits(self, images: object) -> Prediction:
        pixels, _ = take_images("images", images, self.graph.input_shape, self._network.normalisation)
        return self._predictor(pixels)

    def __repr__(self) -> str:
        summary = summarise(self.graph)
        lines = [f"{self.graph.name}: {self.graph.input_shape} -> {len(self.class_names)} classes"]
        width = max(len(layer.name) for layer in summary.layers)
        lines += [
            f"  {layer.name:{width}}  {layer.type:15}  {layer.output_shape!s:16} {layer.parameters:>12,}"
            for layer in summary.layers
        ]
        lines.append(f"  {summary.parameters:,} parameters")
        if self.history:
            lines.append(f"  {_figures(self.history[-1])}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The table of the layers, for notebooks, and the last epoch's figures."""
        figures = f"<p>{_figures(self.history[-1])}</p>" if self.history else ""
        return f"{summarise(self.graph)._repr_html_()}{figures}"


def _figures(record: dict[str, Any]) -> str:
    """The last epoch in one line."""
    parts = [f"epoch {record['epoch']}: loss {record['loss']:.4f}, accuracy {record['accuracy']:.2%}"]
    if record.get("validation_accuracy") is not None:
        parts.append(f"validation loss {record['validation_loss']:.4f}, accuracy {record['validation_accuracy']:.2%}")
    return "; ".join(parts)


def load(path: str | Path, *, device: str = "cpu", threads: int | None = None) -> Net:
    """The network in a ``.safetensors`` file that ``net.save`` or ``numbacnn train`` wrote, or in an ``.onnx`` file.

    Args:
        path: of the file, or of the folder of a run.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        threads: CPU threads; None for all. Changes no result.

    Raises:
        CheckpointError: there is no such file, or it is damaged or no network. DeviceError: the device cannot be used.
        ModelError: an ``.onnx`` file is damaged, or has operations that numbacnn lacks.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        path = path / "model.safetensors"
    if path.suffix == ".onnx":
        from numbacnn.onnx import import_network  # needs the extra onnx

        return Net(import_network(path), get_ops(device, threads))
    return Net(load_network(path), get_ops(device, threads))
