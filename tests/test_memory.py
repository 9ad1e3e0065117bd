"""Tiny valid files that ask for gigabytes: what a network takes is computed first, and refused before anything is allocated."""

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from networks import SETTINGS, net, run, stripes
from numbacnn_cli.main import _guarded

import numbacnn as nc
from numbacnn import memory
from numbacnn.backends import get_ops
from numbacnn.backends.cpu.arena import arena
from numbacnn.checkpoint import Checkpoint, TrainedNetwork, load_network, save_checkpoint, save_network
from numbacnn.config import write_model_file
from numbacnn.datasets import Dataset
from numbacnn.errors import DeviceMemoryError
from numbacnn.graph import Graph, graph_to_dict, without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.models import PRESETS
from numbacnn.plan import make_plan
from numbacnn.prediction import Predictor
from numbacnn.training import Settings, from_checkpoint, new_state, to_checkpoint, train, warm_up, warm_up_part, warmup_parts

MACHINE = 8 * 10**9
FEW_BYTES = 4 << 20


def wide() -> Graph:
    """A model file of 200 bytes that asks for 361 GB of weights, and as much twice for Adam."""
    layers = (
        nc.Flatten(),
        nc.Dense(300_000, activation="relu"),
        nc.Dense(300_000, activation="relu"),
        nc.Dense(10, activation="softmax"),
    )
    return nc.sequential(*layers, input_shape=(28, 28, 1), name="wide")


def large() -> Graph:
    """A network of 20 weights whose images have 3.6 billion pixels."""
    return nc.sequential(nc.GlobalAvgPool2D(), nc.Dense(10, activation="softmax"), input_shape=(60_000, 60_000, 1), name="large")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A machine with so many bytes left, all of which are asked for."""

    def there(count: int) -> None:
        monkeypatch.setattr(memory, "available", lambda: count)
        monkeypatch.setattr(memory, "ALWAYS_THERE", 0)

    return there


def refused(call: Callable[[], object], expected: str) -> None:
    """The call is a DeviceMemoryError, and has allocated next to nothing."""
    tracemalloc.start()
    try:
        with pytest.raises(DeviceMemoryError, match=expected):
            call()
        assert tracemalloc.get_traced_memory()[1] < FEW_BYTES
    finally:
        tracemalloc.stop()


def test_weights_beyond_the_machine_are_refused_before_they_are_drawn(machine: Callable[[int], None]) -> None:
    machine(MACHINE)
    graph, ops = wide(), get_ops("cpu")
    refused(
        lambda: initial_parameters(graph, 0), r"wide: its parameters: expected at most 8\.0 GB, .* free, got at least 1,081\.0 GB"
    )
    refused(lambda: new_state(graph, Settings(), ops), "got at least 1,802.* GB. Use fewer units or filters")
    refused(lambda: warm_up(graph, Settings(), ops), "wide: its parameters")
    refused(lambda: warm_up_part(warmup_parts(graph, ops)[0], Settings(), ops), "wide: its parameters")


def test_the_optimisers_arrays_count(machine: Callable[[int], None]) -> None:
    graph, ops = PRESETS["softmax"].graph, get_ops("cpu")
    weights = memory.parameter_bytes(graph)
    assert weights == 4 * 7850
    machine(memory.drawing_bytes(graph) + weights)
    for optimizer in ("sgd", "momentum"):
        new_state(graph, Settings(optimizer=optimizer), ops)
    with pytest.raises(DeviceMemoryError, match="softmax: its parameters"):
        new_state(graph, Settings(optimizer="adam"), ops)


def test_a_checkpoint_that_claims_a_larger_network_draws_nothing(machine: Callable[[int], None]) -> None:
    machine(MACHINE)
    ops = get_ops("cpu")
    state = dict(to_checkpoint(new_state(net(), SETTINGS, ops), ops, {}).state) | {"graph": graph_to_dict(wide())}
    refused(lambda: from_checkpoint(Checkpoint({}, state), ops, "c"), "wide: its parameters")
    trained = {**state, "counters": {**state["counters"], "step": 1, "batch": 1}}
    with pytest.raises(nc.CheckpointError, match=r"parameters/dense1/kernel: expected float32 \(784, 300000\), got none"):
        from_checkpoint(Checkpoint({}, trained), ops, "c")


def test_images_beyond_the_machine_are_refused_by_a_predictor(machine: Callable[[int], None]) -> None:
    machine(MACHINE)
    graph = without_softmax(large())
    parameters = initial_parameters(graph, 0)
    refused(
        lambda: Predictor(graph, get_ops("cpu"), parameters),
        r"large: a batch of 1 image: .* got at least 14\.4 GB. Use smaller images",
    )
    refused(lambda: warm_up(graph, Settings(), get_ops("cpu")), "large: a batch of 1")


def test_a_batch_beyond_the_machine_names_one_that_fits(machine: Callable[[int], None]) -> None:
    ops, data = get_ops("cpu"), stripes(130)
    state = new_state(net(), Settings(epochs=1, batch_size=1000), ops)
    arena.forget()
    one = memory.activation_bytes(net(), make_plan(without_softmax(net()), ops.can_fuse), 1, training=True)
    machine(41 * one)
    with pytest.raises(DeviceMemoryError, match=r"net: a batch of 130 images: expected at most .* Use --batch-size 41 or less"):
        next(train(state, data, ops))
    machine(130 * one)  # the images there are, not the batch size asked for
    next(train(state, data, ops))


def test_a_predictor_takes_the_images_that_there_is_room_for(machine: Callable[[int], None]) -> None:
    graph, images = without_softmax(net()), stripes(60).train_images
    ops, parameters = get_ops("cpu"), initial_parameters(graph, 0)
    whole = Predictor(graph, ops, parameters)(images).logits
    arena.forget()
    machine(3 * memory.activation_bytes(graph, make_plan(graph, ops.can_fuse), 1, training=False))
    predictor = Predictor(graph, ops, parameters)
    asked: list[int] = []
    gather = type(ops).gather_images
    predictor.ops = type(
        "Counting", (type(ops),), {"gather_images": lambda *args: (asked.append(len(args[2])), gather(*args))[1]}
    )()
    assert np.array_equal(predictor(images).logits, whole)
    assert max(asked) <= 3 + arena.size // predictor._image_bytes
    assert asked[0] == 3


@pytest.mark.parametrize(
    "graph", [net(), PRESETS["small"].graph, PRESETS["dense128"].graph, PRESETS["residual"].graph], ids=lambda graph: graph.name
)
def test_the_estimate_is_no_more_than_what_a_step_takes_and_not_far_below(graph: Graph) -> None:
    ops, batch = get_ops("cpu"), 100
    draws, classes = np.random.default_rng(0), graph.output_shape[0]
    images = draws.integers(0, 255, (batch, *graph.input_shape), np.uint8)
    labels = np.arange(batch) % classes
    data = Dataset("noise", images, labels, images[:0], labels[:0], tuple(map(str, range(classes))), "drawn here")
    settings, logits = Settings(epochs=1, batch_size=batch), without_softmax(graph)
    plan = make_plan(logits, ops.can_fuse)
    calls: dict[bool, Callable[[], object]] = {
        True: lambda: run(new_state(graph, settings, ops), data),
        False: lambda: Predictor(logits, ops, initial_parameters(logits, 0))(images),
    }
    for training, call in calls.items():
        call()  # compile
        estimate = memory.activation_bytes(logits, plan, batch, training=training)
        assert estimate <= peak(call) <= 4 * estimate + 4 * memory.drawing_bytes(graph)


def peak(call: Callable[[], object]) -> int:
    """The bytes that a call takes at once, with no memory kept from before."""
    arena.forget()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_file_longer_than_the_memory_is_refused_before_it_is_read(machine: Callable[[int], None], tmp_path: Path) -> None:
    path, graph = tmp_path / "m.safetensors", net()
    save_network(path, TrainedNetwork(graph, initial_parameters(graph, 0), ("a", "b", "c"), {}))
    machine(path.stat().st_size - 1)
    with pytest.raises(nc.CheckpointError, match=r"m\.safetensors: its arrays: expected at most .*, the memory that is free"):
        load_network(path)
    machine(path.stat().st_size)
    load_network(path)


def test_a_padding_or_a_window_as_wide_as_a_country_is_refused(machine: Callable[[int], None]) -> None:
    machine(MACHINE)
    padded = nc.sequential(
        nc.Conv2D(1, 3, padding=((10**7, 0), (10**7, 0))),
        nc.GlobalAvgPool2D(),
        nc.Dense(2),
        input_shape=(28, 28, 1),
        name="padded",
    )
    refused(lambda: Predictor(padded, get_ops("cpu"), initial_parameters(padded, 0)), "padded: a batch of 1")
    with pytest.raises(nc.ShapeError, match=r"padding: expected .* whole numbers from 0 to 10,000,000"):
        nc.Conv2D(1, 3, padding=((10**12, 0), (0, 0)))
    with pytest.raises(nc.ShapeError, match=r"conv1: expected an output of at most 2\^48 values, got shape"):
        nc.sequential(nc.Conv2D(10**7, 1, padding=((10**7, 0), (10**7, 0))), input_shape=(28, 28, 1))
    with pytest.raises(nc.ModelError, match=r"input_shape: expected at most 2\^48 values"):
        nc.sequential(nc.Flatten(), input_shape=(10**7, 10**7, 10))


# --- on the command line ---


@pytest.mark.parametrize("command", ["train", "warmup", "predict", "evaluate", "resume"])
@pytest.mark.parametrize("make", [wide, large], ids=["wide", "large"])
def test_a_command_says_what_a_network_would_take_and_ends(
    command: str,
    make: Callable[[], Graph],
    machine: Callable[[int], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if make is wide and command in ("predict", "evaluate"):
        pytest.skip("a file of its weights is as large as they are")
    graph, ops = make(), get_ops("cpu")
    monkeypatch.chdir(tmp_path)
    Path("net.toml").write_text(write_model_file(graph))
    Path("3.png").write_bytes(b"no matter")
    if make is large:
        save_network(
            Path("net.safetensors"),
            TrainedNetwork(graph, initial_parameters(graph, 0), tuple("0123456789"), {"dataset": "digits"}),
        )
    about = {"model": "net.toml", "dataset": "digits", "train_limit": 40, "test_limit": 10}
    state = dict(to_checkpoint(new_state(net(), SETTINGS, ops), ops, about).state) | {"graph": graph_to_dict(graph)}
    Path("out").mkdir()
    save_checkpoint(Path("out/checkpoint.safetensors"), Checkpoint({}, state))
    machine(MACHINE)
    digits = ["--dataset", "digits", "--train-limit", "40", "--test-limit", "10"]
    args = {
        "train": ["train", "--model", "net.toml", *digits],
        "warmup": ["warmup", "net.toml"],
        "predict": ["predict", "3.png", "--model", "net.safetensors"],
        "evaluate": ["evaluate", "--model", "net.safetensors", "--test-limit", "10"],
        "resume": ["train", "--resume", "--output", "out"],
    }
    monkeypatch.setattr(sys, "argv", ["numbacnn", *args[command]])
    assert _guarded() == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("Error: ")
    if make is large and command in ("evaluate", "resume"):
        assert "(60000, 60000, 1)" in error, "the images of digits are not of this size"
    else:
        assert "the memory that is free, got at least" in error
    assert not Path("runs").exists() or not list(Path("runs").rglob("*.safetensors"))


def test_shapes_of_a_network_beyond_the_machine_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for graph in (wide(), large()):
        (tmp_path / "net.toml").write_text(write_model_file(graph))
        for more in ([], ["--format", "json"], ["--plan"]):
            monkeypatch.setattr(sys, "argv", ["numbacnn", "shapes", str(tmp_path / "net.toml"), *more])
            assert _guarded() == 0
    assert "90,235,800,010" not in capsys.readouterr().err


# --- what there is ---


def put(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_the_memory_left_is_the_least_of_machine_and_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo, groups, root = tmp_path / "meminfo", tmp_path / "cgroup", tmp_path / "fs"
    for name, value in (("_MEMINFO", meminfo), ("_CGROUPS", groups), ("_CGROUP_ROOT", root)):
        monkeypatch.setattr(memory, name, value)
    monkeypatch.setattr(memory, "_free_in_limit", lambda: None)
    meminfo.write_text("MemTotal:  9000 kB\nMemAvailable:   5000 kB\nSwapFree:   1000 kB\n")
    assert memory.available() == 6000 * 1024
    groups.write_text("0::/a/b\n")
    put(root / "a" / "b", memory__max="3000000\n", memory__current="1000000\n", memory__stat="anon 5\ninactive_file 7\n")
    assert memory.available() == 2_000_007
    put(root / "a" / "b", memory__max="max\n")
    assert memory.available() == 6000 * 1024
    put(root, memory__max="500000\n", memory__current="600000\n", memory__stat="inactive_file 0\n")
    assert memory.available() == 0, "never less than nothing"
    groups.write_text("9:name=systemd:/\n4:cpu,memory:/c\nnonsense\n")
    usage = {"memory__usage_in_bytes": "10\n", "memory__stat": "total_inactive_file 3\n"}
    put(root / "memory" / "c", memory__limit_in_bytes="1000\n", **usage)
    assert memory.available() == 993
    put(root / "memory" / "c", memory__stat="nonsense")
    assert memory.available() == 6000 * 1024


def test_a_system_that_does_not_say_what_it_has_refuses_only_what_no_process_can_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_MEMINFO", "_CGROUPS", "_CGROUP_ROOT"):
        monkeypatch.setattr(memory, name, tmp_path / "none")
    monkeypatch.setattr(memory, "_free_in_limit", lambda: None)
    monkeypatch.delattr(memory.os, "sysconf", raising=False)
    assert memory.available() is None
    memory.check(2**46, "x", "")
    with pytest.raises(DeviceMemoryError):
        memory.check(2**48, "x", "")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_the_limit_of_the_process_counts() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + (1 << 26), before[1]))
    try:
        found = memory._free_in_limit()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert found is not None
    assert (1 << 25) < found <= (1 << 26)
    assert memory.available() is not None
