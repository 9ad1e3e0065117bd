"""The report of a sweep: a row for each combination of settings, with the spread of its runs. It follows from the folders alone."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numbacnn.errors import CheckpointError
from numbacnn.files import write_atomically
from numbacnn.quoting import counted
from numbacnn.reading import read_bounded
from numbacnn.spread import Spread, spread

from .console import Printer, can_print
from .layout import Column
from .sweep_folders import Found
from .sweep_grid import label
from .tables import percent, table, text

REPORT_FILE = "sweep.json"

MEASURED = ("test_accuracy", "test_loss", "seconds")
"""The figures of a run of which a row has the spread."""

_MOST_BYTES = 1 << 28  # of a report; a run takes 500
_MOST_NAMED = 5  # runs in one sentence


def report(found: Sequence[Found]) -> dict[str, Any]:
    """The report as plain values: the object of ``--format json`` and of ``sweep.json``.

    Args:
        found: all runs of the sweep, in their order.
    """
    rows: dict[tuple[tuple[str, Any], ...], list[Found]] = {}
    for each in found:
        rows.setdefault(each.run.settings, []).append(each)
    return {"rows": [_row(dict(settings), members) for settings, members in rows.items()], "runs": [_run(each) for each in found]}


def _row(settings: dict[str, Any], members: Sequence[Found]) -> dict[str, Any]:
    figures = [each.figures for each in members if each.figures is not None]
    measured: dict[str, Any] = {}
    for name in MEASURED:
        values = [value for each in figures if (value := getattr(each, name)) is not None]
        measured[name] = _spread(spread(values)) if values else None
    return {
        "settings": settings,
        "planned": len(members),
        "done": len(figures),
        "failed": sum(each.figures is None and each.reason is not None for each in members),
        **measured,
    }


def _spread(values: Spread) -> dict[str, Any]:
    interval = None if values.margin is None else [values.mean - values.margin, values.mean + values.margin]
    return {"mean": values.mean, "standard_deviation": values.standard_deviation, "interval_95": interval}


def _run(each: Found) -> dict[str, Any]:
    figures = asdict(each.figures) if each.figures else {}
    return {
        "name": each.run.name,
        "settings": dict(each.run.settings),
        "seed": each.run.seed,
        "state": "done" if each.figures else "failed" if each.reason else "half done" if each.is_begun else "not begun",
        "reason": None if each.figures else each.reason,
        **figures,
    }


def check_report(folder: Path) -> None:
    """Raise if the report would take the place of a file of the user's own.

    Raises:
        CheckpointError: it would.
    """
    path = folder / REPORT_FILE
    if not os.path.lexists(path):
        return
    try:
        found = json.loads(read_bounded(path, _MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not {"rows", "runs"} <= found.keys():
        raise CheckpointError(
            f"{path}: expected the report of a sweep, got another file. It stays as it is: give another folder with --output"
        )


def write_report(folder: Path, values: dict[str, Any]) -> Path:
    """Write ``sweep.json``, whole or not at all.

    Raises:
        CheckpointError: it cannot be written.
    """
    path = folder / REPORT_FILE
    write_atomically(path, (json.dumps(values, indent=1, allow_nan=False) + "\n").encode())
    return path


def print_report(values: dict[str, Any], console: Printer) -> None:
    """The same as a table, with a note for each run that failed and for those that are missing."""
    rows = values["rows"]
    names = list(rows[0]["settings"])
    has_spread = any(row["done"] > 1 for row in rows)
    spreads = [Column("deviation", rank=2), Column("95 %", rank=1)] if has_spread else []
    losses = [Column("loss deviation", rank=6), Column("loss 95 %", rank=5)] if has_spread else []
    shown = table(*(text(name) for name in names), "runs", "test accuracy", *spreads, Column("test loss", rank=3), *losses,
                  Column("s", rank=4))  # fmt: skip
    sign = "±" if can_print(console, "±") else "+/-"
    for row in rows:
        count = str(row["done"]) if row["done"] == row["planned"] else f"{row['done']} of {row['planned']}"
        accuracy, loss, seconds = (row[name] for name in MEASURED)
        shown.add_row(
            *map(label, row["settings"].values()),
            count,
            percent(accuracy["mean"]) if accuracy else "-",
            *([_points(accuracy, "standard_deviation"), _margin(accuracy, 100, 2, sign)] if has_spread else []),
            f"{loss['mean']:.4f}" if loss else "-",
            *([_number(loss), _margin(loss, 1, 4, sign)] if has_spread else []),
            f"{seconds['mean']:.1f}" if seconds else "-",
        )
    console.print(shown)
    if has_spread:
        console.print(
            "deviation is the standard deviation over the seeds; 95 % is the margin of the mean, by Student's t. "
            "Those of accuracies are in points of a hundred."
        )
    for line in notes(values):
        console.print_wrapped(line)


def notes(values: dict[str, Any]) -> list[str]:
    """A sentence for each run that failed, and one for those that are not done."""
    lines = [f"failed: {run['name']}: {run['reason']}" for run in values["runs"] if run["state"] == "failed"]
    missing = [run["name"] for run in values["runs"] if run["state"] in ("half done", "not begun")]
    if missing:
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        lines.append(f"not done: {counted(len(missing), 'run')}: {', '.join(missing[:_MOST_NAMED])}{more}")
    return lines


def _points(values: dict[str, Any] | None, name: str) -> str:
    return "-" if values is None or values[name] is None else f"{100 * values[name]:.2f}"


def _number(values: dict[str, Any] | None) -> str:
    return "-" if values is None or values["standard_deviation"] is None else f"{values['standard_deviation']:.4f}"


def _margin(values: dict[str, Any] | None, factor: int, digits: int, sign: str) -> str:
    if values is None or values["interval_95"] is None:
        return "-"
    low, high = values["interval_95"]
    return f"{sign} {factor * (high - low) / 2:.{digits}f}"
