"""People's pictures, brought into the form in which MNIST's digits are.

MNIST's makers fitted each digit into a box of 20x20 pixels, kept its proportions, and placed it in 28x28 so that its centre of
mass is the centre. A network trained on that sees nothing else, so a picture has to be given the same treatment before it is asked:

    decode      any common format and mode, one channel of 8 bits, transparency filled in
    ink         bright on black: the paper's brightness, fitted by a smooth surface, is taken away; noise is cut off
    box         the part with ink, scaled to 20 pixels on its long side
    centre      by mass

A picture that already is of that form passes through unchanged, bit for bit.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits"; Y. LeCun et al., "Gradient-based learning
applied to document recognition", 1998, section III-A.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image, ImageFilter

from numbacnn.errors import DataError
from numbacnn.reading import read_bounded

Invert = Literal["auto", "yes", "no"]

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""What is decoded. The other formats Pillow knows are rare, and each is a parser that strangers' files would reach."""

MAX_PIXELS = 40_000_000
"""Keeps the memory for one picture below 300 MB; a WebP may have a quarter of it, libwebp holds the pixels several times over."""
MAX_FILE_BYTES = 50_000_000
_WANTED = f"a picture file of at most {MAX_FILE_BYTES // 10**6} MB"
WORKING_SIDE = 1024
"""Pixels on the long side that are worked on; larger pictures are averaged down to it first."""

_INK_THRESHOLD = 0.25  # of the brightest ink; where the box begins
_THIN_STROKE, _USUAL_STROKE = 1.4, 2.2  # pixels of the result; 98 of 100 digits of MNIST have strokes thicker than the first
_LEAST_CONTRAST = 16  # grey levels of 255 between paper and ink; below, a picture counts as blank


@dataclass(frozen=True)
class Picture:
    """One picture in the form of the training images.

    ``pixels``: uint8 (height, width), ink bright on black. ``steps``: what was done to get there, in words; empty for nothing.
    """

    name: str
    pixels: np.ndarray
    steps: tuple[str, ...]


def read_picture(
    source: Path | BinaryIO, *, name: str | None = None, invert: Invert = "auto", size: tuple[int, int] = (28, 28)
) -> Picture:
    """Read a picture file and normalise it as MNIST's images are.

    Args:
        source: a file's path, or an open binary stream.
        name: what to call it in the result and in messages; by default the path.
        invert: "yes" for dark ink on light paper, "no" for light ink on dark paper, "auto" looks at the picture.
        size: height and width of the result, in pixels.
    Returns:
        Picture: its pixels are uint8 ``size``.
    Raises:
        DataError: not a picture of a known format, damaged, too large, animated, or blank.
    """
    name = name if name is not None else str(source) if isinstance(source, Path) else "stdin"
    steps: list[str] = []
    grey = _decode(_content(source, name), name, steps)
    return Picture(name, _normalise(grey, name, steps, invert, size), tuple(steps))


def _content(source: Path | BinaryIO, name: str) -> bytes:
    """The bytes of the file, of a bounded number."""
    if isinstance(source, Path):
        try:
            data = read_bounded(source, MAX_FILE_BYTES)
        except OSError as error:
            raise DataError(f"{name}: cannot be read: {error.strerror or error}. Give {_WANTED}.") from None
    else:
        data = source.read(MAX_FILE_BYTES + 1)
    if not data:
        raise DataError(f"{name}: expected a picture, came an empty file. Save it again.")
    if len(data) > MAX_FILE_BYTES:
        raise DataError(f"{name}: expected {_WANTED}, came more.")
    return data


# --- Decoding: whatever the file is, one array of grey levels ---


def _decode(data: bytes, name: str, steps: list[str]) -> np.ndarray:
    """Grey levels 0..255, float32 (h, w), upright, at most ``WORKING_SIDE`` pixels long."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow warns of is either harmless or becomes an error here
            return _grey(_open(data, name), steps)
    except DataError:
        raise
    except Image.UnidentifiedImageError:
        raise DataError(f"{name}: expected a picture ({', '.join(FORMATS)}), came something else. Save it as PNG.") from None
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error)) from error
    except Exception as error:  # a decoder in Pillow that trips over a damaged file raises almost anything, SyntaxError included
        raise DataError(f"{name}: expected an intact picture, came a damaged one ({error}). Save it again as PNG.") from error


def _open(data: bytes, name: str) -> Image.Image:
    """An image whose header has been found acceptable; its pixels are not decoded yet."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    limit = MAX_PIXELS // 4 if image.format == "WEBP" else MAX_PIXELS
    if image.width * image.height > limit:
        raise _too_large(name, f"{image.width}x{image.height}", limit)
    if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO: how phones add a second view to a JPEG
        frames = getattr(image, "n_frames", "several")
        raise DataError(f"{name}: expected one picture, came {frames} frames. Save one of them as PNG.")
    if image.format == "PNG":
        image.verify()  # checks the checksums, which decoding does not
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.mode == "RGB":
        image.draft("L", (WORKING_SIDE, WORKING_SIDE))  # JPEG only: decodes a large photo at half its size or less
    return image


def _too_large(name: str, came: str, limit: int = MAX_PIXELS) -> DataError:
    return DataError(f"{name}: expected at most {limit // 10**6} megapixels, came {came}. Save a smaller picture.")


def _grey(image: Image.Image, steps: list[str]) -> np.ndarray:
    """Decode, average down, fill transparent parts, turn upright."""
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    factor = -(-max(image.size) // WORKING_SIDE)
    strips = [tuple(_averaged(channel, factor) for channel in _channels(strip)) for strip in _strips(image, factor)]
    level, opacity = (np.concatenate(channel) for channel in zip(*strips, strict=True))
    if factor > 1:
        steps.append(f"averaged down to {level.shape[1]}x{level.shape[0]}")
    grey = _flatten(level, opacity, steps)
    if orientation in _UPRIGHT:
        steps.append("turned upright (EXIF)")
        grey = _UPRIGHT[orientation](grey)
    return np.ascontiguousarray(grey)


_EXIF_ORIENTATION = 0x0112
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda grey: np.rot90(grey, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda grey: np.rot90(grey, -1),
    7: lambda grey: np.rot90(grey, 2).T,
    8: lambda grey: np.rot90(grey, 1),
}


def _strips(image: Image.Image, factor: int) -> Iterator[Image.Image]:
    """Horizontal strips of about a megapixel, so that conversions never need memory for the whole picture at once."""
    rows = factor * max(1, 1_000_000 // (image.width * factor))
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _channels(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Brightness and opacity, both 0..255, of a picture of any mode; float32 (h, w)."""
    if image.mode.startswith("I;16"):
        # Shifted by hand: convert("L") would clip everything above 255.
        level = (np.asarray(image) >> 8).astype(np.float32)
    elif image.mode in ("I", "F"):
        level = _to_8_bits(np.asarray(image, dtype=np.float32))
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        level = np.asarray(rgba.convert("RGB").convert("L"), dtype=np.float32)
        return level, np.asarray(rgba.getchannel("A"), dtype=np.float32)
    else:
        level = np.asarray(image.convert("L"), dtype=np.float32)
    return level, np.full_like(level, 255)


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Whole 32-bit or real numbers to 0..255, by the smallest customary range that holds them: 1, 255, 65535."""
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 65535:
        raise ValueError(f"pixels from {values.min()} to {values.max()}, expected 0 to 65535")
    if values.max() <= 1:
        return values * 255
    return values if values.max() <= 255 else np.floor(values / 256)


def _averaged(channel: np.ndarray, factor: int) -> np.ndarray:
    """Means of blocks of factor x factor pixels; blocks cut by the edge are filled up with their last pixels."""
    if factor == 1:
        return channel
    height, width = channel.shape
    padded = np.pad(channel, ((0, -height % factor), (0, -width % factor)), mode="edge")
    return padded.reshape(padded.shape[0] // factor, factor, -1, factor).mean(axis=(1, 3))


def _flatten(level: np.ndarray, opacity: np.ndarray, steps: list[str]) -> np.ndarray:
    """Lay a picture with transparent parts on paper that its ink stands out from."""
    if opacity.min() == 255:
        return level
    visible = level[opacity >= 128] if (opacity >= 128).any() else level[opacity > 0]
    if visible.size == 0:
        return np.zeros_like(level)
    paper = _paper_below(visible, visible.size / level.size)
    steps.append(f"laid on {'white' if paper > 127 else 'black'}")
    return (level * opacity + paper * (255 - opacity)) / 255


def _paper_below(visible: np.ndarray, share: float) -> float:
    """Brightness for the transparent parts, given the visible pixels and their share of the picture."""
    low, high = np.percentile(visible, (2, 98))
    if share > 0.5 and high - low > 64:
        return float(np.median(visible))  # a page that shows its own paper; only its rim or holes are transparent
    return 255.0 if visible.mean() < 128 else 0.0  # nothing but ink


# --- Normalising: ink bright on black, in a box, centred ---


def _normalise(grey: np.ndarray, name: str, steps: list[str], invert: Invert, size: tuple[int, int]) -> np.ndarray:
    """Grey levels (h, w) to uint8 ``size`` as MNIST's makers did it."""
    if _is_inverted(grey) if invert == "auto" else invert == "yes":
        grey = 255 - grey
        steps.append("inverted (dark ink on light)")
    if _is_normal(grey, size):
        return grey.astype(np.uint8)
    ink = _ink(grey, name, steps)
    ink = _without_specks(ink, steps)
    return _centred(_boxed(ink, steps, size), size, steps)


def _is_inverted(grey: np.ndarray) -> bool:
    """Whether what differs most from the border, which is taken for paper, is darker than it."""
    paper = float(np.median(_border(grey)))
    return paper - float(grey.min()) > float(grey.max()) - paper


def _border(grey: np.ndarray) -> np.ndarray:
    return np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1]))


def _is_normal(grey: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether a picture is already what ``_centred`` would return: of that size, on black, centred, and not filling the frame."""
    if grey.shape != size or np.median(_border(grey)) != 0 or not np.array_equal(grey, np.rint(grey)):
        return False
    if grey.max() < _LEAST_CONTRAST:
        return False
    rows, columns = _extent(grey > 0)
    fits = max(rows.stop - rows.start, columns.stop - columns.start) <= _box_side(size)
    off_centre = max(abs(mass - side / 2) for mass, side in zip(_centre_of_mass(grey), size, strict=True))
    return (fits or not _border(grey).any()) and off_centre <= 0.501  # half a pixel, and rounding


def _box_side(size: tuple[int, int]) -> int:
    return round(min(size) * 20 / 28)


def _centre_of_mass(ink: np.ndarray) -> tuple[float, float]:
    """Row and column, where the middle of the first pixel is 0."""
    total = float(ink.sum(dtype=np.float64))
    row = float(ink.sum(axis=1, dtype=np.float64) @ np.arange(ink.shape[0])) / total
    column = float(ink.sum(axis=0, dtype=np.float64) @ np.arange(ink.shape[1])) / total
    return row, column


def _extent(mask: np.ndarray) -> tuple[slice, slice]:
    """The smallest box around what is True."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _ink(grey: np.ndarray, name: str, steps: list[str]) -> np.ndarray:
    """What is brighter than the paper, 0..1; noise of the paper becomes 0."""
    paper = _paper(grey)
    difference = grey - paper
    # The standard deviation, estimated in a way that ink does not disturb. A constant paper has none.
    noise = 1.4826 * float(np.median(np.abs(difference))) if paper.size > 1 else 0.0
    peak = float(difference.max())
    if peak < max(_LEAST_CONTRAST, 6 * noise):
        raise DataError(
            f"{name}: expected a digit, came a blank picture ({peak:.0f} of 255 levels between paper and ink). "
            "Use a picture with more contrast."
        )
    if noise > 0.5:
        steps.append("paper's shading and noise removed")
    floor = 3 * noise
    return np.clip((difference - floor) / (peak - floor), 0, 1)


def _paper(grey: np.ndarray) -> np.ndarray:
    """The brightness of the paper, a number where it is even and (h, w) where it is not."""
    if _is_inverted(grey):
        return grey.min()  # what somebody who forbids to invert insists on: the light paper is the ink
    border = _border(grey)
    return border[0] if np.ptp(border) == 0 else _fitted_paper(grey)


def _fitted_paper(grey: np.ndarray) -> np.ndarray:
    """A quadratic surface through the brightness of the pixels that are not ink: what a lamp at one side does to a page."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in grey.shape), indexing="ij")
    terms = np.stack((np.ones_like(x), x, y, x * x, x * y, y * y), axis=-1)
    step = max(1, max(grey.shape) // 100)
    points, levels = terms[::step, ::step].reshape(-1, 6), grey[::step, ::step].ravel()
    fitted = np.full_like(levels, np.median(levels))
    for _ in range(5):
        distance = np.abs(levels - fitted)
        keep = distance <= max(2.0, 3 * float(np.median(distance)))
        surface, *_ = np.linalg.lstsq(points[keep], levels[keep], rcond=None)
        fitted = points @ surface
    return np.clip(terms @ surface, levels[keep].min(), levels[keep].max())


def _without_specks(ink: np.ndarray, steps: list[str]) -> np.ndarray:
    """Ink without the parts apart from the digit that are tiny or cut by the edge: dust, the desk beside the paper."""
    cell = -(-max(ink.shape) // 64)
    padded = np.pad(ink > _INK_THRESHOLD, ((0, -ink.shape[0] % cell), (0, -ink.shape[1] % cell)))
    cells = padded.reshape(padded.shape[0] // cell, cell, -1, cell).sum(axis=(1, 3))
    dropped = _specks(_connected(cells), cells)
    if not dropped:
        return ink
    steps.append(f"{len(dropped)} specks removed")
    unwanted = np.zeros(cells.shape, dtype=bool)
    for part in dropped:
        unwanted[part] = True
    unwanted = unwanted.repeat(cell, axis=0).repeat(cell, axis=1)[: ink.shape[0], : ink.shape[1]]
    kept = np.where(unwanted, 0, ink)
    return kept / kept.max()  # dust may have been darker than the ink


_Part = tuple[np.ndarray, np.ndarray]
"""The rows and the columns of the cells that belong together."""


def _specks(parts: list[_Part], cells: np.ndarray) -> list[_Part]:
    """The parts to drop. Of a digit cut by the edge nothing but tiny parts; of another also whatever the edge cuts."""
    central = np.zeros_like(cells)
    inner = tuple(slice(side // 5, side - side // 5) for side in cells.shape)
    central[inner] = cells[inner]
    # What the edge cuts counts by what it has in the middle: a digit cropped tightly has most of itself there, a desk has little.
    digit = max(parts, key=lambda part: (central if _is_cut(part, cells) else cells)[part].sum())
    least = 0.03 * cells[digit].sum()
    others = [part for part in parts if part is not digit]
    return [part for part in others if cells[part].sum() < least or (_is_cut(part, cells) and not _is_cut(digit, cells))]


def _is_cut(part: _Part, cells: np.ndarray) -> bool:
    """Whether a part touches the edge of the picture."""
    return any(places.min() == 0 or places.max() == side - 1 for places, side in zip(part, cells.shape, strict=True))


def _connected(cells: np.ndarray) -> list[_Part]:
    """The groups of cells > 0 that touch by a side or a corner."""
    left = {(row, column) for row, column in np.argwhere(cells).tolist()}
    groups = []
    while left:
        group = [left.pop()]
        for row, column in group:  # grows while it is walked through
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            group.extend(near)
        rows, columns = np.array(group).T
        groups.append((rows, columns))
    return groups


def _boxed(ink: np.ndarray, steps: list[str], size: tuple[int, int]) -> np.ndarray:
    """The part with ink, scaled so that its long side fills the box; float32 0..1."""
    part = ink[_extent(ink > _INK_THRESHOLD)]
    height, width = part.shape
    if part.shape != ink.shape:
        steps.append(f"cropped to {width}x{height}")
    side = _box_side(size)
    thickness = _stroke_width(part) * side / max(height, width)
    if thickness < _THIN_STROKE:
        part = _thickened(part, side, thickness)
        steps.append("strokes thickened")
    if max(part.shape) == side:
        return part
    part = _scaled(part, side)
    steps.append(f"scaled to {part.shape[1]}x{part.shape[0]}")
    return part


def _scaled(part: np.ndarray, side: int) -> np.ndarray:
    """The same picture with a long side of ``side`` pixels; the brightest stays 1."""
    scale = side / max(part.shape)
    height, width = (max(1, round(length * scale)) for length in part.shape)
    # Lanczos serves for enlarging, too; plain averages do as well for shrinking (99.4 against 99.5 % of labels kept, 10x, MNIST).
    scaled = np.asarray(Image.fromarray(part.astype(np.float32)).resize((width, height), Image.Resampling.LANCZOS))
    return np.clip(scaled / scaled.max(), 0, 1)


def _stroke_width(part: np.ndarray) -> float:
    """Mean width of the strokes in pixels: a line of length l and width w has an area of l*w and 2*l pixels along its sides."""
    mask = np.pad(part > 0.5, 1)
    inside = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    area = float(mask.sum())
    return 2 * area / (area - float(inside.sum()))


def _thickened(part: np.ndarray, side: int, thickness: float) -> np.ndarray:
    """Strokes as thick as a digit of MNIST has them; scaling down a thin pen's line would leave next to nothing of it."""
    fine = 8  # pixels in which one of the result is divided for this
    radius = max(1, round((_USUAL_STROKE - thickness) * fine / 2))
    enlarged = np.pad(_scaled(part, side * fine), radius)
    return np.asarray(Image.fromarray(enlarged).filter(ImageFilter.MaxFilter(2 * radius + 1)))


def _centred(part: np.ndarray, size: tuple[int, int], steps: list[str]) -> np.ndarray:
    """Place it so that its centre of mass is the centre of the picture, as nearly as whole pixels and the frame allow."""
    offsets = []
    for mass, side, length in zip(_centre_of_mass(part), size, part.shape, strict=True):
        offsets.append(min(max(round(side / 2 - mass), 0), side - length))
    pixels = np.zeros(size, dtype=np.uint8)
    pixels[offsets[0] : offsets[0] + part.shape[0], offsets[1] : offsets[1] + part.shape[1]] = np.rint(part * 255)
    steps.append("centred by mass")
    return pixels
