"""``numbacnn export`` and ``numbacnn import``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numbacnn_cli.main import app

from numbacnn.checkpoint import load_network, save_network
from numbacnn.errors import CheckpointError, DeviceError, ModelError
from numbacnn.initializers import initial_parameters
from numbacnn.models import PRESETS


def call(*args: Any) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_a_preset_is_exported_with_its_initial_weights_and_a_notice(tmp_path: Path) -> None:
    done = call("export", "xo", tmp_path / "xo.npz")
    assert (done.exit_code, done.stderr) == (0, "xo is not trained: it is written with the initial weights of seed 0\n")
    expected = initial_parameters(PRESETS["xo"].graph, 0)
    with np.load(tmp_path / "xo.npz") as arrays:
        assert list(arrays) == list(expected)
        assert all(np.array_equal(arrays[name], array) for name, array in expected.items())
    report = json.loads(call("export", "xo", tmp_path / "xo.npz", "--force", "--format", "json").stdout)
    assert report == {
        "model": "xo", "file": str(tmp_path / "xo.npz"), "parameters": sum(array.size for array in expected.values()),
        "bytes": (tmp_path / "xo.npz").stat().st_size, "trained": False,
    }  # fmt: skip


def test_a_network_goes_out_and_comes_back(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs the extra onnx: pip install 'numbacnn[onnx]'")
    toml = call("models", "--toml", "xo").stdout
    (tmp_path / "own.toml").write_text(toml)
    assert call("export", tmp_path / "own.toml", tmp_path / "a.onnx").exit_code == 0
    done = call("import", tmp_path / "a.onnx", tmp_path / "b.safetensors", "--format", "json")
    assert json.loads(done.stdout) == {
        "file": str(tmp_path / "a.onnx"), "model": str(tmp_path / "b.safetensors"), "name": "xo", "input_shape": [9, 9, 1],
        "classes": 2, "layers": 5, "parameters": 56, "values": "uint8",
    }  # fmt: skip
    network = load_network(tmp_path / "b.safetensors")
    save_network(tmp_path / "c.safetensors", network)
    done = call("export", tmp_path / "c.safetensors", tmp_path / "d.onnx")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "wrote" in done.stdout


def test_what_cannot_be_read_or_written_is_an_error_and_costs_nothing(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs the extra onnx: pip install 'numbacnn[onnx]'")
    (tmp_path / "a.onnx").write_bytes(b"no network")
    (tmp_path / "b.safetensors").write_bytes(b"kept")
    done = call("import", tmp_path / "a.onnx", tmp_path / "b.safetensors", "--force")
    assert isinstance(done.exception, ModelError)
    assert (tmp_path / "b.safetensors").read_bytes() == b"kept"
    assert isinstance(call("export", "xo", tmp_path / "none" / "a.onnx").exception, CheckpointError)
    assert "expected a name that ends in .onnx or .npz, got 'a.h5'" in call("export", "xo", "a.h5").stderr
    assert "expected a name that ends in .safetensors, got 'a.npz'" in call("import", "a.onnx", "a.npz").stderr


def test_without_the_package_the_message_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name == "onnx" or name.startswith(("onnx.", "numbacnn.onnx"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    for done in (call("export", "xo", tmp_path / "a.onnx"), call("import", tmp_path / "a.onnx", tmp_path / "b.safetensors")):
        assert isinstance(done.exception, DeviceError)
        assert "pip install 'numbacnn[onnx]'" in str(done.exception)
    assert list(tmp_path.iterdir()) == []
