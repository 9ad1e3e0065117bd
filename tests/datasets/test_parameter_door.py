"""The door for parameters, logits, gradients and the arrays of ``functional``: wrong ones are refused in words."""

from collections.abc import Callable

import numpy as np
import pytest
from door import IMAGES, LAYOUTS, NAMES, dataset, predictor
from networks import SETTINGS, net, run

import numbacnn as nc
from numbacnn import functional as F
from numbacnn.backends import get_ops
from numbacnn.graph import without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.metrics import Evaluation, evaluate
from numbacnn.network import backward, forward
from numbacnn.prediction import Prediction, Predictor
from numbacnn.training import new_state


@pytest.mark.parametrize("name", ["conv1/kernel", "conv1/bias", "norm1/gamma", "norm1/moving_mean", "dense1/kernel"])
def test_parameters_that_do_not_fit_the_network_are_refused(name: str) -> None:
    ops, graph = get_ops("cpu"), without_softmax(net())
    good = initial_parameters(graph, 0)
    missing = {key: array for key, array in good.items() if key != name}
    for wrong, error, message in (
        (missing, nc.ModelError, "it is missing"),
        (good | {name: good[name][..., :1]}, nc.ShapeError, "expected shape"),
        (good | {name: good[name].astype(np.float64)}, nc.DataError, "expected float32, got float64"),
    ):
        with pytest.raises(error, match=f"^{name}: .*{message}"):
            Predictor(graph, ops, wrong)
        with pytest.raises(error, match=f"^{name}: .*{message}"):
            forward(graph, ops, wrong, np.zeros((2, 6, 6, 1), np.float32))
        state = new_state(net(), SETTINGS, ops)
        state.parameters = wrong
        with pytest.raises(error, match=f"^{name}: .*{message}"):
            run(state, dataset())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_memory_layout_of_parameters_gives_the_same_logits(layout: str) -> None:
    """A dense kernel with gaps was read as if it had none."""
    change, ops, graph = LAYOUTS[layout], get_ops("cpu"), without_softmax(net())
    good = initial_parameters(graph, 0)
    changed = {name: change(array) for name, array in good.items()}
    x = IMAGES.astype(np.float32)
    assert np.array_equal(Predictor(graph, ops, changed)(IMAGES).logits, predictor()(IMAGES).logits)
    assert np.array_equal(forward(graph, ops, changed, change(x)).y, forward(graph, ops, good, x).y)


def test_a_forward_pass_refuses_what_is_no_batch_of_its_images() -> None:
    ops, graph = get_ops("cpu"), without_softmax(net())
    parameters = initial_parameters(graph, 0)
    for shape in ((2, 6, 5, 1), (6, 6, 1), (2, 200, 200, 1), (2, 6, 6, 1, 1)):
        with pytest.raises(nc.ShapeError, match=r"net: expected images \(n, 6, 6, 1\), got shape"):
            forward(graph, ops, parameters, np.zeros(shape, np.float32))
    with pytest.raises(nc.DataError, match="float32 or float64, got uint8"):
        forward(graph, ops, parameters, IMAGES)


def test_a_backward_pass_refuses_a_gradient_that_is_not_shaped_as_the_output() -> None:
    ops, graph = get_ops("cpu"), without_softmax(net())
    parameters = initial_parameters(graph, 0)
    forward_pass = forward(graph, ops, parameters, np.zeros((2, 6, 6, 1), np.float32), training=True)
    for shape in ((2, 4), (1, 3), (2, 3, 1)):
        with pytest.raises(nc.ShapeError, match=r"^dy: expected the output's shape \(2, 3\), got"):
            backward(ops, parameters, forward_pass, np.zeros(shape, np.float32))
    with pytest.raises(nc.DataError, match=r"^dy: expected float32"):
        backward(ops, parameters, forward_pass, np.zeros((2, 3)))


def test_logits_that_are_none_are_refused_by_evaluate() -> None:
    for logits, error in (
        (np.zeros((3, 2, 2)), nc.ShapeError), (np.zeros(3), nc.ShapeError), (np.zeros((0, 3)), nc.ShapeError),
        (np.zeros((3, 0)), nc.ShapeError), (np.zeros((3, 2), int), nc.DataError), ([[1.0, 2.0]], nc.DataError),
    ):  # fmt: skip
        with pytest.raises(error, match=r"^logits: expected"):
            evaluate(Prediction(logits), np.zeros(3, int))  # type: ignore[arg-type]


def test_class_names_that_do_not_fit_an_evaluation_are_refused() -> None:
    result = Evaluation(1.0, 0.5, np.eye(3, dtype=np.int64))
    assert [report.name for report in result.per_class(NAMES)] == list(NAMES)
    with pytest.raises(nc.DataError, match="expected 3, one for each class, got 2"):
        result.per_class(("a", "b"))
    with pytest.raises(nc.DataError, match="a text for each class"):
        result.per_class("abc")  # type: ignore[arg-type]


# --- functional -----------------------------------------------------------------------------------------------------------------

X, K = np.ones((2, 5, 5, 3), np.float32), np.ones((3, 3, 3, 4), np.float32)


@pytest.mark.parametrize(
    "call",
    [
        lambda: F.dense(X[0, 0, :, :0], K[0, 0, :0]), lambda: F.dense_backward(K[0, 0], K[0, 0, :0].T, K[0, 0, :, :0]),
        lambda: F.dense_backward(X[0, 0], K[0, 0, :, :0], X[0, 0, :, :0]), lambda: F.conv2d_backward(X, K[..., :0], X[:, :3, :3, :0]),
        lambda: F.conv2d(X, K[:0]), lambda: F.softmax_cross_entropy(X[0, 0, :, :0], np.zeros(5, int)),
    ],
)  # fmt: skip
def test_filters_and_weights_of_which_there_are_none_are_refused(call: Callable[[], object]) -> None:
    """Some ended in Numba's ZeroDivisionError, others in a ValueError of NumPy's."""
    with pytest.raises(nc.ShapeError, match="at least one"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: F.relu(x), lambda x: F.conv2d(x, K), lambda x: F.conv2d(X, x), lambda x: F.conv2d(X, K, x), lambda x: F.dense(x, K[0, 0]),
        lambda x: F.max_pool2d_backward(X, x), lambda x: F.softmax_cross_entropy(np.zeros((2, 3)), x), lambda x: F.dropout(x, 0.5, 0, 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("what", [[[1.0, 2.0], [3.0]], np.ma.array([1.0, 2.0], mask=[True, False])], ids=["ragged", "masked"])
def test_rows_of_unequal_length_and_masks_are_refused_by_functional(call: Callable[[object], object], what: object) -> None:
    with pytest.raises(nc.DataError, match=r"^\w+: (no array can be made of it|expected an array without a mask)"):
        call(what)
