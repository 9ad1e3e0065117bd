"""The networks that MODEL names on the command line: a preset, a model file, or a trained network."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numbacnn.config import read_model_file
from numbacnn.errors import CheckpointError
from numbacnn.graph import Graph
from numbacnn.models import PRESETS, preset
from numbacnn.reading import read_bounded
from numbacnn.recipe import Recipe

if TYPE_CHECKING:
    from numbacnn.checkpoint import TrainedNetwork

LAST_RUN = Path("runs") / "last"
_LONGEST_PATH = 1 << 15  # bytes; no system takes a longer one


class Source:
    """A network by name or file: its graph, its recipe, and its weights if it is trained."""

    def __init__(self, graph: Graph, recipe: Recipe, parameters: dict[str, Any] | None = None):
        self.graph = graph
        self.recipe = recipe
        self.parameters = parameters


def read_model(text: str) -> Source:
    """The network that MODEL names.

    Raises:
        ModelError, ShapeError, CheckpointError: there is none, or it cannot be read.
    """
    if text in PRESETS:
        found = preset(text)
        return Source(found.graph, found.recipe)
    path = Path(text)
    if path.suffix == ".toml":
        return Source(*read_model_file(path))
    if path.suffix == ".safetensors":
        from numbacnn.checkpoint import load_network  # needs numpy, which `shapes` of a preset does without

        network = load_network(path)
        return Source(network.graph, network.recipe, network.parameters)
    preset(text)  # raises an error that lists the presets
    raise AssertionError


def read_network(text: str) -> tuple["TrainedNetwork", bool]:
    """The network that MODEL names with its weights, and whether these are trained: else they are the initial ones of seed 0.

    Raises:
        ModelError, ShapeError, CheckpointError: there is none, or it cannot be read.
    """
    from numbacnn.checkpoint import TrainedNetwork, load_network
    from numbacnn.datasets.arrays import numbered_names
    from numbacnn.initializers import initial_parameters

    if Path(text).suffix == ".safetensors" and text not in PRESETS:
        return load_network(Path(text)), True
    source = read_model(text)
    shape = source.graph.output_shape
    names = numbered_names(shape[0]) if len(shape) == 1 else ()
    summary = {"recipe": source.recipe.to_dict()}
    return TrainedNetwork(source.graph, initial_parameters(source.graph, seed=0), names, summary), False


def remember_run(folder: Path) -> None:
    """Note which network was trained last, for ``evaluate`` and ``predict``. A note that cannot be written is no error."""
    from numbacnn.errors import NumbaCNNError
    from numbacnn.files import write_atomically

    from .console import notice  # slow to import, and `shapes --format json` does without

    try:
        LAST_RUN.parent.mkdir(exist_ok=True)
        write_atomically(LAST_RUN, os.fsencode(folder.absolute()))
    except (OSError, NumbaCNNError):
        notice(f"{LAST_RUN} cannot be written: give --model to evaluate and predict.")


def trained_model(given: Path | None) -> Path:
    """The file of a trained network: the one given, or that of the run last finished from this folder.

    Raises:
        CheckpointError: there is none.
    """
    if given is not None:
        return given
    try:
        return Path(os.fsdecode(read_bounded(LAST_RUN, _LONGEST_PATH))) / "model.safetensors"
    except FileNotFoundError:
        raise CheckpointError(
            "no network has been trained from this folder yet. Train one, as in 'numbacnn train --model small --dataset digits', "
            "or give --model FILE"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{LAST_RUN}: cannot be read: {error.strerror or error}. Give --model FILE") from None
