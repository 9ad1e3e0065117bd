"""Whole training steps of presets on the PTX device, against the same steps on the CPU.

Images are not distorted: distortions differ by rounding, so that here and there another cell wins a max pooling, and Adam enlarges that.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from ptx.stand_in import PtxDevice
from ptx.steps import steps_of

from numbacnn.backends import get_ops
from numbacnn.ops import Ops
from numbacnn.training import State

STEPS = 2
BATCH_SIZES = {"small": 100, "cnn": 100, "accurate": 20, "residual": 100}
"""Of each preset."""

BOUND = 1e-3
"""Relative L2 error of what the steps have changed in a parameter; it is below 1e-4. Adam divides a gradient by its own size, so that one
near 0 shows its rounding in full."""

Parameters = dict[str, NDArray[np.float32]]


def on_host(state: State, ops: Ops) -> Parameters:
    return {name: np.array(ops.to_host(array)) for name, array in state.parameters.items()}


def trained(device: str, preset: str) -> tuple[Parameters, Parameters, float]:
    """The parameters before and after the steps, and the sum of their losses."""
    ops = get_ops(device)
    states = steps_of(preset, BATCH_SIZES[preset], STEPS, ops, augment=False)
    before = on_host(next(states), ops)
    *_, last = states
    last.read_losses(ops, STEPS)
    return before, on_host(last, ops), last.loss_sum


@pytest.mark.parametrize("preset", BATCH_SIZES)
def test_two_training_steps_are_those_of_the_cpu(ptx_device: PtxDevice, preset: str) -> None:
    before, expected, loss = trained("cpu", preset)
    start, found, their_loss = trained("cuda", preset)
    assert their_loss == pytest.approx(loss, rel=1e-5)
    for name, array in expected.items():
        np.testing.assert_array_equal(start[name], before[name])
        wanted, change = (each.astype(np.float64) - before[name] for each in (array, found[name]))
        assert np.linalg.norm(wanted) > 0, name
        assert np.linalg.norm(change - wanted) < BOUND * np.linalg.norm(wanted), name
