"""Pictures that are no digits, two sets of 49: one to choose a measure by, and one to judge it by; each the same wherever it is drawn.

Letters and signs that are drawn as a digit is (B, D, I, O, S, Z, g, q, o, |, /) are in neither.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

_SIDE = 140  # pixels of the picture
_UNIT = 100  # of the coordinates below
_PEN = 9

Stroke = tuple[str, tuple[float, ...]]
"""``line`` and x, y, x, y, ...; or ``oval`` and left, top, right, bottom; or ``arc``, the same and two angles; or ``disc``."""


def _line(*points: float) -> Stroke:
    return "line", points


def _oval(*box: float) -> Stroke:
    return "oval", box


def _arc(*box_and_angles: float) -> Stroke:
    return "arc", box_and_angles


def _disc(*box: float) -> Stroke:
    return "disc", box


LETTERS_TO_JUDGE_BY = "ACEFGHJKLMNPQRTUVWXY"
SIGNS_TO_JUDGE_BY = "+=%#&@?!*<>$~^{}"
DRAWINGS_TO_JUDGE_BY: dict[str, tuple[Stroke, ...]] = {
    "house": (_line(15, 45, 50, 10, 85, 45), _line(20, 45, 20, 90, 80, 90, 80, 45), _line(42, 90, 42, 62, 58, 62, 58, 90)),
    "star": (_line(50, 5, 62, 38, 97, 38, 69, 58, 79, 92, 50, 72, 21, 92, 31, 58, 3, 38, 38, 38, 50, 5),),
    "heart": (_arc(8, 10, 52, 54, 135, 360), _arc(48, 10, 92, 54, 180, 45), _line(14, 48, 50, 92, 86, 48)),
    "face": (_oval(8, 8, 92, 92), _disc(30, 32, 40, 42), _disc(60, 32, 70, 42), _arc(28, 35, 72, 75, 20, 160)),
    "tree": (_line(50, 95, 50, 70), _line(20, 70, 80, 70, 50, 40, 20, 70), _line(28, 42, 72, 42, 50, 8, 28, 42)),
    "arrow": (_line(5, 50, 90, 50), _line(62, 22, 92, 50, 62, 78)),
    "grid": tuple(_line(x, 10, x, 90) for x in (10, 37, 63, 90)) + tuple(_line(10, y, 90, y) for y in (10, 37, 63, 90)),
    "wheel": (_oval(10, 10, 90, 90), _line(50, 10, 50, 90), _line(10, 50, 90, 50)),
    "triangle": (_line(50, 10, 92, 86, 8, 86, 50, 10),),
    "man": (_oval(38, 4, 62, 28), _line(50, 28, 50, 62), _line(22, 42, 78, 42), _line(26, 95, 50, 62, 74, 95)),
    "cup": (_line(18, 20, 24, 85, 62, 85, 68, 20, 18, 20), _arc(54, 30, 92, 66, 270, 100)),
    "stairs": (_line(8, 92, 8, 71, 29, 71, 29, 50, 50, 50, 50, 29, 71, 29, 71, 8, 92, 8),),
    "waves": tuple(_line(*(v for x in range(8, 93, 4) for v in (x, y + 8 * np.sin(x / 8)))) for y in (30, 50, 70)),
}

LETTERS_TO_CHOOSE_BY = "adefhkmnprtuwxy"
SIGNS_TO_CHOOSE_BY = '±©[];:"«»™…-'
DRAWINGS_TO_CHOOSE_BY: dict[str, tuple[Stroke, ...]] = {
    "fish": (_oval(8, 28, 68, 72), _line(64, 50, 94, 25, 94, 75, 64, 50), _disc(20, 42, 28, 50)),
    "car": (_line(6, 68, 6, 48, 26, 46, 38, 26, 68, 26, 80, 46, 94, 50, 94, 68, 6, 68), _oval(18, 60, 38, 80), _oval(64, 60, 84, 80)),
    "umbrella": (_arc(8, 8, 92, 92, 180, 360), _line(8, 50, 92, 50), _line(50, 50, 50, 88), _arc(34, 78, 50, 96, 0, 180)),
    "flag": (_line(20, 95, 20, 8), _line(20, 10, 84, 10, 84, 48, 20, 48)),
    "cross": (_line(50, 5, 50, 95), _line(22, 34, 78, 34)),
    "hourglass": (_line(20, 8, 80, 8, 20, 92, 80, 92, 20, 8),),
    "ladder": (_line(28, 5, 28, 95), _line(72, 5, 72, 95), *(_line(28, y, 72, y) for y in (20, 40, 60, 80))),
    "zigzag": (_line(5, 70, 20, 30, 35, 70, 50, 30, 65, 70, 80, 30, 95, 70),),
    "key": (_oval(6, 34, 40, 68), _line(40, 51, 94, 51, 94, 68), _line(76, 51, 76, 66)),
    "envelope": (_line(6, 22, 94, 22, 94, 78, 6, 78, 6, 22), _line(6, 22, 50, 54, 94, 22)),
    "boat": (_line(8, 66, 92, 66, 76, 90, 24, 90, 8, 66), _line(48, 66, 48, 8, 84, 56, 48, 56)),
    "lightning": (_line(60, 5, 26, 56, 50, 56, 38, 95, 76, 40, 50, 40, 60, 5),),
    "moon": (_arc(10, 8, 90, 92, 60, 300), _arc(34, 12, 92, 88, 95, 262)),
    "flower": tuple(_oval(50 + 24 * c - 16, 50 + 24 * s - 16, 50 + 24 * c + 16, 50 + 24 * s + 16)
                    for c, s in ((0, -1), (0.95, -0.31), (0.59, 0.81), (-0.59, 0.81), (-0.95, -0.31))),
    "rake": (_line(50, 95, 50, 40), _line(14, 12, 14, 40, 86, 40, 86, 12), _line(38, 12, 38, 40), _line(62, 12, 62, 40)),
    "spiral": (_line(*(v for t in np.arange(0, 16, 0.2) for v in (50 + 2.7 * t * np.cos(t), 50 + 2.7 * t * np.sin(t)))),),
    "target": (_oval(6, 6, 94, 94), _oval(26, 26, 74, 74), _disc(43, 43, 57, 57)),
    "bridge": (_line(4, 40, 96, 40), _line(14, 40, 14, 84), _line(86, 40, 86, 84), _arc(24, 46, 76, 120, 180, 360)),
    "bow": (_line(50, 50, 8, 22, 8, 78, 50, 50, 92, 22, 92, 78, 50, 50),),
    "sigma": (_line(82, 10, 18, 10, 56, 50, 18, 90, 82, 90),),
    "psi": (_line(50, 6, 50, 94), _arc(14, -30, 86, 66, 0, 180)),
    "comb": (_line(6, 20, 94, 20), *(_line(x, 20, x, 80) for x in (8, 29, 50, 71, 92))),
}  # fmt: skip


def to_judge_by() -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The names and pictures of the set that a measure is judged by, uint8 (140, 140), dark on light."""
    return _pictures(LETTERS_TO_JUDGE_BY, SIGNS_TO_JUDGE_BY, DRAWINGS_TO_JUDGE_BY)


def to_choose_by() -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Those of the other set."""
    return _pictures(LETTERS_TO_CHOOSE_BY, SIGNS_TO_CHOOSE_BY, DRAWINGS_TO_CHOOSE_BY)


def _pictures(letters: str, signs: str, drawings: dict[str, tuple[Stroke, ...]]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    yield from ((f"letter-{letter}", _glyph(letter)) for letter in letters)
    yield from ((f"sign-{sign}", _glyph(sign)) for sign in signs)
    yield from ((name, _drawing(strokes)) for name, strokes in drawings.items())


def _glyph(text: str) -> NDArray[np.uint8]:
    image = Image.new("L", (_SIDE, _SIDE), 255)
    ImageDraw.Draw(image).text((_SIDE / 2, _SIDE / 2), text, fill=0, font=ImageFont.load_default(96), anchor="mm")
    return np.asarray(image)


def _drawing(strokes: tuple[Stroke, ...]) -> NDArray[np.uint8]:
    image = Image.new("L", (_SIDE, _SIDE), 255)
    draw = ImageDraw.Draw(image)
    for kind, numbers in strokes:
        count = 4 if kind == "arc" else len(numbers)
        points = [(_SIDE - _UNIT) / 2 + number for number in numbers[:count]]
        if kind == "line":
            draw.line(list(zip(points[::2], points[1::2], strict=True)), fill=0, width=_PEN, joint="curve")
        elif kind == "arc":
            draw.arc(points, *numbers[4:], fill=0, width=_PEN)
        else:
            draw.ellipse(points, outline=0, width=_PEN, fill=0 if kind == "disc" else None)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(1)))
