"""How filters change while they are learned: an animation with a frame for each epoch.

>>> gif = filters_gif(networks_of(Path("runs/small-mnist")), "conv1")
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from numbacnn.checkpoint import TrainedNetwork, load_network
from numbacnn.errors import CheckpointError, ModelError
from numbacnn.inspection.tiles import filters
from numbacnn.layers import Conv2D, DepthwiseConv2D
from numbacnn.lecture.drawing import BLUE, CHARACTER, GREY, INK, ORANGE, Drawing, animation
from numbacnn.quoting import listed, plain
from numbacnn.training.run_folder import RunFolder

MOST_FILTERS, IN_A_ROW = 64, 8
TILE, GAP, MARGIN, HEAD = 64, 22, 18, 66
"""Pixels: the longest side of a filter, between two, around them and above them."""
SHADES = 24
"""Steps from 0 to the largest weight."""
SECONDS = 0.6


def networks_of(folder: Path) -> list[TrainedNetwork]:
    """The networks of the epochs that a run has kept, in their order.

    Raises:
        CheckpointError: it has kept none, or one cannot be read.
    """
    files = RunFolder(folder).kept_epochs()
    if not files:
        raise CheckpointError(
            f"{folder}: expected the networks of its epochs, epoch-0001.safetensors and so on, got none. Train with --keep-epochs"
        )
    return [load_network(file) for file in files]


def filters_gif(networks: Sequence[TrainedNetwork], layer: str) -> bytes:
    """The filters of a convolution, a frame for each network; colours mean the same weights in all frames.

    A filter of several channels is shown by its mean over them.

    Args:
        networks: of one graph, one for each epoch.
        layer: the name of a convolution.

    Returns:
        a GIF.

    Raises:
        ModelError: there is no network, no such convolution, or not the same in all networks.
    """
    kernels = [_kernel(network, layer) for network in networks]
    if not kernels:
        raise ModelError("networks: expected at least one, got none. Train with --keep-epochs")
    if len({kernel.shape for kernel in kernels}) > 1:
        shapes = " and ".join(sorted({str(kernel.shape) for kernel in kernels}))
        raise ModelError(
            f"{plain(layer)}: expected filters of one shape in all networks, got {shapes}. Give the epochs of one run"
        )
    largest = max(float(np.abs(_shown(kernel)).max()) for kernel in kernels) or 1.0
    epochs = [_epoch(network, number) for number, network in enumerate(networks, 1)]
    title = _title(layer, kernels[0])
    frames = [
        _frame(_shown(kernel), largest, title, f"epoch {epoch} of {epochs[-1]}").image()
        for kernel, epoch in zip(kernels, epochs, strict=True)
    ]
    return animation(frames, SECONDS, f"{title}, over {len(frames)} epochs")


def _kernel(network: TrainedNetwork, name: str) -> NDArray[np.float32]:
    """(filters, channels, kh, kw); see ``inspection.tiles.filters``."""
    convolutions = {node.name: node.layer for node in network.graph.nodes if isinstance(node.layer, Conv2D | DepthwiseConv2D)}
    if name not in convolutions:
        raise ModelError(
            f"{plain(name)}: expected a convolution of {plain(network.graph.name)}, got another name. There are: "
            f"{listed(convolutions) or 'none'}"
        )
    return filters(convolutions[name], network.parameters[f"{name}/kernel"])


def _shown(kernel: NDArray[np.float32]) -> NDArray[np.float64]:
    """The filters that are drawn, (filters, kh, kw)."""
    return kernel.mean(axis=1, dtype=np.float64)[:MOST_FILTERS]


def _epoch(network: TrainedNetwork, number: int) -> int:
    epoch = network.summary.get("epochs")
    return epoch if isinstance(epoch, int) else number


def _title(layer: str, kernel: NDArray[np.float32]) -> str:
    found, channels, rows, columns = kernel.shape
    count = f"{found} filters" if found <= MOST_FILTERS else f"the first {MOST_FILTERS} of {found} filters"
    return f"{plain(layer)}: {count} of {rows} x {columns}{f', means over {channels} channels' if channels > 1 else ''}"


def _frame(shown: NDArray[np.float64], largest: float, title: str, epoch: str) -> Drawing:
    count, rows, columns = shown.shape
    cell = max(2, TILE // max(rows, columns))
    width, height = columns * cell, rows * cell
    across, down = min(count, IN_A_ROW), -(-count // IN_A_ROW)
    words = f"blue {-largest:.3g}, white 0, orange {largest:.3g} in all frames"
    paper = max(across * (width + GAP) - GAP, CHARACTER * 15 * max(len(title), len(epoch)), CHARACTER * 11 * len(words))
    drawing = Drawing(2 * MARGIN + paper, HEAD + down * (height + GAP) + 30)
    drawing.text(MARGIN, 26, title, 15, bold=True)
    drawing.text(MARGIN, 48, epoch, 15)
    steps = np.rint(shown / largest * SHADES) / SHADES
    for number, weights in enumerate(steps):
        x = MARGIN + number % IN_A_ROW * (width + GAP)
        y = HEAD + number // IN_A_ROW * (height + GAP)
        for (i, j), share in np.ndenumerate(weights):
            if share:
                colour = ORANGE if share > 0 else BLUE
                drawing.rectangle(x + j * cell, y + i * cell, cell - 1, cell - 1, colour, None, opacity=abs(float(share)))
        drawing.rectangle(x - 1, y - 1, width + 1, height + 1, None, GREY)
        drawing.text(x + width / 2, y + height + 14, number, 10, "middle")
    drawing.text(MARGIN, drawing.height - 12, words, 11, fill=INK)
    return drawing
