"""Pages from blocks: texts, tiles and bars, side by side or one below the other. Drawn by Pillow, with its own font."""

import io
from bisect import bisect
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from numbacnn.inspection.tiles import Pixels
from numbacnn.quoting import printable

Block = Image.Image
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER, INK, FAINT, FRAME, BAR = "#ffffff", "#202020", "#707070", "#b0b0b0", "#0072B2"
FRAME_WIDTH = 1
WIDTH = 960
"""Of a page's content, in pixels."""
MARGIN = 24
GAP = 8
SMALL, BODY, TITLE = 12, 15, 30
"""Heights of texts, in pixels."""


def text(words: str, size: int = BODY, width: int = WIDTH, colour: str = INK) -> Block:
    """A text, broken between words into lines of at most ``width`` pixels; a longer word is cut."""
    font = ImageFont.load_default(size)
    lines = [""]
    for word in printable(words).split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if font.getlength(longer) <= width:
            lines[-1] = longer
        elif lines[-1]:
            lines.append(_cut(word, font, width))
        else:
            lines[-1] = _cut(word, font, width)
    high = round(size * 1.35)
    widest = max(1, *(int(font.getlength(line)) + 1 for line in lines))
    block = Image.new("RGB", (min(widest, width), high * len(lines)), PAPER)
    draw = ImageDraw.Draw(block)
    for index, line in enumerate(lines):
        draw.text((0, index * high), line, font=font, fill=colour)
    return block


def _cut(word: str, font: Font, width: int) -> str:
    if font.getlength(word) <= width:
        return word
    fits = bisect(range(len(word)), width, key=lambda length: int(font.getlength(f"{word[:length]}...")) + 1)
    return f"{word[: max(0, fits - 1)]}..."


def tile(pixels: Pixels, side: int) -> Block:
    """Pixels (h, w, 3) in a frame, enlarged by a whole factor to at most ``side``, or averaged down to it."""
    side -= 2 * FRAME_WIDTH
    image, longest = Image.fromarray(pixels), max(pixels.shape[:2])
    if longest > side:
        width, height = (max(1, round(length * side / longest)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    else:
        factor = side // longest
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    return ImageOps.expand(image, FRAME_WIDTH, FRAME)  # white parts would be lost on the paper


def beside(blocks: Sequence[Block], gap: int = GAP) -> Block:
    """Blocks from left to right, their tops on one line."""
    page = Image.new("RGB", (_total(blocks, 0, gap), max(block.height for block in blocks)), PAPER)
    left = 0
    for block in blocks:
        page.paste(block, (left, 0))
        left += block.width + gap
    return page


def stacked(blocks: Sequence[Block], gap: int = GAP) -> Block:
    """Blocks one below the other, their left edges on one line."""
    page = Image.new("RGB", (max(block.width for block in blocks), _total(blocks, 1, gap)), PAPER)
    top = 0
    for block in blocks:
        page.paste(block, (0, top))
        top += block.height + gap
    return page


def grid(blocks: Sequence[Block], width: int = WIDTH, gap: int = GAP) -> Block:
    """Blocks in rows of at most ``width`` pixels, in columns of one width."""
    cell = max(block.width for block in blocks)
    columns = max(1, (width + gap) // (cell + gap))
    even = [_widened(block, cell) for block in blocks]
    return stacked([beside(even[first : first + columns], gap) for first in range(0, len(even), columns)], gap)


def bars(names: Sequence[str], shares: Sequence[float], width: int) -> Block:
    """A bar for each share in 0...1, with its name before it and its percentage behind."""
    font = ImageFont.load_default(BODY)
    left = min(width // 2, int(max(font.getlength(printable(name)) for name in names)) + GAP)
    right, high = int(font.getlength("100.00%")) + GAP, round(BODY * 1.5)
    rows = []
    for name, share in zip(names, shares, strict=True):
        row = Image.new("RGB", (width, high), PAPER)
        draw = ImageDraw.Draw(row)
        draw.text((0, 0), _cut(printable(name), font, left - GAP), font=font, fill=INK)
        end = left + round(share * (width - left - right))
        if share > 0:
            draw.rectangle((left, 3, max(end, left + 1), high - 5), fill=BAR)
        draw.text((end + GAP, 0), f"{share:.2%}", font=font, fill=INK)
        rows.append(row)
    return stacked(rows, 0)


def page(blocks: Sequence[Block], gap: int = 2 * GAP) -> bytes:
    """Blocks one below the other as a PNG, with a margin."""
    content = stacked(blocks, gap)
    sheet = Image.new("RGB", (max(content.width, WIDTH) + 2 * MARGIN, content.height + 2 * MARGIN), PAPER)
    sheet.paste(content, (MARGIN, MARGIN))
    packed = io.BytesIO()
    sheet.save(packed, "PNG")
    return packed.getvalue()


def as_colours(image: Pixels) -> Pixels:
    """An image (h, w, 1) or (h, w, 3) as pixels (h, w, 3)."""
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _widened(block: Block, width: int) -> Block:
    if block.width == width:
        return block
    wide = Image.new("RGB", (width, block.height), PAPER)
    wide.paste(block, (0, 0))
    return wide


def _total(blocks: Sequence[Block], axis: int, gap: int) -> int:
    return sum(block.size[axis] for block in blocks) + gap * (len(blocks) - 1)
