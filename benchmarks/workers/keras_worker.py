"""Keras on TensorFlow. Training: ``fit``, ``fit, 10 steps a call`` (``steps_per_execution=10``) and ``train_on_batch``; inference: a
``tf.function`` of the network, and ``predict_on_batch``.

Images are float32 arrays that were made before, except in a whole training run, where they stay uint8 and a Rescaling layer converts.
"""

import os
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from protocol import (
    Network,
    Session,
    as_floats,
    main,
    noise,
    read_check,
    read_mnist,
    read_network,
    repeat,
    unsupported,
)

STEPS_A_CALL = 10
READY_BATCHES = 10


def open_work(request: dict[str, Any]) -> Session:
    """Get ready for a piece of work."""
    work, variant = request["work"], request["variant"]
    use_threads(request["threads"])
    network = read_network(request["folder"], work["model"])
    check = read_check(request["folder"], work["model"])
    model = build(network, rescale=False)
    model.set_weights(list(check.parameters.values()))
    logits = model.predict_on_batch(as_floats(check.images))
    difference = float(np.abs(logits - check.logits).max())
    if work["kind"] == "inference":
        measure = inference(model, as_floats(noise(work["batch"])[0]), variant)
    else:
        prepare(model, network, STEPS_A_CALL if variant == "fit, 10 steps a call" else 1)
        count = work["images"] if work["kind"] == "epoch" else work["batch"] * max(request["count"], READY_BATCHES)
        images, labels = noise(count)
        measure = training(model, as_floats(images), labels.astype(np.int64), work, variant)
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__, "numpy": np.__version__}
    return Session(measure, versions, difference)


def use_threads(threads: int) -> None:
    """Before TensorFlow starts its pools."""
    keras.utils.set_random_seed(0)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def build(network: Network, rescale: bool) -> keras.Model:
    """The same layers."""
    layers = keras.layers
    stack: list[Any] = [keras.Input(network.layers[0]["input_shape"])] + ([layers.Rescaling(1 / 255)] if rescale else [])
    for layer in network.layers:
        if layer.get("activation") not in (None, "relu"):
            raise unsupported(layer)
        if layer["type"] == "Conv2D":
            keys = ("filters", "kernel_size", "strides", "padding", "activation", "use_bias")
            stack.append(layers.Conv2D(**{key: layer[key] for key in keys}))
        elif layer["type"] == "MaxPool2D":
            stack.append(layers.MaxPool2D(layer["pool_size"], layer["strides"], layer["padding"]))
        elif layer["type"] == "Flatten":
            stack.append(layers.Flatten())
        elif layer["type"] == "Dense":
            stack.append(layers.Dense(**{key: layer[key] for key in ("units", "activation", "use_bias")}))
        elif layer["type"] == "Dropout":
            stack.append(layers.Dropout(layer["rate"]))
        else:
            raise unsupported(layer)
    return keras.Sequential(stack)


def prepare(model: keras.Model, network: Network, steps_a_call: int) -> None:
    """Loss and optimiser of the recipe."""
    kind = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[network.optimizer]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=kind(network.learning_rate), loss=loss, steps_per_execution=steps_a_call)


def training(
    model: keras.Model, x: np.ndarray, y: np.ndarray, work: dict[str, Any], variant: str
) -> Callable[[int], list[float]]:
    """Steps or epochs, by ``fit`` or by ``train_on_batch``."""
    batch = work["batch"]
    parts = [slice(first, first + batch) for first in range(0, len(x), batch)]
    ready = cycle(parts)

    def learn(part: slice | np.ndarray) -> None:
        model.train_on_batch(x[part], y[part])

    def fit(steps: int) -> float:
        started = time.perf_counter()
        model.fit(x[: steps * batch], y[: steps * batch], batch_size=batch, epochs=1, verbose=0)
        return time.perf_counter() - started

    def epoch() -> float:
        started = time.perf_counter()
        order = np.random.permutation(len(x))
        for part in parts:
            learn(order[part])
        return time.perf_counter() - started

    def steps_by_fit(count: int) -> list[float]:
        fit(STEPS_A_CALL)
        return [fit(count) / count]

    if variant == "train_on_batch":
        repeat(lambda: learn(next(ready)), 3)
        if work["kind"] == "epoch":
            return lambda count: [epoch() for _ in range(count)]
        return lambda count: repeat(lambda: learn(next(ready)), count)
    fit(2 * STEPS_A_CALL)
    if work["kind"] == "epoch":
        return lambda count: [fit(len(parts)) for _ in range(count)]
    return steps_by_fit


def inference(model: keras.Model, images: np.ndarray, variant: str) -> Callable[[int], list[float]]:
    """Calls on a float32 array (``tf.function``: a tensor) that is ready; the logits end in numpy."""
    traced, x = tf.function(lambda x: model(x, training=False)), tf.constant(images)

    def call() -> None:
        traced(x).numpy() if variant == "tf.function" else model.predict_on_batch(images)

    repeat(call, 3)
    return lambda count: repeat(call, count)


def train(request: dict[str, Any]) -> dict[str, Any]:
    """An epoch on MNIST, from files to a saved network."""
    use_threads(request["threads"])
    images, labels, test_images, test_labels = read_mnist(request["data_dir"], request["limit"])
    network = read_network(request["folder"], request["model"])
    model = build(network, rescale=True)
    prepare(model, network, STEPS_A_CALL)
    model.fit(images, labels, batch_size=100, epochs=1, verbose=0)
    predicted = model.predict(test_images, batch_size=500, verbose=0).argmax(1)
    model.save(Path(request["output"]) / "model.keras")
    return {"test_accuracy": float((predicted == test_labels).mean())}


if __name__ == "__main__":
    main(open_work, train)
