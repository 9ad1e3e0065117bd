"""The drawing kernel of the embedded digits: from control points to a picture.

    points -> smooth curve -> waves -> slant, rotation, keystone -> a box of 20 pixels -> strokes of ink -> centre of mass

Nothing is random in this file: all that differs between two digits is an argument. Compiled without fast maths and without `sin`,
`exp` and the like, so that the same points give the same pixels on every machine.
"""

import math

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel

SMOOTH, CORNER, START, ABSENT = range(4)  # kinds of control points

# columns of `hand`
SHEAR, COSINE, SINE, WIDTH, KEYSTONE, ROUNDNESS, PEN, NARROW_PEN, EDGE = range(9)
HAND_COLUMNS = 9
# columns of one wave: turns per box along x and y, start in turns, shift of x and y
WAVE_X, WAVE_Y, WAVE_START, SHIFT_X, SHIFT_Y = range(5)
WAVE_COLUMNS = 5

PIECES = 6  # straight pieces per curve between two control points
BOX = 20  # pixels: the page a digit is drawn on; it fills the longer side
FRAME = 28  # pixels: the picture
PEN_GROWTH = 4.2  # pixels that the broadest pen gains for a digit as wide as high
CENTRE = 14.0  # index of the centre of mass along both axes


@kernel(inline=True)
def gather(points, kinds, stroke, kind):
    """Copy the points that are present, mark the ends of strokes, and return the number of points."""
    n = 0
    for i in range(kinds.shape[0]):
        if kinds[i] != ABSENT:
            for axis in range(3):
                stroke[n, axis] = points[i, axis]
            kind[n] = kinds[i]
            n += 1
    kind[0] = START
    kind[n] = START  # a stroke would start after the last point: ends the last one
    return n


@kernel(inline=True)
def tangent(stroke, kind, i, toward, axis, roundness):
    """Direction of the curve at point ``i`` for the piece between it and its neighbour ``toward``.

    At a smooth point it is parallel to the line between both neighbours (Catmull & Rom 1974); at corners and ends of a stroke the
    neighbour is reflected.
    """
    point, neighbour = stroke[i, axis], stroke[toward, axis]
    other = 2 * i - toward
    if kind[i] == SMOOTH and (kind[i + 1] != START):
        behind = stroke[other, axis]
    else:
        behind = point + 0.5 * (point - neighbour)
    return roundness * (neighbour - behind)


@kernel(inline=True)
def trace(stroke, kind, n, roundness, curve, pen_down):
    """Fill ``curve`` (x, y, pressure) with points along the strokes: cubic Hermite pieces. Returns their number."""
    m = 0
    for i in range(n):
        if kind[i] == START:
            for axis in range(3):
                curve[m, axis] = stroke[i, axis]
            pen_down[m] = False
            m += 1
            continue
        for j in range(1, PIECES + 1):
            t = j / PIECES
            rise = t * t * (3.0 - 2.0 * t)
            leave = t * (1.0 - t) * (1.0 - t)
            arrive = t * t * (1.0 - t)
            for axis in range(2):
                a, b = stroke[i - 1, axis], stroke[i, axis]
                out = tangent(stroke, kind, i - 1, i, axis, roundness)
                back = tangent(stroke, kind, i, i - 1, axis, roundness)
                curve[m, axis] = a + rise * (b - a) + leave * out + arrive * back
            curve[m, 2] = stroke[i - 1, 2] + t * (stroke[i, 2] - stroke[i - 1, 2])
            pen_down[m] = True
            m += 1
    return m


@kernel(inline=True)
def ripple(turns):
    """A smooth wave of period 1 and height 1: a parabola up and one down. An elastic wave needs no exact sine."""
    t = turns - math.floor(turns + 0.5)
    return 8.0 * t * (1.0 - 2.0 * abs(t))


@kernel(inline=True)
def bend(curve, m, waves):
    """Let plane waves run through the digit, one after the other: the elastic deformation."""
    for w in range(waves.shape[0]):
        for i in range(m):
            height = ripple(waves[w, WAVE_X] * curve[i, 0] + waves[w, WAVE_Y] * curve[i, 1] + waves[w, WAVE_START])
            curve[i, 0] += waves[w, SHIFT_X] * height
            curve[i, 1] += waves[w, SHIFT_Y] * height


@kernel(inline=True)
def pose(curve, m, hand):
    """Widen, taper (keystone), slant and rotate about the middle of the unit box."""
    for i in range(m):
        y = curve[i, 1] - 0.5
        x = (curve[i, 0] - 0.5) * hand[WIDTH] * (1.0 + hand[KEYSTONE] * y) - hand[SHEAR] * y
        curve[i, 0] = x * hand[COSINE] - y * hand[SINE]
        curve[i, 1] = x * hand[SINE] + y * hand[COSINE]


@kernel(inline=True)
def fit(curve, m, hand):
    """Scale the curve so that its ink fills the box, and move it into the upper left corner; returns the stroke width in pixels.

    A narrow digit cannot be written with a broad pen, its strokes would run together: the pen is limited to ``NARROW_PEN`` for a
    figure without any width, and to more the wider it is.
    """
    left = right = curve[0, 0]
    top = bottom = curve[0, 1]
    for i in range(1, m):
        left, right = min(left, curve[i, 0]), max(right, curve[i, 0])
        top, bottom = min(top, curve[i, 1]), max(bottom, curve[i, 1])
    long, short = max(right - left, bottom - top), min(right - left, bottom - top)
    pen = min(hand[PEN], hand[NARROW_PEN] + PEN_GROWTH * short / long)
    scale = (BOX - pen) / long
    for i in range(m):
        curve[i, 0] = (curve[i, 0] - left) * scale + 0.5 * pen
        curve[i, 1] = (curve[i, 1] - top) * scale + 0.5 * pen
    return pen


@kernel(inline=True)
def ink_piece(page, ax, ay, bx, by, half, edge):
    """Ink one straight piece from a to b: full within ``half`` pixels of it, falling to nothing over ``edge`` pixels."""
    reach = half + 0.5 * edge
    dx, dy = bx - ax, by - ay
    length2 = dx * dx + dy * dy + 1e-12
    first_row, last_row = max(int(min(ay, by) - reach), 0), min(int(max(ay, by) + reach) + 1, BOX)
    first_column, last_column = max(int(min(ax, bx) - reach), 0), min(int(max(ax, bx) + reach) + 1, BOX)
    for r in range(first_row, last_row):
        for c in range(first_column, last_column):
            px, py = c + 0.5 - ax, r + 0.5 - ay
            along = min(max((px * dx + py * dy) / length2, 0.0), 1.0)
            ex, ey = px - along * dx, py - along * dy
            distance2 = ex * ex + ey * ey
            if distance2 < reach * reach:
                ink = min((reach - math.sqrt(distance2)) / edge, 1.0)
                page[r, c] = max(page[r, c], ink)


@kernel(inline=True)
def ink(curve, m, pen_down, pen, edge, page):
    """Draw the whole curve; the pressure (a factor near 1) widens and narrows the stroke."""
    page[:] = 0.0
    for i in range(1, m):
        if pen_down[i]:
            half = max(0.5 * pen * curve[i, 2], 0.45)
            ink_piece(page, curve[i - 1, 0], curve[i - 1, 1], curve[i, 0], curve[i, 1], half, edge)


@kernel(inline=True)
def centre(page, image):
    """Copy the page to the frame, moved by whole pixels so that the centre of mass lies in the middle, as in MNIST."""
    mass = row_mass = column_mass = 0.0
    for r in range(BOX):
        for c in range(BOX):
            mass += page[r, c]
            row_mass += page[r, c] * r
            column_mass += page[r, c] * c
    up = math.floor(row_mass / mass - CENTRE + 0.5)
    left = math.floor(column_mass / mass - CENTRE + 0.5)
    for r in range(FRAME):
        for c in range(FRAME):
            row, column = r + up, c + left
            inside = 0 <= row < BOX and 0 <= column < BOX
            image[r, c] = np.uint8(page[row, column] * 255.0 + 0.5) if inside else np.uint8(0)


@kernel(inline=True)
def draw_one(points, kinds, hand, waves, image):
    """One digit, stage by stage."""
    most = points.shape[0] + 1
    stroke, kind = np.empty((most, 3)), np.empty(most, np.uint8)
    curve, pen_down = np.empty((most * PIECES, 3)), np.empty(most * PIECES, np.bool_)
    page = np.empty((BOX, BOX))
    n = gather(points, kinds, stroke, kind)
    m = trace(stroke, kind, n, hand[ROUNDNESS], curve, pen_down)
    bend(curve, m, waves)
    pose(curve, m, hand)
    pen = fit(curve, m, hand)
    ink(curve, m, pen_down, pen, hand[EDGE], page)
    centre(page, image)


@kernel(parallel=True)
def draw_strokes(points, kinds, hand, waves, images):
    """Draw one digit per image.

    Args:
        points: control points x, y in the unit box (y down) and pressure as a factor of the stroke width, float64 (n, p, 3).
        kinds: SMOOTH, CORNER, START or ABSENT, uint8 (n, p); the first point present starts a stroke whatever its kind.
        hand: how the digit is held and written, float64 (n, 9): see the column names.
        waves: elastic waves, float64 (n, w, 5): see the column names.
        images: uint8 (n, 28, 28), overwritten; 255 is ink.
    """
    for i in prange(points.shape[0]):
        draw_one(points[i], kinds[i], hand[i], waves[i], images[i])
