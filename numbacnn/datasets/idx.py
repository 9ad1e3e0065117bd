"""The IDX file format of MNIST: read with nothing taken on trust.

An IDX file is a header of big-endian 32-bit integers and then the bytes themselves:

    images (magic 2051):  2051, count, height, width, then count*height*width pixels 0..255
    labels (magic 2049):  2049, count,                then count labels 0..9

Source: Yann LeCun, Corinna Cortes, Christopher Burges, "The MNIST database of handwritten digits", section FILE FORMATS.
"""

from __future__ import annotations

import contextlib
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from numbacnn import memory
from numbacnn.errors import DataError
from numbacnn.reading import read_bounded

IMAGES_MAGIC = 2051
LABELS_MAGIC = 2049
MAX_ITEMS = 100_000
"""Most images or labels a file may announce: MNIST has 60,000. Bounds the memory that a lying header can ask for (78 MB)."""
ADVICE = "Move it away, or choose another --data-dir"
"""Advice about an unusable file, which may be somebody's only copy of something."""

_GZIP_START = b"\x1f\x8b"
_GZIP_WBITS = 31  # zlib's number for: gzip header and checksum, largest window
_HEADER_BYTES = {IMAGES_MAGIC: 16, LABELS_MAGIC: 8}
_ITEM_BYTES = {8: 1, 9: 1, 11: 2, 12: 4, 13: 4, 14: 8}  # by the type's number, the third byte of a file
_UNSIGNED_BYTES = 8
_MOST_PACKED = 1033  # bytes that a byte of deflate may become
_KIND = {IMAGES_MAGIC: "images", LABELS_MAGIC: "labels"}
# Small steps stay in the processor's cache: MNIST unpacks in 0.16 s, against 0.21 s in one piece.
_INPUT_STEP = 1 << 16
_OUTPUT_STEP = 1 << 18


def _max_file_bytes(max_items: int) -> int:
    return 16 + max_items * 28 * 28 + 65536


def read_file(path: Path, max_items: int = MAX_ITEMS) -> bytes:
    """The bytes of a regular file, at most as many as an IDX file of 28x28 pixels may have; DataError for everything else."""
    try:
        return read_bounded(path, _max_file_bytes(max_items))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}. {ADVICE}.") from error


def unpack(data: bytes, name: str, max_bytes: int) -> memoryview:
    """The content of a gzip file, or of another file as it is.

    Args:
        data: the bytes of the file.
        name: the file's name in messages.
        max_bytes: the most bytes expected; of a longer content only the first ``max_bytes + 1`` are unpacked.
    Raises:
        DataError: a gzip file that is damaged.
    """
    source = _Source(data, name)
    content = source.read(max_bytes + 1)
    if len(content) <= max_bytes:
        source.expect_end(f"{max_bytes} bytes")
    return content.data


def first_bytes(data: bytes, count: int) -> bytes:
    """The first ``count`` bytes of the content of a file, or those before the first damage."""
    first = bytearray()
    source = _Source(data, "")
    with contextlib.suppress(DataError):
        while len(first) < count and (part := source.read(1)).size:
            first += part.tobytes()
    return bytes(first)


def header_of(magic: int, file_bytes: int, image_shape: tuple[int, int] = (28, 28)) -> bytes:
    """The header of a file of that many bytes, unpacked."""
    shape = image_shape if magic == IMAGES_MAGIC else ()
    count = (file_bytes - _HEADER_BYTES[magic]) // math.prod(shape)
    return struct.pack(f">{2 + len(shape)}I", magic, count, *shape)


def is_gzip(data: bytes | memoryview) -> bool:
    """Whether bytes begin as those of a gzip file."""
    return bytes(data[:2]) == _GZIP_START


def is_idx(content: bytes | memoryview) -> bool:
    """Whether bytes are those of one whole IDX file, of whatever type of items, rank and shape."""
    if len(content) < 4 or content[:2] != bytes(2) or content[2] not in _ITEM_BYTES:
        return False
    item_bytes, rank = _ITEM_BYTES[content[2]], content[3]
    header_bytes = 4 + 4 * rank
    if len(content) < header_bytes:
        return False
    return len(content) == header_bytes + item_bytes * math.prod(struct.unpack(f">{rank}I", content[4:header_bytes]))


def parse_idx(
    data: bytes | memoryview,
    name: str,
    *,
    magic: int,
    image_shape: tuple[int, int] = (28, 28),
    classes: int = 10,
    limit: int | None = None,
    max_items: int = MAX_ITEMS,
) -> np.ndarray:
    """Read one IDX file, gzipped or not (its content decides, not its name).

    Args:
        data: the bytes of the file.
        name: the file's name in messages.
        magic: ``IMAGES_MAGIC`` or ``LABELS_MAGIC``, which the file must have.
        image_shape: height and width every image must have, in pixels.
        classes: labels must be below this.
        limit: return only the first ``limit`` items; the later ones are then not read.
        max_items: most images or labels that the file may announce.
    Returns:
        images uint8 (n, height, width), or labels uint8 (n,).
    Raises:
        DataError: the file is no such IDX file.
    """
    source = _Source(data, name)
    item_shape = image_shape if magic == IMAGES_MAGIC else ()
    count = _parse_header(source.read(_HEADER_BYTES[magic]).tobytes(), name, magic, item_shape, max_items)
    wanted = count if limit is None else min(limit, count)
    item_bytes = int(np.prod(item_shape, dtype=int))
    payload = source.read(wanted * item_bytes)
    expected = f"{count * item_bytes} bytes of {_KIND[magic]} after the header"
    if len(payload) != wanted * item_bytes:
        raise _bad(name, expected, f"only {len(payload)}: the file is cut short")
    if wanted == count:
        source.expect_end(expected)
    items = payload.reshape(wanted, *item_shape)
    if magic == LABELS_MAGIC:
        _check_labels(items, name, classes)
    return items


def _parse_header(header: bytes, name: str, magic: int, item_shape: tuple[int, ...], max_items: int) -> int:
    """The number of items in a header, all of which is checked."""
    if len(header) < _HEADER_BYTES[magic]:
        raise _bad(name, f"a header of {_HEADER_BYTES[magic]} bytes", f"{len(header)} bytes in all")
    found, count, *shape = struct.unpack(f">{len(header) // 4}I", header)
    if found != magic:
        other = f" ({_KIND[found]})" if found in _KIND else ""
        raise _bad(name, f"magic number {magic} ({_KIND[magic]})", f"{found}{other}")
    if tuple(shape) != item_shape:
        raise _bad(name, "images of " + "x".join(map(str, item_shape)) + " pixels", "x".join(map(str, shape)))
    if not 1 <= count <= max_items:
        raise _bad(name, f"1 to {max_items} {_KIND[magic]}", f"a header that announces {count}")
    return count


def _check_labels(labels: np.ndarray, name: str, classes: int) -> None:
    wrong = np.flatnonzero(labels >= classes)
    if wrong.size:
        raise _bad(name, f"labels from 0 to {classes - 1}", f"{labels[wrong[0]]} at position {wrong[0]}")


def _bad(name: str, expected: str, got: str) -> DataError:
    return DataError(f"{name}: expected {expected}, got {got}. {ADVICE}.")


class _Source:
    """Sequential reads from plain or gzipped bytes that unpack no more than is read.

    The gzip format allows several members one after the other, and zeros after the last.
    """

    def __init__(self, data: bytes | memoryview, name: str) -> None:
        self._data = memoryview(data)
        self._name = name
        self._inflate = zlib.decompressobj(_GZIP_WBITS) if is_gzip(data) else None
        self._pending: bytes | memoryview = b""

    def read(self, count: int) -> np.ndarray:
        """The next ``count`` bytes as uint8 (count,), or fewer where the data end."""
        items = np.empty(count, dtype=np.uint8)
        done = 0
        while done < count and (part := self._next(min(count - done, _OUTPUT_STEP))):
            items[done : done + len(part)] = np.frombuffer(part, dtype=np.uint8)
            done += len(part)
        return items[:done]

    def _next(self, most: int) -> bytes | memoryview:
        """Some bytes, at most ``most``; none at the end."""
        if self._inflate is None:
            part, self._data = self._data[:most], self._data[most:]
            return part
        while self._pending or self._data:
            if self._inflate.eof:
                if self._rest(2) != _GZIP_START:
                    break
                self._inflate = zlib.decompressobj(_GZIP_WBITS)
            if unpacked := self._unpack(most):
                return unpacked
        return b""

    def _rest(self, most: int) -> bytes:
        """The first packed bytes that remain, at most ``most``."""
        return bytes(self._pending[:most]) + bytes(self._data[: max(0, most - len(self._pending))])

    def _unpack(self, most: int) -> bytes:
        assert self._inflate is not None
        if not self._pending:
            self._pending, self._data = self._data[:_INPUT_STEP], self._data[_INPUT_STEP:]
        try:
            part = self._inflate.decompress(self._pending, most)
        except zlib.error as error:
            raise _bad(self._name, "an intact gzip file", f"a damaged one ({error})") from error
        self._pending = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        return part

    def expect_end(self, expected: str) -> None:
        """Raise DataError unless everything is read and, of a gzip file, its end and checksum are right."""
        if self._next(1):  # reading a byte that must not exist also makes zlib check the trailer
            raise _bad(self._name, expected, "more")
        if self._inflate is None:
            return
        if not self._inflate.eof:
            raise _bad(self._name, "a complete gzip file", "one that is cut short")
        rest = self._rest(len(self._pending) + len(self._data))
        if rest.strip(b"\0"):
            raise _bad(self._name, "a gzip file", f"{len(rest)} more bytes after its end")


def read_any(path: Path) -> np.ndarray:
    """The bytes of an IDX file of whatever shape, gzipped or not: images (n, height, width) or (n, height, width, channels), labels (n,).

    Raises:
        DataError: it is no such file, is damaged, or takes more memory than is left.
    """
    name = str(path)
    try:
        data = read_bounded(path, memory.available() or memory.ADDRESSES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}. {ADVICE}.") from error
    source = _Source(data, name)
    start = source.read(4).tobytes()
    if len(start) < 4 or start[:2] != bytes(2) or start[2] != _UNSIGNED_BYTES or start[3] not in (1, 3, 4):
        raise _bad(name, "an IDX file of bytes, of labels or images", f"one that begins with {start.hex() or 'nothing'}")
    shape = struct.unpack(f">{start[3]}I", source.read(4 * start[3]).tobytes().ljust(4 * start[3], b"\0"))
    count = math.prod(shape)
    if not 1 <= count <= _MOST_PACKED * len(data):
        raise _bad(name, "a header that fits the file", f"one that announces {' x '.join(map(str, shape))} bytes")
    memory.check(count, name, "Save fewer images", DataError)
    items = source.read(count)
    if len(items) < count:
        raise _bad(name, f"{count} bytes after the header", f"only {len(items)}: the file is cut short")
    source.expect_end(f"{count} bytes after the header")
    return items.reshape(shape)
