"""Convolution on the CPU: a product of image patches and filters.

    y[n,i,j,f] = bias[f] + sum_{u,v,c} x[n, i*s-p+u, j*s-p+v, c] * filters[u,v,c,f]

In pseudo-code:

    for each image n and output row i:                      a task owns y[n, i]
        patches[j] = the kh*kw*c values under output cell j
        y[n, i, j, f] = bias[f] + patches[j] . filters[f]

Gradients are convolutions too. dx is dy, spread out by the stride and padded, convolved with the turned filters. dfilters is the
product of every input pixel with the dy it contributed to: a task owns one row of the filters, and sums images in a fixed order.
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.plain.matmul import add_dot_rows, fill_transposed, padded_length, transpose_batch
from numbacnn.backends.cpu.plain.reduction import GROUPS, group_count, group_range, sum_groups, sum_rows


def conv2d(x, filters, bias, window):
    """See ``Ops.conv2d``."""
    if bias is None:
        bias = np.zeros(filters.shape[3], x.dtype)
    rows, columns = window
    padded = pad2d(x, rows.pad_before, rows.pad_after, columns.pad_before, columns.pad_after)
    return _correlate(padded, filters, bias, rows.stride, columns.stride)


def conv2d_backward(x, filters, dy, window, needs_dx):
    """See ``Ops.conv2d_backward``."""
    rows, columns = window
    padded = pad2d(x, rows.pad_before, rows.pad_after, columns.pad_before, columns.pad_after)
    dfilters = _filter_gradient(padded, dy, filters.shape[0], filters.shape[1], rows.stride, columns.stride)
    dbias = sum_rows(dy)
    if not needs_dx:
        return None, dfilters, dbias
    spread = _spread(dy, window)
    zero = np.zeros(filters.shape[2], x.dtype)
    return _correlate(spread, turned_filters(filters), zero, 1, 1), dfilters, dbias


def pad2d(x, top, bottom, left, right):
    """Zeros around each image; the image itself where there is nothing to add."""
    if top == bottom == left == right == 0:
        return x
    count, height, width, channels = x.shape
    padded = (height + top + bottom, width + left + right)
    lines = _pad_lines(x.reshape(count, height, width * channels), top, left * channels, padded[0], padded[1] * channels)
    return lines.reshape(count, *padded, channels)


@kernel(parallel=True)
def _pad_lines(lines, top, left, height, length):
    """Copy each line of an image to its position among zeros."""
    y = np.zeros((lines.shape[0], height, length), lines.dtype)
    for n in prange(lines.shape[0]):
        for r in range(lines.shape[1]):
            copy_run(lines[n, r], y[n, top + r, left : left + lines.shape[2]])
    return y


@kernel(inline=True)
def copy_run(source, target):
    """Copy a row. The caller slices: without negative indices the loop vectorises."""
    for k in range(target.shape[0]):
        target[k] = source[k]


@kernel(parallel=True)
def _correlate(x, filters, bias, row_stride, column_stride):
    """y[n,i,j,f] = bias[f] + sum_{u,v,c} x[n, i*sh+u, j*sw+v, c] * filters[u,v,c,f]; x has been padded."""
    count, height, width, channels = x.shape
    kh, kw, _, maps = filters.shape
    oh, ow = (height - kh) // row_stride + 1, (width - kw) // column_stride + 1
    length = padded_length(kh * kw * channels)
    filter_rows = np.empty((maps, length), x.dtype)
    fill_transposed(filters.reshape(kh * kw * channels, maps), filter_rows)
    lines = x.reshape(count, height, width * channels)
    y = np.empty((count, oh, ow, maps), x.dtype)
    for task in prange(count * oh):
        n = task // oh
        i = task - n * oh
        patches = np.zeros((ow, length), x.dtype)
        _gather_patches(lines[n], i * row_stride, column_stride * channels, kh, kw * channels, patches)
        fill_rows(bias, y[n, i])
        add_dot_rows(patches, filter_rows, y[n, i])
    return y


@kernel(inline=True)
def _gather_patches(lines, top, step, kh, run, patches):
    """Fill patch j with kh runs of ``run`` values that start at j*step of kh lines. In NHWC a line's cells are contiguous."""
    for j in range(patches.shape[0]):
        start = j * step
        for u in range(kh):
            copy_run(lines[top + u, start : start + run], patches[j, u * run : (u + 1) * run])


@kernel(inline=True)
def fill_rows(row, out):
    """Every row of ``out`` becomes ``row``."""
    for j in range(out.shape[0]):
        for f in range(row.shape[0]):
            out[j, f] = row[f]


@kernel(parallel=True)
def turned_filters(filters):
    """Filters for the input's gradient: turned by 180 degrees, inputs and outputs exchanged, (kh, kw, c, f) to (kh, kw, f, c)."""
    kh, kw, channels, maps = filters.shape
    out = np.empty((kh, kw, maps, channels), filters.dtype)
    for cell in prange(kh * kw):
        u = cell // kw
        v = cell - u * kw
        fill_transposed(filters[kh - 1 - u, kw - 1 - v], out[u, v])
    return out


def _spread(dy, window):
    """dy with stride-1 zeros between its cells, and enough around it that a plain convolution has dx's size."""
    rows, columns = window
    top, left = rows.kernel - 1 - rows.pad_before, columns.kernel - 1 - columns.pad_before
    height, width = rows.size + rows.kernel - 1, columns.size + columns.kernel - 1
    bottom, right = height - top - rows.out, width - left - columns.out
    if rows.stride == columns.stride == 1 and min(top, bottom, left, right) >= 0:
        return pad2d(dy, top, bottom, left, right)
    return _spread_cells(dy, rows.stride, columns.stride, top, left, height, width)


@kernel(parallel=True)
def _spread_cells(dy, row_stride, column_stride, top, left, height, width):
    """Copy cell (i, j) to (top + i*sh, left + j*sw). A cell that falls outside saw padding only, so no pixel needs it."""
    count, oh, ow, maps = dy.shape
    y = np.zeros((count, height, width, maps), dy.dtype)
    for n in prange(count):
        for i in range(oh):
            for j in range(ow):
                r, q = top + i * row_stride, left + j * column_stride
                if 0 <= r < height and 0 <= q < width:
                    for f in range(maps):
                        y[n, r, q, f] = dy[n, i, j, f]
    return y


def _filter_gradient(x, dy, kh, kw, row_stride, column_stride):
    """dfilters[u,v,c,f] = sum_{n,i,j} x[n, i*sh+u, j*sw+v, c] * dy[n,i,j,f]; x has been padded."""
    count, height, width, channels = x.shape
    _, oh, ow, maps = dy.shape
    planes = transpose_batch(x.reshape(count, height * width, channels))
    dy_planes = transpose_batch(dy.reshape(count, oh * ow, maps))
    return _filter_gradient_of_planes(planes, width, dy_planes, oh, ow, kh, kw, row_stride, column_stride)


@kernel(parallel=True)
def _filter_gradient_of_planes(planes, width, dy_planes, oh, ow, kh, kw, row_stride, column_stride):
    """The same on planes (n, channel, pixels), where a sum over pixels runs along memory."""
    count, channels, _ = planes.shape
    maps, pixels = dy_planes.shape[1], dy_planes.shape[2]
    groups = group_count(GROUPS, count)
    parts = np.zeros((groups, kh, kw * channels, maps), planes.dtype)
    for task in prange(groups * kh):
        group = task // kh
        u = task - group * kh
        operands = np.zeros((kw * channels, pixels), planes.dtype)
        first, stop = group_range(group, groups, count)
        for n in range(first, stop):
            _gather_operands(planes[n], width, u, oh, ow, kw, row_stride, column_stride, operands)
            add_dot_rows(operands, dy_planes[n], parts[group, u])
    return sum_groups(parts.reshape(groups, kh * kw * channels * maps)).reshape(kh, kw, channels, maps)


@kernel(inline=True)
def _gather_operands(planes, width, u, oh, ow, kw, row_stride, column_stride, operands):
    """operands[v*c + channel, i*ow + j] = the pixel that filter cell (u, v) of this channel multiplies for output cell (i, j)."""
    channels = planes.shape[0]
    for v in range(kw):
        for c in range(channels):
            plane, row = planes[c], operands[v * channels + c]
            for i in range(oh):
                first = (i * row_stride + u) * width + v
                last = first + (ow - 1) * column_stride
                copy_run(plane[first : last + 1 : column_stride], row[i * ow : (i + 1) * ow])
