"""The history of a run: the table for spreadsheets, and the file as it is read back."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from numbacnn.errors import CheckpointError
from numbacnn.training.events import EpochRecord
from numbacnn.training.history import history_csv, read_history
from numbacnn.training.run_folder import history_lines

FIRST = EpochRecord(1, 0.01, 1.5, 0.5, 1.4, 0.55, 2.5, 1000.0)
WATCHED = [
    replace(
        FIRST, epoch=epoch, validation_loss=1.3 / epoch, validation_accuracy=0.125 * epoch, test_loss=None, test_accuracy=None
    )
    for epoch in (1, 2)
]


@pytest.mark.parametrize("history", [[FIRST, replace(FIRST, epoch=2, loss=1 / 3)], WATCHED])
def test_the_table_has_the_columns_and_the_numbers_of_the_history(history: list[EpochRecord]) -> None:
    rows = list(csv.DictReader(io.StringIO(history_csv(history))))
    lines = [json.loads(line) for line in history_lines(history).splitlines()]
    assert [list(row) for row in rows] == [list(line) for line in lines]
    assert [{name: float(cell) if cell else None for name, cell in row.items()} for row in rows] == lines
    assert history_csv(history).endswith("\n")
    assert "\r" not in history_csv(history)


@pytest.mark.parametrize("history", [[], [FIRST], WATCHED])
def test_the_file_of_a_history_is_read_back(history: list[EpochRecord], tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text(history_lines(history), encoding="utf-8")
    assert read_history(tmp_path / "history.jsonl") == [json.loads(line) for line in history_lines(history).splitlines()]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "line 1: expected a JSON object, got '{'"),
        (b"[" * 100_000, "line 1: expected a JSON object"),
        (b"3\n", "line 1: expected a JSON object, got '3'"),
        (b"\xff\xfe", "bytes that are no text"),
        (history_lines([FIRST]).replace("1.5", '"1.5"').encode(), "line 1: expected a finite number as loss, got '1.5'"),
        (history_lines([FIRST, FIRST]).replace("1.5", "NaN").encode(), "line 1: expected a finite number as loss, got nan"),
        (history_lines([FIRST]).replace("epoch", "epcoh").encode(), "line 1: expected a finite number as epoch, got None"),
    ],
)
def test_a_file_that_is_no_history_is_refused_in_words(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_bytes(content)
    with pytest.raises(CheckpointError) as refused:
        read_history(tmp_path / "history.jsonl")
    assert words in str(refused.value)


def test_a_folder_without_a_history_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"history\.jsonl: No such file.*Give the folder of a run"):
        read_history(tmp_path / "history.jsonl")
