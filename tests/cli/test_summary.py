"""The summary of a graph: rows, totals, and the printed table against golden files."""

import json
import os

import pytest
from repository import TESTS

import numbacnn as nc
from numbacnn.models import PRESETS
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


def test_receptive_fields_of_unequal_sides_are_given_per_axis() -> None:
    graph = nc.sequential(nc.Conv2D(1, (3, 5), strides=(2, 1)), nc.Conv2D(1, (3, 5)), input_shape=(20, 20, 1))
    assert [(row.receptive_field, row.jump) for row in nc.summarise(graph).layers] == [((3, 5), (2, 1)), ((7, 9), (2, 1))]


def test_a_sum_of_branches_has_the_receptive_field_of_the_widest() -> None:
    graph = nc.build_graph(
        "net",
        (16, 16, 2),
        [
            ("a", nc.Conv2D(2, 5, padding="same"), ["input"]),
            ("b", nc.Conv2D(2, 3, padding="same"), ["input"]),
            ("c", nc.Add(), ["a", "b"]),
        ],
    )
    assert nc.summarise(graph).layers[-1].receptive_field == (5, 5)


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


def test_shapes_of_another_input_size(numbacnn) -> None:  # type: ignore[no-untyped-def]
    assert json.loads(numbacnn("shapes", "cs231n", "--input", "9,9,3", "--format", "json").stdout)["layers"][0][
        "output_shape"
    ] == [4, 4, 2]
    done = numbacnn("shapes", "cs231n", "--input", "2,2,3")
    assert done.returncode == 1
    assert "conv1: a window of 3 does not fit 2 cells" in done.stderr
    assert numbacnn("shapes", "cnn", "--input", "a,b").returncode == 2
