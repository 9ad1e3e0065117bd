"""Training beside other programs: numbacnn and PyTorch on a quiet machine, and with busy processes beside them.

    python benchmarks/busy.py --torch-python .venv-torch/bin/python [--models cnn,small] [--busy 2] [--rounds 5] [--json FILE]

Each trains batches of 100 for some seconds, in turns, as in ``peers.py``: quiet, then beside processes that compute without end. The
figure of a turn is its mean time of a step, as a step that waits for a processor counts in full. numbacnn chooses its threads itself,
PyTorch runs on as many as there are processors.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import fmean, median

from peers import Bench, advice, describe_machine, installed, located, positive, processors, several
from presets import SEEDS
from report import Spread, spread
from rich.console import Console
from rounds import Entry, Failed, Worker
from works import OURS, PEERS, Work

SLOWER, OF_PYTORCH = 3.0, 0.5
"""What is aimed at: at most so many times as slow as on a quiet machine, and at most this share of PyTorch's time."""

WAYS = {OURS: "", "torch": "channels_last"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=several(list(SEEDS)), default=list(SEEDS), metavar="MODEL,...")
    parser.add_argument("--busy", type=positive, default=2, help="busy processes; 2")
    parser.add_argument("--rounds", type=positive, default=5, help="turns of each; 5")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn; 2")
    parser.add_argument("--threads", type=positive, default=processors(), help="of PyTorch, and numbacnn's most")
    parser.add_argument("--torch-python", metavar="PATH", default=sys.executable, help="the Python that has PyTorch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    console = Console(soft_wrap=True, width=200 if not sys.stdout.isatty() else None)
    pythons = {OURS: sys.executable, "torch": located(options.torch_python)}
    if not installed(pythons["torch"], PEERS["torch"].modules):
        console.print(f"PyTorch: not installed; {advice('torch')}", highlight=False)
        del pythons["torch"]
    machine = describe_machine()
    console.print(f"{machine['processor']}, {machine['processors']} processor(s), {options.busy} busy process(es) beside")
    found = {}
    with tempfile.TemporaryDirectory(prefix="numbacnn-busy-") as folder:
        bench = Bench(options, pythons, Path(folder), lambda text: None)
        bench.export(set(options.models))
        for model in options.models:
            found[model] = measured(bench, model, console)
    if options.json:
        options.json.write_text(
            json.dumps({"machine": machine, "busy": options.busy, "models": found}, indent=1), encoding="utf-8"
        )


def measured(bench: Bench, model: str, console: Console) -> dict[str, object]:
    """The mean seconds of a step of each turn, quiet and busy, by framework; printed as one line."""
    options, work = bench.options, Work(f"{model}-busy", f"training step of {model}", "step", model)
    turns: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        ready: dict[str, tuple[Worker, int]] = {}
        for peer, python in bench.pythons.items():
            worker = stack.enter_context(Worker(python, PEERS[peer].worker, options.threads))
            try:
                entry = Entry(peer, WAYS[peer], options.threads)
                worker.ask(bench.request(work, entry, 1) | {"adapts": True})
                first = fmean(worker.ask({"do": "round", "count": 5})["seconds"])
                ready[peer] = worker, max(5, round(options.seconds / first))
                turns[peer] = {"quiet": [], "busy": []}
            except Failed as error:  # PyTorch's worker does not build every layer
                console.print(f"{model}: {PEERS[peer].title}: {error}", highlight=False)
        for _ in range(options.rounds):
            for peer, (worker, count) in ready.items():
                turns[peer]["quiet"].append(fmean(worker.ask({"do": "round", "count": count})["seconds"]))
            with busy(options.busy):
                for peer, (worker, count) in ready.items():
                    turns[peer]["busy"].append(fmean(worker.ask({"do": "round", "count": max(5, count // 3)})["seconds"]))
    ours = turns[OURS]
    slower = spread([busy / quiet for busy, quiet in zip(ours["busy"], ours["quiet"], strict=True)])
    line = f"{model:<13} {1e3 * median(ours['quiet']):8.2f} ms, busy {1e3 * median(ours['busy']):8.2f} ms: {_of(slower)} times as slow"
    line += f" (at most {SLOWER:g}: {'met' if slower.median <= SLOWER else 'not met'})"
    if "torch" in turns:
        ratio = spread([ours_ / theirs for ours_, theirs in zip(ours["busy"], turns["torch"]["busy"], strict=True)])
        theirs = median(turns["torch"]["busy"]) / median(turns["torch"]["quiet"])
        line += f"; {_of(ratio)} of PyTorch, busy as well (at most {OF_PYTORCH:g}: {'met' if ratio.median <= OF_PYTORCH else 'not met'})"
        line += f", which is {theirs:.1f} times as slow as when quiet"
    console.print(line, highlight=False)
    return {peer: dict(each) for peer, each in turns.items()}


def _of(values: Spread) -> str:
    return f"{values.median:.2f} ({values.min:.2f} .. {values.max:.2f})"


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Processes that compute without end."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
