"""Convolution on the CPU: a product of image patches and filters.

    y[n,i,j,f] = bias[f] + sum_{u,v,c} x[n, i*s-p+u*d, j*s-p+v*d, g*depth+c] * filters[u,v,c,f]

The filters have ``depth`` channels. An image has ``depth`` for each group: group g of the filters sees group g of the channels.

In pseudo-code:

    for each image n and output row i:                      a task owns y[n, i]
        for each group:
            patches[j] = the kh*kw*depth values under output cell j
            y[n, i, j, f] = bias[f] + patches[j] . filters[f]

Gradients are convolutions too. dx is dy, spread out by the stride and padded, convolved with the turned filters. dfilters is the
product of every input pixel with the dy it contributed to: a task owns one row of the filters, and sums images in a fixed order.
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.plain.matmul import add_dot_rows, fill_transposed, padded_length, transpose_batch
from numbacnn.backends.cpu.plain.reduction import WAVE, group_range, sum_groups, sum_in_waves, sum_rows


def conv2d(x, filters, bias, window):
    """See ``Ops.conv2d``."""
    if bias is None:
        bias = np.zeros(filters.shape[3], x.dtype)
    rows, columns = window
    padded = pad2d(x, rows.pad_before, rows.pad_after, columns.pad_before, columns.pad_after)
    return _correlate(padded, filters, bias, rows.stride, columns.stride, rows.dilation, columns.dilation)


def conv2d_backward(x, filters, dy, window, needs_dx, share):
    """See ``Ops.conv2d_backward``."""
    rows, columns = window
    padded = pad2d(x, rows.pad_before, rows.pad_after, columns.pad_before, columns.pad_after)
    dfilters = share.total(
        lambda branch: _filter_gradient(padded[branch.slice], dy[branch.slice], branch.groups, filters.shape, rows, columns)
    )
    dbias = sum_rows(dy, share)
    if not needs_dx:
        return None, dfilters, dbias
    spread = _spread(dy, window)
    zero = np.zeros(x.shape[3], x.dtype)
    turned = turned_filters(filters, x.shape[3] // filters.shape[2])
    return _correlate(spread, turned, zero, 1, 1, rows.dilation, columns.dilation), dfilters, dbias


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
def _correlate(x, filters, bias, row_stride, column_stride, row_dilation, column_dilation):
    """y[n,i,j,f] = bias[f] + sum_{u,v,c} x[n, i*sh+u*dh, j*sw+v*dw, g*depth+c] * filters[u,v,c,f]; x has been padded."""
    count, height, width, channels = x.shape
    kh, kw, depth, maps = filters.shape
    oh = (height - (kh - 1) * row_dilation - 1) // row_stride + 1
    ow = (width - (kw - 1) * column_dilation - 1) // column_stride + 1
    length, groups = padded_length(kh * kw * depth), channels // depth
    filter_rows = np.empty((maps, length), x.dtype)
    fill_transposed(filters.reshape(kh * kw * depth, maps), filter_rows)
    # In NHWC, the cells of a line are contiguous: without gaps and groups, the kw cells of a filter's row are one run.
    is_one_run = groups == 1 and column_dilation == 1
    runs, run = (1, kw * channels) if is_one_run else (kw, depth)
    lines = x.reshape(count, height, width * channels)
    y = np.empty((count, oh, ow, maps), x.dtype)
    for task in prange(count * oh):
        n = task // oh
        i = task - n * oh
        patches = np.zeros((ow, length), x.dtype)
        fill_rows(bias, y[n, i])
        for g in range(groups):
            tops = i * row_stride, i * row_stride + (kh - 1) * row_dilation + 1, row_dilation
            starts = g * depth, column_stride * channels, column_dilation * channels
            _gather_patches(lines[n], tops, starts, runs, run, patches)
            first, stop = g * maps // groups, (g + 1) * maps // groups
            add_dot_rows(patches, filter_rows[first:stop], y[n, i, :, first:stop])
    return y


@kernel(inline=True)
def _gather_patches(lines, tops, starts, runs, run, patches):
    """Fill patch j with ``runs`` runs of ``run`` values of each line in range(*tops).

    The runs begin at first + j*step, first + j*step + jump, ... if ``starts`` is (first, step, jump).
    """
    (top, stop, row_dilation), (first, step, jump) = tops, starts
    for j in range(patches.shape[0]):
        filled = 0
        for r in range(top, stop, row_dilation):
            for v in range(runs):
                start = first + j * step + v * jump
                copy_run(lines[r, start : start + run], patches[j, filled : filled + run])
                filled += run


@kernel(inline=True)
def fill_rows(row, out):
    """Every row of ``out`` becomes ``row``."""
    for j in range(out.shape[0]):
        for f in range(row.shape[0]):
            out[j, f] = row[f]


@kernel(parallel=True)
def turned_filters(filters, groups):
    """Filters for the input's gradient: turned by 180 degrees, inputs and outputs of each group exchanged.

    (kh, kw, depth, f) to (kh, kw, f / groups, depth * groups)
    """
    kh, kw, depth, maps = filters.shape
    out = np.empty((kh, kw, maps // groups, depth * groups), filters.dtype)
    for cell in prange(kh * kw):
        u = cell // kw
        v = cell - u * kw
        for g in range(groups):
            first, stop = g * maps // groups, (g + 1) * maps // groups
            fill_transposed(filters[kh - 1 - u, kw - 1 - v, :, first:stop], out[u, v, :, g * depth : (g + 1) * depth])
    return out


def _spread(dy, window):
    """dy with stride-1 zeros between its cells, and enough around it that a plain convolution has dx's size."""
    rows, columns = window
    top, left = rows.span - 1 - rows.pad_before, columns.span - 1 - columns.pad_before
    height, width = rows.size + rows.span - 1, columns.size + columns.span - 1
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


def _filter_gradient(x, dy, groups, shape, rows, columns):
    """dfilters[u,v,c,f] = sum_{n,i,j} x[n, i*sh+u*dh, j*sw+v*dw, g*depth+c] * dy[n,i,j,f]; x has been padded."""
    count, height, width, channels = x.shape
    _, oh, ow, maps = dy.shape
    planes = transpose_batch(x.reshape(count, height * width, channels))
    dy_planes = transpose_batch(dy.reshape(count, oh * ow, maps))
    strides, dilations = (rows.stride, columns.stride), (rows.dilation, columns.dilation)
    own = planes, width, dy_planes, (oh, ow), shape[:3], strides, dilations, groups
    return sum_in_waves(groups, lambda wave: _filter_gradient_of_planes(*own, wave))


@kernel(parallel=True)
def _filter_gradient_of_planes(planes, width, dy_planes, out, filter_shape, strides, dilations, groups, wave):
    """The same on planes (n, channel, pixels), where a sum over pixels runs along memory, for a wave of groups of images."""
    count, channels, _ = planes.shape
    kh, kw, depth = filter_shape
    maps, pixels = dy_planes.shape[1], dy_planes.shape[2]
    channel_groups, size = channels // depth, min(WAVE, groups)
    parts = np.zeros((size, kh, kw * depth, maps), planes.dtype)
    for task in prange(size * kh):
        group = task // kh
        u = task - group * kh
        operands = np.zeros((kw * depth, pixels), planes.dtype)
        first, stop = group_range(wave + group, groups, count)
        for n in range(first, stop):
            for g in range(channel_groups):
                own = planes[n, g * depth : (g + 1) * depth]
                _gather_operands(own, width, u * dilations[0], out, kw, strides, dilations[1], operands)
                left, right = g * maps // channel_groups, (g + 1) * maps // channel_groups
                add_dot_rows(operands, dy_planes[n, left:right], parts[group, u, :, left:right])
    return sum_groups(parts.reshape(size, kh * kw * depth * maps)).reshape(kh, kw, depth, maps)


@kernel(inline=True)
def _gather_operands(planes, width, top, out, kw, strides, column_dilation, operands):
    """operands[v*c + channel, i*ow + j] = the pixel, ``top`` rows down, that filter column v multiplies for output cell (i, j)."""
    channels, (oh, ow) = planes.shape[0], out
    for v in range(kw):
        for c in range(channels):
            plane, row = planes[c], operands[v * channels + c]
            for i in range(oh):
                first = (i * strides[0] + top) * width + v * column_dilation
                last = first + (ow - 1) * strides[1]
                copy_run(plane[first : last + 1 : strides[1]], row[i * ow : (i + 1) * ow])
