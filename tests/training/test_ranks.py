"""Any number of processes that train together end with the bits of one."""

import dataclasses
import hashlib
import itertools
from typing import Any

import numpy as np
import pytest
from piped_ranks import PipedRanks, on_ranks

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.backends.cpu.conv.algorithm import choose_algorithm
from numbacnn.datasets import Dataset
from numbacnn.graph import Graph
from numbacnn.groups import branches_of, group_count, group_start
from numbacnn.ranks import ALONE, Ranks, whole
from numbacnn.shapes import window2d
from numbacnn.training import Settings, new_state, train

SIDE = 12


def network(name: str) -> Graph:
    layers = {
        "transforms": [  # the first convolution is direct, the second in the frequency domain, the third by Winograd's tiles
            nc.Conv2D(16, 3, activation="relu", padding="same"),
            nc.Conv2D(16, 5, activation="relu", padding="same"),
            nc.Conv2D(32, 3, activation="relu", padding="same"),
            nc.MaxPool2D(),
            nc.Flatten(),
            nc.Dropout(0.3),
        ],
        "normalised": [
            nc.Conv2D(4, 3, padding="same", use_bias=False),
            nc.BatchNorm(),
            nc.Activation("relu"),
            nc.DepthwiseConv2D(3, depth_multiplier=2),
            nc.BatchNorm(center=False, scale=False),
            nc.Conv2D(4, 3, dilation_rate=2, groups=2),
            nc.AvgPool2D(),
            nc.Flatten(),
        ],
        "dense": [nc.Flatten(), nc.Dense(40, activation="sigmoid"), nc.Dropout(0.2), nc.Dense(30, activation="relu")],
    }
    return nc.sequential(*layers[name], nc.Dense(3, activation="softmax"), input_shape=(SIDE, SIDE, 1), name=name)


def pictures(count: int) -> Dataset:
    generator = np.random.default_rng(0)
    labels = (np.arange(count + 31) % 3).astype(np.uint8)
    images = generator.integers(0, 120, (count + 31, SIDE, SIDE, 1)) + 60 * labels[:, None, None, None]
    pixels = images.astype(np.uint8)
    return Dataset("pictures", pixels[:count], labels[:count], pixels[count:], labels[count:], ("a", "b", "c"), "drawn here")


CASES = {  # the last batch of an epoch is smaller, and has other groups
    "transforms": ("transforms", 70, {"batch_size": 50, "augment": True}, False),
    "direct summation": ("transforms", 33, {"batch_size": 17}, True),
    "normalised": ("normalised", 75, {"batch_size": 40, "augment": True, "optimizer": "momentum"}, False),
    "more groups, and validation": ("normalised", 330, {"batch_size": 270, "validation": 0.1}, False),
    "dense": ("dense", 150, {"batch_size": 64, "optimizer": "sgd"}, False),
    "a last batch of fewer images than groups": ("normalised", 45, {"batch_size": 40}, False),
}


def trained(ranks: Ranks) -> list[tuple[str, list[dict[str, Any]]]]:
    """The weights' hash and the history of each case, on one thread."""
    return [_trained(ranks, *case) for case in CASES.values()]


def _trained(ranks: Ranks, name: str, count: int, settings: dict[str, Any], exact: bool) -> tuple[str, list[dict[str, Any]]]:
    ops = get_ops("cpu", threads=1, exact_conv=exact)
    ops.ranks = ranks
    state = new_state(network(name), Settings(**{"epochs": 2, "learning_rate": 0.01, "seed": 3} | settings), ops)
    for _ in train(state, pictures(count), ops):
        pass
    records = [dataclasses.asdict(dataclasses.replace(each, seconds=0, images_per_second=0)) for each in state.history]
    digest = hashlib.sha256()
    for arrays in (state.parameters, state.slots):
        for key in sorted(arrays):
            digest.update(arrays[key].tobytes())
    return digest.hexdigest(), records


def test_the_networks_are_convolved_in_every_way() -> None:
    def algorithm(size: int, kernel: int, channels: int, maps: int) -> str:
        return choose_algorithm(50, window2d((size, size), (kernel, kernel), (1, 1), "same"), channels, maps).algorithm

    assert [algorithm(SIDE, 3, 1, 16), algorithm(SIDE, 5, 16, 16), algorithm(SIDE, 3, 16, 32)] == [
        "direct", "frequency", "winograd",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def of_one_process() -> list[tuple[str, list[dict[str, Any]]]]:
    return trained(ALONE)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_ranks_end_with_the_bits_of_one_process(size: int, of_one_process: list[tuple[str, list[dict[str, Any]]]]) -> None:
    for found in on_ranks(size, trained):
        for case, one, other in zip(CASES, of_one_process, found, strict=True):
            assert other == one, case


@pytest.mark.parametrize("batch", [8, 9, 17, 63, 64, 100, 125, 127, 128, 129, 1000, 4097])
def test_shares_cover_a_batch_by_branches_of_its_tree(batch: int) -> None:
    groups = group_count(batch)
    starts = [group_start(group, groups, batch) for group in range(groups + 1)]
    assert starts[0] == 0
    assert starts[-1] == batch
    sizes = [stop - start for start, stop in itertools.pairwise(starts)]
    assert max(sizes) - min(sizes) <= 1
    for size in range(2, min(groups, 20) + 1):
        shares = PipedRanks(0, size, ()).shares(batch)
        assert [share.first for share in shares] == [0, *np.cumsum([share.images for share in shares])[:-1]]
        assert sum(share.images for share in shares) == batch
        assert sum(branch.groups for share in shares for branch in share.branches) == groups
        for share in shares:
            for branch in share.branches:
                own = [group_start(group, branch.groups, branch.images) for group in range(branch.groups + 1)]
                assert {share.first + branch.first + start for start in own} <= set(starts), "halves of a branch are its groups"


def test_branches_are_as_few_as_can_be() -> None:
    assert [branch.groups for branch in branches_of(0, 8, 8, 100)] == [8]
    assert [branch.groups for branch in branches_of(1, 8, 8, 100)] == [1, 2, 4]
    assert [branch.groups for branch in branches_of(2, 5, 8, 100)] == [2, 1]


@pytest.mark.parametrize(("size", "batch"), [(2, 7), (9, 100), (2, 1), (3, 0)])
def test_with_fewer_images_or_groups_than_ranks_each_computes_the_whole_batch(size: int, batch: int) -> None:
    assert {(share.first, share.images) for share in PipedRanks(0, size, ()).shares(batch)} == {(0, batch)}


def test_a_batch_beside_the_step_is_not_shared() -> None:
    """The layer that is not finite is looked for in the whole batch, by each rank for itself, within the step."""
    ranks = PipedRanks(1, 2, ())
    with ranks.step(100) as share:
        assert (share.first, share.images) == (50, 50)
        assert ranks.share(50) is share
        assert ranks.share(100) == whole(100)
    assert ranks.share(50) == whole(50)
