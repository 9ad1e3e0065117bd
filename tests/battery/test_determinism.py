"""Equal bits: of trainings, whatever the threads, the threading layer and the kernel cache; of predictions, whatever the batch."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from battery_cases import Battery
from side_by_side import NETWORKS, predictor, start, trained

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.graph import without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.prediction import Predictor

LAYERS = ("workqueue", "omp")
THREADS = (2, 1, 4)
REPEATS = 4
RUNS = list(itertools.product(NETWORKS, LAYERS, range(REPEATS), THREADS))
"""72 processes. In the battery, the first of each network and layer compiles its kernels, and the other eleven load them."""


def test_equal_trainings_give_equal_weights(battery: Battery, tmp_path_factory: pytest.TempPathFactory) -> None:
    right = {name: trained(name) for name in NETWORKS}
    caches: dict[tuple[str, str], Path] = {}
    for case in battery("trainings: 3 networks, 2 layers, 1, 2 and 4 threads, 4 times", smoke=1, whole=len(RUNS)):
        with case:
            name, layer, _, threads = RUNS[case.index]
            variables: dict[str, object] = {"NUMBA_NUM_THREADS": threads}
            is_cold = battery.whole and (name, layer) not in caches
            if is_cold:
                caches[name, layer] = tmp_path_factory.mktemp("cache")
            if battery.whole:  # otherwise the kernels are those of the other tests
                variables["NUMBA_CACHE_DIR"] = caches[name, layer]
            answer = start("train", name, threads, layer=layer, **variables).result()
            assert (answer["digest"], answer["layer"]) == (right[name], layer)
            if battery.whole:
                assert (answer["compiled"] > 0) == is_cold


def wide() -> nc.Graph:
    """Convolutions that are computed by transforms, and one with strides: the algorithms depend on shapes."""
    return nc.sequential(
        nc.Conv2D(16, 3, padding="same", activation="relu"),
        nc.Conv2D(16, 5, padding="same", activation="relu"),
        nc.MaxPool2D(),
        nc.Conv2D(8, 3, strides=2),
        nc.Flatten(),
        nc.Dense(5, activation="softmax"),
        input_shape=(16, 16, 1),
        name="wide",
    )


def predictor_of(graph: nc.Graph, batch: int) -> Predictor:
    """A predictor with initial weights that takes so many images at a time."""
    ops = get_ops("cpu")
    ops.inference_batch = batch
    return Predictor(without_softmax(graph), ops, initial_parameters(graph, 3))


def test_a_prediction_has_the_same_bits_in_every_batch(battery: Battery) -> None:
    """An image among 1, 7, 100 or 1000, anywhere in them, the last batch smaller: 60,001 images in batches of 100 end with one."""
    graphs = [make() for make in NETWORKS.values()] + ([wide()] if battery.whole else [])
    predictors = [{batch: predictor_of(graph, batch) for batch in (1, 7, 100, 1000)} for graph in graphs]
    for case in battery("predictions in batches of 1, 7, 100 and 1000", smoke=6, whole=200):
        with case:
            random, by_batch = case.random, predictors[case.index % len(predictors)]
            count = int(random.choice([1, 7, 8, 101, 207, 1001] if battery.whole else [8, 101]))
            images = random.integers(0, 256, (count, *by_batch[1].graph.input_shape), np.uint8)
            right = by_batch[1000](images).logits
            assert right.shape == (count, by_batch[1].graph.output_shape[0])
            for batch in (7, 100):
                assert np.array_equal(by_batch[batch](images).logits, right)
            few = random.permutation(count)[:30]
            assert np.array_equal(by_batch[1](images[few]).logits, right[few])
            first, last = sorted(random.integers(0, count + 1, 2))
            assert np.array_equal(by_batch[100](images[first:last]).logits, right[first:last])


def test_predictors_of_one_network_give_equal_bits() -> None:
    images = np.random.default_rng(0).integers(0, 256, (33, 6, 6, 1), np.uint8)
    for name in NETWORKS:
        assert np.array_equal(predictor(name)(images).logits, predictor(name)(images).logits)
