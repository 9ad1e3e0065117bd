"""The pictures in a folder: which files they are, and in which order people expect them."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from numbacnn.quoting import counted, listed

PICTURE_ENDINGS = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".pbm", ".pgm", ".ppm", ".pnm")
)
"""Endings of the formats that are decoded."""

OTHER_PICTURE_ENDINGS = frozenset(
    (
        ".heic",
        ".heif",
        ".hif",
        ".avif",
        ".jxl",
        ".jp2",
        ".j2k",
        ".dng",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
        ".raf",
        ".orf",
        ".rw2",
        ".psd",
        ".svg",
    )
)
"""Endings of formats that people take for pictures and that are not decoded: those of phones and cameras, above all."""

_LITTER = frozenset(("thumbs.db", "desktop.ini", "__macosx"))


def is_litter(name: str) -> bool:
    """Whether a name is one that systems leave behind in folders of pictures: hidden, as macOS's ``._3.png``, or a list of previews."""
    return name.startswith(".") or name.lower() in _LITTER


def natural_order(name: str) -> tuple[str, str]:
    """A key for sorting: 2 before 10, and numbers before letters. Texts, as a folder may have a million names."""
    parts = []
    for digits, text in re.findall(r"([0-9]+)|([^0-9]+)", name.casefold()):
        number = digits[:1000].lstrip("0")
        # A longer number is a larger one; a text ends before all characters.
        parts.append(f"\x02{text}\0" if text else f"\x01{chr(len(number))}{number}")
    return "".join(parts), name


def entry_names(folder: Path) -> list[str]:
    """The names of what is in a folder, in natural order, without litter.

    Raises:
        OSError: it cannot be listed.
    """
    return sorted((name for name in os.listdir(folder) if not is_litter(name)), key=natural_order)


def entries(folder: Path) -> list[Path]:
    """The paths of ``entry_names``, which raises the same errors."""
    return [folder / name for name in entry_names(folder)]


def is_picture(path: Path) -> bool:
    """Whether a file has the ending of a picture."""
    return path.suffix.lower() in PICTURE_ENDINGS


def is_picture_in_other_format(path: Path) -> bool:
    """Whether a file has the ending of a picture that is not decoded."""
    return path.suffix.lower() in OTHER_PICTURE_ENDINGS


def in_other_formats(paths: Sequence[Path]) -> str:
    """The number and names of pictures that are not decoded, and what to do, for messages."""
    return f"{counted(len(paths), 'picture')} in formats that are not read, {listed(path.name for path in paths)}. Save them as PNG or JPEG"
