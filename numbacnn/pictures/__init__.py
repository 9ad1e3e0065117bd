"""People's pictures, brought into the form of a network's images: that of MNIST's digits, or the whole picture, scaled.

    decode      any common format and mode to grey levels or pixels, upright, transparency filled in
    normalise   of digits: the ink bright on black, in a box, centred
    png_chunks  a PNG without damaged or large metadata
    surround    a frame, bars or a desk around the page
    sheet       a sheet that lies askew on a desk
    light       shadows, folds and lamps
    lines       ruled paper, lines below a digit, boxes of forms
    clusters    the two clusters of grey, and ink that fills a picture up to its edge
    parts       connected ink, and how many parts a picture has
    beside      the parts that are the digit, and those beside it
    blank       frames and blocks in place of a digit
    files       the pictures in a folder
    ready       PNGs that say that they need none of this

A picture that already has that form passes through unchanged, bit for bit.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from numbacnn.errors import DataError
from numbacnn.pictures.decode import BY_COLOUR, grey_levels, says_it_is_ready, scaled_pixels
from numbacnn.pictures.normalise import Invert, normalised
from numbacnn.pictures.parts import Guesses, count_parts
from numbacnn.reading import read_bounded

MAX_FILE_BYTES = 50_000_000
_EXPECTED = f"a picture file of at most {MAX_FILE_BYTES // 10**6} MB"


@dataclass(frozen=True)
class Picture:
    """One picture in the form of the training images.

    Args:
        name: the picture's name in messages.
        pixels: uint8 (height, width), ink bright on black; of a photograph, (height, width, channels).
        steps: the changes that were made, in words and in order; empty for a picture that passed unchanged.
        guesses: what had to be guessed: reasons to doubt what is read.
    """

    name: str
    pixels: NDArray[np.uint8]
    steps: tuple[str, ...]
    guesses: Guesses = field(default_factory=Guesses)

    @cached_property
    def parts(self) -> int:
        """How many parts the picture of a digit seems to have: those read, or more."""
        return max(count_parts(self.pixels), self.guesses.parts)


def read_picture(
    source: Path | BinaryIO, *, name: str | None = None, invert: Invert = "auto", size: tuple[int, int] = (28, 28)
) -> Picture:
    """Read a picture file and normalise it as MNIST's images are, unless it is of that size and says that it is ready.

    Args:
        source: a file's path, or an open binary stream.
        name: the picture's name in the result and in messages; by default the path.
        invert: "yes" for dark ink on light paper, "no" for light ink on dark paper, "auto" decides by the picture's border. Only
            with "auto" may a picture be ready.
        size: height and width of the result, in pixels.
    Returns:
        Picture: its pixels are uint8 ``size``.
    Raises:
        DataError: the file is no picture of a known format, damaged, too large, animated, or blank.
    """
    name = name if name is not None else str(source) if isinstance(source, Path) else "stdin"
    steps: list[str] = []
    data = picture_bytes(source, name)
    grey = grey_levels(data, name, steps)
    if invert == "auto" and grey.shape == size and says_it_is_ready(data, name):
        return Picture(name, grey.astype(np.uint8), ("taken as it is, as the file asks",))
    if BY_COLOUR in steps:
        invert = "auto"  # to invert asks for the darker or the brighter part, and there is none
    guesses = Guesses()
    pixels = normalised(grey, name, steps, guesses, invert, size)
    return Picture(name, pixels, tuple(steps), guesses)


def read_photograph(
    source: Path | BinaryIO, *, name: str | None = None, size: tuple[int, int] = (28, 28), channels: int = 3
) -> Picture:
    """Read a picture file and scale the whole picture to a size, with antialiasing and without regard to its proportions.

    Args:
        source: a file's path, or an open binary stream.
        name: the picture's name in the result and in messages; by default the path.
        size: height and width of the result, in pixels.
        channels: 1 for grey, 3 for red, green and blue.
    Returns:
        Picture: its pixels are uint8 (height, width, channels).
    Raises:
        DataError: the file is no picture of a known format, damaged, too large, or animated.
    """
    name = name if name is not None else str(source) if isinstance(source, Path) else "stdin"
    steps: list[str] = []
    pixels = scaled_pixels(picture_bytes(source, name), name, size, channels, steps)
    return Picture(name, pixels, tuple(steps))


def picture_bytes(source: Path | BinaryIO, name: str) -> bytes:
    """The bytes of the file, at most ``MAX_FILE_BYTES``."""
    if isinstance(source, Path):
        try:
            data = read_bounded(source, MAX_FILE_BYTES)
        except OSError as error:
            raise DataError(f"{name}: cannot be read: {error.strerror or error}. Give {_EXPECTED}.") from None
    else:
        data = source.read(MAX_FILE_BYTES + 1)
    if not data:
        raise DataError(f"{name}: expected a picture, got an empty file. Save it again.")
    if len(data) > MAX_FILE_BYTES:
        raise DataError(f"{name}: expected {_EXPECTED}, got a larger one. Save a smaller picture.")
    return data
