"""``numbacnn.keras``: the lecture's listings as they are printed, Keras's defaults and meaning, and what it says where it differs.

``lecture_listings.txt`` holds the code of the slides, cut out of their text by a program. Two things are changed when it runs: the data,
a few hundred images in place of MNIST, and the number of epochs, by ``shortened``.
"""

import json
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repository import ROOT, TESTS

import numbacnn as tf
from numbacnn.checkpoint import weights_sha256
from numbacnn.datasets import Dataset
from numbacnn.keras import datasets as keras_datasets

LISTINGS = dict(
    part.split("\n", 1) for part in (TESTS / "lecture_listings.txt").read_text(encoding="utf-8").split("=== ") if part.strip()
)

L = tf.keras.layers


def digits() -> Dataset:
    """Images 28x28 of ten classes: a bar whose place is the class, with noise."""
    generator = np.random.default_rng(0)
    labels = np.arange(360) % 10
    images = generator.integers(0, 40, (360, 28, 28, 1)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4:24, 2 * label + 4 : 2 * label + 6] += 200
    return Dataset("mnist", images[:300], labels[:300], images[300:], labels[300:], tuple("0123456789"), "drawn")


@pytest.fixture
def slides(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of a program that begins as the slides' do: with ``import numbacnn as tf`` and nothing else."""
    monkeypatch.setattr(keras_datasets, "load_dataset", lambda *args, **options: digits())
    return {"tf": tf}


def shortened(listing: str, epochs: int = 2) -> str:
    """A listing with fewer epochs."""
    return LISTINGS[listing].replace("epochs=10", f"epochs={epochs}")


def arrays(scaled: bool = True) -> tuple[np.ndarray, np.ndarray]:
    data = digits()
    images = data.train_images[..., 0]
    return (images / 255 if scaled else images), data.train_labels


def small(*layers: Any, **compiled: Any) -> Any:
    model = tf.keras.Sequential([L.Flatten(input_shape=(28, 28)), *layers, L.Dense(10, activation="softmax")])
    given = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]} | compiled
    model.compile(**given)
    return model


def bits(model: Any) -> str:
    net = model._network()
    return weights_sha256(net.graph, net.parameters)


# The listings


def test_the_listing_of_the_softmax_network_runs_as_it_is_printed(
    slides: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    exec(shortened("softmax"), slides)
    said = capsys.readouterr().err
    assert "epoch 2/2  loss" in said
    assert "rate 0.01 " in said
    assert "60 images  loss" in said
    assert slides["x_train"].shape == (300, 28, 28)
    assert slides["x_train"].dtype == slides["y_train"].dtype == np.uint8
    assert said.count("are fed raw, as in Keras. It costs accuracy") == 1
    assert slides["model"].count_params() == 7850


def test_the_listing_of_the_improved_network_gives_its_callback_to_compile_and_is_told_where_it_goes(
    slides: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    exec(shortened("softmax").split("model =")[0], slides)
    exec(LISTINGS["improved network"], slides)
    assert slides["model"].count_params() == 101_770
    with pytest.raises(TypeError, match=r"^compile takes no callbacks: give them to fit\(callbacks=\[\.\.\.\]\)$"):
        exec(LISTINGS["learning rate"], slides)
    fault = ",\n              callbacks=[lr_decay_callback]"
    assert fault in LISTINGS["learning rate"]
    exec(LISTINGS["learning rate"].replace(fault, ""), slides)
    mended = shortened("training of the improved network").replace("epochs=2", "epochs=2, callbacks=[lr_decay_callback]")
    with pytest.raises(NameError, match="math") as raised:  # the slides print no import
        exec(mended, slides)
    assert "Write 'import math' first" in "".join(traceback.format_exception(raised.value))
    exec("import math", slides)
    exec(mended, slides)
    said = capsys.readouterr().err
    assert "Epoch 1: LearningRateScheduler setting learning rate to 0.01.\n" in said
    assert "Epoch 2: LearningRateScheduler setting learning rate to 0.006.\n" in said


def test_the_listing_of_the_improved_network_trains_without_its_callback_too(slides: dict[str, Any]) -> None:
    exec(shortened("softmax").split("model =")[0], slides)
    exec(LISTINGS["improved network"], slides)
    slides["model"].compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    exec(shortened("training of the improved network"), slides)
    assert slides["model"].optimizer.learning_rate == 0.001


def test_the_listing_of_the_convolutional_network_takes_the_images_of_the_slides(
    slides: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    exec(shortened("softmax").split("model =")[0], slides)
    exec(LISTINGS["convolutional network"], slides)
    model = slides["model"]
    assert model.count_params() == 3_274_634
    compiling = next(line for line in LISTINGS["softmax"].splitlines() if line.startswith("model.compile"))
    exec(compiling, slides)
    exec("model.fit(x_train[:64], y_train[:64])\nmodel.evaluate(x_test, y_test)", slides)
    said = capsys.readouterr().err
    assert said.count("the channel axis of grey images is added") == 1
    model.summary()
    assert "3,274,634" in capsys.readouterr().out


def test_the_layers_that_the_slides_print_one_by_one_are_those_of_the_whole_network(slides: dict[str, Any]) -> None:
    exec(LISTINGS["convolutional network"], slides)
    statements = compile(LISTINGS["layers of the convolutional network"], "slides", "exec", flags=0x400)  # PyCF_ONLY_AST
    made = [eval(compile(_expression(each), "slides", "eval"), slides) for each in statements.body]  # type: ignore[attr-defined]
    assert [layer.spec for layer in made] == [layer.spec for layer in slides["model"].layers]


def _expression(statement: Any) -> Any:
    import ast

    return ast.Expression(statement.value)


def test_the_program_of_the_documentation_runs(slides: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "keras.md").read_text(encoding="utf-8"), re.M | re.S)
    exec(program, slides)
    assert 0 <= slides["accuracy"] <= 1
    said = capsys.readouterr().err
    assert "setting learning rate to 0.0036.\n" in said
    assert "raw" not in said


# The meaning


def test_it_trains_to_the_bits_of_fit() -> None:
    images, labels = arrays()
    model = small(L.Dense(16, activation="relu"), L.Dropout(0.2))
    model.fit(images, labels, batch_size=50, epochs=2, verbose=0)
    net = tf.fit(model._graph, images, labels, epochs=2, batch_size=50, progress=False)
    assert bits(model) == weights_sha256(net.graph, net.parameters)


def test_the_defaults_are_those_of_keras() -> None:
    images, labels = arrays()
    model, same = small(), small(optimizer=tf.keras.optimizers.Adam(learning_rate=0.001))
    history = model.fit(images, labels, verbose=0)
    same.fit(images, labels, batch_size=32, epochs=1, verbose=0)
    assert history.history.keys() == {"loss", "accuracy"}
    assert [len(values) for values in history.history.values()] == [1, 1]
    assert history.epoch == [0]
    assert bits(model) == bits(same)
    assert tf.keras.optimizers.get("sgd").learning_rate == 0.01
    assert tf.keras.optimizers.get("Adam").learning_rate == 0.001
    assert L.MaxPooling2D().spec == tf.MaxPool2D(2)
    assert L.Conv2D(4, 3).spec == tf.Conv2D(4, 3)
    assert L.BatchNormalization().spec == tf.BatchNorm()


def test_arguments_have_the_positions_of_keras() -> None:
    assert L.Conv2D(4, (3, 5), [2, 1], "SAME", None, 1, 1, "relu", False, "he_normal").spec == tf.Conv2D(
        4, (3, 5), strides=(2, 1), padding="same", activation="relu", use_bias=False, kernel_initializer="he_normal"
    )
    assert L.MaxPooling2D(3, 2, "same").spec == tf.MaxPool2D(3, 2, "same")
    assert L.AveragePooling2D(2).spec == tf.AvgPool2D(2)
    assert L.GlobalAveragePooling2D().spec == tf.GlobalAvgPool2D()
    assert L.Dense(5, "linear", False, "ones").spec == tf.Dense(5, None, False, "ones")
    assert L.BatchNormalization(-1, 0.9, 0.01).spec == tf.BatchNorm(0.9, 0.01)
    assert L.Activation("tanh").spec == tf.Activation("tanh")
    assert L.Dense(5, bias_initializer="zeros", kernel_regularizer=None, name="out").name == "out"


def test_evaluate_gives_loss_and_accuracy_and_predict_probabilities() -> None:
    images, labels = arrays()
    model = small()
    model.fit(images, labels, epochs=20, verbose=0)
    loss, accuracy = model.evaluate(images, labels, verbose=0)
    probabilities = model.predict(images)
    assert probabilities.shape == (300, 10)
    assert probabilities.dtype == np.float32
    assert accuracy == (probabilities.argmax(axis=1) == labels).mean() > 0.9
    assert loss == pytest.approx(-np.log(probabilities[np.arange(300), labels]).mean(), rel=1e-4)
    assert model.evaluate(images, labels, verbose=0, return_dict=True) == {"loss": loss, "accuracy": accuracy}
    model.compile("adam", "sparse_categorical_crossentropy")
    assert model.evaluate(images, labels, verbose=0) == loss


def test_one_hot_rows_train_as_class_numbers_do() -> None:
    images, labels = arrays()
    model, same = small(), small(loss="categorical_crossentropy")
    model.fit(images, labels[:, None].astype(float), verbose=0)
    same.fit(images, np.eye(10)[labels], verbose=0)
    assert bits(model) == bits(same)


def test_raw_pixels_are_the_numbers_they_are() -> None:
    images, labels = arrays(scaled=False)
    model, same = small(optimizer="sgd"), small(optimizer="sgd")
    model.fit(images, labels, verbose=0)
    same.fit(images.astype("float32"), labels, verbose=0)
    assert bits(model) == bits(same)


def test_pixels_to_measure_on_that_were_not_divided_as_those_of_training_are_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = arrays()
    model = small()
    model.fit(images, labels, verbose=0)
    model.evaluate(*arrays(scaled=False), verbose=0)
    assert capsys.readouterr().err == ""
    model.evaluate(*arrays(scaled=False))
    assert "x: pixels 0...239 are fed raw" in capsys.readouterr().err


def test_a_second_call_of_fit_goes_on_from_the_weights_of_the_first() -> None:
    images, labels = arrays()
    model = small()
    first = model.fit(images, labels, epochs=2, verbose=0).history["loss"]
    second = model.fit(images, labels, epochs=2, verbose=0).history["loss"]
    assert second[0] < first[-1]
    assert model._state.step == 4 * 10
    before = bits(model)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert bits(model) == before
    model.fit(images, labels, verbose=0)
    assert bits(model) != before
    assert model._state.step == 10


def test_weights_are_those_of_the_last_epoch_whatever_validation_says() -> None:
    images, labels = arrays()
    model, same = small(), small()
    history = model.fit(images[:270], labels[:270], epochs=3, validation_data=(images[270:], 9 - labels[270:]), verbose=0).history
    same.fit(images[:270], labels[:270], epochs=3, verbose=0)
    assert bits(model) == bits(same)
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(images[270:], 9 - labels[270:], verbose=0)[0])
    split = small().fit(images, labels, epochs=3, validation_split=0.1, verbose=0).history
    assert split["loss"] == history["loss"]  # the last tenth was not trained on
    assert split["val_loss"] != history["val_loss"]


@pytest.mark.parametrize("schedule", [lambda epoch: 0.01 * 0.5**epoch, lambda epoch, rate: 0.01 if epoch == 0 else rate / 2])
def test_a_scheduler_sets_the_rate_of_each_epoch(schedule: Callable[..., float], capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = arrays()
    model = small()
    callback = tf.keras.callbacks.LearningRateScheduler(schedule)
    history = model.fit(images, labels, batch_size=100, epochs=3, callbacks=[callback], verbose=0)
    assert history.history["learning_rate"] == [0.01, 0.005, 0.0025]
    assert model.optimizer.learning_rate == 0.0025
    assert capsys.readouterr() == ("", "")
    net = tf.fit(
        model._graph, images, labels, epochs=3, batch_size=100, learning_rate=0.01, schedule="exponential", lr_decay=0.5,
        progress=False,
    )  # fmt: skip
    assert bits(model) == weights_sha256(net.graph, net.parameters)


def test_the_shape_of_images_comes_from_input_or_from_the_first_images() -> None:
    images, labels = arrays()
    rows = images.reshape(300, 784)
    for model, x in (
        (tf.keras.Sequential([tf.keras.Input(shape=(28, 28)), L.Flatten(), L.Dense(10, "softmax")]), images),
        (tf.keras.Sequential([L.Flatten(), L.Dense(10, "softmax")]), images),
        (tf.keras.Sequential([L.Dense(10, "softmax", input_shape=(784,))]), rows),
        (tf.keras.Sequential([L.Dense(10, "softmax")]), rows),
    ):
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, labels, verbose=0)
        same = small()
        same.fit(images, labels, verbose=0)
        assert bits(model) == bits(same)
        assert model.predict(x[:3]).shape == (3, 10)


def test_layers_are_added_one_by_one() -> None:
    model = tf.keras.models.Sequential()
    model.add(L.Flatten(input_shape=(28, 28)))
    model.add(L.Dense(10, activation="softmax", name="answer"))
    assert model.count_params() == 7850
    assert model.predict(arrays()[0]).shape == (300, 10)  # with the weights drawn
    with pytest.raises(tf.ModelError, match="add: expected a network without weights"):
        model.add(L.Flatten())


def test_a_saved_network_is_read_by_load(tmp_path: Path) -> None:
    images, labels = arrays()
    model = small()
    model.fit(images, labels, verbose=0)
    model.save(tmp_path / "net.safetensors")
    net = tf.load(tmp_path / "net.safetensors")
    assert np.array_equal(net.predict_proba(images).astype(np.float32), model.predict(images))
    with pytest.raises(tf.ModelError, match=r"expected a name that ends in \.safetensors or \.onnx, got .*Write model\.save"):
        model.save(tmp_path / "net.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


def test_load_data_reads_the_folder_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NUMBACNN_DATA_DIR", raising=False)
    asked: list[Any] = []
    monkeypatch.setattr(keras_datasets, "load_dataset", lambda *args, **options: asked.append(args) or digits())
    (x_train, y_train), (x_test, y_test) = tf.keras.datasets.mnist.load_data()
    assert (x_train.shape, y_train.shape, x_test.shape, y_test.shape) == ((300, 28, 28), (300,), (60, 28, 28), (60,))
    x_train[0] = 0  # Keras's arrays are the caller's
    monkeypatch.setenv("NUMBACNN_DATA_DIR", str(tmp_path))
    tf.keras.datasets.fashion_mnist.load_data()
    assert asked == [("mnist", Path("data")), ("fashion-mnist", tmp_path)]


def test_importing_numbacnn_does_not_import_keras() -> None:
    code = (
        "import sys, numbacnn as tf; assert 'keras' in dir(tf); assert not {'numpy', 'numbacnn.keras'} & set(sys.modules)\n"
        "assert tf.keras.Sequential is tf.keras.models.Sequential; assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# What is said


IMAGES, LABELS = arrays()

FAULTS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a misspelt argument of a layer": (
        lambda: L.Dense(10, activaton="relu"),
        TypeError,
        r"Dense takes no argument 'activaton'\. Did you mean 'activation'\? It takes units, activation, use_bias, kernel_initializer, "
        "input_shape, name",
    ),
    "a misspelt argument of Conv2D": (lambda: L.Conv2D(8, 3, stride=2), TypeError, "Did you mean 'strides'"),
    "a misspelt argument of fit": (
        lambda: small().fit(IMAGES, LABELS, epoch=3),
        TypeError,
        "fit takes no argument 'epoch'. Did you mean 'epochs'",
    ),
    "a misspelt argument of compile": (lambda: small(metric=["accuracy"]), TypeError, "Did you mean 'metrics'"),
    "a misspelt argument of an optimiser": (
        lambda: tf.keras.optimizers.SGD(lr=0.1),
        TypeError,
        "SGD takes no argument 'lr'.*It takes learning_rate, momentum",
    ),
    "an argument that is not supported": (
        lambda: L.Dense(10, kernel_regularizer="l2"),
        TypeError,
        r"Dense: kernel_regularizer='l2' is not supported, only kernel_regularizer=None\. Leave it out; supported are units, activation",
    ),
    "channels first": (lambda: L.Conv2D(8, 3, data_format="channels_first"), TypeError, "only data_format='channels_last'"),
    "a seed of dropout": (lambda: L.Dropout(0.2, seed=1), TypeError, "Dropout: seed=1 is not supported"),
    "an unshuffled training": (
        lambda: small().fit(IMAGES, LABELS, shuffle=False),
        TypeError,
        "fit: shuffle=False is not supported",
    ),
    "a layer that there is not": (
        lambda: L.LSTM(3),
        AttributeError,
        "module 'numbacnn.keras.layers' has no attribute 'LSTM'. It has Activation",
    ),
    "a misspelt layer": (lambda: L.MaxPoolin2D(3), AttributeError, "Did you mean 'MaxPooling2D'"),
    "a module that there is not": (
        lambda: tf.keras.application,
        AttributeError,
        "has no attribute 'application'.*It has Input, Sequential",
    ),
    "an activation that there is not": (
        lambda: L.Dense(3, "rlu"),
        tf.ModelError,
        "Dense: activation: expected .*relu.*got 'rlu'",
    ),
    "an optimiser that there is not": (
        lambda: small(optimizer="adamm"),
        tf.TrainingError,
        "optimizer: expected 'adam', 'sgd'.*Did you mean 'adam'",
    ),
    "Keras's default optimiser": (
        lambda: tf.keras.Sequential().compile(loss="categorical_crossentropy"),
        tf.TrainingError,
        "expected 'adam', 'sgd'.*got 'rmsprop'",
    ),
    "the class of an optimiser": (lambda: small(optimizer=tf.keras.optimizers.SGD), tf.TrainingError, r"Write SGD\(\)"),
    "a momentum that there is not": (
        lambda: tf.keras.optimizers.SGD(momentum=0.5),
        tf.TrainingError,
        "expected 0 or 0.9, got 0.5",
    ),
    "another moment of Adam": (lambda: tf.keras.optimizers.Adam(beta_1=0.5), TypeError, "beta_1=0.5 is not supported"),
    "a rate below 0": (lambda: tf.keras.optimizers.Adam(-1), tf.TrainingError, "greater than 0, got -1"),
    "a loss that there is not": (
        lambda: small(loss="mse"),
        tf.TrainingError,
        "loss: expected 'sparse_categorical_crossentropy' or",
    ),
    "no loss": (lambda: small(loss=None), tf.TrainingError, "loss: expected 'sparse_categorical_crossentropy' or"),
    "a metric that there is not": (lambda: small(metrics=["auc"]), tf.TrainingError, r"metrics: expected \['accuracy'\] or none"),
    "a network not compiled": (
        lambda: tf.keras.Sequential([L.Flatten(input_shape=(28, 28)), L.Dense(10)]).fit(IMAGES, LABELS),
        tf.TrainingError,
        r"fit: expected a compiled network\. First write model\.compile",
    ),
    "a network without softmax": (
        lambda: _without_softmax().fit(IMAGES, LABELS, verbose=0),
        tf.ModelError,
        "expected probabilities.*Write activation='softmax'",
    ),
    "one-hot rows for the sparse loss": (
        lambda: small().fit(IMAGES, np.eye(10)[LABELS], verbose=0),
        tf.ShapeError,
        r"write loss='categorical_crossentropy'",
    ),
    "class numbers for the other loss": (
        lambda: small(loss="categorical_crossentropy").fit(IMAGES, LABELS, verbose=0),
        tf.ShapeError,
        "write loss='sparse_categorical",
    ),
    "a label beyond the classes": (
        lambda: small().fit(IMAGES, LABELS + 1, verbose=0),
        tf.DataError,
        r"expected class numbers 0\.\.\.9, got 10",
    ),
    "fewer labels than images": (
        lambda: small().fit(IMAGES, LABELS[:9], verbose=0),
        tf.ShapeError,
        "one label for each of 300 images, got 9",
    ),
    "images of another size": (
        lambda: small().fit(IMAGES[:, :9], LABELS, verbose=0),
        tf.ShapeError,
        r"shape \(28, 28\), got \(9, 28\)",
    ),
    "images that are none": (lambda: small().fit("x", LABELS), tf.DataError, "x: expected an array, got 'x'"),
    "lists of different lengths": (
        lambda: small().fit([[1.0], [1.0, 2.0]], [0, 1]),
        tf.DataError,
        "x: expected lists of equal lengths",
    ),
    "labels of different lengths": (
        lambda: small().fit(IMAGES[:2], [[1], [1, 2]]),
        tf.DataError,
        "y: expected lists of equal lengths",
    ),
    "masked labels": (
        lambda: small().fit(IMAGES, np.ma.masked_equal(LABELS, 3)),
        tf.DataError,
        "y: expected an array without a mask",
    ),
    "films": (
        lambda: _without_shape().fit(np.zeros((2, 3, 4, 5, 1)), [0, 1]),
        tf.ModelError,
        r"x: shape of an image: expected \(height, width, channels\)",
    ),
    "texts as images": (lambda: small().predict(np.full((1, 28, 28), "a")), tf.DataError, "x: expected floats, got <U1"),
    "an image that is not finite": (
        lambda: small().predict(np.full((1, 28, 28), np.nan)),
        tf.DataError,
        "expected finite numbers",
    ),
    "a callback that there is not": (
        lambda: small().fit(IMAGES, LABELS, callbacks=[print]),
        tf.TrainingError,
        r"callbacks: expected \[LearningRateScheduler\(\.\.\.\)\]",
    ),
    "two schedulers": (
        lambda: small().fit(IMAGES, LABELS, callbacks=[tf.keras.callbacks.LearningRateScheduler(abs)] * 2),
        tf.TrainingError,
        "expected one LearningRateScheduler, got 2",
    ),
    "a rate in place of a schedule": (
        lambda: tf.keras.callbacks.LearningRateScheduler(0.1),
        tf.TrainingError,
        "without brackets",
    ),
    "a schedule that gives no rate": (
        lambda: small().fit(IMAGES, LABELS, verbose=0, callbacks=[tf.keras.callbacks.LearningRateScheduler(lambda epoch: None)]),
        tf.TrainingError,
        "rate of epoch 0, counted from 0: expected a finite number greater than 0, got None",
    ),
    "no epoch": (
        lambda: small().fit(IMAGES, LABELS, epochs=0),
        tf.TrainingError,
        "epochs: expected a whole number of at least 1",
    ),
    "a verbosity that there is not": (
        lambda: small().fit(IMAGES, LABELS, verbose=7),
        tf.TrainingError,
        "verbose: expected 'auto', 0, 1 or 2",
    ),
    "a list as verbosity": (lambda: small().fit(IMAGES, LABELS, verbose=[]), tf.TrainingError, "verbose: expected"),
    "a share of all": (
        lambda: small().fit(IMAGES, LABELS, validation_split=1, verbose=0),
        tf.TrainingError,
        "validation_split: expected a share",
    ),
    "validation data that are none": (
        lambda: small().fit(IMAGES, LABELS, validation_data=IMAGES, verbose=0),
        tf.DataError,
        r"expected \(images, labels\)",
    ),
    "layers that are no list": (
        lambda: tf.keras.Sequential(L.Flatten()),
        tf.ModelError,
        r"Write Sequential\(\[first, second\]\)",
    ),
    "the class of a layer": (
        lambda: tf.keras.Sequential([L.Flatten]),
        tf.ModelError,
        r"got the class Flatten\. Write Flatten\(\.\.\.\)",
    ),
    "a layer of numbacnn's": (lambda: tf.keras.Sequential([tf.Flatten()]), tf.ModelError, r"expected a layer of keras\.layers"),
    "no shape": (
        lambda: tf.keras.Sequential([L.Flatten()]).summary(),
        tf.ModelError,
        r"Give the first layer input_shape=\(28, 28, 1\)",
    ),
    "a shape with the batch": (
        lambda: L.Flatten(input_shape=(None, 28, 28)),
        tf.ModelError,
        r"input_shape: expected \(height, width, channels\)",
    ),
    "a dense layer on an image": (
        lambda: tf.keras.Sequential([L.Dense(10, input_shape=(28, 28))]),
        tf.ShapeError,
        r"Put Flatten\(\) before it",
    ),
    "a late Input": (lambda: tf.keras.Sequential([L.Flatten(), tf.keras.Input((28, 28))]), tf.ModelError, "Put it first, once"),
}


def _without_softmax() -> Any:
    model = tf.keras.Sequential([L.Flatten(input_shape=(28, 28)), L.Dense(10)])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def _without_shape() -> Any:
    model = tf.keras.Sequential([L.Flatten(), L.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_images_that_do_not_fit_leave_the_network_open_for_others() -> None:
    model = _without_shape()
    with pytest.raises(tf.ModelError):
        model.fit(np.zeros((2, 3, 4, 5, 1)), [0, 1], verbose=0)
    model.fit(IMAGES, LABELS, verbose=0)
    grown = tf.keras.Sequential([L.Conv2D(4, 5, input_shape=(28, 28, 1))])
    with pytest.raises(tf.ShapeError, match=r"Put Flatten\(\) before it"):
        grown.add(L.Dense(10))
    grown.add(L.Flatten())
    grown.add(L.Dense(10))
    assert [type(layer).__name__ for layer in grown.layers] == ["Conv2D", "Flatten", "Dense"]


@pytest.mark.parametrize("what", FAULTS)
def test_what_keras_takes_and_numbacnn_does_not_is_said(what: str) -> None:
    call, error, message = FAULTS[what]
    with pytest.raises(error, match=message):
        call()


def test_a_fault_costs_no_weights() -> None:
    model = small()
    model.fit(IMAGES, LABELS, verbose=0)
    before = bits(model)
    for wrong in (LABELS + 1, np.eye(10)[LABELS], LABELS[:3]):
        with pytest.raises((tf.DataError, tf.ShapeError)):
            model.fit(IMAGES, wrong, verbose=0)
    with pytest.raises(tf.TrainingError):
        model.fit(IMAGES, LABELS, verbose=0, batch_size=0)
    assert bits(model) == before
    json.dumps(model.fit(IMAGES, LABELS, verbose=0).history)
