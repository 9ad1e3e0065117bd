"""Drawings as lists of shapes: the same shapes become an SVG figure, or the pixels of an animation's frame."""

import html
import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

INK, GREY, PALE, PAPER = "#212529", "#6c757d", "#e9ecef", "#ffffff"
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#8e4a78"
"""Colours that differ for people who are colour-blind, and in grey on paper; what they tell, a word or a place tells too."""
LEAST_TEXT = 9
"""Pixels of the smallest text."""
CHARACTER = 0.6
"""Width of a character, as a share of the font's size, on the generous side: fonts differ from one browser to the next."""

Point = tuple[float, float]


class Rectangle(NamedTuple):
    """A filled and outlined rectangle; ``opacity`` is that of its filling."""

    x: float
    y: float
    width: float
    height: float
    fill: str | None
    stroke: str | None
    line: float
    opacity: float


class Line(NamedTuple):
    """A line through points, with an arrow's head at its end if asked for; closed and filled if ``fill`` is a colour."""

    points: tuple[Point, ...]
    stroke: str
    line: float
    arrow: bool
    dashed: bool
    fill: str | None


class Circle(NamedTuple):
    """A filled and outlined circle."""

    x: float
    y: float
    radius: float
    fill: str
    stroke: str
    line: float


class Text(NamedTuple):
    """A text; x is its start, middle or end, y its baseline."""

    x: float
    y: float
    text: str
    size: int
    anchor: str
    fill: str
    bold: bool


Shape = Rectangle | Line | Circle | Text


class Drawing:
    """Shapes in the order in which they are drawn, on white paper.

    Args:
        width, height: of the paper, in pixels.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = round(width), round(height)
        self.shapes: list[Shape] = []

    def rectangle(
        self, x: float, y: float, width: float, height: float, fill: str | None = None, stroke: str | None = INK,
        line: float = 1, opacity: float = 1,
    ) -> None:  # fmt: skip
        """Add a rectangle; None is no colour."""
        self.shapes.append(Rectangle(x, y, width, height, fill, stroke, line, opacity))

    def line(
        self, points: Iterable[Point], stroke: str = INK, line: float = 1.5, arrow: bool = False, dashed: bool = False,
        fill: str | None = None,
    ) -> None:  # fmt: skip
        """Add a line through at least two points."""
        self.shapes.append(Line(tuple(points), stroke, line, arrow, dashed, fill))

    def circle(self, x: float, y: float, radius: float, fill: str = PAPER, stroke: str = INK, line: float = 1.5) -> None:
        """Add a circle."""
        self.shapes.append(Circle(x, y, radius, fill, stroke, line))

    def text(
        self, x: float, y: float, text: object, size: int = 13, anchor: str = "start", fill: str = INK, bold: bool = False
    ) -> None:
        """Add a text; ``anchor`` is ``start``, ``middle`` or ``end``."""
        assert size >= LEAST_TEXT, text
        self.shapes.append(Text(x, y, str(text), size, anchor, fill, bold))

    def svg(self, title: str, description: str, more: str = "") -> str:
        """The drawing as SVG, with a title and a description for those who do not see it.

        Args:
            more: elements after the shapes.
        """
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title desc" width="{self.width}" '
            f'height="{self.height}" viewBox="0 0 {self.width} {self.height}" '
            'font-family="Arial, Helvetica, DejaVu Sans, sans-serif">\n'
            f'<title id="title">{html.escape(title)}</title>\n<desc id="desc">{html.escape(description)}</desc>\n'
            f'<rect width="100%" height="100%" fill="{PAPER}"/>\n{elements(self.shapes)}{more}</svg>\n'
        )

    def image(self) -> Image.Image:
        """The drawing as pixels, RGB."""
        picture = Image.new("RGB", (self.width, self.height), PAPER)
        paint(picture, self.shapes)
        return picture


def animation(frames: Iterable[Image.Image], seconds: float, comment: str) -> bytes:
    """A GIF of drawings that share their colours, over and over.

    Args:
        frames: RGB, of one size.
        seconds: of each frame.
        comment: in the file, ASCII: what is to be seen.
    """
    first, *others = _with_palette([_coded(frame) for frame in frames])
    packed = io.BytesIO()
    first.save(
        packed, "GIF", save_all=True, append_images=others, duration=round(seconds * 1000), loop=0, optimize=False,
        comment=comment.encode("ascii", "replace"),
    )  # fmt: skip
    return packed.getvalue()


def elements(shapes: Sequence[Shape]) -> str:
    """Shapes as SVG elements, one in a line."""
    return "".join(_element(shape) + "\n" for shape in shapes)


def paint(picture: Image.Image, shapes: Sequence[Shape]) -> None:
    """Draw shapes over a picture (RGB)."""
    draw = ImageDraw.Draw(picture)
    for shape in shapes:
        match shape:
            case Rectangle():
                _paint_rectangle(picture, draw, shape)
            case Line():
                draw.line([_rounded(point) for point in shape.points], shape.stroke, max(1, round(shape.line)))
            case Circle(x, y, radius, fill, stroke, line):
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill, stroke, max(1, round(line)))
            case Text():
                anchor = {"start": "ls", "middle": "ms", "end": "rs"}[shape.anchor]
                font = ImageFont.load_default(shape.size)
                x, y = _rounded((shape.x, shape.y))
                for shift in range(1 + shape.bold):  # Pillow's own font has no bold
                    draw.text((x + shift, y), shape.text, shape.fill, font, anchor)


def _paint_rectangle(picture: Image.Image, draw: ImageDraw.ImageDraw, shape: Rectangle) -> None:
    (left, top), (right, bottom) = _rounded((shape.x, shape.y)), _rounded((shape.x + shape.width, shape.y + shape.height))
    if shape.fill is not None and shape.opacity < 1:
        box = (left, top, right + 1, bottom + 1)
        part = picture.crop(box)
        picture.paste(Image.blend(part, Image.new("RGB", part.size, shape.fill), shape.opacity), box)
    elif shape.fill is not None:
        draw.rectangle((left, top, right, bottom), shape.fill)
    if shape.stroke is not None:
        draw.rectangle((left, top, right, bottom), None, shape.stroke, max(1, round(shape.line)))


def _rounded(point: Point) -> tuple[int, int]:
    return round(point[0]), round(point[1])


def _element(shape: Shape) -> str:
    match shape:
        case Rectangle(x, y, width, height, fill, stroke, line, opacity):
            faint = f' fill-opacity="{opacity:g}"' if fill and opacity < 1 else ""
            return (
                f'<rect x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" height="{_number(height)}" '
                f'fill="{fill or "none"}"{faint}{_outline(stroke, line)}/>'
            )
        case Circle(x, y, radius, fill, stroke, line):
            return f'<circle cx="{_number(x)}" cy="{_number(y)}" r="{_number(radius)}" fill="{fill}"{_outline(stroke, line)}/>'
        case Line():
            return _line(shape)
        case Text(x, y, text, size, anchor, fill, bold):
            at = f'x="{_number(x)}" y="{_number(y)}" font-size="{size}" fill="{fill}"'
            how = f' text-anchor="{anchor}"' * (anchor != "start") + ' font-weight="bold"' * bold
            return f"<text {at}{how}>{html.escape(text)}</text>"


def _line(shape: Line) -> str:
    places = " ".join(f"{_number(x)},{_number(y)}" for x, y in shape.points)
    dashes = ' stroke-dasharray="5 4"' if shape.dashed else ""
    if shape.fill is not None:
        return f'<polygon points="{places}" fill="{shape.fill}"{_outline(shape.stroke, shape.line)}{dashes}/>'
    drawn = f'<polyline points="{places}" fill="none"{_outline(shape.stroke, shape.line)}{dashes} stroke-linejoin="round"/>'
    return drawn + (_head(shape.points[-2], shape.points[-1], shape.stroke) if shape.arrow else "")


def _head(start: Point, end: Point, colour: str) -> str:
    """The head of an arrow, 9 pixels long."""
    (x0, y0), (x, y) = start, end
    length = max(((x - x0) ** 2 + (y - y0) ** 2) ** 0.5, 1e-9)
    u, v = (x - x0) / length, (y - y0) / length
    corners = ((x, y), (x - 9 * u - 4 * v, y - 9 * v + 4 * u), (x - 9 * u + 4 * v, y - 9 * v - 4 * u))
    return f'<polygon points="{" ".join(f"{_number(a)},{_number(b)}" for a, b in corners)}" fill="{colour}"/>'


def _outline(stroke: str | None, line: float) -> str:
    return "" if stroke is None else f' stroke="{stroke}" stroke-width="{_number(line)}"'


def _coded(frame: Image.Image) -> NDArray[np.uint16]:
    """The colours of pixels as numbers of 5 bits for each channel: white stays white, and there are few colours."""
    levels = (np.asarray(frame) >> 3).astype(np.uint16)
    return (levels[:, :, 0] << 10 | levels[:, :, 1] << 5 | levels[:, :, 2]).astype(np.uint16)


def _with_palette(painted: list[NDArray[np.uint16]]) -> list[Image.Image]:
    """Frames that share a palette of all their colours: nothing flickers between two of them."""
    is_used = np.zeros(1 << 15, bool)
    for codes in painted:
        is_used[codes] = True
    colours = np.flatnonzero(is_used)
    assert len(colours) <= 256  # drawings have a few colours, and blends of two
    levels = np.stack([colours >> 10, colours >> 5 & 31, colours & 31], axis=1)
    palette = np.rint(levels * (255 / 31)).astype(np.uint8).tobytes()
    places = np.cumsum(is_used) - 1
    frames = [Image.fromarray(places[codes].astype(np.uint8)) for codes in painted]
    for frame in frames:
        frame.putpalette(palette)
    return frames


def _number(value: float) -> str:
    """A length, to a hundredth of a pixel."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")
