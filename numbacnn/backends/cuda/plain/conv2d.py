"""Convolution on the GPU, the readable version: one thread per output cell, input cell or value of a filter, and a plain sum.

``tiled/conv2d.py`` is the fast version; it is checked against this one. It has no gaps between the cells of a filter, and no groups.
"""

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, kernel
from numbacnn.backends.cuda.exchange import part_of
from numbacnn.backends.cuda.memory import arena, zeros
from numbacnn.backends.cuda.plain.geometry import cell_of
from numbacnn.backends.cuda.plain.reduction import sum_pixels, total_of

IMAGE_GROUPS = 32
"""The gradient of filters is summed in at most this many groups of images, then group by group: fixed, and work for more threads."""


def conv2d(x, filters, bias, window):
    """See ``Ops.conv2d``."""
    rows, columns = window
    maps = filters.shape[3]
    y = arena.empty((x.shape[0], rows.out, columns.out, maps), x.dtype)
    launch.over(_conv2d, y.size, x, filters, zeros(maps, x.dtype) if bias is None else bias, rows, columns, y)
    return y


def conv2d_backward(x, filters, dy, window, needs_dx, share):
    """See ``Ops.conv2d_backward``."""
    dx = _input_gradient(x, filters, dy, window) if needs_dx else None
    dfilters = share.total(lambda branch: _filter_gradient(part_of(x, branch), filters, part_of(dy, branch), window))
    return dx, dfilters, share.total(lambda branch: sum_pixels(part_of(dy, branch)))


def _input_gradient(x, filters, dy, window):
    dx = arena.like(x)
    launch.over(_conv2d_input_gradient, dx.size, dy, filters, *window, dx)
    return dx


def _filter_gradient(x, filters, dy, window):
    groups = max(1, min(IMAGE_GROUPS, len(x)))
    sums = arena.empty((groups, *filters.shape), x.dtype)
    launch.over(_conv2d_filter_gradient, sums.size, x, dy, *window, sums)
    return total_of(sums.reshape(groups, filters.size)).reshape(filters.shape)


@kernel
def _conv2d(x, filters, bias, rows, columns, y):
    """y[n,i,j,f] = bias[f] + sum_{u,v,c} x[n, i*s-p+u*d, j*s-p+v*d, g*depth+c] * filters[u,v,c,f]; f is in group g of the filters"""
    n, i, j, f = cell_of(cuda.grid(1), rows.out, columns.out, y.shape[3])
    if n < y.shape[0]:
        depth = filters.shape[2]
        first = f // (filters.shape[3] // (x.shape[3] // depth)) * depth
        total = bias[f]
        for u in range(rows.kernel):
            r = i * rows.stride - rows.pad_before + u * rows.dilation
            if 0 <= r < rows.size:
                for v in range(columns.kernel):
                    q = j * columns.stride - columns.pad_before + v * columns.dilation
                    if 0 <= q < columns.size:
                        for c in range(depth):
                            total += x[n, r, q, first + c] * filters[u, v, c, f]
        y[n, i, j, f] = total


@kernel
def _conv2d_input_gradient(dy, filters, rows, columns, dx):
    """dx[n,r,q,g*depth+c] = sum over the windows (i, j) that read (r, q), and the f of group g, of dy[n,i,j,f] * filters[u,v,c,f]"""
    n, r, q, channel = cell_of(cuda.grid(1), rows.size, columns.size, dx.shape[3])
    if n < dx.shape[0]:
        group = channel // filters.shape[2]
        c = channel - group * filters.shape[2]
        maps = filters.shape[3] // (dx.shape[3] // filters.shape[2])  # of a group
        total = dx.dtype.type(0)
        for back in range(rows.kernel):  # backwards, so that i ascends
            u = rows.kernel - 1 - back
            down = r + rows.pad_before - u * rows.dilation
            i = down // rows.stride
            if down == i * rows.stride and 0 <= i < rows.out:
                for left in range(columns.kernel):
                    v = columns.kernel - 1 - left
                    across = q + columns.pad_before - v * columns.dilation
                    j = across // columns.stride
                    if across == j * columns.stride and 0 <= j < columns.out:
                        for f in range(group * maps, (group + 1) * maps):
                            total += dy[n, i, j, f] * filters[u, v, c, f]
        dx[n, r, q, channel] = total


@kernel
def _conv2d_filter_gradient(x, dy, rows, columns, sums):
    """sums[group,u,v,c,f] = sum over the group's n, and i, j, of x[n, i*s-p+u*d, j*s-p+v*d, g*depth+c] * dy[n,i,j,f]

    A group is some of the images, and g is one of the filters and channels: that of f.
    """
    groups, _, _, depth, maps = sums.shape
    group, u, v, pair = cell_of(cuda.grid(1), rows.kernel, columns.kernel, depth * maps)
    if group < groups:
        c = pair // maps
        f = pair - c * maps
        channel = f // (maps // (x.shape[3] // depth)) * depth + c
        total = x.dtype.type(0)
        for n in range(group * x.shape[0] // groups, (group + 1) * x.shape[0] // groups):
            image = x.dtype.type(0)  # one sum per image: fewer roundings in a row
            for i in range(rows.out):
                r = i * rows.stride - rows.pad_before + u * rows.dilation
                if 0 <= r < rows.size:
                    for j in range(columns.out):
                        q = j * columns.stride - columns.pad_before + v * columns.dilation
                        if 0 <= q < columns.size:
                            image += x[n, r, q, channel] * dy[n, i, j, f]
            total += image
        sums[group, u, v, c, f] = total
