"""Files of trained networks: round trips, damage, and writing that never loses what was there."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from safetensors.numpy import save_file

import numbacnn as nc
from numbacnn.checkpoint import (
    Checkpoint,
    TrainedNetwork,
    load_checkpoint,
    load_network,
    save_checkpoint,
    save_network,
    weights_sha256,
)
from numbacnn.files import make_folder, write_atomically
from numbacnn.initializers import initial_parameters
from numbacnn.models import PRESETS
from numbacnn.safetensors_writer import safetensors_parts


def network(name: str = "dense128", seed: int = 0) -> TrainedNetwork:
    graph = PRESETS[name].graph
    return TrainedNetwork(graph, initial_parameters(graph, seed), tuple("0123456789"), {"epochs": 1, "test_accuracy": 0.5})


def test_a_network_round_trips(tmp_path: Path) -> None:
    saved = network()
    save_network(tmp_path / "m.safetensors", saved)
    loaded = load_network(tmp_path / "m.safetensors")
    assert (loaded.graph, loaded.class_names, dict(loaded.summary)) == (saved.graph, saved.class_names, dict(saved.summary))
    assert weights_sha256(loaded.graph, loaded.parameters) == weights_sha256(saved.graph, saved.parameters)


def test_equal_networks_make_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        save_network(tmp_path / name, network())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_arrays_that_are_not_contiguous_are_saved_right(tmp_path: Path) -> None:
    square = np.arange(12, dtype=np.float32).reshape(3, 4)
    arrays = {"turned": square.T, "fortran": np.asfortranarray(square), "part": square[:, ::2]}
    save_checkpoint(tmp_path / "c", Checkpoint(arrays, {"a": 1}))
    loaded = load_checkpoint(tmp_path / "c")
    assert np.array_equal(loaded.arrays["turned"], square.T)
    assert np.array_equal(loaded.arrays["fortran"], square)
    assert np.array_equal(loaded.arrays["part"], square[:, ::2])
    assert loaded.state == {"a": 1}


def test_tensors_are_named_layer_slash_parameter(tmp_path: Path) -> None:
    from safetensors import safe_open

    save_network(tmp_path / "m.safetensors", network("cnn"))
    with safe_open(str(tmp_path / "m.safetensors"), "numpy") as file:
        names = set(file.keys())
        about = json.loads(file.metadata()["numbacnn"])
    assert {"conv1/kernel", "conv1/bias", "dense2/kernel"} <= names
    assert about["normalisation"] == {"scale": 1 / 255, "offset": 0.0}


def test_the_hash_tells_networks_apart() -> None:
    a, b = network(seed=0), network(seed=1)
    assert weights_sha256(a.graph, a.parameters) != weights_sha256(b.graph, b.parameters)


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x00" * 100, b"\xff" * 8 + b"{}", b"PK\x03\x04"])
def test_what_is_no_network_is_a_checkpoint_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(nc.CheckpointError, match=r"m\.safetensors"):
        load_network(path)


def test_every_truncation_and_many_flips_are_noticed_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_network(path, _small())
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for cut in generator.integers(0, len(whole), 60):
        path.write_bytes(whole[:cut])
        with pytest.raises(nc.CheckpointError):
            load_network(path)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[generator.integers(0, len(whole))] ^= int(generator.integers(1, 256))
        path.write_bytes(damaged)
        try:
            loaded = load_network(path)
        except nc.CheckpointError:
            continue
        assert all(np.isfinite(array).all() for array in loaded.parameters.values())


def _small() -> TrainedNetwork:
    graph = nc.sequential(nc.Flatten(), nc.Dense(3, activation="softmax"), input_shape=(2, 2, 1), name="tiny")
    return TrainedNetwork(graph, initial_parameters(graph, 0), ("a", "b", "c"), {})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda about: about.update(format=99), "expected format 1, as numbacnn .* writes it, got 99"),
        (lambda about: about.update(kind="checkpoint"), "expected a network, got a 'checkpoint'"),
        (lambda about: about.pop("graph"), "'graph' is missing"),
        (lambda about: about.update(class_names=["a"]), r"class_names: expected one for each output of shape \(3,\), got 1"),
        (
            lambda about: about.update(class_names=["a", "b", "a"]),
            "class_names: expected distinct names, got 'a' at positions 0 and 2",
        ),
        (lambda about: about.update(class_names="abc"), "class_names: expected a text for each class, got 'abc'"),
        (lambda about: about.update(format=True), "expected format 1, as numbacnn .* writes it, got True"),
        (lambda about: about["graph"]["layers"][1].update(units=4), "expected float32"),
        (lambda about: about["graph"]["layers"][1].update(type="os.system"), "type: expected one of"),
        (lambda about: about["graph"]["layers"][1].update(name="other"), "missing from the file"),
        (lambda about: about.update(graph=3), "cannot be read"),
    ],
)
def test_a_description_that_does_not_fit_is_named(tmp_path: Path, change, expected: str) -> None:  # type: ignore[no-untyped-def]
    from safetensors import safe_open

    path = tmp_path / "m.safetensors"
    saved = _small()
    save_network(path, saved)
    with safe_open(str(path), "numpy") as file:
        about = json.loads(file.metadata()["numbacnn"])
    change(about)
    save_file(saved.parameters, path, {"numbacnn": json.dumps(about)})
    with pytest.raises(nc.CheckpointError, match=expected):
        load_network(path)


def test_a_description_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    path, saved = tmp_path / "m.safetensors", _small()
    save_file(saved.parameters, path, {"numbacnn": '{"kind": "network", "kind": "network"}'})
    with pytest.raises(nc.CheckpointError, match="damaged: two values of 'kind'"):
        load_network(path)


@pytest.mark.parametrize("header", [2**25 + 1, 10**8, 2**64 - 1])
def test_a_header_longer_than_the_file_or_the_bound_is_refused_before_it_is_read(tmp_path: Path, header: int) -> None:
    path = tmp_path / "m.safetensors"
    with open(path, "wb") as file:
        file.write(header.to_bytes(8, "little"))
        file.truncate(200 << 20)
    with pytest.raises(nc.CheckpointError, match=f"expected a header of at most 33,554,432 bytes .* got one of {header:,}"):
        load_network(path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    bad = _small()
    bad.parameters["dense1/bias"][0] = np.nan
    save_network(tmp_path / "m", bad)
    with pytest.raises(nc.CheckpointError, match="dense1/bias holds values that are not finite"):
        load_network(tmp_path / "m")


def test_a_missing_file_is_a_checkpoint_error(tmp_path: Path) -> None:
    with pytest.raises(nc.CheckpointError, match="No such file"):
        load_network(tmp_path / "none.safetensors")
    with pytest.raises(nc.CheckpointError, match="expected a file, got a folder"):
        load_network(tmp_path)


@pytest.mark.parametrize("seed", range(20))
def test_files_are_byte_for_byte_those_that_safetensors_writes(seed: int) -> None:
    """It is written here part by part, since safetensors leaves a file of another name where a process is killed."""
    draw = np.random.default_rng(seed)
    arrays = {}
    for dtype in draw.permutation(["bool", "u1", "i1", "i2", "u2", "f2", "i4", "u4", "f4", "f4", "f4", "f8", "i8", "u8"]):
        shape = tuple(draw.integers(0, 4, draw.integers(0, 4)))
        name = "".join(draw.choice(list('abZ_0/é"\\\n\x01\x7f\u2028'), draw.integers(1, 6)))
        arrays[name] = np.asarray(draw.random(shape) * 100).astype(dtype)
    metadata = {"numbacnn": json.dumps(sorted(arrays), ensure_ascii=bool(seed % 2))}
    written = b"".join(safetensors_parts(arrays, metadata))
    assert written == safetensors.numpy.save(arrays, metadata)
    reversed_memory = {name: array[..., ::-1] if array.ndim else array for name, array in arrays.items()}
    big_endian = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in reversed_memory.items()}
    contiguous = {name: np.array(array, order="C") for name, array in reversed_memory.items()}
    for form in (reversed_memory, big_endian):
        assert b"".join(safetensors_parts(form, metadata)) == safetensors.numpy.save(contiguous, metadata)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    for name in ("open", "write", "fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, lambda *args: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(nc.CheckpointError, match="No space left on device"):
                write_atomically(target, b"new")
        assert target.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["file"]
    write_atomically(target, b"new")
    assert target.read_bytes() == b"new"


def test_written_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(nc.CheckpointError, match="cannot be written to"):
        make_folder(tmp_path / "x")
    with pytest.raises(nc.CheckpointError, match="cannot be written to"):
        make_folder(tmp_path / "x" / "y")


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file sizes are a Unix matter")
def test_a_disk_without_room_leaves_the_old_checkpoint_and_no_other_file(tmp_path: Path) -> None:
    program = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from numbacnn.checkpoint import Checkpoint, save_checkpoint
from numbacnn.errors import CheckpointError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_checkpoint(Path(sys.argv[1]), Checkpoint({"w": np.zeros(10**6, np.float32)}, {}))
except CheckpointError as error:
    print(error)
"""
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, Checkpoint({"w": np.ones(3, np.float32)}, {}))
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert "cannot be written" in done.stdout
    assert "Make room" in done.stdout
    assert load_checkpoint(path).arrays["w"].tolist() == [1, 1, 1]
    assert list(tmp_path.iterdir()) == [path]
