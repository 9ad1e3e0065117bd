"""The file of ``train --config``: the settings of a run, as its ``config.toml`` holds them, or some of them."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from numbacnn.backends import DEVICES
from numbacnn.backends.precisions import PRECISIONS
from numbacnn.backends.threads import MOST_THREADS
from numbacnn.config import read_toml
from numbacnn.errors import ModelError, TrainingError
from numbacnn.graph import Graph, graph_from_dict
from numbacnn.models import PRESETS
from numbacnn.plain_numbers import is_whole
from numbacnn.quoting import short
from numbacnn.recipe import Recipe, read_recipe
from numbacnn.spelling import did_you_mean
from numbacnn.training import Settings

from .model_source import Source, read_model
from .options import DatasetName

Expected = tuple[str, Callable[[Any], bool]]

_TEXT: Expected = ("a text", lambda value: isinstance(value, str) and bool(value) and "\0" not in value)
_FLAG: Expected = ("true or false", lambda value: isinstance(value, bool))
_COUNT: Expected = ("a whole number of at least 1", lambda value: is_whole(value, 1))

OPTIONS: dict[str, Expected] = {
    "model": _TEXT,
    "dataset": _TEXT,
    "data_dir": _TEXT,
    "train_limit": _COUNT,
    "test_limit": _COUNT,
    "raw_pixels": _FLAG,
    "exact_conv": _FLAG,
    "precision": (f"one of {', '.join(PRECISIONS)}", lambda value: isinstance(value, str) and value in PRECISIONS),
    "keep_epochs": _FLAG,
    "device": (f"one of {', '.join(DEVICES)}", lambda value: isinstance(value, str) and value in DEVICES),
    "threads": (f"a whole number from 1 to {MOST_THREADS}", lambda value: is_whole(value, 1) and value <= MOST_THREADS),
}
"""The keys that are options of ``train``, and what each may be."""

TABLES = ("training", "network")


@dataclass(frozen=True)
class RunConfig:
    """What the file holds.

    Args:
        options: values of ``train``'s options by name, ``seed`` among them.
        training: values of the recipe by name.
        graph: the network; None leaves it to the model.
        path: of the file.
    """

    options: dict[str, Any]
    training: dict[str, Any]
    graph: Graph | None
    path: Path

    def source(self, model: str, input_shape: tuple[int, ...] | None, is_model_named: bool) -> Source:
        """The network to train, and its recipe.

        Args:
            model: as ``--model`` or the file names it; of a trained network, the weights to start from.
            input_shape: of the images, if the user gave one.
            is_model_named: whether ``--model`` was given: it wins over the network in the file.

        Raises:
            ModelError, ShapeError, CheckpointError: the model cannot be read, or the settings do not go together.
        """
        if self.graph is None or is_model_named or _is_trained(model):
            source = read_model(model, input_shape)
            values = source.recipe.to_dict() | self.training
        else:
            graph = self.graph if input_shape is None else Graph(self.graph.name, input_shape, self.graph.nodes)
            source = Source(graph, Recipe(), is_preset=model in PRESETS)
            values = self.training
        source.recipe = read_recipe(values, source=f"{self.path}: [training]")
        return source


def _is_trained(model: str) -> bool:
    return model not in PRESETS and Path(model).suffix.lower() != ".toml"


def read_run_config(path: Path) -> RunConfig:
    """The settings in a file; nothing in it is trusted.

    Raises:
        ModelError, ShapeError: it cannot be read, has an unknown key, or a value is not as expected.
    """
    values = read_toml(path)
    known = [*OPTIONS, *TABLES]
    for key, value in values.items():
        if key not in known:
            raise ModelError(f"{path}: unknown key {short(key)}.{did_you_mean(key, known)} Known keys: {', '.join(known)}")
        if key in OPTIONS and not OPTIONS[key][1](value):
            raise ModelError(f"{path}: {key}: expected {OPTIONS[key][0]}, got {short(value)}")
    options = {key: value for key, value in values.items() if key in OPTIONS}
    if "dataset" in options:
        try:
            options["dataset"] = DatasetName().convert(options["dataset"], None, None)
        except click.BadParameter as error:
            raise ModelError(f"{path}: dataset: {error.message}") from None
    if "data_dir" in options:
        options["data_dir"] = Path(options["data_dir"])
    training = _training(values.get("training", {}), path)
    if "seed" in training:
        options["seed"] = training.pop("seed")
    graph = None
    if "network" in values:
        if not isinstance(values["network"], dict):
            raise ModelError(f"{path}: [network]: expected a table with layers, got {short(values['network'])}")
        graph = graph_from_dict(values["network"], source=f"{path}: [network]")
    return RunConfig(options, training, graph, path)


def _training(values: Any, path: Path) -> dict[str, Any]:
    """The table ``[training]``, whose keys and values are as expected; together with a model's they may still not be."""
    if not isinstance(values, dict):
        raise ModelError(f"{path}: [training]: expected a table of settings, got {short(values)}")
    known = [field.name for field in fields(Settings)]
    for key in values:
        if key not in known:
            raise ModelError(
                f"{path}: [training]: unknown key {short(key)}.{did_you_mean(key, known)} Known keys: {', '.join(known)}"
            )
    try:
        Settings(seed=values.get("seed", 0))
    except TrainingError as error:
        raise ModelError(f"{path}: [training]: {error}") from None
    return dict(values)
