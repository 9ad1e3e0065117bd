"""What ``train`` says of the threads that it ran on: nothing, unless it was fewer than it was granted for long."""

import pytest
from numbacnn_cli.train_report import threads_line


@pytest.mark.parametrize("shares", [{}, {"2": 1.0}, {"2": 0.97, "1": 0.03}])
def test_trials_are_not_worth_a_word(shares: dict[str, float]) -> None:
    assert threads_line({"threads": 2, "thread_shares": shares}) == ""


def test_a_training_on_fewer_threads_says_so() -> None:
    line = threads_line({"threads": 8, "thread_shares": {"8": 0.3, "4": 0.5, "2": 0.2}})
    assert line.startswith("70% of the time on fewer than 8 threads, mostly 4: that was measured to be faster")
