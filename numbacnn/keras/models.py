"""``Sequential``: layers in a row, compiled, trained, measured and saved with Keras's calls."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn import layers as core
from numbacnn.backends import get_ops
from numbacnn.datasets.arrays import as_array, numbered_names, take_images, take_labels
from numbacnn.datasets.checks import check_labels
from numbacnn.errors import DataError, ModelError, ShapeError, TrainingError
from numbacnn.fitting import as_dataset, run, trained
from numbacnn.graph import Graph, sequential, without_softmax
from numbacnn.keras import optimizers
from numbacnn.keras.arguments import check_arguments, check_default, no_such_name, supported_by
from numbacnn.keras.callbacks import History, LearningRateScheduler
from numbacnn.keras.layers import Input, Layer, read_shape
from numbacnn.net import Net
from numbacnn.normalisation import COST_OF_RAW_PIXELS, NUMBERS
from numbacnn.ops import Ops
from numbacnn.picture_forms import PHOTOGRAPHS
from numbacnn.plain_numbers import is_number
from numbacnn.quoting import short
from numbacnn.schedules import Schedule
from numbacnn.spelling import did_you_mean
from numbacnn.summary import summarise
from numbacnn.training import Settings, State, new_state

BATCH_SIZE = 32
"""Keras's default."""

LOSSES = {
    "sparse_categorical_crossentropy": "class numbers (n,)",
    "categorical_crossentropy": "one-hot rows (n, classes)",
}
"""The labels that each loss compares with."""

_NOT_IN_COMPILE: dict[str, Any] = {
    "loss_weights": None, "weighted_metrics": None, "run_eagerly": False, "steps_per_execution": 1, "jit_compile": "auto",
    "auto_scale_loss": True,
}  # fmt: skip
_NOT_IN_FIT: dict[str, Any] = {
    "shuffle": True, "class_weight": None, "sample_weight": None, "initial_epoch": 0, "steps_per_epoch": None,
    "validation_steps": None, "validation_batch_size": None, "validation_freq": 1,
}  # fmt: skip
_NOT_IN_EVALUATE: dict[str, Any] = {"sample_weight": None, "steps": None, "callbacks": None}
_NOT_IN_PREDICT: dict[str, Any] = {"steps": None, "callbacks": None}
"""Keras's default of each argument that numbacnn lacks."""

_VIEWS: dict[object, str] = {"auto": "auto", 0: "none", 1: "auto", 2: "plain"}
"""The view of a training for each value of ``verbose``."""


class Sequential:
    """Layers in a row.

    Args:
        layers: of ``keras.layers``; the first one, or ``Input``, says the shape of an image. Where none does, the first images do.
        name: of the network.

    Weights and the order of images are drawn from a fixed seed: the same program gives the same bits.

    Raises:
        ModelError, ShapeError: they are no such layers, or one does not fit the one before.
    """

    def __init__(self, layers: Sequence[Layer | Input] | None = None, name: str = "sequential", **others: Any) -> None:
        check_arguments("Sequential", supported_by(Sequential), others, {"trainable": True})
        if layers is not None and not isinstance(layers, (list, tuple)):
            raise ModelError(f"Sequential: expected a list of layers, got {short(layers)}. Write Sequential([first, second])")
        self.name = name
        self.layers: list[Layer] = []
        self.input_shape: tuple[int, ...] | None = None
        self.optimizer: optimizers.Optimizer | None = None
        self._loss: str | None = None
        self._shows_accuracy = False
        self._graph: Graph | None = None
        self._state: State | None = None
        self._net: Net | None = None
        self._ops: Ops | None = None
        self._is_optimizer_new = True
        self._fits = 0
        self._said: set[str] = set()
        for layer in layers or ():
            self._append(layer)
        self._build(self.input_shape)

    def add(self, layer: Layer | Input) -> None:
        """Add a layer at the end.

        Raises:
            ModelError, ShapeError: it is no layer, does not fit the one before, or the network has weights already.
        """
        if self._state is not None:
            raise ModelError("add: expected a network without weights, got one with them. Add all layers before fit and predict")
        self._append(layer)
        try:
            self._build(self.input_shape)
        except (ModelError, ShapeError):
            self.layers.pop()
            raise

    def compile(self, optimizer: object = "rmsprop", loss: object = None, metrics: object = None, **others: Any) -> None:
        """Choose how to train; the weights stay.

        Args:
            optimizer: ``"adam"`` (rate 0.001), ``"sgd"`` (rate 0.01), or an object of ``keras.optimizers``.
            loss: ``"sparse_categorical_crossentropy"`` for class numbers, ``"categorical_crossentropy"`` for one-hot rows.
            metrics: ``["accuracy"]``, or none.

        Raises:
            TypeError: an argument is not known or not supported. TrainingError: a value is not.
        """
        if "callbacks" in others:
            raise TypeError("compile takes no callbacks: give them to fit(callbacks=[...])")
        check_arguments("compile", supported_by(Sequential.compile), others, _NOT_IN_COMPILE)
        if not isinstance(loss, str) or loss not in LOSSES:
            close = did_you_mean(loss, LOSSES) if isinstance(loss, str) else ""
            raise TrainingError(f"compile: loss: expected {' or '.join(map(repr, LOSSES))}, got {short(loss)}.{close}")
        names = [] if metrics is None else metrics
        if not isinstance(names, (list, tuple)) or any(name != "accuracy" for name in names):
            raise TrainingError(
                f"compile: metrics: expected ['accuracy'] or none, got {short(metrics)}. Write metrics=['accuracy']"
            )
        chosen = optimizers.get(optimizer)
        self.optimizer, self._loss, self._shows_accuracy = chosen, loss, bool(names)
        self._is_optimizer_new = True

    def fit(
        self,
        x: object,
        y: object,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: object = "auto",
        callbacks: object = None,
        validation_split: float = 0.0,
        validation_data: object = None,
        **others: Any,
    ) -> History:
        """Train, from the present weights on; the weights of the last epoch stay.

        Args:
            x: images (n, *input_shape), taken as they are; of a grey image, the channel axis may be missing.
            y: class numbers (n,) or one-hot rows (n, classes), as the loss says.
            batch_size: images per update; None for 32.
            epochs: how many times each image is seen.
            verbose: 0 shows nothing, 1 a bar on a terminal, 2 a line for each epoch.
            callbacks: ``[LearningRateScheduler(...)]``, or none.
            validation_split: share of the images, the last ones, on which each epoch is measured, not trained.
            validation_data: images and labels on which each epoch is measured.

        Returns:
            a ``History``: ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy`` and ``learning_rate``, as far as they were asked for.

        Raises:
            TypeError: an argument is not known or not supported. TrainingError: a value is not, or the loss diverged.
            DataError, ShapeError: the images or labels are not of the kind that the network takes.
        """
        check_arguments("fit", supported_by(Sequential.fit), others, _NOT_IN_FIT)
        optimizer = self._compiled("fit")
        scheduler = _only_scheduler(callbacks)
        mode = _view("fit", verbose)
        images = self._images("x", x, mode)
        labels = self._labels("y", y, len(images))
        images, labels, measured = self._divided(images, labels, validation_split, validation_data, mode)
        settings = Settings(
            epochs=epochs, batch_size=BATCH_SIZE if batch_size is None else batch_size, optimizer=optimizer.rule,
            learning_rate=optimizer.learning_rate, schedule="constant", seed=self._fits,
        )  # fmt: skip
        dataset = as_dataset(self._built(), images, labels)
        if measured is not None:
            dataset = replace(dataset, test_images=measured[0], test_labels=measured[1])
        state = self._next_state(settings)
        self._net, self._fits = None, self._fits + 1
        run(state, dataset, self._device(), mode, None if scheduler is None else _scheduled(scheduler, optimizer))
        self._net = trained(state, dataset, self._device(), PHOTOGRAPHS)
        return self._history(state, scheduler is not None)

    def evaluate(
        self,
        x: object,
        y: object,
        batch_size: int | None = None,
        verbose: object = "auto",
        return_dict: bool = False,
        **others: Any,
    ) -> list[float] | float | dict[str, float]:
        """The mean loss and the share of right answers: ``[loss, accuracy]``, or the loss alone without ``metrics=["accuracy"]``.

        Args:
            x, y: as for ``fit``.
            batch_size: changes no result.
            verbose: 0 shows nothing.
            return_dict: whether to return ``{"loss": ..., "accuracy": ...}``.

        Raises:
            TypeError, TrainingError, DataError, ShapeError: as for ``fit``.
        """
        check_arguments("evaluate", supported_by(Sequential.evaluate), others, _NOT_IN_EVALUATE)
        self._compiled("evaluate")
        mode = _view("evaluate", verbose)
        images = self._images("x", x, mode)
        result = self._network().evaluate(images, self._labels("y", y, len(images)))
        if not self._shows_accuracy:
            result = {"loss": result["loss"]}
        if mode != "none":
            shown = [f"loss {result['loss']:.4f}"] + ([f"accuracy {result['accuracy']:.2%}"] if self._shows_accuracy else [])
            _notice("  ".join([f"{len(images):,} images", *shown]))
        return result if return_dict else list(result.values()) if self._shows_accuracy else result["loss"]

    def predict(self, x: object, batch_size: int | None = None, verbose: object = "auto", **others: Any) -> NDArray[np.float32]:
        """The probability of each class, (n, classes).

        Args:
            x: images, as for ``fit``.
            batch_size: changes no result.
            verbose: 0 shows nothing.

        Raises:
            TypeError, DataError, ShapeError: as for ``fit``.
        """
        check_arguments("predict", supported_by(Sequential.predict), others, _NOT_IN_PREDICT)
        images = self._images("x", x, _view("predict", verbose))
        return self._network().predict_proba(images).astype(np.float32)

    def summary(self) -> None:
        """Print the layers: the shape of each output, and the number of parameters.

        Raises:
            ModelError: no layer says the shape of an image.
        """
        from numbacnn_cli.console import stdout  # the one place that prints
        from numbacnn_cli.tables import shapes_table

        stdout().print(shapes_table(summarise(self._built())))

    def count_params(self) -> int:
        """The number of parameters."""
        return summarise(self._built()).parameters

    def save(self, filepath: str | Path, overwrite: bool = True) -> None:
        """Write the network: ``.safetensors``, which ``nc.load`` and the command line read, or ``.onnx``; never half of a file.

        Raises:
            ModelError: the name ends otherwise. CheckpointError: it cannot be written; an earlier file is untouched.
        """
        path = Path(filepath).expanduser()
        check_default("save", "overwrite", overwrite, True)
        if path.suffix == ".onnx":
            self._network().export(path)
        elif path.suffix == ".safetensors":
            self._network().save(path)
        else:
            raise ModelError(
                f"save: expected a name that ends in .safetensors or .onnx, got {short(str(filepath))}. "
                f"Write model.save({str(path.with_suffix('.safetensors'))!r})"
            )

    def _append(self, layer: object) -> None:
        who = f"layer {len(self.layers) + 1}"
        if isinstance(layer, type) and issubclass(layer, (Layer, Input)):
            raise ModelError(f"{who}: expected a layer, got the class {layer.__name__}. Write {layer.__name__}(...)")
        if not isinstance(layer, (Layer, Input)):
            raise ModelError(f"{who}: expected a layer of keras.layers, got {short(layer)}. Write keras.layers.Dense(10), say")
        if not self.layers and self.input_shape is None:
            self.input_shape = layer.input_shape
        elif isinstance(layer, Input):
            raise ModelError(f"{who}: expected Input as the first layer, got it after others. Put it first, once")
        if isinstance(layer, Layer):
            self.layers.append(layer)

    def _build(self, shape: tuple[int, ...] | None) -> None:
        """Make the graph, if the shape of an image is known."""
        if shape is None or not self.layers:
            return
        entries: list[core.Layer | tuple[str, core.Layer]] = [
            layer.spec if layer.name is None else (layer.name, layer.spec) for layer in self.layers
        ]
        if len(shape) == 1 and not isinstance(self.layers[0].spec, core.Flatten):
            entries.insert(0, core.Flatten())
        image = {1: (1, 1, *shape), 2: (*shape, 1), 3: shape}[len(shape)]
        self._graph = sequential(*entries, input_shape=image, name=self.name)
        self.input_shape = shape

    def _built(self) -> Graph:
        if self._graph is None:
            missing = "a layer" if not self.layers else "the shape of an image"
            raise ModelError(f"{self.name}: expected {missing}, got none. Give the first layer input_shape=(28, 28, 1), say")
        return self._graph

    def _compiled(self, who: str) -> optimizers.Optimizer:
        if self.optimizer is None:
            raise TrainingError(
                f"{who}: expected a compiled network. First write model.compile(optimizer='adam', "
                "loss='sparse_categorical_crossentropy', metrics=['accuracy'])"
            )
        return self.optimizer

    def _device(self) -> Ops:
        if self._ops is None:
            self._ops = get_ops("cpu")
        return self._ops

    def _next_state(self, settings: Settings) -> State:
        """The start of a call of ``fit``: the present weights, and the optimiser's arrays unless it is new."""
        before = self._state
        if before is None:
            self._state = new_state(self._built(), settings, self._device())
        elif self._is_optimizer_new:
            weights = before.parameters_to_keep(self._device())
            self._state = new_state(self._built(), settings, self._device(), pretrained=weights)
        else:
            self._state = State(before.graph, settings, before.parameters, before.slots, step=before.step)
        self._is_optimizer_new = False
        return self._state

    def _network(self) -> Net:
        """The present network."""
        if self._net is None:
            graph, ops = self._built(), self._device()
            if self._state is None:
                self._state = new_state(graph, Settings(), ops)
            no_images = np.zeros((0, *graph.input_shape), np.float32), np.zeros(0, np.int64)
            self._net = trained(self._state, as_dataset(graph, *no_images), ops, PHOTOGRAPHS)
        return self._net

    def _images(self, who: str, values: object, mode: str) -> NDArray[np.float32]:
        """Images as numbers (n, height, width, channels), as they are; what is made of them is said once."""
        array = as_array(who, values)
        if self._graph is None:
            self._build(read_shape(f"{who}: shape of an image", array.shape[1:]))
        graph = self._built()
        shape = self.input_shape or graph.input_shape
        if array.dtype.kind in "biu":
            if array.dtype.kind != "b" and array.size and array.max() > 1:
                self._say(
                    mode, "raw",
                    f"{who}: pixels 0...{array.max()} are fed raw, as in Keras. It costs accuracy: {COST_OF_RAW_PIXELS}. "
                    f"Divide all images by 255: {who} = {who} / 255",
                )  # fmt: skip
            array = array.astype(np.float32)
        if array.shape[1:] != graph.input_shape:
            if array.shape[1:] == shape:
                array = array.reshape(len(array), *graph.input_shape)
            elif (*array.shape[1:], 1) == graph.input_shape:
                self._say(
                    mode,
                    "axis",
                    f"{who}: the channel axis of grey images is added to shape {array.shape}: {who} = {who}[..., None]",
                )
                array = array[..., None]
            else:
                raise ShapeError(f"{who}: expected images of shape {shape}, got {array.shape[1:]}")
        return take_images(who, array, graph.input_shape, NUMBERS)[0]

    def _labels(self, who: str, values: object, count: int) -> NDArray[np.integer[Any]]:
        """Class numbers (n,), from what the loss compares with."""
        assert self._loss is not None  # compiled
        graph = self._built()
        if len(graph.output_shape) != 1:
            raise ModelError(
                f"{self.name}: expected a vector as output, got {graph.output_shape}. End it with Flatten() and Dense(10)"
            )
        if without_softmax(graph) is graph:
            raise ModelError(
                f"{self.name}: the loss {self._loss} expected probabilities from the last layer, got one without softmax. "
                "Write activation='softmax' in it"
            )
        array = as_array(who, values)
        is_sparse = self._loss == "sparse_categorical_crossentropy"
        if is_sparse and array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != (1 if is_sparse else 2):
            other = next(loss for loss in LOSSES if loss != self._loss)
            raise ShapeError(
                f"{who}: the loss {self._loss} expected {LOSSES[self._loss]}, got shape {array.shape}. "
                f"For {LOSSES[other]}, write loss={other!r}"
            )
        if not is_sparse and array.shape[1] != graph.output_shape[0]:
            raise ShapeError(
                f"{who}: expected rows of {graph.output_shape[0]}, one value for each class, got shape {array.shape}"
            )
        if is_sparse and array.dtype.kind == "f" and (array == np.round(array)).all():
            array = array.astype(np.int64)  # Keras takes class numbers as floats
        numbers, _ = take_labels(who, array, numbered_names(graph.output_shape[0]))
        return check_labels(who, numbers, count, graph.output_shape[0])

    def _divided(
        self, images: NDArray[Any], labels: NDArray[Any], share: object, data: object, mode: str
    ) -> tuple[NDArray[Any], NDArray[Any], tuple[NDArray[Any], NDArray[Any]] | None]:
        """The images and labels to train on, and those to measure each epoch on."""
        if not is_number(share, 0) or not float(share) < 1:  # type: ignore[arg-type]
            raise TrainingError(f"validation_split: expected a share from 0 up to, but not, 1, got {short(share)}")
        if data is not None:
            if not isinstance(data, (tuple, list)) or len(data) != 2:
                raise DataError(f"validation_data: expected (images, labels), got {short(data)}")
            measured = self._images("validation_data", data[0], mode)
            return images, labels, (measured, self._labels("validation_data", data[1], len(measured)))
        if share:
            first = int(len(images) * (1 - float(share)))  # type: ignore[arg-type]
            if not 0 < first < len(images):
                raise TrainingError(
                    f"validation_split {short(share)}: expected at least one image on either side, got {first} and {len(images) - first}"
                )
            return images[:first], labels[:first], (images[first:], labels[first:])
        return images, labels, None

    def _history(self, state: State, has_schedule: bool) -> History:
        records = state.history
        columns: dict[str, list[Any]] = {}
        if self._shows_accuracy:
            columns["accuracy"] = [record.accuracy for record in records]
        columns["loss"] = [record.loss for record in records]
        if any(record.test_loss is not None for record in records):
            if self._shows_accuracy:
                columns["val_accuracy"] = [record.test_accuracy for record in records]
            columns["val_loss"] = [record.test_loss for record in records]
        if has_schedule:
            columns["learning_rate"] = [record.learning_rate for record in records]
        return History(columns)

    def _say(self, mode: str, key: str, text: str) -> None:
        """Say something once."""
        if key not in self._said and mode != "none":
            self._said.add(key)
            _notice(text)


def _only_scheduler(callbacks: object) -> LearningRateScheduler | None:
    """The scheduler among the callbacks, which takes no other.

    Raises:
        TrainingError: there is another callback, or more than one.
    """
    given = [] if callbacks is None else callbacks
    if isinstance(given, LearningRateScheduler):
        given = [given]
    for callback in given if isinstance(given, (list, tuple)) else [given]:
        if not isinstance(callback, LearningRateScheduler):
            raise TrainingError(
                f"fit: callbacks: expected [LearningRateScheduler(...)], got {short(callback)}. There is no other"
            )
    if len(given) > 1:  # type: ignore[arg-type]
        raise TrainingError(f"fit: callbacks: expected one LearningRateScheduler, got {len(given)}")  # type: ignore[arg-type]
    return given[0] if given else None  # type: ignore[index]


def _scheduled(scheduler: LearningRateScheduler, optimizer: optimizers.Optimizer) -> Schedule:
    """The rate of each epoch, asked from the scheduler when the epoch begins; the optimiser keeps the latest one, as in Keras."""
    begun = -1

    def rate(time: float) -> float:
        nonlocal begun
        if math.floor(time) > begun:
            begun = math.floor(time)
            optimizer.learning_rate = scheduler.rate(begun, optimizer.learning_rate)
        return optimizer.learning_rate

    return rate


def _view(who: str, verbose: object) -> str:
    if not isinstance(verbose, (str, int)) or verbose not in _VIEWS:
        raise TrainingError(f"{who}: verbose: expected 'auto', 0, 1 or 2, got {short(verbose)}")
    return _VIEWS[verbose]


def _notice(text: str) -> None:
    from numbacnn_cli.console import notice  # the one place that prints

    notice(text)


__all__ = ["Sequential"]


def __getattr__(name: str) -> Any:
    raise no_such_name("numbacnn.keras.models", name, __all__)
