"""What ``functional`` refuses, and with which words; and the unusual arguments that it takes."""

import math

import numpy as np
import pytest

from numbacnn import functional as F
from numbacnn.errors import DataError, ModelError, NumbaCNNError, ShapeError
from numbacnn.layers.activation import ACTIVATIONS

IMAGES, FILTERS = np.ones((1, 8, 8, 3)), np.ones((2, 2, 3, 4))
BAD_WINDOWS = [
    pytest.param({"padding": "full"}, id="unknown padding"),
    pytest.param({"padding": None}, id="no padding"),
    pytest.param({"padding": 1}, id="padding as a number"),
    pytest.param({"padding": (1, 1)}, id="padding as a pair of numbers"),
    pytest.param({"padding": ((0, -1), (0, 0))}, id="negative padding"),
    pytest.param({"padding": ((0, 0.5), (0, 0))}, id="half a cell of padding"),
    pytest.param({"padding": np.ones((2, 2), int)}, id="padding as an array"),
    pytest.param({"strides": 0}, id="stride zero"),
    pytest.param({"strides": (1, 0)}, id="one stride zero"),
    pytest.param({"strides": -1}, id="negative stride"),
    pytest.param({"strides": 1.5}, id="fractional stride"),
    pytest.param({"strides": (1, 1, 1)}, id="three strides"),
    pytest.param({"strides": "2"}, id="a stride in letters"),
]
NO_STRIDE = pytest.param({"strides": None}, id="no stride")  # to a pooling, its window's size
BAD_POOLS = [
    *(pytest.param({"pool_size": size}, id=f"pool_size {size}") for size in (0, (2, -1), 1.5, (2, 2, 2), None, 9)),
    # There is no largest and no mean of nothing; a made-up number would spread unseen.
    pytest.param({"strides": 2, "padding": ((2, 2), (2, 2))}, id="padding so wide that a window sees no cell"),
]
BOTH_POOLS = pytest.mark.parametrize("pool", [F.max_pool2d, F.avg_pool2d])
BOTH_POOLS_BACKWARD = pytest.mark.parametrize("backward", [F.max_pool2d_backward, F.avg_pool2d_backward])


@pytest.mark.parametrize("wrong", [*BAD_WINDOWS, NO_STRIDE])
def test_conv2d_rejects_a_window_that_makes_no_sense(wrong):
    with pytest.raises(ShapeError):
        F.conv2d(IMAGES, FILTERS, **wrong)
    with pytest.raises(ShapeError):
        F.conv2d_backward(IMAGES, FILTERS, np.ones((1, 7, 7, 4)), **{"strides": 1, "padding": "valid", **wrong})


@pytest.mark.parametrize("wrong", [0, -1, 1.5, (1, 0), (1, 2, 3), "2", None, 8, 10_000_001])
def test_conv2d_rejects_a_dilation_that_makes_no_sense_or_does_not_fit(wrong):
    with pytest.raises(ShapeError, match=r"dilation|fit"):
        F.conv2d(IMAGES, FILTERS, dilation_rate=wrong)


def test_conv2d_rejects_a_dilated_filter_that_spans_too_many_cells():
    with pytest.raises(ShapeError, match="spans at most 10,000,000 cells, got 3 cells every 6000000"):
        F.conv2d(IMAGES, np.ones((3, 1, 3, 1)), dilation_rate=6_000_000, padding="same")


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "2", None, True, 2, 3])
def test_conv2d_rejects_groups_that_do_not_divide_channels_and_filters(wrong):
    with pytest.raises((ModelError, ShapeError), match="groups"):
        F.conv2d(IMAGES, FILTERS, groups=wrong)
    with pytest.raises(ShapeError, match="groups: expected a number that divides the 4 filters, got 3"):
        F.conv2d(IMAGES, FILTERS[:, :, :1], groups=3)


@BOTH_POOLS
@pytest.mark.parametrize("wrong", [*BAD_WINDOWS, *BAD_POOLS])
def test_pool_rejects_a_window_that_makes_no_sense(pool, wrong):
    with pytest.raises(ShapeError):
        pool(IMAGES, **wrong)


@pytest.mark.parametrize(
    ("x", "kernel", "bias"),
    [
        ((8, 8, 3), (2, 2, 3, 4), (4,)),
        ((1, 8, 8, 3, 1), (2, 2, 3, 4), (4,)),
        ((1, 8, 8, 3), (2, 2, 3), (4,)),
        ((1, 8, 8, 3), (2, 2, 3, 4), (5,)),
        ((1, 8, 8, 3), (2, 2, 3, 4), (1, 4)),
        ((1, 8, 8, 3), (0, 2, 3, 4), (4,)),
        ((1, 0, 8, 3), (2, 2, 3, 4), (4,)),
    ],
)
def test_conv2d_rejects_arrays_of_the_wrong_shape(x, kernel, bias):
    with pytest.raises(ShapeError):
        F.conv2d(np.ones(x), np.ones(kernel), np.ones(bias))


def test_conv2d_names_both_channel_counts_when_they_differ():
    with pytest.raises(ShapeError, match=r"(?s)3.*5|5.*3"):
        F.conv2d(IMAGES, np.ones((2, 2, 5, 4)))


def test_conv2d_takes_a_kernel_larger_than_the_image_with_same_padding_alone():
    x, kernel = np.ones((1, 2, 2, 1)), np.ones((5, 5, 1, 1))
    with pytest.raises(ShapeError, match="fit"):
        F.conv2d(x, kernel)
    np.testing.assert_array_equal(F.conv2d(x, kernel, padding="same"), np.full((1, 2, 2, 1), 4.0))


@BOTH_POOLS
@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3), (1, 8, 8, 3, 1)])
def test_pool_rejects_arrays_that_are_no_batch_of_images(pool, shape):
    with pytest.raises(ShapeError):
        pool(np.ones(shape))


@pytest.mark.parametrize(
    ("x", "kernel", "bias"),
    [
        ((3,), (3, 4), (4,)),
        ((2, 3, 1), (3, 4), (4,)),
        ((2, 3), (3,), (4,)),
        ((2, 3), (3, 4), (3,)),
        ((2, 3), (3, 4), (1, 4)),
        ((2, 3), (3, 4, 1), (4,)),
    ],
)
def test_dense_rejects_arrays_of_the_wrong_shape(x, kernel, bias):
    with pytest.raises(ShapeError):
        F.dense(np.ones(x), np.ones(kernel), np.ones(bias))


def test_dense_names_both_lengths_when_they_differ():
    with pytest.raises(ShapeError, match=r"(?s)784.*3136|3136.*784"):
        F.dense(np.ones((2, 784)), np.ones((3136, 10)))


@pytest.mark.parametrize("dy", [(1, 8, 8, 4), (2, 7, 7, 4), (1, 7, 7, 5), (7, 7, 4)])
def test_conv2d_backward_rejects_a_gradient_that_is_not_of_the_outputs_shape(dy):
    with pytest.raises(ShapeError):
        F.conv2d_backward(IMAGES, FILTERS, np.ones(dy), strides=1, padding="valid")


@BOTH_POOLS_BACKWARD
@pytest.mark.parametrize("dy", [(1, 8, 8, 3), (2, 4, 4, 3), (1, 4, 4, 2), (4, 4, 3)])
def test_pool_backward_rejects_a_gradient_that_is_not_of_the_outputs_shape(backward, dy):
    with pytest.raises(ShapeError):
        backward(IMAGES, np.ones(dy), 2, strides=2, padding="valid")


@pytest.mark.parametrize("dy", [(3, 4), (2, 3), (4,), (2, 4, 1)])
def test_dense_backward_rejects_a_gradient_that_is_not_of_the_outputs_shape(dy):
    with pytest.raises(ShapeError):
        F.dense_backward(np.ones((2, 3)), np.ones((3, 4)), np.ones(dy))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_backward_rejects_a_gradient_of_another_shape(name):
    with pytest.raises(ShapeError):
        getattr(F, f"{name}_backward")(np.ones((3, 4)), np.ones((3, 5)))


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "softmax"])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 1, 3, 1, 2), (0,), (3, 0, 2)])
def test_activation_keeps_any_shape(name, shape):
    x = np.full(shape, 0.5)
    assert np.shape(getattr(F, name)(x)) == shape
    assert np.shape(getattr(F, f"{name}_backward")(x, x)) == shape


# --- labels ----------------------------------------------------------------------------------------------------------------

LOGITS, LABELS = np.random.default_rng(0).standard_normal((6, 10)).astype(np.float32), np.arange(6)


@pytest.mark.parametrize("integer", [np.uint8, np.int8, np.int32, np.int64, np.uint64])
def test_cross_entropy_takes_labels_of_any_integer_type(integer):
    assert F.softmax_cross_entropy(LOGITS, LABELS.astype(integer))[0] == F.softmax_cross_entropy(LOGITS, LABELS)[0]


@pytest.mark.parametrize("label", [-1, 10, 255, 2**40])
def test_cross_entropy_rejects_a_label_that_is_no_class(label):
    labels = LABELS.copy()
    labels[3] = label
    with pytest.raises((DataError, ShapeError), match=str(label)):
        F.softmax_cross_entropy(LOGITS, labels)


@pytest.mark.parametrize("shape", [(5,), (7,), (6, 1), (6, 10), ()])
def test_cross_entropy_rejects_labels_that_do_not_match_the_logits(shape):
    with pytest.raises((DataError, ShapeError)):
        F.softmax_cross_entropy(LOGITS, np.zeros(shape, int))


@pytest.mark.parametrize("labels", [np.zeros(6), np.zeros(6, bool), np.array(["0"] * 6)], ids=["float", "bool", "text"])
def test_cross_entropy_rejects_labels_that_are_no_integers(labels):
    """A label of 0.7 would be cut to 0 unseen."""
    with pytest.raises(NumbaCNNError):
        F.softmax_cross_entropy(LOGITS, labels)


@pytest.mark.parametrize("shape", [(10,), (2, 3, 10), (2, 0), (0, 10)])
def test_cross_entropy_rejects_logits_that_are_no_rows_of_classes(shape):
    with pytest.raises((DataError, ShapeError)):
        F.softmax_cross_entropy(np.zeros(shape), np.zeros(shape[0], int))


@pytest.mark.parametrize("integer", [np.uint8, np.int8, np.int32, np.int64, np.uint64])
def test_one_hot_takes_labels_of_any_integer_type(integer):
    np.testing.assert_array_equal(F.one_hot(np.array([2, 0], integer), 3), [[0, 0, 1], [1, 0, 0]])


def test_one_hot_takes_lists_and_no_labels_and_both_float_types():
    assert F.one_hot([1, 0], 2).tolist() == [[0, 1], [1, 0]]
    assert F.one_hot([], 4).shape == (0, 4)
    assert F.one_hot([0], 1, dtype="float32").dtype == np.float32


@pytest.mark.parametrize("labels", [[3], [-1], [0.0], [True], ["1"], [[0, 1]], 1, [2**40]])
def test_one_hot_rejects_labels_that_are_no_classes(labels):
    with pytest.raises((DataError, ShapeError), match="labels"):
        F.one_hot(labels, 3)


@pytest.mark.parametrize("classes", [0, -1, 2.0, "3", None, True])
def test_one_hot_rejects_a_number_of_classes_that_is_none(classes):
    with pytest.raises(ModelError, match="classes"):
        F.one_hot([0], classes)


@pytest.mark.parametrize("dtype", ["int64", "float16", None, 3])
def test_one_hot_rejects_another_type_by_name(dtype):
    with pytest.raises(DataError, match="dtype"):
        F.one_hot([0], 2, dtype=dtype)


@pytest.mark.parametrize("shape", [(10,), (2, 3, 10), (2, 0), (0, 10)])
def test_cross_entropy_of_probabilities_rejects_arrays_that_are_no_rows_of_classes(shape):
    with pytest.raises(ShapeError):
        F.cross_entropy(np.zeros(shape), np.zeros(shape))


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["probabilities", "targets"])
def test_cross_entropy_rejects_logits_in_place_of_probabilities(name, wrong):
    given = {"probabilities": np.full((2, 3), 0.5), "targets": np.full((2, 3), 0.5)}
    given[name][1, 2] = wrong
    with pytest.raises(DataError, match=rf"{name}: .*at \(1, 2\)"):
        F.cross_entropy(**given)


def test_cross_entropy_names_both_shapes_when_they_differ():
    with pytest.raises(ShapeError, match=r"targets: expected shape \(2, 3\), got \(2, 4\)"):
        F.cross_entropy(np.ones((2, 3)), np.ones((2, 4)))


@pytest.mark.parametrize("rate", [1.0, 1.5, -0.1, math.nan, math.inf, "half", None])
def test_dropout_rejects_a_rate_that_is_no_fraction_below_one(rate):
    with pytest.raises(NumbaCNNError, match="rate"):
        F.dropout(np.ones((2, 2)), rate, 0, 0)
