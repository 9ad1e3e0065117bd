"""NaN and infinity in weights, losses, gradients and predictions: reported with the layer where they begin, before anything is kept."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from networks import SETTINGS, net, run, stripes

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.checkpoint import TrainedNetwork, load_checkpoint, save_checkpoint, save_network
from numbacnn.finite import first_layer_that_is_not_finite, is_finite
from numbacnn.graph import without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.prediction import Predictor
from numbacnn.training import State, from_checkpoint, new_state, to_checkpoint

OPS = get_ops("cpu")
SGD = dataclasses.replace(SETTINGS, optimizer="sgd", epochs=1)


def plain_net(activation: str | None = "relu") -> nc.Graph:
    return nc.sequential(
        nc.Conv2D(3, 3, activation=activation), nc.MaxPool2D(), nc.Conv2D(4, 2), nc.Flatten(), nc.Dense(5, activation="relu"),
        nc.Dense(3, activation="softmax"), input_shape=(6, 6, 1), name="net",
    )  # fmt: skip


def huge(graph: nc.Graph, name: str) -> dict[str, np.ndarray]:
    """Initial parameters, one of them so large that a sum of a few products overflows."""
    parameters = {key: array.copy() for key, array in initial_parameters(graph, 0).items()}
    parameters[name][...] = 3e38
    return parameters


def kept(state: State) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in (state.parameters | state.slots).items()}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_weight_that_is_not_finite_is_named_before_a_prediction_or_a_training(value: float) -> None:
    for name in initial_parameters(net(), 0):
        parameters = {key: array.copy() for key, array in initial_parameters(net(), 0).items()}
        parameters[name].flat[-1] = value
        with pytest.raises(
            nc.NotFiniteError, match=rf"^{name}: expected finite numbers, got others: 1 of [\d,]+ values .* first is {value}"
        ):
            Predictor(without_softmax(net()), OPS, parameters)
        with pytest.raises(nc.NotFiniteError, match=rf"^{name}: expected finite numbers"):
            run(new_state(net(), SETTINGS, OPS, parameters), stripes())


@pytest.mark.parametrize("array", ["parameters/dense1/kernel", "optimizer/conv1/kernel/v", "parameters/norm1/moving_mean"])
def test_a_checkpoint_whose_arrays_are_not_finite_is_not_resumed(tmp_path: Path, array: str) -> None:
    state = new_state(net(), dataclasses.replace(SETTINGS, epochs=1), OPS)
    run(state, stripes())
    save_checkpoint(tmp_path / "c.safetensors", to_checkpoint(state, OPS, {}))
    checkpoint = load_checkpoint(tmp_path / "c.safetensors")
    spoilt = checkpoint.arrays[array].copy()
    spoilt.flat[0] = math.nan
    with pytest.raises(nc.CheckpointError, match=f"^here: {array}: expected finite numbers"):
        from_checkpoint(dataclasses.replace(checkpoint, arrays=checkpoint.arrays | {array: spoilt}), OPS, "here")


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_a_loss_that_is_not_finite_names_the_layer_whose_outputs_overflow(layer: str) -> None:
    state = new_state(plain_net(), SGD, OPS, huge(plain_net(), f"{layer}/kernel"))
    before = kept(state)
    with pytest.raises(
        nc.TrainingError,
        match=rf"epoch 1, step 1: the loss is (nan|inf).*First is the layer {layer}: [\d,]+ of [\d,]+ outputs are not finite",
    ):
        run(state, stripes())
    assert kept(state) == before


def test_a_device_whose_losses_are_read_late_names_the_step_and_layer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(OPS), "asynchronous", True)
    monkeypatch.setattr("numbacnn.training.clock.READ_EVERY", math.inf)
    state = new_state(plain_net(), SGD, OPS, huge(plain_net(), "conv2/kernel"))
    before = kept(state)
    with pytest.raises(nc.TrainingError, match=r"epoch 1, step 1: the loss is (nan|inf).*First is the layer conv2"):
        run(state, stripes())
    assert kept(state) == before


def gradient_overflow() -> State:
    """Weights of 1e-30 after weights of 1e30 give small logits; the gradient of the first ones is dy * 1e30 * 1e30."""
    graph = nc.sequential(
        nc.Flatten(), nc.Dense(4), nc.Dense(4), nc.Dense(4), nc.Dense(3, activation="softmax"), input_shape=(6, 6, 1), name="net"
    )
    parameters = initial_parameters(graph, 0)
    for name, factor in (("dense1", 1e-37), ("dense2", 1e30), ("dense3", 1e20), ("dense4", 1e-10)):
        parameters[f"{name}/kernel"] *= np.float32(factor)
    return new_state(graph, SGD, OPS, parameters)


def test_a_gradient_that_is_not_finite_stops_before_the_update_although_the_loss_is() -> None:
    """It wrote NaN into the weights; the loss of the next step told, and the last good weights were gone."""
    state = gradient_overflow()
    before = kept(state)
    with pytest.raises(
        nc.TrainingError,
        match=r"epoch 1, step 1: the loss is [\d.]+, but a gradient.*First is the gradient of dense1/\w+: \d+ of \d+ values",
    ):
        run(state, stripes())
    assert kept(state) == before
    assert state.step == 0


def test_a_gradient_that_no_one_looked_at_spoils_the_weights_but_not_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU's gradients are not looked at: the next loss stops the training, and such weights are not saved."""
    monkeypatch.setattr(type(OPS), "asynchronous", True)
    state = gradient_overflow()
    with pytest.raises(nc.TrainingError, match=r"step 2: the loss is nan.*First is the weights dense1/"):
        run(state, stripes())
    with pytest.raises(nc.TrainingError, match="weights dense1/"):
        to_checkpoint(dataclasses.replace(state, epoch_losses=None), OPS, {})


def test_an_optimiser_whose_squares_overflow_is_not_saved() -> None:
    """Adam's step would be 0 for ever: the weights stay finite, and learn nothing."""
    state = new_state(net(), dataclasses.replace(SETTINGS, epochs=1), OPS)
    state.slots["conv1/kernel/v"][0] = math.inf
    with pytest.raises(nc.TrainingError, match="the optimiser's values conv1/kernel/v are not all finite"):
        to_checkpoint(state, OPS, {})


def test_a_prediction_that_overflows_names_the_image_and_the_layer() -> None:
    graph = without_softmax(plain_net())
    images = np.zeros((250, 6, 6, 1), np.uint8)
    images[137] = 255
    predictor = Predictor(graph, OPS, huge(graph, "conv2/kernel") | {"conv1/kernel": np.full((3, 3, 1, 3), 9, np.float32)})
    with pytest.raises(
        nc.NotFiniteError, match=r"^net: expected finite logits.*image 137\. First is the layer conv2: .*outputs are not finite"
    ):
        predictor(images)
    assert np.isfinite(predictor(images[:137]).logits).all()


def test_an_epoch_whose_test_images_overflow_ends_in_a_training_error_that_names_the_layer() -> None:
    data = stripes()
    dark = dataclasses.replace(data, train_images=np.zeros_like(data.train_images))
    state = new_state(plain_net(), dataclasses.replace(SGD, learning_rate=1e-30), OPS, huge(plain_net(), "conv1/kernel"))
    with pytest.raises(nc.TrainingError, match=r"the test loss is not a finite number.*First is the layer conv1"):
        run(state, dark)
    assert state.history == []


def test_the_first_layer_is_named_in_branches_and_after_batch_normalisation_and_dropout() -> None:
    graph = nc.build_graph(
        "net", (4, 4, 1),
        [("a", nc.Conv2D(2, 3, padding="same"), ["input"]), ("b", nc.Conv2D(2, 1), ["input"]), ("n", nc.BatchNorm(), ["a"]),
         ("d", nc.Dropout(0.5), ["b"]), ("s", nc.Add(), ["n", "d"]), ("p", nc.GlobalAvgPool2D(), ["s"])],
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((3, 4, 4, 1)).astype(np.float32)
    parameters = initial_parameters(graph, 0)
    assert first_layer_that_is_not_finite(graph, OPS, parameters, x, training=True) is None
    parameters["n/beta"] = np.full(2, 3e38, np.float32)
    parameters["b/bias"] = np.full(2, 3e38, np.float32)
    assert "the layer d:" in str(first_layer_that_is_not_finite(graph, OPS, parameters, x, training=True))
    assert "the layer s:" in str(first_layer_that_is_not_finite(graph, OPS, parameters, x))
    parameters["n/gamma"][1] = math.nan
    assert "the weights n/gamma: 1 of 2 values" in str(first_layer_that_is_not_finite(graph, OPS, parameters, x))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_value_among_many_is_found_and_large_ones_are_no_alarm(bad: float) -> None:
    values = np.full((100, 100), 3e38, np.float32)
    assert is_finite(values)
    values[7, 7] = bad
    assert not is_finite(values)
    both = np.array([math.inf, -math.inf], np.float32)
    assert not is_finite(both)
    assert is_finite(np.zeros((0, 3)))


def test_evaluate_and_predict_of_a_file_with_a_weight_that_is_nan_name_it(tmp_path: Path, numbacnn) -> None:  # type: ignore[no-untyped-def]
    graph = nc.sequential(nc.Flatten(), nc.Dense(10, activation="softmax"), input_shape=(28, 28, 1), name="net")
    path = tmp_path / "m.safetensors"
    network = TrainedNetwork(graph, initial_parameters(graph, 0), tuple("0123456789"), {"dataset": "digits"})
    network.parameters["dense1/bias"][3] = math.nan
    save_network(path, network)
    done = numbacnn("evaluate", "--model", path)
    assert done.returncode == 1
    assert "dense1/bias holds values that are not finite" in done.stderr
    assert "Traceback" not in done.stderr
