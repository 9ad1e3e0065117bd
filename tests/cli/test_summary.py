"""The summary of a graph: rows, totals, and the printed table against golden files."""

import json
import os
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from repository import TESTS

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.models import PRESETS
from numbacnn.network import forward
from numbacnn.remarks import remarks, without_pooling
from numbacnn.shapes import cells

GOLDEN = TESTS / "golden"


def test_the_lectures_cnn_has_the_lectures_numbers() -> None:
    summary = nc.summarise(PRESETS["cnn"].graph)
    assert (summary.parameters, summary.macs) == (3_274_634, 13_883_904)
    assert [row.receptive_field[0] for row in summary.layers[:4]] == [5, 6, 14, 16]
    assert [row.jump[0] for row in summary.layers[:4]] == [1, 2, 2, 4]


@pytest.mark.parametrize("name", PRESETS)
def test_totals_are_the_sums_over_the_layers(name: str) -> None:
    graph = PRESETS[name].graph
    summary = nc.summarise(graph, batch_size=7)
    assert summary.parameters == sum(cells(spec.shape) for spec in graph.parameters.values())
    assert summary.macs == sum(row.macs for row in summary.layers)
    assert all(row.activation_bytes == 7 * 4 * cells(row.output_shape) for row in summary.layers)


def remarks_of(*layers: nc.layers.Layer) -> list[str]:
    graph = nc.sequential(*layers, input_shape=(8, 8, 2), name="net")
    return remarks(graph, nc.summarise(graph))


def test_pooling_saves_what_the_same_network_without_it_would_have_more() -> None:
    conv, dense = nc.Conv2D(4, 3, padding="same"), nc.Dense(10)
    bare = nc.summarise(nc.sequential(conv, conv, nc.Flatten(), dense, input_shape=(8, 8, 2)))
    pooled = nc.summarise(nc.sequential(conv, nc.MaxPool2D(), conv, nc.AvgPool2D(), nc.Flatten(), dense, input_shape=(8, 8, 2)))
    assert remarks_of(conv, nc.MaxPool2D(), conv, nc.AvgPool2D(), nc.Flatten(), dense)[-1] == (
        f"Without its pooling, net would have {bare.parameters:,} parameters instead of {pooled.parameters:,} "
        f"and {bare.macs:,} MACs instead of {pooled.macs:,}."
    )
    assert (bare.macs, pooled.macs) == (8 * 8 * 9 * (2 + 4) * 4 + 2560, 8 * 8 * 9 * 2 * 4 + 4 * 4 * 9 * 4 * 4 + 160)


def test_pooling_after_which_nothing_is_computed_saves_nothing() -> None:
    assert not any("pooling" in line for line in remarks_of(nc.Conv2D(4, 3), nc.MaxPool2D(), nc.GlobalAvgPool2D()))
    assert not any("pooling" in line for line in remarks_of(nc.MaxPool2D(1), nc.Conv2D(4, 3)))
    assert remarks_of(nc.MaxPool2D()) == []


def test_a_network_that_does_not_fit_without_its_pooling_has_no_remark_on_it() -> None:
    graph = branches(
        ("a", nc.MaxPool2D(2), ["input"]), ("b", nc.Conv2D(2, 2, strides=2), ["input"]), join=nc.Add(), of=["a", "b"]
    )
    assert without_pooling(graph) is None
    assert not any("pooling" in line for line in remarks(graph, nc.summarise(graph)))


def test_a_filter_as_large_as_its_input_reads_what_a_dense_neuron_reads() -> None:
    assert not any("neuron" in line for line in remarks_of(nc.Conv2D(4, 8)))
    assert "A neuron of conv1 reads 9 numbers, a dense one would read 128." in remarks_of(nc.DepthwiseConv2D(3))[1]


def test_receptive_fields_of_unequal_sides_are_given_per_axis() -> None:
    graph = nc.sequential(nc.Conv2D(1, (3, 5), strides=(2, 1)), nc.Conv2D(1, (3, 5)), input_shape=(20, 20, 1))
    assert [(row.receptive_field, row.jump) for row in nc.summarise(graph).layers] == [((3, 5), (2, 1)), ((7, 9), (2, 1))]


def branches(*layers: tuple[str, nc.layers.Layer, list[str]], join: nc.layers.Layer, of: list[str], side: int = 16) -> nc.Graph:
    return nc.build_graph("net", (side, side, 2), [*layers, ("join", join, of)])


@pytest.mark.parametrize("join", [nc.Add(), nc.Concatenate()])
def test_branches_that_reach_to_different_sides_see_the_union_not_the_widest(join: nc.layers.Layer) -> None:
    """Two 2x2 filters with padding "same" reach down to i + 2, one 3x3 filter from i - 1: four rows, where three were printed."""
    graph = branches(
        ("a", nc.Conv2D(2, 2, padding="same"), ["input"]),
        ("b", nc.Conv2D(2, 2, padding="same"), ["a"]),
        ("c", nc.Conv2D(2, 3, padding="same"), ["input"]),
        join=join, of=["b", "c"],
    )  # fmt: skip
    assert [row.receptive_field for row in nc.summarise(graph).layers] == [(2, 2), (3, 3), (3, 3), (4, 4)]


def test_a_branch_within_another_adds_nothing_to_the_receptive_field() -> None:
    graph = branches(
        ("a", nc.Conv2D(2, 5, padding="same"), ["input"]), ("b", nc.Conv2D(2, 3, padding="same"), ["input"]),
        join=nc.Add(), of=["a", "b", "input"],
    )  # fmt: skip
    assert nc.summarise(graph).layers[-1].receptive_field == (5, 5)


def _dependence(graph: nc.Graph) -> tuple[int, int]:
    """The receptive field, found by changing pixels of an image far larger than it: the extent on which the middle cell depends."""
    ops, bare = get_ops("cpu", plain=True), nc.graph.without_softmax(graph)
    parameters = {name: np.ones(spec.shape) for name, spec in bare.parameters.items()}
    height, width, channels = graph.input_shape
    rows, columns, _ = graph.output_shape
    cell = np.s_[0, rows // 2, columns // 2]
    blank = forward(bare, ops, parameters, np.zeros((1, height, width, channels))).y[cell]

    def extent(axis: int) -> int:
        seen = []
        for place in range(graph.input_shape[axis]):
            image = np.zeros((1, height, width, channels))
            image[(slice(None), slice(None), place) if axis else (slice(None), place)] = 1
            if (forward(bare, ops, parameters, image).y[cell] != blank).any():
                seen.append(place)
        return seen[-1] - seen[0] + 1

    return extent(0), extent(1)


@pytest.mark.parametrize("seed", range(12))
def test_receptive_fields_of_random_branches_are_what_the_network_depends_on(seed: int) -> None:
    random = np.random.default_rng(seed)

    def layer(stride: int) -> nc.layers.Layer:
        kernel = tuple(int(k) for k in random.integers(1, 5, 2))
        return (
            nc.Conv2D(2, kernel, strides=stride, padding="same")
            if random.random() < 0.7
            else nc.AvgPool2D(kernel, stride, "same")
        )

    stride = int(random.integers(1, 3))
    graph = branches(
        ("a", layer(1), ["input"]), ("b", layer(stride), ["a"]), ("c", layer(stride), ["input"]), ("d", layer(1), ["c"]),
        join=nc.Add(), of=["b", "d"], side=30,
    )  # fmt: skip
    assert nc.summarise(graph).layers[-1].receptive_field == _dependence(graph)


def test_branches_whose_cells_lie_unequally_far_apart_have_the_field_of_their_farthest_cells() -> None:
    """Cell 1 sees pixels 2 and 3 by one branch, 1 to 3 by the other; cell 0 sees 0 and 1, and 0 to 2."""
    graph = branches(("a", nc.MaxPool2D(2), ["input"]), ("b", nc.Conv2D(2, 3), ["input"]), join=nc.Add(), of=["a", "b"], side=4)
    row = nc.summarise(graph).layers[-1]
    assert (row.receptive_field, row.jump) == ((3, 3), (2, 2))


def test_a_summary_is_a_table_in_notebooks_whatever_the_names() -> None:
    graph = nc.sequential(("<b>&", nc.Conv2D(2, (3, 2))), nc.Flatten(), input_shape=(5, 5, 1), name="<i>")
    root = ET.fromstring(nc.summarise(graph)._repr_html_())
    cells = [[cell.text or "" for cell in row] for row in root]
    assert cells[1] == ["<b>&", "Conv2D", "3 x 4 x 2", "3 x 2", "1 x 1", "6", "14", "144", "3 x 2"]
    assert cells[2] == ["flatten1", "Flatten", "24", "-", "-", "-", "0", "0", "3 x 2"]
    assert cells[3] == ["<i>", "", "", "", "", "", "14", "144", ""]


@pytest.mark.parametrize("name", ["cnn", "dense128", "residual", "cs231n"])
def test_shapes_prints_its_golden_table(name: str, numbacnn) -> None:  # type: ignore[no-untyped-def]
    printed = numbacnn("shapes", name).stdout
    golden = GOLDEN / f"shapes-{name}.txt"
    if os.environ.get("REGENERATE_GOLDEN"):
        golden.write_text(printed, encoding="utf-8")
    assert printed == golden.read_text(encoding="utf-8")


def test_shapes_as_json_is_one_object_with_the_promised_keys(numbacnn) -> None:  # type: ignore[no-untyped-def]
    done = numbacnn("shapes", "cnn", "--batch-size", 10, "--format", "json")
    value = json.loads(done.stdout)
    assert (value["parameters"], value["macs"], value["input_shape"], value["batch_size"]) == (3274634, 13883904, [28, 28, 1], 10)
    row = value["layers"][0]
    assert {
        "name",
        "type",
        "input_shape",
        "output_shape",
        "parameters",
        "macs",
        "receptive_field",
        "jump",
        "activation_bytes",
    } <= set(row)
    assert row["activation_bytes"] == 10 * 28 * 28 * 32 * 4
    assert [row[key] for key in ("window", "stride", "padding", "dilation")] == [[5, 5], [1, 1], [[2, 2], [2, 2]], [1, 1]]
    assert [layer["fan_in"] for layer in value["layers"]] == [25, 4, 800, 4, None, 3136, 1024]
    for share in ("parameter_share", "mac_share"):
        assert sum(layer[share] for layer in value["layers"]) == pytest.approx(1)
    assert value["layers"][5]["parameter_share"] == 3_212_288 / 3_274_634
    assert "A neuron of conv2 reads 800 numbers, a dense one would read 6,272." in value["remarks"][1]


def test_shapes_of_another_input_size(numbacnn) -> None:  # type: ignore[no-untyped-def]
    assert json.loads(numbacnn("shapes", "cs231n", "--input", "9,9,3", "--format", "json").stdout)["layers"][0][
        "output_shape"
    ] == [4, 4, 2]
    done = numbacnn("shapes", "cs231n", "--input", "2,2,3")
    assert done.returncode == 1
    assert "conv1: a window of 3 does not fit 2 cells" in done.stderr
    assert numbacnn("shapes", "cnn", "--input", "a,b").returncode == 2
