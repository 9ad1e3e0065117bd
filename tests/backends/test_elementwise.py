"""Sums of branches, joining and splitting channels, pixels to numbers; and transfers."""

import numpy as np
import pytest
from devices import normal

SIZES = [0, 1, 7, 8, 9, 31, 32, 33, 257]


@pytest.mark.parametrize("shape", [*((size,) for size in SIZES), (3, 4), (2, 3, 1, 5), (0, 4)], ids=str)
def test_adding_branches_is_exact(device, dtype, shape):
    a, b = normal(0, dtype, shape, shape)
    np.testing.assert_array_equal(device.run("add", a, b), a + b, strict=True)


@pytest.mark.parametrize("before", [(3,), (2, 1, 4), (2, 3, 4), (0,), (1,)], ids=str)
@pytest.mark.parametrize("sizes", [(3,), (1, 4), (2, 5, 1)], ids=str)
def test_concatenating_and_splitting_undo_each_other(device, dtype, before, sizes):
    parts = normal(0, dtype, *[(*before, size) for size in sizes])
    joined = device.run("concatenate", parts)
    np.testing.assert_array_equal(joined, np.concatenate(parts, axis=-1), strict=True)
    pieces = device.run("split", joined, sizes)
    for part, again in zip(parts, pieces if len(sizes) > 1 else [pieces], strict=True):
        np.testing.assert_array_equal(part, again, strict=True)


@pytest.mark.parametrize("indices", [[], [8], [8, 0, 3, 3]], ids=str)
@pytest.mark.parametrize("scale", [1 / 255, 1.0])
def test_gathered_images_are_the_pixels_of_the_indices_scaled(device, indices, scale):
    images = np.random.default_rng(0).integers(0, 256, (9, 3, 2, 2), dtype=np.uint8)
    gathered = device.run("gather_images", images, np.array(indices, np.int64), scale)
    np.testing.assert_array_equal(gathered, images[np.array(indices, int)] * np.float32(scale), strict=True)


@pytest.mark.parametrize("stored", [np.float32, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("shape", [(0, 3), (5,), (2, 3, 1)], ids=str)
def test_arrays_come_back_as_they_went(device, stored, shape):
    host = np.arange(np.prod(shape)).reshape(shape).astype(stored)
    x = device.ops.asarray(host)
    np.testing.assert_array_equal(device.get(x), host, strict=True)
    np.testing.assert_array_equal(device.get(device.ops.zeros_like(x)), np.zeros_like(host), strict=True)


def test_arrays_in_any_memory_layout_arrive_in_order(device):
    host = np.arange(24.0).reshape(2, 3, 4)
    for view in (host.T, host[:, ::-1], host[..., 1]):
        np.testing.assert_array_equal(device.get(device.ops.asarray(view)), view)


def test_a_step_is_given_the_memory_of_the_one_before(device):
    """Nothing is allocated once a step has been taken; what another step leaves there does no harm."""
    ops, results, held = device.ops, [], []
    device.arena.forget()
    x, dy = (ops.asarray(each) for each in normal(0, np.float32, (3, 5), (3, 5)))
    for _ in range(3):
        with ops.reuse_memory():
            y = ops.softmax(ops.add(x, dy))
            results.append(device.get(ops.softmax_backward(y, dy)))
        held.append(device.allocations)
    device.arena.forget()
    assert held[0] == held[1] == held[2] > 0
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])
