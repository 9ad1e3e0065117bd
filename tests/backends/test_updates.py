"""Parameter updates in place, and the checks that hold them back."""

import math

import numpy as np
import oracle
import pytest
from devices import normal

from numbacnn.optimizers import OPTIMIZERS
from numbacnn.values import FactoredGradient, FiniteLossCheck, Update

SIZES = [0, 1, 7, 8, 9, 31, 32, 33, 257]
"""At the edges of blocks, of the simulator's and the GPU's alike."""

RATE = 0.01
RULES = pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
UPDATES = pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "moving_average"])


def update(ops, name, state, gradient, step, check=None):
    """One update by its name; ``state`` is the parameter and as many arrays as any rule keeps."""
    if name == "moving_average":
        ops.moving_average_update(state[0], gradient, 0.75, check)
    else:
        optimizer = OPTIMIZERS[name]
        ops.update(state[0], state[1 : 1 + len(optimizer.slots)], gradient, optimizer.rule(RATE, step), check)


def formula(name, weight, gradients):
    return {"sgd": oracle.sgd, "momentum": lambda *a: oracle.momentum(*a, 0.9), "adam": oracle.adam}[name](
        weight, gradients, RATE
    )


def check_steps(device, dtype, name, shape, steps):
    weight, *gradients = normal(0, dtype, *[shape] * (steps + 1))
    state = [device.put(each) for each in (weight, np.zeros_like(weight), np.zeros_like(weight))]
    for step, gradient in enumerate(gradients, start=1):
        g = device.put(gradient)
        update(device.ops, name, state, g, step)
        np.testing.assert_array_equal(device.get(g), gradient)
    device.check()
    *_, expected = formula(name, weight.astype(np.float64), [g.astype(np.float64) for g in gradients])
    np.testing.assert_allclose(device.get(state[0]), expected, rtol=0, atol=steps * 8 * np.finfo(dtype).eps)


@RULES
@pytest.mark.parametrize("size", SIZES)
def test_updates_equal_the_formula_over_three_steps(device, dtype, name, size):
    check_steps(device, dtype, name, (size,), 3)


@RULES
@pytest.mark.large
def test_updates_equal_the_formula_over_fifty_steps(device, dtype, name):
    check_steps(device, dtype, name, (7, 9), 50)


@pytest.mark.parametrize("size", SIZES)
def test_moving_average_moves_a_share_of_the_way(device, dtype, size):
    average, value = normal(0, dtype, (size,), (size,))
    moved = device.put(average)
    device.ops.moving_average_update(moved, device.put(value), 0.75)
    device.check()
    expected = 0.75 * average.astype(np.float64) + 0.25 * value
    np.testing.assert_allclose(device.get(moved), expected, rtol=0, atol=8 * np.finfo(dtype).eps)


@UPDATES
def test_images_of_parameters_are_updated_as_rows_are(device, dtype, name):
    shape = (2, 3, 1, 5) if name != "moving_average" else (5,)
    arrays = [each**2 for each in normal(0, dtype, *[shape] * 4)]
    state, flat = [device.put(each) for each in arrays], [device.put(each.reshape(-1)) for each in arrays]
    update(device.ops, name, state[:3], state[3], 1)
    update(device.ops, name, flat[:3], flat[3], 1)
    for one, other in zip(state, flat, strict=True):
        np.testing.assert_array_equal(device.get(one).reshape(-1), device.get(other))


@UPDATES
@pytest.mark.parametrize("loss", [0.5, math.nan, math.inf, -math.inf])
def test_an_update_is_held_back_unless_the_loss_of_its_step_is_finite(device, dtype, name, loss):
    arrays = [each**2 for each in normal(0, dtype, *[(9,)] * 4)]
    check = FiniteLossCheck(device.put(np.array([1, loss, math.nan], np.float32)), 1)
    state, free = ([device.put(each) for each in arrays] for _ in range(2))
    update(device.ops, name, state[:3], state[3], 2, check)
    update(device.ops, name, free[:3], free[3], 2)
    device.check()
    expected = [device.get(each) for each in free] if math.isfinite(loss) else arrays
    for got, want in zip(state, expected, strict=True):
        np.testing.assert_array_equal(device.get(got), want)
    assert not np.array_equal(device.get(free[0]), arrays[0])


@RULES
def test_updates_pass_nan_on(device, dtype, name):
    """A gradient that is no number must spoil the weight for all to see."""
    state = [device.put(np.full(3, start, dtype)) for start in (1, 0, 0)]
    update(device.ops, name, state, device.put(np.array([1, np.nan, 1], dtype)), 1)
    assert np.isnan(device.get(state[0])).tolist() == [False, True, False]


@pytest.mark.devices("plain", "fast", "cuda")
@RULES
@pytest.mark.parametrize("loss", [0.5, math.nan])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 10])
def test_parameters_are_updated_together_as_one_after_the_other(device, name, count, loss):
    """Of any sizes, none among them; images, and a gradient in factors; more than one launch of a GPU takes."""
    shapes = [(9,), (0,), (1, 2, 3, 4), (8,), (17,), (1,), (33,), (3, 5), (7,), (2, 8)][:count]
    arrays = [[each**2 for each in normal(k, np.float32, *[shape] * 4)] for k, shape in enumerate(shapes)]
    slots, rule = 1 + len(OPTIMIZERS[name].slots), OPTIMIZERS[name].rule(RATE, 2)
    check = FiniteLossCheck(device.put(np.array([loss], np.float32)), 0)
    factors = [np.ones(shape, np.float32) for shape in ((2, 3), (2, 5))]
    together, apart = ([[device.put(each) for each in group] for group in arrays] for _ in range(2))

    def changes(groups):
        gradients = [group[3] for group in groups]
        if count > 7 and device.name != "plain":  # which is never given factors
            gradients[7] = FactoredGradient(*map(device.put, factors))
        return [Update(group[0], group[1:slots], gradient) for group, gradient in zip(groups, gradients, strict=True)]

    device.ops.update_all(changes(together), rule, check)
    for change in changes(apart):
        device.ops.update(*change, rule, check)
    device.check()
    for one, other, before in zip(together, apart, arrays, strict=True):
        for k in range(4):
            np.testing.assert_array_equal(device.get(one[k]), device.get(other[k]))
            if before[k].size:
                assert np.array_equal(device.get(one[k]), before[k]) != (k < slots and loss == 0.5)


# --- fused to the product that the gradient is -----------------------------------------------------------------------------


@pytest.mark.devices("fast", "cuda")
@RULES
@pytest.mark.parametrize("shape", [(3, 1, 1), (4, 9, 8), (1, 5, 17), (9, 2, 3), (0, 3, 4)], ids=str)  # (9, 2, 3): in parts
def test_an_update_fused_to_its_gradient_has_the_bits_of_one_after_the_other(device, name, shape):
    count, terms, units = shape
    ops, (x, dy) = device.ops, map(device.put, normal(1, np.float32, (count, terms), (count, units)))
    arrays = [each**2 for each in normal(3, np.float32, *[(terms, units)] * 3)]
    fused, apart = ([device.put(each) for each in arrays] for _ in range(2))
    update(ops, name, fused, FactoredGradient(x, dy), 3)
    update(ops, name, apart, device.put(ops.to_host(FactoredGradient(x, dy))), 3)
    device.check()
    for one, other in zip(fused, apart, strict=True):
        np.testing.assert_array_equal(device.get(one), device.get(other))


@pytest.mark.devices("fast", "cuda")
@RULES
@pytest.mark.parametrize("loss", [1.0, math.nan, math.inf])
def test_a_fused_update_is_held_back_unless_the_loss_is_finite(device, name, loss):
    x, dy = map(device.put, normal(1, np.float32, (2, 3), (2, 4)))
    arrays = [each**2 for each in normal(3, np.float32, *[(3, 4)] * 3)]
    state = [device.put(each) for each in arrays]
    check = FiniteLossCheck(device.put(np.array([0, loss], np.float32)), 1)
    update(device.ops, name, state, FactoredGradient(x, dy), 3, check)
    device.check()
    for before, after in list(zip(arrays, state, strict=True))[: 1 + len(OPTIMIZERS[name].slots)]:
        assert np.array_equal(before, device.get(after)) != math.isfinite(loss)
