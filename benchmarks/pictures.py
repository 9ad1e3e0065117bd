"""How many MNIST test digits are read right when they are redrawn as people's pictures: one line for each kind of picture.

    numbacnn train --model small --epochs 3 --output runs/small-mnist
    python benchmarks/pictures.py runs/small-mnist [--digits 150] [--kinds tight-bold frame] [--data-dir data]

A picture counts as right, as refused (an error in one line), or as wrong; "sure" are the wrong ones above 90 %. Every picture is the
same wherever it is drawn. The last column is the time to read one picture, without the network; it depends on the machine.
"""

import argparse
import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from numbacnn.backends import get_ops
from numbacnn.checkpoint import load_network
from numbacnn.datasets import load_dataset
from numbacnn.errors import DataError
from numbacnn.pictures import read_picture

Pixels = NDArray[np.uint8]
Cover = NDArray[np.float32]
"""How much of each pixel ink covers, 0...1, (h, w)."""

_SIDE = 300  # pixels of a page
_DIGIT = 140  # of the long side of a digit on it
_SURE = 0.9


class Kind(NamedTuple):
    """A kind of picture: how it is drawn from a digit's image (28, 28), and what ``--invert`` is given."""

    draw: Callable[[Pixels], Image.Image]
    invert: Literal["auto", "yes", "no"] = "auto"


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


def on_page(digit: Pixels, side: int = _SIDE, long_side: int = _DIGIT) -> Cover:
    """The drawn digit in the middle of a page."""
    ink = drawn(digit, long_side=long_side)
    page = np.zeros((side, side), dtype=np.float32)
    top, left = (side - ink.shape[0]) // 2, (side - ink.shape[1]) // 2
    page[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return page


def coloured(cover: Cover, ink: tuple[int, ...], paper: tuple[int, ...]) -> Image.Image:
    """Ink of a colour on paper of another; grey if each has one number."""
    pixels = cover[..., None] * np.array(ink) + (1 - cover[..., None]) * np.array(paper)
    return Image.fromarray(np.rint(pixels).astype(np.uint8).squeeze())


def _page(digit: Pixels) -> Image.Image:
    return coloured(on_page(digit), (0,), (255,))


def _bits(digit: Pixels, bits: int) -> Image.Image:
    return Image.fromarray(np.rint((1 - on_page(digit)) * (2**bits - 1)).astype(np.uint16))


def _with_box(digit: Pixels, inset: int, width: int, level: int = 0) -> Image.Image:
    page = _page(digit)
    ImageDraw.Draw(page).rectangle((inset, inset, _SIDE - 1 - inset, _SIDE - 1 - inset), outline=level, width=width)
    return page


def _with_lines(digit: Pixels, *, down: bool, across: bool, level: int, width: int) -> Image.Image:
    page = _page(digit)
    lines = Image.new("L", page.size, 255)
    draw = ImageDraw.Draw(lines)
    for at in range(20, _SIDE, 40):
        if across:
            draw.line((0, at, _SIDE, at), fill=level, width=width)
        if down:
            draw.line((at, 0, at, _SIDE), fill=level, width=width)
    return Image.fromarray(np.minimum(np.asarray(page), np.asarray(lines)))


def _underlined(digit: Pixels) -> Image.Image:
    page = _page(digit)
    ImageDraw.Draw(page).line((60, 236, 240, 236), fill=0, width=5)
    return page


def _letterboxed(digit: Pixels) -> Image.Image:
    page = _page(digit)
    ImageDraw.Draw(page).rectangle((0, 0, 19, _SIDE), fill=0)
    ImageDraw.Draw(page).rectangle((_SIDE - 20, 0, _SIDE, _SIDE), fill=0)
    return page


def _on_desk(digit: Pixels, angle: float = 0) -> Image.Image:
    desk = Image.new("L", (400, 400), 90)
    page = coloured(on_page(digit, 280, 120), (30,), (240,)).rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=90)
    desk.paste(page, ((400 - page.width) // 2, (400 - page.height) // 2))
    return desk


KINDS: dict[str, Kind] = {
    "as in MNIST": Kind(Image.fromarray),
    "page": Kind(_page),
    "chalk": Kind(lambda digit: coloured(on_page(digit), (255,), (30,))),
    "tight": Kind(lambda digit: coloured(drawn(digit), (0,), (255,))),
    "tight-bold": Kind(lambda digit: coloured(drawn(digit, bold=10), (0,), (255,))),
    "tight-bold, --invert yes": Kind(lambda digit: coloured(drawn(digit, bold=10), (0,), (255,)), "yes"),
    "tight-bold chalk": Kind(lambda digit: coloured(drawn(digit, bold=10), (240,), (20,))),
    "tight-bold chalk, --invert no": Kind(lambda digit: coloured(drawn(digit, bold=10), (240,), (20,)), "no"),
    "letterbox": Kind(_letterboxed),
    "red on green": Kind(lambda digit: coloured(on_page(digit), (255, 0, 0), (0, 130, 0))),
    "blue on dark red": Kind(lambda digit: coloured(on_page(digit), (0, 0, 255), (97, 0, 0))),
    "yellow on white": Kind(lambda digit: coloured(on_page(digit), (255, 255, 0), (255, 255, 255))),
    "8 bits in 16": Kind(lambda digit: _bits(digit, 8)),
    "10 bits in 16": Kind(lambda digit: _bits(digit, 10)),
    "12 bits in 16": Kind(lambda digit: _bits(digit, 12)),
    "pencil, 14 levels": Kind(lambda digit: coloured(on_page(digit), (221,), (235,))),
    "frame, 1 pixel": Kind(lambda digit: _with_box(digit, 0, 1)),
    "frame, 3 pixels": Kind(lambda digit: _with_box(digit, 0, 3)),
    "grey frame": Kind(lambda digit: _with_box(digit, 0, 2, 128)),
    "box of a form": Kind(lambda digit: _with_box(digit, 40, 3)),
    "underlined": Kind(_underlined),
    "ruled": Kind(lambda digit: _with_lines(digit, down=False, across=True, level=110, width=1)),
    "grid": Kind(lambda digit: _with_lines(digit, down=True, across=True, level=178, width=1)),
    "on a desk": Kind(_on_desk),
    "on a desk, tilted": Kind(lambda digit: _on_desk(digit, 8)),
}


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


class Row(NamedTuple):
    """Counts of one kind, and milliseconds to read one picture."""

    right: int
    refused: int
    wrong: int
    sure: int
    milliseconds: float


def row(kind: Kind, digits: Pixels, labels: NDArray[np.uint8], predict: Callable[[Pixels], NDArray[np.floating]]) -> Row:
    """Read the digits as pictures of a kind, and predict.

    Args:
        digits: uint8 (n, 28, 28).
        labels: (n,).
        predict: gives the probabilities of images (n, 28, 28, 1).
    """
    images, wanted, seconds = [], [], []
    for digit, label in zip(digits, labels, strict=True):
        data = png(kind.draw(digit))
        start = time.perf_counter()
        try:
            images.append(read_picture(io.BytesIO(data), invert=kind.invert).pixels)
        except DataError:
            continue
        finally:
            seconds.append(time.perf_counter() - start)
        wanted.append(label)
    if not images:
        return Row(0, len(digits), 0, 0, 1000 * float(np.median(seconds)))
    probabilities = predict(np.array(images)[..., None])
    is_wrong = probabilities.argmax(axis=1) != np.array(wanted)
    sure = int((is_wrong & (probabilities.max(axis=1) > _SURE)).sum())
    wrong = int(is_wrong.sum())
    return Row(len(wanted) - wrong, len(digits) - len(wanted), wrong, sure, 1000 * float(np.median(seconds)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that 'numbacnn train' has written, on MNIST")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("NUMBACNN_DATA_DIR", "data")))
    parser.add_argument("--digits", type=int, default=150, help="test digits of each kind")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), metavar="KIND")
    options = parser.parse_args()
    data = load_dataset("mnist", options.data_dir)
    step = max(1, len(data.test_images) // options.digits)
    digits, labels = (array[::step][: options.digits] for array in (data.test_images[..., 0], data.test_labels))
    predictor = load_network(options.run / "model.safetensors").predictor(get_ops("cpu"))
    print(f"{len(digits)} test digits{'':18}right  refused  wrong  sure     ms")
    for name in options.kinds:
        result = row(KINDS[name], digits, labels, lambda images: predictor(images).probabilities)
        right = result.right / len(digits)
        print(f"{name:31}{right:7.1%}{result.refused:9}{result.wrong:7}{result.sure:6}{result.milliseconds:7.2f}", flush=True)


if __name__ == "__main__":
    main()
