"""Any common picture file to grey levels, or to pixels of a size: one array, upright, with transparent parts filled in.

A large picture is averaged down. It is converted in strips, so that no conversion needs memory for the whole picture.
"""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from numbacnn.errors import DataError
from numbacnn.pictures.parts import border
from numbacnn.pictures.png_chunks import SIGNATURE, without_metadata
from numbacnn.pictures.ready import is_ready

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""Formats that are decoded. The others Pillow knows are rare, and each is a parser that strangers' files would reach."""

MAX_PIXELS = 40_000_000
"""Keeps the memory for one picture below 300 MB; a WebP may have a quarter of it, as libwebp holds the pixels several times over."""
MAX_REDUCED_PIXELS = 120_000_000
"""Of a JPEG as cameras write it, which is decoded at an eighth to a half of its size; a progressive one is held as a whole."""
WORKING_SIDE = 1024
"""Longest side of a decoded picture, in pixels; larger pictures are averaged down to it."""

MAX_ELONGATION = 100
"""Long side of a picture that is averaged down, in short sides: blocks of a longer one would be padded to many times its size."""

_WHITES_OF_CAMERAS = (1023, 4095)  # 10 and 12 bits
BY_COLOUR = "told apart by colour"
"""The step of a picture whose ink and paper are of equal brightness. Neither is the darker one."""

_COLOUR_MODES = ("RGB", "P", "CMYK", "YCbCr", "LAB", "HSV")
_EQUAL_BRIGHTNESS = 24  # levels between the darkest and the brightest pixel: fewer tell paper and ink apart badly, if at all
_STRIP_PIXELS = 1_000_000
_PNG_DEPTH_OFFSET = 24  # bytes: signature, chunk length, chunk type, width, height
_TURNED = range(2, 9)  # values of EXIF's orientation; 1 is upright
_ON_ITS_SIDE = range(5, 9)

Floats = NDArray[np.floating]


def grey_levels(data: bytes, name: str, steps: list[str]) -> Floats:
    """Decode a picture file.

    Args:
        data: the bytes of the file.
        name: the picture's name in messages.
        steps: takes a sentence for each change.
    Returns:
        grey levels 0...255, float32 (h, w), upright, at most ``WORKING_SIDE`` pixels long.
    Raises:
        DataError: the file is no picture of ``FORMATS``, damaged, too large, or animated.
    """
    with _decoding(name):
        image = _open(data, name)
        has_colours = image.mode in _COLOUR_MODES and not image.has_transparency_data
        if image.mode == "RGB" or image.width * image.height > MAX_PIXELS:
            image.draft("L", (WORKING_SIDE, WORKING_SIDE))  # JPEG only: decodes a large photo at half its size or less
        grey = _grey(image, steps)
        if has_colours and np.ptp(grey) < _EQUAL_BRIGHTNESS:
            image = _open(data, name)
            image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))
            return _in_colour(image, grey, steps)
        return grey


def says_it_is_ready(data: bytes, name: str) -> bool:
    """Whether a picture file says that it needs no preparation; see ``ready``.

    Raises:
        DataError: as ``grey_levels``.
    """
    with _decoding(name):
        return is_ready(_open(data, name))


def scaled_pixels(data: bytes, name: str, size: tuple[int, int], channels: int, steps: list[str]) -> NDArray[np.uint8]:
    """Decode a picture file and scale the whole picture, with antialiasing; one of the right size and mode keeps its pixels.

    Args:
        data: the bytes of the file.
        name: the picture's name in messages.
        size: height and width of the result.
        channels: 1 for grey, 3 for red, green and blue.
        steps: takes a sentence for each change.
    Returns:
        pixels, uint8 (height, width, channels), upright; transparent parts are white.
    Raises:
        DataError: as ``grey_levels``.
    """
    with _decoding(name):
        return _scaled(_open(data, name), size, channels, steps)


def shape_of(data: bytes, name: str) -> tuple[int, int, int]:
    """Height, width and channels (1 if it is grey, 3 if it has colours) of an upright picture, by its header.

    Raises:
        DataError: as ``grey_levels``.
    """
    with _decoding(name):
        image = _open(data, name)
        width, height = reversed(image.size) if _orientation(image) in _ON_ITS_SIDE else image.size
        return height, width, 1 if image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16") else 3


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises into a DataError that names the picture."""
    try:
        if threading.current_thread() is threading.main_thread():
            with warnings.catch_warnings():  # not for threads: it changes the whole process
                warnings.simplefilter("ignore")  # what Pillow warns of is either harmless or becomes an error here
                yield
        else:
            yield
    except DataError:
        raise
    except Image.UnidentifiedImageError:
        raise DataError(f"{name}: expected a picture ({', '.join(FORMATS)}), got something else. Save it as PNG.") from None
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error)) from error
    except Exception as error:  # a decoder in Pillow that trips over a damaged file raises almost anything, SyntaxError included
        raise DataError(f"{name}: expected an intact picture, got a damaged one ({error}). Save it again as PNG.") from error


def _open(data: bytes, name: str) -> Image.Image:
    """An image with an acceptable header; its pixels are not decoded yet."""
    if data.startswith(SIGNATURE):
        data = without_metadata(data, name)
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    limit = _most_pixels(image)
    if image.width * image.height > limit:
        raise _too_large(name, f"{image.width}x{image.height}", limit)
    if max(image.size) > WORKING_SIDE and max(image.size) > MAX_ELONGATION * min(image.size):
        raise DataError(
            f"{name}: expected a picture of one digit, got a strip of {image.width}x{image.height} pixels. Cut the digit out."
        )
    if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO: how phones add a second view to a JPEG
        frames = getattr(image, "n_frames", "several")
        raise DataError(f"{name}: expected one picture, got {frames} frames. Save one of them as PNG.")
    if image.format == "PNG":
        image.verify()  # checks the checksums, which decoding does not
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _rescale_transparent_level(image, data[_PNG_DEPTH_OFFSET])
    return image


def _most_pixels(image: Image.Image) -> int:
    if image.format == "WEBP":
        return MAX_PIXELS // 4
    is_reduced = image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB") and not image.info.get("progressive")
    return MAX_REDUCED_PIXELS if is_reduced else MAX_PIXELS


def _too_large(name: str, got: str, limit: int = MAX_PIXELS) -> DataError:
    return DataError(f"{name}: expected at most {limit // 10**6} megapixels, got {got}. Save a smaller picture.")


def _rescale_transparent_level(image: Image.Image, depth: int) -> None:
    """Bring the level that a PNG calls transparent to the pixels' range: Pillow widens or narrows the pixels to 8 bits, not the level."""
    level = image.info.get("transparency")
    if image.mode in ("1", "L") and depth < 8 and isinstance(level, int):
        image.info["transparency"] = min(level * 255 // (2**depth - 1), 255)
    elif image.mode == "RGB" and depth == 16 and isinstance(level, tuple):
        image.info["transparency"] = tuple(channel >> 8 for channel in level)


def _grey(image: Image.Image, steps: list[str]) -> Floats:
    """Decode, average down, fill transparent parts, turn upright."""
    is_turned = _orientation(image) in _TURNED
    image.load()  # here Pillow turns a TIFF upright, and takes the orientation away
    factor = -(-max(image.size) // WORKING_SIDE)
    white = _white(image)
    strips = [tuple(_averaged(channel, factor) for channel in _channels(strip, white)) for strip in _strips(image, factor)]
    level, opacity = (np.concatenate(channel) for channel in zip(*strips, strict=True))
    if factor > 1:
        steps.append(f"averaged down to {level.shape[1]}x{level.shape[0]}")
    grey = _flatten(level, opacity, steps)
    if is_turned:
        steps.append("turned upright (EXIF)")
        grey = _upright(grey, _orientation(image))
    return np.ascontiguousarray(grey)


def _in_colour(image: Image.Image, grey: Floats, steps: list[str]) -> Floats:
    """How far each pixel's colour is from the paper's, 0...255, bright on black; the grey levels where that tells no more than they do.

    The border is taken for paper.
    """
    orientation = _orientation(image)
    image.load()
    factor = -(-max(image.size) // WORKING_SIDE)
    parts = (
        np.stack([_averaged(np.asarray(band, dtype=np.float32), factor) for band in strip.convert("RGB").split()], axis=-1)
        for strip in _strips(image, factor)
    )
    colours = np.concatenate(tuple(parts))
    sides = border(colours)
    distance = np.linalg.norm(colours - np.median(sides, axis=0), axis=-1)
    if distance.max() < _EQUAL_BRIGHTNESS + 2 * np.ptp(grey):
        return grey
    steps.append(BY_COLOUR)
    distance = np.minimum(distance, 255)
    return np.ascontiguousarray(_upright(distance, orientation) if _orientation(image) in _TURNED else distance)


def _scaled(image: Image.Image, size: tuple[int, int], channels: int, steps: list[str]) -> NDArray[np.uint8]:
    """Decode, lay on white, convert, scale, turn upright: in this order, a large picture takes its memory once."""
    orientation = _orientation(image)
    target = size if orientation in _ON_ITS_SIDE else size[::-1]  # width and height, before it is turned
    if image.mode in ("L", "RGB"):
        image.draft(image.mode, (2 * target[0], 2 * target[1]))  # JPEG only: a large photo is decoded at a half or less
    image.load()  # here Pillow turns a TIFF upright, and takes the orientation away
    if _orientation(image) != orientation:
        orientation, target = 1, size[::-1]
    before = image.size
    image = _in_mode(image, "L" if channels == 1 else "RGB", steps)
    if image.size != target:
        steps.append(f"scaled from {before[0]}x{before[1]} to {target[0]}x{target[1]}")
        image = image.resize(target, Image.Resampling.BILINEAR)  # Pillow's widens with the scale: no alias
    pixels = np.asarray(image)
    if orientation in _TURNED:
        steps.append("turned upright (EXIF)")
        pixels = _upright(pixels, orientation)
    return np.ascontiguousarray(pixels).reshape(*size, channels)


def _in_mode(image: Image.Image, mode: str, steps: list[str]) -> Image.Image:
    """A decoded picture as 8-bit grey or red, green and blue, on white."""
    if image.mode == mode and not image.has_transparency_data:
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        level, opacity = _channels(image, _white(image))
        level = np.where(opacity > 0, level, 255)
        return Image.fromarray(np.clip(np.rint(level), 0, 255).astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        steps.append("laid on white")
        rgba = image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(rgba, mask=rgba.getchannel("A"))
    if mode == "L" and image.mode not in ("1", "L"):
        steps.append("converted to grey")
    return image.convert(mode)


def _orientation(image: Image.Image) -> object:
    return image.getexif().get(ExifTags.Base.Orientation)


def _upright(grey: NDArray[Any], orientation: object) -> NDArray[Any]:
    """Turn the averaged picture: to turn the original would take its memory once more."""
    image = Image.fromarray(grey)
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def _strips(image: Image.Image, factor: int) -> Iterator[Image.Image]:
    """Horizontal strips of about a megapixel, whole blocks of ``factor`` rows each."""
    rows = factor * max(1, _STRIP_PIXELS // (image.width * factor))
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _white(image: Image.Image) -> int:
    """White of a picture of numbers: the smallest customary one that no pixel exceeds, as in a camera's 12 bits within 16."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return 255
    low, high = image.getextrema()
    if not (isinstance(low, (int, float)) and isinstance(high, (int, float)) and low >= 0 and high <= 65535):
        raise ValueError(f"pixels from {low} to {high}, expected 0 to 65535")
    whites = (255, *_WHITES_OF_CAMERAS, 65535)
    return next(white for white in (whites if image.mode.startswith("I;16") else (1, *whites)) if high <= white)


def _channels(image: Image.Image, white: int) -> tuple[Floats, Floats]:
    """Brightness and opacity, both 0...255, of a picture of any mode; float32 (h, w)."""
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image)
        return _to_8_bits(values, white), _opacity(values, image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        level = np.asarray(rgba.convert("RGB").convert("L"), dtype=np.float32)
        return level, np.asarray(rgba.getchannel("A"), dtype=np.float32)
    level = np.asarray(image.convert("L"), dtype=np.float32)
    return level, np.full_like(level, 255)


def _to_8_bits(values: NDArray, white: int) -> Floats:
    """Levels 0...``white`` to 0...255; by hand, as Pillow's convert("L") clips everything above 255."""
    if not np.isfinite(values).all():
        raise ValueError("pixels that are no numbers")
    if white > 255:
        return np.floor(values.astype(np.float32) / ((white + 1) / 256))
    return values.astype(np.float32) * (255 // white)


def _opacity(values: NDArray, image: Image.Image) -> Floats:
    """Opacity of a picture with one channel: 0 where a pixel has the level that the file calls transparent."""
    level = image.info.get("transparency")
    transparent = values == level if isinstance(level, int) else np.zeros(values.shape, bool)
    return np.where(transparent, np.float32(0), np.float32(255))


def _averaged(channel: Floats, factor: int) -> Floats:
    """Means of blocks of factor x factor pixels; blocks cut by the edge are filled up with their last pixels."""
    if factor == 1:
        return channel
    height, width = channel.shape
    padded = np.pad(channel, ((0, -height % factor), (0, -width % factor)), mode="edge")
    return padded.reshape(padded.shape[0] // factor, factor, -1, factor).mean(axis=(1, 3))


def _flatten(level: Floats, opacity: Floats, steps: list[str]) -> Floats:
    """Lay a picture with transparent parts on paper that its ink stands out from."""
    if opacity.min() == 255:
        return level
    visible = level[opacity >= 128] if (opacity >= 128).any() else level[opacity > 0]
    if visible.size == 0:
        return np.zeros_like(level)
    paper = _paper_level(visible, visible.size / level.size)
    steps.append(f"laid on {'white' if paper > 127 else 'black'}")
    return (level * opacity + paper * (255 - opacity)) / 255


def _paper_level(visible: Floats, share: float) -> float:
    """Brightness for the transparent parts, given the visible pixels and their share of the picture."""
    low, high = np.percentile(visible, (2, 98))
    if share > 0.5 and high - low > 64:
        return float(np.median(visible))  # a page that shows its own paper; only its rim or holes are transparent
    return 255.0 if visible.mean() < 128 else 0.0  # nothing but ink
