"""Dense layers on the GPU: three matrix products, each by the loop of ``product.py``.

y = x W + b        k runs along the rows of x, and down W
dx = dy W^T        k runs along the rows of dy, and of W
dW = x^T dy        k runs down x and dy: over the images of the batch

A matrix is read by two steps, from row to row and from term to term, one of which is 1: so a transposed one is nothing special.

Only the optimiser reads the gradient of W, and only once. So an update can be the epilogue of that product: each thread applies the rule
of ``updates.py`` to its own weights, with the sums in its registers, and the gradient is never written to memory.
"""

import math
from typing import NamedTuple

import numpy as np

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, device_function, kernel
from numbacnn.backends.cuda.launch import blocks_of
from numbacnn.backends.cuda.memory import arena, zeros
from numbacnn.backends.cuda.plain import updates
from numbacnn.backends.cuda.plain.updates import adam_rule, momentum_rule, sgd_rule
from numbacnn.backends.cuda.tiled.product import (
    HALF_ROWS,
    TILES,
    Matrix,
    add_parts,
    balanced_tile,
    check_offsets,
    grid_of,
    load_term,
    make_product,
    my_slice,
    named,
    read_four,
    rectified,
    row_offsets,
    tile_for,
    write_four,
)
from numbacnn.backends.cuda.tiled.vectors import WIDTH
from numbacnn.backends.precisions import PRECISIONS
from numbacnn.values import Update

WRITE = "write"
"""Write the product, in place of an update of weights."""


class Layout(NamedTuple):
    """The sizes and steps of out[m, n] = sum_k a[m*a_row + k*a_term] * b[n*b_row + k*b_term]."""

    rows: int
    columns: int
    terms: int
    a_row: int
    a_term: int
    b_row: int
    b_term: int


def dense(x, weights, bias, relu, precision):
    """See ``Ops.dense``."""
    (count, terms), units = x.shape, weights.shape[1]
    return _multiply(x, weights, Layout(count, units, terms, terms, 1, 1, units), bias, relu, precision)


def input_gradient(dy, weights, precision):
    """dx = dy @ weights.T"""
    terms, units = weights.shape
    return _multiply(dy, weights, Layout(dy.shape[0], terms, units, units, 1, units, 1), None, False, precision)


def weight_gradient(x, dy, precision):
    """dW = x.T @ dy"""
    return _multiply(x, dy, _gradient_of(x, dy), None, False, precision)


def update(parameter, slots, x, dy, rule, check, precision):
    """``Ops.update`` with the gradient x.T @ dy, which is not written to memory unless its sums are cut into parts."""
    layout = _gradient_of(x, dy)
    tile = tile_of(layout)
    grid, terms_per_part = grid_of(tile, *layout[:3])
    if grid[2] > 1:
        updates.update_all([Update(parameter, slots, weight_gradient(x, dy, precision))], rule, check)
        return
    tile = balanced_tile(layout.rows, layout.columns, row_step=layout.a_row)
    grid = (blocks_of(layout.rows, tile.rows), blocks_of(layout.columns, tile.columns), 1)
    flat, *flat_slots = (array.reshape(-1) for array in (parameter, *slots))
    arguments = (*flat_slots, *updates.numbers_of(rule, parameter.dtype), *updates.loss_of(check))
    args = x.reshape(-1), dy.reshape(-1), layout, terms_per_part, flat, arguments
    launch.blocks(_KERNELS[tile, precision, rule.kind], grid, tile.threads, *args)


def _gradient_of(x, dy):
    (count, terms), units = x.shape, dy.shape[1]
    return Layout(terms, units, count, 1, terms, 1, units)


def tile_of(layout):
    """The tile of a product. Raises DeviceError if it would reach too far into a factor."""
    tile = tile_for(layout.rows, layout.columns, layout.a_row)
    down, across = min(tile.rows, layout.rows) - 1, min(tile.columns, layout.columns) - 1
    check_offsets("dense", max(down * layout.a_row, across * layout.b_row))
    return tile


def _multiply(a, b, layout, bias, relu, precision):
    """The product plus ``bias``, then ReLU; long sums in parts."""
    rows, columns, terms = layout[:3]
    bias = zeros(columns, a.dtype) if bias is None else bias
    out = arena.empty((rows, columns), a.dtype)
    tile = tile_of(layout)
    grid, terms_per_part = grid_of(tile, rows, columns, terms)
    args = grid, tile.threads, a.reshape(-1), b.reshape(-1), layout, terms_per_part
    if grid[2] == 1:
        launch.blocks(_KERNELS[tile, precision, WRITE], *args, out.reshape(-1), (bias, relu))
        return out
    parts = arena.empty((grid[2], rows, columns), a.dtype)
    launch.blocks(_KERNELS[tile, precision, WRITE], *args, parts.reshape(-1), (zeros(columns, a.dtype), False))
    return add_parts(parts, bias, relu, out)


@device_function
def _load_a(values, a, position, is_present):
    load_term(values, a.matrix, position[0], a.offsets, is_present)


@device_function
def _load_b(values, b, position, is_present):
    load_term(values, b.matrix, position[1], b.offsets, is_present)


@device_function
def _advance(position, a, b, steps):
    return position[0] + steps * a.step, position[1] + steps * b.step


# Epilogues: sums[0, s] and the next three belong to out[offset] and so on, in a row with ``count`` values left.


@device_function
def _write(sums, s, out, offset, n, count, columns, arguments):
    bias, relu = arguments
    values = cuda.local.array(WIDTH, out.dtype)
    biases = cuda.local.array(WIDTH, out.dtype)
    read_four(biases, bias, n, count, columns)
    for i in range(WIDTH):
        values[i] = rectified(sums[0, s + i] + biases[i], relu)
    write_four(values, out, offset, count, columns)


@device_function
def _apply_sgd(sums, s, parameter, offset, n, count, columns, arguments):
    learning_rate = arguments[0]
    w = cuda.local.array(WIDTH, parameter.dtype)
    read_four(w, parameter, offset, count, columns)
    for i in range(WIDTH):
        sgd_rule(w, i, sums[0, s + i], learning_rate)
    write_four(w, parameter, offset, count, columns)


@device_function
def _apply_momentum(sums, s, parameter, offset, n, count, columns, arguments):
    velocity, learning_rate, momentum = arguments[:3]
    w = cuda.local.array(WIDTH, parameter.dtype)
    speed = cuda.local.array(WIDTH, parameter.dtype)
    read_four(w, parameter, offset, count, columns)
    read_four(speed, velocity, offset, count, columns)
    for i in range(WIDTH):
        momentum_rule(w, speed, i, sums[0, s + i], learning_rate, momentum)
    write_four(w, parameter, offset, count, columns)
    write_four(speed, velocity, offset, count, columns)


@device_function
def _apply_adam(sums, s, parameter, offset, n, count, columns, arguments):
    m, v, step_size, new1, new2, epsilon = arguments[:6]
    w = cuda.local.array(WIDTH, parameter.dtype)
    mean = cuda.local.array(WIDTH, parameter.dtype)
    square = cuda.local.array(WIDTH, parameter.dtype)
    read_four(w, parameter, offset, count, columns)
    read_four(mean, m, offset, count, columns)
    read_four(square, v, offset, count, columns)
    for i in range(WIDTH):
        adam_rule(w, mean, square, i, sums[0, s + i], step_size, new1, new2, epsilon)
    write_four(w, parameter, offset, count, columns)
    write_four(mean, m, offset, count, columns)
    write_four(square, v, offset, count, columns)


def _make_epilogue(use_four):
    @device_function
    def epilogue(sums, s, r, m, n, out):
        array, layout, arguments = out
        if m < layout.rows and n < layout.columns:
            count, offset = layout.columns - n, (cuda.blockIdx.z * layout.rows + m) * layout.columns + n
            use_four(sums, s, array, offset, n, count, layout.columns, arguments)

    return epilogue


_EPILOGUES = {WRITE: _write, "sgd": _apply_sgd, "momentum": _apply_momentum, "adam": _apply_adam}
"""Uses of a product's sums, by ``WRITE`` or ``Rule.kind``."""


def _make_kernel(tile, precision, use):
    rows, columns, depth = tile[:3]
    lanes, a_count, b_count = tile.lanes, tile.loads(rows), tile.loads(columns)
    is_update = use != WRITE
    product = make_product(tile, precision, _load_a, _load_b, _advance, _make_epilogue(_EPILOGUES[use]))

    @kernel
    @named(precision)
    def _product(a, b, layout, terms_per_part, out, arguments):
        """A block owns a tile of ``out`` (x, y) and one part of the sum (z).

        Args:
            a, b, out: flat.
            layout: see ``Layout``.
            terms_per_part: terms that a block sums.
            arguments: of the epilogue. To write: bias and relu. To update: slots and numbers of the rule, losses and step.
        """
        if is_update and not math.isfinite(arguments[-2][arguments[-1]]):
            return  # nothing can be learned from this step
        t = cuda.threadIdx.x
        top, left = cuda.blockIdx.x * rows, cuda.blockIdx.y * columns
        first = cuda.blockIdx.z * terms_per_part
        stop = min(first + terms_per_part, layout.terms)
        a_offsets = cuda.local.array(a_count, np.int32)
        b_offsets = cuda.local.array(b_count, np.int32)
        a_term, a_row = my_slice(t, layout.a_term == 1, depth, lanes)
        b_term, b_row = my_slice(t, layout.b_term == 1, depth, lanes)
        row_offsets(a_offsets, a_row, lanes, layout.rows - 1 - top, layout.a_row)
        row_offsets(b_offsets, b_row, lanes, layout.columns - 1 - left, layout.b_row)
        a_offset = top * layout.a_row + (first + a_term) * layout.a_term
        b_offset = left * layout.b_row + (first + b_term) * layout.b_term
        product(
            Matrix(a, a_offsets, layout.a_term), Matrix(b, b_offsets, layout.b_term),
            (a_term, a_row), (b_term, b_row), (a_offset, b_offset), first, stop, (out, layout, arguments),
        )  # fmt: skip

    return _product


_KERNELS = {
    (tile, precision, use): _make_kernel(tile, precision, use)
    for precision in PRECISIONS
    for use in _EPILOGUES
    for tile in (TILES if use == WRITE else dict.fromkeys(TILES + HALF_ROWS))
}
