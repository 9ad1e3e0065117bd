"""The layers, by name. A new layer is a file in this folder and a line in ``LAYERS``; CONTRIBUTING lists the rest."""

from numbacnn.layers.activation import Activation
from numbacnn.layers.base import Context, Forward, Layer, ParameterSpec
from numbacnn.layers.batch_norm import BatchNorm
from numbacnn.layers.conv2d import Conv2D
from numbacnn.layers.dense import Dense
from numbacnn.layers.depthwise_conv2d import DepthwiseConv2D
from numbacnn.layers.dropout import Dropout
from numbacnn.layers.flatten import Flatten
from numbacnn.layers.merge import Add, Concatenate
from numbacnn.layers.pooling import AvgPool2D, GlobalAvgPool2D, MaxPool2D

LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer
    for layer in (
        Conv2D, DepthwiseConv2D, MaxPool2D, AvgPool2D, GlobalAvgPool2D, Flatten, Dense, Dropout, BatchNorm, Activation, Add,
        Concatenate,
    )
}  # fmt: skip

__all__ = [
    "LAYERS",
    "Activation",
    "Add",
    "AvgPool2D",
    "BatchNorm",
    "Concatenate",
    "Context",
    "Conv2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "Forward",
    "GlobalAvgPool2D",
    "Layer",
    "MaxPool2D",
    "ParameterSpec",
]
