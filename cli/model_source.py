"""The networks that MODEL names on the command line: a preset, a model file, or a trained network."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numbacnn.errors import CheckpointError
from numbacnn.graph import Graph, with_outputs
from numbacnn.layers import Dense
from numbacnn.models import PRESETS, preset
from numbacnn.normalisation import Normalisation
from numbacnn.reading import read_bounded
from numbacnn.recipe import Recipe

if TYPE_CHECKING:
    from numbacnn.checkpoint import TrainedNetwork

LAST_RUN = Path("runs") / "last"
_LONGEST_PATH = 1 << 15  # bytes; no system takes a longer one


class Source:
    """A network by name or file: its graph, its recipe, and its weights and their normalisation of pixels if it is trained."""

    def __init__(
        self,
        graph: Graph,
        recipe: Recipe,
        parameters: dict[str, Any] | None = None,
        is_preset: bool = False,
        normalisation: Normalisation | None = None,
    ):
        self.graph = graph
        self.recipe = recipe
        self.parameters = parameters
        self.is_preset = is_preset
        self.normalisation = normalisation


def read_model(text: str, input_shape: tuple[int, ...] | None = None) -> Source:
    """The network that MODEL names, for images of another size if one is given.

    Raises:
        ModelError, ShapeError, CheckpointError: there is none, or it cannot be read.
    """
    source = _read(text)
    if input_shape is not None:
        source.graph = Graph(source.graph.name, input_shape, source.graph.nodes)
    return source


def _read(text: str) -> Source:
    if text in PRESETS:
        found = preset(text)
        return Source(found.graph, found.recipe, is_preset=True)
    path = Path(text)
    if path.suffix.lower() == ".toml":
        from numbacnn.config import read_model_file  # presets need no TOML

        return Source(*read_model_file(path))
    if (trained := _trained_file(text)) is not None:
        from numbacnn.checkpoint import load_network  # needs numpy, which `shapes` of a preset does without

        network = load_network(trained)
        return Source(network.graph, network.recipe, network.parameters, normalisation=network.normalisation)
    preset(text)  # raises an error that lists the presets
    raise AssertionError


def _trained_file(text: str) -> Path | None:
    """The file of a trained network that MODEL names, by itself or by the folder of its run; None for another MODEL."""
    if text in PRESETS:
        return None
    path = Path(text)
    inside = path / "model.safetensors"
    if path.suffix.lower() == ".safetensors" and not os.path.isdir(path):
        return path
    return inside if os.path.isfile(inside) else None  # unlike Path.is_file, False for a name that is too long


def for_classes(source: Source, classes: int, dataset: str) -> Graph:
    """The graph with an output for each class if it is a preset's, which says so; a network of the user's own stays as it is."""
    from .console import notice

    graph = source.graph
    if not source.is_preset or graph.output_shape == (classes,) or not isinstance(graph.nodes[-1].layer, Dense):
        return graph
    notice(f"{graph.name}: {classes} outputs in place of {graph.output_shape[0]}, one for each class of {dataset}")
    return with_outputs(graph, classes)


def read_network(text: str) -> tuple["TrainedNetwork", bool]:
    """The network that MODEL names with its weights, and whether these are trained: else they are the initial ones of seed 0.

    Raises:
        ModelError, ShapeError, CheckpointError: there is none, or it cannot be read.
    """
    from numbacnn.checkpoint import TrainedNetwork, load_network
    from numbacnn.datasets.arrays import numbered_names
    from numbacnn.initializers import initial_parameters

    if (trained := _trained_file(text)) is not None:
        return load_network(trained), True
    source = read_model(text)
    shape = source.graph.output_shape
    names = numbered_names(shape[0]) if len(shape) == 1 else ()
    summary = {"recipe": source.recipe.to_dict()}
    return TrainedNetwork(source.graph, initial_parameters(source.graph, seed=0), names, summary), False


def remember_run(folder: Path) -> None:
    """Note which network was trained last, for ``evaluate`` and ``predict``. A note that cannot be written is no error."""
    from .console import notice  # slow to import, and `shapes --format json` does without

    if not write_note(LAST_RUN, folder):
        notice(f"{LAST_RUN} cannot be written: give --model to evaluate and predict.")


def write_note(note: Path, folder: Path) -> bool:
    """Write the path of a folder to a file below the current directory. Returns whether it could be written."""
    from numbacnn.errors import NumbaCNNError
    from numbacnn.files import write_atomically

    try:
        note.parent.mkdir(exist_ok=True)
        write_atomically(note, os.fsencode(folder.absolute()))
    except (OSError, NumbaCNNError):
        return False
    return True


def read_note(note: Path) -> Path | None:
    """The folder that a note names, relative to the current directory if it is below; None if there is no note."""
    try:
        folder = Path(os.fsdecode(read_bounded(note, _LONGEST_PATH)))
    except OSError:
        return None
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def trained_model(given: Path | None, option: str = "--model FILE") -> Path:
    """The file of a trained network: the one given, or that of the run last finished from this folder.

    Args:
        option: that names one, for messages.

    Raises:
        CheckpointError: there is none.
    """
    if given is not None:
        if given.suffix.lower() == ".toml" or (str(given) in PRESETS and not os.path.lexists(given)):
            kind = "a model file" if given.suffix else "a preset"
            raise CheckpointError(
                f"{given}: expected a trained network, got {kind}, which holds no weights. Train it with 'numbacnn train --model {given}', "
                f"then leave {option.split()[0]} out, or give the model.safetensors of its run"
            )
        return given / "model.safetensors" if given.is_dir() else given
    try:
        return Path(os.fsdecode(read_bounded(LAST_RUN, _LONGEST_PATH))) / "model.safetensors"
    except FileNotFoundError:
        raise CheckpointError(
            "no network has been trained from this folder yet. Train one, as in 'numbacnn train --model small --dataset digits', "
            f"or give {option}"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{LAST_RUN}: cannot be read: {error.strerror or error}. Give {option}") from None
