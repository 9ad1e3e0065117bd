"""Training on several processes: collectives, steps on 1 to 4 ranks of this host, and a model of a step on up to 1,024 nodes.

    pip install '.[mpi]'
    python benchmarks/ranks.py [--models cnn,accurate,small,dense128] [--most 4] [--rounds 7] [--json FILE]

Ranks have a thread each. They are measured in turns with one process of one thread, and with one process of as many threads as there are
processors; those that wait are stopped (SIGSTOP). Their weights have to be equal to the bit. The model (``cluster.py``) is printed
beside what was measured, and then for clusters: each node is a process on all processors of this host.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from cluster import (
    ASSUMPTIONS,
    NETWORKS,
    Computation,
    Exchange,
    Network,
    Pretended,
    Step,
    computation,
    gather_rounds,
    measured_network,
    step,
)
from peers import describe_machine, load, positive, processors, several
from presets import SEEDS
from report import Spread, by_round, duration, ratios, spread, table
from rich.console import Console
from rounds import Entry, Failed, Worker, take_turns
from works import OURS

from numbacnn.backends import get_ops
from numbacnn.files import write_atomically

SCRIPT = "ranks_worker.py"
BATCH = 100
COST_BATCHES = (50, 100, 200, 400)
"""Batches at which one process is measured, for the lines of the model."""

SIZES = tuple(1024 * 4**power for power in range(8))
"""Bytes of collectives: 1 kB to 16 MB."""

STRONG_BATCH = 1000
NODES = tuple(2**power for power in range(11))


class Job(Worker):
    """A live worker of one process, or of several ranks; all of them are stopped when it is not its turn."""

    def __init__(self, mpiexec: str, ranks: int, threads: int) -> None:
        self._pids: list[int] = []
        super().__init__(sys.executable, SCRIPT, threads, (mpiexec, "-n", str(ranks)) if ranks > 1 else ())

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = super().ask(request)
        if "pids" in answer:
            self._pids = answer["pids"]
            self._signal("SIGSTOP")
        return answer

    def _signal(self, name: str) -> None:
        if hasattr(signal, name):
            for pid in self._pids:
                os.kill(pid, getattr(signal, name))

    def __exit__(self, *error: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._signal("SIGCONT")
            self._process.stdin.write('{"do": "end"}\n')
            self._process.stdin.flush()
            self._process.wait(20)
        except (OSError, subprocess.TimeoutExpired):
            self._process.terminate()  # mpiexec ends its ranks
        super().__exit__(*error)


@dataclass
class Steps:
    """What was measured of one network.

    Args:
        entries: one process of one thread, ranks of one thread, one process of all threads.
        bytes, calls: of a step, by the number of ranks: what the busiest rank receives, and its collectives.
        exchanges: what a step exchanges.
        one, all: what a process computes, on one thread and on all.
    """

    model: str
    entries: list[Entry]
    bytes: dict[int, int]
    calls: dict[int, int]
    exchanges: list[Exchange]
    one: Computation
    all: Computation
    failed: list[str] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse(arguments)
    console = Console(soft_wrap=True, width=200 if not sys.stdout.isatty() else None)
    progress = Console(stderr=True)
    machine = describe_machine()
    console.print(f"{machine['processor']}, {machine['processors']} processor(s), {options.rounds} round(s), batch {BATCH}")
    samples = collectives(options)
    network = fitted(samples)
    print_collectives(console, samples, network)
    networks = [*NETWORKS, *options.network]
    found = []
    for model in options.models:
        progress.print(model, highlight=False)
        found.append(measured(options, model, lambda text: progress.print(text, highlight=False)))
        print_steps(console, found[-1])
        print_beside(console, found[-1], network)
    console.print("\nThe model takes for granted that")
    for line in ASSUMPTIONS:
        console.print(f"  * {line};", highlight=False)
    for each in (*networks, network):
        console.print(f"  {described(each)}", highlight=False)
    for steps in found:
        print_clusters(console, steps, networks, options.threads)
    if options.json:
        report = {
            "machine": machine | {"load_after": load()},
            "settings": {key: getattr(options, key) for key in ("rounds", "steps", "most", "threads", "quick")}
            | {"batch": BATCH},
            "collectives": samples,
            "networks": [each._asdict() for each in (*networks, network)],
            "assumptions": ASSUMPTIONS,
            "models": [as_dict(steps, [*networks, network]) for steps in found],
        }
        write_atomically(options.json, (json.dumps(report, indent=1) + "\n").encode())


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    models = ["cnn", "accurate", "small", "dense128"]
    parser.add_argument("--models", type=several(list(SEEDS)), default=models, metavar="MODEL,...", help=",".join(models))
    parser.add_argument("--most", type=positive, default=4, help="ranks; 4. More than there are processors are for tests only")
    parser.add_argument("--rounds", type=positive, default=7, help="turns of each; 7")
    parser.add_argument("--steps", type=positive, default=20, help="of a turn; 20")
    parser.add_argument("--threads", type=positive, default=processors(), help="of a node of a cluster; as many as processors")
    parser.add_argument(
        "--mpiexec", metavar="PATH", default=None, help="the launcher; the one beside this Python, or on the path"
    )
    parser.add_argument(
        "--network", type=network_of, action="append", default=[], metavar="LATENCY,OVERHEAD,GB/S",
        help="another network for the model, in microseconds and 10^9 bytes per second",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="a little of everything, to see that it runs; no figures to quote")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, raw samples included")
    options = parser.parse_args(arguments)
    beside = Path(sys.executable).with_name("mpiexec")
    options.mpiexec = options.mpiexec or (str(beside) if beside.exists() else shutil.which("mpiexec"))
    if options.mpiexec is None:
        parser.error("there is no mpiexec: pip install '.[mpi]'")
    if options.quick:
        options.rounds, options.steps, options.most = min(options.rounds, 2), min(options.steps, 2), min(options.most, 2)
    return options


def network_of(text: str) -> Network:
    """A network from three numbers."""
    latency, overhead, bandwidth = (float(each) for each in text.split(","))
    return Network(f"{text} (--network)", latency * 1e-6, overhead * 1e-6, bandwidth * 1e9)


# --- collectives ---------------------------------------------------------------------------------------------------------------


def collectives(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds of each collective, by ranks and bytes: medians of rounds in turns."""
    sizes = SIZES[:3] if options.quick else SIZES
    request = {"do": "collectives", "sizes": sizes, "repeats": 5 if options.quick else 200}
    rounds: dict[int, list[dict[str, Any]]] = {ranks: [] for ranks in range(2, options.most + 1)}
    with ExitStack() as stack:
        jobs = {ranks: stack.enter_context(Job(options.mpiexec, ranks, 1)) for ranks in rounds}
        for _ in range(min(options.rounds, 5)):
            for ranks, job in jobs.items():
                rounds[ranks].append(job.ask(request))
    return [
        {"kind": kind, "ranks": ranks, "bytes": size, "seconds": median(answer[kind][place] for answer in answers)}
        for ranks, answers in rounds.items()
        for kind in ("all_gather", "all_to_all")
        for place, size in enumerate(sizes)
    ]


def fitted(samples: Sequence[dict[str, Any]]) -> Network:
    """Shared memory as a network, from the samples in which each rank has a processor; from two ranks if there are fewer."""
    most = max(2, processors())
    terms = []
    for each in samples:
        ranks, size = each["ranks"], each["bytes"]
        if ranks <= most:
            rounds = gather_rounds(ranks, size) if each["kind"] == "all_gather" else ranks - 1
            terms.append((rounds, size * (ranks - 1) // ranks, each["seconds"]))
    return measured_network("shared memory, as measured", terms)


def print_collectives(console: Console, samples: Sequence[dict[str, Any]], network: Network) -> None:
    """A table of collectives, and the fit."""
    ways = sorted({(each["kind"], each["ranks"]) for each in samples})
    rows = table("collectives, by bytes that a rank has after them", "", *(f"{kind}, {ranks} ranks" for kind, ranks in ways))
    times = {(each["kind"], each["ranks"], each["bytes"]): each["seconds"] for each in samples}
    for size in sorted({each["bytes"] for each in samples}):
        name = f"{size // 1024:,} kB" if size < 2**20 else f"{size // 2**20} MB"
        rows.add_row(name, *(duration(times[*way, size]) for way in ways))
    console.print()
    console.print(rows)
    console.print(f"  {described(network)}{too_many(max(ranks for _, ranks in ways))}", highlight=False)


def described(network: Network) -> str:
    """A network in words."""
    return (
        f"{network.name}: {network.latency * 1e6:.3g} µs, {network.overhead * 1e6:.3g} µs for each further message, "
        f"{network.bandwidth / 1e9:.3g} GB/s"
    )


def too_many(ranks: int) -> str:
    """What to say of so many ranks on this host; nothing if each has a processor."""
    if ranks <= processors():
        return ""
    return f". More ranks than the {processors()} processor(s) here wait for each other: that is for tests only"


# --- steps ---------------------------------------------------------------------------------------------------------------------


def measured(options: argparse.Namespace, model: str, show: Any) -> Steps:
    """Steps of one network in every way, in turns."""
    ways = [("1 process, 1 thread", 1, 1)]
    ways += [(f"{ranks} ranks, 1 thread each", ranks, 1) for ranks in range(2, options.most + 1)]
    ways += [(f"1 process, {options.threads} threads", 1, options.threads)] if options.threads > 1 else []
    sent, calls, ready, costs = {}, {}, [], []
    with ExitStack() as stack:
        for name, ranks, threads in ways:
            job = stack.enter_context(Job(options.mpiexec, ranks, threads))
            answer = job.ask({"do": "open", "model": model, "batch": BATCH, "threads": threads})
            ready.append((Entry(OURS, name, threads), job))
            digests = {*answer["digests"], *(digest for entry, _ in ready for digest in entry.versions.values())}
            if len(digests) > 1:
                raise Failed(f"{model}, {name}: the weights are not those of one process")
            ready[-1][0].versions["weights"] = answer["digests"][0]
            if ranks > 1:
                sent[ranks], calls[ranks] = answer["bytes"], answer["calls"]
        failures = take_turns(ready, options.rounds, options.steps, show)
        if failures:
            raise Failed(f"{model}, {failures[0][0].variant}: {failures[0][1]}")
        batches = COST_BATCHES[1:3] if options.quick else COST_BATCHES
        for threads in dict.fromkeys((1, options.threads)):
            job = ready[0 if threads == 1 else -1][1]
            request = {"do": "costs", "model": model, "batches": batches, "threads": threads, "rounds": options.rounds}
            answer = job.ask(request | {"count": max(2, options.steps // 5)})
            costs.append(computation(batches, answer["steps"], answer["updates"]))
    entries = [entry for entry, _ in ready]
    one = calibrated(costs[0], entries[0])
    return Steps(
        model, entries, sent, calls, exchanges_of(model), one, one if len(costs) == 1 else calibrated(costs[1], entries[-1])
    )


def calibrated(cost: Computation, entry: Entry) -> Computation:
    """The same proportions, and the seconds that were measured in turns."""
    return cost.scaled(median(by_round(entry)) / cost.seconds(BATCH, BATCH))


def exchanges_of(model: str, batch: int = BATCH) -> list[Exchange]:
    """What a training step exchanges: it is taken here, as one rank of two that are pretended."""
    return pretended_step(model, Pretended(0, 2), batch).exchanges


def pretended_step(model: str, ranks: Pretended, batch: int) -> Pretended:
    """The ranks, after one training step with them."""
    sys.path.insert(0, str(Path(__file__).parent / "workers"))
    from numbacnn_worker import images_to_learn, start, steps

    sys.path.pop(0)
    ops = get_ops("cpu", 1)
    ops.ranks = ranks
    next(steps(start(model, batch, ops), images_to_learn(2 * batch), ops))
    return ranks


def print_steps(console: Console, steps: Steps) -> None:
    """A table of ways to take a step."""
    rows = table(f"training step of {steps.model}", "", "median", "min .. max", "to one thread", "MB into a rank", "collectives")
    first = steps.entries[0]
    for entry in steps.entries:
        time = spread(by_round(entry))
        ranks = ranks_of(entry)
        rows.add_row(
            entry.variant, duration(time.median), f"{duration(time.min)} .. {duration(time.max)}",
            "" if entry is first else of(ratios(entry, first)),
            f"{steps.bytes[ranks] / 1e6:.2f}" if ranks > 1 else "", str(steps.calls[ranks]) if ranks > 1 else "",
        )  # fmt: skip
    console.print()
    console.print(rows)
    most = max(ranks_of(entry) for entry in steps.entries)
    console.print(f"  the weights are equal to the bit{too_many(most)}", highlight=False)


def ranks_of(entry: Entry) -> int:
    """How many ranks an entry has."""
    return int(entry.variant.split()[0])


def of(values: Spread) -> str:
    """A ratio and its range."""
    return f"{values.median:.2f} ({values.min:.2f} .. {values.max:.2f})"


def print_beside(console: Console, steps: Steps, network: Network) -> None:
    """A table of the model beside what was measured on this host."""
    rows = table(
        f"{steps.model}: the model, beside what was measured", "", "computed", "repeated", "exchanged", "step", "measured", ""
    )
    for entry in steps.entries:
        if entry.threads == 1:
            modelled = step(ranks_of(entry), BATCH, steps.one, steps.exchanges, network, processors())
            assert modelled is not None
            time = median(by_round(entry))
            exchanged = duration(modelled.exchanged.seconds) if modelled.nodes > 1 else ""
            parts = [duration(modelled.computed), duration(modelled.repeated), exchanged, duration(modelled.seconds)]
            rows.add_row(entry.variant, *parts, duration(time), f"{modelled.seconds / time:.2f}")
    console.print()
    console.print(rows)


# --- clusters ------------------------------------------------------------------------------------------------------------------


def clusters(steps: Steps, networks: Sequence[Network], weak: bool) -> list[list[Step]]:
    """The steps of the model on 1, 2, 4, ... nodes, one for each network, as long as the batch has groups for them."""
    found = []
    for nodes in NODES:
        batch = BATCH * nodes if weak else STRONG_BATCH
        row = [step(nodes, batch, steps.all, steps.exchanges, network) for network in networks]
        if None not in row:
            found.append([each for each in row if each is not None])
    return found


def print_clusters(console: Console, steps: Steps, networks: Sequence[Network], threads: int) -> None:
    """Two tables: the batch grows with the nodes, and it does not."""
    for weak, what in ((True, f"{BATCH} images a node"), (False, f"{STRONG_BATCH:,} images in all")):
        names = [name for network in networks for name in (f"{network.name}: exchanged", "step", "times as fast")]
        rows = table(f"{steps.model}, {what}, nodes of {threads} thread(s)", "nodes", "computed", "repeated", "MB", *names)
        found = clusters(steps, networks, weak)
        gains = [
            [each.batch / each.seconds * one.seconds / one.batch for each, one in zip(row, found[0], strict=True)]
            for row in found
        ]
        for row, gain in zip(found, gains, strict=True):
            cells = []
            for each, times in zip(row, gain, strict=True):
                cells += [duration(each.exchanged.seconds) if each.nodes > 1 else "", duration(each.seconds), f"{times:.2f}"]
            first = row[0]
            rows.add_row(
                f"{first.nodes:,}",
                duration(first.computed),
                duration(first.repeated),
                f"{first.exchanged.bytes / 1e6:,.1f}",
                *cells,
            )
        console.print()
        console.print(rows)
        for place, network in enumerate(networks):
            times, nodes = max((gain[place], -row[0].nodes) for row, gain in zip(found, gains, strict=True))
            console.print(f"  {network.name}: {times:.2f} times as fast as one node at best, on {-nodes:,}", highlight=False)


def as_dict(steps: Steps, networks: Sequence[Network]) -> dict[str, Any]:
    """What was measured and modelled, as plain values."""
    first = steps.entries[0]
    modelled = []
    for scaling, weak in (("weak", True), ("strong", False)):
        for row in clusters(steps, networks, weak):
            for network, each in zip(networks, row, strict=True):
                modelled.append(
                    each._asdict() | {"scaling": scaling, "network": network.name, "exchanged": each.exchanged._asdict()}
                )
    return {
        "model": steps.model,
        "entries": [vars(entry) | {"ratio": vars(ratios(entry, first))} for entry in steps.entries],
        "bytes": steps.bytes,
        "calls": steps.calls,
        "exchanges": [each._asdict() for each in steps.exchanges],
        "computation": {"one thread": asdict(steps.one), "all threads": asdict(steps.all)},
        "modelled": modelled,
    }


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        sys.exit(f"ranks.py: {error}")
