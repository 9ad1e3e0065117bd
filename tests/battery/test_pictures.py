"""Pictures: any bytes give a picture or a DataError in one line, in bounded memory and time, and nothing of Pillow's gets through."""

import io
import itertools
import os
import struct
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from battery_cases import Battery
from drawings import NORMAL, alike, chunk, drawn_seven, hand_made_png, png
from PIL import Image
from repository import TESTS

from numbacnn.errors import DataError
from numbacnn.pictures import Picture, read_picture

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LONGEST_SECONDS = 10  # for one file on a busy machine; the slowest takes about one second
MOST_MEGABYTES = 300
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def read_or_refuse(source: bytes | Path) -> Picture | str:
    """The picture, or the message of a DataError. Fails on any other exception, a warning, a second line or too long a time."""
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result: Picture | str
        try:
            result = read_picture(source if isinstance(source, Path) else io.BytesIO(source), name="picture")
        except DataError as error:
            result = str(error)
    assert caught == [], [str(each.message) for each in caught]
    assert time.perf_counter() - start < LONGEST_SECONDS
    if isinstance(result, str):
        assert result.startswith("picture: ")
        assert result.isprintable()
        assert len(result) < 1000
    else:
        assert result.pixels.shape == (28, 28)
        assert result.pixels.dtype == np.uint8
        assert result.pixels.any(), "a blank picture is an error"
    return result


# --- good files -----------------------------------------------------------------------------------------------------------------


def samples(levels: np.ndarray, colour: int, depth: int) -> np.ndarray:
    """Grey levels 0...255 as the samples of a PNG, (h, w, channels) in 0...2**depth - 1."""
    most = 2**depth - 1
    grey = np.rint(levels.astype(np.float64) * most / 255).astype(np.int64)[..., None]
    opaque = np.full_like(grey, most)
    return {
        GREY: lambda: grey, RGB: lambda: grey.repeat(3, axis=2), PALETTE: lambda: most - grey,  # the palette is from white to black
        GREY_ALPHA: lambda: np.dstack((grey, opaque)), RGBA: lambda: np.dstack((grey, grey, grey, opaque)),
    }[colour]()  # fmt: skip


def packed_rows(values: np.ndarray, depth: int, filters: Iterator[int]) -> bytes:
    """Rows of samples, each with a filter's number and filtered by it."""
    height, width, channels = values.shape
    if 0 in values.shape:
        return b""
    if depth == 16:
        rows = values.astype(">u2").view(np.uint8).reshape(height, -1)
    elif depth == 8:
        rows = values.astype(np.uint8).reshape(height, -1)
    else:
        bits = (values.reshape(height, width, 1) >> np.arange(depth - 1, -1, -1)) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    step = max(1, channels * depth // 8)
    left = np.pad(rows, ((0, 0), (step, 0)))[:, : rows.shape[1]]
    above = np.pad(rows, ((1, 0), (0, 0)))[:-1]
    mean = ((left.astype(int) + above) // 2).astype(np.uint8)
    by_filter = [np.zeros_like(rows), left, above, mean]
    chosen = [next(filters) for _ in range(height)]
    return b"".join(
        bytes([kind]) + (row - by_filter[kind][y]).tobytes() for y, (kind, row) in enumerate(zip(chosen, rows, strict=True))
    )


def made_png(levels: np.ndarray, colour: int, depth: int, interlaced: bool, extras: bytes = b"") -> bytes:
    """A PNG made by hand, so that every kind is there, whatever Pillow writes."""
    values = samples(levels, colour, depth)
    filters = itertools.cycle(range(4))
    passes = [values[top::down, left::right] for top, left, down, right in ADAM7] if interlaced else [values]
    body = zlib.compress(b"".join(packed_rows(part, depth, filters) for part in passes))
    shape = struct.pack(">2I5B", levels.shape[1], levels.shape[0], depth, colour, 0, 0, interlaced)
    greys = np.rint(np.linspace(255, 0, 2**depth)).astype(np.uint8) if colour == PALETTE else np.zeros(0, np.uint8)
    palette = chunk(b"PLTE", greys.repeat(3).tobytes()) if colour == PALETTE else b""
    half = len(body) // 2
    return (
        SIGNATURE
        + chunk(b"IHDR", shape)
        + extras
        + palette
        + chunk(b"IDAT", body[:half])
        + chunk(b"IDAT", body[half:])
        + chunk(b"IEND", b"")
    )


EXTRAS = {
    "none": b"",
    "gamma, size": chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"pHYs", struct.pack(">2IB", 2835, 2835, 1)),
    "texts": chunk(b"tEXt", b"Title\0a seven") + chunk(b"zTXt", b"Note\0\0" + zlib.compress(b"a seven" * 100))
    + chunk(b"iTXt", b"Note\0\1\0de\0\0" + zlib.compress("eine Sieben ü".encode())),
    "time, unknown": chunk(b"tIME", struct.pack(">H5B", 2024, 2, 30, 25, 61, 61)) + chunk(b"nuMb", bytes(40)),
}  # fmt: skip

KINDS = [
    (colour, depth, interlaced, extras)
    for (colour, depths), interlaced in itertools.product(DEPTHS.items(), (False, True)) for depth in depths for extras in EXTRAS
]  # fmt: skip


def kind_of_png(index: int, side: int = 200) -> bytes:
    colour, depth, interlaced, extras = KINDS[index % len(KINDS)]
    return made_png(drawn_seven(side, side // 9), colour, depth, interlaced, EXTRAS[extras])


def test_every_colour_type_depth_and_interlacing_is_read(battery: Battery) -> None:
    for case in battery("PNGs of every kind", smoke=len(KINDS) // 4 + 1, whole=len(KINDS)):
        with case:
            index = case.index if battery.whole else case.index * 3 % len(KINDS)  # a step of 3 passes through all kinds
            data = kind_of_png(index)
            with Image.open(io.BytesIO(data)) as image:
                image.load()  # what is made by hand is a PNG to Pillow, too
            picture = read_or_refuse(data)
            assert isinstance(picture, Picture), picture
            assert alike(picture.pixels, NORMAL) > (0.97 if KINDS[index][1] > 2 else 0.9), KINDS[index]


# --- mutated files --------------------------------------------------------------------------------------------------------------


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    found, offset = [], len(SIGNATURE)
    while offset + 12 <= len(data):
        (length,) = struct.unpack(">I", data[offset : offset + 4])
        found.append((data[offset + 4 : offset + 8], data[offset + 8 : offset + 8 + length]))
        offset += 12 + length
    return found


def joined(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return SIGNATURE + b"".join(chunk(kind, data) for kind, data in chunks)


def some_bytes(data: bytes, random: np.random.Generator) -> bytes:
    """A few bytes set, removed, inserted or repeated, or all of the rest cut off."""
    changed = bytearray(data or b"\0")
    for _ in range(random.integers(1, 6)):
        at = int(random.integers(len(changed))) if len(changed) else 0
        match random.integers(5):
            case 0 if changed:
                changed[at] = random.integers(256)
            case 1 if changed:
                changed[at] ^= 1 << random.integers(8)
            case 2:
                del changed[at : at + random.integers(1, 9)]
            case 3:
                changed[at:at] = random.bytes(random.integers(1, 9))
            case 4 if random.random() < 0.3:
                del changed[at:]
    return bytes(changed)


def header_at_odds(data: bytes, random: np.random.Generator) -> bytes:
    """Another width, height, depth, colour type or interlacing than the pixels have, with a right checksum."""
    (kind, header), *rest = chunks_of(data)
    fields = list(struct.unpack(">2I5B", header))
    position = random.integers(7)
    sizes = (0, 1, 7, 28, 60, 61, 5000, 65535, 2**20, 2**31 - 1, 2**31, 2**32 - 1)
    fields[position] = int(random.choice(sizes)) if position < 2 else int(random.integers(0, 20))
    return joined([(kind, struct.pack(">2I5B", *fields)), *rest])


def chunks_at_odds(data: bytes, random: np.random.Generator) -> bytes:
    """Chunks left out, repeated, exchanged, renamed or changed, with right checksums."""
    chunks = chunks_of(data)
    for _ in range(random.integers(1, 4)):
        at, other = (int(random.integers(len(chunks))) for _ in range(2))
        match random.integers(5):
            case 0 if len(chunks) > 1:
                del chunks[at]
            case 1:
                chunks.insert(other, chunks[at])
            case 2:
                chunks[at], chunks[other] = chunks[other], chunks[at]
            case 3:
                names = (
                    b"IDAT",
                    b"PLTE",
                    b"tRNS",
                    b"IEND",
                    b"acTL",
                    b"fcTL",
                    b"fdAT",
                    b"iCCP",
                    b"sRGB",
                    b"eXIf",
                    b"zTXt",
                    b"iTXt",
                    b"bKGD",
                )
                chunks[at] = names[random.integers(len(names))], chunks[at][1]
            case 4:
                chunks[at] = chunks[at][0], some_bytes(chunks[at][1], random)
    return joined(chunks)


def pixels_at_odds(data: bytes, random: np.random.Generator) -> bytes:
    """Other, too few or too many pixels and filters, compressed without a fault."""
    chunks = chunks_of(data)
    rows = some_bytes(zlib.decompress(b"".join(part for kind, part in chunks if kind == b"IDAT")), random)
    before = [each for each in chunks if each[0] not in (b"IDAT", b"IEND")]
    return joined([*before, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])


def wrong_length(data: bytes, random: np.random.Generator) -> bytes:
    """A chunk that says it is longer or shorter than it is."""
    offsets = [len(SIGNATURE)]
    for _, part in chunks_of(data)[:-1]:
        offsets.append(offsets[-1] + 12 + len(part))
    at = int(random.choice(offsets))
    length = int(random.choice((0, 1, 3, 12, 1000, 2**31 - 1, 2**31, 2**32 - 1)))
    return data[:at] + struct.pack(">I", length) + data[at + 4 :]


MUTATIONS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    some_bytes, header_at_odds, chunks_at_odds, pixels_at_odds, wrong_length,
)  # fmt: skip


def test_a_mutated_png_is_read_or_refused(battery: Battery) -> None:
    for case in battery("mutated PNGs", smoke=250, whole=5_000):
        with case:
            random = case.random
            mutate = MUTATIONS[case.index % len(MUTATIONS)]
            read_or_refuse(mutate(kind_of_png(int(random.integers(len(KINDS))), side=60), random))


def test_a_mutated_file_of_another_format_is_read_or_refused(battery: Battery) -> None:
    originals = [
        png(Image.fromarray(drawn_seven(60, 7)).convert(mode), format=format).read()
        for format, mode in itertools.product(("JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"), ("L", "RGB"))
    ]
    for case in battery("mutated pictures of other formats", smoke=60, whole=2_000):
        with case:
            read_or_refuse(some_bytes(originals[case.index % len(originals)], case.random))


# --- files made by hand ---------------------------------------------------------------------------------------------------------


def animated() -> bytes:
    frames = [Image.fromarray(NORMAL), Image.fromarray(255 - NORMAL)]
    return png(frames[0], save_all=True, append_images=frames[1:]).read()


def with_chunk(extra: bytes, data: bytes | None = None) -> bytes:
    """A good PNG with a chunk after its header."""
    good = data or png(drawn_seven()).read()
    return good[:33] + extra + good[33:]


def interlaced(side: int, body: bytes) -> bytes:
    """A square PNG of 1 bit, interlaced."""
    return joined([(b"IHDR", struct.pack(">2I5B", side, side, 1, 0, 0, 0, 1)), (b"IDAT", body), (b"IEND", b"")])


def cut_in_the_pixels(data: bytes) -> bytes:
    """A PNG whose compressed pixels end in their middle, with right checksums."""
    return joined([(kind, part[: len(part) // 2] if kind == b"IDAT" else part) for kind, part in chunks_of(data)])


def bad_checksum(data: bytes, kind: bytes) -> bytes:
    at = data.index(kind) + 4 + struct.unpack(">I", data[data.index(kind) - 4 : data.index(kind)])[0]
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


def exif(tag: int, kind: int, value: bytes) -> bytes:
    """A chunk of EXIF with one field, which is held in four bytes."""
    return chunk(b"eXIf", b"II*\0" + struct.pack("<IHHHI", 8, 1, tag, kind, 4 if kind == 2 else 1) + value + bytes(4))


def with_palette() -> bytes:
    return made_png(drawn_seven(), PALETTE, 8, interlaced=False)


def gif(side: int) -> bytes:
    size = struct.pack("<2H", side, side)
    return b"GIF89a" + size + b"\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0" + size + b"\0\x02\x02L\x01\0;"


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 70, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def zeros(megabytes: int) -> bytes:
    compress = zlib.compressobj(9)
    return b"".join(compress.compress(bytes(1 << 20)) for _ in range(megabytes)) + compress.flush()


SEVEN = png(drawn_seven()).read()
JPEG = png(Image.fromarray(drawn_seven()), format="JPEG").read()
GREYS = np.arange(255, -1, -1, dtype=np.uint8).repeat(3).tobytes()
IS_READ, IS_REFUSED, EITHER = "read", "refused", "either"

MADE: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", IS_REFUSED),
    "one byte": (lambda: b"\x89", IS_REFUSED),
    "signature alone": (lambda: SIGNATURE, IS_REFUSED),
    "signature with line ends of a text file": (lambda: SEVEN.replace(b"\r\n\x1a\n", b"\n\x1a\n", 1), IS_REFUSED),
    "random bytes": (lambda: np.random.default_rng(0).bytes(10_000), IS_REFUSED),
    "a web page": (lambda: b"<!doctype html><html>Not found</html>", IS_REFUSED),
    "svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>', IS_REFUSED),
    "pdf": (lambda: b"%PDF-1.7\n" + bytes(100), IS_REFUSED),
    "eps": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", IS_REFUSED),
    "header alone": (lambda: SEVEN[:33], IS_REFUSED),
    "no pixels of a width": (lambda: hand_made_png(0, 28), IS_REFUSED),
    "no pixels of a height": (lambda: hand_made_png(28, 0), IS_REFUSED),
    "0x0": (lambda: hand_made_png(0, 0), IS_REFUSED),
    "1x1": (lambda: png(np.array([[7]], np.uint8)).read(), IS_REFUSED),
    "1x1, transparent": (lambda: png(np.zeros((1, 1, 4), np.uint8)).read(), IS_REFUSED),
    "1x2, ink and paper": (lambda: png(np.array([[0], [255]], np.uint8)).read(), EITHER),
    "one pixel high": (lambda: png(np.arange(256, dtype=np.uint8)[None]).read(), EITHER),
    "one pixel wide, 30,000 high": (lambda: png(np.arange(30_000, dtype=np.uint8)[:, None]).read(), EITHER),
    "39 million pixels in a row": (lambda: hand_made_png(39_000_000, 1, 1, body=zlib.compress(bytes(4_875_001))), IS_REFUSED),
    "16 bits": (lambda: kind_of_png(4 * len(EXTRAS)), IS_READ),
    "bomb of 60000x60000, 1 bit": (lambda: hand_made_png(60_000, 60_000, body=zeros(4)), IS_REFUSED),
    "bomb of 2^31 - 1 squared": (lambda: hand_made_png(2**31 - 1, 2**31 - 1, body=zeros(1)), IS_REFUSED),
    "bomb of 6300x6300, RGBA of 16 bits": (lambda: hand_made_png(6300, 6300, 16, RGBA, body=zeros(303)), IS_REFUSED),
    "bomb of 6300x6300, 1 bit, interlaced": (lambda: interlaced(6300, zeros(6)), IS_REFUSED),
    "more pixels than the header says, by 200 MB": (lambda: hand_made_png(28, 28, 8, body=zeros(200)), IS_REFUSED),
    "text bomb, zTXt": (lambda: with_chunk(chunk(b"zTXt", b"a\0\0" + zeros(100))), EITHER),
    "text bomb, iTXt": (lambda: with_chunk(chunk(b"iTXt", b"a\0\1\0\0\0" + zeros(100))), EITHER),
    "text bomb, 200 of a megabyte": (lambda: with_chunk(chunk(b"zTXt", b"a\0\0" + zeros(1)) * 200), EITHER),
    "colour profile bomb": (lambda: with_chunk(chunk(b"iCCP", b"a\0\0" + zeros(100))), EITHER),
    "colour profile of nonsense": (lambda: with_chunk(chunk(b"iCCP", b"a\0\0" + zlib.compress(b"no profile"))), EITHER),
    "exif of nonsense": (lambda: with_chunk(chunk(b"eXIf", b"II*\0\xff\xff\xff\xff")), EITHER),
    "exif that refers to itself": (lambda: with_chunk(exif(0x8769, 4, struct.pack("<I", 8))), EITHER),
    "exif with an orientation of a text": (lambda: with_chunk(exif(0x112, 2, b"abc\0")), EITHER),
    "palette, half transparent": (
        lambda: png(Image.fromarray(drawn_seven()).convert("P"), transparency=bytes(128)).read(), EITHER,
    ),
    "palette without a palette": (lambda: joined([each for each in chunks_of(with_palette()) if each[0] != b"PLTE"]), EITHER),
    "palette of 2 bytes": (lambda: with_palette().replace(chunk(b"PLTE", GREYS), chunk(b"PLTE", GREYS[:2])), EITHER),
    "palette of 300 colours": (lambda: with_chunk(chunk(b"PLTE", bytes(900))), EITHER),
    "transparency of 1 byte": (lambda: with_chunk(chunk(b"tRNS", b"\0")), EITHER),
    "transparency of 300 bytes": (lambda: with_chunk(chunk(b"tRNS", bytes(300))), EITHER),
    "wrong checksum of the header": (lambda: bad_checksum(SEVEN, b"IHDR"), IS_REFUSED),
    "wrong checksum of the pixels": (lambda: bad_checksum(SEVEN, b"IDAT"), EITHER),
    "wrong checksum of the end": (lambda: bad_checksum(SEVEN, b"IEND"), EITHER),
    "pixels cut short": (lambda: cut_in_the_pixels(SEVEN), IS_REFUSED),
    "no pixels at all": (lambda: joined([each for each in chunks_of(SEVEN) if each[0] != b"IDAT"]), IS_REFUSED),
    "no end": (lambda: SEVEN[:-12], EITHER),
    "two headers": (lambda: with_chunk(SEVEN[8:33]), EITHER),
    "a million empty chunks": (lambda: with_chunk(chunk(b"teSt", b"") * 1_000_000), IS_REFUSED),
    "99,000 empty chunks": (lambda: with_chunk(chunk(b"teSt", b"") * 99_000), IS_READ),
    "a strip of 2,000,000x1": (lambda: hand_made_png(2_000_000, 1, body=zlib.compress(bytes(250_001))), IS_REFUSED),
    "a strip of 1x2,000,000": (lambda: hand_made_png(1, 2_000_000, body=zlib.compress(bytes(4_000_000))), IS_REFUSED),
    "a strip of 60,000x640": (lambda: hand_made_png(60_000, 640, body=zlib.compress(bytes(640 * 7501))), IS_REFUSED),
    "100,000 empty pixel chunks": (lambda: joined([chunks_of(SEVEN)[0], *[(b"IDAT", b"")] * 100_000, *chunks_of(SEVEN)[1:]]), EITHER),
    "unknown filter": (lambda: hand_made_png(28, 28, 8, body=zlib.compress((b"\x07" + bytes(28)) * 28)), IS_REFUSED),
    "unknown compression": (lambda: joined([(b"IHDR", struct.pack(">2I5B", 28, 28, 8, 0, 1, 0, 0)), *chunks_of(SEVEN)[1:]]), EITHER),
    "depth of 3": (lambda: hand_made_png(28, 28, 3, body=zlib.compress(bytes(500))), IS_REFUSED),
    "colour type 5": (lambda: hand_made_png(28, 28, 8, 5, body=zlib.compress(bytes(9000))), IS_REFUSED),
    "animated png": (animated, IS_REFUSED),
    "animation of no frames": (lambda: with_chunk(chunk(b"acTL", struct.pack(">2I", 0, 0))), EITHER),
    "animation of 2^31 frames": (lambda: with_chunk(chunk(b"acTL", struct.pack(">2I", 2**31 - 1, 0))), EITHER),
    "jpeg": (lambda: JPEG, IS_READ),
    "jpeg, cut short": (lambda: JPEG[:-300], IS_REFUSED),
    "jpeg of 65000x65000": (lambda: JPEG.replace(struct.pack(">2H", 200, 200), struct.pack(">2H", 65000, 65000), 1), IS_REFUSED),
    "two pngs, one after the other": (lambda: SEVEN + SEVEN, EITHER),
    "junk of a megabyte behind": (lambda: SEVEN + bytes(1 << 20), EITHER),
    "gif of 65535x65535": (lambda: gif(65535), IS_REFUSED),
    "bmp of a height of -2^31": (lambda: bmp(28, -(2**31)), IS_REFUSED),
    "ppm with a size of 5,000 digits": (lambda: b"P5 " + b"9" * 5000 + b" 1 255\n\0", IS_REFUSED),
    "ppm of 1x1 in plain text without end": (lambda: b"P2 28 28 255\n" + b"7 " * 50, IS_REFUSED),
    "tiff that refers to itself": (lambda: b"II*\0\x08\0\0\0\0\0\x08\0\0\0" + bytes(20), IS_REFUSED),
}  # fmt: skip


SLOW = {
    "bomb of 6300x6300, RGBA of 16 bits", "bomb of 6300x6300, 1 bit, interlaced", "more pixels than the header says, by 200 MB",
    "text bomb, 200 of a megabyte", "text bomb, iTXt", "colour profile bomb", "99,000 empty chunks", "100,000 empty pixel chunks",
}  # fmt: skip


def test_pictures_made_by_hand(battery: Battery) -> None:
    names = sorted(MADE, key=lambda name: name in SLOW)
    for case in battery("pictures made by hand", smoke=len(names) - len(SLOW), whole=len(names)):
        with case:
            name = names[case.index]
            make, expected = MADE[name]
            result = read_or_refuse(make())
            found = IS_READ if isinstance(result, Picture) else IS_REFUSED
            assert expected in (found, EITHER), f"{name}: {found}: {result}"
            if expected == IS_READ:
                assert isinstance(result, Picture)
                assert alike(result.pixels, NORMAL) > 0.97, name


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with pipes that have a name")
def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "dangling.png").symlink_to("nowhere.png")
    with (tmp_path / "sparse.png").open("wb") as file:
        file.write(SEVEN)
        file.truncate(2 << 30)
    others = (tmp_path / "missing.png", tmp_path / ("x" * 300 + ".png"), Path(os.devnull), Path("/dev/zero"), Path("/dev/tty"))
    for path in (*sorted(tmp_path.iterdir()), *others):
        assert isinstance(read_or_refuse(path), str), path


MEASURED = """
import sys
sys.path[:0] = sys.argv[1:3]
import test_pictures as t
from peak_memory import peak_megabytes
for name in sys.argv[3:]:
    t.read_or_refuse(t.MADE[name][0]())
    print(peak_megabytes(), name, flush=True)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the most memory that was used")
def test_no_picture_made_by_hand_takes_much_memory(battery: Battery) -> None:
    names = list(MADE) if battery.whole else ["a strip of 2,000,000x1", "a million empty chunks", "bomb of 60000x60000, 1 bit"]
    command = [sys.executable, "-c", MEASURED, str(TESTS / "battery"), str(TESTS), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    largest, name = max((int(line.split()[0]), line) for line in done.stdout.splitlines())
    assert largest < MOST_MEGABYTES, name
    assert len(done.stdout.splitlines()) == len(names)
