"""Programs for processes of their own that compute side by side, and the function that runs them.

start("train", "stripes", threads=2, layer="omp").result()     # the JSON that the program prints
"""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import SETTINGS, net, run, sha, stripes
from repository import ROOT, TESTS

import numbacnn as nc
import numbacnn.functional as F
from numbacnn.backends import compilations, get_ops
from numbacnn.errors import DeviceError
from numbacnn.graph import Graph, without_softmax
from numbacnn.prediction import Predictor
from numbacnn.training import new_state

LAYERS = ("omp", "workqueue", "tbb")
WORKERS = 8
SECONDS = 600
"""The most that a child may take: a hang is a failure."""


def dense() -> Graph:
    """Two dense layers, for 6x6 images: few kernels."""
    return nc.sequential(
        nc.Flatten(), nc.Dense(20, activation="tanh"), nc.Dense(3, activation="softmax"), input_shape=(6, 6, 1), name="dense"
    )


def branches() -> Graph:
    """Two convolutions side by side, joined twice."""
    return nc.build_graph(
        "branches",
        (6, 6, 1),
        [
            ("a", nc.Conv2D(3, 3, padding="same", activation="relu"), ["input"]),
            ("b", nc.Conv2D(3, 1), ["input"]),
            ("sum", nc.Add(), ["a", "b"]),
            ("both", nc.Concatenate(), ["sum", "a"]),
            ("pool", nc.AvgPool2D(2), None),
            ("mean", nc.GlobalAvgPool2D(), None),
            ("head", nc.Dense(3, activation="softmax"), None),
        ],
    )


NETWORKS: dict[str, Callable[[], Graph]] = {"stripes": net, "dense": dense, "branches": branches}


def trained(name: str, threads: int | None = None) -> str:
    """The digest of a network's weights after a short training."""
    ops = get_ops("cpu", threads)
    state = new_state(NETWORKS[name](), SETTINGS, ops)
    run(state, stripes())
    return sha(state)


def predictor(name: str = "stripes") -> Predictor:
    """A predictor with initial weights."""
    ops = get_ops("cpu")
    graph = NETWORKS[name]()
    return Predictor(without_softmax(graph), ops, new_state(graph, SETTINGS, ops).parameters)


# --- programs ---------------------------------------------------------------------------------------------------------------------


def train(name: str, threads: str) -> dict[str, Any]:
    """Train in this process; count the kernels compiled."""
    import numba

    with compilations() as compiled:
        digest = trained(name, int(threads))
    return {"digest": digest, "compiled": compiled.count, "layer": numba.threading_layer()}


def share(data_folder: str, network: str) -> dict[str, Any]:
    """Load the few images of ``small_mnist`` from a folder that may be empty, and compute: one op, or a training."""
    import small_mnist

    from numbacnn.datasets import mnist

    mnist.FILES = small_mnist.SMALL_FILES
    images = mnist.load(Path(data_folder))[0]
    with compilations() as compiled:
        total = float(F.relu(images.astype(np.float32) - 100).sum())
        digest = trained(network) if network else ""
    return {"total": total, "digest": digest, "compiled": compiled.count}


def threads(seed: str, tasks_each: str) -> dict[str, Any]:
    """Eight threads that train, predict by one predictor, by one each, or call functions; list the wrong answers.

    They are the first to use kernels in this process, all at the same moment.
    """
    import numba

    generator = np.random.default_rng(int(seed))
    sys.setswitchinterval(1e-5)
    first = _first_use(WORKERS)
    images = stripes().train_images
    x, kernel = generator.standard_normal((3, 9, 9, 2), np.float32), generator.standard_normal((3, 3, 2, 4), np.float32)
    shared = predictor()

    def functions() -> list[bytes]:
        y = F.conv2d(x, kernel)
        return [each.tobytes() for each in (y, *F.conv2d_backward(x, kernel, y), F.max_pool2d(y), F.softmax(y[:, 0, 0]))]

    tasks: list[Callable[[], Any]] = [
        lambda: trained("stripes"),
        lambda: shared(images).logits.tobytes(),
        lambda: predictor()(images[:37]).logits.tobytes(),
        lambda: predictor("dense")(images).logits.tobytes(),
        functions,
    ]
    right = [task() for task in tasks]
    order = generator.integers(0, len(tasks), WORKERS * int(tasks_each))
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(lambda task: tasks[task](), order))
    wrong = [int(task) for task, answer in zip(order, answers, strict=True) if answer != right[task]]
    return {"layer": numba.threading_layer(), "first": first, "tasks": len(order), "wrong": wrong}


def _first_use(workers: int) -> list[float | str]:
    barrier = threading.Barrier(workers)
    x = np.arange(50, dtype=np.float32).reshape(2, 5, 5, 1) - 20

    def work(number: int) -> float | str:
        barrier.wait()
        if number == 0:
            return trained("dense")
        if number == 1:
            return float(F.conv2d(x, np.ones((3, 3, 1, 1), np.float32)).sum())
        return float(F.relu(x).sum())

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, range(workers)))


def forked(how: str) -> dict[str, Any]:
    """Use kernels, fork, and use them in the child and in the parent: the child's answer is the digest, or the error's text."""
    import numba

    right = trained("stripes")
    if how == "threads":  # others compute while the process forks
        with ThreadPoolExecutor(3) as pool:
            others = [pool.submit(trained, "stripes") for _ in range(6)]
            child = _in_child(lambda: trained("stripes"))
            assert {other.result() for other in others} == {right}
    elif how == "grandchild":
        child = _in_child(lambda: _in_child(lambda: trained("stripes")))
    elif how == "pool":
        with multiprocessing.get_context("fork").Pool(2) as pool:
            child = _answer(lambda: pool.map(trained, ["stripes"])[0])
    else:
        child = _in_child(lambda: trained("stripes"))
    return {"layer": numba.threading_layer(), "right": right, "child": child, "afterwards": trained("stripes")}


def _answer(compute: Callable[[], str]) -> str:
    try:
        return compute()
    except DeviceError as error:
        return str(error)


def _in_child(compute: Callable[[], str]) -> str:
    """What ``compute`` returns in a child of ``fork``, the text of its DeviceError, or the child's exit status."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, _answer(compute).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return text if status == 0 else f"status {status}"


def pooled(method: str, processes: str) -> dict[str, Any]:
    """Use kernels, then train in processes that are started by ``method``."""
    right = trained("dense")
    with multiprocessing.get_context(method).Pool(int(processes)) as pool:
        return {"right": right, "children": pool.map(trained, ["dense"] * int(processes))}


def repeated(predicts: str, steps: str) -> dict[str, Any]:
    """Predict and train over and over, also in short-lived threads; measure memory and open files after warm-up and at the end."""
    shared, images = predictor(), stripes().train_images

    def work(count: int, trainings: int) -> None:
        for _ in range(count):
            shared(images[:20])
        for _ in range(trainings):
            trained("stripes")
        for _ in range(10):
            thread = threading.Thread(target=shared, args=(images,))
            thread.start()
            thread.join()

    per_training = SETTINGS.epochs * -(-len(images) // SETTINGS.batch_size)
    work(min(200, int(predicts)), 3)
    before, files = _resident(), len(os.listdir("/proc/self/fd"))
    trainings = max(1, int(steps) // per_training)
    work(int(predicts), trainings)
    grown = _resident() - before
    return {"grown": grown, "files": len(os.listdir("/proc/self/fd")) - files, "steps": trainings * per_training}


def _resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


PROGRAMS: dict[str, Callable[..., dict[str, Any]]] = {
    program.__name__: program for program in (train, share, threads, forked, pooled, repeated)
}


# --- processes --------------------------------------------------------------------------------------------------------------------


class Child:
    """A program that runs in a process of its own."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path | None) -> None:
        self._process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def result(self) -> dict[str, Any]:
        """What the program printed, once it has ended; it must end well, and say nothing else."""
        try:
            output, errors = self._process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            pytest.fail(f"a child hangs: {self._process.args}")
        assert self._process.returncode == 0, f"exit code {self._process.returncode}: {errors[-2000:]}"
        return json.loads(output)


def start(program: str, *args: object, layer: str = "default", folder: Path | None = None, **variables: object) -> Child:
    """Start a program under a threading layer, with environment variables."""
    needs(layer)
    environment = {name: value for name, value in os.environ.items() if name not in ("NUMBA_NUM_THREADS", "NUMBACNN_DATA_DIR")}
    environment |= {"PYTHONPATH": f"{TESTS}{os.pathsep}{ROOT}", "NUMBA_THREADING_LAYER": layer, "PYTHONWARNINGS": "ignore"}
    environment |= {name: str(value) for name, value in variables.items()}
    return Child([sys.executable, str(Path(__file__)), program, *map(str, args)], environment, folder)


def needs(layer: str) -> None:
    """Skip the test if the library of a threading layer is not installed."""
    if layer == "tbb":
        pytest.importorskip(
            "numba.np.ufunc.tbbpool", reason="the library of the layer tbb is not installed", exc_type=ImportError
        )


if __name__ == "__main__":
    print(json.dumps(PROGRAMS[sys.argv[1]](*sys.argv[2:])))
