"""Whole training steps of presets on the PTX device, against the same steps on the CPU."""

import numpy as np
import pytest
from ptx.stand_in import PtxDevice

from numbacnn.backends import get_ops
from numbacnn.datasets import DIGIT_NAMES, Dataset
from numbacnn.models import PRESETS
from numbacnn.training import Settings, new_state, train
from numbacnn.training.events import StepDone

STEPS = 2
BATCH_SIZES = {"small": 100, "cnn": 20, "accurate": 20, "residual": 20}
"""Of each preset. At 100, the tiles are those of the lecture's training."""

BOUND = 1e-3
"""Relative L2 error of what the steps have changed in a parameter. Adam divides a gradient by its own size, so that one near 0 shows its
rounding in full."""


def noise(count: int, shape: tuple[int, ...]) -> Dataset:
    """Random images and labels."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, *shape), np.uint8)
    labels = generator.integers(0, 10, count).astype(np.uint8)
    return Dataset("noise", images, labels, images[:1], labels[:1], DIGIT_NAMES, "random numbers")


def steps_on(device: str, name: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], float]:
    """The parameters before and after the steps, and the sum of their losses."""
    preset, batch, ops = PRESETS[name], BATCH_SIZES[name], get_ops(device)
    settings = Settings(
        epochs=5, batch_size=batch, optimizer=preset.recipe.optimizer, learning_rate=1e-3, augment=preset.recipe.augment
    )
    state = new_state(preset.graph, settings, ops)
    before = {key: np.array(ops.to_host(array)) for key, array in state.parameters.items()}
    events = train(state, noise(batch * STEPS, preset.graph.input_shape), ops)
    done = 0
    while done < STEPS:
        done += isinstance(next(events), StepDone)
    state.read_losses(ops, STEPS)
    return before, {key: np.array(ops.to_host(array)) for key, array in state.parameters.items()}, state.loss_sum


@pytest.mark.parametrize("name", BATCH_SIZES)
def test_two_training_steps_are_those_of_the_cpu(ptx_device: PtxDevice, name: str) -> None:
    before, expected, loss = steps_on("cpu", name)
    start, found, their_loss = steps_on("cuda", name)
    assert their_loss == pytest.approx(loss, rel=1e-5)
    for key, array in expected.items():
        np.testing.assert_array_equal(start[key], before[key])
        wanted, change = (each.astype(np.float64) - before[key] for each in (array, found[key]))
        assert np.linalg.norm(wanted) > 0, key
        assert np.linalg.norm(change - wanted) < BOUND * np.linalg.norm(wanted), key
