"""The list of mutants is true of the code as it is, and ``mutants/run.py`` tells killed ones from others.

All of them are tried by ``python tests/mutants/run.py``, which takes minutes; here a few.
"""

import subprocess
import sys

import pytest
from mutants.faults import MUTANTS, Mutant
from mutants.run import outcome_of
from repository import ROOT

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}


def test_there_are_sixty_five_mutants_and_no_two_are_the_same() -> None:
    assert len(MUTANTS) == len(BY_NAME) == len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == 65


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_one_place_of_a_file_and_leaves_it_a_program(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    changed = mutant.applied_to(text)
    assert changed != text
    compile(changed, mutant.file, "exec")


def test_the_tests_that_kill_mutants_exist() -> None:
    tests = [f"tests/{test}" for test in dict.fromkeys(mutant.test for mutant in MUTANTS)]
    assert not [test for test in tests if "::" not in test], "a whole file would take too long"
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_text_that_occurs_twice_or_not_at_all_is_no_mutant() -> None:
    for old, times in (("a", 2), ("z", 0)):
        with pytest.raises(ValueError, match=f"{times} times"):
            Mutant("wrong", "some.py", old, "b", "test_x.py::test_y").applied_to("a + a")


@pytest.mark.parametrize("name", ["the schedule an epoch ahead", "confusion table transposed"])
def test_a_mutant_is_killed_by_its_test(name: str) -> None:
    outcome = outcome_of(BY_NAME[name])
    assert outcome.killed_by is not None, outcome
    assert outcome.killed_by.startswith(BY_NAME[name].test)


RATE_TEST = "test_an_exponential_rate_changes_with_each_epoch_and_not_within_one"


@pytest.mark.parametrize(
    ("new", "test", "problem"),
    [
        ("learning_rate * (power(decay, math.floor(time)))", RATE_TEST, "survived"),
        ("learning_rat * power(decay, math.floor(time))", RATE_TEST, "no program"),
        ("learning_rate * power(decay, math.ceil(time))", "test_of_another_name", "no failed test"),
    ],
)  # fmt: skip
def test_a_change_of_nothing_a_mutant_that_does_not_run_and_a_test_that_is_not_there_kill_nothing(
    new: str, test: str, problem: str
) -> None:
    mutant = Mutant(
        "no fault", "numbacnn/schedules.py", "learning_rate * power(decay, math.floor(time))", new, f"test_schedules.py::{test}"
    )
    outcome = outcome_of(mutant)
    assert outcome.killed_by is None
    assert problem in outcome.problem
