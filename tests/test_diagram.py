"""Diagrams of a network: SVG that is well-formed and legible, Mermaid whose labels are texts."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

import numbacnn as nc
from numbacnn.diagram import mermaid, svg
from numbacnn.models import PRESETS

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "<script>alert(1)</script>".replace("/", "|"),
    'a"]; click n0 "x',
    "a & b",
    "`code`",
    "#quot;",
    "snow ☃ 層",
    "end",
    "--> n1",
]


def hostile() -> nc.Graph:
    layers = [(name, nc.Activation("relu")) for name in HOSTILE]
    return nc.sequential(*layers, input_shape=(4, 4, 1), name='<name> & "it\'s"')


def boxes(root: ET.Element) -> list[tuple[float, float, float, float]]:
    found = [each for each in root.iter(f"{SVG}rect") if each.get("x")]
    return [tuple(float(each.get(key, "")) for key in ("x", "y", "width", "height")) for each in found]  # type: ignore[misc]


@pytest.mark.parametrize("name", PRESETS)
def test_an_svg_has_a_box_for_each_layer_and_an_arrow_for_each_input_all_within_the_picture(name: str) -> None:
    summary = nc.summarise(PRESETS[name].graph)
    root = ET.fromstring(svg(summary))
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    found = boxes(root)
    assert len(found) == len(summary.layers) + 1
    for (_, above, _, tall), (_, below, _, _) in pairwise(found):
        assert above + tall < below, "boxes do not overlap"
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in found)
    arrows = [each.get("d", "") for each in root.iter(f"{SVG}path") if each.get("class") == "arrow"]
    assert len(arrows) == sum(len(row.inputs) for row in summary.layers)
    assert all(float(x) <= width for arrow in arrows for x in re.findall(r"[MH](\d+\.\d)", arrow))


def test_an_svg_shows_names_shapes_and_parameters() -> None:
    root = ET.fromstring(svg(nc.summarise(PRESETS["cnn"].graph)))
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert texts[:6] == ["input", "28 x 28 x 1", "conv1", "Conv2D, 5 x 5", "28 x 28 x 32", "832 parameters"]
    assert "MaxPool2D, 2 x 2, stride 2" in texts
    assert (title := root.find(f"{SVG}title")) is not None
    assert title.text == "The network cnn, 7 layers, 3,274,634 parameters"


def test_arrows_of_branches_that_pass_the_same_boxes_take_lanes_of_their_own() -> None:
    entries = [(name, nc.Activation("relu"), [before]) for name, before in (("a", "input"), ("b", "a"), ("c", "b"))]
    graph = nc.build_graph("net", (4, 4, 1), [*entries, ("d", nc.Add(), ["c", "a"]), ("e", nc.Add(), ["d", "b", "input"])])
    paths = [each.get("d", "") for each in ET.fromstring(svg(nc.summarise(graph))).iter(f"{SVG}path")]
    lanes = [path.split(" ")[1] for path in paths if " H" in path]
    assert len(lanes) == len(set(lanes)) == 3


def test_names_of_layers_are_texts_in_an_svg_whatever_their_characters() -> None:
    root = ET.fromstring(svg(nc.summarise(hostile())))
    bold = [each.text for each in root.iter(f"{SVG}text") if each.get("font-weight")]
    assert bold == ["input", *HOSTILE]
    assert not list(root.iter(f"{SVG}script"))


def test_names_of_layers_are_texts_in_mermaid_whatever_their_characters() -> None:
    lines = mermaid(nc.summarise(hostile())).splitlines()
    assert lines[0] == "flowchart TD"
    nodes, arrows = lines[1 : 2 + len(HOSTILE)], lines[2 + len(HOSTILE) :]
    names = []
    for number, line in enumerate(nodes):
        label = re.fullmatch(rf'    n{number}\["([^"\]`]*)"\]', line)
        assert label, line
        name = label[1].split("<br/>")[0]
        assert not re.search(r"[^\w .,#;-]", name)
        names.append(re.sub(r"#(\d+);", lambda code: chr(int(code[1])), name))
    assert names == ["input", *HOSTILE]
    assert arrows == [f"    n{number} --> n{number + 1}" for number in range(len(HOSTILE))]


def test_a_long_name_is_cut_in_both() -> None:
    summary = nc.summarise(nc.sequential(("x" * 100_000, nc.Flatten()), input_shape=(2, 2, 1)))
    assert len(svg(summary)) < 5000
    assert len(mermaid(summary)) < 500


def test_texts_of_an_svg_are_no_wider_than_their_boxes() -> None:
    root = ET.fromstring(svg(nc.summarise(hostile())))
    width = boxes(root)[0][2]
    assert all(8.4 * len(each.text or "") <= width for each in root.iter(f"{SVG}text")), "a monospaced font of 14 px is 8.4 wide"
