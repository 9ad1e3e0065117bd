"""Rounding errors of long float32 sums, beside those of PyTorch where it is installed.

    python benchmarks/sums.py

An error is the largest difference from float64, in units of 2^-24 of the sum: 1 is half the distance between neighbouring float32
values. All terms are positive random numbers. It measures no time.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from numbacnn.backends import get_ops
from numbacnn.shapes import pool_window2d, window2d

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

ROUNDING = 2.0**-24


class Sum(NamedTuple):
    """A sum: its name, its exact value, and the values computed here and by PyTorch."""

    name: str
    exact: np.ndarray
    ours: np.ndarray
    peer: np.ndarray | None


def sums() -> Iterator[Sum]:
    draw = np.random.default_rng(0)
    ops, plain = get_ops("cpu", exact_conv=True), get_ops("cpu", plain=True)

    side = 224
    x = draw.random((1, side, side, 3), np.float32)
    mean = plain.avg_pool2d(x, pool_window2d((side, side), (side, side), (1, 1), "valid"))
    peer = None if torch is None else _tensor(x.transpose(0, 3, 1, 2)).mean((2, 3)).numpy().reshape(mean.shape)
    yield Sum(f"mean of a {side} x {side} map", x.mean((1, 2), np.float64, keepdims=True), mean, peer)

    z = draw.standard_normal((8, 50_000), np.float32)
    exponentials = np.exp(z.astype(np.float64))
    peer = None if torch is None else torch.softmax(_tensor(z), 1).numpy()
    yield Sum("softmax over 50,000 classes", exponentials / exponentials.sum(1, keepdims=True), plain.softmax(z), peer)

    rows = 100_000
    x, dy = draw.random((rows, 40), np.float32), draw.random((rows, 30), np.float32)
    kernel = draw.random((40, 30), np.float32)
    _, dkernel, dbias = ops.dense_backward(x, kernel, dy, needs_dx=False)
    dkernel, dbias = ops.to_host(dkernel), ops.to_host(dbias)
    peers: tuple[Any, Any] = (None, None)
    if torch is not None:
        weights, bias = _tensor(kernel).requires_grad_(), torch.zeros(30, requires_grad=True)
        (_tensor(x) @ weights + bias).backward(_tensor(dy))
        peers = weights.grad.numpy(), bias.grad.numpy()  # type: ignore[union-attr]
    yield Sum(f"gradient of a bias over {rows:,} rows", dy.sum(0, np.float64), dbias, peers[1])
    yield Sum(f"gradient of a dense kernel over {rows:,} rows", x.astype(np.float64).T @ dy, dkernel, peers[0])

    side, size = 400, 3
    x, dy = draw.random((2, side, side, 3), np.float32), draw.random((2, side, side, 8), np.float32)
    kernel = draw.random((size, size, 3, 8), np.float32)
    window = window2d((side, side), (size, size), (1, 1), "same")
    _, dkernel, _ = ops.conv2d_backward(x, kernel, dy, window, needs_dx=False)
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    exact = np.array([
        [np.tensordot(padded[:, u : u + side, v : v + side], dy.astype(np.float64), ((0, 1, 2), (0, 1, 2))) for v in range(size)]
        for u in range(size)
    ])  # fmt: skip
    peer = None
    if torch is not None:
        weights = _tensor(kernel.transpose(3, 2, 0, 1)).requires_grad_()
        torch.nn.functional.conv2d(_tensor(x.transpose(0, 3, 1, 2)), weights, padding=1).backward(
            _tensor(dy.transpose(0, 3, 1, 2))
        )
        peer = weights.grad.numpy().transpose(2, 3, 1, 0)  # type: ignore[union-attr]
    yield Sum(f"gradient of filters over 2 images of {side} x {side}, direct", exact, ops.to_host(dkernel), peer)


def _tensor(array: np.ndarray) -> Any:
    return torch.from_numpy(np.ascontiguousarray(array))


def _error(computed: np.ndarray, exact: np.ndarray) -> float:
    return float((np.abs(computed.astype(np.float64) - exact) / np.abs(exact)).max() / ROUNDING)


def main() -> None:
    print(f"{'sum':56}{'numbacnn':>10}{'PyTorch':>10}")
    for each in sums():
        peer = "-" if each.peer is None else f"{_error(each.peer, each.exact):.1f}"
        print(f"{each.name:56}{_error(each.ours, each.exact):>10.1f}{peer:>10}")


if __name__ == "__main__":
    main()
