"""numbacnn, measured through its public entries: the events of ``train``, and ``predict``.

``python numbacnn_worker.py export FOLDER MODEL...`` writes networks, weights and logits down for the other workers.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from protocol import CHECKED_IMAGES, WARM_CALLS, Check, Network, Session, main, noise, read_check, repeat, together, write_network

import numbacnn
from numbacnn.backends import get_ops
from numbacnn.backends.precisions import FLOAT32
from numbacnn.datasets import DIGIT_NAMES, Dataset
from numbacnn.graph import Graph, without_softmax
from numbacnn.models import preset
from numbacnn.ops import Ops
from numbacnn.prediction import Predictor, predict
from numbacnn.training import EpochDone, EvaluationStarted, Settings, State, StepDone, new_state, train

FOR_EVER = 10**6
STEP_IMAGES = 60_000


def open_work(request: dict[str, Any]) -> Session:
    """Get ready for a piece of work."""
    work = request["work"]
    threads, precision = None if request.get("adapts") else request["threads"], request.get("precision", FLOAT32)
    ops = get_ops(request.get("device", "cpu"), threads, precision=precision)
    state = start(work["model"], work["batch"], ops)
    check = read_check(request["folder"], work["model"])
    logits = predict(without_softmax(state.graph), ops, state.parameters, check.images).logits
    if ops.asynchronous:
        measure = on_gpu(state, ops, work)
    elif work["kind"] == "inference":
        measure = inference(state, ops, work["batch"])
    elif work["kind"] == "epoch":
        list(islice(steps(start(work["model"], work["batch"], ops), images_to_learn(work["batch"] * 20), ops), 20))
        endless_epochs = epochs(state, images_to_learn(work["images"]), ops)

        def measure(count: int) -> list[float]:
            return list(islice(endless_epochs, count))
    else:
        endless_steps = steps(state, images_to_learn(STEP_IMAGES), ops)

        def measure(count: int) -> list[float]:
            return list(islice(endless_steps, WARM_CALLS + count))[WARM_CALLS:]

        measure(3)
    versions = {"numbacnn": numbacnn.__version__, "numba": version("numba"), "numpy": np.__version__}
    return Session(measure, versions, float(np.abs(logits - check.logits).max()))


def start(model: str, batch: int, ops: Ops) -> State:
    """A preset and its recipe, at a constant learning rate, before the first step."""
    found = preset(model)
    settings = Settings(
        epochs=FOR_EVER,
        batch_size=batch,
        optimizer=found.recipe.optimizer,
        learning_rate=found.recipe.learning_rate,
        lr_decay=1.0,
    )
    return new_state(found.graph, settings, ops)


def images_to_learn(count: int) -> Dataset:
    """Noise to train on, and a single image to test on."""
    images, labels = noise(count)
    return Dataset("noise", images, labels, images[:1], labels[:1], DIGIT_NAMES, "random numbers")


def steps(state: State, dataset: Dataset, ops: Ops) -> Iterator[float]:
    """Seconds of each step, by the training loop itself: gathering, forward, loss, backward, update, statistics."""
    since = time.perf_counter()
    for event in train(state, dataset, ops):
        if isinstance(event, StepDone):
            yield time.perf_counter() - since
        since = time.perf_counter()


def epochs(state: State, dataset: Dataset, ops: Ops) -> Iterator[float]:
    """Seconds of each epoch, without the evaluation at its end."""
    since = time.perf_counter()
    for event in train(state, dataset, ops):
        if isinstance(event, EvaluationStarted):
            yield time.perf_counter() - since
        elif isinstance(event, EpochDone):
            since = time.perf_counter()


def inference(state: State, ops: Ops, batch: int) -> Any:
    """Logits of uint8 images; bringing the pixels to 0...1 is part of it."""
    graph, images = without_softmax(state.graph), noise(batch)[0]
    predictor = Predictor(graph, ops, state.parameters)
    return lambda count: repeat(lambda: predictor(images), count)


def on_gpu(state: State, ops: Ops, work: dict[str, Any]) -> Any:
    """Steps, or calls, that are waited for at the end of a turn. Images for inference come from the host, and logits go there."""
    if work["kind"] == "inference":
        graph, images = without_softmax(state.graph), noise(work["batch"])[0]
        predictor = Predictor(graph, ops, state.parameters)
        return lambda count: together(lambda: predictor(images), lambda: None, count)
    endless = steps(state, images_to_learn(work["images"]), ops)
    some = next(iter(state.parameters.values()))
    return lambda count: together(lambda: next(endless), lambda: ops.to_host(some), count)


def export(folder: str, models: list[str]) -> None:
    """Write networks down, with initial weights and the logits of some images."""
    ops = get_ops("cpu")
    images = noise(CHECKED_IMAGES)[0]
    for model in models:
        state = start(model, 100, ops)
        graph = without_softmax(state.graph)
        logits = predict(graph, ops, state.parameters, images).logits
        parameters = {name: ops.to_host(array) for name, array in state.parameters.items()}
        network = Network(described(graph), state.settings.optimizer, state.settings.learning_rate)
        write_network(Path(folder), model, network, Check(parameters, images, logits))


def described(graph: Graph) -> list[dict[str, Any]]:
    """The layers as plain values."""
    return [
        {
            "name": node.name,
            "type": type(node.layer).__name__,
            "input_shape": list(graph.input_shapes(node)[0]),
            **asdict(node.layer),
            "shapes": {key: list(spec.shape) for key, spec in node.layer.parameters(*graph.input_shapes(node)).items()},
        }
        for node in graph.nodes
    ]


if __name__ == "__main__":
    if sys.argv[1] == "export":
        export(sys.argv[2], sys.argv[3:])
    else:
        main(open_work)
