"""Processes on one kernel cache and one data folder, threads side by side, and fork after use: right answers or one clear message."""

import json
import os
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import http_server
import numpy as np
import pytest
import small_mnist
from battery_cases import Battery
from networks import stripes
from side_by_side import LAYERS, NETWORKS, WORKERS, needs, predictor, start, trained

from numbacnn.datasets import mnist

AFTER_FORK = "kernels: expected their first use after fork()"
HOW_FORKED = ("plain", "pool", "threads", "grandchild")

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the measurements are read from /proc")


@pytest.fixture
def server() -> Iterator[http_server.Server]:
    with http_server.serving(small_mnist.BY_NAME) as running:
        yield running


def test_processes_share_a_cold_kernel_cache_and_an_empty_data_folder(
    battery: Battery, server: http_server.Server, tmp_path: Path
) -> None:
    """In the normal tests two processes compile one kernel; in the battery six compile those of a training."""
    processes, network = (6, "dense") if battery.whole else (2, "")
    digest = trained("dense") if network else ""
    mirror = server.mirror("good", http_server.good)
    for case in battery("processes on one cold kernel cache and one data folder (rounds of six)", smoke=1, whole=5):
        with case:
            server.requests.clear()
            data, cache = tmp_path / f"data-{case.index}", tmp_path / f"cache-{case.index}"
            variables = {"NUMBA_CACHE_DIR": cache, mnist.MIRRORS_VARIABLE: mirror}
            children = [start("share", data, network, **variables) for _ in range(processes)]
            answers = [child.result() for child in children]
            assert {answer["digest"] for answer in answers} == {digest}
            assert len({answer["total"] for answer in answers}) == 1
            assert sum(answer["compiled"] for answer in answers) > 0, "the cache was not cold"
            small_mnist.assert_complete(data)
            assert sorted(server.requests.values()) == [1, 1, 1, 1], "each file is downloaded once"
            later = start("share", data, network, **variables).result()
            assert later == answers[0] | {"compiled": 0}, "the cache is whole"


@pytest.mark.parametrize("layer", LAYERS)
def test_eight_threads_get_right_answers_under_every_threading_layer(battery: Battery, layer: str) -> None:
    """Under workqueue, Numba ends a process whose threads run kernels at the same moment."""
    needs(layer)
    each, right = 10 if battery.whole else 3, trained("dense")
    for case in battery(f"processes of eight threads under {layer}", smoke=1, whole=10):
        with case:
            answer = start("threads", case.index, each, layer=layer).result()
            first = [right, 729.0] + (WORKERS - 2) * [435.0]
            assert answer == {"layer": layer, "first": first, "tasks": WORKERS * each, "wrong": []}


@forks
@pytest.mark.parametrize("layer", LAYERS)
def test_after_a_fork_the_child_computes_or_says_what_to_do(battery: Battery, layer: str) -> None:
    """GNU's OpenMP killed the child, or left it waiting for ever."""
    needs(layer)
    right = trained("stripes")
    for case in battery(f"fork after use under {layer}", smoke=1, whole=8):
        with case:
            answer = start("forked", HOW_FORKED[case.index % len(HOW_FORKED)], layer=layer).result()
            assert (answer["layer"], answer["right"], answer["afterwards"]) == (layer, right, right)
            if layer == "omp" and sys.platform.startswith("linux"):
                assert answer["child"].startswith(AFTER_FORK)
                assert "multiprocessing.get_context('spawn')" in answer["child"]
            else:
                assert answer["child"] == right


def test_a_pool_of_spawned_processes_computes_the_same(battery: Battery) -> None:
    """As joblib's loky does, too."""
    processes, right = 3 if battery.whole else 1, trained("dense")
    for case in battery("pools of spawned processes", smoke=1, whole=4):
        with case:
            method = "spawn" if case.index % 2 == 0 or not hasattr(os, "fork") else "forkserver"
            assert start("pooled", method, processes).result() == {"right": right, "children": processes * [right]}


def test_a_training_and_predictions_in_other_threads_do_not_disturb_each_other(battery: Battery) -> None:
    """Results lie in memory that the next step uses again: each thread has its own."""
    images = stripes().train_images
    predictors = {name: [predictor(name) for _ in range(2)] for name in NETWORKS}
    right = {name: (pair[0](images).logits, trained(name)) for name, pair in predictors.items()}
    for case in battery("a training beside seven threads of predictions", smoke=4, whole=60):
        with case, ThreadPoolExecutor(8) as pool:
            random, name = case.random, str(case.random.choice(list(NETWORKS)))
            training = pool.submit(trained, name)
            parts = []
            for _ in range(40):
                other = str(random.choice(list(NETWORKS)))
                first, last = sorted(random.integers(0, len(images) + 1, 2))
                part = slice(int(first), int(last))
                parts.append((other, part, pool.submit(predictors[other][random.integers(2)], images[part])))
            for other, part, prediction in parts:
                assert np.array_equal(prediction.result().logits, right[other][0][part])
            assert training.result() == right[name][1]


def test_a_web_server_that_predicts_in_a_thread_per_request_answers_rightly(battery: Battery) -> None:
    shared, images = predictor(), stripes().train_images
    right = shared(images).logits

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            first, last = map(int, self.path.strip("/").split("-"))
            body = json.dumps(shared(images[first:last]).logits.tolist()).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Tests print nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def ask(first: int, last: int) -> Any:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/{first}-{last}", timeout=60) as answer:
                return np.array(json.load(answer), np.float32)

        try:
            for case in battery("rounds of 40 requests to a web server", smoke=1, whole=20):
                with case, ThreadPoolExecutor(8) as clients:
                    parts = [sorted(int(n) for n in case.random.choice(len(images), 2, replace=False)) for _ in range(40)]
                    answers = clients.map(lambda part: ask(*part), parts)
                    for (first, last), answer in zip(parts, answers, strict=True):
                        assert np.array_equal(answer, right[first:last])
        finally:
            server.shutdown()
            thread.join()


@linux
def test_many_predictions_and_training_steps_hold_no_more_memory_and_no_more_files(battery: Battery, tmp_path: Path) -> None:
    predicts, steps = (5000, 300) if battery.whole else (100, 28)
    for case in battery("processes of 5,000 predictions and 300 training steps", smoke=1, whole=3):
        with case:
            folder = tmp_path / str(case.index)
            temporary = folder / "tmp"
            temporary.mkdir(parents=True)
            answer = start("repeated", predicts, steps, folder=folder, TMPDIR=temporary).result()
            assert answer["steps"] >= steps - 28
            assert answer["grown"] < 5_000_000
            assert answer["files"] == 0
            assert [path.name for path in folder.rglob("*")] == ["tmp"], "temporary files are left"


# --- the environment --------------------------------------------------------------------------------------------------------------

ODD = {
    "NUMBA_THREADING_LAYER": ("nonsense", "", "omp,tbb"),
    "NUMBA_THREADING_LAYER_PRIORITY": ("nonsense", "omp tbb"),
    "NUMBA_NUM_THREADS": ("abc", "0", "-1", "1.5", "", "1000", "99999999999999999999"),
    "NUMBA_DISABLE_JIT": ("1", "yes"),
    "NUMBA_OPT": ("fast", "7"),
    "NUMBA_CPU_NAME": ("nonsense", "--help"),
    "NUMBA_CPU_FEATURES": ("nonsense", "+nonsense", "+avx2,,nonsense"),
    "NUMBA_BOUNDSCHECK": ("yes",),
    "NUMBA_ENABLE_AVX": ("no",),
    "NUMBA_DEVELOPER_MODE": ("yes",),
    "NUMBA_DEBUG_CACHE": ("yes",),
    "NUMBA_CACHE_LOCATOR_CLASSES": ("nonsense", "os.path"),
    "NUMBA_CACHE_DIR": ("FILE", "FILE/below", "/proc/nowhere", "READ_ONLY"),
    "OMP_NUM_THREADS": ("0", "abc"),
}
WITHOUT_EFFECT = {
    ("NUMBA_NUM_THREADS", ""),
    ("NUMBA_NUM_THREADS", "1000"),  # limited to the processors
    *((name, value) for name in ("NUMBA_CACHE_LOCATOR_CLASSES", "NUMBA_CACHE_DIR", "OMP_NUM_THREADS") for value in ODD[name]),
}
"""Values that change no result: the training goes on."""


def test_an_odd_environment_variable_is_one_message_and_doctor_reports_it(
    battery: Battery, numbacnn: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "read-only").mkdir(mode=0o500)
    places = {"FILE": str(tmp_path / "file"), "READ_ONLY": str(tmp_path / "read-only")}
    table = [(name, value) for name, values in ODD.items() for value in values]
    for case in battery("odd environment variables", smoke=1, whole=len(table)):
        with case:
            name, value = table[case.index * 7 % len(table)]
            given = value
            for place, path in places.items():
                given = given.replace(place, path)
            report = numbacnn("doctor", "--format", "json", env={name: given})
            assert (report.returncode, "Traceback" in report.stderr) == (0, False), (name, value, report.stderr)
            environment = json.loads(report.stdout)["environment"]
            assert environment["variables"][name] == given
            if (name, value) in WITHOUT_EFFECT:
                assert environment["problems"] == []
                continue
            message = environment["problems"] or [json.loads(report.stdout)["threads"]["error"]]
            assert message[0].startswith(f"{name}: expected "), (name, value, message)
            arguments = ("--model", "softmax", "--dataset", "digits", "--train-limit", 20, "--test-limit", 5, "--epochs", 1)
            training = numbacnn("train", *arguments, "--progress", "none", env={name: given})
            assert training.returncode == 1, (name, value)
            assert training.stderr.splitlines() == [f"Error: {message[0]}"], (name, value)
