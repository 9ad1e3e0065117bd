"""What every worker shares: the line protocol, the network as plain values, the images, and MNIST from disk.

A worker is a process that measures one framework. ``python torch_worker.py serve`` reads one JSON object per line from stdin and
answers each with one on stdout:

    {"do": "open", "work": {...}, ...}     get ready and warm up        {"versions": {...}, "difference": 1e-6}
    {"do": "round", "count": 20}           measure                      {"seconds": [0.05, ...]}

Anything that goes wrong is answered with {"error": "..."}. ``python torch_worker.py train '{...}'`` trains for an epoch from process
start to exit instead, and prints one JSON object. Workers import this file and numpy, never numbacnn (except its own), so that each
framework can live in a virtual environment of its own.
"""

import gzip
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

INK = 0.19
"""The share of MNIST's pixels that are not black."""

CHECKED_IMAGES = 100
WARM_CALLS = 2
"""Untimed calls at the start of every round: the process slept while others were measured."""


class Session(NamedTuple):
    """A worker that is ready to measure.

    Args:
        measure: seconds of each of so many steps (or epochs, or calls).
        versions: of the packages that do the work.
        difference: largest difference of its logits from numbacnn's, for the same weights and images.
    """

    measure: Callable[[int], list[float]]
    versions: dict[str, str]
    difference: float


class Network(NamedTuple):
    """A network as numbacnn wrote it down.

    Args:
        layers: one mapping per layer: name, type, input_shape (of one image), its settings, and the shapes of its parameters.
        optimizer: "adam" or "sgd".
        learning_rate: of the preset's recipe.
    """

    layers: list[dict[str, Any]]
    optimizer: str
    learning_rate: float


class Check(NamedTuple):
    """What a network must say: its parameters by ``<layer>/<parameter>``, images, and numbacnn's logits of them."""

    parameters: dict[str, np.ndarray]
    images: np.ndarray
    logits: np.ndarray


def main(open_work: Callable[[dict[str, Any]], Session], train: Callable[[dict[str, Any]], dict[str, Any]] | None = None) -> None:
    """Serve stdin, or train once."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # frameworks print on stdout as they please; the protocol has a channel of its own
    if sys.argv[1] == "train" and train is not None:
        print(json.dumps(train(json.loads(sys.argv[2]))), file=answers, flush=True)
        return
    session = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "open":
                session = open_work(request)
                answer: dict[str, Any] = {"versions": session.versions, "difference": session.difference}
            else:
                assert session is not None
                answer = {"seconds": session.measure(request["count"])}
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {lines[0]}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)


def repeat(call: Callable[[], Any], count: int) -> list[float]:
    """Seconds of each of ``count`` calls, after a few that are not timed."""
    for _ in range(WARM_CALLS):
        call()
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return seconds


def together(call: Callable[[], Any], wait: Callable[[], Any], count: int) -> list[float]:
    """Seconds of a call in the mean of ``count``, on a device that works while the host goes on: it is waited for at the end only."""
    for _ in range(WARM_CALLS):
        call()
    wait()
    started = time.perf_counter()
    for _ in range(count):
        call()
    wait()
    return [(time.perf_counter() - started) / count]


def noise(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images with MNIST's share of ink and random labels, uint8 (n, 28, 28, 1) and (n,); the same for every worker."""
    generator = np.random.default_rng(0)
    images = generator.integers(1, 256, (count, 28, 28, 1), np.uint8)
    images *= generator.random(images.shape, np.float32) < INK
    return images, generator.integers(0, 10, count, np.uint8)


def as_floats(images: np.ndarray) -> np.ndarray:
    """Pixels 0...255 as float32 0...1."""
    return images.astype(np.float32) / np.float32(255)


def write_network(folder: Path, name: str, network: Network, check: Check) -> None:
    """For ``read_network`` and ``read_check``."""
    (folder / f"{name}.json").write_text(json.dumps(network._asdict()), encoding="utf-8")
    np.savez(folder / f"{name}.npz", **check.parameters, images=check.images, logits=check.logits)


def read_network(folder: str, name: str) -> Network:
    """A network's layers and recipe."""
    return Network(**json.loads((Path(folder) / f"{name}.json").read_text(encoding="utf-8")))


def read_check(folder: str, name: str) -> Check:
    """A network's weights, and what it says with them."""
    with np.load(Path(folder) / f"{name}.npz") as arrays:
        parameters = {key: arrays[key] for key in arrays.files if "/" in key}
        return Check(parameters, arrays["images"], arrays["logits"])


def channels_first(network: Network, parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Parameters for images (n, c, h, w): filters (f, c, kh, kw), dense kernels (units, inputs) in the order that layout flattens to."""
    converted = dict(parameters)
    flattened = None
    for layer in network.layers:
        kernel = parameters.get(f"{layer['name']}/kernel")
        if layer["type"] == "Flatten":
            flattened = layer["input_shape"]
        elif layer["type"] == "Conv2D":
            converted[f"{layer['name']}/kernel"] = kernel.transpose(3, 2, 0, 1)
        elif layer["type"] == "Dense":
            if flattened is not None:
                kernel = kernel.reshape(*flattened, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
                flattened = None
            converted[f"{layer['name']}/kernel"] = kernel.T
    return {name: np.ascontiguousarray(array) for name, array in converted.items()}


def same_padding(layer: dict[str, Any]) -> int:
    """Zeros on each side of a convolution, for frameworks that want a number."""
    size = layer["kernel_size"][0]
    if layer["kernel_size"] != [size, size] or layer["padding"] not in ("same", "valid"):
        raise NotImplementedError(f"{layer['name']}: only square windows with padding 'same' or 'valid'")
    if layer["padding"] == "valid":
        return 0
    if size % 2 == 0 or layer["strides"] != [1, 1]:
        raise NotImplementedError(f"{layer['name']}: padding 'same' only for odd windows with stride 1")
    return size // 2


def unsupported(layer: dict[str, Any]) -> NotImplementedError:
    """The error for a layer that no peer needs so far."""
    return NotImplementedError(f"{layer['name']}: the workers cannot build a {layer['type']} with {layer.get('activation')}")


def read_mnist(folder: str, limit: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images and labels, then those to test on, as they lie on disk; the first ``limit`` of each, None for all."""
    parts = []
    for part in ("train", "t10k"):
        parts.append(_read_idx(Path(folder) / f"{part}-images-idx3-ubyte", 16).reshape(-1, 28, 28, 1)[:limit])
        parts.append(_read_idx(Path(folder) / f"{part}-labels-idx1-ubyte", 8)[:limit])
    return parts[0], parts[1], parts[2], parts[3]


def _read_idx(path: Path, header: int) -> np.ndarray:
    packed = path.with_name(path.name + ".gz")
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    return np.frombuffer(data, np.uint8, offset=header)
