"""The faults of the slides: each stands where the slides have it, and what is said of it can be recomputed."""

import re

import numpy as np
import pytest
from repository import TESTS

from numbacnn.backends import get_ops
from numbacnn.lecture import FAULTS, Fault, verify, xo
from numbacnn.lecture.sections import SECTIONS
from numbacnn.lecture.terms import TERMS
from numbacnn.lecture.vectors import vectors

SLIDES = (TESTS / "lecture_slides.txt").read_text(encoding="utf-8").splitlines()
XO = vectors()["xo_toy"]


def test_there_are_fourteen_faults_with_letters_from_a_to_n() -> None:
    assert "".join(fault.id for fault in FAULTS) == "abcdefghijklmn"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_fault_is_of_a_slide_and_says_what_is_true(fault: Fault) -> None:
    assert fault.slide in SLIDES
    assert fault.printed != fault.true
    assert fault.why.endswith(".")


def test_every_slide_that_the_package_names_has_a_title_of_the_lecture() -> None:
    named = [each.slide for each in verify(get_ops("cpu", plain=True))] + [term.slide for term in TERMS.values()]
    named += [slide for section in SECTIONS.values() for slide in section.slides]
    assert [slide for slide in named if slide not in SLIDES] == []


def test_the_sections_follow_one_another_and_leave_out_no_slide_but_the_first_three() -> None:
    places = [tuple(SLIDES.index(slide) for slide in section.slides) for section in SECTIONS.values()]
    assert places[0][0] == SLIDES.index("Let's Start With An Example") == 3
    assert [first for first, _ in places[1:]] == [last + 1 for _, last in places[:-1]]
    assert places[-1][1] == len(SLIDES) - 1


def fault(letter: str) -> Fault:
    return next(each for each in FAULTS if each.id == letter)


def test_fault_e_counts_the_cells_that_are_printed_wrongly() -> None:
    wrong = [cell for cells in XO["row_column_printed_true_of_wrong_cells"].values() for cell in cells]
    assert {printed for _, _, printed, _ in wrong} == {0.33}
    small, large = ([true for *_, true in wrong].count(value) for value in (0.11, 0.55))
    assert re.findall(r"\d+", fault("e").printed)[:2] == [str(len(wrong)), "147"]
    assert fault("e").true == f"0.11 in {small} of them, 0.55 in {large}"


def test_fault_e_is_seen_without_the_original() -> None:
    """The printed map 1 is not symmetric though X and its filter are, and pooled it gives other numbers than those printed."""
    printed = [np.array(XO["relu_as_printed_on_slide"][name]) for name in xo.FILTERS]
    image, weights = xo.lecture_image("X"), np.array(XO["filters"]["diag_down"])
    assert (image == image.T).all()
    assert (weights == weights.T).all()
    assert (printed[0] != printed[0].T).any()
    missed = 0
    for table, name in zip(printed, xo.FILTERS, strict=True):
        padded = np.pad(table, (0, 1), constant_values=-1.0)
        pooled = padded.reshape(4, 2, 4, 2).max(axis=(1, 3))
        missed += int((pooled != np.array(XO["pool_as_printed_on_slide"][name])).sum())
    assert f"misses {missed} of 48" in fault("e").why


def test_fault_f_k_and_n_by_arithmetic() -> None:
    loss = vectors()["softmax_cross_entropy"]
    assert round(sum(loss["probabilities_as_printed"]), 6) == 2.3
    assert f"{loss['loss_as_printed']:.3f}" in fault("f").why
    assert f"{loss['loss_if_normalised']:.3f}" in fault("f").why
    assert eval(fault("k").printed) == eval(fault("k").true) == 6600
    assert eval(fault("n").why.split(" = ")[0]) == pytest.approx(float(fault("n").true))
