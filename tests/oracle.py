"""Every operation the slow and obvious way, in float64: what the kernels of both devices are held to.

One loop per index of the textbook formula, or one NumPy expression where that is the formula. Nothing here is shared with the
package, so an error would have to be made twice. Signatures follow ``numbacnn.functional``; images are NHWC, kernels HWIO.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Window(NamedTuple):
    """One axis: output cell ``i`` reads input cells ``i*stride - pad_before + u*dilation``, u = 0 ... kernel - 1."""

    size: int
    kernel: int
    stride: int
    out: int
    pad_before: int
    pad_after: int
    dilation: int = 1

    def inside(self, i: int) -> list[int]:
        """The cells under window ``i`` that lie inside the input."""
        return [r for _, r in self.seen(i)]

    def seen(self, i: int) -> list[tuple[int, int]]:
        """Cells of the window, each with the input cell under it, where there is one."""
        under = [(u, i * self.stride - self.pad_before + u * self.dilation) for u in range(self.kernel)]
        return [(u, r) for u, r in under if 0 <= r < self.size]


def window(size, kernel, stride, padding, dilation=1) -> Window:
    """TensorFlow's rule for ``same``: as many outputs as strides fit, the odd cell of padding goes after."""
    cells, kernel = kernel, len(range((kernel - 1) * dilation + 1))  # the cells that it spans
    if padding == "same":
        out = math.ceil(size / stride)
        total = max((out - 1) * stride + kernel - size, 0)
        before, after = math.floor(total / 2), math.ceil(total / 2)
    else:
        before, after = (0, 0) if padding == "valid" else padding
        out = math.floor((size + before + after - kernel) / stride) + 1
    return Window(size, cells, stride, out, before, after, dilation if cells > 1 else 1)


def windows(size, kernel, strides, padding, dilation=1) -> tuple[Window, Window]:
    """Rows and columns."""
    (kh, kw), (sh, sw), (dh, dw) = pair(kernel), pair(strides), pair(dilation)
    rows, columns = (padding, padding) if isinstance(padding, str) else padding
    return window(size[0], kh, sh, rows, dh), window(size[1], kw, sw, columns, dw)


def pair(value) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def float64(*arrays):
    """The arrays in float64, None as None."""
    return [None if array is None else np.asarray(array, dtype=np.float64) for array in arrays]


# --- convolution -------------------------------------------------------------------------------------------------------------


def taps(rows: Window, columns: Window) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Every (i, j, u, v, r, q): output cell (i, j) meets input cell (r, q) under kernel cell (u, v)."""
    for i in range(rows.out):
        for u, r in rows.seen(i):
            for j in range(columns.out):
                for v, q in columns.seen(j):
                    yield i, j, u, v, r, q


def conv2d(x, kernel, bias=None, *, strides=1, padding="valid", dilation_rate=1, groups=1):
    """y[n,i,j,f] = bias[f] + sum_{u,v,c} x[n, i*s-p+u*d, j*s-p+v*d, c] * kernel[u,v,c,f], for each group by itself"""
    x, kernel, bias = float64(x, kernel, bias)
    if groups > 1:
        parts = zip(np.split(x, groups, axis=3), np.split(kernel, groups, axis=3), strict=True)
        y = np.concatenate(
            [conv2d(*part, strides=strides, padding=padding, dilation_rate=dilation_rate) for part in parts], axis=3
        )
        return y if bias is None else y + bias
    rows, columns = windows(x.shape[1:3], kernel.shape[:2], strides, padding, dilation_rate)
    y = np.zeros((len(x), rows.out, columns.out, kernel.shape[3]))
    for i, j, u, v, r, q in taps(rows, columns):
        y[:, i, j] += x[:, r, q] @ kernel[u, v]
    return y if bias is None else y + bias


def conv2d_backward(x, kernel, dy, *, strides=1, padding="valid", dilation_rate=1, groups=1):
    """The chain rule, term by term: every product of the forward pass sends its gradient to both its factors."""
    x, kernel, dy = float64(x, kernel, dy)
    if groups > 1:
        parts = zip(*(np.split(array, groups, axis=3) for array in (x, kernel, dy)), strict=True)
        each = [conv2d_backward(*part, strides=strides, padding=padding, dilation_rate=dilation_rate) for part in parts]
        return tuple(np.concatenate(found, axis=-1) for found in zip(*each, strict=True))
    dx, dkernel = np.zeros_like(x), np.zeros_like(kernel)
    for i, j, u, v, r, q in taps(*windows(x.shape[1:3], kernel.shape[:2], strides, padding, dilation_rate)):
        dx[:, r, q] += dy[:, i, j] @ kernel[u, v].T
        dkernel[u, v] += x[:, r, q].T @ dy[:, i, j]
    return dx, dkernel, dy.sum(axis=(0, 1, 2))


# --- pooling -----------------------------------------------------------------------------------------------------------------


def pool_cells(shape, pool_size, strides, padding) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Every output cell with the input cells under it, row by row; padding is not among them."""
    rows, columns = windows(shape[1:3], pool_size, pool_size if strides is None else strides, padding)
    for i in range(rows.out):
        for j in range(columns.out):
            yield i, j, [(r, q) for r in rows.inside(i) for q in columns.inside(j)]


def pool_output(x, pool_size, strides, padding):
    rows, columns = windows(x.shape[1:3], pool_size, pool_size if strides is None else strides, padding)
    return np.zeros((len(x), rows.out, columns.out, x.shape[3]))


def winner(values: list[float]) -> int:
    """The first of the largest; a NaN counts as larger than any number."""
    best = 0
    for index, value in enumerate(values):
        if math.isnan(value):
            return index
        if value > values[best]:
            best = index
    return best


def max_pool2d(x, pool_size=2, *, strides=None, padding="valid"):
    (x,) = float64(x)
    y = pool_output(x, pool_size, strides, padding)
    for i, j, cells in pool_cells(x.shape, pool_size, strides, padding):
        for n, c in np.ndindex(len(x), x.shape[3]):
            y[n, i, j, c] = x[(n, *cells[winner([x[n, r, q, c] for r, q in cells])], c)]
    return y


def max_pool2d_winners(x, pool_size=2, *, strides=None, padding="valid"):
    """Which cell of its window each maximum is, row by row."""
    (x,) = float64(x)
    rows, columns = windows(x.shape[1:3], pool_size, pool_size if strides is None else strides, padding)
    winners = np.zeros((len(x), rows.out, columns.out, x.shape[3]), int)
    for i, j, cells in pool_cells(x.shape, pool_size, strides, padding):
        for n, c in np.ndindex(len(x), x.shape[3]):
            r, q = cells[winner([x[n, r, q, c] for r, q in cells])]
            u, v = r - (i * rows.stride - rows.pad_before), q - (j * columns.stride - columns.pad_before)
            winners[n, i, j, c] = u * columns.kernel + v
    return winners


def max_pool2d_backward(x, dy, pool_size=2, *, strides=None, padding="valid"):
    x, dy = float64(x, dy)
    dx = np.zeros_like(x)
    for i, j, cells in pool_cells(x.shape, pool_size, strides, padding):
        for n, c in np.ndindex(len(x), x.shape[3]):
            dx[(n, *cells[winner([x[n, r, q, c] for r, q in cells])], c)] += dy[n, i, j, c]
    return dx


def avg_pool2d(x, pool_size=2, *, strides=None, padding="valid", count_include_pad=False):
    (x,) = float64(x)
    y = pool_output(x, pool_size, strides, padding)
    for i, j, cells in pool_cells(x.shape, pool_size, strides, padding):
        y[:, i, j] = sum(x[:, r, q] for r, q in cells) / (math.prod(pair(pool_size)) if count_include_pad else len(cells))
    return y


def avg_pool2d_backward(x, dy, pool_size=2, *, strides=None, padding="valid", count_include_pad=False):
    x, dy = float64(x, dy)
    dx = np.zeros_like(x)
    for i, j, cells in pool_cells(x.shape, pool_size, strides, padding):
        for r, q in cells:
            dx[:, r, q] += dy[:, i, j] / (math.prod(pair(pool_size)) if count_include_pad else len(cells))
    return dx


def global_avg_pool2d(x):
    (x,) = float64(x)
    return x.mean(axis=(1, 2))


def global_avg_pool2d_backward(x, dy):
    x, dy = float64(x, dy)
    return np.zeros_like(x) + dy[:, None, None, :] / (x.shape[1] * x.shape[2])


# --- dense -------------------------------------------------------------------------------------------------------------------


def dense(x, kernel, bias=None):
    x, kernel, bias = float64(x, kernel, bias)
    y = x @ kernel
    return y if bias is None else y + bias


def dense_backward(x, kernel, dy):
    x, kernel, dy = float64(x, kernel, dy)
    return dy @ kernel.T, x.T @ dy, dy.sum(axis=0)


# --- activations: the gradient is a function of the forward's input ----------------------------------------------------------


def relu(x):
    """max(0, x); a NaN stays one."""
    (x,) = float64(x)
    return np.where(x <= 0, 0.0, x)


def relu_backward(x, dy):
    """The gradient at 0 is 0."""
    x, dy = float64(x, dy)
    return np.where(x > 0, dy, 0.0)


def leaky_relu(x, negative_slope=0.2):
    (x,) = float64(x)
    return np.where(x > 0, x, negative_slope * x)


def leaky_relu_backward(x, dy, negative_slope=0.2):
    x, dy = float64(x, dy)
    return np.where(x > 0, dy, negative_slope * dy)


def relu6(x):
    return np.clip(float64(x)[0], 0, 6)


def relu6_backward(x, dy):
    """The gradient at both corners is 0."""
    x, dy = float64(x, dy)
    return np.where((x > 0) & (x < 6), dy, 0.0)


def elu(x):
    (x,) = float64(x)
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def elu_backward(x, dy):
    x, dy = float64(x, dy)
    return np.where(x > 0, dy, dy * np.exp(np.minimum(x, 0)))


def hard_sigmoid(x):
    return relu6(float64(x)[0] + 3) / 6


def hard_sigmoid_backward(x, dy):
    x, dy = float64(x, dy)
    return np.where(np.abs(x) < 3, dy / 6, 0.0)


def silu(x):
    """x * sigmoid(x), which goes to 0 for x to minus infinity."""
    (x,) = float64(x)
    return np.where(x == -np.inf, 0.0, x) * sigmoid(x)


def silu_backward(x, dy):
    x, dy = float64(x, dy)
    return dy * (sigmoid(x) + x * sigmoid(x) * sigmoid(-x))


def hard_swish(x):
    (x,) = float64(x)
    return np.where(x == -np.inf, 0.0, x) * hard_sigmoid(x)


def hard_swish_backward(x, dy):
    x, dy = float64(x, dy)
    return np.where(x <= -3, 0.0, np.where(x >= 3, dy, dy * (2 * x + 3) / 6))


def sigmoid(x):
    """1 / (1 + e^-x), written for either sign so that nothing overflows."""
    (x,) = float64(x)
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def sigmoid_backward(x, dy):
    x, dy = float64(x, dy)
    return dy * sigmoid(x) * sigmoid(-x)


def tanh(x):
    return np.tanh(float64(x)[0])


def tanh_backward(x, dy):
    x, dy = float64(x, dy)
    return dy * (1 - np.tanh(x) ** 2)


def softmax(x):
    (x,) = float64(x)
    e = np.exp(x - x.max(axis=-1, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(x, dy):
    """dx_k = sum_m dy_m * y_m * ((k == m) - y_k)"""
    x, dy = float64(x, dy)
    y = softmax(x)
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


# --- loss --------------------------------------------------------------------------------------------------------------------


def softmax_cross_entropy(logits, labels):
    """The mean of -log softmax(logits)[label], and (softmax - onehot) / n."""
    (z,) = float64(logits)
    shifted = z - z.max(axis=1, keepdims=True)
    each = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(z)), labels]
    onehot = np.zeros_like(z)
    onehot[np.arange(len(z)), labels] = 1
    return each.mean(), (softmax(z) - onehot) / len(z)


def cross_entropy(probabilities, targets):
    """The mean of -sum Y log Yhat."""
    predicted, wanted = float64(probabilities, targets)
    each = [-sum(y * np.log(p) for p, y in zip(*rows, strict=True) if y) for rows in zip(predicted, wanted, strict=True)]
    return sum(each) / len(each)


# --- batch normalisation -----------------------------------------------------------------------------------------------------


def batch_norm(x, gamma, beta, epsilon):
    """Normalise each channel by the batch's own mean and population variance: y, mean, variance."""
    x, gamma, beta = float64(x, gamma, beta)
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axis=axes), x.var(axis=axes)
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta, mean, variance


def batch_norm_backward(x, gamma, epsilon, dy):
    """dx, dgamma, dbeta, step by step through the graph: the mean and the variance depend on x too."""
    x, gamma, dy = float64(x, gamma, dy)
    axes = tuple(range(x.ndim - 1))
    count = x.size // x.shape[-1]
    centred = x - x.mean(axis=axes)
    inverse = 1 / np.sqrt(x.var(axis=axes) + epsilon)
    dnormal = dy * gamma
    dvariance = (dnormal * centred).sum(axis=axes) * -0.5 * inverse**3
    dmean = -(dnormal * inverse).sum(axis=axes)
    dx = dnormal * inverse + dvariance * 2 * centred / count + dmean / count
    return dx, (dy * centred * inverse).sum(axis=axes), dy.sum(axis=axes)


# --- optimisers: each yields the weight after every step ---------------------------------------------------------------------


def sgd(weight, gradients, learning_rate):
    for gradient in gradients:
        weight = weight - learning_rate * gradient
        yield weight


def momentum(weight, gradients, learning_rate, momentum):
    velocity = np.zeros_like(weight)
    for gradient in gradients:
        velocity = momentum * velocity - learning_rate * gradient
        weight = weight + velocity
        yield weight


def adam(weight, gradients, learning_rate, beta1=0.9, beta2=0.999, epsilon=1e-7):
    """Keras's form: the bias corrections are folded into the step, epsilon stands outside of them."""
    m = v = np.zeros_like(weight)
    for t, gradient in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        step = learning_rate * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        weight = weight - step * m / (np.sqrt(v) + epsilon)
        yield weight


# --- how far a computed result may be off ------------------------------------------------------------------------------------


def rounding(dtype, terms: int, magnitude):
    """A bound on the rounding error of a sum of ``terms`` products, added up in any order: 2 * terms * eps * magnitude.

    ``magnitude`` is the same sum over absolute values. Source: Higham 2002, Accuracy and Stability of Numerical Algorithms,
    section 3.1: |error| <= gamma_terms * sum |x||w| with gamma_terms about terms * eps / 2; the rest is slack.
    """
    return 2 * terms * np.finfo(dtype).eps * magnitude + np.finfo(dtype).tiny


def assert_close(computed, exact, bound):
    """Every cell within its own bound, and of the exact result's shape."""
    assert computed.shape == exact.shape
    off = np.abs(computed - exact) > bound
    assert not off.any(), f"{off.sum()} of {off.size} cells are off, by up to {np.abs(computed - exact)[off].max():.3g}"


# --- random numbers ------------------------------------------------------------------------------------------------------------


def scatter(h: int) -> int:
    """Wellons' lowbias32, as published: 32 bits from 32 bits."""
    h ^= h >> 16
    h = h * 0x7FEB352D % 2**32
    h ^= h >> 15
    h = h * 0x846CA68B % 2**32
    return h ^ (h >> 16)


def stream(seed: int, step: int, number: int) -> int:
    """What the draws of one stream start from: a layer's dropout, or augmentation."""
    return scatter(scatter(scatter(seed % 2**32) ^ step % 2**32) ^ number)


def dropped(count: int, rate: float, seed: int, step: int, layer: int):
    """Which of the values at the flat indices 0 ... count-1 dropout makes zero."""
    key, threshold = stream(seed, step, layer), min(int(rate * 2**32), 2**32 - 1)
    return np.array([scatter(scatter(i) ^ key) < threshold for i in range(count)], bool)


def dropout(x, rate, seed, step):
    (x,) = float64(x)
    return np.where(dropped(x.size, rate, seed, step, 0).reshape(x.shape), 0.0, x / (1 - rate))


def spline(t: float) -> float:
    """The uniform cubic B-spline around 0, as a sum of truncated powers."""
    return sum((-1) ** k * math.comb(4, k) * max(t + 2 - k, 0.0) ** 3 for k in range(5)) / 6


def read_between(image, y: float, x: float):
    """The mean of the four pixels around a position, weighted by closeness; pixels outside are 0."""
    total = np.zeros(image.shape[2])
    for r in (math.floor(y), math.floor(y) + 1):
        for q in (math.floor(x), math.floor(x) + 1):
            if 0 <= r < image.shape[0] and 0 <= q < image.shape[1]:
                total += (1 - abs(y - r)) * (1 - abs(x - q)) * image[r, q]
    return total


def augment(x, amounts, seed: int, step: int):
    """Each pixel by itself: the straight-line map, then the elastic grid's 49 vectors, each with its weight."""
    (x,) = float64(x)
    y = np.empty_like(x)
    key = stream(seed, step, 2**32 - 1)
    shift, rotation, scale, shear, elastic = amounts
    count, *sides, _ = x.shape
    for n in range(count):
        draws = [(scatter(scatter(n * 104 + k) ^ key) // 256) / 2**23 - 1 for k in range(104)]
        angle = math.radians(rotation) * draws[0]
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        slant = np.array([[1, 0], [shear * draws[3], 1]])
        straight = turn @ slant @ np.diag([1 + scale * draws[1], 1 + scale * draws[2]])
        vectors = elastic * np.reshape(draws[6:], (2, 7, 7))
        weights = [[[spline(1 + 4 * i / (side - 1) - point) for point in range(7)] for i in range(side)] for side in sides]
        centre = (np.array(sides) - 1) / 2
        for i, j in np.ndindex(*sides):
            wave = np.einsum("a,b,kab->k", weights[0][i], weights[1][j], vectors)
            place = straight @ (np.array([i, j]) - centre) + centre + sides * (shift * np.array(draws[4:6]) + wave)
            y[n, i, j] = read_between(x[n], *place)
    return y
