"""What a PNG is read with: its pixels and what they need. Metadata may be large or damaged, and the picture is still good.

Source: W3C, "Portable Network Graphics (PNG) Specification", sections 5.3 and 5.4.
"""

import zlib
from collections.abc import Iterator

from numbacnn.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MAX_CHUNKS = 100_000
"""Most chunks of a PNG. Pillow takes 10 microseconds for each, and keeps those it does not know."""

_MOST_METADATA = 100_000  # bytes of a chunk of text; camera data and marks of programs have less
_TRANSPARENCY = b"tRNS"  # not critical by its name, but other pixels without it
_COLOUR_PROFILE = b"iCCP"  # nothing here uses it
_COMPRESSED_TEXT = (b"zTXt", b"iTXt")
_ORIENTATIONS = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")  # the texts that may say how a picture is turned


def without_metadata(data: bytes, name: str) -> bytes:
    """A PNG without chunks that its pixels do not need and that are large, compressed, or damaged.

    Args:
        data: the bytes of the file, which begin with ``SIGNATURE``.
        name: the picture's name in messages.
    Raises:
        DataError: it has more than ``MAX_CHUNKS``.
    """
    kept, start = [], 0
    for offset, end in _chunks(data, name):
        if not _is_needed(data, offset, end):
            kept.append(data[start:offset])
            start = end
    return b"".join((*kept, data[start:])) if kept else data


def _chunks(data: bytes, name: str) -> Iterator[tuple[int, int]]:
    """Where each chunk begins and ends; the last may end beyond the file."""
    offset = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if offset >= len(data):
            return
        end = offset + 12 + int.from_bytes(data[offset : offset + 4], "big")  # 12: length, type and checksum
        yield offset, end
        offset = end
    raise DataError(f"{name}: expected a PNG of at most {MAX_CHUNKS:,} chunks, got more. Save it again as PNG.")


def _is_needed(data: bytes, offset: int, end: int) -> bool:
    kind = data[offset + 4 : offset + 8]
    is_critical = not kind[:1].islower()
    if is_critical or kind == _TRANSPARENCY or end > len(data):
        return True  # Pillow judges them
    if kind == _COLOUR_PROFILE or end - offset > _MOST_METADATA:
        return kind == b"fdAT"  # a frame of an animation, which is to be refused as one
    if kind in _COMPRESSED_TEXT and not data.startswith(_ORIENTATIONS, offset + 8):
        return False
    return zlib.crc32(data[offset + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
