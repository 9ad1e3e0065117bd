"""Networks of every kind survive being written and read: no field, name or bit is lost."""

import dataclasses
import json
import math
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.checkpoint import TrainedNetwork, load_checkpoint, load_network, save_checkpoint, save_network
from numbacnn.config import read_model_file, write_model_file, write_toml
from numbacnn.graph import Graph, build_graph, graph_from_dict, graph_to_dict, layer_to_dict, without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.layers import LAYERS, Layer
from numbacnn.layers.activation import ACTIVATIONS
from numbacnn.layers.initialization import INITIALIZERS
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.prediction import Predictor
from numbacnn.recipe import Recipe, read_recipe
from numbacnn.schedules import SCHEDULES
from numbacnn.shapes import Shape
from numbacnn.training import EpochRecord, Settings, from_checkpoint, new_state, to_checkpoint

many = settings(derandomize=True, deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])

SIDES = st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3)))
DILATIONS = st.one_of(st.integers(1, 2), st.tuples(st.integers(1, 3), st.integers(1, 2)))
SHARES = st.one_of(st.just(0), st.floats(0, 1, exclude_max=True))
PADDINGS = st.one_of(
    st.sampled_from(["valid", "same"]), st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2)) for _ in range(2)])
)

POSITIVE = st.floats(0, exclude_min=True, allow_infinity=False)
RECIPE_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "optimizer": st.sampled_from(list(OPTIMIZERS)),
    "learning_rate": POSITIVE,
    "schedule": st.sampled_from(SCHEDULES),
    "lr_decay": st.floats(0, 1, exclude_min=True),  # beyond 1 the rate may grow without bound, which is refused
    "epochs": st.integers(1, 2**63 - 1),
    "augment": st.booleans(),
    "batch_size": st.integers(1, 2**63 - 1),
    "validation": st.floats(0, 1, exclude_min=True, exclude_max=True),
    "early_stop": st.one_of(st.none(), st.integers(1, 2**63 - 1)),
}
recipes = st.builds(Recipe, **RECIPE_FIELDS)

FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "Conv2D": {
        "filters": st.integers(1, 4),
        "kernel_size": SIDES,
        "strides": SIDES,
        "padding": PADDINGS,
        "activation": st.sampled_from([None, *ACTIVATIONS]),
        "use_bias": st.booleans(),
        "kernel_initializer": st.sampled_from(list(INITIALIZERS)),
        "dilation_rate": DILATIONS,
        "groups": st.sampled_from([1, 1, 1, 2, 3]),
    },
    "DepthwiseConv2D": {
        "kernel_size": SIDES,
        "strides": SIDES,
        "padding": PADDINGS,
        "depth_multiplier": st.integers(1, 3),
        "activation": st.sampled_from([None, *ACTIVATIONS]),
        "use_bias": st.booleans(),
        "dilation_rate": DILATIONS,
        "kernel_initializer": st.sampled_from(list(INITIALIZERS)),
    },
    "MaxPool2D": {"pool_size": SIDES, "strides": st.one_of(st.none(), SIDES), "padding": PADDINGS},
    "AvgPool2D": {
        "pool_size": SIDES,
        "strides": st.one_of(st.none(), SIDES),
        "padding": PADDINGS,
        "count_include_pad": st.booleans(),
    },
    "GlobalAvgPool2D": {},
    "Flatten": {},
    "Dense": {
        "units": st.integers(1, 5),
        "activation": st.sampled_from([None, *ACTIVATIONS]),
        "use_bias": st.booleans(),
        "kernel_initializer": st.sampled_from(list(INITIALIZERS)),
    },
    "Dropout": {"rate": SHARES},
    "BatchNorm": {
        "momentum": SHARES,
        "epsilon": st.one_of(st.just(1), st.floats(0, exclude_min=True, allow_infinity=False)),
        "center": st.booleans(),
        "scale": st.booleans(),
    },
    "Activation": {
        "activation": st.sampled_from([*ACTIVATIONS, "leaky_relu", "leaky_relu"]),
        "negative_slope": st.one_of(st.just(0.2), st.just(0.2), SHARES),
    },
    "Add": {},
    "Concatenate": {},
}
"""The valid values of each field of each layer; some do not go with each other, see ``is_valid``."""

ODD_NAMES = [
    "conv1", "conv2", "pool1", "dense1", "flatten1", "add1", "concat1", "norm1", "best", "optimizer", "layers", "type", "name",
    "kernel", "__metadata__", "[ 1, ]", "[ 1, 2, ]", "a.b", "a..b", " ", " a ", "ä ö ü", "層", "🙂", '"', "'", "'''", '"""[ 1, ]', "#",
    "=", "[[layers]]", "null", "true", "{}", "a, b", "~", "-", "CON", "%s", "{0}", "e\u0301", "\u00e9",
]  # fmt: skip
NAMES = st.one_of(
    st.sampled_from(ODD_NAMES),
    st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\"), min_size=1, max_size=12),
).filter(lambda name: name.isprintable() and not name.startswith(".") and name != "input")


KINDS = [*LAYERS, "MaxPool2D", "AvgPool2D", "Conv2D"]
"""Layers with most fields are drawn more often."""


def layers(kinds: list[str]) -> st.SearchStrategy[Layer]:
    return st.sampled_from(kinds).flatmap(
        lambda kind: (
            st.fixed_dictionaries(FIELDS[kind])
            .filter(lambda fields: is_valid(kind, fields))
            .map(lambda fields: LAYERS[kind](**fields))
        )
    )


def is_valid(kind: str, fields: dict[str, Any]) -> bool:
    """Whether these values go with each other: groups divide filters, and only leaky_relu has a slope."""
    if kind == "Conv2D":
        return fields["filters"] % fields["groups"] == 0
    return kind != "Activation" or fields["activation"] == "leaky_relu" or fields["negative_slope"] == 0.2


@st.composite
def graphs(draw: Callable[..., Any]) -> Graph:
    """A valid network: layers that read earlier ones; at the end, all unread outputs are joined for a dense layer."""
    shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3)))
    shapes: dict[str, Shape] = {"input": shape}
    entries: list[tuple[str | None, Layer, list[str] | None]] = []
    unread: list[str] = []
    counts = {layer.label: 0 for layer in LAYERS.values()}

    def append(layer: Layer, inputs: list[str]) -> None:
        counts[layer.label] += 1
        automatic = f"{layer.label}{counts[layer.label]}"
        name = draw(st.one_of(st.none(), NAMES))
        free = [each for each in (name, automatic) if each is not None and each not in shapes]
        final = free[0] if free else f"{automatic} again {len(shapes)}"
        before = list(shapes)[-1]
        entries.append((None if final == automatic else final, layer, None if inputs == [before] else inputs))
        shapes[final] = layer.output_shape(*(shapes[each] for each in inputs))
        unread[:] = [*(each for each in unread if each not in inputs), final]

    for layer in draw(st.lists(layers(KINDS), min_size=draw(st.integers(0, 5)), max_size=8)):
        first = draw(st.sampled_from([list(shapes)[-1], *shapes]))
        alike = [name for name, other in shapes.items() if fits(layer, shapes[first], other)]
        others = draw(st.lists(st.sampled_from(alike), min_size=1, max_size=3)) if layer.inputs_taken != (1, 1) and alike else []
        if fits(layer, *(shapes[name] for name in [first, *others])):
            append(layer, [first, *others])
    for name in list(unread) or ["input"]:
        if len(shapes[name]) != 1:
            append(draw(layers(["Flatten", "GlobalAvgPool2D"])), [name])
    if len(unread) > 1:
        append(nc.Concatenate(), list(unread))
    append(draw(layers(["Dense"])), list(unread))
    return build_graph(draw(NAMES), shape, entries)


def fits(layer: Layer, *shapes: Shape) -> bool:
    least, most = layer.inputs_taken
    if len(shapes) < least or (most is not None and len(shapes) > most):
        return False
    try:
        return math.prod(layer.output_shape(*shapes)) < 2000
    except nc.ShapeError:
        return False


def parameters(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """Parameters of every magnitude that training may leave, subnormals and -0 included."""
    draws = np.random.default_rng(seed)
    odd = np.array([0.0, -0.0, 1e-45, -3.4e38, 1.1754942e-38, 1 / 3], np.float32)
    return {
        name: array + draws.choice(odd, array.shape).astype(np.float32) for name, array in initial_parameters(graph, seed).items()
    }


def same_bits(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return list(one) == list(other) and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


@contextmanager
def a_file(name: str) -> Iterator[Path]:
    """A new path for each example; pytest's ``tmp_path`` is one path for all examples of a test."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / name


def test_the_strategies_cover_every_layer_and_every_field() -> None:
    assert {name: {field.name for field in dataclasses.fields(layer)} for name, layer in LAYERS.items()} == {  # type: ignore[arg-type]
        name: set(known) for name, known in FIELDS.items()
    }
    assert {field.name for field in dataclasses.fields(Recipe)} == set(RECIPE_FIELDS)


def test_the_strategies_draw_branches_odd_names_and_every_layer() -> None:
    seen: set[str] = set()
    branched = named = strided = 0

    @settings(many, database=None)
    @given(graphs())
    def count(graph: Graph) -> None:
        nonlocal branched, named, strided
        seen.update(type(node.layer).__name__ for node in graph.nodes)
        branched += any(len(node.inputs) > 1 for node in graph.nodes)
        named += any(node.name in ODD_NAMES for node in graph.nodes)
        strided += any(getattr(layer, "strides", 0) != getattr(layer, "pool_size", 0) for layer in (n.layer for n in graph.nodes))

    count()
    assert seen == set(LAYERS)
    assert branched >= 20
    assert named >= 50
    assert strided >= 20


@many
@given(layers(list(LAYERS)))
def test_a_layer_read_from_its_entry_equals_the_layer_written(layer: Layer) -> None:
    entry = layer_to_dict(layer)
    assert None not in entry.values()
    assert LAYERS[entry.pop("type")](**entry) == layer
    assert layer_to_dict(dataclasses.replace(layer)) == layer_to_dict(layer)  # type: ignore[type-var]


@pytest.mark.parametrize("pool", [nc.MaxPool2D, nc.AvgPool2D])
@pytest.mark.parametrize("size", [1, 2, 3, (2, 3), (3, 2)])
@pytest.mark.parametrize("strides", [None, 1, 2, 3, (2, 3), (3, 2)])
def test_the_strides_of_a_pooling_are_not_lost(pool: type[nc.MaxPool2D], size: Any, strides: Any) -> None:
    """Strides of 2 were lost unless the size was 2 too, since 2 is the default of a pooling of 2."""
    graph = nc.sequential(pool(size, strides), input_shape=(9, 9, 1))
    assert graph_from_dict(tomllib.loads(write_model_file(graph))) == graph


def test_fields_that_equal_their_defaults_are_left_out() -> None:
    assert layer_to_dict(nc.MaxPool2D(3)) == {"type": "MaxPool2D", "pool_size": 3}
    assert layer_to_dict(nc.MaxPool2D(2, strides=2)) == {"type": "MaxPool2D"}
    assert layer_to_dict(nc.MaxPool2D(3, strides=2)) == {"type": "MaxPool2D", "pool_size": 3, "strides": 2}
    assert layer_to_dict(nc.Dense(3, activation="relu")) == {"type": "Dense", "units": 3, "activation": "relu"}


def test_a_network_with_overlapping_pools_predicts_the_same_after_save_and_load(tmp_path: Path) -> None:
    graph = nc.sequential(
        nc.Conv2D(3, 3, activation="relu"), nc.MaxPool2D(pool_size=3, strides=2), nc.AvgPool2D((2, 3), strides=(2, 2)),
        nc.GlobalAvgPool2D(), nc.Dense(4, activation="softmax"), input_shape=(16, 15, 1),
    )  # fmt: skip
    saved = TrainedNetwork(graph, parameters(graph, 1), ("a", "b", "c", "d"), {})
    saved.parameters["conv1/kernel"] = np.random.default_rng(3).normal(size=(3, 3, 1, 3)).astype(np.float32)
    saved.parameters["dense1/kernel"] = np.random.default_rng(4).normal(size=(3, 4)).astype(np.float32)
    save_network(tmp_path / "m.safetensors", saved)
    images = np.random.default_rng(2).integers(0, 256, (9, 16, 15, 1), np.uint8)
    before, after = (
        network.predictor(get_ops("cpu"))(images).logits for network in (saved, load_network(tmp_path / "m.safetensors"))
    )
    assert np.ptp(before) > 0
    assert np.array_equal(before, after)


@many
@given(graphs())
def test_a_network_survives_plain_values(graph: Graph) -> None:
    assert graph_from_dict(graph_to_dict(graph)) == graph


@many
@given(graphs(), recipes)
def test_a_network_and_its_recipe_survive_their_model_file(graph: Graph, recipe: Recipe) -> None:
    with a_file("net.toml") as path:
        path.write_text(write_model_file(graph, recipe), encoding="utf-8")
        assert read_model_file(path) == (graph, recipe)


@many
@given(recipes)
def test_a_recipe_survives_plain_values_and_settings(recipe: Recipe) -> None:
    assert read_recipe(json.loads(json.dumps(recipe.to_dict())), "here") == recipe
    assert Settings(**recipe.to_dict(), seed=3).recipe() == recipe


@many
@given(graphs())
def test_a_network_survives_the_settings_beside_it(graph: Graph) -> None:
    text = write_toml({"model": "x", "training": {"epochs": 1}, "network": graph_to_dict(graph)})
    assert graph_from_dict(tomllib.loads(text)["network"]) == graph


@pytest.mark.parametrize("name", ["[ 1, ]", 'a "quoted [ 1, 2, ]', "back\u00e4slash", "[[ 3, ]"])
def test_a_name_that_looks_like_a_list_of_numbers_is_not_rewritten(name: str) -> None:
    graph = build_graph(name, (4, 4, 1), [(name, nc.Conv2D(2, (2, 1)), None), (None, nc.Flatten(), [name])])
    text = write_model_file(graph)
    assert graph_from_dict(tomllib.loads(text)) == graph
    assert "kernel_size = [2, 1]" in text


def test_a_network_name_that_no_file_could_hold_is_refused_at_once() -> None:
    for name in ("a/b", "..", "", "a\nb", 3):
        with pytest.raises(nc.ModelError, match="network name: expected printable text without slashes"):
            nc.sequential(nc.Flatten(), input_shape=(2, 2, 1), name=name)  # type: ignore[arg-type]


@many
@given(graphs(), st.integers(0, 99), recipes)
def test_a_trained_network_survives_its_file_to_the_bit(graph: Graph, seed: int, recipe: Recipe) -> None:
    names = tuple(map(str, range(graph.output_shape[0])))
    saved = TrainedNetwork(graph, parameters(graph, seed), names, {"epochs": 1, "test_loss": None, "recipe": recipe.to_dict()})
    with a_file("m.safetensors") as path:
        save_network(path, saved)
        loaded = load_network(path)
    assert (loaded.graph, loaded.class_names, loaded.summary, loaded.recipe) == (graph, names, saved.summary, recipe)
    assert same_bits(loaded.parameters, saved.parameters)


RECORD = EpochRecord(1, 0.1, 1.5, 0.25, None, None, 1.0, 10.0, 2.5, 0.125)


@many
@given(graphs(), st.integers(0, 99), st.sampled_from(list(OPTIMIZERS)), st.booleans())
def test_a_checkpoint_survives_its_file_to_the_bit(graph: Graph, seed: int, optimizer: str, has_best: bool) -> None:
    ops = get_ops("cpu")
    state = new_state(graph, Settings(optimizer=optimizer, seed=seed, validation=0.5), ops)
    state.parameters = parameters(graph, seed)
    for number, (name, slot) in enumerate(state.slots.items()):
        state.slots[name] = slot + np.float32(number)
    state.step, state.epoch, state.history = 7, 1, [RECORD]
    if has_best:
        state.best, state.best_loss, state.best_epoch = parameters(graph, seed + 1), 2.5, 1
    with a_file("c.safetensors") as path:
        save_checkpoint(path, to_checkpoint(state, ops, {"x": [1]}))
        again, about = from_checkpoint(load_checkpoint(path), ops, "here")
    assert about == {"x": [1]}
    assert (again.graph, again.settings, again.step, again.epoch) == (graph, state.settings, 7, 1)
    assert (again.history, again.best_loss, again.best_epoch) == ([RECORD], state.best_loss, state.best_epoch)
    assert same_bits(again.parameters, state.parameters)
    assert same_bits(again.slots, state.slots)
    assert same_bits(again.best or {}, state.best or {})


@many
@given(graphs())
def test_a_network_up_to_its_logits_differs_in_its_softmax_alone(graph: Graph) -> None:
    logits = without_softmax(graph)
    assert list(logits.parameters) == list(graph.parameters)
    last, before = logits.nodes[-1], graph.nodes[-1]
    if before.layer.activation == "softmax":  # type: ignore[attr-defined]
        assert last == dataclasses.replace(before, layer=dataclasses.replace(before.layer, activation=None))  # type: ignore[type-var]
    else:
        assert logits == graph


def test_a_predictor_takes_a_network_with_any_names_from_its_file(tmp_path: Path) -> None:
    names = ["best", "optimizer", "[ 1, ]", "a.b"]
    graph = nc.sequential(
        *zip(names, [nc.Conv2D(2, 2), nc.BatchNorm(), nc.Flatten(), nc.Dense(2)], strict=True), input_shape=(3, 3, 1)
    )
    save_network(tmp_path / "m", TrainedNetwork(graph, initial_parameters(graph, 0), ("a", "b"), {}))
    loaded = load_network(tmp_path / "m")
    images = np.arange(18, dtype=np.uint8).reshape(2, 3, 3, 1)
    expected = Predictor(graph, get_ops("cpu"), initial_parameters(graph, 0))(images).logits
    assert np.array_equal(loaded.predictor(get_ops("cpu"))(images).logits, expected)
