"""Rows of figures as a file: ``.csv`` for spreadsheets, ``.html`` for a page."""

import csv
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from numbacnn.files import write_atomically

ENDINGS = (".csv", ".html")

_STYLE = (
    "body{font-family:sans-serif;margin:2rem}table{border-collapse:collapse}td,th{padding:.3rem .8rem;text-align:right;"
    "border-bottom:1px solid #ccc}td:first-child,th:first-child{text-align:left}"
)


def write_records(path: Path, title: str, records: Sequence[Mapping[str, Any]], notes: Sequence[str] = ()) -> None:
    """Write rows to a file whose name ends in one of ``ENDINGS``; never half of one.

    Args:
        title: of the page.
        records: rows with the same keys, at least one.
        notes: sentences below the table of a page.

    Raises:
        CheckpointError: it cannot be written; an earlier file is untouched.
    """
    text = _page(title, records, notes) if path.suffix.lower() == ".html" else _csv(records)
    write_atomically(path, text.encode(), advice="Give another file")


def _csv(records: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    table.writeheader()
    table.writerows({key: "" if value is None else value for key, value in record.items()} for record in records)
    return text.getvalue()


def _page(title: str, records: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> str:
    rows = [_row("th", records[0].keys()), *(_row("td", map(_shown, record.values())) for record in records)]
    paragraphs = "".join(f"<p>{escape(note)}</p>\n" for note in notes)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>\n'
        f"<h1>{escape(title)}</h1>\n<table>\n{''.join(rows)}</table>\n{paragraphs}</html>\n"
    )


def _row(tag: str, texts: Any) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(str(text))}</{tag}>' for text in texts)}</tr>\n"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else str(value)
