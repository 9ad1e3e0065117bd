"""Why an answer may be wrong: the reasons for which ``predict`` calls itself unsure of a picture.

The largest probability alone does not tell: a network is sure of many pictures that are no digits.
"""

from numbacnn.pictures.parts import Guesses

UNSURE = 0.8
"""A largest probability below this one is a reason."""
UNLIKE = "unlike any training image"


def doubts(probability: float, *, unlike: bool | None, parts: int | None, guesses: Guesses) -> tuple[str, ...]:
    """The reasons, in words; none where the answer can be relied on as far as a network can.

    Args:
        probability: the largest.
        unlike: whether the picture is unlike every training image; None if nothing tells.
        parts: how many the picture seems to have; None for a photograph.
        guesses: what the preparation of the picture had to guess.
    """
    found = []
    if probability < UNSURE:
        found.append(f"probability below {UNSURE:.0%}")
    if unlike:
        found.append(UNLIKE)
    if parts is not None and parts > 1:
        found.append(
            f"{parts} parts, {guesses.read or ('both' if parts == 2 else 'all of them')} read{'' if guesses.read else ' as one'}"
        )
    if guesses.is_cut:
        found.append("the ink reaches the edge")
    return tuple(found)
