"""How long a training step takes on many nodes: a model of what the ranks compute and what they exchange.

    step on N nodes = computation of the busiest rank + exchanges, one after the other

    computation     fixed + images of the largest share * per image + updates of the whole batch, which every rank repeats
    exchange        rounds * latency + (messages - 1) * overhead + bytes of the busiest rank / bandwidth

What a step exchanges is counted, not estimated: a step is taken as one rank of two, with an engine that notes each exchange. What it
computes is measured on one process at several batch sizes. See ``ASSUMPTIONS`` for what is taken for granted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from numbacnn.ranks import SMALL, Ranks, Share

ASSUMPTIONS = (
    "a node is one process, which updates all weights; ranks of one host would share the large ones",
    "all nodes compute as fast as this process, whatever the others do",
    "a step's computation is a straight line over the batch, also far beyond the batches that were measured",
    "computation and exchanges do not overlap, as in the program",
    "an all-gather has as many rounds as MPICH's: log2(N) below 80 kB, or 512 kB if N is a power of two, else N - 1",
    "a node sends and receives at the same time, each at the full bandwidth, and no switch is a bottleneck",
    "no rank waits for a slower one; reading, evaluation and checkpoints are left out",
)

DOUBLED, DOUBLED_BY_POWERS = 81920, 524288
"""All-gathers of fewer bytes take log2(N) rounds: any N, or powers of two.

Source: MPICH, MPIR_CVAR_ALLGATHER_SHORT_MSG_SIZE and MPIR_CVAR_ALLGATHER_LONG_MSG_SIZE.
"""


class Network(NamedTuple):
    """What connects the nodes.

    Args:
        latency: seconds from one process to another.
        overhead: seconds that a node needs for each further message that is under way at the same time.
        bandwidth: bytes per second, in each direction.
    """

    name: str
    latency: float
    overhead: float
    bandwidth: float


NETWORKS = (Network("10 GbE", 25e-6, 5e-6, 1.1e9), Network("25 GbE, RDMA", 3e-6, 0.5e-6, 2.9e9))
"""Usual figures of MPI over TCP and over RDMA; ``ranks.py --network`` takes those of another one."""


class Exchange(NamedTuple):
    """One exchange of a step.

    Args:
        kind: "rows", an array that has a row for each image, to all ranks; "sum", over a batch, to all ranks; "parts", a sum of which
            each rank adds some items; "items", of which each rank has those that it has added, to all ranks.
        items: that are divided among ranks; of rows there are as many as images.
        values, value_bytes: of an item, and the bytes of a value.
    """

    kind: str
    items: int
    values: int
    value_bytes: int


class Cost(NamedTuple):
    """What exchanges cost the busiest rank: ``bytes`` that it receives or sends, whichever is more."""

    messages: int
    bytes: int
    seconds: float

    def __add__(self, other: "Cost") -> "Cost":  # type: ignore[override]
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))


NOTHING = Cost(0, 0, 0.0)


@dataclass(frozen=True)
class Computation:
    """Seconds that one process computes in a step.

    Args:
        fixed, per_image: of what ranks share by images.
        update_fixed, update_per_image: of updates, which take the whole batch on every rank.
    """

    fixed: float
    per_image: float
    update_fixed: float
    update_per_image: float

    def seconds(self, images: int, batch: int) -> float:
        """Of a rank that has so many images of a batch."""
        return self.fixed + self.per_image * images + self.update_fixed + self.update_per_image * batch

    def scaled(self, factor: float) -> "Computation":
        """The same, so many times as long."""
        return Computation(*(factor * each for each in vars(self).values()))


def computation(batches: Sequence[int], steps: Sequence[float], updates: Sequence[float]) -> Computation:
    """The lines through seconds of whole steps, and of the updates in them, at several batch sizes; relative errors count."""
    shared = [step - update for step, update in zip(steps, updates, strict=True)]
    return Computation(*_line(batches, shared), *_line(batches, updates))


def _line(x: Sequence[int], y: Sequence[float]) -> tuple[float, float]:
    """Intercept and slope, neither below 0, of the line with the least squares of relative errors."""
    weights = 1 / np.maximum(np.asarray(y), 1e-9)
    both = _least(np.stack([weights, weights * x], axis=1))
    if min(both) >= 0:
        return both[0], both[1]
    (slope,), (constant,) = _least((weights * x)[:, None]), _least(weights[:, None])
    return (0.0, slope) if both[0] < 0 else (constant, 0.0)


def _least(terms: Any) -> list[float]:
    """Factors of the columns of terms (rows, columns) whose sum is nearest to 1 in every row."""
    return [float(each) for each in np.linalg.lstsq(terms, np.ones(len(terms)), rcond=None)[0]]


def measured_network(name: str, samples: Sequence[tuple[int, int, float]]) -> Network:
    """Latency and bandwidth from (messages one after the other, bytes of the busiest rank, seconds); relative errors count."""
    terms = [(messages / seconds, count / seconds) for messages, count, seconds in samples]
    latency, per_byte = (max(each, 1e-12) for each in _least(np.array(terms)))
    return Network(name, latency, latency, 1 / per_byte)


class Pretended(Ranks):
    """One rank of several, without the others: its own values stand for theirs, and what it would exchange is noted.

    Args:
        rank, size: of the ranks that are pretended.
    """

    def __init__(self, rank: int, size: int):
        super().__init__(rank, size)
        self.exchanges: list[Exchange] = []
        self.received = 0
        self._items = 0
        self._added: Exchange | None = None  # parts that were added last, and are to be gathered

    join = staticmethod(np.concatenate)

    def cuts(self, count: int) -> list[int]:
        self._items = count
        return super().cuts(count)

    def total(self, sums: Sequence[Any], batch: int) -> Any:
        before = len(self.exchanges)
        added = super().total(sums, batch)
        self.exchanges[before:] = [Exchange("sum", sums[0].size, 1, sums[0].itemsize)]
        self._added = None
        return added

    def part_of_total(self, parts: Sequence[Sequence[Any]], batch: int) -> Any:
        values = sum(part[0].size for part in parts)
        self._added = Exchange("parts", self._items, values // self._items, parts[0][0].itemsize)
        self.exchanges.append(self._added)
        return super().part_of_total(parts, batch)

    def gather(self, rows: Any, counts: Sequence[int]) -> Any:
        kind, items = ("rows", 0) if self._added is None else ("items", self._added.items)
        self._added = None
        self.exchanges.append(Exchange(kind, items, math.prod(rows.shape[1:]), rows.itemsize))
        return super().gather(rows, counts)

    def all_gather(self, values: Any, counts: Sequence[int]) -> Any:
        self.received += (sum(counts) - counts[self.rank]) * values.itemsize
        return np.resize(values, sum(counts))

    def all_to_all(self, parts: Sequence[Sequence[Any]], counts: Sequence[int], most: int) -> list[Any]:
        own = np.concatenate([array.reshape(-1) for array in parts[self.rank]])
        self.received += (sum(counts) - counts[self.rank]) * own.itemsize
        return [np.resize(own, count) for count in counts]


def shares(nodes: int, batch: int) -> list[Share] | None:
    """Every node's share of a batch; None if it has fewer groups than there are nodes."""
    found = Pretended(0, nodes).shares(batch)
    return found if nodes == 1 or found[0].ranks is not None else None


def exchange_cost(exchange: Exchange, parts: Sequence[Share], network: Network) -> Cost:
    """Of one exchange of the ranks that have these shares."""
    nodes = len(parts)
    if nodes == 1:
        return NOTHING
    kind, items, values, value_bytes = exchange
    unit = values * value_bytes
    if kind == "rows":
        return _all_gather([part.images * unit for part in parts], network)
    branches = [len(part.branches) for part in parts]
    if kind == "sum" and items <= SMALL:
        return _all_gather([count * items * unit for count in branches], network)
    cuts = Pretended(0, nodes).cuts(items)
    widths = [(stop - first) * unit for first, stop in pairwise(cuts)]
    cost = NOTHING
    if kind in ("sum", "parts"):
        cost += _all_to_all(branches, widths, network)
    if kind in ("sum", "items"):
        cost += _all_gather(widths, network)
    return cost


def _all_to_all(branches: Sequence[int], widths: Sequence[int], network: Network) -> Cost:
    """Of an exchange in which each rank gives each its bytes (``widths``), once for each of its own branches."""
    nodes, every, size = len(branches), sum(branches), sum(widths)
    busiest = max(max(own * (size - width), width * (every - own)) for own, width in zip(branches, widths, strict=True))
    seconds = network.latency + (nodes - 2) * network.overhead + busiest / network.bandwidth
    return Cost(nodes - 1, busiest, seconds)


def _all_gather(counts: Sequence[int], network: Network) -> Cost:
    """Of an all-gather of so many bytes of each rank; the one with the fewest receives the most."""
    nodes, total = len(counts), sum(counts)
    rounds, busiest = gather_rounds(nodes, total), total - min(counts)
    return Cost(rounds, busiest, rounds * network.latency + busiest / network.bandwidth)


def gather_rounds(nodes: int, total: int) -> int:
    """Messages that follow one another in an all-gather of so many bytes in all."""
    doubles = total < (DOUBLED_BY_POWERS if nodes & (nodes - 1) == 0 else DOUBLED)
    return math.ceil(math.log2(nodes)) if doubles else nodes - 1


class Step(NamedTuple):
    """A step on many nodes, in seconds: ``repeated`` is the part of ``computed`` that does not shrink with more nodes."""

    nodes: int
    batch: int
    computed: float
    repeated: float
    exchanged: Cost

    @property
    def seconds(self) -> float:
        return self.computed + self.exchanged.seconds


def step(
    nodes: int, batch: int, work: Computation, exchanges: Sequence[Exchange], network: Network, processors: int | None = None
) -> Step | None:
    """A training step.

    Args:
        processors: that the nodes share, if they are processes of one host; None if each has its own.

    Returns:
        None if the batch has fewer groups than there are nodes.
    """
    parts = shares(nodes, batch)
    if parts is None:
        return None
    turns = max(1.0, nodes / (processors or nodes))
    cost = sum((exchange_cost(exchange, parts, network) for exchange in exchanges), NOTHING)
    computed = turns * work.seconds(max(part.images for part in parts), batch)
    return Step(nodes, batch, computed, turns * work.seconds(0, batch), cost)
