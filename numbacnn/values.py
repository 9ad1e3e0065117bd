"""The values that layers, devices and the training loop hand to each other."""

from typing import Any, NamedTuple

from numbacnn.shapes import Window2D

Array = Any
"""An array of the device: ``shape``, ``dtype`` and ``reshape`` are all that layers use of it. Slices of the first axis are arrays too."""


class DropoutKey(NamedTuple):
    """All that a dropout mask depends on: it is the same on any device, for any number of threads, and after a resume."""

    seed: int
    step: int
    layer: int


class ConvBlock(NamedTuple):
    """A convolution with the layers that a device may fuse to it: ReLU, then max pooling.

    Args:
        window: of the convolution.
        relu: whether ReLU follows.
        pool: the window of the max pooling that follows, or None.
    """

    window: Window2D
    relu: bool
    pool: Window2D | None


class FactoredGradient(NamedTuple):
    """The gradient of a dense kernel as its two factors: ``x.T @ dy`` without the multiplication.

    ``Ops.update`` multiplies block by block, and uses each block while it is in the cache. ``Ops.to_host`` multiplies at once.
    """

    x: Array
    dy: Array


class EpochLosses(NamedTuple):
    """The losses of an epoch's steps, kept on the device.

    Args:
        losses: the sum over each step's images (steps,); NaN from the first step on whose sum was not finite.
        correct: how many images of each step were classified correctly (steps,).
    """

    losses: Array
    correct: Array


class FiniteLossCheck(NamedTuple):
    """One step of ``EpochLosses``: an update that is given it does nothing unless the loss of that step is finite."""

    losses: Array
    step: int


class Rule(NamedTuple):
    """How an update changes a parameter; ``Ops.update`` has the formulas.

    Args:
        kind: ``"sgd"``, ``"momentum"`` or ``"adam"``.
        numbers: (lr,), (lr, momentum), or (step_size, beta1, beta2, epsilon).
    """

    kind: str
    numbers: tuple[float, ...]


class Moving(NamedTuple):
    """The next value of a moving average: this batch's value, and the share of the old average that is kept."""

    value: Array
    momentum: float


class AugmentKey(NamedTuple):
    """All that the distortion of a batch depends on besides the position of each image in it: the same promise as for dropout."""

    seed: int
    step: int


class Augmentation(NamedTuple):
    """How far images are distorted at random. Each image draws evenly from minus to plus these numbers; 0 turns one off.

    Args:
        shift: along each axis, as a share of the image's side.
        rotation: degrees.
        scale: of each axis, as a share of its size.
        shear: slant, in pixels to the side for each pixel down.
        elastic: of each vector of the elastic grid, as a share of the image's side; pixels, between the vectors, move by a
            quarter of it on average.
    """

    shift: float = 0.07
    rotation: float = 10.0
    scale: float = 0.1
    shear: float = 0.1
    elastic: float = 0.12
