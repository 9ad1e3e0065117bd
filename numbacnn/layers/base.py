"""The base of all layers: a specification of typed fields, shape rules and two pure functions, without arrays, device or state."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from numbacnn.errors import ModelError
from numbacnn.ops import Ops
from numbacnn.quoting import short
from numbacnn.shapes import LARGEST, Shape, Window2D
from numbacnn.values import Array, DropoutKey, Moving

Parameters = dict[str, Array]
Cache = Any


class ParameterSpec(NamedTuple):
    """One parameter of a layer.

    Args:
        shape: of its array.
        initializer: distribution of its initial values, a name in ``INITIALIZERS``.
        fan_in, fan_out: inputs and outputs of a neuron, by which the distribution is scaled.
        trainable: whether it has a gradient; moving averages have none.
        can_be_prepared: whether a predictor may pass it through ``Ops.prepare_weights``.
    """

    shape: Shape
    initializer: str
    fan_in: int = 1
    fan_out: int = 1
    trainable: bool = True
    can_be_prepared: bool = False


class Context(NamedTuple):
    """The circumstances of a forward pass: training or prediction, and the key of this layer's dropout mask."""

    training: bool
    dropout: DropoutKey = DropoutKey(0, 0, 0)


class Forward(NamedTuple):
    """The result of ``forward``.

    Args:
        y: the output.
        cache: values that ``backward`` needs.
        updates: next values of the moving averages, by parameter. The training step applies them if the loss is finite.
    """

    y: Array
    cache: Cache = None
    updates: Mapping[str, Moving] = {}


class Backward(NamedTuple):
    """The result of ``backward``: the gradient of each input (None if it is not needed) and of each trainable parameter."""

    dx: list[Array | None]
    gradients: Mapping[str, Any] = {}


class Layer(ABC):
    """Base of all layers. Shapes are those of one image: without the batch axis."""

    label: ClassVar[str]
    """The stem of default names: ``conv`` gives conv1, conv2, ..."""

    inputs_taken: ClassVar[tuple[int, int | None]] = (1, 1)
    """The smallest and largest number of inputs; None for any number."""

    @abstractmethod
    def output_shape(self, *inputs: Shape) -> Shape:
        """The shape of the output.

        Raises:
            ShapeError: the layer does not fit the inputs; the message gives the reason and two remedies.
        """

    def parameters(self, *inputs: Shape) -> dict[str, ParameterSpec]:
        """The specification of each parameter, in the order of files."""
        return {}

    def macs(self, *inputs: Shape) -> int:
        """Multiply-accumulates for one image, biases not counted."""
        return 0

    def window(self, *inputs: Shape) -> Window2D | None:
        """The geometry of the sliding window, by which the receptive field grows; None if the layer has none."""
        return None

    @abstractmethod
    def forward(self, ops: Ops, parameters: Parameters, inputs: Sequence[Array], context: Context) -> Forward:
        """Compute the output of a batch."""

    @abstractmethod
    def backward(self, ops: Ops, parameters: Parameters, cache: Cache, dy: Array, needs_dx: bool) -> Backward:
        """The gradients of the inputs and parameters, given that of the output. With ``needs_dx`` false, dx may be None."""


def check_positive(what: str, value: object) -> None:
    """Raise ModelError unless ``value`` is a whole number from 1 to ``LARGEST``."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST:
        raise ModelError(f"{what}: expected a whole number from 1 to {LARGEST:,}, got {short(value)}")


def check_fraction(what: str, value: object) -> None:
    """Raise ModelError unless 0 <= value < 1."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1:
        raise ModelError(f"{what}: expected a number in [0, 1), got {short(value)}")


def check_choice(what: str, value: object, choices: Sequence[str]) -> None:
    """Raise ModelError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ModelError(f"{what}: expected one of {', '.join(choices)}, got {short(value)}")


def check_flag(what: str, value: object) -> None:
    """Raise ModelError unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise ModelError(f"{what}: expected true or false, got {short(value)}")
