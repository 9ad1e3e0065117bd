"""Worksheets: all different, the same for the same seed, with keys that the oracle recomputes; and the marking of answers."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import oracle
import pytest
from command_line import run_here

from numbacnn.backends import get_ops
from numbacnn.errors import DataError
from numbacnn.lecture.worksheet import ANSWERS, Sheet, key, markdown, marks, sheets


@pytest.fixture(scope="module")
def made() -> list[Sheet]:
    return sheets(get_ops("cpu", plain=True), 30, 7)


def test_the_key_is_what_the_oracle_computes(made: list[Sheet]) -> None:
    for sheet in made:
        x, w = sheet.x[None, :, :, None], sheet.w[:, :, None, None]
        h = oracle.conv2d(x, w)
        _, dw, _ = oracle.conv2d_backward(x, w, np.ones_like(h), strides=1, padding="valid")
        largest = sheet.pooled.reshape(2, 2, 2, 2).max(axis=(1, 3))
        expected = [h[0, :, :, 0], np.maximum(h[0, :, :, 0], 0), dw[:, :, 0, 0], sheet.w - dw[:, :, 0, 0], largest]
        numbers = [int(number) for each in expected for number in each.reshape(-1)]
        numbers.append(len(range(0, sheet.size - sheet.kernel + 1, sheet.stride)))
        numbers.append(sheet.filters * (sheet.side * sheet.side * sheet.channels + 1))
        assert list(sheet.answers.items()) == list(zip(ANSWERS, numbers, strict=True))


def test_sheets_are_all_different_and_the_same_for_the_same_seed(made: list[Sheet]) -> None:
    pages = [markdown(sheet).split("\n", 1)[1] for sheet in made]
    assert len(set(pages)) == 30
    again, other = (sheets(get_ops("cpu", plain=True), 3, seed) for seed in (7, 8))
    assert [markdown(sheet) for sheet in again] == [markdown(sheet) for sheet in made[:3]], "whatever the number of students"
    assert [sheet.answers for sheet in other] != [sheet.answers for sheet in again]


def test_answers_need_no_calculator(made: list[Sheet]) -> None:
    assert max(abs(answer) for sheet in made for answer in sheet.answers.values()) < 1000
    for sheet in made:
        outputs = [sheet.answers[name] for name in ANSWERS[:4]]
        assert min(outputs) < 0 < max(outputs), "so that ReLU changes something and leaves something"


def test_a_sheet_has_a_blank_for_every_answer_and_no_answer(made: list[Sheet]) -> None:
    page = markdown(made[0])
    assert page.count("= ____") == len(ANSWERS)
    assert all(f"{name} = ____" in page for name in ANSWERS)


def test_the_files_are_written_once_and_no_file_of_the_users_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "sheets"
    words = ("lecture", "worksheet", "--students", 10, "--output", folder)
    done = run_here(*words, "--format", "json")
    assert done.code == 0, done.err
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["key.csv", *(f"sheet-{number:02}.md" for number in range(1, 11))]
    assert json.loads(run_here(*words, "--format", "json").out)["wrote"] == []
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "key.csv").write_text("mine")
    (folder / "sheet-01.md").unlink()
    done = run_here(*words)
    assert (done.code, done.out) == (1, "")
    assert "key.csv: expected no file or the sheet" in done.err
    assert (folder / "key.csv").read_text() == "mine"
    assert not (folder / "sheet-01.md").exists(), "nothing was written"
    assert run_here(*words, "--force").code == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_key_itself_has_full_marks(made: list[Sheet], tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text(key(made))
    done = run_here("lecture", "worksheet", "--check", tmp_path / "answers.csv", "--format", "json")
    rows = json.loads(done.out)
    assert [row["student"] for row in rows] == list(range(1, 31))
    assert {(row["right"], row["of"]) for row in rows} == {(22, 22)}


def test_wrong_and_missing_answers_are_named(made: list[Sheet]) -> None:
    rows = list(csv.DictReader(io.StringIO(key(made[:2]))))
    rows[0]["h11"] = str(made[0].answers["h11"] + 1)
    rows[0]["dw22"] = "?"
    rows[0]["pool11"] = ""
    rows[1]["h12"] = f" {made[1].answers['h12']}.0 ".replace("-", "\u2212")
    text = ";".join(rows[0]) + "\r\n" + "".join(";".join(row.values()) + "\r\n" for row in reversed(rows))
    first, second = marks(made, text, "answers.csv")
    assert (first.student, first.right, first.wrong, first.missing) == (1, 19, ["h11", "dw22"], ["pool11"])
    assert (second.student, second.right) == (2, 22)
    assert marks(made, "student,h11\n2,0\n", "a")[0].missing == list(ANSWERS[1:])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty file"), ("a,b\n", "a column named student"), ("student,parameter\n1,2\n", "Did you mean 'parameters'"),
        ("student,h11\n31,2\n", "a student from 1 to 30, got '31'"), ("student,h11\nx,2\n", "got 'x'"),
        ("student,h11\n1,2\n01,3\n", "1 again"), ("student,h11\n1\n", "expected 2 fields"), ("student,h11,h11\n1,2,3\n", "once"),
        ("student,h11\n1," + "9" * 200_000, "field larger"),
    ],
)  # fmt: skip
def test_answers_that_cannot_be_read_are_refused(text: str, said: str, made: list[Sheet]) -> None:
    with pytest.raises(DataError, match=said):
        marks(made, text, "answers.csv")
