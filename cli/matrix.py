"""A matrix on the command line, and in a text file."""

import math
from pathlib import Path
from typing import Any

import click
import numpy as np

from numbacnn.errors import DataError
from numbacnn.reading import read_bounded

MOST_CELLS = 256
LARGEST = 1e6
MOST_BYTES = 100_000


class Matrix(click.ParamType):
    """``"1 2 3; 4 5 6"``: rows of numbers, separated by semicolons or line ends."""

    name = "matrix"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, np.ndarray):
            return value
        rows = [row.replace(",", " ").split() for row in str(value).strip().rstrip(";").replace("\n", ";").split(";")]
        example = 'An example: "1 2 3; 4 5 6"'
        if not all(rows) or len({len(row) for row in rows}) != 1:
            lengths = ", ".join(str(len(row)) for row in rows[:8])
            self.fail(
                f"expected rows of equally many numbers, separated by semicolons, got rows of {lengths}. {example}", param, ctx
            )
        if len(rows) * len(rows[0]) > MOST_CELLS:
            self.fail(f"expected at most {MOST_CELLS} numbers, got {len(rows)} x {len(rows[0])}.", param, ctx)
        for word in (word for row in rows for word in row):
            try:
                found = float(word)
            except ValueError:
                self.fail(f"{word!r} is not a number. {example}", param, ctx)
            if not math.isfinite(found) or abs(found) > LARGEST:
                self.fail(f"expected numbers from {-LARGEST:,.0f} to {LARGEST:,.0f}, got {word}. {example}", param, ctx)
        return np.array([[float(word) for word in row] for row in rows])


def read_matrix(path: Path) -> Any:
    """The matrix in a text file: a row in each line.

    Raises:
        DataError: the file cannot be read, or holds no matrix.
    """
    try:
        return Matrix().convert(read_bounded(path, MOST_BYTES).decode("utf-8-sig"), None, None)
    except (click.BadParameter, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: {error.message if isinstance(error, click.BadParameter) else 'expected a text in UTF-8.'}"
        ) from None
