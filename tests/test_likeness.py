"""What tells images unlike every training image: features in whole numbers, the threshold, and their file."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import SETTINGS, net, stripes

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.checkpoint import TrainedNetwork, _write, load_likeness, save_likeness, save_network, weights_sha256
from numbacnn.features import nearest, unit_length
from numbacnn.initializers import initial_parameters
from numbacnn.likeness import LEAST_IMAGES, NEIGHBOUR, REFUSED, WIDTH, Likeness, _directions, compressed, measure_likeness
from numbacnn.training import new_state
from numbacnn.training.likeness import likeness_of

RNG = np.random.default_rng(0)


def vectors(count: int, width: int, seed: int = 0) -> np.ndarray:
    return unit_length(np.random.default_rng(seed).exponential(size=(count, width)))


def test_distances_are_those_of_exact_sums() -> None:
    """Whatever the order in which a library adds: the same bits with any number of threads."""
    likeness = Likeness(compressed(vectors(300, 40)), 0.1)
    others = vectors(20, 40, seed=1)
    small, bank = compressed(others).astype(object), likeness.bank.astype(object)
    for row, found in zip(small, likeness.distances(others), strict=True):
        products = [int(np.dot(row, other)) for other in bank]
        lengths = [int(np.dot(other, other)) ** 0.5 for other in bank]
        exact = sorted(1 - p / s / int(np.dot(row, row)) ** 0.5 for p, s in zip(products, lengths, strict=True))
        assert found == pytest.approx(exact[NEIGHBOUR - 1], abs=1e-6)
    shuffled = np.random.default_rng(2).permutation(40)  # of the numbers of an image: another order of the sums
    again = Likeness(likeness.bank[:, shuffled], 0.1)
    np.testing.assert_array_equal(likeness.nearest(compressed(others)), again.nearest(compressed(others)[:, shuffled]))


def test_whole_numbers_keep_the_angles() -> None:
    found, bank = vectors(50, 64), vectors(200, 64, seed=1)
    exact = nearest(found, bank, 3).distances
    small = nearest(compressed(found).astype(np.float32), compressed(bank).astype(np.float32), 3).distances
    np.testing.assert_allclose(small, exact, atol=0.005)
    assert compressed(found).max() == 127
    assert not compressed(np.zeros((2, 5), np.float32)).any()


def test_wide_features_are_projected_and_keep_the_angles_roughly() -> None:
    wide = unit_length(np.abs(RNG.normal(size=(60, 1000))) * (RNG.random((60, 1000)) < 0.2))
    small = compressed(wide).astype(np.float64)
    assert small.shape == (60, WIDTH)
    exact = wide.astype(np.float64) @ wide.T
    small /= np.linalg.norm(small, axis=1, keepdims=True)
    error = small @ small.T - exact
    assert 0.04 < error.std() < 0.12, "about 1 / sqrt(WIDTH), 0.09"


def test_the_directions_are_the_same_on_every_machine() -> None:
    """A bank that was written with other directions would be compared with numbers that mean nothing."""
    directions = _directions(300)
    assert set(np.unique(directions)) == {-1, 1}
    digest = hashlib.sha256(directions.astype(np.int8).tobytes()).hexdigest()
    assert digest == "c100fe16e4b8b8a7393c3bb2cbfb06748cfac4de87650c089b9a659c91bc161e"


def test_the_threshold_refuses_a_known_share_of_the_images_held_out() -> None:
    bank = compressed(vectors(400, 20))
    for others in (compressed(vectors(1000, 20, seed=1)), None):
        likeness = measure_likeness(bank, others)
        assert likeness is not None
        distances = likeness.nearest(bank, NEIGHBOUR + 1) if others is None else likeness.nearest(others)
        assert sum(map(likeness.is_unlike, distances)) == int(REFUSED * len(distances))


def test_images_elsewhere_are_unlike_and_others_of_the_kind_are_not() -> None:
    likeness = measure_likeness(compressed(vectors(400, 20)), None)
    assert likeness is not None
    assert all(map(likeness.is_unlike, likeness.distances(-vectors(50, 20, seed=1))))
    assert np.mean(list(map(likeness.is_unlike, likeness.distances(vectors(400, 20, seed=1))))) < 0.05


def test_too_few_images_say_nothing() -> None:
    assert measure_likeness(compressed(vectors(LEAST_IMAGES - 1, 20)), None) is None
    assert measure_likeness(compressed(vectors(400, 20)), compressed(vectors(LEAST_IMAGES - 1, 20))) is None
    assert measure_likeness(compressed(vectors(LEAST_IMAGES, 20)), None) is not None


def test_the_images_of_the_bank_are_never_those_that_are_held_out() -> None:
    state = new_state(net(), replace(SETTINGS, validation=0.3), get_ops("cpu"))
    parameters = initial_parameters(net(), seed=0)
    data = stripes(count=400)
    found = likeness_of(state, parameters, data, get_ops("cpu"))
    assert found is not None
    assert found.bank.shape == (280, 36)
    again = likeness_of(state, parameters, data, get_ops("cpu", 1))
    assert again is not None
    np.testing.assert_array_equal(found.bank, again.bank)
    assert found.threshold == again.threshold
    assert likeness_of(new_state(net(), SETTINGS, get_ops("cpu")), parameters, stripes(count=99), get_ops("cpu")) is None


# --- the file ---------------------------------------------------------------------------------------------------------------------


def test_a_file_gives_back_what_it_was_given(tmp_path: Path) -> None:
    path, parameters = tmp_path / "features.safetensors", initial_parameters(net(), seed=0)
    likeness = Likeness(compressed(vectors(150, 36)), 0.25)
    save_likeness(path, likeness, weights_sha256(net(), parameters))
    found = load_likeness(path, net(), parameters)
    np.testing.assert_array_equal(found.bank, likeness.bank)
    assert found.threshold == 0.25
    with pytest.raises(nc.CheckpointError, match="expected features of this network, got those of another one"):
        load_likeness(path, net(), initial_parameters(net(), seed=1))


GOOD = {"kind": "feature bank", "threshold": 0.25}


@pytest.mark.parametrize(
    ("arrays", "about", "message"),
    [
        ({}, GOOD, r"features: expected int8 \(at least 100, 36\), got none"),
        ({"features": np.ones((150, 35), np.int8)}, GOOD, r"got int8 \(150, 35\)"),
        ({"features": np.ones((99, 36), np.int8)}, GOOD, r"got int8 \(99, 36\)"),
        ({"features": np.ones((150, 36), np.float32)}, GOOD, r"got float32 \(150, 36\)"),
        ({"features": np.ones((150, 36), np.int8)}, GOOD | {"threshold": float("nan")}, "threshold: expected a distance"),
        ({"features": np.ones((150, 36), np.int8)}, GOOD | {"threshold": "far"}, "threshold: expected a distance"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, arrays: dict[str, Any], about: dict[str, Any], message: str) -> None:
    parameters = initial_parameters(net(), seed=0)
    _write(tmp_path / "f.safetensors", arrays, about | {"weights_sha256": weights_sha256(net(), parameters)})
    with pytest.raises(nc.CheckpointError, match=message):
        load_likeness(tmp_path / "f.safetensors", net(), parameters)


def test_a_network_in_its_place_is_refused(tmp_path: Path) -> None:
    parameters = initial_parameters(net(), seed=0)
    network = TrainedNetwork(net(), parameters, ("a", "b", "c"), {})
    save_network(tmp_path / "f.safetensors", network)
    with pytest.raises(nc.CheckpointError, match="expected a feature bank, got a 'network'"):
        load_likeness(tmp_path / "f.safetensors", net(), parameters)
