"""numbacnn on several ranks, or on one: steps of a training, their exchanges, and collectives without a training.

Started by ``mpiexec``, every rank runs this file. The first one serves stdin (``protocol.py``), and the others do what it is asked for:

    {"do": "open", "model": "cnn", "batch": 100, "threads": 1}    {"digest": "...", "pids": [...], "bytes": 1e6, "calls": 9, ...}
    {"do": "round", "count": 20}                                  {"seconds": [...]}
    {"do": "costs", "model": "cnn", "batches": [...], "count": 9} {"steps": [...], "updates": [...]}, medians of each batch size
    {"do": "collectives", "sizes": [...], "repeats": 9}           {"all_gather": [...], "all_to_all": [...]}, seconds of each size
    {"do": "end"}
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from statistics import median
from typing import Any

from numbacnn.engines import launch

PLACE = launch.find()
if PLACE is not None:  # MPI starts before Numba's threads do
    from numbacnn.engines.mpi import MpiRanks

import numpy as np  # noqa: E402
from numbacnn_worker import STEP_IMAGES, images_to_learn, start, steps  # noqa: E402
from protocol import WARM_CALLS  # noqa: E402

from numbacnn.backends import get_ops  # noqa: E402
from numbacnn.checkpoint import weights_sha256  # noqa: E402
from numbacnn.ranks import ALONE, Ranks  # noqa: E402


class Counted(Ranks):
    """Ranks that count what they exchange: bytes that the others sent to this one, and calls."""

    def __init__(self, ranks: Ranks):
        super().__init__(ranks.rank, ranks.size)
        self._ranks = ranks
        self.bytes = self.calls = 0

    join = staticmethod(np.concatenate)

    def all_gather(self, values: Any, counts: Any) -> Any:
        self._count(values.itemsize, counts)
        return self._ranks.all_gather(values, counts)

    def all_to_all(self, parts: Any, counts: Any, most: int) -> Any:
        self._count(parts[self.rank][0].itemsize, counts)
        return self._ranks.all_to_all(parts, counts, most)

    def rows(self, parameter: Any) -> slice:
        return self._ranks.rows(parameter)

    def updates(self) -> AbstractContextManager[None]:
        return self._ranks.updates()

    def _count(self, item_bytes: int, counts: Any) -> None:
        self.calls += 1
        self.bytes += (sum(counts) - counts[self.rank]) * item_bytes


class Worker:
    """One rank of a benchmark; the first one answers."""

    def __init__(self, ranks: Any):
        self.ranks = ranks
        self._steps: Iterator[float] | None = None

    def do(self, request: dict[str, Any]) -> dict[str, Any]:
        """All ranks do the same."""
        return getattr(self, f"_{request['do']}")(request)

    def _open(self, request: dict[str, Any]) -> dict[str, Any]:
        ops = get_ops("cpu", request["threads"])
        counted = Counted(self.ranks) if self.ranks.size > 1 else self.ranks
        ops.ranks = counted
        state = start(request["model"], request["batch"], ops)
        if self.ranks.size > 1:
            state.parameters, state.slots = self.ranks.share_large(state.parameters), self.ranks.share_large(state.slots)
        self._steps = steps(state, images_to_learn(STEP_IMAGES), ops)
        list(islice(self._steps, 4))
        before = (counted.bytes, counted.calls) if self.ranks.size > 1 else (0, 0)
        next(self._steps)
        after = (counted.bytes, counted.calls) if self.ranks.size > 1 else (0, 0)
        digest = weights_sha256(state.graph, {name: ops.to_host(array) for name, array in state.parameters.items()})
        own = {"digest": digest, "pid": os.getpid(), "bytes": after[0] - before[0], "calls": after[1] - before[1]}
        every = [own] if self.ranks.size == 1 else self.ranks.gather_objects(own)
        return {
            "digests": sorted({each["digest"] for each in every}),
            "pids": [each["pid"] for each in every],
            "bytes": max(each["bytes"] for each in every),
            "calls": own["calls"],
        }

    def _round(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._steps is not None
        return {"seconds": list(islice(self._steps, WARM_CALLS + request["count"]))[WARM_CALLS:]}

    def _costs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Medians of a step, and of the updates in it, at each batch size, in turns."""
        ops = get_ops("cpu", request["threads"])
        clock = [0.0]
        for name in ("update", "moving_average_update"):
            setattr(ops, name, timed(getattr(ops, name), clock))
        batches = request["batches"]
        images = images_to_learn(STEP_IMAGES)
        running = [steps(start(request["model"], batch, ops), images, ops) for batch in batches]
        found: list[list[tuple[float, float]]] = [[] for _ in batches]
        for each in running:
            list(islice(each, 2))
        for _ in range(request["rounds"]):
            for each, samples in zip(running, found, strict=True):
                next(each)
                for _ in range(request["count"]):
                    clock[0] = 0.0
                    seconds = next(each)
                    samples.append((seconds, clock[0]))
        return {
            "steps": [median(step for step, _ in samples) for samples in found],
            "updates": [median(update for _, update in samples) for samples in found],
        }

    def _collectives(self, request: dict[str, Any]) -> dict[str, Any]:
        """Seconds of each collective, in the mean of calls one after the other. A size is what a rank has, sent and kept, in bytes."""
        size = self.ranks.size
        answer: dict[str, Any] = {"all_gather": [], "all_to_all": [], "pids": self.ranks.gather_objects(os.getpid())}
        for count in request["sizes"]:
            part = np.ones(max(1, count // 4 // size), np.float32)

            def gather(own: Any = part) -> None:
                self.ranks.all_gather(own, [len(own)] * size)

            def exchange(own: Any = part) -> None:
                self.ranks.all_to_all([[own]] * size, [len(own)] * size, len(own))

            for name, call in (("all_gather", gather), ("all_to_all", exchange)):
                repeats = max(3, min(request["repeats"], 64_000_000 // count))
                call()
                call()
                started = time.perf_counter()
                for _ in range(repeats):
                    call()
                answer[name].append((time.perf_counter() - started) / repeats)
        return answer


def timed(call: Any, clock: list[float]) -> Any:
    """The same call; its seconds are added to ``clock[0]``."""

    def wrapped(*args: Any, **names: Any) -> Any:
        started = time.perf_counter()
        done = call(*args, **names)
        clock[0] += time.perf_counter() - started
        return done

    return wrapped


def main() -> None:
    ranks = ALONE if PLACE is None else MpiRanks(PLACE)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker(ranks)
    while True:
        request = None
        if ranks.rank == 0:
            request = json.loads(sys.stdin.readline() or '{"do": "end"}')
        if ranks.size > 1:
            request = ranks.broadcast(request)
        if request["do"] == "end":
            break
        try:
            answer = worker.do(request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        if ranks.rank == 0:
            print(json.dumps(answer), file=answers, flush=True)
    if ranks.size > 1:
        ranks.finish()


if __name__ == "__main__":
    main()
