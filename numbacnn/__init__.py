"""numbacnn: convolutional networks you can read, run fast on the machine you have, and trust.

>>> import numbacnn as nc
>>> graph = nc.sequential(nc.Flatten(), nc.Dense(10, activation="softmax"), input_shape=(28, 28, 1))

Importing it loads neither numpy nor numba; ``fit``, ``load``, ``Net`` and ``Dataset``, and modules such as ``numbacnn.functional``, do
when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from numbacnn.errors import (
    CheckpointError,
    DataError,
    DeviceError,
    ModelError,
    NotFiniteError,
    NumbaCNNError,
    ShapeError,
    TrainingError,
)
from numbacnn.graph import Graph, Node, build_graph, sequential
from numbacnn.layers import (
    Activation,
    Add,
    AvgPool2D,
    BatchNorm,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    MaxPool2D,
)
from numbacnn.summary import summarise
from numbacnn.version import __version__

if TYPE_CHECKING:
    from numbacnn import keras as keras
    from numbacnn.datasets import Dataset
    from numbacnn.fitting import fit
    from numbacnn.net import Net, load

_LATE = {"fit": "numbacnn.fitting", "load": "numbacnn.net", "Net": "numbacnn.net", "Dataset": "numbacnn.datasets"}
"""Names whose modules need numpy, imported at their first use."""

_LATE_MODULES = ("keras",)
"""Modules that need numpy, reached as attributes (``import numbacnn as tf``, then ``tf.keras``) and imported at their first use."""


def __getattr__(name: str) -> Any:
    if name in _LATE_MODULES:
        return import_module(f"numbacnn.{name}")  # which sets the attribute
    if name in _LATE:
        globals()[name] = value = getattr(import_module(_LATE[name]), name)
        return value
    raise AttributeError(f"module 'numbacnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE, *_LATE_MODULES})


__all__ = [
    "Activation",
    "Add",
    "AvgPool2D",
    "BatchNorm",
    "CheckpointError",
    "Concatenate",
    "Conv2D",
    "DataError",
    "Dataset",
    "Dense",
    "DepthwiseConv2D",
    "DeviceError",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2D",
    "Graph",
    "MaxPool2D",
    "ModelError",
    "Net",
    "Node",
    "NotFiniteError",
    "NumbaCNNError",
    "ShapeError",
    "TrainingError",
    "__version__",
    "build_graph",
    "fit",
    "load",
    "sequential",
    "summarise",
]
