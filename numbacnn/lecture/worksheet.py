"""Worksheets on convolution, backpropagation and pooling: another one for each student, with whole numbers that need no calculator."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from numbacnn.errors import DataError
from numbacnn.graph import sequential
from numbacnn.layers import Conv2D
from numbacnn.lecture.arithmetic import Arithmetic, Matrix, image, plane
from numbacnn.lecture.backprop import backprop
from numbacnn.ops import Ops
from numbacnn.quoting import counted, short
from numbacnn.shapes import window
from numbacnn.spelling import did_you_mean
from numbacnn.summary import summarise

ANSWERS = (
    *(f"{name}{i}{j}" for name in ("h", "relu", "dw", "w_next", "pool") for i in (1, 2) for j in (1, 2)), "output_size", "parameters",
)  # fmt: skip
"""The names of a sheet's answers, in the order of its questions."""


class Sheet(NamedTuple):
    """One student's sheet: its numbers, and its answers.

    Args:
        student: the number of the student, from 1 on.
        x, w: of the convolution: 3x3 and 2x2.
        pooled: the 4x4 input of the pooling.
        size, kernel, stride: of the question for an output size, without padding.
        filters, channels, side: of the question for a number of parameters.
        answers: by the names of ``ANSWERS``.
    """

    student: int
    x: Matrix
    w: Matrix
    pooled: Matrix
    size: int
    kernel: int
    stride: int
    filters: int
    channels: int
    side: int
    answers: dict[str, int]


class Mark(NamedTuple):
    """A student's result: how many answers are right, and the names of those that are wrong or missing."""

    student: int
    right: int
    of: int
    wrong: list[str]
    missing: list[str]


def sheets(ops: Ops, students: int, seed: int) -> list[Sheet]:
    """The sheets of a class, all different. A student's sheet is a function of the seed and of the number of the student."""
    made: list[Sheet] = []
    seen: set[bytes] = set()
    for student in range(1, students + 1):
        generator = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(student,)))
        while True:
            sheet = _draw(ops, student, generator)
            content = sheet.x.tobytes() + sheet.w.tobytes()
            # Without a negative output ReLU would change nothing, without a positive one it would leave nothing.
            outputs = [sheet.answers[name] for name in ANSWERS[:4]]
            if content not in seen and min(outputs) < 0 < max(outputs):
                break
        seen.add(content)
        made.append(sheet)
    return made


def _draw(ops: Ops, student: int, generator: np.random.Generator) -> Sheet:
    arithmetic = Arithmetic(ops)
    x = generator.integers(0, 6, (3, 3)).astype(np.float64)
    w = generator.choice([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0], (2, 2))
    pooled = generator.permutation(16).reshape(4, 4).astype(np.float64)
    kernel, stride = int(generator.choice([2, 3, 5])), int(generator.choice([1, 2]))
    size = kernel + stride * int(generator.integers(2, 12))
    filters, channels, side = (int(generator.choice(choices)) for choices in ([2, 4, 5, 10], [1, 2, 3], [2, 3, 5]))
    found = backprop(ops, x, w, eta=1.0)
    relu = plane(arithmetic.run("relu", image(found.h)))
    largest = plane(arithmetic.max_pool2d(image(pooled), "valid"))
    numbers = np.concatenate([each.reshape(-1) for each in (found.h, relu, found.dw, found.w_next, largest)])
    graph = sequential(Conv2D(filters, side), input_shape=(28, 28, channels))
    values = [*map(round, numbers.tolist()), window(size, kernel, stride, "valid").out, summarise(graph).parameters]
    answers = dict(zip(ANSWERS, values, strict=True))
    return Sheet(student, x, w, pooled, size, kernel, stride, filters, channels, side, answers)


def markdown(sheet: Sheet) -> str:
    """A sheet as a page of Markdown, with blanks for the answers."""
    s = sheet
    return "\n\n".join(
        (
            f"# Convolution, sheet {s.student}",
            "Name: ______________________",
            f"X\n\n{_table(s.x)}\n\nW\n\n{_table(s.w)}",
            "1. Convolve X with W: stride 1, no padding, the filter is not turned.\n\n" + _blanks("h"),
            "2. Apply ReLU to H.\n\n" + _blanks("relu"),
            "3. E = h11 + h12 + h21 + h22. Compute the gradient of E by each weight.\n\n" + _blanks("dw"),
            "4. Update the weights with a learning rate of 1.\n\n" + _blanks("w_next"),
            f"5. Pool this image: the largest value of each 2x2, stride 2.\n\n{_table(s.pooled)}\n\n" + _blanks("pool"),
            f"6. A filter of {s.kernel}x{s.kernel} slides over {s.size}x{s.size} pixels with stride {s.stride} and no padding. What is the "
            "height of its map?\n\n    output_size = ____",
            f"7. A convolutional layer has {s.filters} filters of {s.side}x{s.side}, with a bias each, and reads "
            f"{counted(s.channels, 'channel')}. "
            "How many parameters has it?\n\n    parameters = ____\n",
        )
    )  # fmt: skip


def _table(matrix: Matrix) -> str:
    return "\n".join("    " + " ".join(f"{int(value):>3}" for value in row) for row in matrix)


def _blanks(name: str) -> str:
    return "\n".join("    " + "    ".join(f"{name}{i}{j} = ____" for j in (1, 2)) for i in (1, 2))


def key(made: Iterable[Sheet]) -> str:
    """The answers of all sheets as CSV: a line for each student."""
    lines = [("student", *ANSWERS), *((sheet.student, *sheet.answers.values()) for sheet in made)]
    return "".join(",".join(map(str, line)) + "\n" for line in lines)


def marks(made: Sequence[Sheet], text: str, name: str) -> list[Mark]:
    """Compare students' answers with the key.

    Args:
        made: the sheets.
        text: CSV: a line of names, ``student`` and any of ``ANSWERS``, then a line for each student. An empty field is a missing
            answer.
        name: the file's name in messages.

    Raises:
        DataError: a name, a student or a line is not as expected.
    """
    rows = _rows(text, name)
    if not rows:
        raise DataError(
            f"{name}: expected a line of names and one for each student, got an empty file. Fill in key.csv's columns"
        )
    names = [field.strip().lower() for field in rows[0]]
    if "student" not in names:
        raise DataError(f"{name}: expected a column named student, got {short(','.join(names))}. Take the first line of key.csv")
    for field in names:
        if field not in ("student", *ANSWERS):
            raise DataError(f"{name}: expected the columns of key.csv, got {short(field)}.{did_you_mean(field, ANSWERS)}")
    if len(set(names)) < len(names):
        raise DataError(f"{name}: expected each column once, got one twice. Take the first line of key.csv")
    known = {str(sheet.student): sheet for sheet in made}
    found: dict[int, Mark] = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(names):
            raise DataError(f"{name}, row {number}: expected {len(names)} fields, as in the first row, got {len(row)}")
        given = {field: value.strip() for field, value in zip(names, row, strict=True)}
        sheet = known.get(given["student"].lstrip("0"))
        if sheet is None:
            raise DataError(
                f"{name}, row {number}: expected a student from 1 to {len(made)}, got {short(given['student'])}. "
                "Give --students and --seed as before"
            )
        if sheet.student in found:
            raise DataError(f"{name}, row {number}: expected each student once, got {sheet.student} again")
        missing = [answer for answer in ANSWERS if not given.get(answer)]
        wrong = [answer for answer in ANSWERS if given.get(answer) and not _equals(given[answer], sheet.answers[answer])]
        found[sheet.student] = Mark(sheet.student, len(ANSWERS) - len(missing) - len(wrong), len(ANSWERS), wrong, missing)
    return [found[student] for student in sorted(found)]


def _rows(text: str, name: str) -> list[list[str]]:
    first, _, _ = text.partition("\n")
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    try:
        return [row for row in lines if any(map(str.strip, row))]
    except csv.Error as error:
        raise DataError(f"{name}: expected a CSV file, got something else ({error}). Save it as CSV") from None


def _equals(given: str, answer: int) -> bool:
    try:
        return float(given.replace("\u2212", "-")) == answer  # a minus sign as word processors write it
    except ValueError:
        return False
