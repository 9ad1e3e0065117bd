"""Accuracy and time of every preset on MNIST: README's table of networks.

    python benchmarks/presets.py --data-dir data --json docs/presets.json [--models cnn,small] [--seeds 1]

Trains each network by its own recipe with ``numbacnn train``, a process each, one after the other; networks that are made for an
accuracy with three seeds. Kernels are compiled before. The seconds are those of a process from start to exit, the median of the seeds;
they depend on the machine. Networks that ``--models`` leaves out keep their figures in the file. Prints a Markdown table.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from peers import describe_machine

from numbacnn.files import write_atomically

SEEDS = {
    "cnn": 1, "softmax": 1, "sigmoid5": 1, "sigmoid5-sgd": 1, "relu5": 1, "dense128": 1, "small": 1, "residual": 1,
    "tiny": 3, "fast": 5, "accurate": 3,
}  # fmt: skip


def trained(model: str, seed: int, data: Path | None) -> dict[str, Any]:
    """The figures of one training, and the seconds of its process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "numbacnn", "train", "--model", model, "--seed", str(seed), "--output", f"{folder}/run"]
        command += ["--progress", "none", "--format", "json", *(["--data-dir", str(data)] if data else [])]
        start = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        seconds = time.perf_counter() - start
    figures = json.loads(done.stdout)
    kept = {key: figures[key] for key in ("epochs", "test_accuracy", "threads", "weights_sha256")}
    return kept | {"seed": seed, "seconds": round(seconds, 1)}


def cells(runs: list[dict[str, Any]]) -> str:
    """Accuracies, epochs and seconds of a preset, as README's table has them."""
    accuracies = ", ".join(f"{100 * run['test_accuracy']:.2f}" for run in runs)
    seeds = f" with seeds {', '.join(str(run['seed']) for run in runs)}" if len(runs) > 1 else ""
    seconds = median(run["seconds"] for run in runs)
    return f"{accuracies} %{seeds} | {runs[0]['epochs']} | {seconds:.{0 if seconds >= 10 else 1}f}"


def rows(report: dict[str, Any]) -> list[str]:
    """Lines of Markdown: a preset, and its ``cells``."""
    lines = ["| preset | test accuracy on MNIST | epochs | seconds |", "|---|---|---|---|"]
    return [*lines, *(f"| `{model}` | {cells(runs)} |" for model, runs in report["presets"].items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="MNIST's files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures there")
    parser.add_argument("--models", metavar="A,B", help=f"out of {', '.join(SEEDS)}")
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds of each, 0 to N - 1")
    options = parser.parse_args()
    models = options.models.split(",") if options.models else list(SEEDS)
    unknown = set(models) - set(SEEDS)
    if unknown:
        parser.error(f"--models: expected names out of {', '.join(SEEDS)}, got {', '.join(sorted(unknown))}")
    report: dict[str, Any] = {"machine": describe_machine(), "presets": {}}
    if options.json and options.json.exists():
        report["presets"] = json.loads(options.json.read_text(encoding="utf-8"))["presets"]
    for model in models:
        subprocess.run([sys.executable, "-m", "numbacnn", "warmup", model], stdout=subprocess.DEVNULL, check=True)
        report["presets"][model] = [trained(model, seed, options.data_dir) for seed in range(options.seeds or SEEDS[model])]
        report["presets"] = {name: report["presets"][name] for name in SEEDS if name in report["presets"]}
        if options.json:
            write_atomically(options.json, (json.dumps(report, indent=1) + "\n").encode())
        print(rows({"presets": {model: report["presets"][model]}})[-1], file=sys.stderr, flush=True)
    print(*rows(report), sep="\n")


if __name__ == "__main__":
    main()
