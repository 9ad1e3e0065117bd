"""The sections of the lecture, with the commands that show them."""

from typing import NamedTuple


class Section(NamedTuple):
    """A section of the lecture.

    Args:
        title: a short title.
        slides: titles of its first and its last slide.
        commands: command lines to try, in order.
    """

    title: str
    slides: tuple[str, str]
    commands: tuple[str, ...]


SECTIONS = {
    "dense": Section(
        "One layer for MNIST, and five improvements",
        ("Let's Start With An Example", "Some Improvement (5/5)"),
        (
            "numbacnn lecture verify --section dense", "numbacnn shapes dense128",
            "numbacnn train --model softmax", "numbacnn train --model dense128", "numbacnn lecture ladder",
        ),
    ),
    "challenges": Section(
        "Why dense networks do not scale",
        ("Vanilla Deep Neural Networks Challenges (1/2)", "Tackle the Challenges"),
        (
            "numbacnn lecture verify --section challenges", "numbacnn shapes softmax --input 224,224,3",
            "numbacnn lecture challenges", "numbacnn lecture figures --section challenges",
            "numbacnn play --versus runs/dense128-mnist",
        ),
    ),
    "filters": Section(
        "Filters and convolution",
        ("Filters and Convolution Operations", "Convolution Operation - 2D Example"),
        ("numbacnn lecture verify --section filters", "numbacnn lecture filter digit.png --filter curve"),
    ),
    "layers": Section(
        "Convolution, padding, stride, pooling, flattening",
        ("Convolutional Neural Network (CNN)", "Flattening"),
        (
            "numbacnn lecture verify --section layers", "numbacnn lecture figure conv --output conv.gif",
            "numbacnn lecture terms pooling",
        ),
    ),
    "xo": Section(
        "A toy network for X and O",
        ("Example", "One more example"),
        (
            "numbacnn lecture verify --section xo", "numbacnn lecture xo --image deformed",
            "numbacnn lecture xo --cell cross,3,3", "numbacnn shapes cs231n",
        ),
    ),
    "tensorflow": Section(
        "A network for MNIST, layer by layer",
        ("CNN in TensorFlow", "CNN in TensorFlow (7/7)"),
        (
            "numbacnn lecture verify --section tensorflow", "numbacnn shapes cnn", "numbacnn train --model cnn",
            "numbacnn shapes --image test:0", "numbacnn inspect test:0 --cell conv2,4,9,12",
        ),
    ),
    "training": Section(
        "Backpropagation through a convolution",
        ("Training CNNs", "Training CNN (4/4)"),
        (
            "numbacnn lecture verify --section training", "numbacnn lecture backprop",
            "numbacnn lecture backprop --target '0 1; 2 -1'",
            "numbacnn lecture worksheet --students 30",
        ),
    ),
    "summary": Section(
        "The terms of the lecture",
        ("Summary", "Questions?"),
        ("numbacnn lecture terms", "numbacnn lecture figures --output figures"),
    ),
}  # fmt: skip
"""By the name that ``--section`` takes, in the lecture's order."""
