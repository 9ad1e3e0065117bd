"""One hash everywhere: every preset, trained in every way that must not change a bit.

    python benchmarks/hashes.py --data-dir data [--models cnn,small] [--images 3000]

Trains each network for an epoch on the first images of MNIST, a process each: compiled for this processor itself and for each level
that it has; on 1, 2 and 3 threads, and on as many as the run takes by itself; by each threading layer; and with an empty cache. One of
these changes at a time, or with ``--product`` every combination is run. Prints the ``weights_sha256`` of each preset, and any way that
led to another one; ends with exit code 1 then.

``--other`` is a command that starts the Python of another processor, by an emulator say, with the same packages for it:

    python benchmarks/hashes.py --images 100 --other 'qemu-aarch64-static -L arm64 arm64/usr/bin/python3.11'
"""

import argparse
import itertools
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from peers import positive, several
from presets import SEEDS

from numbacnn.backends.processor import PROCESSORS, missing

LAYERS = ("omp", "workqueue")
THREADS = ("1", "2", "3", "adaptive")


def trained(
    model: str,
    options: argparse.Namespace,
    processor: str,
    threads: str,
    layer: str,
    cache: str | None = None,
    python: Sequence[str] = (sys.executable,),
) -> str:
    """The hash after one training; a message in its place if the training failed."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*python, "-m", "numbacnn", "train", "--model", model, "--epochs", "1", "--progress", "none"]
        command += ["--train-limit", str(options.images), "--test-limit", "200", "--data-dir", str(options.data_dir)]
        command += ["--processor", processor, "--output", f"{folder}/run", "--format", "json"]
        command += [] if threads == "adaptive" else ["--threads", threads]
        env = os.environ | {"NUMBA_THREADING_LAYER": layer} | ({"NUMBA_CACHE_DIR": cache} if cache else {})
        done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return str(json.loads(done.stdout)["weights_sha256"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="DIR", help="MNIST's files")
    parser.add_argument("--models", type=several(list(SEEDS)), default=list(SEEDS), metavar="MODEL,...")
    parser.add_argument("--product", action="store_true", help="every combination")
    parser.add_argument("--images", type=positive, default=3000, help="to train on; 3000")
    parser.add_argument("--other", type=shlex.split, metavar="COMMAND", help="another Python, to train once by each; only that")
    options = parser.parse_args()
    processors = [name for name in PROCESSORS if not missing(name)]
    ways = list(itertools.product(processors, THREADS, LAYERS))
    if not options.product:
        usual = (processors[-1], "2", LAYERS[0])
        ways = [way for way in ways if sum(a != b for a, b in zip(way, usual, strict=True)) <= 1]
    if options.other:
        ways = [("native", "1", "workqueue")]  # one process: an emulator starts no others
    differs = False
    for model in options.models:
        found: dict[str, list[str]] = defaultdict(list)
        for way in ways:
            found[trained(model, options, *way)].append(", ".join(way))
        if options.other:
            found[trained(model, options, *ways[0], python=options.other)].append("the other Python")
        else:
            with tempfile.TemporaryDirectory() as cache:
                found[trained(model, options, processors[0], "2", "omp", cache)].append("empty cache")
        usual = max(found, key=lambda answer: len(found[answer]))
        print(f"{model:<13} {usual} in {len(found[usual])} of {len(ways) + 1} ways", flush=True)
        for answer in found.keys() - {usual}:
            differs = True
            print(f"    {answer}: {'; '.join(found[answer])}", flush=True)
    sys.exit(differs)


if __name__ == "__main__":
    main()
