"""Before a network runs: fused layers, memory that is used again, and a warm-up that compiles."""

from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.backends.arena import Arena
from numbacnn.backends.cpu.arena import ALIGNMENT, _aligned, arena
from numbacnn.backends.cpu.ops import CpuOps
from numbacnn.graph import without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.layers.planned import PlannedConv2D
from numbacnn.models import PRESETS
from numbacnn.network import backward, forward
from numbacnn.ops import Ops
from numbacnn.plan import make_plan
from numbacnn.training import Settings, warm_up, warm_up_part, warmup_parts


def mixed() -> nc.Graph:
    """A pooling to fuse, dropout after it, one whose convolution is read twice, and one after a sigmoid."""
    return nc.build_graph("mixed", (12, 12, 1), [
        ("a", nc.Conv2D(5, 3, activation="relu"), None), ("a_pool", nc.MaxPool2D(2), None), ("drop", nc.Dropout(0.5), None),
        ("b", nc.Conv2D(6, 2, padding="same"), None), ("b_pool", nc.MaxPool2D(2), ["b"]), ("b_too", nc.MaxPool2D(2), ["b"]),
        ("sum", nc.Add(), ["b_pool", "b_too"]), ("c", nc.Conv2D(4, 1, activation="sigmoid"), None), ("c_pool", nc.MaxPool2D(2), None),
        ("flat", nc.Flatten(), None), ("out", nc.Dense(3), None),
    ])  # fmt: skip


def test_a_convolution_is_fused_to_the_one_pooling_that_reads_it() -> None:
    plan = make_plan(mixed(), CpuOps.can_fuse)
    layers = {node.name: node.layer for node in mixed().nodes}
    assert [step.name for step in plan] == ["a_pool", "drop", "b", "b_pool", "b_too", "sum", "c", "c_pool", "flat", "out"]
    assert plan[0].layer == PlannedConv2D(layers["a"], layers["a_pool"], plan[0].layer.block)  # type: ignore[attr-defined]
    assert plan[0].parameters == (("kernel", "a/kernel"), ("bias", "a/bias"))
    assert plan[0].inputs == ("input",)
    assert not plan[0].needs_dx
    assert plan[1].position == 2, "a dropout mask depends on the position of the layer in the graph, fused or not"


def test_fusion_changes_no_bit() -> None:
    graph, ops = mixed(), get_ops("cpu")
    parameters = initial_parameters(graph, 1)
    x = np.random.default_rng(0).random((9, 12, 12, 1), np.float32)
    results = []
    for fuse in (True, False):
        passed = forward(graph, ops, parameters, x, training=True, seed=3, step=4, fuse=fuse)
        gradients = backward(ops, parameters, passed, passed.y)
        results.append({name: ops.to_host(each) for name, each in gradients.items()} | {"y": passed.y})
    assert results[0].keys() == results[1].keys()
    assert all(np.array_equal(results[0][name], results[1][name]) for name in results[0])


def test_every_preset_has_a_plan_with_all_its_parameters() -> None:
    for preset in PRESETS.values():
        named = [name for step in make_plan(preset.graph, CpuOps.can_fuse) for _, name in step.parameters]
        assert sorted(named) == sorted(preset.graph.parameters)


def test_exact_convolutions_agree_to_seven_digits_or_so() -> None:
    graph = without_softmax(PRESETS["cnn"].graph)
    parameters = initial_parameters(graph, 0)
    x = np.random.default_rng(0).random((10, 28, 28, 1), np.float32)
    fast, exact = (forward(graph, get_ops("cpu", exact_conv=each), parameters, x).y for each in (False, True))
    assert not np.array_equal(fast, exact), "two ways to compute it, or there is nothing to compare"
    assert np.abs(fast - exact).max() < 1e-5 * np.abs(exact).max()


def test_memory_is_aligned_and_used_again_only_within_a_step() -> None:
    own = Arena(_aligned)
    outside = own.empty((3, 5))
    with own.reused():
        first, second = own.empty((3, 5)), own.empty((7,), np.uint8)
    with own.reused():
        again, larger = own.empty((5, 3)), own.empty((700,), np.uint8)
    assert all(each.ctypes.data % ALIGNMENT == 0 for each in (outside, first, second, again, larger))
    assert np.shares_memory(first, again)
    assert not np.shares_memory(first, outside)
    assert not np.shares_memory(second, larger), "too small: replaced"
    assert own.size == 60 + 700


def steps_taken(ops: Ops, graph: nc.Graph, count: int) -> list[int]:
    """The arena's size after each of some steps."""
    parameters = initial_parameters(graph, 0)
    sizes = []
    for step in range(count):
        with ops.reuse_memory():
            passed = forward(graph, ops, parameters, np.zeros((20, *graph.input_shape), np.float32), training=True, step=step)
            backward(ops, parameters, passed, passed.y)
        sizes.append(arena.size)
    return sizes


@pytest.mark.parametrize("name", ["cnn", "dense128"])
def test_the_second_step_asks_for_no_more_memory_than_the_first(name: str) -> None:
    sizes = steps_taken(get_ops("cpu"), without_softmax(PRESETS[name].graph), 3)
    assert sizes[0] == sizes[1] == sizes[2]


@pytest.mark.parametrize("name", ["xo", "cs231n"])
def test_a_warm_up_runs_all_that_training_runs(name: str) -> None:
    warm_up(PRESETS[name].graph, Settings(epochs=1), get_ops("cpu"))


@pytest.mark.parametrize("name", list(PRESETS))
def test_the_parts_of_a_warm_up_hold_every_layer_once(name: str) -> None:
    graph = PRESETS[name].graph
    parts = warmup_parts(graph, get_ops("cpu"))
    found = [layer for part in parts for layer in part.layers]
    assert sorted(found) == sorted(each.name for each in make_plan(without_softmax(graph), CpuOps.can_fuse))
    assert parts[-1].layers == (), "and the two ends"


class Watched(CpuOps):
    """Remembers which of its ops were used."""

    def __init__(self) -> None:
        super().__init__()
        self.used: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if callable(value) and hasattr(Ops, name):
            self.used.add(name)
        return value


@pytest.mark.parametrize(("name", "augment"), [("xo", True), ("residual", False), ("dense128", False)])
def test_the_parts_of_a_warm_up_use_the_ops_of_the_whole(name: str, augment: bool) -> None:
    graph, settings = PRESETS[name].graph, Settings(epochs=1, augment=augment)
    whole, in_parts = Watched(), Watched()
    warm_up(graph, settings, whole)
    for part in warmup_parts(graph, in_parts):
        warm_up_part(part, settings, in_parts)
    without_kernels = {"reuse_memory", "new_pace", "to_host", "new_epoch_losses", "record_step"}
    assert whole.used - in_parts.used <= without_kernels
    assert ("augment" in in_parts.used) == augment
