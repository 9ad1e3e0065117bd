"""Curves of one line in the report of a training."""

import io
from types import SimpleNamespace

import pytest
from numbacnn_cli.sparkline import ASCII_BARS, BARS, WIDEST, curves, sparkline
from rich.console import Console


def console(encoding: str = "utf-8") -> Console:
    return Console(file=io.TextIOWrapper(io.BytesIO(), encoding=encoding))


def records(count: int, **others: float | None) -> list[SimpleNamespace]:
    absent: dict[str, float | None] = {"test_accuracy": None, "validation_accuracy": None}
    return [SimpleNamespace(loss=1 / epoch, accuracy=epoch / 8, **(absent | others)) for epoch in range(1, count + 1)]


def test_the_least_value_is_the_lowest_bar_and_the_largest_the_highest() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], console()) == BARS
    assert sparkline([7.0, 0.0], console()) == BARS[-1] + BARS[0]
    assert sparkline([5.0, 5.0], console()) == BARS[0] * 2
    assert sparkline([], console()) == ""


def test_a_terminal_without_bars_gets_ascii() -> None:
    assert sparkline(range(8), console("ascii")) == ASCII_BARS
    assert sparkline(range(8), console("iso-8859-1")) == ASCII_BARS


def test_a_value_that_is_missing_or_not_finite_is_a_blank() -> None:
    assert sparkline([1.0, None, float("nan"), float("inf"), 2.0], console()) == f"{BARS[0]}   {BARS[-1]}"
    assert sparkline([None, None], console()) == "  "


def test_many_epochs_share_characters() -> None:
    assert sparkline(range(1000), console()) == "".join(sorted(sparkline(range(1000), console())))
    assert len(sparkline(range(1000), console())) == WIDEST
    assert len(sparkline(range(WIDEST + 1), console())) == WIDEST


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_epochs_are_no_curve(count: int) -> None:
    assert curves(records(count), console()) == []


def test_the_curves_name_what_they_show_with_their_first_and_last_values() -> None:
    assert curves(records(4), console()) == [
        "training loss      █▃▂▁  1.0000 to 0.2500",
        "training accuracy  ▁▃▆█  12.50% to 50.00%",
    ]
    assert curves(records(3, test_accuracy=0.5, validation_accuracy=0.25), console())[1].startswith("test accuracy  ▁▁▁  50.00%")
    assert curves(records(3, validation_accuracy=0.25), console())[1].startswith("validation accuracy  ▁▁▁  25.00%")
