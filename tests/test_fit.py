"""``nc.fit``, ``nc.load`` and the network between them: arrays in, a trained network out, the same bits as the command line's."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import run

import numbacnn as nc
from numbacnn import functional as F
from numbacnn.backends import get_ops
from numbacnn.checkpoint import weights_sha256
from numbacnn.training import Settings, new_state

CLASSES = ("bar", "frame", "stripes")


def pictures(count: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Grey pictures 8x8 of three kinds, with noise, and their classes."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = generator.integers(0, 60, (count, 8, 8))
    images[labels == 0, 3:5] += 180
    images[labels == 1, 1:7:5, 1:7] += 180
    images[labels == 2, :, ::2] += 180
    return images.astype(np.uint8), labels


X, Y = pictures()


def graph(classes: int = 3, shape: tuple[int, int, int] = (8, 8, 1)) -> nc.Graph:
    return nc.sequential(
        nc.Conv2D(filters=4, kernel_size=3, activation="relu"), nc.MaxPool2D(), nc.Flatten(),
        nc.Dense(classes, activation="softmax"), input_shape=shape, name="kinds",
    )  # fmt: skip


def fit(images: Any = X, labels: Any = Y, **options: Any) -> nc.Net:
    return nc.fit(options.pop("graph", graph()), images, labels, **{"epochs": 2, "batch_size": 20, "progress": False, **options})


@pytest.fixture(scope="module")
def net() -> nc.Net:
    return fit(epochs=8, learning_rate=0.01, validation=0.25)


def test_a_network_learns_predicts_and_is_measured(net: nc.Net) -> None:
    images, labels = pictures(60, seed=1)
    assert net.evaluate(images, labels)["accuracy"] == 1
    assert np.array_equal(net.predict(images), labels)
    probabilities = net.predict_proba(images)
    assert probabilities.dtype == np.float64
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert len(net.history) == 8
    assert net.history[0].keys() >= {
        "epoch",
        "learning_rate",
        "loss",
        "accuracy",
        "seconds",
        "validation_loss",
        "validation_accuracy",
    }
    json.dumps(net.history)


def test_fit_gives_the_bits_of_the_training_loop() -> None:
    settings = Settings(epochs=2, batch_size=20, schedule="constant", seed=3)
    state = new_state(graph(), settings, get_ops("cpu"))
    run(state, nc.Dataset.from_arrays(X, Y))
    assert weights_sha256(graph(), fit(seed=3).parameters) == weights_sha256(graph(), state.parameters)
    assert weights_sha256(graph(), fit(seed=4).parameters) != weights_sha256(graph(), state.parameters)


def test_a_saved_network_is_the_network_loaded(net: nc.Net, tmp_path: Path) -> None:
    for path in (tmp_path / "net.safetensors", str(tmp_path / "text.safetensors")):
        net.save(path)
        again = nc.load(path)
        assert again.graph == net.graph
        assert np.array_equal(again.predict_proba(X), net.predict_proba(X))
        assert again.history == []
        again.save(tmp_path / "again.safetensors")
        assert (tmp_path / "again.safetensors").read_bytes() == Path(path).read_bytes()


def test_a_network_draws_the_curves_of_its_training(net: nc.Net, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra plot: pip install 'numbacnn[plot]'")
    net.plot(tmp_path / "curves.png")
    net.plot(str(tmp_path / "curves.svg"))
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    net.save(tmp_path / "net.safetensors")
    with pytest.raises(nc.ModelError, match="A network from a file has none"):
        nc.load(tmp_path / "net.safetensors").plot(tmp_path / "none.png")


def test_floats_are_taken_as_they_are(tmp_path: Path) -> None:
    """Floats in 0...1 were scaled by 1/255 once more, and nothing was learned."""
    numbers = X / 255
    net = fit(numbers, epochs=8, learning_rate=0.01)
    assert net.evaluate(numbers, Y)["accuracy"] > 0.95
    assert np.array_equal(fit(numbers.astype("f4")).predict_proba(numbers), fit(numbers).predict_proba(numbers.astype("f4")))
    net.save(tmp_path / "net.safetensors")
    assert np.array_equal(nc.load(tmp_path / "net.safetensors").predict_proba(numbers), net.predict_proba(numbers))
    with pytest.raises(nc.DataError, match=r"images: expected floats, got uint8\..*scaled as in training"):
        net.predict(X)
    with pytest.raises(nc.DataError, match=r"images: expected pixels 0\.\.\.255 of type uint8, got float64"):
        fit().predict(numbers)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e7])
def test_a_number_that_no_network_could_learn_from_is_named(bad: float) -> None:
    numbers = X / 255
    numbers[7, 2, 5] = bad
    with pytest.raises(nc.DataError, match=r"X: expected finite numbers of at most 1e\+06, got .* at \(7, 2, 5, 0\)"):
        fit(numbers)


def test_labels_may_be_names() -> None:
    names = np.array(CLASSES)[Y]
    for given in (names, names.tolist(), names.astype(object)):
        net = fit(X, given)
        assert net.class_names == CLASSES
        assert set(net.predict(X)) <= set(CLASSES)
        assert np.array_equal(net.predict_proba(X), fit().predict_proba(X))
        assert net.evaluate(X, names) == net.evaluate(X, Y)
    with pytest.raises(
        nc.DataError, match=r"labels: expected names of classes, got 'stripe' at position 0\. Did you mean 'stripes'"
    ):
        net.evaluate(X[:1], ["stripe"])


@pytest.mark.parametrize("kind", [int, float, bool, np.uint8])
def test_labels_may_be_one_hot_rows(kind: type) -> None:
    assert np.array_equal(fit(X, np.eye(3)[Y].astype(kind)).predict_proba(X), fit().predict_proba(X))


@pytest.mark.parametrize("row", [[0, 0, 0], [1, 1, 0], [0.2, 0.3, 0.5], [2, 0, 0], [np.nan, 1, 0]])
def test_rows_that_are_not_one_hot_are_not_guessed_at(row: list[float]) -> None:
    rows = np.eye(3)[Y]
    rows[11] = row
    with pytest.raises(
        nc.DataError, match=r"y: expected one class per image, or rows with a single 1 and else 0, got .* at position 11"
    ):
        fit(X, rows)


def test_lists_are_taken_as_arrays() -> None:
    assert np.array_equal(
        fit((X / 255).tolist(), Y.tolist()).predict_proba((X / 255).tolist()), fit(X / 255, Y).predict_proba(X / 255)
    )


def test_the_validation_images_may_be_given(net: nc.Net) -> None:
    given = fit(X[:90], Y[:90], validation=(X[90:], Y[90:]), epochs=6, learning_rate=0.03)
    losses = [record["validation_loss"] for record in given.history]
    assert given.evaluate(X[90:], Y[90:])["loss"] == pytest.approx(min(losses), rel=1e-6), "the best epoch is kept"
    assert given.history[0]["accuracy"] <= 1
    stopped = fit(X[:90], Y[:90], validation=(X[90:], Y[90:]), epochs=50, learning_rate=3.0, optimizer="sgd", early_stop=2)
    assert len(stopped.history) < 50


def test_a_class_without_an_image_keeps_its_output() -> None:
    assert fit(X, Y, graph=graph(5)).predict_proba(X).shape == (120, 5)


def test_activations_are_the_layers_outputs(net: nc.Net) -> None:
    values = net.parameters
    x = X.astype(np.float32)[..., None] / np.float32(255)
    expected = F.relu(F.conv2d(x, values["conv1/kernel"], values["conv1/bias"]))
    assert np.allclose(net.activations(X, "conv1"), expected, atol=1e-5)
    assert np.allclose(net.activations(X, "pool1"), F.max_pool2d(expected), atol=1e-5)
    assert np.allclose(net.activations(X, "dense1"), net.predict_proba(X), atol=1e-6)
    assert net.activations(X[:0], "conv1").shape == (0, 6, 6, 4)
    with pytest.raises(nc.ModelError, match=r"kinds: no layer 'conv2'\. Did you mean 'conv1'"):
        net.activations(X, "conv2")


def test_the_parameters_are_copies(net: nc.Net) -> None:
    before = net.predict_proba(X)
    net.parameters["dense1/bias"][:] = 9
    assert np.array_equal(net.predict_proba(X), before)


def test_a_network_shows_its_layers_and_figures(net: nc.Net) -> None:
    assert "conv1" in repr(net)
    assert "epoch 8: loss" in repr(net)
    assert "<td>conv1</td>" in net._repr_html_()
    evil = nc.sequential(("<b>", nc.Flatten()), nc.Dense(3), input_shape=(8, 8, 1), name="<script>")
    shown = fit(graph=evil)._repr_html_()
    assert "<script>" not in shown
    assert "<b>" not in shown


@pytest.mark.usefixtures("heeded_signals")
def test_ctrl_c_leaves_the_network_as_it_is_after_the_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from numbacnn import fitting

    def interrupted(*args: Any) -> Any:
        for number, event in enumerate(train(*args), 1):
            if number == 3:
                signal.raise_signal(signal.SIGINT)
            yield event

    train = fitting.train
    monkeypatch.setattr(fitting, "train", interrupted)
    net = fit(progress=True)
    assert net.history == []
    assert "stopped in epoch 1 after step 3; the network is as it was then" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    state = new_state(graph(), Settings(epochs=2, batch_size=20, schedule="constant"), get_ops("cpu"))
    for _, _ in zip(range(3), train(state, nc.Dataset.from_arrays(X, Y), get_ops("cpu")), strict=False):
        pass
    assert weights_sha256(net.graph, net.parameters) == weights_sha256(graph(), state.parameters)


def test_a_ctrl_c_that_a_program_in_the_background_ignores_does_not_end_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    from numbacnn import fitting

    def interrupted(*args: Any) -> Any:
        for event in train(*args):
            signal.raise_signal(signal.SIGINT)
            yield event

    train = fitting.train
    monkeypatch.setattr(fitting, "train", interrupted)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert len(fit().history) == 2
    finally:
        signal.signal(signal.SIGINT, before)


def test_tests_of_signals_pass_where_a_script_runs_them_in_the_background() -> None:
    """SIGINT is ignored there, and seven of them failed."""
    ignoring = "import signal, sys, pytest; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.exit(pytest.main(sys.argv[1:]))"
    names = [f"{__file__}::{test_ctrl_c_leaves_the_network_as_it_is_after_the_step.__name__}", "-p", "no:cacheprovider"]
    done = subprocess.run([sys.executable, "-c", ignoring, *names], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stdout


def test_fit_runs_in_a_thread() -> None:
    nets: list[nc.Net] = []
    thread = threading.Thread(target=lambda: nets.append(fit()))
    thread.start()
    thread.join()
    assert np.array_equal(nets[0].predict_proba(X), fit().predict_proba(X))


WRONG = {
    "no graph": (lambda: nc.fit("cnn", X, Y), nc.ModelError, r"graph: expected a network, got 'cnn'\. Make one with nc\.sequential"),
    "a text as images": (lambda: fit("X", Y), nc.DataError, "X: expected an array, got 'X'"),
    "texts as images": (lambda: fit(np.full((3, 8, 8), "a"), Y[:3]), nc.DataError, "X: expected pixels .* got <U1"),
    "ragged lists": (lambda: fit([[[1.0]], [[1.0, 2.0]]], Y[:2]), nc.DataError, "X: expected lists of equal lengths, got different ones"),
    "ragged arrays": (lambda: fit([np.zeros((8, 8)), np.zeros((9, 8))], Y[:2]), nc.DataError, "X: expected lists of equal lengths"),
    "no images": (lambda: fit(X[:0], Y[:0]), nc.TrainingError, "expected at least one image"),
    "rows": (lambda: fit(X.reshape(120, 64), Y), nc.ShapeError, r"X: expected \(n, height, width, channels\), got shape \(120, 64\)"),
    "another size": (lambda: fit(X[:, 1:], Y), nc.ShapeError, r"X: expected .*got .*\(120, 7, 8\)"),
    "integers": (lambda: fit(X.astype(int), Y), nc.DataError, r"X: expected pixels .*int64\. Convert them with images\.astype\('uint8'\)"),
    "too few labels": (lambda: fit(X, Y[:5]), nc.ShapeError, "expected one label for each of 120 images, got 5"),
    "a class too many": (lambda: fit(X, np.where(Y == 2, 3, Y)), nc.DataError, r"expected class numbers 0\.\.\.2, got 3\. Number"),
    "names too many": (lambda: fit(X, [f"class {i % 4}" for i in range(120)]), nc.ModelError, "but arrays has 4 classes"),
    "a negative class": (lambda: fit(X, Y - 1), nc.DataError, r"labels: expected class numbers 0\.\.\.2, got -1"),
    "a price": (lambda: fit(X, Y * 10**6), nc.DataError, "y: expected class numbers from 0 on, got 2000000"),
    "floats as labels": (lambda: fit(X, Y.astype(float)), nc.DataError, r"integer type, got float64\. Convert them with labels\.astype"),
    "None as labels": (lambda: fit(X, None), nc.DataError, "y: expected an array, got None"),
    "0 epochs": (lambda: fit(epochs=0), nc.TrainingError, "epochs: expected a whole number of at least 1, got 0"),
    "no optimiser": (lambda: fit(optimizer="adamw"), nc.TrainingError, "optimizer: expected one of adam, momentum, sgd, got 'adamw'"),
    "a list as optimiser": (lambda: fit(optimizer=["adam"]), nc.TrainingError, "optimizer: expected one of"),
    "a rate of 0": (lambda: fit(learning_rate=0), nc.TrainingError, "learning_rate: expected a finite number greater than 0, got 0"),
    "a share of 2": (lambda: fit(validation=2.0), nc.TrainingError, "validation: expected a share"),
    "no share": (lambda: fit(validation=True), nc.DataError, r"validation: expected \(images, labels\) or a share"),
    "validation of another size": (lambda: fit(validation=(X[:, 1:], Y)), nc.ShapeError, "validation images: expected"),
    "validation without images": (lambda: fit(validation=(X[:0], Y[:0])), nc.ShapeError, "validation_images: expected at least one image"),
    "a trained network": (lambda: nc.fit(fit(), X, Y), nc.ModelError, r"without weights, got a trained one\. Give net\.graph"),
    "no device": (lambda: fit(device="tpu"), nc.DeviceError, "device: expected one of cpu, cuda, auto"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_trained_on_is_refused_in_words(what: str) -> None:
    call, kind, message = WRONG[what]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert len(str(caught.value)) < 400


def test_a_data_set_of_arrays_may_have_test_images_and_names() -> None:
    data = nc.Dataset.from_arrays(
        X, np.array(CLASSES)[Y], test=(X[:9], ["bar"] * 9), class_names=("bar", "frame", "stripes", "none")
    )
    assert data.train_images.shape == (120, 8, 8, 1)
    assert data.class_names == ("bar", "frame", "stripes", "none")
    assert data.test_labels.tolist() == [0] * 9
    with pytest.raises(nc.DataError, match="test labels: expected names of classes, got 'bars'"):
        nc.Dataset.from_arrays(X, np.array(CLASSES)[Y], test=(X[:1], ["bars"]))


def test_colour_images_are_trained_on() -> None:
    colour = np.stack([X, X, X], axis=-1)
    net = fit(colour, Y, graph=graph(shape=(8, 8, 3)))
    assert net.predict(colour).shape == (120,)


def test_fit_is_a_function_whatever_was_imported_before() -> None:
    code = (
        "import sys, numbacnn as nc; assert not {'numpy', 'numba'} & set(sys.modules); import numbacnn.fitting, numbacnn.net\n"
        "assert callable(nc.fit) and callable(nc.load) and nc.Dataset and nc.Net and 'fit' in dir(nc)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_fit_takes_a_data_set_and_measures_on_its_validation_images() -> None:
    data = nc.Dataset.from_arrays(X[:90], Y[:90]).with_validation(X[90:, ..., None], Y[90:])
    assert np.array_equal(nc.fit(graph(), data, epochs=2, batch_size=20, progress=False).predict_proba(X),
                          fit(X[:90], Y[:90], validation=(X[90:], Y[90:])).predict_proba(X))  # fmt: skip


def test_early_stopping_holds_out_a_tenth() -> None:
    assert np.array_equal(fit(early_stop=2).predict_proba(X), fit(early_stop=2, validation=0.1).predict_proba(X))


def test_pixels_given_as_floats_are_a_warning() -> None:
    """They are 255 times as large as the network expects: 87 % in place of 95 %, and not a word."""
    with pytest.warns(UserWarning, match=r"X: whole numbers up to 255, as floats: pixels, it seems.*give uint8"):
        fit(X.astype(float))


@pytest.mark.parametrize("name", ["net", "net.h5", "net.onnx"])
def test_a_network_is_saved_under_a_name_that_can_be_loaded(net: nc.Net, name: str, tmp_path: Path) -> None:
    with pytest.raises(nc.ModelError, match=r"expected a name that ends in \.safetensors, got"):
        net.save(tmp_path / name)


def test_a_network_is_loaded_from_the_folder_of_its_run(net: nc.Net, tmp_path: Path) -> None:
    net.save(tmp_path / "model.safetensors")
    assert np.array_equal(nc.load(tmp_path).predict_proba(X), net.predict_proba(X))


def test_what_to_do_about_a_single_image_is_said(net: nc.Net) -> None:
    with pytest.raises(nc.ShapeError, match=r"Add the axis of a single image: images\[None\]"):
        net.predict(X[0])
    with pytest.raises(nc.ShapeError, match=r"The network takes images of shape \(8, 8, 1\): scale them to \(8, 8\)"):
        net.predict(np.zeros((2, 9, 9), np.uint8))
    with pytest.raises(nc.ShapeError, match=r"In grey they are images\.mean"):
        net.predict(np.zeros((2, 8, 8, 3), np.uint8))
