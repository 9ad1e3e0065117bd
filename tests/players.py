"""Small untrained networks, a player of them and its server, for the tests of ``numbacnn.play``."""

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.checkpoint import TrainedNetwork
from numbacnn.datasets.arrays import numbered_names
from numbacnn.graph import Graph
from numbacnn.initializers import initial_parameters
from numbacnn.play.neighbours import Neighbours
from numbacnn.play.player import Contestant, Player
from numbacnn.play.server import PlayServer


def cnn() -> Graph:
    return nc.sequential(
        nc.Conv2D(3, 5, activation="relu", padding="same"), nc.MaxPool2D(), nc.Conv2D(4, 3, strides=(2, 3)), nc.AvgPool2D(),
        nc.Flatten(), nc.Dropout(0.5), nc.Dense(10, activation="softmax"), input_shape=(28, 28, 1), name="cnn",
    )  # fmt: skip


def dense() -> Graph:
    return nc.sequential(
        nc.Flatten(), nc.Dense(8, activation="tanh"), nc.Dense(10, activation="softmax"), input_shape=(28, 28, 1), name="dense"
    )


def network(graph: Graph, seed: int = 3, **fields: Any) -> TrainedNetwork:
    """A network as it begins, its weights scaled up so that answers differ."""
    parameters = {name: 3 * array for name, array in initial_parameters(graph, seed).items()}
    return TrainedNetwork(graph, parameters, fields.pop("class_names", numbered_names(graph.output_shape[0])), {}, **fields)


def player(*networks: TrainedNetwork, neighbours: Neighbours | None = None) -> Player:
    given = networks or (network(cnn()), network(dense()))
    contestants = [Contestant(each.graph.name, each) for each in given]
    return Player(contestants, get_ops("cpu"), get_ops("cpu", exact_conv=True), neighbours, "a note")


def seven(of: Player) -> bytes:
    """A drawing of a 7, off its centre."""
    height, width = of.drawing_size
    pixels = np.zeros((height, width), np.uint8)
    pixels[height // 5 : height // 5 + height // 14, width // 5 : width // 2] = 255
    for step in range(height // 2):
        left = width // 2 - step // 3
        pixels[height // 5 + step, left : left + width // 14] = 255
    return pixels.tobytes()


@contextmanager
def serving(of: Player) -> Iterator[PlayServer]:
    """The server of a player, on a free port; what it reports is in ``server.reports``."""
    reports: list[str] = []
    with ThreadPoolExecutor(1) as compute:
        server = PlayServer(0, compute, reports.append)
        server.player, server.reports = of, reports  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def request(server: PlayServer, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """The status and the body of an answer, JSON read; ``headers`` replace those of the page."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    given = {"X-Token": server.token} | {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, given)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if answer.getheader("Content-Type") == "application/json" else text
    finally:
        connection.close()
