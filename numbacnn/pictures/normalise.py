"""Grey levels to the form of MNIST's digits.

MNIST's makers fitted each digit into a box of 20x20 pixels, kept its proportions, and placed it in 28x28 so that its centre of
mass is the centre. A network trained on them has seen nothing else, so a picture gets the same treatment:

    ink         bright on black: the paper's brightness, fitted by a smooth surface, is taken away; noise is cut off
    specks      dust, and the desk beside the paper, are dropped
    box         the part with ink, scaled to 20 pixels on its long side
    centre      by mass

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits"; Y. LeCun et al., "Gradient-based learning
applied to document recognition", 1998, section III-A.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from numbacnn.errors import DataError
from numbacnn.pictures.beside import beside_the_digit
from numbacnn.pictures.blank import empty
from numbacnn.pictures.clusters import dividing_level, ink_is_bright
from numbacnn.pictures.light import evened
from numbacnn.pictures.lines import without_ruling
from numbacnn.pictures.parts import INK_THRESHOLD, Guesses, border, connected, over_squares
from numbacnn.pictures.sheet import on_its_sheet
from numbacnn.pictures.surround import without_surround

Invert = Literal["auto", "yes", "no"]

_THIN_STROKE, _USUAL_STROKE = 1.4, 2.2  # pixels of the result; 98 of 100 digits of MNIST have strokes thicker than the first
_THICK_STROKE, _BROAD_STROKE = 3.6, 2.6  # thicker ones become thinner, the more so the thicker they are, down to the second
_POINTS = 50  # of the long side, for the paper's brightness: more fit it no better
_FAR = 0.1  # of the side, between ink and the edge
_LEAST_CONTRAST = 16  # grey levels of 255 between paper and ink; below, a picture counts as blank
_LEAST_CLEAN_CONTRAST = 10  # where there are two clear clusters of grey, as in a scan of pencil: a smudge is no cluster

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]


def normalised(
    grey: Floats, name: str, steps: list[str], guesses: Guesses, invert: Invert, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Bring a picture into the form of MNIST's digits.

    Args:
        grey: levels 0...255, float32 (h, w).
        name: the picture's name in messages.
        steps: takes a sentence for each change.
        guesses: takes what had to be guessed.
        invert: "yes" for dark ink on light paper, "no" for light ink on dark paper, "auto" decides by the picture's border.
        size: height and width of the result, in pixels.
    Returns:
        pixels, uint8 ``size``, ink bright on black.
    Raises:
        DataError: there is no ink, or none but lines, a frame or a block.
    """
    if grey.shape != size:
        grey = evened(on_its_sheet(without_surround(grey, steps), steps), steps)
    if _is_inverted(grey) if invert == "auto" else invert == "yes":
        grey = 255 - grey
        steps.append("inverted (dark ink on light)")
    if _is_normal(grey, size):
        return grey.astype(np.uint8)
    ink = _ink(grey, name, steps)
    _check_holds_ink(ink, name)  # before two sides of a frame count as ruled lines
    whole, ink = ink, without_ruling(ink, steps)
    if not ink.any():
        raise _blank(name, "nothing but ruled lines")
    ink = _without_specks(ink, steps, guesses)
    if ink is not whole:
        _check_holds_ink(ink, name)
    guesses.is_cut = _is_cut_off(ink)
    return _centred(_boxed(ink, steps, size), size, steps)


def _check_holds_ink(ink: Floats, name: str) -> None:
    """Raise the error of a picture that shows an empty frame or a block."""
    if (shown := empty(ink)) is not None:
        raise _blank(name, shown)


def _blank(name: str, why: str, advice: str = "Use a picture with a digit on it.") -> DataError:
    return DataError(f"{name}: expected a digit, got a blank picture ({why}). {advice}")


def _is_inverted(grey: Floats) -> bool:
    """Whether the level furthest from the paper's is darker. The border is taken for paper, unless a digit fills it."""
    sides = border(grey)
    if np.ptp(sides) >= _LEAST_CONTRAST and (is_bright := ink_is_bright(grey)) is not None:
        return not is_bright
    paper = float(np.median(sides))
    return paper - float(grey.min()) > float(grey.max()) - paper


def _is_normal(grey: Floats, size: tuple[int, int]) -> bool:
    """Whether ``_centred`` could have returned the picture: of that size, on black, centred, and not filling the frame."""
    if grey.shape != size or np.median(border(grey)) != 0 or not np.array_equal(grey, np.rint(grey)):
        return False
    if grey.max() < _LEAST_CONTRAST:
        return False
    rows, columns = _extent(grey > 0)
    fits = max(rows.stop - rows.start, columns.stop - columns.start) <= _box_side(size)
    off_centre = max(abs(mass - side / 2) for mass, side in zip(_centre_of_mass(grey), size, strict=True))
    return (fits or not border(grey).any()) and off_centre <= 0.501  # half a pixel, and rounding


def _box_side(size: tuple[int, int]) -> int:
    return round(min(size) * 20 / 28)


def _centre_of_mass(ink: Floats) -> tuple[float, float]:
    """Row and column, where the middle of the first pixel is 0."""
    total = float(ink.sum(dtype=np.float64))
    row = float(ink.sum(axis=1, dtype=np.float64) @ np.arange(ink.shape[0])) / total
    column = float(ink.sum(axis=0, dtype=np.float64) @ np.arange(ink.shape[1])) / total
    return row, column


def _extent(mask: Mask) -> tuple[slice, slice]:
    """The smallest box around the True cells."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _ink(grey: Floats, name: str, steps: list[str]) -> Floats:
    """Brightness above the paper's, 0...1; the paper's noise becomes 0."""
    paper, is_paper = _paper(grey)
    difference = grey - paper
    # The standard deviation, estimated in a way that ink does not disturb. A constant paper has none.
    noise = 0.0
    if is_paper is not None:
        some = (slice(None, None, max(1, max(grey.shape) // (2 * _POINTS))),) * 2
        on_paper = np.abs(difference[some][is_paper if isinstance(is_paper, slice) else is_paper[some]])
        noise = 1.4826 * float(np.median(on_paper)) if on_paper.size else 0.0
    peak = float(difference.max())
    is_faint = peak < _LEAST_CONTRAST and (peak < _LEAST_CLEAN_CONTRAST or dividing_level(grey) is None)
    if is_faint or peak < 6 * noise:
        raise _blank(name, f"{peak:.0f} of 255 levels between paper and ink", "Use a picture with more contrast.")
    if noise > 0.5:
        steps.append("paper's shading and noise removed")
    floor = 3 * noise
    return np.clip((difference - floor) / (peak - floor), 0, 1)


def _paper(grey: Floats) -> tuple[Floats, Mask | slice | None]:
    """The brightness of the paper, a number where it is even and (h, w) where it is not, and where to look for its noise."""
    if _is_inverted(grey):
        return grey.min(), None  # the caller forbids to invert: the light paper is the ink
    sides = border(grey)
    if np.ptp(sides) == 0:
        return sides[0], None
    level = dividing_level(grey)
    if level is None or (sides.max() <= level and np.median(grey) <= level):
        return _fitted_paper(grey), slice(None)
    is_paper = grey <= level  # ink reaches the edge, and may cover more than half of the picture
    levels = grey[is_paper]
    middle = np.asarray(np.median(levels))
    if np.median(np.abs(levels - middle)) < 1:
        return middle, is_paper
    return _fitted_paper(grey, is_paper if np.median(grey) > level else None), is_paper


def _fitted_paper(grey: Floats, candidates: Mask | None = None) -> Floats:
    """A quadratic surface through the brightness of the paper's pixels: a lamp at one side lights a page so.

    Args:
        candidates: where paper may be; by default it covers more than half of the picture.
    """
    y, x = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in grey.shape), indexing="ij")
    terms = np.stack((np.ones_like(x), x, y, x * x, x * y, y * y), axis=-1)
    step = max(1, max(grey.shape) // _POINTS)
    points, levels = terms[::step, ::step].reshape(-1, 6).astype(np.float64), grey[::step, ::step].ravel()
    allowed = np.ones(levels.shape, dtype=bool) if candidates is None else candidates[::step, ::step].ravel()
    if not allowed.any():
        return np.full_like(grey, np.median(grey))
    fitted = np.full(levels.shape, np.median(levels[allowed]))
    for _ in range(5):
        distance = np.abs(levels - fitted)
        is_paper = allowed & (distance <= max(2.0, 3 * float(np.median(distance[allowed]))))
        chosen = points[is_paper]
        # By the normal equations: a hundred times as fast as the least squares of ten thousand points.
        surface, *_ = np.linalg.lstsq(chosen.T @ chosen, chosen.T @ levels[is_paper], rcond=None)
        fitted = points @ surface
    return np.clip(terms @ surface.astype(np.float32), levels[is_paper].min(), levels[is_paper].max())


def _is_cut_off(ink: Floats) -> bool:
    """Whether ink touches the edge and is far from the opposite one: a digit that was cropped to its box touches both."""
    for side, length in zip(_extent(ink > INK_THRESHOLD), ink.shape, strict=True):
        before, after = side.start, length - side.stop
        if min(before, after) == 0 and max(before, after) > _FAR * length:
            return True
    return False


def _without_specks(ink: Floats, steps: list[str], guesses: Guesses) -> Floats:
    """Ink without the parts beside the digit that are tiny, apart or cut by the edge: dust, a tick, the desk beside the paper."""
    cell = -(-max(ink.shape) // 64)
    padded = np.pad(ink, ((0, -ink.shape[0] % cell), (0, -ink.shape[1] % cell)))
    squares = padded.reshape(padded.shape[0] // cell, cell, -1, cell)
    cells = (squares > INK_THRESHOLD).sum(axis=(1, 3))
    parts = connected(cells)
    if len(parts) == 1:
        return ink
    dropped = beside_the_digit(parts, cells, squares.max(axis=(1, 3)), steps, guesses)
    if not dropped:
        return ink
    unwanted = np.zeros(cells.shape, dtype=bool)
    for part in dropped:
        unwanted[part] = True
    unwanted = unwanted.repeat(cell, axis=0).repeat(cell, axis=1)[: ink.shape[0], : ink.shape[1]]
    kept = np.where(unwanted, 0, ink)
    return kept / kept.max()  # dust may have been darker than the ink


def _boxed(ink: Floats, steps: list[str], size: tuple[int, int]) -> Floats:
    """The part with ink, scaled so that its long side fills the box; float32 0...1."""
    part = ink[_extent(ink > INK_THRESHOLD)]
    height, width = part.shape
    if part.shape != ink.shape:
        steps.append(f"cropped to {width}x{height}")
    side = _box_side(size)
    thickness = _stroke_width(part) * side / max(height, width)
    if thickness < _THIN_STROKE:
        part = _thickened(part, side, thickness)
        steps.append("strokes thickened")
    elif thickness > _THICK_STROKE:
        part = _thinned(part, side, thickness)
        steps.append("strokes thinned")
    if max(part.shape) == side:
        return part
    part = _scaled(part, side)
    steps.append(f"scaled to {part.shape[1]}x{part.shape[0]}")
    return part


def _scaled(part: Floats, side: int) -> Floats:
    """Scale to a long side of ``side`` pixels; the brightest pixel stays 1."""
    scale = side / max(part.shape)
    height, width = (max(1, round(length * scale)) for length in part.shape)
    # Lanczos serves for enlarging, too; plain averages do as well for shrinking (99.4 against 99.5 % of labels kept, 10x, MNIST).
    scaled = np.asarray(Image.fromarray(part.astype(np.float32)).resize((width, height), Image.Resampling.LANCZOS))
    return np.clip(scaled / scaled.max(), 0, 1)


def _stroke_width(part: Floats) -> float:
    """Mean width of the strokes in pixels: a line of length l and width w has an area of l*w and 2*l pixels along its sides."""
    mask = np.pad(part > 0.5, 1)
    inside = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    area = float(mask.sum())
    return 2 * area / (area - float(inside.sum()))


def _thickened(part: Floats, side: int, thickness: float) -> Floats:
    """Make strokes as thick as those of MNIST's digits: scaling down would leave next to nothing of a thin pen's line."""
    fine = 8  # the line is thickened at this multiple of the result's resolution
    radius = max(1, round((_USUAL_STROKE - thickness) * fine / 2))
    enlarged = np.pad(_scaled(part, side * fine), radius)
    return over_squares(enlarged, radius, np.maximum)


def _thinned(part: Floats, side: int, thickness: float) -> Floats:
    """Make strokes as thin as MNIST's: a broad marker, or a thick pen on a small note, closes the loops of a digit."""
    fine = 6
    excess = min(2 * (thickness - _THICK_STROKE), thickness - _BROAD_STROKE)
    radius = max(1, round(excess * fine / 2))
    enlarged = np.pad(np.rint(_scaled(part, side * fine) * 255).astype(np.uint8), radius)  # four times as fast as floats
    thin = _least_in_discs(enlarged, radius).astype(np.float32) / 255
    return thin[_extent(thin > INK_THRESHOLD)] if thin.max() > 0.5 else part


def _least_in_discs(values: NDArray[np.uint8], radius: int) -> NDArray[np.uint8]:
    """The smallest value within a distance of each; outside is 0."""
    height, width = values.shape
    padded = np.pad(values, radius)
    across, reach = padded[:, radius : radius + width], 0
    least = np.full_like(values, 255)
    for down in range(radius, -1, -1):
        while (reach + 1) ** 2 + down**2 <= radius**2:
            reach += 1
            left, right = (padded[:, radius + way * reach : radius + way * reach + width] for way in (-1, 1))
            across = np.minimum(np.minimum(across, left), right)
        for way in {-down, down}:
            least = np.minimum(least, across[radius + way : radius + way + height])
    return least


def _centred(part: Floats, size: tuple[int, int], steps: list[str]) -> NDArray[np.uint8]:
    """Paste the ink with its centre of mass in the middle, as nearly as whole pixels and the frame allow."""
    offsets = []
    for mass, side, length in zip(_centre_of_mass(part), size, part.shape, strict=True):
        offsets.append(min(max(round(side / 2 - mass), 0), side - length))
    pixels = np.zeros(size, dtype=np.uint8)
    pixels[offsets[0] : offsets[0] + part.shape[0], offsets[1] : offsets[1] + part.shape[1]] = np.rint(part * 255)
    steps.append("centred by mass")
    return pixels
