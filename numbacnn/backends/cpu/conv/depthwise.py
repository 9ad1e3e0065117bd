"""Depthwise convolution in float32: each filter sees one channel, so there is no product of matrices.

    y[n,i,j,c*m+k] = bias[c*m+k] + sum_{u,v} x[n, i*s-p+u*d, j*s-p+v*d, c] * filters[u,v,0,c*m+k]          m filters for each channel

A task owns one row of an image, or of a filter. The loop over channels is the innermost: in NHWC it runs along memory, and vectorises.
Nothing is padded: cells outside of the image are left out.
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.codegen.vectors import multiply_add
from numbacnn.backends.cpu.plain.reduction import RUN, group_range, sum_groups, sum_rows


def conv2d(x, filters, bias, window):
    """See ``Ops.conv2d``."""
    rows, columns = window
    bias = np.zeros(filters.shape[3], x.dtype) if bias is None else bias
    y = arena.empty((len(x), rows.out, columns.out, filters.shape[3]), x.dtype)
    _correlate(x, filters.reshape(*filters.shape[:2], -1), bias, rows, columns, y)
    return y


def conv2d_backward(x, filters, dy, window, needs_dx, share):
    """See ``Ops.conv2d_backward``."""
    rows, columns = window
    sums = share.total(lambda branch: _filter_gradient(x[branch.slice], dy[branch.slice], branch.groups, rows, columns))
    dfilters = sums.astype(np.float32).reshape(filters.shape)
    dx = arena.like(x) if needs_dx else None
    if needs_dx:
        _input_gradient(dy, filters.reshape(*filters.shape[:2], -1), rows, columns, dx)
    return dx, dfilters, sum_rows(dy, share)


@kernel(inline=True)
def _add_products(pixel, weights, out):
    """out[c*m+k] += pixel[c] * weights[c*m+k]"""
    channels = pixel.shape[0]
    if out.shape[0] == channels:
        for c in range(channels):
            out[c] = multiply_add(pixel[c], weights[c], out[c])
    else:
        multiplier = out.shape[0] // channels
        for c in range(channels):
            for f in range(c * multiplier, (c + 1) * multiplier):
                out[f] = multiply_add(pixel[c], weights[f], out[f])


@kernel(inline=True)
def _add_sums(dy, weights, out):
    """out[c] += sum_k dy[c*m+k] * weights[c*m+k]"""
    channels = out.shape[0]
    if dy.shape[0] == channels:
        for c in range(channels):
            out[c] = multiply_add(dy[c], weights[c], out[c])
    else:
        multiplier = dy.shape[0] // channels
        for c in range(channels):
            for f in range(c * multiplier, (c + 1) * multiplier):
                out[c] = multiply_add(dy[f], weights[f], out[c])


@kernel(inline=True)
def _inside(v, axis):
    """The outputs whose cell ``v`` of the window lies inside the image: the first one, one past the last."""
    offset = v * axis.dilation - axis.pad_before
    first = max(0, (axis.stride - 1 - offset) // axis.stride)
    return first, min(axis.out, max(first, (axis.size - 1 - offset) // axis.stride + 1))


@kernel(parallel=True)
def _correlate(x, filters, bias, rows, columns, y):
    for task in prange(y.shape[0] * rows.out):
        n = task // rows.out
        i = task - n * rows.out
        for j in range(columns.out):
            out = y[n, i, j]
            for f in range(bias.shape[0]):
                out[f] = bias[f]
        for u in range(rows.kernel):
            r = i * rows.stride - rows.pad_before + u * rows.dilation
            if 0 <= r < rows.size:
                for v in range(columns.kernel):
                    first, stop = _inside(v, columns)
                    for j in range(first, stop):
                        q = j * columns.stride - columns.pad_before + v * columns.dilation
                        _add_products(x[n, r, q], filters[u, v], y[n, i, j])


@kernel(parallel=True)
def _input_gradient(dy, filters, rows, columns, dx):
    """dx[n,r,q,c] = the sum over the cells (i,u), (j,v) that meet at (r,q), and k, of dy[n,i,j,c*m+k] * filters[u,v,c*m+k]"""
    for task in prange(dx.shape[0] * rows.size):
        n = task // rows.size
        r = task - n * rows.size
        for q in range(columns.size):
            out = dx[n, r, q]
            for c in range(dx.shape[3]):
                out[c] = 0
        for u in range(rows.kernel):
            position = r + rows.pad_before - u * rows.dilation
            i = position // rows.stride
            if position == i * rows.stride and 0 <= i < rows.out:
                for v in range(columns.kernel):
                    first, stop = _inside(v, columns)
                    for j in range(first, stop):
                        q = j * columns.stride - columns.pad_before + v * columns.dilation
                        _add_sums(dy[n, i, j], filters[u, v], dx[n, r, q])


@kernel(parallel=True)
def _filter_gradient(x, dy, groups, rows, columns):
    """dfilters[u,v,c*m+k] = sum_{n,i,j} x[n, i*s-p+u*d, j*s-p+v*d, c] * dy[n,i,j,c*m+k], in runs (see ``reduction.py``)."""
    count, maps = dy.shape[0], dy.shape[3]
    parts = np.zeros((groups, rows.kernel, columns.kernel, maps), np.float64)
    for task in prange(groups * rows.kernel):
        group = task // rows.kernel
        u = task - group * rows.kernel
        run = np.empty(maps, x.dtype)
        first_image, stop_image = group_range(group, groups, count)
        top, bottom = _inside(u, rows)
        for n in range(first_image, stop_image):
            for i in range(top, bottom):
                r = i * rows.stride - rows.pad_before + u * rows.dilation
                for v in range(columns.kernel):
                    first, stop = _inside(v, columns)
                    total = parts[group, u, v]
                    for start in range(first, stop, RUN):
                        for f in range(maps):
                            run[f] = 0
                        for j in range(start, min(start + RUN, stop)):
                            q = j * columns.stride - columns.pad_before + v * columns.dilation
                            _add_products(x[n, r, q], dy[n, i, j], run)
                        for f in range(maps):
                            total[f] += run[f]
    return sum_groups(parts.reshape(groups, rows.kernel * columns.kernel * maps))
