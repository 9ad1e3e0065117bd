"""The values that pass between layers, devices and the training loop."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from numbacnn.shapes import Window2D

Array = Any
"""An array of the device. Layers use its ``shape``, ``dtype`` and ``reshape``, and slices of its first axis."""


class DropoutKey(NamedTuple):
    """The numbers that decide a dropout mask: it is the same on every device, for any number of threads, and after a resume.

    Args:
        first: the place of the first image in its batch, of which these may be a part.
    """

    seed: int
    step: int
    layer: int
    first: int = 0


class ConvBlock(NamedTuple):
    """The geometry of a convolution and of the layers fused to it: ReLU, then max pooling.

    Args:
        window: geometry of the convolution.
        relu: whether ReLU follows.
        pool: geometry of the max pooling that follows, or None.
    """

    window: Window2D
    relu: bool
    pool: Window2D | None


class FactoredGradient(NamedTuple):
    """The gradient of a dense kernel as its two factors: ``x.T @ dy`` without the multiplication.

    ``Ops.update`` multiplies block by block and uses each block while it is in the cache; ``Ops.to_host`` multiplies at once.
    """

    x: Array
    dy: Array


class EpochLosses(NamedTuple):
    """The losses of an epoch's steps, kept on the device.

    Args:
        losses: sum over the images of each step (steps,). After a sum that is not finite, all later ones are NaN.
        correct: number of images of each step that were classified correctly (steps,).
    """

    losses: Array
    correct: Array


class FiniteLossCheck(NamedTuple):
    """The condition of an update: the loss of this step must be finite.

    Args:
        losses: of ``EpochLosses``.
        step: index of the step in them.
    """

    losses: Array
    step: int


class Rule(NamedTuple):
    """The rule by which an update changes a parameter; ``Ops.update`` has the formulas.

    Args:
        kind: ``"sgd"``, ``"momentum"`` or ``"adam"``.
        numbers: (lr,), (lr, momentum), or (step_size, beta1, beta2, epsilon).
    """

    kind: str
    numbers: tuple[float, ...]


class Update(NamedTuple):
    """What an optimiser's step changes, and the gradient; see ``Ops.update``.

    Args:
        parameter: of the network.
        slots: the arrays that the rule keeps.
        gradient: of the parameter.
    """

    parameter: Array
    slots: Sequence[Array]
    gradient: Array | FactoredGradient


class Moving(NamedTuple):
    """One step of a moving average: ``average = momentum * average + (1 - momentum) * value``."""

    value: Array
    momentum: float


class AugmentKey(NamedTuple):
    """The numbers that decide the distortion of an image, together with its index in the batch; reproducible as ``DropoutKey`` is.

    Args:
        first: the place of the first image in its batch, of which these may be a part.
    """

    seed: int
    step: int
    first: int = 0


class Augmentation(NamedTuple):
    """The limits of random distortion. Each image draws uniformly between minus and plus each limit; 0 turns a distortion off.

    Args:
        shift: along each axis, as a share of the image's side.
        rotation: degrees.
        scale: of each axis, as a share of its size.
        shear: slant, in pixels to the side for each pixel down.
        elastic: of each vector of the elastic grid, as a share of the image's side. Pixels lie between the vectors and move by a
            quarter of that on average.
    """

    shift: float = 0.07
    rotation: float = 10.0
    scale: float = 0.1
    shear: float = 0.1
    elastic: float = 0.12
