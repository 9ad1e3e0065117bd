"""TOML files: networks, and the settings that ``train`` writes beside its network."""

import codecs
import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from numbacnn.errors import ModelError
from numbacnn.graph import Graph, graph_from_dict, graph_to_dict
from numbacnn.quoting import plain
from numbacnn.reading import read_bounded
from numbacnn.recipe import Recipe, read_recipe

MAX_FILE_BYTES = 1 << 18
"""Upper bound of a TOML file's size; a network of a thousand layers takes less than half of it, and Python reads it in a second."""

MOST_DOTS = 64
"""Upper bound of the dots in a line. ``tomllib`` takes memory and time in the square of a dotted key's parts."""

_TEXT_OR_NUMBERS = re.compile(r'"(?:[^"\\]|\\.)*"|\[\s+(?:-?\d+,\s+)+\]')
"""A text, or a list of numbers over several lines. Matching texts too keeps lists inside of them unchanged."""


def read_toml(path: Path) -> dict[str, Any]:
    """The plain values of a TOML file.

    Raises:
        ModelError: the file is missing, unreadable or not TOML; the message gives the line.
    """
    try:
        text = _decoded(read_bounded(path, MAX_FILE_BYTES))
        for number, line in enumerate(text.split("\n"), 1):
            if line.count(".") > MOST_DOTS:
                raise ModelError(
                    f"{path}: line {number}: expected at most {MOST_DOTS} dots, got {line.count('.')}. Break the line"
                )
        return tomllib.loads(text)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}. Give the path of a .toml model file") from None
    except UnicodeDecodeError:
        raise ModelError(f"{path}: expected a TOML text in UTF-8, got other bytes. Save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"{path}: not valid TOML: {plain(str(error))}") from None
    except ValueError as error:  # a number too long for Python to read
        raise ModelError(f"{path}: not a model file: {plain(str(error))}") from None
    except RecursionError:
        raise ModelError(f"{path}: not a model file: its tables are nested too deeply") from None


def _decoded(data: bytes) -> str:
    """A text in UTF-8; or in UTF-16 behind its mark, as Windows PowerShell writes ``numbacnn models --toml cnn > cnn.toml``."""
    is_utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if is_utf_16 else "utf-8-sig")


def write_toml(values: dict[str, Any]) -> str:
    """Plain values as TOML text. Keys whose value is None are left out: TOML has no null."""
    return tomli_w.dumps({key: value for key, value in values.items() if value is not None})


class ModelFile(NamedTuple):
    """What a ``.toml`` model file describes: a network, and how to train it."""

    graph: Graph
    recipe: Recipe


def read_model_file(path: Path) -> ModelFile:
    """The network of a ``.toml`` model file, and the recipe in its table ``[training]``, which may be missing.

    Raises:
        ModelError, ShapeError: the message names the file and the layer.
    """
    data = read_toml(path)
    data.setdefault("name", path.stem)
    recipe = read_recipe(data.pop("training", {}), source=f"{path}: [training]")
    return ModelFile(graph_from_dict(data, source=str(path)), recipe)


def write_model_file(graph: Graph, recipe: Recipe | None = None) -> str:
    """The text of a model file from which ``read_model_file`` makes an equal graph and recipe."""
    header = graph_to_dict(graph)
    layers = header.pop("layers")
    training = [f"[training]\n{write_toml(recipe.to_dict())}"] if recipe else []
    tables = [write_toml(header), *training, *(f"[[layers]]\n{write_toml(layer)}" for layer in layers)]
    return _TEXT_OR_NUMBERS.sub(_in_one_line, "\n".join(tables))


def _in_one_line(match: re.Match[str]) -> str:
    """A list of numbers in one line; a text unchanged."""
    found = match[0]
    return found if found.startswith('"') else f"[{', '.join(re.findall(r'-?[0-9]+', found))}]"
