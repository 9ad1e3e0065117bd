"""A layer is a specification: typed fields, shape rules, and two pure functions. It holds no arrays, no device and no state."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from numbacnn.errors import ModelError
from numbacnn.ops import Ops
from numbacnn.shapes import LARGEST, Shape, Window2D, short
from numbacnn.values import Array, DropoutKey, Moving

Parameters = dict[str, Array]
Cache = Any


class ParameterSpec(NamedTuple):
    """One parameter of a layer: its shape, how it starts, and whether ``Ops.prepare_weights`` may prepare it for predictions."""

    shape: Shape
    initializer: str
    fan_in: int = 1
    fan_out: int = 1
    trainable: bool = True
    can_be_prepared: bool = False


class Context(NamedTuple):
    """What a layer may know of the step it runs in."""

    training: bool
    dropout: DropoutKey = DropoutKey(0, 0, 0)


class Forward(NamedTuple):
    """What ``forward`` returns.

    ``cache`` is what ``backward`` will need. ``updates`` says how parameters that no gradient reaches (moving averages) move on;
    the training step does it, if the loss is finite.
    """

    y: Array
    cache: Cache = None
    updates: Mapping[str, Moving] = {}


class Backward(NamedTuple):
    """What ``backward`` returns: the gradient of each input (None where it was not asked for), and of each parameter."""

    dx: list[Array | None]
    gradients: Mapping[str, Any] = {}


class Layer(ABC):
    """Base of all layers. Shapes are those of one image: without the batch axis."""

    label: ClassVar[str]
    """What a node is called when nobody names it: ``conv`` gives conv1, conv2, ..."""

    inputs_taken: ClassVar[tuple[int, int | None]] = (1, 1)
    """How many inputs, at least and at most (None: any number)."""

    @abstractmethod
    def output_shape(self, *inputs: Shape) -> Shape:
        """The shape of the output.

        Raises:
            ShapeError: the layer does not fit; says why, and two ways out.
        """

    def parameters(self, *inputs: Shape) -> dict[str, ParameterSpec]:
        """The parameters, in the order in which files keep them."""
        return {}

    def macs(self, *inputs: Shape) -> int:
        """Multiply-accumulates for one image, biases not counted."""
        return 0

    def window(self, *inputs: Shape) -> Window2D | None:
        """The sliding window, if there is one: what the receptive field grows by."""
        return None

    @abstractmethod
    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        """Compute the output of a batch."""

    @abstractmethod
    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        """The gradients of the inputs (None where ``needs_dx`` is false, and it saves work) and of the parameters."""


def check_positive(what: str, value: object) -> None:
    """Raise unless ``value`` is a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST:
        raise ModelError(f"{what} must be a whole number from 1 to {LARGEST:,}, got {short(value)}")


def check_fraction(what: str, value: object) -> None:
    """Raise unless 0 <= value < 1."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1:
        raise ModelError(f"{what} must be a number from 0 up to, but not including, 1, got {value!r}")


def check_choice(what: str, value: object, choices: Sequence[str]) -> None:
    """Raise unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ModelError(f"{what} must be one of {', '.join(choices)}, got {value!r}")


def check_flag(what: str, value: object) -> None:
    """Raise unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise ModelError(f"{what} must be true or false, got {value!r}")
