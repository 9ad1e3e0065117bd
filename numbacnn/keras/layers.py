"""Keras's layers: names, arguments, positions and defaults of Keras; each makes one of numbacnn's layers."""

from collections.abc import Callable, Sequence
from typing import Any

from numbacnn import layers
from numbacnn.errors import ModelError, ShapeError
from numbacnn.keras.arguments import check_arguments, check_default, no_such_name, supported_by
from numbacnn.plain_numbers import is_whole
from numbacnn.quoting import short

_OF_ALL: dict[str, Any] = {"dtype": None, "trainable": True, "autocast": True, "activity_regularizer": None}
_OF_WEIGHTS: dict[str, Any] = _OF_ALL | {
    "bias_initializer": "zeros", "kernel_regularizer": None, "bias_regularizer": None, "kernel_constraint": None,
    "bias_constraint": None,
}  # fmt: skip
_OF_DENSE: dict[str, Any] = _OF_WEIGHTS | {"lora_rank": None}
_OF_BATCH_NORMALIZATION: dict[str, Any] = _OF_ALL | {
    "beta_initializer": "zeros", "gamma_initializer": "ones", "moving_mean_initializer": "zeros",
    "moving_variance_initializer": "ones", "beta_regularizer": None, "gamma_regularizer": None, "beta_constraint": None,
    "gamma_constraint": None, "renorm": False, "synchronized": False,
}  # fmt: skip
_NOT_IN_INPUT: dict[str, Any] = {"batch_size": None, "dtype": None, "sparse": None, "ragged": None, "tensor": None}
"""Keras's default of each argument that numbacnn lacks."""

Window = int | Sequence[int]


class Layer:
    """Base of the layers.

    Args:
        spec: makes numbacnn's layer.
        others: the arguments left over: ``input_shape``, ``name``, and those that numbacnn lacks.
        lacks: Keras's default of each argument that numbacnn lacks.
    """

    spec: layers.Layer

    def __init__(self, spec: Callable[[], layers.Layer], others: dict[str, Any], lacks: dict[str, Any]) -> None:
        who = type(self).__name__
        shape = others.pop("input_shape", None)
        self.input_shape = None if shape is None else read_shape(f"{who}: input_shape", shape)
        self.name: str | None = others.pop("name", None)
        check_arguments(who, [*supported_by(type(self), *_POSITIONS, "name"), "input_shape", "name"], others, lacks)
        try:
            self.spec = spec()
        except (ModelError, ShapeError) as error:
            raise type(error)(f"{who}: {error}") from None


class Conv2D(Layer):
    """A convolution: (h, w, channels) to (oh, ow, filters); see ``nc.Conv2D``."""

    def __init__(
        self,
        filters: int,
        kernel_size: Window,
        strides: Window = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Window = (1, 1),
        groups: int = 1,
        activation: str | None = None,
        use_bias: bool = True,
        kernel_initializer: str = "glorot_uniform",
        **others: Any,
    ) -> None:
        _check_format("Conv2D", data_format)
        super().__init__(
            lambda: layers.Conv2D(
                filters, _window(kernel_size), _window(strides), _padding(padding), _activation(activation), use_bias,
                kernel_initializer, _window(dilation_rate), groups,
            ),
            others, _OF_WEIGHTS,
        )  # fmt: skip


class MaxPooling2D(Layer):
    """The largest value under each window; see ``nc.MaxPool2D``."""

    def __init__(
        self, pool_size: Window = (2, 2), strides: Window | None = None, padding: str = "valid", data_format: str | None = None,
        name: str | None = None, **others: Any,
    ) -> None:  # fmt: skip
        _check_format("MaxPooling2D", data_format)
        super().__init__(
            lambda: layers.MaxPool2D(_window(pool_size), _window(strides), _padding(padding)), {**others, "name": name}, _OF_ALL
        )


class AveragePooling2D(Layer):
    """The mean under each window; see ``nc.AvgPool2D``."""

    def __init__(
        self, pool_size: Window, strides: Window | None = None, padding: str = "valid", data_format: str | None = None,
        name: str | None = None, **others: Any,
    ) -> None:  # fmt: skip
        _check_format("AveragePooling2D", data_format)
        super().__init__(
            lambda: layers.AvgPool2D(_window(pool_size), _window(strides), _padding(padding)), {**others, "name": name}, _OF_ALL
        )


class GlobalAveragePooling2D(Layer):
    """The mean of each feature map: (h, w, channels) to (channels,); see ``nc.GlobalAvgPool2D``."""

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **others: Any) -> None:
        _check_format("GlobalAveragePooling2D", data_format)
        check_default("GlobalAveragePooling2D", "keepdims", keepdims, False)
        super().__init__(layers.GlobalAvgPool2D, others, _OF_ALL)


class Flatten(Layer):
    """All values of an image in one row; see ``nc.Flatten``."""

    def __init__(self, data_format: str | None = None, **others: Any) -> None:
        _check_format("Flatten", data_format)
        super().__init__(layers.Flatten, others, _OF_ALL)


class Dense(Layer):
    """A fully connected layer: (k,) to (units,); see ``nc.Dense``."""

    def __init__(
        self, units: int, activation: str | None = None, use_bias: bool = True, kernel_initializer: str = "glorot_uniform",
        **others: Any,
    ) -> None:  # fmt: skip
        super().__init__(lambda: layers.Dense(units, _activation(activation), use_bias, kernel_initializer), others, _OF_DENSE)


class Dropout(Layer):
    """In training, a share ``rate`` of the values becomes 0; see ``nc.Dropout``."""

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **others: Any) -> None:
        check_default("Dropout", "noise_shape", noise_shape, None)
        check_default("Dropout", "seed", seed, None)
        super().__init__(lambda: layers.Dropout(rate), others, _OF_ALL)


class BatchNormalization(Layer):
    """Each channel gets mean 0 and variance 1 over the batch; see ``nc.BatchNorm``."""

    def __init__(
        self, axis: int = -1, momentum: float = 0.99, epsilon: float = 0.001, center: bool = True, scale: bool = True,
        **others: Any,
    ) -> None:  # fmt: skip
        check_default("BatchNormalization", "axis", axis, -1)
        super().__init__(lambda: layers.BatchNorm(momentum, epsilon, center, scale), others, _OF_BATCH_NORMALIZATION)


class Activation(Layer):
    """An activation as a layer of its own; see ``nc.Activation``."""

    def __init__(self, activation: str, **others: Any) -> None:
        super().__init__(lambda: layers.Activation(activation), others, _OF_ALL)


class Input:
    """The shape of one image, as the first of a model's layers: ``Input(shape=(28, 28, 1))``."""

    def __init__(self, shape: Sequence[int], name: str | None = None, **others: Any) -> None:
        check_arguments("Input", ["shape", "name"], others, _NOT_IN_INPUT)
        self.input_shape, self.name = read_shape("Input: shape", shape), name


MaxPool2D, AvgPool2D, GlobalAvgPool2D = MaxPooling2D, AveragePooling2D, GlobalAveragePooling2D
"""Keras's other names of the same layers."""


def read_shape(who: str, shape: object) -> tuple[int, ...]:
    """The shape of one image, without the batch: (height, width, channels), (height, width), or (values,).

    Raises:
        ModelError: it is none of these.
    """
    sides = tuple(shape) if isinstance(shape, (list, tuple)) else ()
    if not 1 <= len(sides) <= 3 or not all(is_whole(side, 1) for side in sides):
        raise ModelError(f"{who}: expected (height, width, channels), (height, width) or (values,), got {short(shape)}")
    return tuple(map(int, sides))


_POSITIONS = ("data_format", "keepdims", "noise_shape", "seed", "axis")
"""Arguments that have Keras's position, and take its default alone."""


def _check_format(who: str, data_format: str | None) -> None:
    if data_format is not None:
        check_default(who, "data_format", data_format, "channels_last")


def _window(sides: Any) -> Any:
    """A list is a pair, too."""
    return tuple(sides) if isinstance(sides, list) else sides


def _padding(padding: Any) -> Any:
    """Keras takes ``"SAME"``, too."""
    return padding.lower() if isinstance(padding, str) else padding


def _activation(activation: Any) -> Any:
    """``"linear"`` is Keras's other name of none."""
    return None if activation == "linear" else activation


__all__ = [
    "Activation", "AveragePooling2D", "AvgPool2D", "BatchNormalization", "Conv2D", "Dense", "Dropout", "Flatten",
    "GlobalAveragePooling2D", "GlobalAvgPool2D", "Input", "MaxPool2D", "MaxPooling2D",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    raise no_such_name("numbacnn.keras.layers", name, __all__)
