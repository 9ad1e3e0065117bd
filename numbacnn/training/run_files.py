"""Whether a file is one that a run has written: a file of the user's own may have the same name, and stays where it is."""

import json
from dataclasses import MISSING, fields
from pathlib import Path

from numbacnn.checkpoint import is_written_by_numbacnn
from numbacnn.config import read_toml
from numbacnn.errors import ModelError
from numbacnn.plotting import SOFTWARE
from numbacnn.reading import open_regular
from numbacnn.training.events import EpochRecord

CONFIG_KEYS = {"model", "dataset", "training", "network"}
"""Of all that ``config.toml`` holds, what no other program's is likely to have together."""

_LONGEST_RECORD = 1 << 16  # bytes; a record takes 300
_LONGEST_START = 1 << 10  # bytes of a PNG before its pixels
_PNG_SOFTWARE = b"tEXtSoftware\x00" + SOFTWARE.encode()
_RECORD_KEYS = {field.name for field in fields(EpochRecord)}
_REQUIRED_KEYS = {field.name for field in fields(EpochRecord) if field.default is MISSING}


def is_of_a_run(path: Path) -> bool:
    """Whether this file, by its content, is a run's network, checkpoint, history, settings or curves."""
    match path.suffix:
        case ".safetensors":
            return is_written_by_numbacnn(path)
        case ".jsonl":
            return _begins_with_a_record(path)
        case ".png":
            return is_picture_of_a_run(path)
        case ".csv":
            return _begins_with_the_columns(path)
        case _:
            return _holds_settings(path)


def is_picture_of_a_run(path: Path) -> bool:
    """Whether a file is a PNG that ``plotting`` has written."""
    try:
        with open_regular(path) as file:
            return _PNG_SOFTWARE in file.read(_LONGEST_START)
    except OSError:
        return False


def is_lock(path: Path) -> bool:
    """Whether a file can be used as a lock: it is empty or, on file systems without locks, begins with a process's number."""
    try:
        with open_regular(path) as file:
            line = file.readline(_LONGEST_RECORD)
    except (FileNotFoundError, PermissionError):  # Windows refuses to read a lock that is held
        return True
    except OSError:
        return False
    return not line or line.strip().isdigit()


def _begins_with_a_record(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            record = json.loads(file.readline(_LONGEST_RECORD))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and _REQUIRED_KEYS <= record.keys() <= _RECORD_KEYS


def _begins_with_the_columns(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            columns = file.readline(_LONGEST_RECORD).decode().strip().split(",")
    except (OSError, ValueError):
        return False
    return _REQUIRED_KEYS <= set(columns) <= _RECORD_KEYS


def _holds_settings(path: Path) -> bool:
    try:
        return read_toml(path).keys() >= CONFIG_KEYS
    except ModelError:
        return False
