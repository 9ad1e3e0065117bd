"""Suggestions for a misspelt word."""

from collections.abc import Iterable


def close_matches(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known words most like ``word``, the closest first; none where no word is close."""
    import difflib  # only a misspelt word needs it

    return difflib.get_close_matches(word, list(known), n=count)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence to append to a message, or nothing where no known word is close: " Did you mean 'filters'?"."""
    close = close_matches(word, known, count=1)
    return f" Did you mean {close[0]!r}?" if close else ""
