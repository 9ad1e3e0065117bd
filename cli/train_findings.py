"""What a training shows at its end beside its figures: dead feature maps, and the curves as a picture."""

import os
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from numbacnn.dead_maps import BATCH, dead_maps
from numbacnn.errors import DeviceMemoryError, NumbaCNNError
from numbacnn.network import to_device
from numbacnn.plotting import save_curves
from numbacnn.quoting import printable
from numbacnn.training.run_files import is_of_a_run

from .console import notice
from .train_run import Run

SAMPLE = 256
"""Training images, spread evenly over all of them, on which a map must be 0 to count as dead."""
MOST_NAMED = 8
"""Maps of a layer that are named by their numbers."""


def dead_maps_of(run: Run) -> dict[str, list[int]]:
    """The dead maps of the network that the run keeps, by layer; none if there is no memory left to look for them."""
    images = run.dataset.train_images
    chosen = np.unique(np.linspace(0, len(images) - 1, min(SAMPLE, len(images))).astype(np.int64))
    size = min(BATCH, run.state.settings.batch_size)
    try:
        parameters = to_device(run.ops, run.state.parameters_to_keep(run.ops))
        return dead_maps(run.state.graph, run.ops, parameters, images[chosen], run.dataset.normalisation, size)
    except DeviceMemoryError as error:  # the training is done and saved: this is no reason to fail
        notice(f"dead feature maps are not looked for: {error}")
        return {}


def dead_maps_line(run: Run, found: dict[str, list[int]]) -> str:
    """The dead maps in words; an empty text if all are alive."""
    named = []
    for layer, maps in found.items():
        if maps:
            numbers = ", ".join(map(str, maps[:MOST_NAMED])) + ", ..." * (len(maps) > MOST_NAMED)
            named.append(f"{printable(layer)} {len(maps)} of {run.state.graph.shapes[layer][-1]} ({numbers})")
    images = min(SAMPLE, len(run.dataset.train_images))
    return f"dead feature maps: {', '.join(named)}, 0 on each of {images} training images" if named else ""


def draw_curves(run: Run) -> Path | None:
    """Draw the curves into the run's folder, where matplotlib is installed. A picture that cannot be drawn is no failure of the training.

    Returns:
        the picture; None if there is none of this run.
    """
    path = run.folder.curves
    if find_spec("matplotlib") is None:
        return None
    if os.path.lexists(path) and not is_of_a_run(path):
        notice(f"{path} is a picture of your own and stays: 'numbacnn plot --output DIR' draws the curves to another folder")
        return None
    try:
        save_curves([asdict(record) for record in run.state.history], path, run.folder.path.name)
    except NumbaCNNError as error:
        notice(f"the curves are not drawn: {error}")
        return None
    return path
