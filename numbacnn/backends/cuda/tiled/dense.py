"""Dense layers on the GPU: three matrix products by one kernel, which is the one that ``tiles.py`` explains.

y = x W + b        k runs along the rows of x, and down W
dx = dy W^T        k runs along the rows of dy, and of W
dW = x^T dy        k runs down x and dy: over the images of the batch

A matrix is read by two steps, from row to row and from term to term, one of which is 1: so a transposed one is nothing special.

The gradient of W is met again by the optimiser alone, once. So an update can be the end of that product: each thread, its sums in
registers, applies the rule of ``updates.py`` to the weights they belong to, and the gradient is never written down.
"""

import math
from typing import NamedTuple

import numpy as np

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, device_function, kernel
from numbacnn.backends.cuda.memory import arena
from numbacnn.backends.cuda.plain import updates
from numbacnn.backends.cuda.plain.conv2d import zeros
from numbacnn.backends.cuda.plain.updates import adam_rule, momentum_rule, sgd_rule
from numbacnn.backends.cuda.tiled.product import (
    PAD,
    TILES,
    WIDTH,
    add_parts,
    clear,
    fetch,
    grid_of,
    keep,
    multiply,
    next_row,
    place_rows,
    read_four,
    rectified,
    share,
    tile_for,
    write_four,
)
from numbacnn.backends.cuda.tiled.vectors import ALIGNED

WRITE, SGD, MOMENTUM, ADAM = range(4)
"""What a product does with its result: write it down, or update weights at once."""

RULES = {"sgd": SGD, "momentum": MOMENTUM, "adam": ADAM}
"""By ``Rule.kind``."""


class Layout(NamedTuple):
    """The sizes and steps of out[m, n] = sum_k a[m*a_row + k*a_term] * b[n*b_row + k*b_term]."""

    rows: int
    columns: int
    terms: int
    a_row: int
    a_term: int
    b_row: int
    b_term: int


def dense(x, weights, bias, relu):
    """See ``Ops.dense``."""
    (count, terms), units = x.shape, weights.shape[1]
    return _multiply(x, weights, Layout(count, units, terms, terms, 1, 1, units), bias, relu)


def input_gradient(dy, weights):
    """dx = dy @ weights.T"""
    terms, units = weights.shape
    return _multiply(dy, weights, Layout(dy.shape[0], terms, units, units, 1, units, 1), None, False)


def weight_gradient(x, dy):
    """dW = x.T @ dy"""
    return _multiply(x, dy, _gradient_of(x, dy), None, False)


def update(parameter, slots, x, dy, rule, check):
    """``updates.update`` with the gradient x.T @ dy, which is never written down where one launch takes whole sums."""
    layout = _gradient_of(x, dy)
    tile = tile_for(*layout[:2])
    grid, each = grid_of(tile, *layout[:3])
    if grid[2] > 1:  # few tiles and long sums, which are taken in parts
        updates.update(parameter, slots, weight_gradient(x, dy), rule, check)
        return
    flat, *flat_slots = (array.reshape(-1) for array in (parameter, *slots))
    end = (*flat_slots, *updates.numbers_of(rule, parameter.dtype), *updates.loss_of(check))
    product = _KERNELS[tile, RULES[rule.kind]]
    launch.blocks(product, grid, tile.threads, x.reshape(-1), dy.reshape(-1), layout, each, flat, end)


def _gradient_of(x, dy):
    (count, terms), units = x.shape, dy.shape[1]
    return Layout(terms, units, count, 1, terms, 1, units)


def _multiply(a, b, layout, bias, relu):
    """The product, in parts if it must be, plus ``bias``, then ReLU."""
    rows, columns, terms = layout[:3]
    bias = zeros(columns, a.dtype) if bias is None else bias
    out = arena.empty((rows, columns), a.dtype)
    tile = tile_for(rows, columns)
    grid, each = grid_of(tile, rows, columns, terms)
    args = grid, tile.threads, a.reshape(-1), b.reshape(-1), layout, each
    if grid[2] == 1:
        launch.blocks(_KERNELS[tile, WRITE], *args, out.reshape(-1), (bias, relu))
        return out
    parts = arena.empty((grid[2], rows, columns), a.dtype)
    launch.blocks(_KERNELS[tile, WRITE], *args, parts.reshape(-1), (zeros(columns, a.dtype), False))
    return add_parts(parts, bias, relu, out)


def _make_product(tile, use):
    rows, columns, depth, thread_rows, thread_columns = tile
    across, lanes = tile.across, tile.lanes
    a_size, b_size, a_each, b_each = tile.slices(rows), tile.slices(columns), rows // lanes, columns // lanes
    a_step, b_step = rows + PAD, columns + PAD
    own = thread_rows, thread_columns

    @kernel
    def _product(a, b, layout, each, out, end):
        """A block owns a tile of ``out`` (x, y) and one part of the sum (z).

        Args:
            a, b, out: flat.
            layout: see ``Layout``.
            each: terms of a part.
            end: what is done with the result. WRITE: bias and relu. Else slots and numbers of the rule, and the loss.
        """
        if use != WRITE and not math.isfinite(end[-2][end[-1]]):
            return  # the loss of this step is none to learn from
        t = cuda.threadIdx.x
        top, left = cuda.blockIdx.x * rows, cuda.blockIdx.y * columns
        first = cuda.blockIdx.z * each
        stop = min(first + each, layout.terms)
        a_slices = cuda.shared.array(a_size, a.dtype, ALIGNED)
        b_slices = cuda.shared.array(b_size, a.dtype, ALIGNED)
        a_values = cuda.local.array(a_each, a.dtype)
        b_values = cuda.local.array(b_each, a.dtype)
        a_places = cuda.local.array(a_each, np.int32)
        b_places = cuda.local.array(b_each, np.int32)
        a_now = cuda.local.array(thread_rows, a.dtype)
        b_now = cuda.local.array(thread_columns, a.dtype)
        sums = cuda.local.array(own, a.dtype)

        a_k, a_row = share(t, layout.a_term == 1, depth, lanes)
        b_k, b_row = share(t, layout.b_term == 1, depth, lanes)
        place_rows(a_places, a_row, lanes, layout.rows - 1 - top, layout.a_row)
        place_rows(b_places, b_row, lanes, layout.columns - 1 - left, layout.b_row)
        a_at = top * layout.a_row + (first + a_k) * layout.a_term
        b_at = left * layout.b_row + (first + b_k) * layout.b_term
        row, column = t // across * thread_rows, t % across * WIDTH

        clear(sums)
        fetch(a_values, a, a_at, a_places, first + a_k < stop)
        fetch(b_values, b, b_at, b_places, first + b_k < stop)
        half = 0
        k = first
        while k < stop:
            keep(a_values, a_slices, (half + a_k) * a_step + a_row, lanes)
            keep(b_values, b_slices, (half + b_k) * b_step + b_row, lanes)
            cuda.syncthreads()
            k += depth
            a_at += depth * layout.a_term
            b_at += depth * layout.b_term
            fetch(a_values, a, a_at, a_places, k + a_k < stop)
            fetch(b_values, b, b_at, b_places, k + b_k < stop)
            multiply(a_slices, half * a_step + row, b_slices, half * b_step + column, tile, a_now, b_now, sums)
            half = depth - half

        for r in range(thread_rows):
            m = top + row + r
            for s in range(0, thread_columns, WIDTH):
                n = left + column + s * across
                if m < layout.rows and n < layout.columns:
                    count, at = layout.columns - n, (cuda.blockIdx.z * layout.rows + m) * layout.columns + n
                    if use == WRITE:
                        _write(sums, s, out, at, n, count, layout.columns, end)
                    elif use == SGD:
                        _step_sgd(sums, s, out, at, count, layout.columns, end)
                    elif use == MOMENTUM:
                        _step_momentum(sums, s, out, at, count, layout.columns, end)
                    else:
                        _step_adam(sums, s, out, at, count, layout.columns, end)
            next_row(sums)

    return _product


# What becomes of four neighbours of the result, sums[0, s] and the next three: they are for out[at] and so on.


@device_function
def _write(sums, s, out, at, n, count, columns, end):
    bias, relu = end
    values = cuda.local.array(WIDTH, out.dtype)
    offsets = cuda.local.array(WIDTH, out.dtype)
    read_four(offsets, bias, n, count, columns)
    for i in range(WIDTH):
        values[i] = rectified(sums[0, s + i] + offsets[i], relu)
    write_four(values, out, at, count, columns)


@device_function
def _step_sgd(sums, s, parameter, at, count, columns, end):
    learning_rate = end[0]
    w = cuda.local.array(WIDTH, parameter.dtype)
    read_four(w, parameter, at, count, columns)
    for i in range(WIDTH):
        sgd_rule(w, i, sums[0, s + i], learning_rate)
    write_four(w, parameter, at, count, columns)


@device_function
def _step_momentum(sums, s, parameter, at, count, columns, end):
    velocity, learning_rate, momentum = end[:3]
    w = cuda.local.array(WIDTH, parameter.dtype)
    old = cuda.local.array(WIDTH, parameter.dtype)
    read_four(w, parameter, at, count, columns)
    read_four(old, velocity, at, count, columns)
    for i in range(WIDTH):
        momentum_rule(w, old, i, sums[0, s + i], learning_rate, momentum)
    write_four(w, parameter, at, count, columns)
    write_four(old, velocity, at, count, columns)


@device_function
def _step_adam(sums, s, parameter, at, count, columns, end):
    m, v, step_size, new1, new2, epsilon = end[:6]
    w = cuda.local.array(WIDTH, parameter.dtype)
    mean = cuda.local.array(WIDTH, parameter.dtype)
    square = cuda.local.array(WIDTH, parameter.dtype)
    read_four(w, parameter, at, count, columns)
    read_four(mean, m, at, count, columns)
    read_four(square, v, at, count, columns)
    for i in range(WIDTH):
        adam_rule(w, mean, square, i, sums[0, s + i], step_size, new1, new2, epsilon)
    write_four(w, parameter, at, count, columns)
    write_four(mean, m, at, count, columns)
    write_four(square, v, at, count, columns)


_KERNELS = {(tile, use): _make_product(tile, use) for tile in TILES for use in (WRITE, SGD, MOMENTUM, ADAM)}
