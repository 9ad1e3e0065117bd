"""The battery's loop: cases with a number and a generator of their own, counted, and reported in one table.

    def test_a_mutated_model_file_is_refused_or_read(battery):
        for case in battery("mutated model files", smoke=300, whole=20_000):
            with case:
                read(mutate(DATA, case.random))

A case that fails does not end the loop: the number of each failing case is in the message, and ``--battery-case N`` runs that one alone.
"""

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
import pytest

SHOWN_FAILURES = 5


@dataclass
class Row:
    """A line of the table: `cases` were tried in `seconds`; `failures` holds (number of the case, message)."""

    title: str
    cases: int = 0
    seconds: float = 0.0
    failures: list[tuple[int, str]] = field(default_factory=list)


@dataclass
class Case:
    """One case: ``with case:`` counts it, and records an exception in its row."""

    index: int
    row: Row

    @property
    def random(self) -> np.random.Generator:
        """A generator that depends on the row's title and the case's number alone."""
        return np.random.default_rng((zlib.crc32(self.row.title.encode()), self.index))

    def __enter__(self) -> Self:
        self.row.cases += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if error is None or not isinstance(error, (Exception, pytest.fail.Exception)) or isinstance(error, pytest.skip.Exception):
            return False
        line = trace.tb_lineno if trace else 0
        self.row.failures.append((self.index, f"line {line}: {type(error).__name__}: {error}"))
        return True


class Battery:
    """Hands out cases: few in the normal test command, all of them with ``--battery``."""

    def __init__(self, whole: bool, only: int | None, rows: list[Row]) -> None:
        self.whole, self.only, self.rows = whole, only, rows

    def __call__(self, title: str, *, smoke: int, whole: int) -> Iterator[Case]:
        """The cases 0 ... `smoke` - 1, or all `whole` of them. Fails at its end if a case failed."""
        row = Row(title)
        self.rows.append(row)
        start = time.perf_counter()
        numbers = range(whole if self.whole else smoke) if self.only is None else [self.only]
        for index in numbers:
            yield Case(index, row)
        row.seconds = time.perf_counter() - start
        if row.failures:
            shown = "\n".join(f"case {index}: {message}" for index, message in row.failures[:SHOWN_FAILURES])
            pytest.fail(
                f"{title}: {len(row.failures)} of {row.cases} cases failed (--battery-case N runs one)\n{shown}", pytrace=False
            )


def table(rows: list[Row]) -> str:
    """The battery's figures as a Markdown table."""
    lines = ["| battery | cases | failures | seconds |", "|---|---:|---:|---:|"]
    lines += [f"| {row.title} | {row.cases:,} | {len(row.failures)} | {row.seconds:.0f} |" for row in rows]
    return "\n".join(lines)
