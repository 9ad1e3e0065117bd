"""Trained networks and checkpoints as files: safetensors, with one JSON text beside the arrays. No pickle anywhere.

A trained network holds its parameters as ``<layer>/<parameter>``, its graph, its class names and its normalisation of pixels.
A checkpoint holds the state of a training run, which goes on from it as if it had never stopped.
The features of training images are a file of their own, bound to a network by the digest of its weights.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from numbacnn import memory
from numbacnn.datasets.checks import check_class_names
from numbacnn.errors import CheckpointError, DataError, ModelError, ShapeError
from numbacnn.files import write_atomically
from numbacnn.graph import Graph, graph_from_dict, graph_to_dict, without_softmax
from numbacnn.likeness import LEAST_IMAGES, Likeness, width_for
from numbacnn.network import to_device
from numbacnn.normalisation import NORMALISATIONS, PIXELS, Normalisation, read_normalisation
from numbacnn.ops import Ops
from numbacnn.picture_forms import DIGITS, FORMS
from numbacnn.prediction import Predictor
from numbacnn.quoting import plain, printable, short
from numbacnn.reading import open_regular
from numbacnn.recipe import Recipe, read_recipe
from numbacnn.safetensors_writer import array_bytes, safetensors_parts
from numbacnn.version import __version__

FORMATS = {"network": 1, "checkpoint": 2, "feature bank": 1}
"""The version of each kind of file. Checkpoints of format 1 mixed up a layer called "best" with the best epoch."""
METADATA_KEY = "numbacnn"

MAX_HEADER_BYTES = 1 << 25
"""Upper bound of the names, shapes and description in a file: a run of a hundred thousand epochs, say."""
_LENGTH_BYTES = 8
"""A safetensors file begins with the length of its header, a little-endian number."""

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class TrainedNetwork:
    """A network that can predict.

    Args:
        graph: with its softmax.
        parameters: by ``<layer>/<parameter>``, in graph order.
        class_names: one for each output.
        summary: what training reported: data set, epochs, loss, accuracy, recipe and so on; plain values.
        normalisation: of the images that it was trained on.
        pictures: how a picture is brought into the form of these images; one of ``picture_forms.FORMS``.
    """

    graph: Graph
    parameters: Arrays
    class_names: tuple[str, ...]
    summary: Mapping[str, Any]
    normalisation: Normalisation = PIXELS
    pictures: str = DIGITS

    @property
    def recipe(self) -> Recipe:
        """How it was trained; files of version 0.1 do not say, and get the default."""
        return read_recipe(self.summary.get("recipe", {}), source="recipe")

    def predictor(self, ops: Ops) -> Predictor:
        """Its predictor on a device.

        >>> predictor = load_network(Path("runs/cnn-mnist/model.safetensors")).predictor(ops)
        >>> predictor(images).probabilities
        """
        return Predictor(without_softmax(self.graph), ops, to_device(ops, self.parameters), self.normalisation)


@dataclass(frozen=True)
class Checkpoint:
    """A stopped training run: arrays by name, and plain values. Only ``numbacnn.training`` knows their meaning."""

    arrays: Arrays
    state: Mapping[str, Any]


def weights_sha256(graph: Graph, parameters: Mapping[str, NDArray[Any]]) -> str:
    """The sha256 of all parameters' bytes (little-endian, row-major), in graph order: equal for equal networks only."""
    digest = hashlib.sha256()
    for name in graph.parameters:
        digest.update(array_bytes(parameters[name]))
    return digest.hexdigest()


def save_network(path: Path, network: TrainedNetwork) -> None:
    """Write a trained network; see ``write_atomically``."""
    about = {
        "kind": "network",
        "graph": graph_to_dict(network.graph),
        "class_names": list(network.class_names),
        "normalisation": network.normalisation.to_dict(),
        "training": dict(network.summary),
    }
    if network.pictures != DIGITS:  # files of version 0.1 do not say, and are of digits
        about["pictures"] = network.pictures
    _write(path, {name: network.parameters[name] for name in network.graph.parameters}, about)


def load_network(path: Path) -> TrainedNetwork:
    """Read a trained network.

    Raises:
        CheckpointError: there is no such file, it is damaged or no network, or its arrays are not those of its graph.
    """
    arrays, about = _read(path, kind="network", remedy="Give a model.safetensors that 'numbacnn train' has written")
    try:
        graph = graph_from_dict(about["graph"], source="graph")
        class_names = check_class_names(about["class_names"])
        summary = dict(about["training"])
    except (KeyError, TypeError, ValueError, DataError, ModelError, ShapeError) as error:
        raise CheckpointError(f"{path}: its description cannot be read: {_reason(error)}. Train it again") from None
    _check_arrays(path, graph, arrays)
    normalisation = read_normalisation(about.get("normalisation"))
    if normalisation is None:
        known = " or ".join(str(each.to_dict()) for each in NORMALISATIONS)
        raise CheckpointError(f"{path}: normalisation: expected {known}, got {short(about.get('normalisation'))}. Train it again")
    if graph.output_shape != (len(class_names),):
        raise CheckpointError(
            f"{path}: class_names: expected one for each output of shape {graph.output_shape}, got {len(class_names)}. Train it again"
        )
    pictures = about.get("pictures", DIGITS)
    if pictures not in FORMS:
        raise CheckpointError(f"{path}: pictures: expected {' or '.join(FORMS)}, got {short(pictures)}. Train it again")
    network = TrainedNetwork(
        graph, {name: arrays[name] for name in graph.parameters}, class_names, summary, normalisation, pictures
    )
    try:
        network.recipe  # noqa: B018  checked now, with the file's name
    except ModelError as error:
        raise CheckpointError(f"{path}: training: {error}. Train it again") from None
    return network


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; see ``write_atomically``."""
    _write(path, checkpoint.arrays, {"kind": "checkpoint", "state": dict(checkpoint.state)})


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: there is no such file, or it is damaged or no checkpoint.
    """
    arrays, about = _read(path, kind="checkpoint", remedy="Start without --resume")
    if not isinstance(about.get("state"), dict):
        raise CheckpointError(f"{path}: state: expected an object, got {short(about.get('state'))}. Start without --resume")
    return Checkpoint(arrays, about["state"])


def save_likeness(path: Path, likeness: Likeness, network_sha256: str) -> None:
    """Write the features of training images; see ``write_atomically``.

    Args:
        network_sha256: ``weights_sha256`` of the network that they were computed by.
    """
    about = {"kind": "feature bank", "weights_sha256": network_sha256, "threshold": likeness.threshold}
    _write(path, {"features": likeness.bank}, about)


def load_likeness(path: Path, graph: Graph, parameters: Mapping[str, NDArray[Any]]) -> Likeness:
    """Read the features of a network's training images.

    Raises:
        CheckpointError: there is no such file, it is damaged, or its features were computed by another network.
    """
    remedy = "Train the network again, or resume its run: that writes them"
    arrays, about = _read(path, kind="feature bank", remedy=remedy)
    if about.get("weights_sha256") != weights_sha256(graph, parameters):
        raise CheckpointError(f"{path}: expected features of this network, got those of another one. {remedy}")
    bank, threshold = arrays.get("features"), about.get("threshold")
    width = width_for(graph)
    if bank is None or bank.dtype != np.int8 or bank.ndim != 2 or bank.shape[1] != width or len(bank) < LEAST_IMAGES:
        got = "none" if bank is None else f"{bank.dtype} {bank.shape}"
        raise CheckpointError(f"{path}: features: expected int8 (at least {LEAST_IMAGES}, {width}), got {got}. {remedy}")
    if not isinstance(threshold, float) or not 0 <= threshold <= 2:
        raise CheckpointError(f"{path}: threshold: expected a distance from 0 to 2, got {short(threshold)}. {remedy}")
    return Likeness(bank, threshold)


def is_written_by_numbacnn(path: Path) -> bool:
    """Whether this is a network or checkpoint of any version of numbacnn, as far as its description tells."""
    try:
        with open_regular(path):
            pass
        with safe_open(str(path), "numpy") as file:
            return METADATA_KEY in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def _write(path: Path, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> None:
    # One metadata key: several would be written in random order, and equal networks would make different files.
    text = json.dumps({"format": FORMATS[about["kind"]], "version": __version__, **about}, sort_keys=True, allow_nan=True)
    write_atomically(path, safetensors_parts(arrays, {METADATA_KEY: text}))


def _read(path: Path, kind: str, remedy: str) -> tuple[Arrays, dict[str, Any]]:
    try:
        _check_sizes(path, kind, remedy)
        with safe_open(str(path), "numpy") as file:
            about = json.loads((file.metadata() or {})[METADATA_KEY], object_pairs_hook=_distinct)
            _check_format(path, about, kind, remedy)
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118  not a dict
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}. {remedy}") from None
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{path}: not a {kind} of numbacnn, or damaged: {_reason(error)}. {remedy}") from None


def _check_sizes(path: Path, kind: str, remedy: str) -> None:
    """Raise unless the file is a regular one, as long as its header says, and fits into memory."""
    with open_regular(path) as file:  # for the system's own error messages; and safetensors would wait for a pipe
        size, header = os.fstat(file.fileno()).st_size, int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if not header <= min(size - _LENGTH_BYTES, MAX_HEADER_BYTES):
        raise CheckpointError(
            f"{path}: not a {kind} of numbacnn, or damaged: expected a header of at most {MAX_HEADER_BYTES:,} bytes within the "
            f"{size:,} of the file, got one of {header:,}. {remedy}"
        )
    memory.check(size, f"{path}: its arrays", remedy, CheckpointError)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose keys must differ: of equal ones, another reader might take another one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"two values of {short(next(name for name in found if names.count(name) > 1))}")
    return found


def _check_format(path: Path, about: Any, kind: str, remedy: str) -> None:
    if not isinstance(about, dict):
        raise CheckpointError(f"{path}: description: expected an object, got {short(about)}. {remedy}")
    if about.get("kind") != kind:
        raise CheckpointError(f"{path}: expected a {kind}, got a {short(about.get('kind'))}. {remedy}")
    if type(about.get("format")) is not int or about["format"] != FORMATS[kind]:
        raise CheckpointError(
            f"{path}: expected format {FORMATS[kind]}, as numbacnn {__version__} writes it, got {short(about.get('format'))}. "
            f"It was written by numbacnn {short(about.get('version'))}: use that one, or train again"
        )


def _check_arrays(path: Path, graph: Graph, arrays: Arrays) -> None:
    specs = graph.parameters
    for name in [*specs, *arrays]:
        if name not in arrays or name not in specs:
            where = "is missing from the file" if name in specs else "belongs to no layer of its graph"
            raise CheckpointError(f"{path}: {short(name)} {where}. The file is damaged or of another network; train it again")
    for name, spec in specs.items():
        if arrays[name].shape != spec.shape or arrays[name].dtype != np.float32:
            raise CheckpointError(
                f"{path}: {plain(name)}: expected float32 {spec.shape}, got {arrays[name].dtype} {arrays[name].shape}. Train it again"
            )
        if not np.isfinite(arrays[name]).all():
            raise CheckpointError(f"{path}: {plain(name)} holds values that are not finite. Train it again")


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"{short(error.args[0])} is missing"
    return printable((str(error) or type(error).__name__)[:200])
