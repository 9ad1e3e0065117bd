"""``numbacnn lecture verify``: the numbers of the slides, recomputed by this program's kernels."""

from typing import Any

import click

from numbacnn.backends import get_ops
from numbacnn.lecture import FAULTS, verify
from numbacnn.lecture.verification import CHECKED

from . import options
from .compiling import announced_compilations
from .console import print_json, stdout
from .layout import Column
from .tables import table, text

LONGEST_VALUE = 40
"""Characters of an array in the table; --format json has it whole."""


@click.command("verify")
@click.option("--section", type=click.Choice(list(CHECKED)), help="Recompute the numbers of one section only.")
@options.reporting
def lecture_verify(section: str | None, output_format: str) -> int:
    """Recompute every number of the slides by the readable kernels, and list where the slides are wrong.

    The exit code is 1 if a number differs. "slide", "source" and "derived" tell where the expected number is from: the slides' text, the
    public original of a picture, or the formulas alone.

    \b
    Example: numbacnn lecture verify
             numbacnn lecture verify --section xo
    """
    with announced_compilations():
        checks = verify(get_ops("cpu", plain=True), section)
    passed = sum(each.passed for each in checks)
    failed = len(checks) - passed
    if output_format == "json":
        print_json({
            "checks": [each._asdict() for each in checks], "faults": [each._asdict() for each in FAULTS],
            "passed": passed, "failed": failed,
        })  # fmt: skip
        return int(failed > 0)
    rows = table(
        Column("slide", right=False, folds=True), text("what, and how"), Column("result", folds=True), Column("from", right=False, rank=1),
        Column("", right=False),
    )  # fmt: skip
    for each in checks:
        result = _value(each.computed) if each.passed else f"{_value(each.computed)}, expected {_value(each.expected)}"
        rows.add_row(each.slide, f"{each.name}: {each.formula}", result, each.origin, "PASS" if each.passed else "FAIL")
    console = stdout()
    console.print(rows)
    console.print("")
    console.print(
        f"{len(checks)} checks, {passed} passed, {failed} failed. The slides differ from the truth in {len(FAULTS)} places:"
    )
    for fault in FAULTS:
        console.print(f"  {fault.id}  {fault.slide}: {fault.printed}")
        console.print(f"     true: {fault.true}. {fault.why}")
    return int(failed > 0)


def _value(value: Any) -> str:
    """A number, or as much of an array as fits a line."""
    shown = f"{value:.9g}" if isinstance(value, (int, float)) else " ".join(f"{each:.6g}" for each in _flat(value))
    return shown if len(shown) <= LONGEST_VALUE else f"{len(list(_flat(value)))} numbers"


def _flat(value: Any) -> list[float]:
    return [number for each in value for number in _flat(each)] if isinstance(value, list) else [value]
