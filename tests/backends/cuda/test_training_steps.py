"""Whole training steps on the device, against the same steps on the CPU."""

import numpy as np
import pytest

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.datasets import Dataset
from numbacnn.training import Settings, new_state, train
from numbacnn.training.events import StepDone

BOUND = 5e-5
"""Relative L2 error of what two steps have changed; in the simulator it is below 1e-5. Gradients agree to about 1e-6, and a parameter
that has hardly moved shows its own rounding."""


def dataset() -> Dataset:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (10, 6, 6, 1), dtype=np.uint8)
    labels = generator.integers(0, 3, 10).astype(np.uint8)
    return Dataset("noise", images[:8], labels[:8], images[8:], labels[8:], ("a", "b", "c"), "made here")


def network() -> nc.Graph:
    """No bias comes right before the batch normalisation, which would take it out again: its gradient would be rounding alone."""
    return nc.sequential(
        nc.Conv2D(3, 3, activation="relu"), nc.MaxPool2D(2), nc.Dropout(0.3), nc.Flatten(),
        nc.Dense(5, activation="tanh"), nc.BatchNorm(), nc.Dense(3, activation="softmax"), input_shape=(6, 6, 1),
    )  # fmt: skip


def gaps_and_groups() -> nc.Graph:
    """Layers that no fast kernel of a GPU is for; each channel's bias comes after its normalisation."""
    return nc.sequential(
        nc.Conv2D(4, 2, dilation_rate=2, activation="silu"), nc.DepthwiseConv2D(2, use_bias=False), nc.BatchNorm(center=False),
        nc.Activation("hard_swish"), nc.Conv2D(4, 1, groups=2, activation="leaky_relu"),
        nc.AvgPool2D(2, padding="same", count_include_pad=True), nc.Flatten(), nc.Dense(3, activation="softmax"),
        input_shape=(6, 6, 1),
    )  # fmt: skip


pytestmark = pytest.mark.devices("cuda")


def two_steps(ops, optimizer, augment, make=network):
    """The parameters before and after, and what the steps' losses and right answers add up to."""
    settings = Settings(epochs=1, batch_size=4, optimizer=optimizer, learning_rate=0.01, augment=augment)
    state = new_state(make(), settings, ops)
    before = {name: np.array(ops.to_host(array)) for name, array in state.parameters.items()}
    steps = [event for event, _ in zip(train(state, dataset(), ops), range(2), strict=False) if isinstance(event, StepDone)]
    assert len(steps) == state.step == 2
    state.read_losses(ops, 2)
    after = {name: np.array(ops.to_host(array)) for name, array in state.parameters.items()}
    return before, after, (state.loss_sum, state.correct)


@pytest.mark.parametrize(
    ("optimizer", "augment", "make"),
    [("adam", False, network), ("momentum", True, network), ("sgd", False, network), ("momentum", False, gaps_and_groups)],
)
def test_two_training_steps_are_those_of_the_cpu(device, optimizer, augment, make):
    before, expected, (loss_sum, correct) = two_steps(get_ops("cpu"), optimizer, augment, make)
    start, found, (found_loss_sum, found_correct) = two_steps(device.ops, optimizer, augment, make)
    device.check()
    assert found_correct == correct
    assert found_loss_sum == pytest.approx(loss_sum, rel=1e-5)
    for name, array in expected.items():
        np.testing.assert_array_equal(start[name], before[name])
        change, wanted = (each.astype(np.float64) - before[name] for each in (found[name], array))
        assert np.linalg.norm(wanted) > 0, name
        assert np.linalg.norm(change - wanted) < BOUND * np.linalg.norm(wanted), name


def test_two_training_steps_give_the_same_bits_twice(device):
    (_, once, tally), (_, twice, other_tally) = (two_steps(device.ops, "adam", False) for _ in range(2))
    assert tally == other_tally
    for name in once:
        np.testing.assert_array_equal(once[name], twice[name], strict=True)
