"""The reasons to doubt an answer."""

import pytest

from numbacnn.doubts import UNSURE, doubts
from numbacnn.pictures.parts import Guesses


@pytest.mark.parametrize(
    ("probability", "unlike", "parts", "guesses", "reasons"),
    [
        (1.0, False, 1, Guesses(), ()),
        (UNSURE, None, None, Guesses(), ()),
        (UNSURE - 1e-6, None, 1, Guesses(), ("probability below 80%",)),
        (1.0, True, 0, Guesses(), ("unlike any training image",)),
        (1.0, False, 2, Guesses(2, "the left one"), ("2 parts, the left one read",)),
        (1.0, False, 2, Guesses(), ("2 parts, both read as one",)),
        (1.0, False, 3, Guesses(3), ("3 parts, all of them read as one",)),
        (1.0, False, 1, Guesses(is_cut=True), ("the ink reaches the edge",)),
    ],
)
def test_each_reason_is_given_by_itself(probability, unlike, parts, guesses, reasons):
    assert doubts(probability, unlike=unlike, parts=parts, guesses=guesses) == reasons


def test_reasons_add_up():
    assert len(doubts(0.3, unlike=True, parts=2, guesses=Guesses(2, "the left one", is_cut=True))) == 4
