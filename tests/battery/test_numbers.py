"""Numbers: odd ones, long sums, the laws of the operations, their adjoints and gradients, and what is drawn at random."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from devices import one_thread
from networks import net, stripes

import numbacnn as nc
from numbacnn import functional as F
from numbacnn.backends import get_ops
from numbacnn.backends.cpu.ops import ALGORITHMS, CpuOps
from numbacnn.datasets import Dataset
from numbacnn.errors import NumbaCNNError
from numbacnn.graph import without_softmax
from numbacnn.initializers import initial_parameters, initial_values
from numbacnn.layers.initialization import INITIALIZERS, VarianceScaling
from numbacnn.network import backward, forward
from numbacnn.prediction import Predictor
from numbacnn.random_numbers import stream
from numbacnn.shapes import window2d
from numbacnn.training import Settings, new_state, train
from numbacnn.training.order import epoch_order
from numbacnn.values import ConvBlock

ROUNDING = 2.0**-24


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread(), np.errstate(all="ignore"):
        yield


# --- odd numbers ----------------------------------------------------------------------------------------------------------------

ODD = (0.0, -0.0, 1e-45, -1e-40, 1e-38, 3e38, -3e38, 1e30, 1e4, -1e4, math.nan, math.inf, -math.inf)

LAYOUTS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda a: a,
    lambda a: np.asfortranarray(a),
    lambda a: np.flip(np.flip(a).copy()),
    lambda a: np.repeat(a, 2, axis=0)[::2],
    lambda a: a.astype(a.dtype.newbyteorder(">")),
    lambda a: _read_only(a.copy()),
    lambda a: np.lib.stride_tricks.as_strided(a, a.shape, a.strides, writeable=False),
)


def _read_only(a: np.ndarray) -> np.ndarray:
    a.flags.writeable = False
    return a


TYPES: tuple[Any, ...] = (np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_, np.complex64, object, "U3")


def _odd_array(random: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    values = random.standard_normal(shape)
    if values.size:
        for _ in range(random.integers(0, 4)):
            values.flat[random.integers(values.size)] = random.choice(ODD)
        if random.random() < 0.1:
            values[...] = random.choice(ODD)
    if dtype is object or dtype == "U3":
        return values.astype(str).astype(dtype)
    return values.astype(dtype)


def _operations(random: np.random.Generator, array: Callable[..., np.ndarray], n: int) -> dict[str, Callable[[], Any]]:
    """Calls of ``functional``, by name, for arrays that ``array(*shape)`` gives."""
    h, w, c, f = (int(k) for k in random.integers(1, 6, 4))
    kh, kw = int(random.integers(1, h + 1)), int(random.integers(1, w + 1))
    labels = random.integers(0, f, n)
    return {
        "conv2d": lambda: F.conv2d(array(n, h, w, c), array(kh, kw, c, f), padding="same"),
        "conv2d_backward": lambda: F.conv2d_backward(array(n, h, w, c), array(kh, kw, c, f), array(n, h, w, f), padding="same"),
        "max_pool2d": lambda: F.max_pool2d(array(n, h, w, c), (kh, kw)),
        "avg_pool2d": lambda: F.avg_pool2d(array(n, h, w, c), (kh, kw)),
        "dense": lambda: F.dense(array(n, c), array(c, f)),
        "dense_backward": lambda: F.dense_backward(array(n, c), array(c, f), array(n, f)),
        "relu": lambda: F.relu(array(n, c)),
        "sigmoid": lambda: F.sigmoid(array(n, c)),
        "tanh": lambda: F.tanh(array(n, c)),
        "softmax": lambda: F.softmax(array(n, c)),
        "softmax_backward": lambda: F.softmax_backward(array(n, c), array(n, c)),
        "softmax_cross_entropy": lambda: F.softmax_cross_entropy(array(n, f), labels),
        "dropout": lambda: F.dropout(array(n, h, w, c), 0.4, 1, 2),
    }


def _arrays(value: Any) -> list[np.ndarray]:
    return [np.asarray(each) for each in value] if isinstance(value, tuple) else [np.asarray(value)]


def test_odd_numbers_types_and_layouts_are_computed_as_plain_copies_are_or_refused(battery) -> None:  # type: ignore[no-untyped-def]
    for case in battery("odd numbers, types and layouts of arrays", smoke=60, whole=400):
        with case:
            random = case.random
            dtype = TYPES[random.integers(2) if random.random() < 0.75 else random.integers(len(TYPES))]
            layout = LAYOUTS[random.integers(len(LAYOUTS))]
            n = int(random.integers(0, 4))
            given: list[np.ndarray] = []

            def array(*shape: int) -> np.ndarray:
                given.append(_odd_array(np.random.default_rng(len(given)), shape, dtype))  # noqa: B023  called in this case
                return layout(given[-1]) if given[-1].size else given[-1]  # noqa: B023

            calls = _operations(random, array, n)
            name = list(calls)[random.integers(len(calls))]
            try:
                results = _arrays(calls[name]())
            except NumbaCNNError:
                assert dtype not in (np.float32, np.float64) or n == 0
                continue
            assert dtype in (np.float32, np.float64)
            before, layout = given, LAYOUTS[0]
            given = []
            for one, other in zip(results, _arrays(calls[name]()), strict=True):
                np.testing.assert_array_equal(one, other)
            for one, other in zip(before, given, strict=True):
                np.testing.assert_array_equal(one, other, err_msg="an argument was changed")
            if all(np.isfinite(a).all() and np.abs(a).max(initial=0) < 1e5 for a in given):
                assert all(np.isfinite(r).all() for r in results)


def test_odd_images_labels_weights_and_rates_train_and_predict_or_are_refused(battery) -> None:  # type: ignore[no-untyped-def]
    """Defined: a network whose weights are finite, or an error that says what is not."""
    for case in battery("odd images, weights and learning rates", smoke=15, whole=150):
        with case:
            random, data, ops = case.random, stripes(24, 6), get_ops("cpu")
            images = data.train_images
            kind = random.integers(4)
            if kind == 0:
                images = np.zeros_like(images)
            elif kind == 1:
                images = np.full_like(images, 255)
            elif kind == 2:
                images = LAYOUTS[random.integers(len(LAYOUTS))](images)
            rate = float(10.0 ** random.choice([-38, -10, -2, 0, 2, 9, 20, 37]))
            settings = Settings(
                epochs=1,
                batch_size=8,
                learning_rate=rate,
                optimizer=str(random.choice(["sgd", "momentum", "adam"])),
                seed=case.index,
            )
            parameters = initial_parameters(net(), case.index)
            name = list(parameters)[random.integers(len(parameters))]
            if random.random() < 0.5:
                parameters[name] = parameters[name] * np.float32(random.choice([0, 1e-38, 1e-20, 1e4, 1e20, 1e38]))
            if random.random() < 0.2:
                parameters[name].flat[0] = random.choice(ODD)
            state, problem = new_state(net(), settings, ops, parameters), ""
            try:
                list(train(state, dataclasses.replace(data, train_images=images), ops))
                probabilities = Predictor(without_softmax(net()), ops, state.parameters)(data.test_images).probabilities
                np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
                assert all(np.isfinite(array).all() for array in state.parameters.values())
            except (nc.TrainingError, nc.NotFiniteError) as error:
                problem = str(error)
            assert not problem or "finite" in problem


def test_data_sets_and_predictors_take_uint8_of_their_shape_in_any_layout_and_nothing_else(battery) -> None:  # type: ignore[no-untyped-def]
    data, ops, graph = stripes(9, 3), get_ops("cpu"), without_softmax(net())
    predictor = Predictor(graph, ops, initial_parameters(graph, 0))
    expected = predictor(data.train_images).logits
    for case in battery("types and layouts of images", smoke=40, whole=300):
        with case:
            random = case.random
            dtype = TYPES[random.integers(len(TYPES))]
            array = LAYOUTS[random.integers(len(LAYOUTS))](data.train_images.astype(dtype))
            count = int(random.integers(0, 10))
            try:
                logits = predictor(array[:count]).logits
                Dataset("x", array, data.train_labels, array[:0], data.train_labels[:0], data.class_names, "x")
            except (nc.DataError, nc.ShapeError):
                assert dtype is not np.uint8
                continue
            assert dtype is np.uint8
            np.testing.assert_array_equal(logits, expected[:count])


# --- long sums -------------------------------------------------------------------------------------------------------------------


class Direct(CpuOps):
    """The CPU, whose convolutions take one algorithm."""

    algorithm = "direct"

    def _algorithm(self, *given: Any) -> str:
        return self.algorithm


def _convolution_sum(random: np.random.Generator, values: Callable[..., np.ndarray]) -> Any:
    n, c, f, k = (
        int(random.integers(1, 9)),
        int(random.integers(1, 5)),
        int(random.integers(1, 5)),
        int(random.choice([1, 2, 3, 5])),
    )
    h, w = (int(s) for s in random.integers(k, 90, 2))
    ops = Direct()
    ops.algorithm = "winograd" if k in (3, 5) and random.random() < 0.3 else "direct"
    window, block = window2d((h, w), (k, k), (1, 1), "same"), None
    block = ConvBlock(window, False, None)
    x, kernel, dy = values(n, h, w, c), values(k, k, c, f), values(n, h, w, f)
    _, cache = ops.conv2d_block(x, kernel, None, block)
    _, dkernel, dbias = ops.conv2d_block_backward(cache, kernel, dy, block, needs_dx=False)
    _, exact, exact_bias = F.conv2d_backward(x.astype(float), kernel.astype(float), dy.astype(float), padding="same")
    terms = n * h * w
    # Groups of images are summed pixel by pixel; Winograd's transforms multiply a rounding by the size of their matrices.
    return terms, [(dkernel, exact, 40 if ops.algorithm == "winograd" else 8), (dbias, exact_bias, 40)]


def _long_sum(random: np.random.Generator) -> tuple[int, list[tuple[np.ndarray, np.ndarray, float]]]:
    """A sum of positive terms in float32 by a random op: its number of terms, and (computed, exact, factor of the bound)."""

    def values(*shape: int) -> np.ndarray:
        if random.random() < 0.3:
            return np.full(shape, random.random() + 0.1, np.float32)
        return (random.random(shape) * 10.0 ** random.integers(-6, 6)).astype(np.float32)

    ops, terms = get_ops("cpu"), int(10 ** random.uniform(2, 5))
    kind = random.integers(7)
    if kind == 0:
        h = int(random.integers(1, terms + 1))
        h, w = h, max(terms // h, 1)
        x = values(1, h, w, 2)
        return h * w, [(F.avg_pool2d(x, (h, w)), x.astype(float).mean((1, 2), keepdims=True), 2)]
    if kind == 1:
        z = (random.standard_normal((2, terms)) * random.choice([0.1, 1, 3])).astype(np.float32)
        e = np.exp(z - z.max(1, keepdims=True).astype(float))
        probabilities = e / e.sum(1, keepdims=True)
        loss, _ = F.softmax_cross_entropy(z, np.zeros(2, int))
        exact_loss = -np.log(probabilities[:, 0]).mean()
        return terms, [(F.softmax(z), probabilities, 4), (np.array(loss), exact_loss, 4)]
    if kind == 2:
        y, dy = values(2, terms), np.ones((2, terms), np.float32)
        y = (y / y.sum(1, keepdims=True)).astype(np.float32)
        inner = y.astype(float).sum(1, keepdims=True)
        return terms, [(y - ops.softmax_backward(y, dy), y * inner, 4)]
    if kind == 3:
        x, dy, kernel = values(terms, 3), values(terms, 5), values(3, 5)
        _, dkernel, dbias = ops.dense_backward(x, kernel, dy)
        return terms, [(dkernel, x.astype(float).T @ dy, 8), (dbias, dy.astype(float).sum(0), 2)]
    if kind == 4:
        x, kernel = values(int(random.integers(1, 4)), terms), values(terms, 5)
        weights = ops.prepare_weights(kernel) if random.random() < 0.5 else kernel
        return terms, [(ops.dense(x, weights, None), x.astype(float) @ kernel, 8)]
    if kind == 5:
        x = values(terms, 4)
        _, mean, variance = ops.batch_norm(x, np.ones(4, np.float32), np.zeros(4, np.float32), 1e-3)
        exact = x.astype(float).var(0)
        off = 1e-14 * (x.astype(float).mean(0) ** 2) / np.maximum(exact, 1e-300)  # equal numbers have no variance
        return terms, [(mean, x.astype(float).mean(0), 2)] + ([(variance, exact, 2)] if off.max() < ROUNDING else [])
    return _convolution_sum(random, values)


def test_long_sums_are_as_close_as_pairwise_ones(battery) -> None:  # type: ignore[no-untyped-def]
    """All terms are positive, so that a rounding is a share of the sum. The bound grows as that of a pairwise sum does, by log2(n)."""
    assert set(ALGORITHMS) == {"direct", "frequency", "winograd"}
    for case in battery("long sums in float32", smoke=25, whole=200):
        with case:
            terms, sums = _long_sum(case.random)
            for computed, exact, factor in sums:
                most = factor * (math.log2(terms) + 4)
                off = np.abs(computed - exact) / np.maximum(np.abs(exact), 1e-35) / ROUNDING
                assert off.max() <= most, f"{terms} terms: off by {off.max():.0f} roundings, at most {most:.0f} expected"


# --- laws ------------------------------------------------------------------------------------------------------------------------


def _close(a: np.ndarray, b: np.ndarray) -> None:
    assert a.shape == b.shape
    scale = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0), 1e-300)
    assert np.abs(a - b).max(initial=0) <= 1e-12 * scale


@dataclasses.dataclass
class Draw:
    """Sizes and numbers of one case, float64."""

    random: np.random.Generator

    def __post_init__(self) -> None:
        self.n, self.c, self.f = (int(k) for k in self.random.integers(1, 6, 3))
        self.kh, self.kw, self.sh, self.sw = (int(k) for k in self.random.integers(1, 5, 4))
        self.h, self.w = self.kh + int(self.random.integers(0, 9)), self.kw + int(self.random.integers(0, 9))

    def numbers(self, *shape: int) -> np.ndarray:
        return self.random.standard_normal(shape)

    @property
    def images(self) -> np.ndarray:
        return self.numbers(self.n, self.h, self.w, self.c)

    @property
    def kernel(self) -> np.ndarray:
        return self.numbers(self.kh, self.kw, self.c, self.f)


def _moves_with_its_input(d: Draw) -> None:
    x, kernel = d.images, d.kernel
    down, right = int(d.random.integers(d.h - d.kh + 1)), int(d.random.integers(d.w - d.kw + 1))
    _close(F.conv2d(x[:, down:, right:], kernel), F.conv2d(x, kernel)[:, down:, right:])


def _is_linear(d: Draw) -> None:
    x, x2, k, k2 = d.images, d.images, d.kernel, d.kernel
    a, b = d.random.standard_normal(2)
    _close(F.conv2d(a * x + b * x2, k), a * F.conv2d(x, k) + b * F.conv2d(x2, k))
    _close(F.conv2d(x, a * k + b * k2), a * F.conv2d(x, k) + b * F.conv2d(x, k2))


def _permutes_channels(d: Draw) -> None:
    x, k = d.images, d.kernel
    order, maps = d.random.permutation(d.c), d.random.permutation(d.f)
    _close(F.conv2d(x[..., order], k[:, :, order][..., maps], padding="same"), F.conv2d(x, k, padding="same")[..., maps])


def _delta_is_the_identity(d: Draw) -> None:
    x, k = d.images, np.zeros((d.kh, d.kw, d.c, d.c))
    u, v = int(d.random.integers(d.kh)), int(d.random.integers(d.kw))
    k[u, v] = np.eye(d.c)
    _close(F.conv2d(x, k), x[:, u : u + d.h - d.kh + 1, v : v + d.w - d.kw + 1])


def _one_cell_is_dense(d: Draw) -> None:
    x, k, b = d.images, d.numbers(1, 1, d.c, d.f), d.numbers(d.f)
    _close(F.conv2d(x, k, b), F.dense(x.reshape(-1, d.c), k[0, 0], b).reshape(d.n, d.h, d.w, d.f))


def _whole_image_is_dense(d: Draw) -> None:
    x, k, b = d.images, d.numbers(d.h, d.w, d.c, d.f), d.numbers(d.f)
    _close(F.conv2d(x, k, b)[:, 0, 0], F.dense(x.reshape(d.n, -1), k.reshape(-1, d.f), b))


def _strides_subsample(d: Draw) -> None:
    x, k = d.images, d.kernel
    _close(F.conv2d(x, k, strides=(d.sh, d.sw)), F.conv2d(x, k)[:, :: d.sh, :: d.sw])
    _close(F.max_pool2d(x, (d.kh, d.kw), strides=(d.sh, d.sw)), F.max_pool2d(x, (d.kh, d.kw), strides=1)[:, :: d.sh, :: d.sw])


def _padding_is_zeros_around(d: Draw) -> None:
    x, k = d.images, d.kernel
    pads = tuple((int(a), int(b)) for a, b in d.random.integers(0, 4, (2, 2)))
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    _close(F.conv2d(x, k, strides=(d.sh, d.sw), padding=pads), F.conv2d(padded, k, strides=(d.sh, d.sw)))


def _same_is_explicit(d: Draw) -> None:
    x, k = d.images, d.kernel
    totals = [max((-(-size // s) - 1) * s + kernel - size, 0) for size, s, kernel in ((d.h, d.sh, d.kh), (d.w, d.sw, d.kw))]
    pads = tuple((total // 2, total - total // 2) for total in totals)
    strides = (d.sh, d.sw)
    np.testing.assert_array_equal(F.conv2d(x, k, strides=strides, padding="same"), F.conv2d(x, k, strides=strides, padding=pads))


def _average_is_a_uniform_convolution(d: Draw) -> None:
    x, k = d.images, np.zeros((d.kh, d.kw, d.c, d.c))
    k[:, :, range(d.c), range(d.c)] = 1 / (d.kh * d.kw)
    _close(F.avg_pool2d(x, (d.kh, d.kw), strides=(d.sh, d.sw)), F.conv2d(x, k, strides=(d.sh, d.sw)))


def _maximum_follows_growing_functions(d: Draw) -> None:
    x = d.images
    np.testing.assert_array_equal(F.max_pool2d(np.exp(x), (d.kh, d.kw)), np.exp(F.max_pool2d(x, (d.kh, d.kw))))
    np.testing.assert_array_equal(F.max_pool2d(-x, 1), -x)


def _softmax_ignores_a_shift(d: Draw) -> None:
    z, shift = 10 * d.numbers(d.n, d.c), 100 * d.numbers(d.n, 1)
    np.testing.assert_allclose(F.softmax(z + shift), F.softmax(z), rtol=1e-11)
    order = d.random.permutation(d.c)
    np.testing.assert_allclose(F.softmax(z[:, order]), F.softmax(z)[:, order], rtol=1e-13)
    labels = d.random.integers(0, d.c, d.n)
    assert math.isclose(
        F.softmax_cross_entropy(z + shift, labels)[0], F.softmax_cross_entropy(z, labels)[0], rel_tol=1e-9, abs_tol=1e-11
    )


def _images_are_alone(d: Draw) -> None:
    x, k = d.images, d.kernel
    y = F.conv2d(x, k, padding="same")
    for n in range(d.n):
        np.testing.assert_array_equal(F.conv2d(x[n : n + 1], k, padding="same")[0], y[n])


LAWS = (
    _moves_with_its_input, _is_linear, _permutes_channels, _delta_is_the_identity, _one_cell_is_dense, _whole_image_is_dense,
    _strides_subsample, _padding_is_zeros_around, _same_is_explicit, _average_is_a_uniform_convolution,
    _maximum_follows_growing_functions, _softmax_ignores_a_shift, _images_are_alone,
)  # fmt: skip


def test_the_laws_of_the_operations_hold_at_random_sizes(battery) -> None:  # type: ignore[no-untyped-def]
    for case in battery("laws of convolution, pooling, dense and softmax", smoke=130, whole=1500):
        with case:
            LAWS[case.index % len(LAWS)](Draw(case.random))


# --- adjoints and gradients ------------------------------------------------------------------------------------------------------


def test_backward_passes_are_the_adjoints_of_forward_passes(battery) -> None:  # type: ignore[no-untyped-def]
    """<dy, A x> = <A^T dy, x>, for the image, the kernel and the bias; in float64, exact but for rounding."""
    for case in battery("adjoints of convolution, pooling and dense", smoke=120, whole=2000):
        with case:
            d = Draw(case.random)
            d.n, d.c = int(d.random.integers(0, 4)), int(d.random.integers(1, 18))
            pads = tuple((int(a), int(b)) for a, b in d.random.integers(0, 4, (2, 2)))
            padding: Any = ("valid", "same", pads)[d.random.integers(3)]
            strides = (d.sh, d.sw)
            x, k, b = d.images, d.kernel, d.numbers(d.f)
            kind = case.index % 3
            if kind == 0:
                y = F.conv2d(x, k, b, strides=strides, padding=padding)
                dy = d.numbers(*y.shape)
                dx, dk, db = F.conv2d_backward(x, k, dy, strides=strides, padding=padding)
                _adjoint(dy, y - b, (dx, x), (dk, k))
                _adjoint(dy, y, (dx, x), (db, b))
            elif kind == 1:
                inside = min(d.kh, d.kw) - 1
                pads = tuple((min(a, inside), min(z, inside)) for a, z in pads)  # type: ignore[misc]
                padding = pads if padding not in ("valid", "same") else padding
                size = (d.kh, d.kw)
                y = F.avg_pool2d(x, size, strides=strides, padding=padding)
                dy = d.numbers(*y.shape)
                _adjoint(dy, y, (F.avg_pool2d_backward(x, dy, size, strides=strides, padding=padding), x))
                y = F.max_pool2d(x, size, strides=strides, padding=padding)
                _adjoint(dy, y, (F.max_pool2d_backward(x, dy, size, strides=strides, padding=padding), x))
            else:
                x, k = d.numbers(d.n, d.c), d.numbers(d.c, d.f)
                dy = d.numbers(d.n, d.f)
                dx, dk, db = F.dense_backward(x, k, dy)
                y = F.dense(x, k, b)
                _adjoint(dy, y - b, (dx, x), (dk, k))
                _adjoint(dy, y, (dx, x), (db, b))


def _adjoint(dy: np.ndarray, y: np.ndarray, *pairs: tuple[np.ndarray, np.ndarray]) -> None:
    """A bilinear op: the products of each gradient with its argument equal that of dy and y; a pair (dx, x) and (db, b) add up."""
    scale = float(np.abs(dy * y).sum()) + sum(float(np.abs(g * a).sum()) for g, a in pairs) + 1e-300
    products = [float((g * a).sum()) for g, a in pairs]
    total = float((dy * y).sum())
    parts = products if len(pairs) < 2 or pairs[1][1].ndim > 1 else [sum(products)]
    for product in parts:
        assert abs(product - total) <= 1e-12 * scale


def _random_network(random: np.random.Generator) -> nc.Graph:
    """A few layers of any kind, with branches, for images of about 7 x 6."""
    smooth = ("tanh", "sigmoid", None)

    def activation() -> Any:
        return smooth[random.integers(3)]

    nodes: list[Any] = [("first", nc.Conv2D(3, int(random.integers(1, 4)), padding="same", activation=activation()), ["input"])]
    last = "first"
    for i in range(int(random.integers(1, 5))):
        kind, name = random.integers(7), f"layer{i}"
        if kind == 0:
            nodes.append(
                (name, nc.Conv2D(3, (2, 3), padding="same", activation=activation(), use_bias=bool(random.integers(2))), [last])
            )
        elif kind == 1:
            nodes.append((name, nc.BatchNorm(), [last]))
        elif kind == 2:
            nodes.append((name, nc.Dropout(0.3), [last]))
        elif kind == 3:
            nodes.append((name, nc.AvgPool2D((2, 3), strides=1, padding="same"), [last]))
        elif kind == 4:
            nodes.append((name, nc.MaxPool2D(2, strides=1, padding="same"), [last]))
        else:
            nodes.append((f"branch{i}", nc.Conv2D(3, 1, activation=activation()), [last]))
            nodes.append((name, nc.Add() if kind == 5 else nc.Concatenate(), [last, f"branch{i}"]))
        last = name
    nodes.append(("flat", (nc.Flatten(), nc.GlobalAvgPool2D())[random.integers(2)], [last]))
    nodes.append(("hidden", nc.Dense(4, activation=activation()), ["flat"]))
    nodes.append(("head", nc.Dense(3, activation="softmax"), ["hidden"]))
    return nc.build_graph("random", (int(random.integers(3, 8)), int(random.integers(3, 7)), int(random.integers(1, 3))), nodes)


def test_gradients_of_random_networks_equal_differences(battery) -> None:  # type: ignore[no-untyped-def]
    """Along a random direction of all parameters at once: central differences of two steps, extrapolated, in float64."""
    ops = get_ops("cpu")
    for case in battery("gradients of random networks", smoke=12, whole=60):
        with case:
            random = case.random
            graph = without_softmax(_random_network(random))
            parameters = initial_parameters(graph, case.index, dtype=np.float64)
            for name in parameters:
                parameters[name] = parameters[name] + random.normal(0, 0.1, parameters[name].shape)
            x, labels = random.standard_normal((4, *graph.input_shape)), random.integers(0, 3, 4)

            def loss(values: Any) -> tuple[float, Any, Any]:
                passed = forward(graph, ops, values, x, training=True, seed=1, step=2)  # noqa: B023
                losses, _, dlogits = ops.softmax_cross_entropy(passed.y, labels)  # noqa: B023
                return float(losses.mean()), passed, dlogits

            _, passed, dlogits = loss(parameters)
            gradients = {name: np.array(ops.to_host(g)) for name, g in backward(ops, parameters, passed, dlogits).items()}
            assert gradients.keys() == {name for name, spec in graph.parameters.items() if spec.trainable}
            for name in gradients:
                direction = random.standard_normal(parameters[name].shape)

                def slope(step: float) -> float:
                    ahead, behind = (
                        loss(parameters | {name: parameters[name] + sign * step * direction})[0]  # noqa: B023
                        for sign in (1, -1)
                    )
                    return (ahead - behind) / (2 * step)

                difference = (4 * slope(5e-6) - slope(1e-5)) / 3
                computed = float((gradients[name] * direction).sum())
                scale = float(np.linalg.norm(gradients[name]) * np.linalg.norm(direction))
                assert abs(computed - difference) <= 1e-6 * scale + 1e-9, name


# --- random draws ------------------------------------------------------------------------------------------------------------------


def _kolmogorov(values: np.ndarray, distribution: Callable[[np.ndarray], np.ndarray]) -> float:
    """sqrt(n) times the largest distance from a distribution function: above 2.2 for one sample in 10,000."""
    ordered = np.sort(values.ravel())
    n = ordered.size
    expected = distribution(ordered)
    above, below = np.arange(1, n + 1) / n - expected, expected - np.arange(n) / n
    return math.sqrt(n) * float(max(above.max(), below.max()))


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * (1 + math.erf(each / math.sqrt(2))) for each in x])


def test_initial_weights_follow_their_distribution(battery) -> None:  # type: ignore[no-untyped-def]
    scaled = [name for name, how in INITIALIZERS.items() if isinstance(how, VarianceScaling)]
    for case in battery("distributions of initial weights", smoke=12, whole=120):
        with case:
            name = scaled[case.index % len(scaled)]
            fan_in, fan_out = (int(k) for k in case.random.integers(5, 500, 2))
            values = initial_values(name, (100, 60), fan_in, fan_out, stream(case.index), np.float64)
            scale = 2.0 if name.startswith("he") else 1.0
            fan = (fan_in + fan_out) / 2 if name.startswith("glorot") else fan_in
            sd = math.sqrt(scale / fan)
            assert abs(values.std() / sd - 1) < 0.05
            if name.endswith("uniform"):
                limit = math.sqrt(3) * sd
                assert _kolmogorov((values + limit) / (2 * limit), lambda u: u) < 2.5
            else:
                inner = sd / 0.8796256610342398
                assert np.abs(values).max() <= 2 * inner * (1 + 1e-12)
                low, high = _normal_cdf(np.array([-2.0, 2.0]))
                assert _kolmogorov(values / inner, lambda v: (_normal_cdf(v) - low) / (high - low)) < 2.5  # noqa: B023


def test_dropout_drops_its_share_evenly_and_keeps_the_mean(battery) -> None:  # type: ignore[no-untyped-def]
    for case in battery("shares of dropout", smoke=10, whole=100):
        with case:
            rate, n = float(case.random.uniform(0.05, 0.95)), 20_000
            y = F.dropout(np.ones((n // 20, 20)), rate, case.index, int(case.random.integers(1000)))
            dropped = y == 0
            np.testing.assert_allclose(y[~dropped], 1 / (1 - rate), rtol=1e-12)
            sd = math.sqrt(n * rate * (1 - rate))
            assert abs(dropped.sum() - n * rate) < 5 * sd
            assert np.abs(dropped.sum(0) - n / 20 * rate).max() < 5.5 * sd / math.sqrt(20)
            assert np.abs(dropped[:, 1:].astype(int) - dropped[:, :-1]).mean() == pytest.approx(2 * rate * (1 - rate), abs=0.03)


def test_the_order_of_images_is_uniform(battery) -> None:  # type: ignore[no-untyped-def]
    """Chi-squared of where each of 11 images goes, over 1,000 epochs: 100 degrees of freedom, standard deviation 14."""
    for case in battery("orders of epochs", smoke=2, whole=20):
        with case:
            side, epochs = 11, 1000
            counts = np.zeros((side, side))
            for epoch in range(epochs):
                counts[np.arange(side), epoch_order(np.arange(side), case.index, epoch)] += 1
            expected = epochs / side
            chi2, free = float(((counts - expected) ** 2 / expected).sum()), (side - 1) ** 2
            assert abs(chi2 - free) < 5 * math.sqrt(2 * free)
