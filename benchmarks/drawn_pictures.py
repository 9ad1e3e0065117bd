"""Kinds of pictures that people take of digits, drawn from MNIST's images: scans, photographs, pens, papers and accidents.

Chance (where a stain lies, which pen was at hand) comes from a generator that is seeded by the digit's index: the same digit gives the
same picture of a kind.
"""

import io
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Pixels = NDArray[np.uint8]
Cover = NDArray[np.float32]
"""How much of each pixel ink covers, 0...1, (h, w)."""
Colours = NDArray[np.float32]
"""Red, green and blue, 0...1, (h, w, 3)."""

_SIDE = 300  # pixels of a page
_DIGIT = 140  # of the long side of a digit on it
_PENS = ((0.08, 0.1, 0.15), (0.1, 0.2, 0.65), (0.75, 0.1, 0.12), (0.05, 0.45, 0.2), (0.45, 0.1, 0.55), (0.9, 0.4, 0.05))
_TINTS = ((0.99, 0.95, 0.6), (0.75, 0.9, 0.98), (0.98, 0.78, 0.82), (0.8, 0.95, 0.75), (0.85, 0.74, 0.58))


class Kind(NamedTuple):
    """A kind of picture.

    Args:
        draw: the picture of a digit's image (28, 28); chance comes from the generator.
        invert: what ``--invert`` is given.
        quality: of the JPEG that the picture is saved as; None for a PNG.
        holds_a_digit: False for a picture of none, or of two: there is no right answer.
    """

    draw: Callable[[Pixels, Generator], Image.Image]
    invert: Literal["auto", "yes", "no"] = "auto"
    quality: int | None = None
    holds_a_digit: bool = True

    def file(self, digit: Pixels, index: int) -> bytes:
        """The picture's file.

        Args:
            digit: uint8 (28, 28).
            index: of the digit among the test images; the seed of chance.
        """
        image, file = self.draw(digit, np.random.default_rng(index)), io.BytesIO()
        if self.quality is None:
            image.save(file, "PNG", compress_level=1)
        else:
            image.save(file, "JPEG", quality=self.quality)
        return file.getvalue()


def drawn(digit: Pixels, *, bold: int = 0, long_side: int = _DIGIT) -> Cover:
    """The digit as a pen draws it: enlarged, with sharp edges, cropped to its ink."""
    large = Image.fromarray(digit).resize((28 * 8, 28 * 8), Image.Resampling.BICUBIC)
    ink = large.point([0] * 110 + [255] * 146)
    ink = ink.crop(ink.getbbox())
    scale = long_side / max(ink.size)
    ink = ink.resize((max(1, round(ink.width * scale)), max(1, round(ink.height * scale))), Image.Resampling.BICUBIC)
    if bold:
        margin = Image.new("L", (ink.width + 2 * bold, ink.height + 2 * bold))
        margin.paste(ink, (bold, bold))
        ink = margin.filter(ImageFilter.MaxFilter(2 * bold + 1))
    return np.asarray(ink, dtype=np.float32) / 255


def on_page(
    digit: Pixels, side: int = _SIDE, long_side: int = _DIGIT, *, bold: int = 0, shift: tuple[int, int] = (0, 0)
) -> Cover:
    """The drawn digit in the middle of a page, or so many rows and columns beside it."""
    ink = drawn(digit, bold=bold, long_side=long_side)
    page = np.zeros((side, side), dtype=np.float32)
    top, left = ((side - length) // 2 + by for length, by in zip(ink.shape, shift, strict=True))
    page[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return page


def coloured(cover: Cover, ink: tuple[int, ...], paper: tuple[int, ...]) -> Image.Image:
    """Ink of a colour on paper of another; grey if each has one number."""
    pixels = cover[..., None] * np.array(ink) + (1 - cover[..., None]) * np.array(paper)
    return Image.fromarray(np.rint(pixels).astype(np.uint8).squeeze())


# Clean pictures: screenshots, scans.


def _page(digit: Pixels, _: Generator | None = None) -> Image.Image:
    return coloured(on_page(digit), (0,), (255,))


def _of_colours(ink: tuple[int, ...], paper: tuple[int, ...], *, is_cropped: bool = False, bold: int = 0) -> Kind:
    def draw(digit: Pixels, _: Generator) -> Image.Image:
        return coloured(drawn(digit, bold=bold) if is_cropped else on_page(digit, bold=bold), ink, paper)

    return Kind(draw)


def _with_bits(bits: int) -> Kind:
    return Kind(lambda digit, _: Image.fromarray(np.rint((1 - on_page(digit)) * (2**bits - 1)).astype(np.uint16)))


def _with_box(inset: int, width: int, level: int = 0) -> Kind:
    def draw(digit: Pixels, _: Generator) -> Image.Image:
        page = _page(digit)
        ImageDraw.Draw(page).rectangle((inset, inset, _SIDE - 1 - inset, _SIDE - 1 - inset), outline=level, width=width)
        return page

    return Kind(draw)


def _with_lines(*, down: bool, across: bool, level: int) -> Kind:
    def draw(digit: Pixels, _: Generator) -> Image.Image:
        return Image.fromarray(np.minimum(np.asarray(_page(digit)), np.asarray(_ruling(down, across, level))))

    return Kind(draw)


def _ruling(down: bool, across: bool, level: int, first: int = 20) -> Image.Image:
    lines = Image.new("L", (_SIDE, _SIDE), 255)
    draw = ImageDraw.Draw(lines)
    for at in range(first, _SIDE, 40):
        if across:
            draw.line((0, at, _SIDE, at), fill=level)
        if down:
            draw.line((at, 0, at, _SIDE), fill=level)
    return lines


def _underlined(digit: Pixels, _: Generator) -> Image.Image:
    page = _page(digit)
    ImageDraw.Draw(page).line((60, 236, 240, 236), fill=0, width=5)
    return page


def _letterboxed(digit: Pixels, _: Generator) -> Image.Image:
    page = _page(digit)
    ImageDraw.Draw(page).rectangle((0, 0, 19, _SIDE), fill=0)
    ImageDraw.Draw(page).rectangle((_SIDE - 20, 0, _SIDE, _SIDE), fill=0)
    return page


def _on_desk(angle: float) -> Kind:
    def draw(digit: Pixels, _: Generator) -> Image.Image:
        return _sheet_on_desk(on_page(digit, 280, 120), angle)

    return Kind(draw)


def _sheet_on_desk(cover: Cover, angle: float) -> Image.Image:
    desk = Image.new("L", (400, 400), 90)
    page = coloured(cover, (30,), (240,)).rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=90)
    desk.paste(page, ((400 - page.width) // 2, (400 - page.height) // 2))
    return desk


# Photographs and accidents, in colour.


def _somewhere(digit: Pixels, chance: Generator, *, side: int = _SIDE, long_side: int = _DIGIT, bold: int = 0) -> Cover:
    """The digit near the middle of a page."""
    down, right = chance.integers(-side // 12, side // 12, 2).tolist()
    return on_page(digit, side, long_side, bold=bold, shift=(down, right))


def _inked(cover: Cover, ink: tuple[float, ...], paper: tuple[float, ...] = (0.97, 0.97, 0.96)) -> Colours:
    return (cover[..., None] * np.float32(ink) + (1 - cover[..., None]) * np.float32(paper)).astype(np.float32)


def _pen(chance: Generator) -> tuple[float, ...]:
    return _PENS[chance.integers(len(_PENS))]


def _soft(field: NDArray[np.floating], radius: float) -> Cover:
    """A field 0...1, blurred."""
    image = Image.fromarray(np.rint(np.clip(field, 0, 1) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / 255


def _distance(chance: Generator, side: int = _SIDE, off: int = 60) -> Cover:
    """How far each pixel is from a straight line of any direction that passes the middle, in pixels, with a sign."""
    y, x = np.mgrid[:side, :side].astype(np.float32) - side / 2
    angle = float(chance.uniform(0, 2 * np.pi))
    distance: Cover = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)) - np.float32(chance.uniform(-off, off))
    return distance


def _from_point(row: float, column: float, side: int = _SIDE) -> Cover:
    """How far each pixel is from a point, in pixels."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    distance: Cover = np.hypot(y - np.float32(row), x - np.float32(column))
    return distance


def _photo(colours: Colours, chance: Generator, noise: float = 0.012) -> Image.Image:
    """Colours as a camera sees them, with noise."""
    seen = colours + chance.normal(0, noise, colours.shape)
    return Image.fromarray(np.rint(np.clip(seen, 0, 1) * 255).astype(np.uint8))


def _outside(chance: Generator) -> tuple[float, float]:
    """A point beside the digit: near a corner of the page."""
    row, column = (_SIDE * float(chance.choice((0.15, 0.85))) + float(chance.uniform(-20, 20)) for _ in range(2))
    return row, column


def _coffee_ring(digit: Pixels, chance: Generator) -> Image.Image:
    page = _inked(_somewhere(digit, chance), (0.1, 0.15, 0.4))
    radius, (row, column) = float(chance.uniform(60, 100)), _outside(chance)
    distance = _from_point(row, column)
    rim = np.exp(-(((distance - radius) / 4) ** 2)) * 0.45 + 0.12 * (distance < radius)
    return _photo(page * (1 - rim[..., None] * np.float32((0.45, 0.65, 0.9))), chance)


def _blots(digit: Pixels, chance: Generator) -> Image.Image:
    cover = _somewhere(digit, chance)
    for _ in range(3):
        row, column = _outside(chance)
        for _ in range(4):
            away, size = chance.normal(0, 12, 2), float(chance.uniform(2, 11))
            cover = np.maximum(cover, _from_point(row + away[0], column + away[1]) < size)
    return _photo(_inked(_soft(cover, 0.8), (0.08, 0.1, 0.3)), chance)


def _shadow(digit: Pixels, chance: Generator) -> Image.Image:
    page = _inked(_somewhere(digit, chance), (0.12, 0.13, 0.2))
    softness, depth = float(chance.uniform(3, 14)), float(chance.uniform(0.3, 0.55))
    light = 1 - depth / (1 + np.exp(-_distance(chance) / softness))
    return _photo(page * light[..., None], chance)


def _fold(digit: Pixels, chance: Generator) -> Image.Image:
    page = _inked(_somewhere(digit, chance), (0.12, 0.13, 0.2))
    distance = _distance(chance)
    light = np.where(distance > 0, 0.96, 0.8 + 0.14 * np.exp(distance / 60)) - 0.25 * np.exp(-((distance / 1.5) ** 2))
    return _photo(page * light[..., None].astype(np.float32), chance)


def _coloured_pen(digit: Pixels, chance: Generator) -> Image.Image:
    return _photo(_inked(_somewhere(digit, chance), _pen(chance)), chance)


def _on_tint(digit: Pixels, chance: Generator) -> Image.Image:
    return _photo(_inked(_somewhere(digit, chance), _pen(chance), _TINTS[chance.integers(len(_TINTS))]), chance)


def _squared_paper(digit: Pixels, chance: Generator) -> Image.Image:
    page = _inked(_somewhere(digit, chance), (0.1, 0.15, 0.5))
    lines = np.asarray(_ruling(True, True, 0, first=int(chance.integers(5, 25))), dtype=np.float32)[..., None] < 128
    colour = np.float32(((0.62, 0.78, 0.95), (0.95, 0.68, 0.68), (0.68, 0.88, 0.7))[chance.integers(3)])
    return _photo(np.where(lines, np.minimum(page, colour), page), chance, 0.008)


def _margin_line(digit: Pixels, chance: Generator) -> Image.Image:
    page = _inked(_somewhere(digit, chance), (0.1, 0.15, 0.5))
    lines = np.asarray(_ruling(False, True, 0, first=int(chance.integers(5, 25))), dtype=np.float32)[..., None] < 128
    page = np.where(lines, np.minimum(page, np.float32((0.6, 0.75, 0.95))), page)
    page[:, 34:36] = np.minimum(page[:, 34:36], np.float32((0.9, 0.3, 0.3)))
    return _photo(page, chance, 0.008)


def _screen(digit: Pixels, chance: Generator) -> Image.Image:
    """A photograph of a screen: its pixels, moire between them and the camera's, a slope of light, its black bezel."""
    page = _inked(_somewhere(digit, chance), (0.1, 0.1, 0.12))
    y, x = np.mgrid[:_SIDE, :_SIDE].astype(np.float32)
    period, angle = float(chance.uniform(2.3, 3.7)), float(chance.uniform(-0.06, 0.06))
    pixels = 1 - 0.1 * (1 + np.cos(2 * np.pi * (x + angle * y) / period)) * (1 + np.cos(2 * np.pi * (y - angle * x) / period)) / 4
    moire = 1 - 0.05 * (1 + np.sin(2 * np.pi * (x + y * chance.uniform(-1, 1)) / chance.uniform(30, 60))) / 2
    slope = 0.85 + 0.15 * (x * chance.uniform(-1, 1) + y * chance.uniform(-1, 1)) / _SIDE
    page = page * (pixels * moire * slope)[..., None].astype(np.float32)
    left, bottom = chance.integers(8, 22, 2).tolist()
    page[:, :left] = page[_SIDE - bottom :] = 0.06
    return _photo(page, chance)


def _stamp(digit: Pixels, chance: Generator) -> Image.Image:
    page = _inked(_somewhere(digit, chance), (0.1, 0.1, 0.15))
    stamp = Image.new("L", (_SIDE, _SIDE))
    row, column = _outside(chance)
    box, draw = (column - 42, row - 42, column + 42, row + 42), ImageDraw.Draw(stamp)
    (draw.ellipse if chance.random() < 0.5 else draw.rectangle)(box, outline=255, width=5)
    draw.text((column, row), "PAID", fill=255, font=ImageFont.load_default(26), anchor="mm")
    cover = np.asarray(stamp, dtype=np.float32)[..., None] / 255
    return _photo(page * (1 - cover * (1 - np.float32((0.85, 0.25, 0.3)))), chance)


def _faint_pencil(digit: Pixels, chance: Generator) -> Image.Image:
    cover = _soft(_somewhere(digit, chance) * chance.uniform(0.6, 1, (_SIDE, _SIDE)), 0.7)
    return _photo(_inked(cover, (0.72, 0.72, 0.73), (0.9, 0.9, 0.88)), chance, 0.02)


def _marker(digit: Pixels, chance: Generator) -> Image.Image:
    return _photo(_inked(_somewhere(digit, chance, bold=9), _pen(chance)), chance)


def _small(digit: Pixels, chance: Generator) -> Image.Image:
    down, right = chance.integers(-200, 200, 2).tolist()
    return _photo(_inked(on_page(digit, 600, 20, shift=(down, right)), (0.1, 0.1, 0.15)), chance, 0.006)


def _large(digit: Pixels, chance: Generator) -> Image.Image:
    return coloured(on_page(digit, 2000, 1900), (40,), (245,))


def _phone(digit: Pixels, chance: Generator) -> Image.Image:
    """A page on a desk, turned and seen from the side, under a lamp."""
    page = Image.fromarray(
        np.rint(_inked(_somewhere(digit, chance, side=400, long_side=170), (0.1, 0.12, 0.3)) * 255).astype(np.uint8)
    )
    turn = float(np.deg2rad(chance.uniform(-10, 10)))
    corners = (
        np.array(((-1, -1), (1, -1), (1, 1), (-1, 1)))
        * 150
        @ np.array(((np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))))
    )
    away = 1 + chance.uniform(-0.1, 0.1) * np.sign(corners[:, 1]) + chance.uniform(-0.05, 0.05) * np.sign(corners[:, 0])
    corners = corners * away[:, None] + 200
    coefficients = _perspective(corners, np.array(((0, 0), (400, 0), (400, 400), (0, 400))))
    turned = page.convert("RGBA").transform((400, 400), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC)
    grain = _soft(chance.random((400, 400)), 2)[..., None] - 0.5
    desk = np.float32((0.42, 0.3, 0.2)) * (1 + 0.6 * grain)
    layers = np.asarray(turned, dtype=np.float32) / 255
    seen = layers[..., :3] * layers[..., 3:] + desk * (1 - layers[..., 3:])
    lamp = 1 - 0.3 * (_from_point(*chance.uniform(50, 350, 2).tolist(), 400) / 400)
    return _photo(seen * lamp[..., None], chance)


def _perspective(seen: NDArray[np.floating], page: NDArray[np.integer]) -> list[float]:
    """The eight numbers by which Pillow finds a point of the page for one of the picture, from four corners of each."""
    rows, values = [], []
    for (x, y), (u, v) in zip(seen, page, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    found: list[float] = np.linalg.solve(np.array(rows, float), np.array(values, float)).tolist()
    return found


def _whiteboard(digit: Pixels, chance: Generator) -> Image.Image:
    """Marker on a whiteboard with what was not wiped off, and the glare of a lamp."""
    pens = _PENS[:4]
    cover = _soft(_somewhere(digit, chance, bold=2), 0.8)
    page = _inked(cover, pens[chance.integers(4)], (0.82, 0.83, 0.85))
    for _ in range(3):
        wiped = _soft(np.abs(_distance(chance, off=130)) < chance.uniform(6, 16), 6)
        page *= 1 - 0.06 * wiped[..., None] * np.float32((1, 0.8, 0.6))
    glare = np.exp(-((_from_point(*_outside(chance)) / 45) ** 2)) * 0.2
    return _photo(page + glare[..., None] * (1 - page), chance)


def _blackboard(digit: Pixels, chance: Generator) -> Image.Image:
    cover = _soft(_somewhere(digit, chance, bold=1) * (chance.random((_SIDE, _SIDE)) < 0.75), 0.9)
    dust = _soft(chance.random((_SIDE, _SIDE)), 12)
    dust = (dust - dust.min()) / np.ptp(dust) * 0.12
    page = np.float32((0.13, 0.24, 0.19)) + dust[..., None]
    return _photo(page + cover[..., None] * (np.float32((0.93, 0.93, 0.88)) - page), chance)


def _sticky(digit: Pixels, chance: Generator) -> Image.Image:
    """A yellow note on a dark, grained desk."""
    desk = np.float32((0.36, 0.25, 0.17)) * (0.75 + 0.5 * _soft(chance.random((400, 400)), 3)[..., None])
    note = _inked(_somewhere(digit, chance, side=240, long_side=120), _PENS[chance.integers(2)], (0.98, 0.92, 0.45))
    image = Image.fromarray(np.rint(np.clip(desk, 0, 1) * 255).astype(np.uint8))
    angle = float(chance.uniform(-9, 9))
    sheet = (
        Image.fromarray(np.rint(note * 255).astype(np.uint8)).convert("RGBA").rotate(angle, Image.Resampling.BICUBIC, expand=True)
    )
    image.paste(sheet, ((400 - sheet.width) // 2, (400 - sheet.height) // 2), sheet)
    return _photo(np.asarray(image, dtype=np.float32) / 255, chance)


def _corner_lamp(digit: Pixels, chance: Generator) -> Image.Image:
    """One lamp close to a corner: the far one is nearly dark."""
    page = _inked(_somewhere(digit, chance), (0.12, 0.13, 0.2))
    light = 1 / (1 + (_from_point(*(float(v) * _SIDE for v in chance.integers(0, 2, 2))) / 260) ** 2)
    return _photo(page * light[..., None], chance)


def _holes(digit: Pixels, chance: Generator) -> Image.Image:
    page = _inked(_somewhere(digit, chance), (0.1, 0.15, 0.5))
    for row in (80, 220):
        page[_from_point(row, 16) < 9] = 0.12
    return _photo(page, chance)


def _time_stamp(digit: Pixels, chance: Generator) -> Image.Image:
    image = _photo(_inked(_somewhere(digit, chance), (0.1, 0.15, 0.3)), chance)
    font = ImageFont.load_default(16)
    ImageDraw.Draw(image).text((_SIDE - 8, _SIDE - 6), "2024-05-17 10:42", fill=(240, 130, 20), font=font, anchor="rb")
    return image


def _tick(digit: Pixels, chance: Generator) -> Image.Image:
    image = _photo(_inked(_somewhere(digit, chance, long_side=120), (0.1, 0.15, 0.3)), chance)
    ImageDraw.Draw(image).line((238, 60, 250, 78, 278, 30), fill=(200, 30, 30), width=6, joint="curve")
    return image


def _crossed_out(digit: Pixels, chance: Generator) -> Image.Image:
    """The digit below, and a scribble beside it that is as dark."""
    image = Image.fromarray(np.rint((1 - on_page(digit, shift=(30, 0), long_side=120)) * 255).astype(np.uint8))
    points = [(x, 12 + 36 * (i % 2) + float(chance.uniform(-6, 6))) for i, x in enumerate(range(90, 214, 9))]
    ImageDraw.Draw(image).line(points, fill=0, width=4, joint="curve")
    return image


def _cut_off(digit: Pixels, chance: Generator) -> Image.Image:
    """A page of which a quarter of the digit's height is out of the picture."""
    cover = drawn(digit)
    page = np.zeros((220, 220), np.float32)
    left, down = (220 - cover.shape[1]) // 2, cover.shape[0] - cover.shape[0] // 4
    if chance.random() < 0.5:
        page[:down, left : left + cover.shape[1]] = cover[-down:]
    else:
        page[-down:, left : left + cover.shape[1]] = cover[:down]
    return coloured(page, (0,), (255,))


def _two_digits(digit: Pixels, _: Generator) -> Image.Image:
    page, ink = np.zeros((_SIDE, _SIDE), np.float32), drawn(digit, long_side=110)
    for left in (30, 170):  # the same one twice
        page[95 : 95 + ink.shape[0], left : left + ink.shape[1]] = ink
    return coloured(page, (0,), (255,))


def _blank_in_frame(_: Pixels, chance: Generator) -> Image.Image:
    image = Image.new("L", (_SIDE, _SIDE), 255)
    inset, width = chance.integers(0, 30), chance.integers(1, 6)
    ImageDraw.Draw(image).rectangle((inset, inset, _SIDE - 1 - inset, _SIDE - 1 - inset), outline=0, width=int(width))
    return image


def _blank_sheet(_: Pixels, chance: Generator) -> Image.Image:
    return _sheet_on_desk(np.zeros((280, 280), np.float32), float(chance.uniform(-10, 10)))


def _blank_ruled(_: Pixels, chance: Generator) -> Image.Image:
    return _ruling(bool(chance.random() < 0.5), True, 110, first=int(chance.integers(5, 35)))


def _blank_photo(_: Pixels, chance: Generator) -> Image.Image:
    return _photo(_inked(np.zeros((_SIDE, _SIDE), np.float32), (0,)) * (1 - 0.3 * _from_point(20, 40)[..., None] / 400), chance)


KINDS: dict[str, Kind] = {
    "as in MNIST": Kind(lambda digit, _: Image.fromarray(digit)),
    "page": Kind(_page),
    "chalk": _of_colours((255,), (30,)),
    "chalk, close up": Kind(lambda digit, _: coloured(np.pad(drawn(digit), 20), (255,), (0,))),
    "tight": _of_colours((0,), (255,), is_cropped=True),
    "tight-bold": _of_colours((0,), (255,), is_cropped=True, bold=10),
    "tight-bold, --invert yes": _of_colours((0,), (255,), is_cropped=True, bold=10)._replace(invert="yes"),
    "tight-bold chalk": _of_colours((240,), (20,), is_cropped=True, bold=10),
    "tight-bold chalk, --invert no": _of_colours((240,), (20,), is_cropped=True, bold=10)._replace(invert="no"),
    "letterbox": Kind(_letterboxed),
    "red on green": _of_colours((255, 0, 0), (0, 130, 0)),
    "blue on dark red": _of_colours((0, 0, 255), (97, 0, 0)),
    "yellow on white": _of_colours((255, 255, 0), (255, 255, 255)),
    "8 bits in 16": _with_bits(8),
    "10 bits in 16": _with_bits(10),
    "12 bits in 16": _with_bits(12),
    "pencil, 14 levels": _of_colours((221,), (235,)),
    "frame, 1 pixel": _with_box(0, 1),
    "frame, 3 pixels": _with_box(0, 3),
    "grey frame": _with_box(0, 2, 128),
    "box of a form": _with_box(40, 3),
    "underlined": Kind(_underlined),
    "ruled": _with_lines(down=False, across=True, level=110),
    "grid": _with_lines(down=True, across=True, level=178),
    "on a desk": _on_desk(0),
    "on a desk, tilted": _on_desk(8),
    "coffee ring": Kind(_coffee_ring),
    "ink blots": Kind(_blots),
    "cast shadow": Kind(_shadow),
    "folded": Kind(_fold),
    "coloured pens": Kind(_coloured_pen),
    "pens on tinted paper": Kind(_on_tint),
    "coloured squares": Kind(_squared_paper),
    "exercise book, margin": Kind(_margin_line),
    "photo of a screen": Kind(_screen),
    "stamp": Kind(_stamp),
    "faint pencil, noise": Kind(_faint_pencil),
    "thick marker": Kind(_marker),
    "20 pixels of 600": Kind(_small),
    "1900 pixels of 2000": Kind(_large),
    "JPEG of quality 8": Kind(_page, quality=8),
    "phone, from the side": Kind(_phone, quality=85),
    "whiteboard": Kind(_whiteboard),
    "blackboard": Kind(_blackboard),
    "yellow note on a desk": Kind(_sticky, quality=85),
    "lamp at a corner": Kind(_corner_lamp),
    "punched holes": Kind(_holes),
    "time stamp": Kind(_time_stamp),
    "tick beside it": Kind(_tick),
    "scribble above it": Kind(_crossed_out),
    "a quarter cut off": Kind(_cut_off),
    "two digits": Kind(_two_digits, holds_a_digit=False),
    "blank, framed": Kind(_blank_in_frame, holds_a_digit=False),
    "blank sheet on a desk": Kind(_blank_sheet, holds_a_digit=False),
    "blank ruled paper": Kind(_blank_ruled, holds_a_digit=False),
    "blank photo": Kind(_blank_photo, holds_a_digit=False),
}
