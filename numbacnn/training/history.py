"""The history of a run as a table for spreadsheets, and as it is read back."""

import csv
import io
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from numbacnn.errors import CheckpointError
from numbacnn.plain_numbers import is_number
from numbacnn.quoting import short
from numbacnn.reading import read_bounded
from numbacnn.training.events import EpochRecord

MOST_BYTES = 1 << 26
"""The largest ``history.jsonl`` that is read: about 200,000 epochs."""

COLUMNS = [field.name for field in fields(EpochRecord)]
VALIDATION = {"validation_loss", "validation_accuracy"}
"""Columns that only a run with validation images has."""

MAY_LACK = VALIDATION | {"test_loss", "test_accuracy"}
"""Columns without a number where the data set has no such images."""


def history_csv(history: list[EpochRecord]) -> str:
    """The columns of ``history.jsonl``, with their names in the first line; an empty cell where there is no number."""
    has_validation = any(record.validation_loss is not None for record in history)
    text = io.StringIO()
    columns = [name for name in COLUMNS if has_validation or name not in VALIDATION]
    table = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(record) for record in history)
    return text.getvalue()


def read_history(path: Path) -> list[dict[str, Any]]:
    """The records of a ``history.jsonl``, one for each epoch, as in ``net.history``.

    Raises:
        CheckpointError: there is no such file, or a line of it is no record of an epoch.
    """
    try:
        lines = read_bounded(path, MOST_BYTES).decode().splitlines()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}. Give the folder of a run, such as runs/cnn-mnist") from None
    except UnicodeDecodeError:
        raise CheckpointError(f"{path}: expected a JSON object per line, got bytes that are no text. Train again") from None
    return [_record(path, number, line) for number, line in enumerate(lines, 1)]


def _record(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise CheckpointError(f"{path}, line {number}: expected a JSON object, got {short(line)}. Train again")
    for name in COLUMNS:
        value = record.get(name)
        if not is_number(value) and not (value is None and name in MAY_LACK):
            raise CheckpointError(f"{path}, line {number}: expected a finite number as {name}, got {short(value)}. Train again")
    return record
