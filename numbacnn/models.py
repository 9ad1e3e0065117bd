"""The presets: networks of the lecture and others, each with a recipe for its training."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from numbacnn.errors import ModelError
from numbacnn.graph import Graph, build_graph, sequential
from numbacnn.layers import (
    Activation,
    Add,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Layer,
    MaxPool2D,
)
from numbacnn.recipe import Recipe
from numbacnn.spelling import did_you_mean


@dataclass(frozen=True)
class Preset:
    """A network with a name, a line about it, and its recipe.

    Args:
        summary: the line.
        build: makes the graph.
        recipe: how to train it.
    """

    summary: str
    build: Callable[[], Graph]
    recipe: Recipe = field(default_factory=Recipe)

    @cached_property
    def graph(self) -> Graph:
        """The network, built at its first use: most commands need one of them."""
        return self.build()


MNIST_SHAPE = (28, 28, 1)


def _dense_stack(name: str, activation: str, kernel_initializer: str = "he_normal") -> Graph:
    """Five layers, 200-100-60-30-10. Source: the lecture's slide "Some Improvement (1/5)"; Gorner's codelab, mnist_2.0."""
    hidden = [Dense(units, activation=activation, kernel_initializer=kernel_initializer) for units in (200, 100, 60, 30)]
    return sequential(Flatten(), *hidden, Dense(10, activation="softmax"), input_shape=MNIST_SHAPE, name=name)


def _softmax() -> Graph:
    return sequential(Flatten(), Dense(10, activation="softmax"), input_shape=MNIST_SHAPE, name="softmax")


def _sigmoid5() -> Graph:
    return _dense_stack("sigmoid5", "sigmoid")


def _sigmoid5_sgd() -> Graph:
    return _dense_stack("sigmoid5-sgd", "sigmoid", "glorot_uniform")


def _relu5() -> Graph:
    return _dense_stack("relu5", "relu")


def _cnn() -> Graph:
    """The lecture's CNN. Source: the lecture's slide "CNN in TensorFlow (7/7)"."""
    return sequential(
        Conv2D(filters=32, kernel_size=5, padding="same", activation="relu"),
        MaxPool2D(pool_size=2, strides=2),
        Conv2D(filters=64, kernel_size=5, padding="same", activation="relu"),
        MaxPool2D(pool_size=2, strides=2),
        Flatten(),
        Dense(1024, activation="relu"),
        Dense(10, activation="softmax"),
        input_shape=MNIST_SHAPE,
        name="cnn",
    )


def _small() -> Graph:
    return sequential(
        Conv2D(filters=8, kernel_size=5, padding="same", activation="relu", kernel_initializer="he_normal"),
        MaxPool2D(pool_size=2),
        Conv2D(filters=16, kernel_size=5, padding="same", activation="relu", kernel_initializer="he_normal"),
        MaxPool2D(pool_size=2),
        Flatten(),
        Dense(128, activation="relu", kernel_initializer="he_normal"),
        Dense(10, activation="softmax"),
        input_shape=MNIST_SHAPE,
        name="small",
    )


def _dense128() -> Graph:
    """784-128-10 with He's initial weights, ReLU and dropout. Source: the code after the lecture's slide "Some Improvement (5/5)"."""
    return sequential(
        Flatten(),
        Dense(128, activation="relu", kernel_initializer="he_normal"),
        Dropout(0.2),
        Dense(10, activation="softmax"),
        input_shape=MNIST_SHAPE,
        name="dense128",
    )


def _xo() -> Graph:
    """Three 3x3 filters on 9x9 pictures, two poolings, a vote. Source: the lecture's slide "A Toy ConvNet: X's and O's", after Rohrer."""
    return sequential(
        Conv2D(filters=3, kernel_size=3, activation="relu"),
        MaxPool2D(pool_size=2, padding="same"),
        MaxPool2D(pool_size=2, padding="same"),
        Flatten(),
        Dense(2, activation="softmax"),
        input_shape=(9, 9, 1),
        name="xo",
    )


def _cs231n() -> Graph:
    """[7, 7, 3] to [3, 3, 2] by two 3x3 filters with stride 2. Source: the lecture's slide "One more example", from CS231n."""
    return sequential(Conv2D(filters=2, kernel_size=3, strides=2), input_shape=(7, 7, 3), name="cs231n")


def _residual() -> Graph:
    """Two residual blocks with batch normalisation. Source: He et al. 2015 (arXiv:1512.03385), figure 2."""
    entries: list[tuple[str | None, Layer, list[str] | None]] = [
        ("stem", Conv2D(filters=16, kernel_size=3, padding="same", use_bias=False, kernel_initializer="he_normal"), None),
        (None, BatchNorm(momentum=0.9), None),
        ("stem_relu", Activation("relu"), None),
        ("shrink1", MaxPool2D(pool_size=2), None),
    ]
    for block, before in (("a", "shrink1"), ("b", "shrink2")):
        entries += [
            (
                f"{block}1",
                Conv2D(filters=16, kernel_size=3, padding="same", use_bias=False, kernel_initializer="he_normal"),
                [before],
            ),
            (f"{block}1_norm", BatchNorm(momentum=0.9), None),
            (f"{block}1_relu", Activation("relu"), None),
            (
                f"{block}2",
                Conv2D(filters=16, kernel_size=3, padding="same", use_bias=False, kernel_initializer="he_normal"),
                None,
            ),
            (f"{block}2_norm", BatchNorm(momentum=0.9), None),
            (f"{block}_sum", Add(), [f"{block}2_norm", before]),
            (f"{block}_relu", Activation("relu"), None),
        ]
        if block == "a":
            entries.append(("shrink2", MaxPool2D(pool_size=2), None))
    entries += [("mean", GlobalAvgPool2D(), None), ("head", Dense(10, activation="softmax"), None)]
    return build_graph("residual", MNIST_SHAPE, entries)


def _normalised(
    filters: int, kernel_size: int, *, strides: int = 1, padding: str = "same", pool: bool = False
) -> tuple[Layer, ...]:
    """Convolution, pooling, normalisation, ReLU: pooling before normalisation leaves a quarter of the values to normalise."""
    convolution = Conv2D(
        filters=filters,
        kernel_size=kernel_size,
        strides=strides,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
    )
    return (convolution, *((MaxPool2D(pool_size=2),) if pool else ()), BatchNorm(momentum=0.9), Activation("relu"))


def _tiny() -> Graph:
    return sequential(
        *_normalised(8, 5, pool=True),
        *_normalised(16, 3, pool=True),
        *_normalised(16, 3, padding="valid", pool=True),
        Flatten(),
        Dense(10, activation="softmax"),
        input_shape=MNIST_SHAPE,
        name="tiny",
    )


def _fast() -> Graph:
    """The first stride of 2 leaves a quarter of the pixels to the layers after it."""
    return sequential(
        *_normalised(16, 5, strides=2),
        *_normalised(16, 3, pool=True),
        *_normalised(32, 3),
        Flatten(),
        Dense(10, activation="softmax"),
        input_shape=MNIST_SHAPE,
        name="fast",
    )


def _accurate() -> Graph:
    """Filters of 5 x 5: in the frequency domain they cost little more than 3 x 3, and have a larger receptive field.

    The last ones of 3 x 3, and their pooling, leave 1,152 features to the dense layer; without them there are 6,272.
    """
    return sequential(
        *_normalised(32, 5, pool=True),
        *_normalised(64, 5, pool=True),
        *_normalised(128, 5),
        *_normalised(128, 3, pool=True),
        Dropout(0.3),
        Flatten(),
        Dense(10, activation="softmax"),
        input_shape=MNIST_SHAPE,
        name="accurate",
    )


PRESETS: dict[str, Preset] = {
    "cnn": Preset("the lecture's CNN", _cnn),
    "softmax": Preset(
        "one layer, the lecture's first network",
        _softmax,
        Recipe("sgd", 0.01, lr_decay=1.0, epochs=10),
    ),
    "sigmoid5": Preset("five dense layers with sigmoid", _sigmoid5, Recipe("adam", 0.003, lr_decay=0.8, epochs=10)),
    "sigmoid5-sgd": Preset(
        "sigmoid5 as the slide has it, with Glorot and SGD: it stalls",
        _sigmoid5_sgd,
        Recipe("sgd", 0.01, lr_decay=1.0, epochs=10),
    ),
    "relu5": Preset("the same five layers with ReLU", _relu5, Recipe("adam", 0.001, lr_decay=0.8, epochs=10)),
    "dense128": Preset("784-128-10 with He, ReLU, dropout", _dense128, Recipe("adam", 0.01, lr_decay=0.6, epochs=10)),
    "small": Preset("a CNN with a sixteenth of cnn's work", _small, Recipe("adam", 0.006, "one-cycle", epochs=3)),
    "residual": Preset("two residual blocks, normalised", _residual, Recipe("adam", 0.01, "one-cycle", epochs=3)),
    "tiny": Preset("99 % on MNIST, under 5,000 parameters", _tiny, Recipe("adam", 0.02, "one-cycle", epochs=10)),
    "fast": Preset("99 % on MNIST in two short epochs", _fast, Recipe("adam", 0.015, "one-cycle", epochs=2, batch_size=125)),
    "accurate": Preset(
        "for the last tenths, on distorted images", _accurate, Recipe("adam", 0.01, "one-cycle", epochs=20, augment=True)
    ),
    "xo": Preset("the X-and-O toy network", _xo, Recipe("adam", 0.01, lr_decay=1.0, epochs=10)),
    "cs231n": Preset("one convolution, as in the CS231n demo", _cs231n),
}


def preset(name: str) -> Preset:
    """A preset by name.

    Raises:
        ModelError: no preset has this name; the message lists the presets.
    """
    if name in PRESETS:
        return PRESETS[name]
    raise ModelError(
        f"{name!r}: expected a preset, a .toml model file or a .safetensors network.{did_you_mean(name, PRESETS)} "
        f"Presets: {', '.join(PRESETS)}"
    )
