"""How many MNIST test digits are read right when they are redrawn as people's pictures: one line for each kind of picture.

    numbacnn train --model small --epochs 3 --output runs/small-mnist
    python benchmarks/pictures.py runs/small-mnist [--digits 150] [--kinds tight-bold "cast shadow"] [--choose] [--markdown]

The kinds are drawn by ``drawn_pictures.py``. A picture counts as right, as refused (an error in one line), or as wrong; whatever is read
from a picture without a digit is wrong. Of those that are read, some are unsure: `predict` says why. "Sure" are the wrong ones that
are not. The last column is the processor's time to read one picture, without the network: the median; it depends on the machine.

Digits of odd indices judge. What is chosen by looking (thresholds, weights) is chosen on those of even indices: ``--choose``.
"""

import argparse
import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from drawn_pictures import KINDS, Kind
from numpy.typing import NDArray

from numbacnn.backends import get_ops
from numbacnn.checkpoint import load_likeness, load_network
from numbacnn.datasets import load_dataset
from numbacnn.doubts import doubts
from numbacnn.errors import DataError
from numbacnn.features import features
from numbacnn.network import to_device
from numbacnn.pictures import Picture, read_picture
from numbacnn.training.run_folder import FEATURES_FILE

Pixels = NDArray[np.uint8]


class Answers(NamedTuple):
    """What a network tells of n images: the probabilities (n, classes), and whether each is unlike all training images (n,)."""

    probabilities: NDArray[np.floating]
    unlike: NDArray[np.bool_]


class Row(NamedTuple):
    """Counts of one kind, and milliseconds to read one picture."""

    right: int
    refused: int
    unsure: int
    wrong: int
    sure: int
    milliseconds: float


def network_of(run: Path) -> Callable[[Pixels], Answers]:
    """What the network of a run tells of images (n, 28, 28)."""
    ops = get_ops("cpu")
    network = load_network(run / "model.safetensors")
    predictor, parameters = network.predictor(ops), to_device(ops, network.parameters)
    likeness = load_likeness(run / FEATURES_FILE, network.graph, network.parameters)

    def answers(images: Pixels) -> Answers:
        images = images[..., None]
        distances = likeness.distances(features(network.graph, ops, parameters, images, network.normalisation))
        return Answers(predictor(images).probabilities, np.array([likeness.is_unlike(each) for each in distances]))

    return answers


def row(
    kind: Kind, digits: Pixels, labels: NDArray[np.uint8], indices: NDArray[np.intp], network: Callable[[Pixels], Answers]
) -> Row:
    """Read the digits as pictures of a kind, and predict.

    Args:
        digits: uint8 (n, 28, 28).
        labels: (n,).
        indices: of the digits among the test images.
        network: of ``network_of``.
    """
    pictures: list[Picture] = []
    wanted, seconds = [], []
    for digit, label, index in zip(digits, labels, indices.tolist(), strict=True):
        data = kind.file(digit, index)
        start = time.thread_time()
        try:
            pictures.append(read_picture(io.BytesIO(data), invert=kind.invert))
        except DataError:
            continue
        finally:
            seconds.append(time.thread_time() - start)
        wanted.append(label if kind.holds_a_digit else -1)
    milliseconds = 1000 * float(np.median(seconds))
    if not pictures:
        return Row(0, len(digits), 0, 0, 0, milliseconds)
    found = network(np.array([picture.pixels for picture in pictures]))
    is_wrong = found.probabilities.argmax(axis=1) != np.array(wanted)
    largest = found.probabilities.max(axis=1).tolist()
    is_unsure = np.array(
        [
            bool(doubts(probability, unlike=unlike, parts=picture.parts, guesses=picture.guesses))
            for picture, probability, unlike in zip(pictures, largest, found.unlike.tolist(), strict=True)
        ]
    )
    wrong = int(is_wrong.sum())
    counts = (int(is_unsure.sum()), wrong, int((is_wrong & ~is_unsure).sum()))
    return Row(len(wanted) - wrong, len(digits) - len(wanted), *counts, milliseconds)


def chosen(count: int, most: int, *, choose: bool) -> NDArray[np.intp]:
    """The indices of so many digits, evenly spread: even ones to choose by, odd ones to judge by."""
    step = 2 * max(1, most // (2 * count))
    return np.arange(0 if choose else 1, most, step)[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that 'numbacnn train' has written, on MNIST")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("NUMBACNN_DATA_DIR", "data")))
    parser.add_argument("--digits", type=int, default=150, help="test digits of each kind, at most 5000")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), metavar="KIND")
    parser.add_argument("--choose", action="store_true", help="take digits of even indices")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/predict.md")
    options = parser.parse_args()
    data = load_dataset("mnist", options.data_dir)
    indices = chosen(options.digits, len(data.test_images), choose=options.choose)
    network = network_of(options.run)
    if options.markdown:
        print("| kind | right | refused | unsure | wrong | wrong and sure | ms |\n|---|---|---|---|---|---|---|")
    else:
        print(f"{len(indices)} test digits{'':18}right  refused  unsure  wrong  sure     ms")
    for name in options.kinds:
        kind = KINDS[name]
        found = row(kind, data.test_images[indices, ..., 0], data.test_labels[indices], indices, network)
        right = f"{found.right / len(indices):.1%}" if kind.holds_a_digit else "-"
        if options.markdown:
            counts = f"{found.refused} | {found.unsure} | {found.wrong} | {found.sure}"
            print(f"| {name} | {right.replace('%', ' %')} | {counts} | {found.milliseconds:.1f} |", flush=True)
        else:
            counts = f"{found.refused:9}{found.unsure:8}{found.wrong:7}{found.sure:6}"
            print(f"{name:31}{right:>7}{counts}{found.milliseconds:7.2f}", flush=True)


if __name__ == "__main__":
    main()
