"""Two ranks with a GPU each: they compute what one computes, and equal bits."""

import numpy as np
import pytest
from piped_ranks import on_ranks

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.datasets import Dataset
from numbacnn.ranks import ALONE, Ranks
from numbacnn.training import Settings, new_state, train

pytestmark = [pytest.mark.devices("cuda"), pytest.mark.simulator]

IMAGES = 17


def trained(ranks: Ranks) -> tuple[dict[str, np.ndarray], float, float]:
    """Weights, training loss and test loss after an epoch of a batch of 12 and one of 5, which each rank computes as a whole."""
    graph = nc.sequential(
        nc.Conv2D(2, 3, use_bias=False),
        nc.BatchNorm(),
        nc.Activation("relu"),
        nc.Conv2D(2, 2, activation="relu", dilation_rate=2),
        nc.Flatten(),
        nc.Dropout(0.3),
        nc.Dense(3, activation="softmax"),
        input_shape=(5, 5, 1),
        name="few",
    )
    generator = np.random.default_rng(0)
    pixels, labels = generator.integers(0, 256, (IMAGES + 3, 5, 5, 1), np.uint8), (np.arange(IMAGES + 3) % 3).astype(np.uint8)
    dataset = Dataset("noise", pixels[:IMAGES], labels[:IMAGES], pixels[IMAGES:], labels[IMAGES:], ("a", "b", "c"), "drawn here")
    ops = get_ops("cuda")
    ops.ranks = ranks
    state = new_state(graph, Settings(epochs=1, batch_size=12, learning_rate=0.01, optimizer="momentum", augment=True), ops)
    for _ in train(state, dataset, ops):
        pass
    weights = {name: ops.to_host(array) for name, array in state.parameters.items()}
    return weights, state.history[0].loss, state.history[0].test_loss


@pytest.mark.parametrize("size", [2, 3])
def test_ranks_with_a_gpu_each_compute_what_one_computes(device, size):
    weights, *losses = trained(ALONE)
    found = on_ranks(size, trained)
    for name, expected in weights.items():
        assert len({each[name].tobytes() for each, *_ in found}) == 1, name
        np.testing.assert_allclose(found[0][0][name], expected, rtol=1e-4, atol=1e-6, err_msg=name)
    np.testing.assert_allclose([each[1:] for each in found], [losses] * size, rtol=1e-5)
