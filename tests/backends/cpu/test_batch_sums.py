"""Sums over a batch are a binary tree over its groups: exchanging branches leaves every bit, and a sum in order would not."""

import numpy as np
import pytest

from numbacnn.backends import get_ops
from numbacnn.backends.cpu.conv import depthwise
from numbacnn.backends.cpu.ops import ALGORITHMS
from numbacnn.backends.cpu.plain import batch_norm, conv2d
from numbacnn.backends.cpu.plain.reduction import WAVE, group_range, sum_in_waves, sum_rows
from numbacnn.backends.fused_pool import no_pooling
from numbacnn.groups import group_count
from numbacnn.ranks import whole
from numbacnn.shapes import window2d

CHANNELS, MAPS, SIDE = 16, 16, 8


def exchanged(x: np.ndarray, mask: int) -> np.ndarray:
    """The batch with group g in the place of group g ^ mask: the branches of some levels of the tree exchanged."""
    groups = group_count(len(x))
    assert len(x) % groups == 0
    return x.reshape(groups, -1, *x.shape[1:])[np.arange(groups) ^ mask].reshape(x.shape)


def gradients(way: str, x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, ...]:
    """What is summed over the batch: gradients of filters and biases, or of gamma and beta."""
    share = whole(len(x))
    if way == "batch_norm":
        y, mean, variance = batch_norm.batch_norm(x, None, None, 1e-3, share)
        return (mean, variance, *batch_norm.batch_norm_backward(x, None, mean, variance, 1e-3, dy, share)[1:])
    window = window2d((SIDE, SIDE), (3, 3), (1, 1), "same")
    generator = np.random.default_rng(1)
    if way in ALGORITHMS:
        filters = generator.normal(size=(3, 3, CHANNELS, MAPS)).astype(np.float32)
        algorithm, pool = ALGORITHMS[way], no_pooling(window)
        y, saved = algorithm.conv2d(x, filters, np.zeros(MAPS, np.float32), window, pool, False, share)
        return tuple(algorithm.conv2d_backward(x, filters, y, saved, dy, window, pool, False, False, share)[1:])
    if way == "depthwise":
        filters = generator.normal(size=(3, 3, 1, MAPS)).astype(np.float32)
        return tuple(depthwise.conv2d_backward(x, filters, dy, window, False, share)[1:])
    filters = generator.normal(size=(3, 3, CHANNELS, MAPS)).astype(np.float32)
    return tuple(conv2d.conv2d_backward(x, filters, dy, window, False, share)[1:])


@pytest.mark.parametrize("count", [64, 256], ids=["8 groups", "32 groups"])
@pytest.mark.parametrize("way", [*ALGORITHMS, "depthwise", "readable", "batch_norm"])
def test_exchanging_branches_of_the_tree_leaves_every_bit(way: str, count: int) -> None:
    get_ops("cpu")
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count, SIDE, SIDE, CHANNELS)).astype(np.float32)
    dy = generator.normal(size=(count, SIDE, SIDE, MAPS)).astype(np.float32)
    right = gradients(way, x, dy)
    for mask in (1, 4, group_count(count) - 1):
        found = gradients(way, exchanged(x, mask), exchanged(dy, mask))
        assert [a.tobytes() for a in found] == [a.tobytes() for a in right]
    turned = gradients(way, x[::-1].copy(), dy[::-1].copy())  # the order within a group does matter
    if way not in ("batch_norm", "depthwise"):  # these are summed in float64
        assert any(a.tobytes() != b.tobytes() for a, b in zip(turned, right, strict=True))


def test_the_number_of_groups_is_a_function_of_the_images() -> None:
    assert [group_count(count) for count in (0, 1, 7, 100, 127, 128, 255, 256, 1000, 60_000)] == [
        8,
        8,
        8,
        8,
        8,
        16,
        16,
        32,
        64,
        4096,
    ]


@pytest.mark.parametrize("count", [1, 5, 100, 128, 300])
def test_rows_are_summed_group_by_group_and_the_groups_by_a_tree(count: int) -> None:
    x = np.random.default_rng(count).normal(size=(count, 3, 7)).astype(np.float32)
    groups = group_count(count)
    parts = []
    for group in range(groups):
        total = np.zeros(7, np.float32)
        for row in x[slice(*group_range(group, groups, count))].reshape(-1, 7):
            total = total + row
        parts.append(total)
    while len(parts) > 1:
        parts = [left + right for left, right in zip(parts[::2], parts[1::2], strict=True)]
    assert np.array_equal(sum_rows(x, whole(count)), parts[0])


def test_waves_of_groups_are_branches_of_the_same_tree() -> None:
    leaves = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
    tree = leaves
    while len(tree) > 1:
        tree = tree[::2] + tree[1::2]

    def sum_of_wave(first: int) -> np.ndarray:
        wave = leaves[first : first + WAVE]
        while len(wave) > 1:
            wave = wave[::2] + wave[1::2]
        return wave[0]

    assert np.array_equal(sum_in_waves(64, sum_of_wave), tree[0])
