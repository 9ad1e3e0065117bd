"""scikit-learn's contract for classifiers, and its tools on the estimator."""

import pickle

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", reason="needs the extra sklearn: pip install 'numbacnn[sklearn]'")

from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import MinMaxScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

import numbacnn as nc  # noqa: E402
from numbacnn.sklearn import CNNClassifier  # noqa: E402


@parametrize_with_checks([CNNClassifier(epochs=20)])
@pytest.mark.filterwarnings("default")
def test_the_estimator_passes_the_checks_of_scikit_learn(estimator, check) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    return load_digits(return_X_y=True)


def test_it_reads_98_percent_of_a_held_out_fifth_of_the_digits(digits) -> None:
    X, X_test, y, y_test = train_test_split(*digits, test_size=0.2, random_state=0)
    assert CNNClassifier(random_state=0).fit(X, y).score(X_test, y_test) >= 0.98


def test_cross_validation_grid_search_and_pipelines_run(digits) -> None:
    X, y = (part[:400] for part in digits)
    assert cross_val_score(CNNClassifier(epochs=20, random_state=0), X, y, cv=3).mean() > 0.8
    pipeline = make_pipeline(MinMaxScaler(), CNNClassifier(epochs=4, random_state=0))
    search = GridSearchCV(pipeline, {"cnnclassifier__learning_rate": [1e-6, 0.005]}, cv=2).fit(X, y)
    assert search.best_params_ == {"cnnclassifier__learning_rate": 0.005}


def test_the_same_random_state_gives_the_same_bits_and_labels_of_any_kind_are_kept(digits) -> None:
    X, y = (part[:200] for part in digits)
    names = np.array([f"digit {i}" for i in range(10)])[y]
    one, other = (CNNClassifier(epochs=2, random_state=3).fit(X, names) for _ in range(2))
    assert np.array_equal(one.predict_proba(X), other.predict_proba(X))
    assert set(one.predict(X)) <= set(names)
    assert np.array_equal(pickle.loads(pickle.dumps(one)).predict_proba(X), one.predict_proba(X))


def test_a_graph_of_ones_own_and_images_as_arrays(digits) -> None:
    X, y = (part[:200] for part in digits)
    graph = nc.sequential(nc.Flatten(), nc.Dense(10, activation="softmax"), input_shape=(8, 8, 1))
    rows = CNNClassifier(graph, epochs=2, random_state=0).fit(X, y)
    images = clone(rows).fit(X.reshape(-1, 8, 8), y)
    assert np.array_equal(rows.predict_proba(X), images.predict_proba(X.reshape(-1, 8, 8)))
    with pytest.raises(nc.ShapeError, match=r"X: expected rows of 64 features for images of shape \(8, 8, 1\)"):
        clone(rows).fit(X[:, :60], y)


def test_pixels_are_scaled(digits) -> None:
    X, y = (part[:200] for part in digits)
    pixels = (X * 15).astype(np.uint8)
    fitted = CNNClassifier(epochs=2, random_state=0).fit(pixels, y)
    expected = nc.fit(
        fitted.net_.graph, pixels.reshape(-1, 8, 8), y, epochs=2, batch_size=32, learning_rate=0.005, schedule="one-cycle",
        seed=int(np.random.RandomState(0).randint(2**31 - 1)), progress=False,
    )  # fmt: skip
    assert np.array_equal(fitted.predict_proba(pixels), expected.predict_proba(pixels.reshape(-1, 8, 8)))
