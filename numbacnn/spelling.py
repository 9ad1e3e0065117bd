"""Suggestions for a misspelt word."""

from collections.abc import Iterable
from itertools import islice

_LONGEST_WORD = 100
_MOST_KNOWN = 1000


def close_matches(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known words most like ``word``, the closest first; none where no word is close."""
    import difflib  # only a misspelt word needs it

    if len(word) > _LONGEST_WORD:
        return []
    return difflib.get_close_matches(word, [name for name in islice(known, _MOST_KNOWN) if len(name) <= _LONGEST_WORD], n=count)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence to append to a message, or nothing where no known word is close: " Did you mean 'filters'?"."""
    close = close_matches(word, known, count=1)
    return f" Did you mean {close[0]!r}?" if close else ""
