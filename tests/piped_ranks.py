"""Several processes that train together, with pipes between them: the contract of ``numbacnn.ranks`` without MPI."""

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from repository import ROOT, TESTS

from numbacnn.ranks import Ranks


class PipedRanks(Ranks):
    """Ranks of which each pair has a pipe; ``pipes[rank]`` leads to that rank."""

    def __init__(self, rank: int, size: int, pipes: Sequence[Any]):
        super().__init__(rank, size)
        self._pipes = pipes

    join = staticmethod(np.concatenate)

    def all_gather(self, values: np.ndarray, counts: Sequence[int]) -> np.ndarray:
        assert values.size == counts[self.rank]
        return np.concatenate(self.all_to_all([[values]] * self.size, counts, max(counts)))

    def all_to_all(self, parts: Sequence[Sequence[np.ndarray]], counts: Sequence[int], most: int) -> list[np.ndarray]:
        joined = [np.concatenate([array.reshape(-1) for array in part]) for part in parts]
        assert max(*counts, *(part.size for part in joined)) <= most
        received = []
        for other, pipe in enumerate(self._pipes):
            if other == self.rank:
                received.append(joined[other])
                continue
            if self.rank < other:
                pipe.send(joined[other])
                received.append(pipe.recv())
            else:
                received.append(pipe.recv())
                pipe.send(joined[other])
            assert received[-1].size == counts[other]
        return received


def on_ranks(size: int, function: Callable[[Ranks], Any]) -> list[Any]:
    """What a function of a module gives on each of so many ranks, in order."""
    context = multiprocessing.get_context("spawn")
    if str(ROOT) not in sys.path:  # which the processes have too: pytest may know the function by its place in the tree
        sys.path.append(str(ROOT))
    pipes: list[list[Any]] = [[None] * size for _ in range(size)]
    for a in range(size):
        for b in range(a):
            pipes[a][b], pipes[b][a] = context.Pipe()
    answers = [context.Pipe(duplex=False) for _ in range(size)]
    processes = [
        context.Process(target=_work, args=(function, rank, size, pipes[rank], answers[rank][1])) for rank in range(size)
    ]
    for process in processes:
        process.start()
    try:
        for _, writer in answers:
            writer.close()
        return [reader.recv() for reader, _ in answers]
    finally:
        for process in processes:
            process.kill()
            process.join()


def _work(function: Callable[[Ranks], Any], rank: int, size: int, pipes: Sequence[Any], answer: Any) -> None:
    sys.path.insert(0, str(TESTS))
    answer.send(function(PipedRanks(rank, size, pipes)))
