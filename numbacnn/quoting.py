"""Names, values and counts in messages: of bounded length, on one line, whatever a file holds."""

import unicodedata
from collections.abc import Iterable
from itertools import islice
from reprlib import Repr

LONGEST = 80
"""Characters of a quoted name or value. With the names of a file, a layer and a field, a message stays below 500."""

MOST_LISTED = 8
"""Names in a list of names."""

_DIGITS = 30
"""A longer number is described; Python writes numbers of at most 4,300 digits."""


def short(value: object) -> str:
    """A value as ``repr`` writes it, cut to ``LONGEST`` characters. Takes little time and memory, however large the value is."""
    return _cut(printable(_REPR.repr(value)))


def plain(name: object) -> str:
    """A name without quotation marks, cut to ``LONGEST`` characters."""
    return _cut(printable(name[: LONGEST + 1])) if isinstance(name, str) else short(name)


def listed(names: Iterable[object]) -> str:
    """Names, separated by commas; of many, the first ``MOST_LISTED`` and an ellipsis."""
    first = list(islice(names, MOST_LISTED + 1))
    shown = ", ".join(plain(name)[: LONGEST // 4] for name in first[:MOST_LISTED])
    return f"{shown}, ..." if len(first) > MOST_LISTED else shown


def counted(count: int, thing: str, things: str | None = None) -> str:
    """A number of things: ``1 epoch``, ``2,000 epochs``.

    Args:
        things: the plural, where it is not made by an s.
    """
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def ranges(numbers: Iterable[int]) -> str:
    """Ascending whole numbers, those that follow each other as one: ``3, 7-9, 30``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def printable(text: str) -> str:
    """A text on one line without anything that a terminal obeys.

    Names and files may contain control characters, line ends, marks that turn the direction of writing, and halves of
    characters. These are written as Python writes them: ``\\x1b``, ``\\n``, ``\\u202e``.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else repr(c)[1:-1] for c in text)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


class _Short(Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 4, LONGEST, LONGEST
        self.maxlist = self.maxtuple = self.maxdict = MOST_LISTED

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if abs(x) < 10**_DIGITS else f"a number of {x.bit_length()} bits"


_REPR = _Short()
