"""The convolution that a benchmark computes: one layer of a network, a batch of random images, and the result that all ways must reach.

y[n,i,j,f] = bias[f] + sum_{u,v,c} x[n, i*s-p+u*d, j*s-p+v*d, g*depth+c] * filters[u,v,c,f]
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numbacnn.errors import ModelError
from numbacnn.graph import Graph, Node, up_to
from numbacnn.initializers import initial_values
from numbacnn.layers import Conv2D, DepthwiseConv2D
from numbacnn.memory import check
from numbacnn.quoting import counted, listed, plain
from numbacnn.random_numbers import stream
from numbacnn.shapes import Shape, Window2D, cells

CHUNK_VALUES = 2**22
"""Values that a chunk of a batch may take, 16 MB in float32."""

FLOAT32, FLOAT64 = 4, 8  # bytes


@dataclass(frozen=True)
class Convolution:
    """One layer's convolution of a batch.

    Args:
        model, layer: names.
        x: images, float32 (n, h, w, c), in 0...1 as pixels are.
        filters: float32 (kh, kw, depth, f), where ``depth`` is the channels that a filter sees.
        bias: float32 (f,).
        window: output size, stride, padding and dilation.
        macs: multiply-accumulates for the whole batch, biases not counted.
    """

    model: str
    layer: str
    x: NDArray[np.float32]
    filters: NDArray[np.float32]
    bias: NDArray[np.float32]
    window: Window2D
    macs: int

    @property
    def groups(self) -> int:
        """The groups of channels and filters; 1 if each filter sees all channels."""
        return self.x.shape[3] // self.filters.shape[2]

    @property
    def output_shape(self) -> Shape:
        """(n, oh, ow, f)"""
        return len(self.x), *self.window.out, self.filters.shape[3]


def convolution(graph: Graph, layer: str | None = None, batch_size: int = 100) -> Convolution:
    """A layer's convolution of random images; the same numbers every time.

    Args:
        layer: its name; None for the convolution with the most work.
        batch_size: images, at least 1.

    Raises:
        ModelError: there is no such layer, or it is no convolution; or the network has none.
        DeviceMemoryError: the batch takes more memory than is free.
    """
    node = _node(graph, layer)
    image = graph.input_shapes(node)[0]
    spec = node.layer.parameters(image)["kernel"]
    window = node.layer.window(image)
    assert window is not None, "a convolution has a window"
    _check_memory(node.name, batch_size, image, graph.shapes[node.name])
    generator = np.random.default_rng(0)
    kernel = initial_values("he_normal", spec.shape, spec.fan_in, spec.fan_out, stream(0))
    maps = graph.shapes[node.name][2]
    filters = kernel.reshape(*kernel.shape[:2], 1, maps) if isinstance(node.layer, DepthwiseConv2D) else kernel
    x = generator.random((batch_size, *image), np.float32)
    bias = generator.standard_normal(maps).astype(np.float32)
    return Convolution(graph.name, node.name, x, filters, bias, window, batch_size * node.layer.macs(image))


def _node(graph: Graph, name: str | None) -> Node:
    found = {node.name: node for node in graph.nodes if isinstance(node.layer, (Conv2D, DepthwiseConv2D))}
    if name is not None and name not in found:
        other = up_to(graph, name).nodes[-1]
        advice = f"Its convolutions: {listed(found)}" if found else "It has no convolution: take another network"
        raise ModelError(
            f"{plain(name)}: expected a convolution of {plain(graph.name)}, got a layer {type(other.layer).__name__}. {advice}"
        )
    if not found:
        raise ModelError(f"{plain(graph.name)}: expected a network with a convolution, got none. Take another one, such as cnn")
    return found[name] if name else max(found.values(), key=lambda node: node.layer.macs(*graph.input_shapes(node)))


def _check_memory(name: str, batch_size: int, image: Shape, output: Shape) -> None:
    """The images, and the output three times: in float64, in float32, and their differences."""
    needed = batch_size * (FLOAT32 * cells(image) + (FLOAT32 + 2 * FLOAT64) * cells(output))
    check(needed, f"{plain(name)}: a batch of {counted(batch_size, 'image')}", "Use a smaller --batch-size")


def padded(x: NDArray, window: Window2D) -> NDArray:
    """Images among the zeros that the window reads."""
    rows, columns = window
    return np.pad(x, ((0, 0), (rows.pad_before, rows.pad_after), (columns.pad_before, columns.pad_after), (0, 0)))


def chunks(count: int, values: int) -> Iterator[slice]:
    """A batch of ``count`` images in chunks of at most ``CHUNK_VALUES``, if an image takes ``values``; at least one image each."""
    images = max(1, CHUNK_VALUES // values)
    return (slice(first, min(first + images, count)) for first in range(0, count, images))


def in_float64(problem: Convolution) -> NDArray[np.float64]:
    """The result that every way is compared with: the formula in float64, one cell of the filters after the other.

    Returns:
        y, float64 (n, oh, ow, f).
    """
    (rows, columns), (oh, ow), groups = problem.window, problem.window.out, problem.groups
    kh, kw, depth, maps = problem.filters.shape
    filters = problem.filters.astype(np.float64).reshape(kh, kw, depth, groups, maps // groups)
    y = np.empty(problem.output_shape)
    for part in chunks(len(y), cells(y.shape[1:])):
        x = padded(problem.x[part].astype(np.float64), problem.window)
        x = x.reshape(*x.shape[:3], groups, depth)
        total = np.zeros((*x.shape[:1], oh, ow, groups, maps // groups))
        for u in range(kh):
            for v in range(kw):
                top, left = u * rows.dilation, v * columns.dilation
                seen = x[:, top : top + (oh - 1) * rows.stride + 1 : rows.stride]
                seen = seen[:, :, left : left + (ow - 1) * columns.stride + 1 : columns.stride]
                total += _products(seen, filters[u, v])
        y[part] = total.reshape(y[part].shape) + problem.bias
    return y


def _products(x: NDArray, filters: NDArray) -> NDArray:
    """x (n, oh, ow, groups, depth) times filters (depth, groups, f): (n, oh, ow, groups, f)"""
    if filters.shape[1] == 1:
        return (x[..., 0, :] @ filters[:, 0])[..., None, :]
    return np.einsum("nijgc,cgf->nijgf", x, filters)
