"""The lecture's numbers, which the code must give, and the numbers of known mistakes, which it must not."""

import math

import numpy as np
import oracle
import pytest

import numbacnn as nc
from numbacnn import functional as F
from numbacnn.backends import get_ops
from numbacnn.errors import ShapeError
from numbacnn.initializers import initial_parameters, initial_values
from numbacnn.lecture.vectors import vectors
from numbacnn.models import PRESETS
from numbacnn.network import forward
from numbacnn.optimizers import SGD, Adam, Momentum
from numbacnn.random_numbers import stream
from numbacnn.schedules import exponential
from numbacnn.shapes import window

VECTORS = vectors()
CURVE, XO, POOL, DEMO = (VECTORS[key] for key in ("curve_filter", "xo_toy", "maxpool_figure", "cs231n_conv"))
BACKPROP, LOSS, ACTIVATIONS = (VECTORS[key] for key in ("backprop_3x3_2x2", "softmax_cross_entropy", "activations"))
BOTH_TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
ARITHMETIC = pytest.mark.parametrize("arithmetic", [F, oracle], ids=["numbacnn", "oracle"])
"""The oracle must give the lecture's numbers too: the other tests compare with it."""


def image(values, dtype=np.float64):
    """(h, w) as a batch of one grey image, (h, w, c) as a batch of one."""
    array = np.array(values, dtype)
    return array.reshape(1, *array.shape, *(() if array.ndim == 3 else (1,)))


def kernel(values, dtype=np.float64):
    """(kh, kw) as one filter on one channel."""
    return np.array(values, dtype)[:, :, None, None]


def plane(array):
    """A batch of one grey image as (h, w)."""
    return array[0, :, :, 0]


def truncated(values):
    """To two decimals toward zero, as the slides print them; 1e-4 is added so that 0.55 (5/9) does not become 0.54 by rounding."""
    return np.trunc(np.asarray(values) * 100 + 1e-4) / 100


@ARITHMETIC
@BOTH_TYPES
def test_curve_filter_gives_6600_on_the_curve_and_0_beside_it(arithmetic, dtype):
    filters = kernel(CURVE["filter"], dtype)
    assert arithmetic.conv2d(image(CURVE["field_hit"], dtype), filters).item() == CURVE["expect_hit"] == 6600
    assert arithmetic.conv2d(image(CURVE["field_miss"], dtype), filters).item() == CURVE["expect_miss"] == 0


def test_curve_filter_detects_a_flipped_or_transposed_kernel():
    """A true convolution, which flips the kernel, would give 3600 and 2250. X/O cannot show it: its filters equal their half turn."""
    flipped = kernel(CURVE["filter"])[::-1, ::-1]
    assert F.conv2d(image(CURVE["field_hit"]), flipped).item() == CURVE["flipped"]["hit"] != CURVE["expect_hit"]
    assert F.conv2d(image(CURVE["field_miss"]), flipped).item() == CURVE["flipped"]["miss"] != CURVE["expect_miss"]
    assert F.conv2d(image(CURVE["field_hit"]), kernel(CURVE["filter"]).swapaxes(0, 1)).item() == CURVE["transposed"]["hit"]


IMAGES = pytest.mark.parametrize("name", XO["images"])
FILTERS = pytest.mark.parametrize("feature", XO["filters"])


def filter_bank(dtype=np.float64):
    """The three filters as HWIO (3, 3, 1, 3)."""
    return np.stack([np.array(weights, dtype) for weights in XO["filters"].values()], axis=-1)[:, :, None, :]


def stack(tables):
    """{feature: (h, w)} as (h, w, features)."""
    return np.stack([np.array(table, float) for table in tables.values()], axis=-1)


def filtered(name, dtype=np.float64):
    """The match scores: sums of products divided by 9."""
    return F.conv2d(image(XO["images"][name], dtype), filter_bank(dtype)) / dtype(9)


def twelve_numbers(name):
    """conv, relu, pool, pool, then one map after the other, each row by row."""
    pooled = F.max_pool2d(F.max_pool2d(F.relu(filtered(name)), padding="same"), padding="same")
    return pooled.transpose(0, 3, 1, 2).reshape(1, 12)


@ARITHMETIC
@BOTH_TYPES
@IMAGES
def test_xo_convolution_maps_are_the_lectures_integers(name, arithmetic, dtype):
    maps = arithmetic.conv2d(image(XO["images"][name], dtype), filter_bank(dtype))
    np.testing.assert_array_equal(maps[0], stack(XO["cases"][name]["conv_times9"]))


@IMAGES
def test_xo_relu_maps_print_as_in_the_lecture(name):
    rectified = F.relu(filtered(name))
    assert (rectified >= 0).all()
    np.testing.assert_array_equal(truncated(rectified[0]), stack(XO["cases"][name]["relu_truncated"]))


@ARITHMETIC
@IMAGES
def test_xo_pooled_maps_are_four_by_four_with_partial_last_windows(name, arithmetic):
    rectified = np.maximum(stack(XO["cases"][name]["conv_times9"]), 0)[None]
    pooled = arithmetic.max_pool2d(rectified, 2, strides=2, padding="same")
    np.testing.assert_array_equal(pooled[0], stack(XO["cases"][name]["pool_times9"]))
    np.testing.assert_array_equal(truncated(pooled[0] / 9), stack(XO["cases"][name]["pool_truncated"]))
    np.testing.assert_array_equal(
        arithmetic.max_pool2d(pooled, 2, padding="same")[0], stack(XO["cases"][name]["pool_twice_times9"])
    )


def test_xo_pooled_maps_of_x_equal_all_48_cells_on_the_slide():
    pooled = F.max_pool2d(F.relu(filtered("X")), padding="same")
    np.testing.assert_array_equal(truncated(pooled[0]), stack(XO["pool_as_printed_on_slide"]))


@FILTERS
def test_xo_relu_maps_on_the_slide_are_wrong_in_exactly_the_known_cells(feature):
    """29 of 147 cells are printed as 0.33 and are 0.11 or 0.55: pooling the true maps gives the slide's own pooled maps."""
    printed = np.array(XO["relu_as_printed_on_slide"][feature], float)
    true = np.array(XO["cases"]["X"]["relu_truncated"][feature])
    wrong = [[r, q, printed[r, q], true[r, q]] for r, q in np.argwhere(printed != true).tolist()]
    assert wrong == XO["row_column_printed_true_of_wrong_cells"][feature]
    pooled = F.max_pool2d(image(printed), padding="same")
    assert not np.array_equal(plane(pooled), XO["pool_as_printed_on_slide"][feature])


@pytest.mark.parametrize(
    ("wrong", "padding"), [("pool_valid_3x3_times9", "valid"), ("pool_padding_one_before_times9", ((1, 0), (1, 0)))]
)
def test_xo_pooling_with_another_padding_gives_other_maps(wrong, padding):
    """Padding before instead of after also gives 4x4: the shape alone proves nothing."""
    rectified = np.maximum(stack(XO["cases"]["X"]["conv_times9"]), 0)[None]
    pooled = F.max_pool2d(rectified, 2, strides=2, padding=padding)
    np.testing.assert_array_equal(pooled[0], stack(XO["discriminators"][wrong]))
    assert not np.array_equal(pooled[0], stack(XO["cases"]["X"]["pool_times9"]))


@ARITHMETIC
def test_xo_average_pooling_does_not_count_the_padding(arithmetic):
    rectified = np.maximum(np.array(XO["cases"]["X"]["conv_times9"]["diag_down"], float), 0)
    mean = plane(arithmetic.avg_pool2d(image(rectified), 2, padding="same"))
    np.testing.assert_array_equal(mean, XO["discriminators"]["average_pool_times9"])
    assert not np.array_equal(mean, XO["discriminators"]["average_pool_counting_padding_times9"])


@IMAGES
def test_xo_network_votes_for_the_right_letter(name):
    """End to end: X and the deformed X are taken for X, O for O, with the lecture's votes."""
    case = XO["cases"][name]
    numbers = twelve_numbers(name)
    np.testing.assert_allclose(numbers[0] * 9, case["flat12_times9"], rtol=1e-14)
    (votes,) = F.dense(numbers, np.array(XO["vote_weights"]))
    np.testing.assert_allclose(votes, [case["vote_x"], case["vote_o"]], rtol=1e-14)
    assert "XO"[votes.argmax()] == name[0]


def test_xo_votes_of_the_slides_twelve_numbers():
    votes = F.dense(np.array([XO["vote_vector"]]), np.array(XO["vote_weights"]))
    np.testing.assert_allclose(votes, [XO["votes"]], rtol=1e-14)
    np.testing.assert_allclose(votes, [[0.912, 0.5175]], rtol=1e-14)


@IMAGES
def test_xo_preset_with_the_lectures_weights_votes_for_the_right_letter(name):
    """The same numbers through a graph. Its flatten is NHWC, so the votes' weights are reordered."""
    weights = np.array(XO["vote_weights"]).reshape(3, 2, 2, 2).transpose(1, 2, 0, 3).reshape(12, 2)
    values = filter_bank() / 9, np.zeros(3), weights, np.zeros(2)
    graph = PRESETS["xo"].graph
    (shares,) = forward(graph, get_ops("cpu"), dict(zip(graph.parameters, values, strict=True)), image(XO["images"][name])).y
    votes = np.array([XO["cases"][name]["vote_x"], XO["cases"][name]["vote_o"]])
    np.testing.assert_allclose(shares, np.exp(votes) / np.exp(votes).sum(), rtol=1e-13)
    assert "XO"[shares.argmax()] == name[0]


def test_xo_preset_has_the_shapes_of_the_lectures_toy():
    rows = nc.summarise(PRESETS["xo"].graph).layers
    assert [row.output_shape for row in rows] == [(7, 7, 3), (4, 4, 3), (2, 2, 3), (12,), (2,)]


@ARITHMETIC
@BOTH_TYPES
def test_pooling_picture_gives_6_8_3_4_and_its_means(arithmetic, dtype):
    x = image(POOL["input"], dtype)
    np.testing.assert_array_equal(plane(arithmetic.max_pool2d(x, 2, strides=2)), POOL["max"])
    np.testing.assert_array_equal(plane(arithmetic.avg_pool2d(x, 2, strides=2)), POOL["mean"])


@ARITHMETIC
@BOTH_TYPES
def test_pooling_picture_sends_each_gradient_to_its_maximum(arithmetic, dtype):
    dx = arithmetic.max_pool2d_backward(image(POOL["input"], dtype), image(POOL["dy"], dtype), 2, strides=2, padding="valid")
    np.testing.assert_array_equal(plane(dx), POOL["dx"])
    assert [int(np.flatnonzero(dx.ravel() == k)[0]) for k in (1, 2, 3, 4)] == POOL["argmax_row_major"]


@ARITHMETIC
@BOTH_TYPES
@pytest.mark.parametrize(
    ("values", "padding"),
    [("padded_7x7x3", "valid"), ("input_5x5x3", ((1, 1), (1, 1))), ("input_5x5x3", "same")],
    ids=["padded by hand", "explicit", "same"],
)
def test_cs231n_demo_gives_its_three_by_three_by_two(values, padding, arithmetic, dtype):
    x, weights, bias = image(DEMO[values], dtype), np.array(DEMO["kernel_hwio"], dtype), np.array(DEMO["bias"], dtype)
    y = arithmetic.conv2d(x, weights, bias, strides=DEMO["stride"], padding=padding)
    np.testing.assert_array_equal(y[0], DEMO["output_3x3x2"])


def test_cs231n_demo_detects_a_flipped_kernel_and_same_padding_on_the_padded_image():
    x, weights, bias = image(DEMO["padded_7x7x3"]), np.array(DEMO["kernel_hwio"], float), np.array(DEMO["bias"], float)
    flipped = F.conv2d(x, weights[::-1, ::-1], bias, strides=2)
    np.testing.assert_array_equal(flipped[0], DEMO["output_if_kernel_flipped"])
    assert not np.array_equal(flipped[0], DEMO["output_3x3x2"])
    assert F.conv2d(x, weights, bias, strides=2, padding="same").shape == (1, 4, 4, 2)


def test_cs231n_preset_has_56_parameters():
    assert nc.summarise(PRESETS["cs231n"].graph).parameters == DEMO["parameters"] == 56
    assert PRESETS["cs231n"].graph.output_shape == (3, 3, 2)


@ARITHMETIC
@BOTH_TYPES
def test_backprop_slide_forward(arithmetic, dtype):
    y = arithmetic.conv2d(image(BACKPROP["x"], dtype), kernel(BACKPROP["kernel"], dtype))
    np.testing.assert_array_equal(plane(y), BACKPROP["y"])


@ARITHMETIC
@BOTH_TYPES
@pytest.mark.parametrize("case", ["sum_of_outputs", "half_squared_error"])
def test_backprop_slide_gradients_and_update(case, arithmetic, dtype):
    """All numbers are multiples of 1/4 and small, so the gradients are exact in either type."""
    expected = BACKPROP[case]
    weights = kernel(BACKPROP["kernel"], dtype)
    dy = image(expected["dy"], dtype)
    dx, dkernel, dbias = arithmetic.conv2d_backward(image(BACKPROP["x"], dtype), weights, dy, strides=1, padding="valid")
    np.testing.assert_array_equal(dkernel[:, :, 0, 0], expected["dkernel"])
    np.testing.assert_array_equal(plane(dx), expected["dx"])
    assert dbias.item() == expected["dbias"]
    updated = weights - dtype(BACKPROP["learning_rate"]) * dkernel
    np.testing.assert_allclose(updated[:, :, 0, 0], expected["kernel_next"], rtol=8 * np.finfo(dtype).eps)


def test_backprop_slide_gradients_are_convolutions_themselves():
    """dkernel = x correlated with dy; dx = dy, padded all round, correlated with the half-turned kernel."""
    expected = BACKPROP["half_squared_error"]
    dkernel = F.conv2d(image(BACKPROP["x"]), kernel(expected["dy"]))
    np.testing.assert_array_equal(plane(dkernel), expected["dkernel"])
    dx = F.conv2d(image(expected["dy"]), kernel(BACKPROP["kernel"])[::-1, ::-1], padding=((1, 1), (1, 1)))
    np.testing.assert_array_equal(plane(dx), expected["dx"])


@ARITHMETIC
@BOTH_TYPES
def test_softmax_cross_entropy_batch(arithmetic, dtype):
    """The third row holds 1000s, whose exp overflows unless the largest is taken off first."""
    batch = LOSS["batch"]
    logits, labels = np.array(batch["logits"], dtype), np.array(batch["labels"])
    few = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(arithmetic.softmax(logits), batch["softmax"], rtol=few)
    loss, dlogits = arithmetic.softmax_cross_entropy(logits, labels)
    assert math.isclose(loss, batch["loss"], rel_tol=few)
    np.testing.assert_allclose(dlogits, batch["dlogits"], rtol=8 * few)


def test_cross_entropy_picture_is_no_softmax_and_its_loss_is_as_printed_or_as_normalised():
    printed, label = np.array(LOSS["probabilities_as_printed"]), LOSS["label"]
    assert math.isclose(printed.sum(), LOSS["sum_as_printed"])
    assert math.isclose(-math.log(printed[label]), LOSS["loss_as_printed"], rel_tol=1e-14)
    as_printed = F.cross_entropy(printed[None], F.one_hot([label], len(printed)))
    assert math.isclose(as_printed, LOSS["loss_as_printed"], rel_tol=1e-14)
    loss, _ = F.softmax_cross_entropy(np.log(printed)[None], np.array([label]))
    assert math.isclose(loss, LOSS["loss_if_normalised"], rel_tol=1e-13)


@BOTH_TYPES
def test_an_untrained_network_starts_at_a_loss_of_2_302585(dtype):
    loss, _ = F.softmax_cross_entropy(np.zeros((100, 10), dtype), np.arange(100) % 10)
    assert math.isclose(loss, LOSS["loss_of_ten_equal_logits"], rel_tol=4 * np.finfo(dtype).eps)


@ARITHMETIC
def test_activation_table(arithmetic):
    z = np.array([ACTIVATIONS["z"]])
    ones = np.ones_like(z)
    np.testing.assert_allclose(arithmetic.sigmoid(z), [ACTIVATIONS["sigmoid"]], rtol=1e-14)
    np.testing.assert_allclose(arithmetic.sigmoid_backward(z, ones), [ACTIVATIONS["sigmoid_gradient"]], rtol=1e-12, atol=1e-40)
    np.testing.assert_array_equal(arithmetic.relu(z), [ACTIVATIONS["relu"]])
    assert arithmetic.relu_backward(np.zeros((1, 1)), np.ones((1, 1))).item() == ACTIVATIONS["relu_gradient_at_zero"]


@ARITHMETIC
@BOTH_TYPES
def test_one_layer_formula(arithmetic, dtype):
    layer = VECTORS["one_layer_formula"]
    x, weights, bias = (np.array(layer[key], dtype) for key in ("x", "kernel", "bias"))
    np.testing.assert_allclose(arithmetic.dense(x, weights, bias), layer["y"], rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize(("rate", "scale"), VECTORS["dropout"]["scale_by_rate"].items())
def test_dropout_scales_the_values_it_keeps(rate, scale):
    y = F.dropout(np.ones((100, 100)), float(rate), 0, 0)
    np.testing.assert_allclose(np.unique(y), [0, scale], rtol=1e-15)


@pytest.mark.parametrize(
    "rule", VECTORS["shape_rules"]["table"], ids=lambda r: "{size} by {kernel}/{stride} {padding}".format(**r)
)
@pytest.mark.parametrize("arithmetic", [window, oracle.window], ids=["numbacnn", "oracle"])
def test_shape_rule(rule, arithmetic):
    w = arithmetic(rule["size"], rule["kernel"], rule["stride"], rule["padding"])
    assert (w.size, w.kernel, w.stride) == (rule["size"], rule["kernel"], rule["stride"])
    assert w.out == rule["out"]
    assert [w.pad_before, w.pad_after] == rule["pad"]


def test_shape_rules_equal_the_oracle_everywhere():
    """Sizes 1-20, kernels 1-8, strides 1-7, all paddings."""
    for size, k, stride in np.ndindex(20, 8, 7):
        for padding in ("valid", "same", (0, 1), (2, 0), (3, 5)):
            expected = oracle.window(size + 1, k + 1, stride + 1, padding)
            if expected.out >= 1:
                assert tuple(window(size + 1, k + 1, stride + 1, padding)) == tuple(expected)
            else:
                with pytest.raises(ShapeError):
                    window(size + 1, k + 1, stride + 1, padding)


@pytest.mark.parametrize(
    ("size", "k", "stride", "padding"),
    [
        (4, 5, 1, "valid"),
        (4, 2, 0, "same"),
        (4, 2, -1, "valid"),
        (4, 0, 1, "valid"),
        (4, 2, 1, (-1, 0)),
        (4, 2.5, 1, "valid"),
        (0, 1, 1, "same"),
    ],
)
def test_shape_rules_refuse_invalid_windows(size, k, stride, padding):
    with pytest.raises(ShapeError):
        window(size, k, stride, padding)


def test_gerons_figure_five_by_seven_same_stride_two():
    y = F.conv2d(np.ones((1, 5, 7, 1)), np.ones((3, 3, 1, 1)), strides=2, padding="same")
    assert list(y.shape[1:3]) == VECTORS["shape_rules"]["same_5x7_kernel_3_stride_2"]


def test_neuron_reads_the_rows_and_columns_the_slide_says():
    """Output (i, j) reads rows i*sh ... i*sh+fh-1 and columns j*sw ... j*sw+fw-1."""
    (fh, fw), (sh, sw) = (3, 2), (2, 3)
    x = np.zeros((1, 9, 11, 1))
    reads = F.conv2d_backward(x, np.ones((fh, fw, 1, 1)), one_hot_output(2, 1, (4, 4)), strides=(sh, sw), padding="valid")[0]
    rows, columns = (np.unique(axis).tolist() for axis in np.nonzero(plane(reads)))
    assert rows == [4, 5, 6] == list(range(2 * sh, 2 * sh + fh))
    assert columns == [3, 4] == list(range(1 * sw, 1 * sw + fw))


def one_hot_output(i, j, size):
    dy = np.zeros((1, *size, 1))
    dy[0, i, j, 0] = 1
    return dy


NETWORKS = pytest.mark.parametrize("name", VECTORS["networks"])


def layer_of(row):
    """The layer that a row of the table describes."""
    kinds = {"Conv2D": nc.Conv2D, "MaxPool2D": nc.MaxPool2D, "Dense": nc.Dense, "Dropout": nc.Dropout, "Flatten": nc.Flatten}
    described = ("filters", "kernel_size", "strides", "padding", "pool_size", "units", "rate")
    fields = {key: tuple(row[key]) if isinstance(row[key], list) else row[key] for key in described if key in row}
    return kinds[row["type"]](**fields)


def check_summary(summary, expected):
    assert [row.type for row in summary.layers] == [row["type"] for row in expected["layers"]]
    for got, row in zip(summary.layers, expected["layers"], strict=True):
        assert (list(got.input_shape), list(got.output_shape)) == (row["input_shape"], row["output_shape"]), got.name
        assert (got.parameters, got.macs) == (row["parameters"], row["macs"]), got.name
        assert got.activation_bytes == summary.batch_size * 4 * math.prod(row["output_shape"]), got.name
        if "receptive_field" in row:
            assert tuple(got.receptive_field) == (row["receptive_field"],) * 2, got.name
            assert tuple(got.jump) == (row["jump"],) * 2, got.name
    assert (summary.parameters, summary.macs) == (expected["parameters"], expected["macs"])


@NETWORKS
@pytest.mark.parametrize("batch_size", [1, 100])
def test_network_has_the_published_shapes_parameters_and_work(name, batch_size):
    expected = VECTORS["networks"][name]
    graph = nc.sequential(*map(layer_of, expected["layers"]), input_shape=(28, 28, 1))
    check_summary(nc.summarise(graph, batch_size), expected)


@pytest.mark.parametrize("name", ["softmax", "sigmoid5", "dense128", "cnn"])
def test_preset_is_the_lectures_network(name):
    check_summary(nc.summarise(PRESETS[name].graph), VECTORS["networks"][name])


def test_preset_sigmoid5_sgd_is_what_the_slide_trains():
    """Keras's defaults: glorot_uniform, SGD of rate 0.01 without momentum or decay."""
    found = PRESETS["sigmoid5-sgd"]
    check_summary(nc.summarise(found.graph), VECTORS["networks"]["sigmoid5"])
    dense = [node.layer for node in found.graph.nodes if isinstance(node.layer, nc.Dense)]
    assert [(layer.activation, layer.kernel_initializer) for layer in dense] == [
        *[("sigmoid", "glorot_uniform")] * 4, ("softmax", "glorot_uniform")
    ]  # fmt: skip
    assert (found.recipe.optimizer, found.recipe.learning_rate, found.recipe.lr_decay) == ("sgd", 0.01, 1.0)
    assert (found.recipe.batch_size, found.recipe.epochs) == (100, 10)


def test_preset_relu5_is_sigmoid5_with_another_activation():
    check_summary(nc.summarise(PRESETS["relu5"].graph), VECTORS["networks"]["sigmoid5"])


@NETWORKS
def test_network_computes_the_shapes_it_announces(name):
    """The functional API gives the shapes of the table, layer by layer."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2, 28, 28, 1)).astype(np.float32)
    for row in VECTORS["networks"][name]["layers"]:
        x = run_layer(row, x, generator)
        assert list(x.shape[1:]) == row["output_shape"]


def run_layer(row, x, generator):
    def weights(*shape):
        return generator.standard_normal(shape).astype(np.float32)

    match row["type"]:
        case "Conv2D":
            bank = weights(*row["kernel_size"], x.shape[3], row["filters"])
            return F.relu(F.conv2d(x, bank, strides=row["strides"], padding=row["padding"]))
        case "MaxPool2D":
            return F.max_pool2d(x, row["pool_size"], strides=row["strides"])
        case "Dense":
            return F.dense(x, weights(x.shape[1], row["units"]))
        case "Dropout":
            return F.dropout(x, row["rate"], 0, 0)
    return x.reshape(len(x), -1)


def test_cnn_keeps_98_percent_of_its_weights_in_one_layer_and_72_percent_of_its_work_in_another():
    rows = {row.name: row for row in nc.summarise(PRESETS["cnn"].graph).layers}
    total = nc.summarise(PRESETS["cnn"].graph)
    assert round(100 * max(row.parameters for row in rows.values()) / total.parameters) == 98
    assert round(100 * max(row.macs for row in rows.values()) / total.macs) == 72


@pytest.mark.parametrize("decay", [0.6, 0.666])
def test_learning_rate_decays_as_in_the_lecture(decay):
    rate = exponential(0.01, decay)
    np.testing.assert_allclose([rate(epoch) for epoch in range(10)], VECTORS["lr_decay"][f"decay_{decay}"], rtol=1e-14)
    assert rate(3.9) == rate(3), "the rate changes with each epoch, not within one"


def weights_after_each_step(optimizer, dtype):
    """Five steps from weight 1 with the table's gradients, for two equal weights at once."""
    ops, table = get_ops("cpu"), VECTORS["optimisers"]
    parameter = np.full(2, table["weight"], dtype)
    slots = {name: np.zeros_like(parameter) for name in optimizer.slots}
    seen = []
    for step, gradient in enumerate(table["gradients"], start=1):
        rule = optimizer.rule(table["learning_rate"], step)
        ops.update(parameter, list(slots.values()), np.full(2, gradient, dtype), rule)
        seen.append(parameter.copy())
    return np.array(seen)


@BOTH_TYPES
@pytest.mark.parametrize(("key", "optimizer"), [("sgd", SGD()), ("momentum_0.9", Momentum(0.9)), ("adam", Adam())])
def test_optimizer_takes_the_lectures_five_steps(key, optimizer, dtype):
    expected = np.array(VECTORS["optimisers"][key])[:, None].repeat(2, axis=1)
    np.testing.assert_allclose(weights_after_each_step(optimizer, dtype), expected, rtol=8 * np.finfo(dtype).eps)


def test_oracle_optimizers_take_the_lectures_five_steps():
    table = VECTORS["optimisers"]
    start = table["weight"], table["gradients"], table["learning_rate"]
    np.testing.assert_allclose(list(oracle.sgd(*start)), table["sgd"], rtol=1e-15)
    np.testing.assert_allclose(list(oracle.momentum(*start, 0.9)), table["momentum_0.9"], rtol=1e-15)
    np.testing.assert_allclose(list(oracle.adam(*start)), table["adam"], rtol=1e-14)


def test_adam_is_keras_form_and_not_torchs():
    """The two forms differ by 3e-7: epsilon is outside or inside of the bias correction."""
    table = VECTORS["optimisers"]
    assert Adam().epsilon == table["adam_epsilon"]
    weights = weights_after_each_step(Adam(), np.float64)[:, 0]
    assert np.abs(weights - table["adam_in_torch_form_epsilon_1e-8"]).min() > 1e-8


KOLMOGOROV = 3.2
"""Exceeded by chance once in 400 million: 2 exp(-2 t^2)."""


def assert_drawn_from(values, distribution):
    """Kolmogorov-Smirnov: the empirical distribution function stays within t / sqrt(n) of the true one."""
    ordered = np.sort(values.ravel().astype(np.float64))
    true = np.array([distribution(value) for value in ordered])
    steps = np.arange(ordered.size + 1) / ordered.size
    distance = max(np.abs(true - steps[:-1]).max(), np.abs(true - steps[1:]).max())
    assert distance * math.sqrt(ordered.size) < KOLMOGOROV


@pytest.mark.parametrize(("fan_in", "sd"), VECTORS["he_normal"]["standard_deviation_by_fan_in"].items())
def test_he_normal_is_keras_truncated_normal(fan_in, sd):
    """A normal distribution truncated at two standard deviations, scaled so that the result has sd sqrt(2 / fan_in)."""
    values = initial_values("he_normal", (200, 100), int(fan_in), 100, stream(0), np.float64)
    wide = sd / VECTORS["he_normal"]["truncation_rescale"]
    assert abs(values.std() / sd - 1) < 5 / math.sqrt(2 * values.size)
    assert abs(values.mean()) < 5 * sd / math.sqrt(values.size)
    assert 1.95 * wide < np.abs(values).max() <= 2 * wide
    cut = math.erf(2 / math.sqrt(2))
    assert_drawn_from(values, lambda value: 0.5 + 0.5 * math.erf(value / wide / math.sqrt(2)) / cut)


@pytest.mark.parametrize(
    "case", VECTORS["he_normal"]["glorot_uniform_limit"], ids=lambda case: f"{case['fan_in']} to {case['fan_out']}"
)
def test_glorot_uniform_fills_its_range_evenly(case):
    values = initial_values("glorot_uniform", (200, 100), case["fan_in"], case["fan_out"], stream(0), np.float64)
    limit = case["limit"]
    assert 0.99 * limit < np.abs(values).max() <= limit
    assert_drawn_from(values, lambda value: 0.5 + 0.5 * value / limit)


def test_networks_start_with_the_lectures_initial_weights():
    """dense128 asks for he_normal in its hidden layer; a convolution's fans count its window; biases start at zero."""
    dense = initial_parameters(PRESETS["dense128"].graph, seed=0)
    hidden = next(values for values in dense.values() if values.shape == (784, 128))
    assert abs(hidden.std() / VECTORS["he_normal"]["standard_deviation_by_fan_in"]["784"] - 1) < 0.02
    cnn = initial_parameters(PRESETS["cnn"].graph, seed=0)
    first = next(values for values in cnn.values() if values.shape == (5, 5, 1, 32))
    assert 0.95 < np.abs(first).max() / VECTORS["he_normal"]["glorot_uniform_limit"][2]["limit"] <= 1 + 1e-6
    assert not any(values.any() for values in (*dense.values(), *cnn.values()) if values.ndim == 1)
