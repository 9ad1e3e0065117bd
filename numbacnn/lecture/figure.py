"""One figure of the lecture."""

from typing import NamedTuple

from numbacnn.lecture.drawing import Drawing


class Figure(NamedTuple):
    """A figure, drawn from numbers that the program has computed.

    Args:
        name: of its file, without ``.svg``.
        slide: the title of its slide.
        title: what it shows, in a few words.
        alt: what is to be seen, for those who do not see it.
        svg: the picture.
    """

    name: str
    slide: str
    title: str
    alt: str
    svg: str


def figure(name: str, slide: str, title: str, alt: str, drawing: Drawing) -> Figure:
    """A figure of a drawing, whose title and description the file has too."""
    return Figure(name, slide, title, alt, drawing.svg(title, alt))
