"""PNG files that a command draws: whether one of them is there already."""

import io
from pathlib import Path

from PIL import Image

from numbacnn.reading import open_regular


def png_bytes(picture: Image.Image) -> bytes:
    """The picture as a PNG file."""
    packed = io.BytesIO()
    picture.save(packed, "PNG")
    return packed.getvalue()


def holds_picture(path: Path, png: bytes) -> bool:
    """Whether a file holds the picture of a PNG, which other versions of Pillow may have packed into other bytes."""
    with Image.open(io.BytesIO(png)) as picture:
        picture.load()
    try:
        with open_regular(path) as file, Image.open(file, formats=["PNG"]) as found:
            same_form = (found.mode, found.size) == (picture.mode, picture.size)
            return same_form and _pixels(found) == _pixels(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # none, or not a picture
        return False


def _pixels(picture: Image.Image) -> bytes:
    """The pixels; those of a palette by their colours."""
    return (picture.convert("RGB") if picture.mode == "P" else picture).tobytes()
