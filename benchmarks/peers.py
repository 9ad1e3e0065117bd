"""numbacnn against its peers: the same work in turns, in one run, each framework in a process (and, if you like, a Python) of its own.

    for peer in torch keras onnxruntime; do
        python -m venv .venv-$peer && .venv-$peer/bin/pip install -r benchmarks/requirements-$peer.txt
    done
    python benchmarks/peers.py --data-dir data --json peers.json \\
        --torch-python .venv-torch/bin/python --keras-python .venv-keras/bin/python --onnxruntime-python .venv-onnxruntime/bin/python

Live processes take turns: in each round every one does the same work once, after calls that are not timed, while the others are
stopped (SIGSTOP), so that no idle thread spins; how threads wait is left to each framework. A round's figure is the median of its
steps; a ratio is taken within each round, and its median, least and greatest are printed. All use the same number of threads. Every
peer is given numbacnn's weights first, and its logits have to agree with numbacnn's.

Where frameworks differ in what they have to do, the peer has the advantage: PyTorch, Keras and ONNX Runtime are given float32 images in
the layout they like, numbacnn converts uint8 images within the time that is measured, and counts its accuracy too.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from report import Result, as_dict, print_result, print_verdicts, verdicts
from rich.console import Console
from rounds import OUR_COMMAND, WORKERS, Entry, Failed, Worker, environment, run_whole, take_turns
from works import COLD, OURS, PEERS, WORKS, Work, small

from numbacnn.backends import vector_unit
from numbacnn.models import PRESETS

AGREEMENT = 1e-3
"""Logits may differ by this much; that is what a different order of float32 sums makes, and no other network."""

MOST_WHOLE_ROUNDS = 3
QUICK_LIMIT = 500


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse(arguments)
    console = Console(soft_wrap=True, width=200 if not sys.stdout.isatty() else None)
    progress = Console(stderr=True)
    pythons = {OURS: sys.executable} | {name: located(getattr(options, f"{name}_python")) for name in PEERS if name != OURS}
    missing = {name: advice(name) for name in options.peers if not installed(pythons[name], PEERS[name].modules)}
    pythons = {name: python for name, python in pythons.items() if name in options.peers and name not in missing}
    machine = describe_machine()
    console.print(
        f"{machine['processor']}, {machine['processors']} processor(s), {options.threads} thread(s), {options.rounds} round(s)"
    )
    results: dict[str, Result] = {}
    with tempfile.TemporaryDirectory(prefix="numbacnn-peers-") as name:
        bench = Bench(options, pythons, Path(name), lambda text: progress.print(text, highlight=False))
        works = [small(work) if options.quick else work for work in WORKS if not options.only or work.name in options.only]
        bench.export({work.model for work in works if work.model in PRESETS})
        for work in works:
            results[work.name] = bench.measure(work)
            print_result(console, results[work.name])
    lines = verdicts(results, full_data=not options.quick)
    print_verdicts(console, lines)
    for peer, how in missing.items():
        console.print(f"{PEERS[peer].title}: not installed; {how}", highlight=False)
    if options.json:
        report = {
            "machine": machine | {"load_after": load()},
            "settings": {key: getattr(options, key) for key in ("threads", "rounds", "steps", "quick")},
            "versions": {entry.peer: entry.versions for result in results.values() for entry in result.entries if entry.versions},
            "missing": missing,
            "works": [as_dict(result) for result in results.values()],
            "targets": [vars(line) for line in lines],
        }
        options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=7, help=f"turns of each (whole runs: at most {MOST_WHOLE_ROUNDS}); 7")
    parser.add_argument("--steps", type=positive, default=20, help="steps of a turn at batch 100; more of smaller ones; 20")
    parser.add_argument(
        "--threads", type=positive, default=processors(), help="of every framework; as many as there are processors"
    )
    names = [work.name for work in WORKS]
    parser.add_argument("--only", type=several(names), default=[], metavar="WORK,...", help=f"out of {', '.join(names)}")
    peers = [name for name in PEERS if name != OURS]
    parser.add_argument(
        "--peers", type=several(peers), default=peers, metavar="PEER,...", help=f"out of {', '.join(peers)}; or ''"
    )
    for name in peers:
        parser.add_argument(
            f"--{name}-python", metavar="PATH", default=sys.executable, help=f"the Python that has {PEERS[name].title}"
        )
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="MNIST's files, for whole training runs")
    parser.add_argument("--no-compiled", dest="compiled", action="store_false", help="leave torch.compile out")
    parser.add_argument("--quick", action="store_true", help="a little of everything, to see that it runs; no figures to quote")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, raw samples included")
    options = parser.parse_args(arguments)
    options.peers = [OURS, *options.peers]
    if options.quick:
        options.rounds, options.steps = min(options.rounds, 2), min(options.steps, 3)
    return options


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def several(names: list[str]) -> Callable[[str], list[str]]:
    """Names with commas between, out of those there are."""

    def read(text: str) -> list[str]:
        given = [name.strip() for name in text.split(",") if name.strip()]
        for name in given:
            if name not in names:
                raise argparse.ArgumentTypeError(f"there is no {name!r}; choose from {', '.join(names)}")
        return given

    return read


class Bench:
    """A run of the benchmark.

    Args:
        options: the command line.
        pythons: the interpreter of each framework that is there.
        folder: for networks, caches and what whole runs write; somebody else removes it.
        show: called with a line of progress.
    """

    agreement = AGREEMENT

    def __init__(self, options: argparse.Namespace, pythons: dict[str, str], folder: Path, show: Callable[[str], None]) -> None:
        self.options, self.pythons, self.folder, self.show = options, pythons, folder, show

    def export(self, models: set[str]) -> None:
        """Let numbacnn write networks, weights and logits down for the peers."""
        command = [self.pythons[OURS], str(WORKERS / PEERS[OURS].worker), "export", str(self.folder), *sorted(models)]
        subprocess.run(command, env=environment(self.options.threads), check=True)

    def measure(self, work: Work) -> Result:
        """Let everybody who can do a piece of work do it."""
        self.show(work.name)
        reason = self._reason_to_skip(work)
        if reason:
            return Result(work, [], [], reason)
        return self._whole_runs(work) if work.kind == "train" else self._live_rounds(work)

    def _reason_to_skip(self, work: Work) -> str | None:
        if work.model not in PRESETS:
            return f"there is no preset {work.model!r} yet"
        if work.kind == "train" and self.options.data_dir is None:
            return "it needs the real MNIST files: --data-dir"
        if work.kind == "scaling" and processors() < 2:
            return "there is one processor only"
        return None

    def _candidates(self, work: Work) -> list[Entry]:
        return [
            Entry(name, way, {"1 thread": 1, "2 threads": 2}.get(way, self.options.threads))
            for name in self.pythons
            for way in PEERS[name].ways(work, compiled=self.options.compiled and not self.options.quick)
        ]

    def _live_rounds(self, work: Work) -> Result:
        count = work.count(self.options.steps)
        failed: list[tuple[str, str, str]] = []
        with ExitStack() as stack:
            ready: list[tuple[Entry, Worker]] = []
            for entry in self._candidates(work):
                worker = stack.enter_context(Worker(self.pythons[entry.peer], PEERS[entry.peer].worker, entry.threads))
                try:
                    answer = worker.ask(self.request(work, entry, count))
                    entry.versions, entry.difference = answer["versions"], answer["difference"]
                    if not entry.difference <= self.agreement:
                        raise Failed(f"its logits differ from numbacnn's by {entry.difference:.1g}: not the same network")
                    ready.append((entry, worker))
                except Failed as error:
                    failed.append((entry.peer, entry.variant, str(error)))
            failures = take_turns(ready, self.options.rounds, count, self.show)
        failed += [(entry.peer, entry.variant, reason) for entry, reason in failures]
        lost = [entry for entry, _ in failures]
        return Result(work, [entry for entry, _ in ready if entry not in lost], failed)

    def request(self, work: Work, entry: Entry, count: int) -> dict[str, Any]:
        common = {"do": "open", "folder": str(self.folder), "count": count}
        return common | {"work": vars(work), "variant": entry.variant, "threads": entry.threads}

    def _whole_runs(self, work: Work) -> Result:
        entries, failed = self._candidates(work), []
        rounds = min(self.options.rounds, MOST_WHOLE_ROUNDS)
        for number in range(rounds):
            self.show(f"round {number + 1}/{rounds}")
            kernels = self.folder / f"kernels-{work.name}-{number}"  # the cold run fills what the warm one finds
            for entry in list(entries):
                try:
                    done = self._whole_run(work, entry, kernels)
                except Failed as error:
                    failed.append((entry.peer, entry.variant, str(error)))
                    entries.remove(entry)
                    continue
                entry.rounds.append([done.seconds])
                entry.peak_bytes += [] if done.peak_bytes is None else [done.peak_bytes]
                entry.test_accuracy.append(done.answer["test_accuracy"])
        return Result(work, entries, failed)

    def _whole_run(self, work: Work, entry: Entry, kernels: Path) -> Any:
        limit = QUICK_LIMIT if self.options.quick else None
        data_dir = str(self.options.data_dir.resolve())
        with tempfile.TemporaryDirectory(dir=self.folder) as output:
            if entry.peer == OURS:
                command = [self.pythons[OURS], "-c", OUR_COMMAND, "train", "--model", work.model, "--data-dir", data_dir]
                command += ["--threads", str(entry.threads), "--progress", "none", "--format", "json"]
                command += ["--epochs", "1"] if work.model == "cnn" else []
                command += ["--train-limit", str(limit), "--test-limit", str(limit)] if limit else []
            else:
                request = {"folder": str(self.folder), "model": work.model, "data_dir": data_dir}
                request |= {"threads": entry.threads, "limit": limit, "output": output}
                command = [self.pythons[entry.peer], str(WORKERS / PEERS[entry.peer].worker), "train", json.dumps(request)]
            if entry.variant == COLD:
                kernels.mkdir()
            return run_whole(command, environment(entry.threads, NUMBA_CACHE_DIR=str(kernels)), Path(output))


def located(python: str) -> str:
    """The absolute path of an interpreter: whole runs start in another folder. Links stay, for they are what makes an environment."""
    return os.path.abspath(shutil.which(python) or python)


def installed(python: str, modules: tuple[str, ...]) -> bool:
    """Whether a Python finds all of these."""
    code = f"import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, {modules!r})))"
    try:
        return subprocess.run([python, "-c", code], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def advice(name: str) -> str:
    """How to get a peer."""
    return f"pip install -r benchmarks/requirements-{name}.txt, and if that is another environment: --{name}-python PATH"


def processors() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float | None:
    """How many processes have wanted a processor in the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def describe_machine() -> dict[str, Any]:
    """What the figures belong to."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "vectors": vector_unit()[0],
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "processors": processors(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "load_before": load(),
    }


if __name__ == "__main__":
    main()
