"""Pictures that the tests draw, and their files."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from numbacnn.pictures import read_picture


def drawn_seven(side=200, width=22, box=(0.3, 0.2, 0.7, 0.8), paper=0, ink=255):
    """A seven on a large canvas, drawn with a pen of that width; ``box`` in fractions of the canvas."""
    image = Image.new("L", (side, side), paper)
    left, top, right, bottom = (round(side * fraction) for fraction in box)
    ImageDraw.Draw(image).line(
        [(left, top), (right, top), (left + (right - left) // 3, bottom)], fill=ink, width=width, joint="curve"
    )
    return np.asarray(image.filter(ImageFilter.GaussianBlur(side / 200)))


def png(image, *, format="PNG", **options):
    """The file of a picture (or of an array), as an open stream."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, format, **options)
    file.seek(0)
    return file


def read(image, **options):
    return read_picture(png(image), **options)


NORMAL = read_picture(png(drawn_seven())).pixels

"""A seven in the form of MNIST's, 28x28."""


def alike(a, b):
    """Correlation of two pictures, from -1 to 1."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def with_alpha(colour, alpha):
    rgba = np.full((*alpha.shape, 4), colour, dtype=np.uint8)
    rgba[..., 3] = alpha
    return Image.fromarray(rgba)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def hand_made_png(width, height, bits=1, colour=0, body=b"", before=b""):
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", body) + chunk(b"IEND", b"")
