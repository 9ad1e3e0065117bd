"""The pictures in a folder: which files they are, and in which order people expect them."""

import os
import re
from pathlib import Path

PICTURE_ENDINGS = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".pbm", ".pgm", ".ppm", ".pnm")
)
"""Endings of the formats that are decoded."""

_LITTER = frozenset(("thumbs.db", "desktop.ini", "__macosx"))


def is_litter(name: str) -> bool:
    """Whether a name is one that systems leave behind in folders of pictures: hidden, as macOS's ``._3.png``, or a list of previews."""
    return name.startswith(".") or name.lower() in _LITTER


def natural_order(name: str) -> tuple[list[tuple[bool, int, str]], str]:
    """A key for sorting: 2 before 10."""
    parts = re.findall(r"([0-9]+)|([^0-9]+)", name.casefold())
    return [(not digits, int(digits[:1000] or 0), text) for digits, text in parts], name


def entries(folder: Path) -> list[Path]:
    """What is in a folder, in natural order, without litter.

    Raises:
        OSError: it cannot be listed.
    """
    return [folder / name for name in sorted(os.listdir(folder), key=natural_order) if not is_litter(name)]


def is_picture(path: Path) -> bool:
    """Whether a file has the ending of a picture."""
    return path.suffix.lower() in PICTURE_ENDINGS
