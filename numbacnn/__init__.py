"""numbacnn: convolutional networks you can read, run fast on the machine you have, and trust.

>>> import numbacnn as nc
>>> graph = nc.sequential(nc.Flatten(), nc.Dense(10, activation="softmax"), input_shape=(28, 28, 1))

Importing it loads next to nothing: names are imported at their first use. ``fit``, ``load``, ``Net`` and ``Dataset``, and modules such
as ``numbacnn.functional``, load numpy and numba.
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
from numbacnn.version import __version__

if TYPE_CHECKING:
    from numbacnn import keras as keras
    from numbacnn.datasets import Dataset
    from numbacnn.fitting import fit
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
    from numbacnn.net import Net, load
    from numbacnn.summary import summarise

_LATE = {
    "numbacnn.datasets": ("Dataset",),
    "numbacnn.fitting": ("fit",),
    "numbacnn.graph": ("Graph", "Node", "build_graph", "sequential"),
    "numbacnn.layers": (
        "Activation", "Add", "AvgPool2D", "BatchNorm", "Concatenate", "Conv2D", "Dense", "DepthwiseConv2D", "Dropout", "Flatten",
        "GlobalAvgPool2D", "MaxPool2D",
    ),
    "numbacnn.net": ("Net", "load"),
    "numbacnn.summary": ("summarise",),
}  # fmt: skip
"""Names by the module that has them, imported at their first use: ``numbacnn --help`` needs none of them."""

_LATE_MODULES = ("graph", "keras", "layers", "summary")
"""Modules reached as attributes (``import numbacnn as tf``, then ``tf.keras``), imported at their first use."""


def __getattr__(name: str) -> Any:
    if name in _LATE_MODULES:
        return import_module(f"numbacnn.{name}")  # which sets the attribute
    for module, names in _LATE.items():
        if name in names:
            globals()[name] = value = getattr(import_module(module), name)
            return value
    raise AttributeError(f"module 'numbacnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *(name for names in _LATE.values() for name in names), *_LATE_MODULES})


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
