"""numbacnn: convolutional networks you can read, run fast on the machine you have, and trust.

>>> import numbacnn as nc
>>> graph = nc.sequential(nc.Flatten(), nc.Dense(10, activation="softmax"), input_shape=(28, 28, 1))

Importing it loads neither numpy nor numba; importing ``numbacnn.functional``, ``numbacnn.network`` or ``numbacnn.training`` does.
"""

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
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    MaxPool2D,
)
from numbacnn.summary import summarise
from numbacnn.version import __version__

__all__ = [
    "Activation",
    "Add",
    "AvgPool2D",
    "BatchNorm",
    "CheckpointError",
    "Concatenate",
    "Conv2D",
    "DataError",
    "Dense",
    "DeviceError",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2D",
    "Graph",
    "MaxPool2D",
    "ModelError",
    "Node",
    "NotFiniteError",
    "NumbaCNNError",
    "ShapeError",
    "TrainingError",
    "__version__",
    "build_graph",
    "sequential",
    "summarise",
]
