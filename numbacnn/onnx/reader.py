"""Reading ONNX files. Only the file itself is opened, never another one that it names."""

import json
import os
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from numbacnn.checkpoint import TrainedNetwork
from numbacnn.datasets.arrays import numbered_names
from numbacnn.datasets.checks import check_class_names
from numbacnn.errors import DataError, ModelError
from numbacnn.memory import check
from numbacnn.onnx.importer import Imported, from_model
from numbacnn.picture_forms import FORMS, PHOTOGRAPHS
from numbacnn.quoting import plain
from numbacnn.reading import read_bounded
from numbacnn.recipe import read_recipe
from numbacnn.shapes import Shape

MOST_FILE_BYTES = 2**31 - 1
"""A protobuf message holds at most 2 GiB."""

COPIES = 3
"""How often a file's arrays are held while it is read: as bytes, as a message, and as the network's."""


def import_network(path: Path, input_shape: Shape | None = None) -> TrainedNetwork:
    """The network of an ONNX file, one that gives a number for each class.

    Its class names and the report of its training are those that numbacnn has written beside the graph; else the classes are numbered.

    Args:
        path: the file.
        input_shape: (height, width, channels) of an image, for a model that leaves a side open.

    Raises:
        ModelError: there is no such file, it is damaged, or has operations that numbacnn lacks: the message names all of them.
    """
    found = read_network(path, input_shape)
    shape = found.graph.output_shape
    if len(shape) != 1:
        raise ModelError(f"{path}: expected a network with a number for each class, got an output of shape {shape}")
    return TrainedNetwork(
        found.graph,
        found.parameters,
        _class_names(found.properties, shape[0]),
        _summary(found.properties, path),
        found.normalisation,
        found.properties["pictures"] if found.properties.get("pictures") in FORMS else PHOTOGRAPHS,
    )


def read_network(path: Path, input_shape: Shape | None = None) -> Imported:
    """The network of an ONNX file, whatever its output; see ``import_network``."""
    try:
        check(COPIES * os.stat(path).st_size, f"{path}: its arrays", "Use a machine with more memory", ModelError)
        content = read_bounded(path, MOST_FILE_BYTES)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}. Give an .onnx file") from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, RecursionError) as error:
        raise ModelError(f"{path}: not an ONNX file, or damaged: {plain(str(error))}") from None
    if not model.HasField("graph"):
        raise ModelError(f"{path}: expected an ONNX model, got a file without a graph")
    return from_model(model, str(path), input_shape=input_shape)


def _class_names(properties: dict[str, str], count: int) -> tuple[str, ...]:
    try:
        names = check_class_names(_json(properties, "class_names"))
    except DataError:
        names = ()
    return names if len(names) == count else numbered_names(count)


def _summary(properties: dict[str, str], path: Path) -> dict[str, Any]:
    """The report of the training, where the file has one that numbacnn can have written."""
    found = _json(properties, "training")
    if isinstance(found, dict):
        try:
            read_recipe(found.get("recipe", {}), source="recipe")
        except ModelError:
            found = None
    return found if isinstance(found, dict) else {"imported_from": path.name}


def _json(properties: dict[str, str], key: str) -> Any:
    try:
        return json.loads(properties[key])
    except (KeyError, ValueError, RecursionError):
        return None
