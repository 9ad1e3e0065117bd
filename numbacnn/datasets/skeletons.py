"""The ten digits as one table: for each, the ways people write it, as points for a pen to run through.

Read a digit beside a sheet of paper: x runs right and y down, a digit fills the box from 0 to 1. A number that differs from hand
to hand is a draw ``U(low, high)``; one that a digit uses twice, as the height of its waist, has a name.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from numbacnn.datasets.draws import Draws, Floats, Quantity, Sine, U, cosine_of, value

SMOOTH, CORNER, START, ABSENT = range(4)


@dataclass(frozen=True, eq=False)
class Point:
    """A point the pen goes through.

    Attributes:
        x: to the right, in boxes; y: down, in boxes.
        kind: SMOOTH, CORNER, or START where a new stroke begins. (The first point of a digit starts a stroke whatever its kind.)
        share: the share of the images in which it is of this kind; in the others it is ``otherwise``.
        dice: the draw that decides; points with the same one are decided together.
    """

    x: Quantity
    y: Quantity
    kind: int
    share: float = 1.0
    otherwise: int = SMOOTH
    dice: U = field(default_factory=lambda: U(0.0, 1.0))


Figure = tuple[Point, ...]


def smooth(x: Quantity, y: Quantity) -> Point:
    """The pen runs through without a corner."""
    return Point(x, y, SMOOTH)


def corner(x: Quantity, y: Quantity, share: float = 1.0) -> Point:
    """The pen turns sharply; in the rest of the images (1 - ``share``) it runs through smoothly."""
    return Point(x, y, CORNER, share)


def start(x: Quantity, y: Quantity) -> Point:
    """The pen is lifted and set down again."""
    return Point(x, y, START)


def sometimes(share: float, *points: Point) -> Figure:
    """Points that only a share of the images has: all of them or none. (A share of their own is lost.)"""
    dice = U(0.0, 1.0)
    return tuple(replace(p, share=share, otherwise=ABSENT, dice=dice) for p in points)


def ring(
    x: Quantity, y: Quantity, rx: Quantity, ry: Quantity, first: Quantity, turn: Quantity, count: int, end: Quantity = 1.0
) -> Figure:
    """Points along an ellipse.

    Args:
        x, y: its centre; rx, ry: its half axes.
        first: the angle of its start, in degrees: 0 right, 90 below, -90 above.
        turn: the angle it covers, in degrees; positive is clockwise.
        count: the number of points.
        end: a factor of the size at the end, reached over the last third: below 1 the line spirals in, above 1 out.
    """

    def point(t: float) -> Point:
        size = 1.0 + (end - 1.0) * (max(0.0, t - 2 / 3) * 3.0)
        angle = first + turn * t
        return smooth(x + rx * size * cosine_of(angle), y + ry * size * Sine(angle))

    return tuple(point(i / (count - 1)) for i in range(count))


def lifted(figure: Figure) -> Figure:
    """The same figure as a stroke of its own."""
    return (replace(figure[0], kind=START), *figure[1:])


def mirrored(figure: Figure) -> Figure:
    """The same figure with left and right exchanged."""
    return tuple(replace(p, x=1.0 - p.x) for p in figure)


def upended(figure: Figure) -> Figure:
    """The same figure with top and bottom exchanged."""
    return tuple(replace(p, y=1.0 - p.y) for p in figure)


@dataclass(frozen=True, eq=False)
class Variant:
    """One way to write a digit, and the share of the writers who do."""

    name: str
    share: float
    figure: Figure


Variants = tuple[Variant, ...]


def draw_points(figure: Figure, draws: Draws) -> tuple[Floats, NDArray[np.uint8]]:
    """Draw the points of one variant.

    Args:
        figure: p points.
        draws: the random numbers of n images.
    Returns:
        x and y, float64 (n, p, 2), and kinds, uint8 (n, p).
    """
    points, kinds = np.empty((draws.size, len(figure), 2)), np.empty((draws.size, len(figure)), np.uint8)
    for i, point in enumerate(figure):
        points[:, i, 0], points[:, i, 1] = value(point.x, draws), value(point.y, draws)
        kinds[:, i] = point.kind
        if point.share < 1:
            kinds[:, i][point.dice.value(draws) >= point.share] = point.otherwise
    return points, kinds


def zero() -> Variants:
    """Once round from somewhere at the top; the end a little before or beyond the start."""
    oval = ring(0.5, 0.5, U(0.24, 0.5), 0.5, U(-150, -30), -1 * U(325, 410), 11, end=U(0.7, 1.1))
    clockwise = ring(0.5, 0.5, U(0.24, 0.5), 0.5, U(-150, -60), U(335, 395), 11, end=U(0.8, 1.1))
    spiral = ring(0.5, 0.5, U(0.28, 0.5), 0.5, U(-150, -60), -1 * U(400, 500), 13, end=U(0.4, 0.75))
    entry = smooth(oval[0].x + U(0.05, 0.25), oval[0].y + U(-0.1, 0.15))
    return (
        Variant("round", 0.77, oval),
        Variant("with an entry stroke", 0.12, (entry, *oval)),
        Variant("clockwise", 0.07, clockwise),
        Variant("spiral", 0.04, spiral),
    )


def one() -> Variants:
    """A line, perhaps with a flag, perhaps on a base."""
    line = (smooth(0.5 + U(-0.04, 0.04), 0.5), smooth(0.5, 1.0))
    flag = (smooth(U(0.16, 0.42), U(0.08, 0.44)), corner(0.5, 0.0))
    base = (start(U(0.12, 0.3), U(0.98, 1.04)), smooth(U(0.7, 0.95), U(0.96, 1.02)))
    return (
        Variant("a line", 0.77, (smooth(0.5, 0.0), *line)),
        Variant("with a base", 0.03, (smooth(0.5, 0.0), *line, *base)),
        Variant("with a flag", 0.13, (*flag, *line)),
        Variant("with a flag and a base", 0.07, (*flag, *line, *base)),
    )


def two() -> Variants:
    """An arch, down to the left, and a base to the right: often out of a loop, else from a corner."""
    x, y, right = U(0.0, 0.2), U(0.06, 0.34), U(0.5, 0.95)
    hat = (
        *sometimes(0.15, smooth(x + U(0.05, 0.3), y + U(0.03, 0.16))),
        smooth(x, y),
        *sometimes(0.6, smooth(x + 0.12, U(0.03, 0.12))),
        smooth(U(0.35, 0.55), 0.0),
        smooth(right, U(0.16, 0.36)),
    )
    arch = (*hat, smooth(right * U(0.58, 0.85), U(0.5, 0.66)))

    def looped(head: Figure, x: U, y: U, wide: U, high: U, drop: U) -> Figure:
        # the lowest point of the loop is (x, y); the base leaves it and ends `drop` below it
        return (
            *head,
            smooth(x + 0.1, y - 0.06),
            smooth(x - wide * 0.45, y),
            smooth(x - wide, y - high * 0.5),
            smooth(x - wide * 0.3, y - high),
            smooth(x + U(0.15, 0.35), y - high * U(0.2, 0.6)),
            smooth(U(0.6, 0.75), y + drop * 0.5 + U(-0.03, 0.05)),
            *sometimes(0.8, smooth(U(0.8, 1.15), y + drop + U(-0.08, 0.04))),
        )

    belly = (
        smooth(right * U(0.82, 1.0), U(0.55, 0.7)),
        smooth(U(0.35, 0.55), U(0.93, 1.0)),
        smooth(U(-0.02, 0.2), U(0.72, 0.86)),
        smooth(U(0.28, 0.5), U(0.48, 0.64)),
        smooth(right * U(0.8, 1.0), U(0.66, 0.82)),
        *sometimes(0.8, smooth(right + U(0.02, 0.25), U(0.8, 1.08))),
    )
    foot, floor = U(-0.05, 0.25), U(0.88, 1.0)
    wavy = (smooth(U(0.25, 0.4), floor - U(0.0, 0.12)), smooth(U(0.55, 0.7), floor + U(-0.02, 0.08)))
    upright = (
        smooth(U(0.05, 0.38), U(0.03, 0.25)),
        smooth(U(0.36, 0.5), 0.0),
        smooth(U(0.45, 0.6), 0.2),
        smooth(U(0.32, 0.5), 0.6),
    )
    return (
        Variant("flat loop", 0.24, looped(arch, U(0.12, 0.42), U(0.76, 1.0), U(0.15, 0.45), U(0.08, 0.25), U(-0.1, 0.22))),
        Variant("tall loop", 0.13, looped(arch, U(0.12, 0.42), U(0.76, 1.0), U(0.15, 0.45), U(0.25, 0.45), U(0.0, 0.32))),
        Variant("like an a", 0.10, (*hat, *belly)),
        Variant("falling base", 0.08, looped(arch, U(0.1, 0.4), U(0.62, 0.86), U(0.2, 0.45), U(0.12, 0.38), U(0.15, 0.45))),
        Variant("narrow, looped", 0.04, looped(upright, U(0.2, 0.4), U(0.8, 1.0), U(0.15, 0.4), U(0.1, 0.3), U(0.0, 0.2))),
        Variant("wavy base", 0.20, (*arch, corner(foot, floor), *wavy, smooth(U(0.8, 1.1), floor + U(-0.12, 0.08)))),
        Variant("straight base", 0.18, (
            *arch, corner(foot, floor), smooth(0.5, floor + U(-0.03, 0.03)), smooth(U(0.7, 1.1), floor + U(-0.08, 0.06)),
        )),
        Variant("narrow", 0.03, (*upright, corner(U(0.1, 0.3), 0.98), smooth(U(0.7, 1.05), U(0.9, 1.04)))),
    )  # fmt: skip


def three() -> Variants:
    """Two bows that meet at a waist."""
    x, waist, right = U(0.17, 0.55), U(0.34, 0.6), U(0.6, 1.0)
    top = (smooth(U(0.0, 0.32), U(0.04, 0.3)), smooth(U(0.35, 0.5), 0.0), smooth(U(0.55, 0.95), waist * U(0.32, 0.6)))
    bar = (*top, smooth(x + 0.15, waist - 0.04))
    loop = U(0.03, 0.15)
    loop_turn = (
        smooth(x + 0.1, waist - 0.02),
        smooth(x - loop, waist + U(0, 0.05)),
        smooth(x - loop * 0.3, waist - U(0.03, 0.1)),
        smooth(x + 0.2, waist + U(0, 0.08)),
    )
    flat_top = (smooth(U(0.0, 0.2), U(0.0, 0.1)), corner(U(0.65, 0.85), U(-0.03, 0.06)))
    bow = (*sometimes(0.5, smooth((x + right) * 0.5 + 0.06, waist + 0.05)), smooth(right, waist + (1 - waist) * U(0.38, 0.62)))
    end_x, end_y = U(-0.15, 0.2), U(0.7, 1.03)
    curl = sometimes(0.12, smooth(end_x + U(-0.03, 0.12), end_y - U(0.06, 0.2)))
    hook = (*bow, smooth(U(0.25, 0.55), 1.0), smooth(end_x, end_y), *curl)
    tail = (*bow, smooth(U(0.4, 0.6), U(0.86, 0.96)), smooth(U(-0.15, 0.25), U(0.96, 1.1)))
    slope = (*bow, smooth(right * U(0.7, 0.95), U(0.82, 0.92)), smooth(U(0.1, 0.55), 1.0))
    turn = corner(x, waist)
    return (
        Variant("pointed waist", 0.27, (*top, turn, *hook)),
        Variant("pointed waist, straight tail", 0.10, (*top, turn, *tail)),
        Variant("pointed waist, no lower bay", 0.05, (*top, turn, *slope)),
        Variant("bar at the waist", 0.19, (*bar, turn, *hook)),
        Variant("bar at the waist, straight tail", 0.06, (*bar, turn, *tail)),
        Variant("loop at the waist", 0.15, (*top, *loop_turn, *hook)),
        Variant("loop at the waist, straight tail", 0.05, (*top, *loop_turn, *tail)),
        Variant("flat top", 0.13, (*flat_top, turn, *hook)),
    )


def four() -> Variants:
    """An angle and a stem through it: open, closed, or all in one stroke."""
    left, bar, stem = U(0.02, 0.4), U(0.42, 0.68), U(0.55, 0.82)
    return (
        Variant("open", 0.45, (
            smooth(left, U(-0.02, 0.15)),
            smooth(U(-0.02, 0.12) + left * 0.3, bar * 0.65),
            corner(U(-0.02, 0.1), bar + 0.03, share=0.6),
            smooth(0.45, bar + U(-0.03, 0.04)),
            smooth(U(0.72, 1.1), bar + U(-0.14, 0.05)),
            start(stem + U(-0.03, 0.12), U(-0.05, 0.3)),
            smooth(stem + U(-0.03, 0.03), 0.5),
            smooth(stem - U(-0.05, 0.15), 1.0),
        )),
        Variant("closed", 0.18, (
            smooth(stem, 0.0),
            corner(U(0.0, 0.1), bar + 0.07),
            smooth(0.5, bar + U(0.03, 0.08)),
            smooth(U(0.8, 1.05), bar + U(-0.02, 0.1)),
            start(stem + U(-0.08, 0.08), U(-0.05, 0.25)),
            smooth(stem - U(-0.05, 0.12), 1.0),
        )),
        Variant("one stroke", 0.27, (
            smooth(U(0.05, 0.25), U(0.0, 0.15)),
            smooth(U(0.0, 0.1), bar * U(0.55, 0.75)),
            smooth(U(0.2, 0.4), bar + U(-0.08, 0.02)),
            smooth(stem - 0.08, bar * U(0.6, 0.9)),
            corner(stem + U(-0.02, 0.12), U(-0.03, 0.2)),
            smooth(stem, 0.5),
            smooth(stem - U(-0.05, 0.15), 1.0),
        )),
        Variant("bar stops at the stem", 0.10, (
            smooth(U(0.1, 0.3), U(0.0, 0.1)),
            corner(U(0.0, 0.08), bar),
            smooth(stem, bar - U(0.0, 0.15)),
            start(stem + U(0, 0.1), U(0.0, 0.25)),
            smooth(stem - U(-0.05, 0.15), 1.0),
        )),
    )  # fmt: skip


def five() -> Variants:
    """A bar, a neck down from its left end, and a bow."""
    x, neck, right, bar_end, above = U(0.1, 0.4), U(0.23, 0.58), U(0.5, 0.95), U(0.6, 1.1), U(-0.05, 0.1)
    end_x, end_y = U(-0.15, 0.22), U(0.66, 1.03)
    bow = (
        smooth(x + (right - x) * 0.5, neck - U(-0.06, 0.08)),
        smooth(right, neck + (1 - neck) * U(0.3, 0.6)),
        smooth(U(0.25, 0.55), 1.0),
        smooth(end_x, end_y),
        *sometimes(0.15, smooth(end_x + U(-0.03, 0.15), end_y - U(0.06, 0.2))),
    )
    knee = corner(x, neck, share=0.6)
    return (
        Variant("one stroke", 0.50, (smooth(bar_end, U(-0.08, 0.08)), corner(x + U(0.0, 0.15), 0.04), knee, *bow)),
        Variant("bar apart", 0.35, (
            smooth(x + U(-0.08, 0.3), above + U(-0.03, 0.06)),
            smooth(bar_end, above + U(-0.14, 0.05)),
            start(x + U(0.0, 0.15), U(0.0, 0.16)),
            knee,
            *bow,
        )),
        Variant("like an S", 0.15, (
            smooth(bar_end, U(-0.02, 0.15)),
            smooth(x + U(0.15, 0.3), U(0.0, 0.05)),
            smooth(x, neck * U(0.5, 0.7)),
            smooth(x + 0.15, neck),
            *bow,
        )),
    )  # fmt: skip


def six() -> Variants:
    """Down into a bowl that closes more or less."""
    top, x, bowl, right, end = U(0.2, 0.85), U(0.02, 0.12), U(0.36, 0.76), U(0.5, 1.15), U(0.3, 1.5)
    down = (
        smooth(top, 0.0),
        smooth(x + (top - x) * U(0.3, 0.55), U(0.2, 0.3)),
        smooth(x, 0.68),
        smooth(x + (right - x) * 0.45, 1.0),
        smooth(right, (bowl + 1) * 0.5),
        smooth(x + (right - x) * U(0.45, 0.7), bowl),
    )
    close = smooth(x + (right - x) * 0.55 * (1 - end) + 0.08, bowl + (0.8 - bowl) * 0.6)
    return (Variant("closed bowl", 0.85, (*down, close)), Variant("open bowl", 0.15, down))


def seven() -> Variants:
    """A bar and a stem, perhaps crossed."""
    x, y, right, top, end, bulge = U(-0.05, 0.25), U(0.0, 0.22), U(0.7, 0.95), U(-0.05, 0.1), U(0.15, 0.72), U(-0.05, 0.13)
    bar = (
        *sometimes(0.25, smooth(x + U(-0.04, 0.04), y + U(0.08, 0.38))),
        corner(x, y, share=0.5),
        *sometimes(0.4, smooth((x + right) * 0.5, (y + top) * 0.5 + U(-0.06, 0.08))),
    )
    tick = (smooth(U(-0.06, 0.14), U(-0.06, 0.08)), corner(U(0.0, 0.18), U(0.12, 0.26), share=0.6))
    middle = (right + end) * 0.5 - bulge
    half, height = U(0.13, 0.36), U(0.42, 0.64)
    cross = sometimes(0.2, start(middle - half, height + U(-0.04, 0.06)), smooth(middle + half, height + U(-0.07, 0.04)))
    stem = (smooth(middle, 0.5), smooth(end, 1.0), *cross)
    return (
        Variant("sharp", 0.60, (*bar, corner(right, top), *stem)),
        Variant("round shoulder", 0.33, (*bar, smooth(right - 0.08, top), smooth(right, top + U(0.06, 0.15)), *stem)),
        Variant("ticked bar", 0.07, (*tick, corner(right, top), *stem)),
    )


def eight() -> Variants:
    """Two rings, mostly in one stroke."""
    upper, lower, waist, lean = U(0.18, 0.42), U(0.12, 0.44), U(0.32, 0.68), U(-0.08, 0.08)
    right = 0.5 + upper * U(0.3, 1.3)
    low = (1 + waist) * 0.5
    straight = (
        smooth(right, waist * U(0.0, 0.4)),
        smooth(0.5 + lean, 0.0),
        smooth(0.5 - upper, waist * 0.45),
        smooth(0.5, waist),
        smooth(0.5 + lower, low + 0.03),
        smooth(0.5 - lean, 1.0),
        smooth(0.5 - lower, 1 - (1 - waist) * U(0.25, 0.5)),
        smooth(0.5 + U(-0.04, 0.08), waist),
    )
    arm, long_arm = smooth(right + U(-0.1, 0.15), waist * U(-0.15, 0.35)), smooth(right + U(0.0, 0.4), waist * U(-0.8, -0.15))
    lower_ring = (
        smooth(0.5, waist),
        smooth(0.5 + lower, low),
        smooth(0.5 - lean, 1.0),
        smooth(0.5 - lower, low),
        smooth(0.5 + U(-0.05, 0.05), waist + U(-0.02, 0.06)),
    )
    open_top = (
        smooth(0.5 + U(-0.2, 0.15), U(-0.04, 0.1)),
        smooth(0.5 - upper * U(0.8, 1.1), waist * U(0.3, 0.55)),
        *lower_ring,
        smooth(0.5 + upper * U(0.7, 1.1), waist * U(0.3, 0.6)),
        smooth(0.5 + upper * U(0.6, 1.5), U(-0.12, 0.12)),
    )
    rounded = (
        smooth(0.5 + upper * U(0.3, 1.1), waist * U(0.1, 0.5)),
        smooth(0.5 + lean, 0.0),
        smooth(0.5 - upper, waist * 0.5),
        *lower_ring,
        smooth(0.5 + upper * U(0.7, 1.2), waist * U(0.1, 0.6)),
        *sometimes(0.35, smooth(0.5 + upper * U(0.3, 0.9), waist * U(-0.1, 0.2))),
    )
    delta = (
        smooth(0.5 + upper * U(0.5, 1.3), U(-0.02, 0.16)),
        smooth(0.5 + lean, 0.0),
        smooth(0.5 - upper, waist * 0.5),
        *lower_ring,
        *sometimes(0.6, smooth(0.5 + upper * U(0.2, 0.7), waist * U(0.6, 0.9))),
    )
    rings = (
        *ring(0.5 + lean, waist * 0.5, upper, waist * 0.5, U(-100, -40), -1 * U(345, 380), 8),
        *lifted(ring(0.5 - lean, low, lower, (1 - waist) * 0.5, U(-120, -60), U(345, 380), 8)),
    )
    return (
        Variant("straight way back", 0.25, (*straight, arm)),
        Variant("straight way back, long arm", 0.03, (*straight, long_arm)),
        Variant("open top", 0.10, open_top),
        Variant("round", 0.35, rounded),
        Variant("like a delta", 0.03, delta),
        Variant("two rings", 0.07, rings),
        Variant("straight way back, mirrored", 0.03, mirrored((*straight, arm))),
        Variant("open top, mirrored", 0.03, mirrored(open_top)),
        Variant("round, mirrored", 0.05, mirrored(rounded)),
        Variant("open bottom", 0.03, upended(mirrored(open_top))),
        Variant("open bottom, mirrored", 0.03, upended(open_top)),
    )


def nine() -> Variants:
    """A ring and a tail."""
    right = U(0.65, 0.88)

    def round_to_the_right(high: U) -> Figure:
        # ... from the right over the top, left, and up to where the tail begins
        return (
            smooth(right - U(-0.25, 0.22), U(-0.04, 0.22)),
            smooth(U(0.35, 0.55), 0.0),
            *left_and_up(high),
        )

    def left_and_up(high: U) -> Figure:
        return (
            corner(U(-0.08, 0.22), high * U(0.45, 0.65), share=0.06),
            corner(U(0.25, 0.48), high, share=0.06),
            smooth(right - 0.08, high * U(0.5, 0.75)),
            corner(right + U(-0.04, 0.06), high * U(-0.1, 0.5), share=0.6),
        )

    loop, tall_loop = round_to_the_right(U(0.3, 0.62)), round_to_the_right(U(0.6, 0.78))
    open_loop = (smooth(U(0.42, 0.6), U(-0.03, 0.08)), smooth(U(0.15, 0.3), U(0.02, 0.08)), *left_and_up(U(0.36, 0.6)))
    straight = (smooth(right + U(-0.05, 0.03), 0.5), smooth(right + U(-0.2, 0.05), 1.0))
    curved = (smooth(right - U(-0.04, 0.04), 0.5), smooth(right - U(0.15, 0.4), 1.0))
    hooked = (
        smooth(right + U(-0.02, 0.04), 0.5),
        smooth(right - U(0.0, 0.12), 0.82),
        smooth(U(0.35, 0.5), 1.0),
        smooth(U(0.05, 0.25), U(0.75, 0.97)),
    )
    high, foot = U(0.3, 0.62), right + U(-0.08, 0.06)
    stem = (start(foot, U(-0.05, 0.3)), smooth(foot + U(-0.05, 0.02), 0.55), smooth(foot + U(-0.25, 0.05), 1.0))
    return (
        Variant("straight tail", 0.31, (*loop, *straight)),
        Variant("straight tail, tall ring", 0.07, (*tall_loop, *straight)),
        Variant("straight tail, open ring", 0.06, (*open_loop, *straight)),
        Variant("curved tail", 0.25, (*loop, *curved)),
        Variant("curved tail, tall ring", 0.03, (*tall_loop, *curved)),
        Variant("hooked tail", 0.16, (*loop, *hooked)),
        Variant("ring and stem", 0.12, (
            *ring(right * 0.5, high * 0.5, right * 0.5, high * 0.5, U(-110, 0), -1 * U(330, 380), 9), *stem,
        )),
    )  # fmt: skip


DIGITS: tuple[Variants, ...] = (zero(), one(), two(), three(), four(), five(), six(), seven(), eight(), nine())
