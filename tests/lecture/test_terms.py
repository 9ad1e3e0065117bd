"""The terms of the lecture's summary."""

import json
import re

import pytest
from command_line import run_here

from numbacnn.lecture.terms import TERMS, Term


def test_the_nine_terms_are_those_of_the_summary() -> None:
    assert list(TERMS) == [
        "receptive field", "filter", "convolution", "padding", "stride", "pooling", "flattening", "dropout", "dense",
    ]  # fmt: skip


@pytest.mark.parametrize("term", TERMS.values(), ids=list(TERMS))
def test_a_term_has_two_sentences_and_a_chapter(term: Term) -> None:
    assert len(re.findall(r"[.](?: (?=[A-Z'])|$)", term.meaning)) == 2
    assert re.search(r"(Goodfellow|Geron) \d+", term.chapters)


@pytest.mark.parametrize("given", ["receptive field", "Receptive-Field", "  receptive   FIELD "])
def test_a_term_is_found_however_it_is_written(given: str) -> None:
    done = run_here("lecture", "terms", given)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("receptive field: ")
    assert len(done.out.splitlines()) == 3


@pytest.mark.parametrize(
    ("given", "meant"), [("poling", "pooling"), ("convolutions", "convolution"), ("receptive", "receptive field")]
)
def test_an_unknown_term_names_the_nearest(given: str, meant: str) -> None:
    done = run_here("lecture", "terms", given)
    assert (done.code, done.out) == (2, "")
    assert f"Did you mean {meant!r}?" in done.err


def test_all_terms_as_json() -> None:
    done = run_here("lecture", "terms", "--format", "json")
    rows = json.loads(done.out)
    assert [row["term"] for row in rows] == list(TERMS)
    assert all(row.keys() == {"term", "meaning", "slide", "chapters", "command"} for row in rows)
