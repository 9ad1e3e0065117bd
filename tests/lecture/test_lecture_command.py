"""The command line of the lecture: its list, its help without numpy, and the report of ``verify``."""

import json
import subprocess
import sys

import numbacnn_cli.lecture_verify
import pytest
from command_line import run_here
from numbacnn_cli.lecture import LECTURE_COMMANDS

from numbacnn.backends import get_ops
from numbacnn.lecture import FAULTS, Check, verify
from numbacnn.lecture.sections import SECTIONS
from numbacnn.lecture.verification import CHECKED


def test_the_lecture_alone_lists_its_sections_with_their_commands() -> None:
    done = run_here("lecture")
    assert (done.code, done.err) == (0, "")
    lines = [line.strip() for line in done.out.splitlines()]
    for name, section in SECTIONS.items():
        start = lines.index(f"{name}: {section.title}")
        assert lines[start + 2 : start + 2 + len(section.commands)] == list(section.commands)


def test_every_command_of_the_lecture_is_in_a_section() -> None:
    named = " ".join(command for section in SECTIONS.values() for command in section.commands)
    assert [name for name in LECTURE_COMMANDS if f"numbacnn lecture {name}" not in named] == []


def test_the_sections_as_json_are_those_that_verify_takes() -> None:
    rows = json.loads(run_here("lecture", "--format", "json").out)
    assert [row["section"] for row in rows] == [*CHECKED, "summary"]


@pytest.mark.parametrize("words", ["lecture", "lecture --help", "lecture terms"])
def test_the_list_its_help_and_the_terms_load_neither_numpy_nor_numba(words: str) -> None:
    program = (
        "import sys; from numbacnn_cli.main import main; code = main(); "
        "sys.exit(code or 10 * bool({'numpy', 'numba', 'PIL'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program, *words.split()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_json_of_verify_is_complete() -> None:
    done = run_here("lecture", "verify", "--format", "json")
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert report.keys() == {"checks", "faults", "passed", "failed"}
    assert (report["passed"], report["failed"]) == (len(report["checks"]), 0)
    assert report["faults"] == [fault._asdict() for fault in FAULTS]
    assert all(list(each) == list(Check._fields) for each in report["checks"])
    hit = next(each for each in report["checks"] if each["slide"] == "Filters Example (2/3)")
    assert (hit["expected"], hit["computed"], hit["passed"], hit["origin"]) == (6600, 6600, True, "slide")


@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_verify_fits_its_width_and_ends_with_the_faults(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    done = run_here("lecture", "verify", "--section", "filters")
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= int(columns)
    assert "5 checks, 5 passed, 0 failed." in done.out
    assert "FAIL" not in done.out
    assert all(f"  {fault.id}  {fault.slide}" in done.out for fault in FAULTS)


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_number_that_differs_is_shown_beside_the_expected_one_and_ends_with_1(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = verify(get_ops("cpu", plain=True), "filters")
    wrong = [right[0]._replace(computed=3600, passed=False), *right[1:]]
    monkeypatch.setattr(numbacnn_cli.lecture_verify, "verify", lambda ops, section: wrong)
    done = run_here("lecture", "verify", "--format", output)
    assert (done.code, done.err) == (1, "")
    if output == "json":
        assert (json.loads(done.out)["passed"], json.loads(done.out)["failed"]) == (4, 1)
    else:
        assert "3600, expected 6600" in done.out
        assert done.out.count("FAIL") == 1
        assert "5 checks, 4 passed, 1 failed." in done.out
