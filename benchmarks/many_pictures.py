"""How fast `predict` answers many pictures, by the number of processes that read them.

    numbacnn train --model small --epochs 3 --output runs/small-mnist
    python benchmarks/many_pictures.py runs/small-mnist [--pictures 2000] [--workers 1,2] [--rounds 5]

The pictures are drawn digits in the ten forms of `numbacnn samples`, as PNG files. A command's time is that from its start to its end;
the commands take turns, and a ratio is of two commands of one round. The answers of all are compared, byte by byte.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from numbacnn_cli.png_files import png_bytes
from numbacnn_cli.samples import FORMS
from peers import describe_machine, positive, several
from report import spread

from numbacnn.backends import get_ops
from numbacnn.datasets import digits

AIM = 1.8
"""Times as fast with two processes as with one."""


class Turn(NamedTuple):
    """One command.

    Args:
        seconds: from its start to its end.
        memory: bytes, the most of any of its processes.
        answers: what it wrote.
    """

    seconds: float
    memory: int
    answers: bytes


def draw(folder: Path, count: int) -> None:
    """Write so many pictures."""
    get_ops("cpu")
    images, labels = digits.draw(count, seed=0)
    for index, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        name, convert = FORMS[label]
        (folder / f"{index}-{name}.png").write_bytes(png_bytes(convert(image)))


def predict(run: Path, folder: Path, workers: int) -> Turn:
    """The command, on a file of its own."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "answers.jsonl"
        command = [sys.executable, "-m", "numbacnn", "predict", str(folder), "--model", str(run), "--workers", str(workers)]
        start = time.perf_counter()
        process = subprocess.Popen([*command, "--output", str(file)], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"predict ended with exit code {process.returncode}")
        return Turn(seconds, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024), file.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that 'numbacnn train' has written")
    parser.add_argument("--pictures", type=positive, default=2000, metavar="N", help="2000")
    parser.add_argument("--workers", type=several(list(map(str, range(1, 257)))), default=["1", "2"], metavar="N,...", help="1,2")
    parser.add_argument("--rounds", type=positive, default=5, help="turns of each; 5")
    options = parser.parse_args()
    machine = describe_machine()
    print(f"{machine['processor']}, {machine['processors']} processor(s), load {machine['load_before']}", flush=True)
    counts = list(map(int, options.workers))
    turns: dict[int, list[Turn]] = {count: [] for count in counts}
    with tempfile.TemporaryDirectory(prefix="numbacnn-pictures-") as place:
        folder = Path(place)
        draw(folder, options.pictures)
        predict(options.run, folder, counts[0])  # compiles kernels, and brings the files to memory
        for _ in range(options.rounds):
            for count in counts:
                turns[count].append(predict(options.run, folder, count))
    for count in counts:
        speeds = spread([options.pictures / turn.seconds for turn in turns[count]])
        memory = max(turn.memory for turn in turns[count])
        line = (
            f"{count} worker(s): {speeds.median:6,.0f} pictures/s ({speeds.min:,.0f} .. {speeds.max:,.0f}), {memory / 1e6:.0f} MB"
        )
        if count != counts[0]:
            pairs = zip(turns[counts[0]], turns[count], strict=True)
            ratio = spread([first.seconds / turn.seconds for first, turn in pairs])
            line += f"; {ratio.median:.2f} times as fast as {counts[0]} ({ratio.min:.2f} .. {ratio.max:.2f})"
            if (counts[0], count) == (1, 2):
                line += f", at least {AIM:g}: {'met' if ratio.median >= AIM else 'not met'}"
        print(line)
    differ = len({turn.answers for each in turns.values() for turn in each}) > 1
    print("the answers differ" if differ else "all answers are equal")
    sys.exit(differ)


if __name__ == "__main__":
    main()
