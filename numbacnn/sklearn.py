"""scikit-learn's door: a convolutional network as a classifier for pipelines, cross-validation and grid search.

>>> from numbacnn.sklearn import CNNClassifier
>>> cross_val_score(CNNClassifier(random_state=0), *load_digits(return_X_y=True))

It needs the extra ``sklearn``.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn.errors import DeviceError, ShapeError
from numbacnn.fitting import fit
from numbacnn.graph import Graph, sequential
from numbacnn.layers import Conv2D, Dense, Flatten, Layer, MaxPool2D
from numbacnn.shapes import Shape

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import Tags, check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise DeviceError(
        f"numbacnn.sklearn: expected scikit-learn 1.6 or later, got {error}. Run pip install 'numbacnn[sklearn]'"
    ) from None

LEAST_SIDE = 8
"""Square rows of at least this side are taken for grey images; other rows for features without a neighbourhood."""


class CNNClassifier(ClassifierMixin, BaseEstimator):
    """A network trained by ``nc.fit``.

    Args:
        graph: of ``nc.sequential``, with an output for each class; None for two small convolutions on images, and a dense layer on other
            features.
        image_shape: (height, width) or (height, width, channels) of each row of ``X``; None takes the graph's, and without a graph a
            square for rows of 64, 81, 100, ... features.
        epochs, batch_size, optimizer, learning_rate, schedule, augment: of ``nc.fit``.
        validation: share of the rows on which the best epoch is chosen; None for none.
        early_stop: stop after so many epochs without a better validation loss.
        random_state: seed of initial weights and of the order of the rows: a number for the same bits in every call.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        threads: CPU threads; None for all. Changes no result.
        verbose: whether to show progress on stderr.

    Attributes:
        classes_: the labels, (classes,).
        n_features_in_: the number of features in a row.
        net_: the ``nc.Net``, with the history of its training.

    ``X`` holds rows of features, or images (n, height, width) or (n, height, width, channels): uint8 pixels are scaled by 1/255, all other
    numbers are taken as they are.
    """

    def __init__(
        self,
        graph: Graph | None = None,
        *,
        image_shape: tuple[int, ...] | None = None,
        epochs: int = 30,
        batch_size: int = 32,
        optimizer: str = "adam",
        learning_rate: float | None = 0.005,
        schedule: str = "one-cycle",
        augment: bool = False,
        validation: float | None = None,
        early_stop: int | None = None,
        random_state: Any = None,
        device: str = "cpu",
        threads: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.graph = graph
        self.image_shape = image_shape
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.augment = augment
        self.validation = validation
        self.early_stop = early_stop
        self.random_state = random_state
        self.device = device
        self.threads = threads
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.non_deterministic = False
        return tags

    def fit(self, X: Any, y: Any) -> "CNNClassifier":
        """Train on rows or images ``X`` and labels ``y`` (n,) of any kind."""
        X, y = validate_data(self, X, y, allow_nd=True, dtype="numeric")
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        shape = self._image_shape(X)
        self.net_ = fit(
            self.graph if self.graph is not None else default_graph(shape, len(self.classes_)),
            _as_images(X, shape),
            numbers,
            validation=self.validation,
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            early_stop=self.early_stop,
            augment=self.augment,
            seed=int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max)),
            device=self.device,
            threads=self.threads,
            progress=self.verbose,
        )
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class, (n, classes), in the order of ``classes_``."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, allow_nd=True, dtype="numeric")
        return self.net_.predict_proba(_as_images(X, self.net_.graph.input_shape))

    def predict(self, X: Any) -> NDArray[Any]:
        """The label of each row or image, (n,)."""
        numbers = self.predict_proba(X).argmax(axis=1)  # before classes_, which a network not yet trained lacks
        return self.classes_[numbers]

    def _image_shape(self, X: NDArray[Any]) -> Shape:
        """(height, width, channels) of one image."""
        if self.graph is not None:
            return self.graph.input_shape
        given = self.image_shape if self.image_shape is not None else X.shape[1:]
        if len(given) == 1:
            side = math.isqrt(given[0])
            given = (side, side) if side >= LEAST_SIDE and side * side == given[0] else (1, given[0])
        return (*given, 1)[:3]


def default_graph(shape: Shape, classes: int) -> Graph:
    """The network for those who name none: two convolutions on images, a dense layer of 64 units on other features."""
    before: list[Layer] = []
    if min(shape[:2]) >= LEAST_SIDE:
        before = [
            Conv2D(filters=16, kernel_size=3, padding="same", activation="relu", kernel_initializer="he_normal"),
            MaxPool2D(pool_size=2),
            Conv2D(filters=32, kernel_size=3, padding="same", activation="relu", kernel_initializer="he_normal"),
            MaxPool2D(pool_size=2),
        ]
    hidden = Dense(64, activation="relu", kernel_initializer="he_normal")
    return sequential(*before, Flatten(), hidden, Dense(classes, activation="softmax"), input_shape=shape)


def _as_images(X: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """Rows as images; pixels stay pixels, and other numbers become float32."""
    if math.prod(X.shape[1:]) != math.prod(shape):
        raise ShapeError(f"X: expected rows of {math.prod(shape)} features for images of shape {shape}, got shape {X.shape}")
    return X.reshape(len(X), *shape).astype(np.uint8 if X.dtype == np.uint8 else np.float32, copy=False)
