"""``.csv`` files: an image in each row, its label first or in a column named label, as Kaggle's digit recogniser has it."""

import csv
import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn import memory
from numbacnn.datasets.own import Arrays
from numbacnn.errors import DataError
from numbacnn.quoting import short
from numbacnn.reading import open_regular

LABELS = ("label", "labels", "class", "target", "y", "digit", "category", "species")
"""Names of the column of labels, whatever the case of the letters."""
DELIMITERS = ",;\t"
LONGEST_LINE = 1 << 24
"""Characters; an image of 1,000 x 1,000 pixels in colour has 12 million."""

_ADVICE = "Save a row for each image: its label, then its pixels"
_FLOAT_BYTES = 4


def read(path: Path) -> Arrays:
    """The images (n, numbers in a row) and the labels of a file, with or without a header.

    Raises:
        DataError: it is no such file; the message names the line.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            memory.check(
                3 * _FLOAT_BYTES * size // 2,
                str(path),
                "Save it as an .npz file, which is read in a tenth of the memory",
                DataError,
            )
            lines = io.TextIOWrapper(file, "utf-8-sig", newline=None)
            first = lines.readline(LONGEST_LINE)
            delimiter = max(DELIMITERS, key=first.count)
            names = _fields(path, first, delimiter)
            column, has_header = _layout(path, names)
            text = lines if has_header else _Again(first, lines)
            return _table(path, list(text), delimiter, column, len(names), 2 if has_header else 1)
    except UnicodeDecodeError:
        raise DataError(f"{path}: expected a text in UTF-8, got something else. Save it as CSV UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}. Give another file") from None


class _Again:
    """The lines of a file, with the first one that was read already."""

    def __init__(self, first: str, rest: io.TextIOWrapper) -> None:
        self._first, self._rest = first, rest

    def __iter__(self) -> Any:
        yield self._first
        yield from self._rest


def _fields(path: Path, line: str, delimiter: str) -> list[str]:
    try:
        fields = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error as error:
        raise DataError(
            f"{path}: line 1: expected values between {short(delimiter)}, got none that can be read ({error}). {_ADVICE}"
        ) from None
    if len(fields) < 2:
        raise DataError(f"{path}: line 1: expected a label and pixels, got {short(line.strip())}. {_ADVICE}")
    return [field.strip() for field in fields]


def _layout(path: Path, names: list[str]) -> tuple[int, bool]:
    """The column of the labels, and whether the first line is a header."""
    lowered = [name.lower() for name in names]
    column = next((lowered.index(name) for name in LABELS if name in lowered), None)
    if column is not None:
        return column, True
    if all(_is_number(name) for name in names[1:]):
        return 0, False
    if all(_is_number(name) for name in names[:-1]):  # a name at the end of each row
        return len(names) - 1, False
    if _is_square(len(names)) and not _is_square(len(names) - 1):
        raise DataError(
            f"{path}: expected a column of labels, got {len(names)} columns of pixels alone. Name the file that has labels"
        )
    return 0, True


def _is_square(count: int) -> bool:
    return round(count**0.5) ** 2 == count


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _table(path: Path, lines: list[str], delimiter: str, column: int, columns: int, first_line: int) -> Arrays:
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise DataError(f"{path}: expected a row for each image, got none. {_ADVICE}")
    pixels = [index for index in range(columns) if index != column]
    options: dict[str, Any] = {"delimiter": delimiter, "comments": None, "quotechar": '"'}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            labels = np.loadtxt(lines, dtype=str, usecols=column, ndmin=1, **options)
            images = np.loadtxt(lines, dtype=np.float32, usecols=pixels, ndmin=2, **options)
            _check_columns(path, lines, delimiter, columns, first_line)
    except ValueError as error:
        _check_columns(path, lines, delimiter, columns, first_line)
        raise DataError(
            f"{path}: expected numbers besides the label, got something else ({short(str(error))}). {_ADVICE}"
        ) from None
    where = "the first column" if column == 0 else "the last column" if column == columns - 1 else f"column {column + 1}"
    return Arrays((_pixels(images), _labels(labels)), source=f", labels in {where}")


def _check_columns(path: Path, lines: list[str], delimiter: str, columns: int, first_line: int) -> None:
    for number, line in enumerate(lines):
        if line.count(delimiter) != columns - 1 and (found := len(_fields(path, line, delimiter))) != columns:
            raise DataError(f"{path}: row {number + first_line}: expected {columns} values, got {found}. {_ADVICE}")


def _pixels(images: NDArray[np.float32]) -> NDArray[Any]:
    """Whole numbers as integers: pixels are recognised by their type."""
    if np.isfinite(images).all() and float(np.abs(images).max(initial=0)) > 1 and (images == np.rint(images)).all():
        whole = images.astype(np.int32) if float(np.abs(images).max()) < 2**31 else images
        return whole
    return images


def _labels(labels: NDArray[np.str_]) -> NDArray[Any]:
    labels = np.char.strip(labels)
    try:
        numbers = labels.astype(np.float64)
    except ValueError:
        return labels
    return numbers
