"""Keras's names with Keras's meaning, as the lecture's listings write them, over ``nc.fit``'s training.

>>> import numbacnn as tf
>>> model = tf.keras.Sequential([tf.keras.layers.Flatten(input_shape=(28, 28)), tf.keras.layers.Dense(10, activation="softmax")])
>>> model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
>>> model.fit(x_train, y_train, batch_size=100, epochs=10)

Numbers are taken as they are: pixels 0...255 are fed raw, where ``nc.fit`` scales them to 0...1. A name or argument that Keras has and
numbacnn has not is an error that says what there is.
"""

from typing import Any

from numbacnn.keras import callbacks, datasets, layers, models, optimizers
from numbacnn.keras.arguments import no_such_name
from numbacnn.keras.layers import Input
from numbacnn.keras.models import Sequential

__all__ = ["Input", "Sequential", "callbacks", "datasets", "layers", "models", "optimizers"]


def __getattr__(name: str) -> Any:
    raise no_such_name("numbacnn.keras", name, __all__)
