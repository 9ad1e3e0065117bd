"""Models, checkpoints and TOML from unknown hands: each is read as what it says, or refused in one short line.

Within a gibibyte of memory beyond what the process has; and no file is a program.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from battery_cases import Battery
from damage import (
    ESCAPES,
    HOSTILE_VALUES,
    HUGE_TEXT,
    damage_bytes,
    damage_value,
    from_parts,
    is_harmless,
    read_parts,
    setting,
    with_a_repeated_key,
    with_description,
)
from numbacnn_cli.origin import Origin

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.checkpoint import TrainedNetwork, load_checkpoint, load_network, save_checkpoint, save_network, weights_sha256
from numbacnn.config import read_model_file, write_model_file
from numbacnn.graph import Graph, build_graph, graph_to_dict
from numbacnn.initializers import initial_parameters
from numbacnn.training import Settings, from_checkpoint, new_state, to_checkpoint
from numbacnn.training.events import EpochRecord

EXPECTED = (nc.ModelError, nc.CheckpointError, nc.ShapeError, nc.DataError)
LONGEST_MESSAGE = 500
HANG = 5.0
"""Seconds of processor time after which a file counts as one that hangs its reader."""
GIBIBYTE = 1 << 30


def net() -> Graph:
    """A small network with every kind of field."""
    entries: list[tuple[str | None, nc.layers.Layer, list[str] | None]] = [
        (None, nc.Conv2D(2, 3, padding="same", activation="relu", kernel_initializer="he_normal"), None),
        ("other way", nc.Conv2D(2, (1, 3), padding=((0, 0), (1, 1)), use_bias=False), ["input"]),
        (None, nc.Add(), ["conv1", "other way"]),
        (None, nc.BatchNorm(momentum=0.5), None),
        (None, nc.MaxPool2D(2, strides=1), None),
        (None, nc.Flatten(), None),
        (None, nc.Dropout(0.25), None),
        (None, nc.Dense(3, activation="softmax"), None),
    ]
    return build_graph("net", (4, 4, 1), entries)


@pytest.fixture(scope="module")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("network") / "m.safetensors"
    graph = net()
    save_network(path, TrainedNetwork(graph, initial_parameters(graph, 0), ("a", "b", "c"), {"dataset": "digits", "epochs": 1}))
    return path.read_bytes()


@pytest.fixture(scope="module")
def checkpoint_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A run after one epoch."""
    path, ops = tmp_path_factory.mktemp("checkpoint") / "c.safetensors", get_ops("cpu")
    state = new_state(net(), Settings(epochs=2, batch_size=10, optimizer="momentum"), ops)
    state.step = 4
    state.begin_next_epoch(EpochRecord(1, 0.001, 1.5, 0.5, 1.5, 0.5, 1.0, 100.0, None, None))
    save_checkpoint(path, to_checkpoint(state, ops, Origin("net.toml", "digits", 40, 10).to_dict()))
    return path.read_bytes()


@pytest.fixture(autouse=True)
def disk_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of files are written, and none has to survive a lost machine."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def a_gibibyte_more() -> Iterator[None]:
    """The process may take a gibibyte of memory beyond what it has: a request for more fails."""
    resource = pytest.importorskip("resource")
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs Linux's /proc")
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + GIBIBYTE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def read_or_refused(read: Callable[[Path], Any], path: Path) -> Any:
    """What a reader returns; None if it refuses the file, in one short line without anything that a terminal obeys."""
    started = time.process_time()
    try:
        found = read(path)
    except EXPECTED as error:
        message = str(error)
        assert len(message.replace(str(path), path.name)) < LONGEST_MESSAGE, (len(message), message[:1000])
        assert is_harmless(message), ascii(message)
        assert "MemoryError" not in message
        found = None
    assert time.process_time() - started < HANG
    return found


def check_network(path: Path) -> None:
    """A file is refused, or what is read is whole, and the same once it is written and read again."""
    network = read_or_refused(load_network, path)
    if network is None:
        return
    assert {name: array.shape for name, array in network.parameters.items()} == {
        name: spec.shape for name, spec in network.graph.parameters.items()
    }
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in network.parameters.values())
    assert len(set(network.class_names)) == network.graph.output_shape[0]
    again = path.with_suffix(".again")
    save_network(again, network)
    read = load_network(again)
    assert (read.graph, read.class_names) == (network.graph, network.class_names)
    assert weights_sha256(read.graph, read.parameters) == weights_sha256(network.graph, network.parameters)


def resume(path: Path) -> Any:
    """The state of a checkpoint, as ``train --resume`` takes it."""
    checkpoint = load_checkpoint(path)
    Origin.from_dict(checkpoint.state.get("about"), str(path))
    return from_checkpoint(checkpoint, get_ops("cpu"), str(path))[0]


def check_checkpoint(path: Path) -> None:
    state = read_or_refused(resume, path)
    if state is not None:
        assert set(state.parameters) == set(state.graph.parameters)
        assert len(state.history) == state.epoch
        to_checkpoint(state, get_ops("cpu"), {})


def check_model_file(path: Path) -> None:
    model = read_or_refused(read_model_file, path)
    if model is not None:
        again = path.with_suffix(".again")
        again.write_text(write_model_file(*model), encoding="utf-8")
        assert read_model_file(again) == model
        nc.summarise(model.graph)


# --- at random ----------------------------------------------------------------------------------------------------------------------


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """A safetensors file of ours, damaged in its bytes, its header, or its description."""
    header, body = read_parts(data)
    kind = random.integers(8)
    if kind <= 1:
        return damage_bytes(data, random)
    if kind == 2:
        return damage_bytes(data[: len(data) - len(body)], random) + body
    if kind == 3:
        return from_parts(damage_value(header, random), body)
    if kind == 4:
        return from_parts(with_a_repeated_key(json.dumps(header), random), body)
    if kind == 5:
        return with_description(data, lambda about: with_a_repeated_key(json.dumps(about), random))
    if kind == 6:
        return with_description(data, lambda about: damage_bytes(json.dumps(about).encode(), random).decode("latin-1"))
    return with_description(data, lambda about: json.dumps(damage_value(about, random)))


def test_a_damaged_network_file_is_read_as_it_is_or_refused(
    battery: Battery, network_file: bytes, tmp_path: Path, a_gibibyte_more: None
) -> None:
    path = tmp_path / "m.safetensors"
    for case in battery("network files, damaged", smoke=500, whole=20_000):
        with case:
            path.write_bytes(mutated(network_file, case.random))
            check_network(path)


def test_a_damaged_checkpoint_is_resumed_or_refused(
    battery: Battery, checkpoint_file: bytes, tmp_path: Path, a_gibibyte_more: None
) -> None:
    path = tmp_path / "c.safetensors"
    for case in battery("checkpoints, damaged", smoke=100, whole=4_000):
        with case:
            path.write_bytes(mutated(checkpoint_file, case.random))
            check_checkpoint(path)


def test_a_damaged_model_file_is_read_as_it_is_or_refused(battery: Battery, tmp_path: Path, a_gibibyte_more: None) -> None:
    path, text, values = tmp_path / "net.toml", write_model_file(net()), graph_to_dict(net())
    for case in battery("model files, damaged", smoke=100, whole=3_000):
        with case:
            random = case.random
            path.write_bytes(damage_bytes(text.encode(), random) if random.integers(2) else toml(damage_value(values, random)))
            check_model_file(path)


def toml(values: Any) -> bytes:
    """Values as TOML; those that TOML lacks are left out, and what is no table becomes one."""
    kept = _for_toml(values)
    return tomli_w.dumps(kept if isinstance(kept, dict) else {"name": kept}).encode("utf-8", "surrogatepass")


def _for_toml(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _for_toml(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_for_toml(inner) for inner in value[:5_000] if inner is not None]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**4000:
        return 0
    return value[:100_000] if isinstance(value, str) else value


# --- by hand ------------------------------------------------------------------------------------------------------------------------

FIELDS = [
    "kind",
    "format",
    "version",
    "class_names",
    "class_names.1",
    "normalisation",
    "training",
    "graph",
    "graph.name",
    "graph.input_shape",
    "graph.input_shape.0",
    "graph.layers",
    "graph.layers.0",
    "graph.layers.0.type",
    "graph.layers.0.name",
    "graph.layers.0.inputs",
    "graph.layers.0.filters",
    "graph.layers.0.kernel_size",
    "graph.layers.0.strides",
    "graph.layers.0.padding",
    "graph.layers.0.activation",
    "graph.layers.0.use_bias",
    "graph.layers.0.kernel_initializer",
    "graph.layers.0.__class__",
    "graph.layers.3.momentum",
    "graph.layers.3.epsilon",
    "graph.layers.4.pool_size",
    "graph.layers.4.strides",
    "graph.layers.6.rate",
]
"""The fields of a network's description; each is given each of the hostile values."""

STATE_FIELDS = [
    "state",
    "state.graph",
    "state.settings",
    "state.settings.batch_size",
    "state.settings.seed",
    "state.settings.optimizer",
    "state.counters",
    "state.counters.step",
    "state.counters.epoch",
    "state.counters.best_loss",
    "state.history",
    "state.history.0",
    "state.history.0.loss",
    "state.history.0.epoch",
    "state.about",
    "state.about.model",
    "state.about.dataset",
    "state.about.train_limit",
]


def header_cases(data: bytes) -> dict[str, bytes]:
    """Files whose header lies."""
    header, body = read_parts(data)
    text, name = json.dumps(header), "dense1/bias"
    found: dict[str, bytes] = {
        "empty": b"",
        "seven bytes": data[:7],
        "eight bytes": data[:8],
        "a byte short": data[:-1],
        "a byte long": data + b"x",
    }
    for length in (0, 1, len(text) - 1, len(text) + 1, len(data), 10**8, 2**31, 2**63, 2**64 - 1):
        found[f"a header of {length}"] = from_parts(text, body, length)
    for dtype in ("F64", "F16", "BF16", "I32", "U8", "BOOL", "F8_E4M3", "F4", "C64", "f32", "object", "|O", "", None, 3):
        found[f"dtype {dtype}"] = from_parts(header | {name: header[name] | {"dtype": dtype}}, body)
    shapes: list[Any] = [
        [],
        [0],
        [3, 0],
        [1, 3],
        [3, 1],
        [-3],
        [3.0],
        [True, 3],
        [2**32, 2**32],
        [2**62, 4],
        [2**63],
        [2**64],
        "3",
        None,
        [[3]],
    ]
    for shape in shapes:
        found[f"shape {shape}"] = from_parts(header | {name: header[name] | {"shape": shape}}, body)
    first, last = header[name]["data_offsets"]
    for offsets in (
        [0, last - first],
        [last, first],
        [first, first],
        [first - 4, last - 4],
        [first + 4, last + 4],
        [-1, 11],
        [0, 2**63],
        [0],
        None,
    ):
        found[f"offsets {offsets}"] = from_parts(header | {name: header[name] | {"data_offsets": offsets}}, body)
    hole = {key: value for key, value in header.items() if key != name}
    nothing = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    found |= {
        "a hole": from_parts(hole, body),
        "zero bytes that share an offset": from_parts(header | {"a": nothing, "b": nothing}, body),
        "a further array": from_parts(header | {"z": nothing}, body),
        "no description": from_parts(header | {"__metadata__": {}}, body),
        "a description of numbers": from_parts(header | {"__metadata__": {"numbacnn": 3}}, body),
        "a name with escapes": from_parts(hole | {ESCAPES: header[name]}, body),
        "a name of a megabyte": from_parts(hole | {HUGE_TEXT: header[name]}, body),
        "a name that is a path": from_parts(hole | {"../../x": header[name]}, body),
        "a deep list": from_parts("[" * 100_000, body),
        "deep objects": from_parts('{"a":' * 100_000, body),
        "half a character": from_parts(text.replace(name, "\\ud800"), body),
        "not UTF-8": from_parts(text.encode().replace(b"dense1", b"d\xff"), body),
        "an array twice": from_parts(text[:-1] + f', "{name}": {json.dumps(header[name])}' + "}", body),
        "a description twice": from_parts(text[:-1] + ', "__metadata__": {}}', body),
        "weights that are not numbers": from_parts(header, body[:-4] + np.float32(np.nan).tobytes()),
        "infinite weights": from_parts(header, np.float32(np.inf).tobytes() + body[4:]),
        "a hundred thousand arrays": from_parts({f"a{i}": nothing for i in range(100_000)}, b""),
    }
    return found


def description_cases(data: bytes) -> dict[str, bytes]:
    """Files whose description is no JSON, or not that of a network."""
    texts = {
        "no JSON": "x",
        "null": "null",
        "a list": "[]",
        "a number": "3",
        "nothing": "",
        "a deep list": "[" * 100_000,
        "deep objects": '{"a":' * 100_000,
        "two kinds": '{"kind": "network", "kind": "network"}',
        "a long number": "9" * 5000,
    }
    found = {f"description: {name}": with_description(data, lambda _, text=text: text) for name, text in texts.items()}
    layers = {
        "one class name twice": setting("class_names", ["a", "a", "c"]),
        "a text as class names": setting("class_names", "abc"),
        "numbers as class names": setting("class_names", [0, 1, 2]),
        "class names as an object": setting("class_names", {"a": 0, "b": 1, "c": 2}),
        "a class name of blanks": setting("class_names", ["a", " ", "c"]),
        "a later format": setting("format", 2),
        "true as the format": setting("format", True),
        "layers in another order": lambda about: about["graph"]["layers"].reverse(),
        "a layer twice": lambda about: about["graph"]["layers"].append(about["graph"]["layers"][7]),
        "no layers": setting("graph.layers", []),
        "a hundred thousand layers": setting("graph.layers", [{"type": "Flatten"}] * 100_000),
        "an input of itself": setting("graph.layers.2.inputs", ["add1", "conv1"]),
        "a later input": setting("graph.layers.2.inputs", ["dense1", "conv1"]),
        "thousands of inputs": setting("graph.layers.2.inputs", ["conv1"] * 50_000),
        "true and false as padding": setting("graph.layers.1.padding", [[False, False], [True, True]]),
        "a padding of 10^12": setting("graph.layers.1.padding", [[10**12, 0], [0, 0]]),
        "sides that double": setting(
            "graph.layers",
            [{"type": "Concatenate", "name": f"c{i}", "inputs": [f"c{i - 1}" if i else "input"] * 2} for i in range(5_000)],
        ),
        "strides that multiply": setting(
            "graph.layers", [{"type": "MaxPool2D", "pool_size": 1000, "strides": 10**7, "padding": "same"}] * 2_000
        ),
    }
    return found | {name: with_description(data, change) for name, change in layers.items()}


def test_network_files_made_by_hand_are_read_as_they_are_or_refused(
    battery: Battery, network_file: bytes, tmp_path: Path, a_gibibyte_more: None
) -> None:
    makers: list[Callable[[], bytes]] = [
        lambda data=data: data for data in [*header_cases(network_file).values(), *description_cases(network_file).values()]
    ]
    for field, value in product(FIELDS, HOSTILE_VALUES):
        makers.append(lambda field=field, value=value: with_description(network_file, setting(field, HOSTILE_VALUES[value])))
    path = tmp_path / "m.safetensors"
    assert len(makers) >= 300
    for case in battery("network files, made by hand", smoke=250, whole=len(makers)):
        with case:
            path.write_bytes(makers[case.index]())
            check_network(path)


def test_checkpoints_made_by_hand_are_resumed_or_refused(
    battery: Battery, checkpoint_file: bytes, tmp_path: Path, a_gibibyte_more: None
) -> None:
    pairs, path = list(product(STATE_FIELDS, HOSTILE_VALUES)), tmp_path / "c.safetensors"
    for case in battery("checkpoints, made by hand", smoke=100, whole=len(pairs)):
        with case:
            field, value = pairs[case.index]
            path.write_bytes(with_description(checkpoint_file, setting(field, HOSTILE_VALUES[value])))
            check_checkpoint(path)


def concatenation(index: int) -> str:
    """A layer that joins the one before to itself."""
    before = f"'c{index - 1}'" if index else "'input'"
    return f"[[layers]]\ntype = 'Concatenate'\nname = 'c{index}'\ninputs = [{before}, {before}]\n"


START = 'name = "n"\ninput_shape = [28, 28, 1]\n'
FLATTEN = "[[layers]]\ntype = 'Flatten'\n"
CONV = f"{START}[[layers]]\ntype = 'Conv2D'\nfilters = 1\nkernel_size = 3\n"
DENSE = f"{START}{FLATTEN}[[layers]]\ntype = 'Dense'\nunits = 3\n"
STRIDES = "[[layers]]\ntype='MaxPool2D'\npool_size=1000\nstrides=9999999\npadding='same'\n"
INPUTS = ", ".join(["'input'"] * 20_000)
HEX = "0x" + "f" * 20_000
TEXTS: dict[str, str | bytes] = {
    "nothing": "",
    "zeros": "\0" * 1000,
    "a comment as long as allowed": "#" * (1 << 18),
    "too long": "#" * ((1 << 18) + 1),
    "not UTF-8": b"\xff\xfe[",
    "a dotted key": "a." * 20_000 + "a = 1",
    "a dotted key of texts": '"a".' * 20_000 + "a = 1",
    "a dotted header": "[" + "a." * 20_000 + "a]",
    "dotted keys on many lines": "".join(f"k{i}{'.a' * 60} = 1\n" for i in range(2000)),
    "deep lists": "a = " + "[" * 50_000,
    "deep tables": "a = " + "{a=" * 50_000,
    "many tables": "".join(f"[a{i}]\n" for i in range(30_000)),
    "many keys": "".join(f"a{i} = 1\n" for i in range(25_000)),
    "many layers": START + FLATTEN * 9_000,
    "an unknown layer after many": START + FLATTEN * 7_000 + "[[layers]]\ntype = 'Flatten'\ninputs = ['flattem1']",
    "a number of 80,000 bits as a shape": f"input_shape = [{HEX}, 1, 1]\n{FLATTEN}",
    "as units": f"{DENSE.replace('3', HEX)}",
    "as a type": f"{START}[[layers]]\ntype = {HEX}",
    "as a flag": f"{DENSE}use_bias = {HEX}",
    "as an activation": f"{DENSE}activation = {HEX}",
    "as a rate": f"{START}[[layers]]\ntype = 'Dropout'\nrate = {HEX}",
    "as an input": f"{DENSE}inputs = [{HEX}]",
    "as a padding": f"{START}[[layers]]\ntype = 'MaxPool2D'\npadding = [[{HEX}, 0], [0, 0]]",
    "a long decimal": f"input_shape = [{'9' * 20_000}, 1, 1]\n{FLATTEN}",
    "a shape that is a number": f"input_shape = 3\n{FLATTEN}",
    "a shape that is a text": f"input_shape = 'abc'\n{FLATTEN}",
    "layers that are a number": "input_shape = [1, 1, 1]\nlayers = 3",
    "a long key": f"{START}{'x' * 200_000} = 1\n{FLATTEN}",
    "a long layer name": f"{START}[[layers]]\nname = '{'x' * 200_000}'\ntype = 'Dense'\nunits = 3",
    "many inputs": f"{START}[[layers]]\ntype = 'Add'\ninputs = [{INPUTS}]",
    "a date": f"{START}[[layers]]\ntype = 'Dropout'\nrate = 1979-05-27T07:32:00Z",
    "a name with escapes": START.replace('"n"', '"\\u001b[31m\\n"') + FLATTEN,
    "a layer name with escapes": f'{DENSE}name = "\\u001b[31m\\nError: forged"',
    "a layer name that is a path": f"{DENSE}name = '../../x'",
    "a key with escapes": f'{DENSE}"\\u001b[31m" = 1',
    "a class": f"{DENSE}__class__ = 'os.system'",
    "a type with escapes": f'{START}[[layers]]\ntype = "\\u001b[31m"',
    "nan": f"{START}[[layers]]\ntype = 'Dropout'\nrate = nan",
    "a value twice": "name = 'a'\nname = 'b'",
    "an escape": "\x1b[31m = 1",
    "lone returns": "a = 1\r\r\r",
    "a text without an end": 'a = """' + "\\\n " * 60_000,
    "sides that double": START + "".join(concatenation(i) for i in range(3_000)),
    "strides that multiply": "input_shape=[1,1,1]\n" + STRIDES * 2_500,
    "a window of 10^14 cells": f"{START}[[layers]]\ntype = 'MaxPool2D'\npool_size = 10000000\npadding = 'same'",
    "a padding of 10^12": f"{CONV}padding = [[1000000000000, 0], [0, 0]]",
}


def test_model_files_made_by_hand_are_read_as_they_are_or_refused(
    battery: Battery, tmp_path: Path, a_gibibyte_more: None
) -> None:
    path, texts = tmp_path / "net.toml", list(TEXTS.values())
    for case in battery("model files, made by hand", smoke=len(texts), whole=len(texts)):
        with case:
            text = texts[case.index]
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            check_model_file(path)
