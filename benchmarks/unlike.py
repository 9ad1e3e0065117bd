"""How many pictures that are no digits `numbacnn predict` tells apart, and how many test digits it takes for others.

    numbacnn train --model small --epochs 3 --output runs/small-mnist
    python benchmarks/unlike.py runs/small-mnist [more runs on MNIST] [--data-dir data]

The measures are compared at thresholds that refuse the same share of the training images in the run's sample. No test digit, and no
picture of the table, had a part in any threshold. The 49 pictures of the first set had none in the choice of the measure either; see
`non_digits.py`. It measures no time.
"""

import argparse
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import non_digits
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from numbacnn.backends import get_ops
from numbacnn.checkpoint import load_likeness, load_network
from numbacnn.datasets import load_dataset
from numbacnn.features import features
from numbacnn.likeness import MOST_HELD_OUT, REFUSED
from numbacnn.network import to_device
from numbacnn.pictures import read_picture
from numbacnn.pictures.parts import count_parts
from numbacnn.training.likeness import MOST_IMAGES
from numbacnn.training.order import sample

Pixels = NDArray[np.uint8]


class Row(NamedTuple):
    """A measure: its name, the share of test digits that it refuses, and which pictures of the two sets it flags."""

    measure: str
    refused: float
    judged: NDArray[np.bool_]
    chosen: NDArray[np.bool_]


def rows(run: Path, train_images: Pixels, test_images: Pixels, judged: Pixels, chosen: Pixels) -> Iterator[Row]:
    """Each measure on a run's network."""
    ops = get_ops("cpu")
    network = load_network(run / "model.safetensors")
    predictor, parameters = network.predictor(ops), to_device(ops, network.parameters)
    likeness = load_likeness(run / "features.safetensors", network.graph, network.parameters)
    seed = int(network.summary["seed"])
    indices = sample(np.arange(len(train_images)), MOST_IMAGES, seed)
    held = train_images[indices[:: -(-len(indices) // MOST_HELD_OUT)]]

    def certainty(images: Pixels) -> NDArray[np.float64]:
        return -predictor(images).probabilities.max(axis=1)

    def energy(images: Pixels) -> NDArray[np.float64]:
        logits = predictor(images).logits.astype(np.float64)
        largest = logits.max(axis=1)
        return -largest - np.log(np.exp(logits - largest[:, None]).sum(axis=1))

    def distance(images: Pixels) -> NDArray[np.float64]:
        return likeness.distances(features(network.graph, ops, parameters, images, network.normalisation))

    for name, measure in (("largest probability", certainty), ("energy", energy), ("distance of features", distance)):
        threshold = likeness.threshold if measure is distance else float(np.sort(measure(held))[-1 - int(REFUSED * len(held))])
        refused = float((measure(test_images) > threshold).mean())
        yield Row(name, refused, measure(judged) > threshold, measure(chosen) > threshold)


def normalised(pictures: Iterator[tuple[str, Pixels]]) -> tuple[list[str], Pixels]:
    """The names of the pictures, and what a network sees of each, (n, 28, 28, 1)."""
    names, images = [], []
    for name, pixels in pictures:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        file.seek(0)
        names.append(name)
        images.append(read_picture(file, name=name).pixels)
    return names, np.array(images)[..., None]


def several_parts(images: Pixels) -> float:
    """The share of images that seem to have several parts."""
    return float(np.mean([count_parts(image[..., 0]) > 1 for image in images]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders that 'numbacnn train' has written, on MNIST")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("NUMBACNN_DATA_DIR", "data")))
    parser.add_argument("--names", action="store_true", help="name the pictures of the first set that are not flagged")
    options = parser.parse_args()
    data = load_dataset("mnist", options.data_dir)
    names, judged = normalised(non_digits.to_judge_by())
    _, chosen = normalised(non_digits.to_choose_by())
    print(f"{'':34}  test digits  of {len(judged)} no   the letter  of {len(chosen)} to")
    print(f"{'':34}      refused     digits           A    choose by")
    for run in options.runs:
        for row in rows(run, data.train_images, data.test_images, judged, chosen):
            letter = "flagged" if row.judged[names.index("letter-A")] else "missed"
            print(f"{run.name:12}  {row.measure:20}{row.refused:13.2%}{row.judged.sum():11}{letter:>13}{row.chosen.sum():12}")
        if options.names:
            print("missed:", ", ".join(name for name, is_flagged in zip(names, row.judged, strict=True) if not is_flagged))
    shares = (several_parts(images) for images in (data.test_images, judged, chosen))
    print("several parts: {:.2%} of the test digits, {:.0%} and {:.0%} of the sets".format(*shares))


if __name__ == "__main__":
    main()
