"""The PyTorch code of docs/interchange.md reads a trained network and predicts what numbacnn predicts."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repository import ROOT

from numbacnn.backends import get_ops
from numbacnn.checkpoint import TrainedNetwork, save_network
from numbacnn.datasets.arrays import numbered_names
from numbacnn.initializers import initial_parameters
from numbacnn.models import PRESETS

PAGE = ROOT / "docs" / "interchange.md"


def code() -> str:
    (found,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return found


def test_the_code_names_the_parameters_of_the_preset() -> None:
    compile(code(), "interchange.md", "exec")
    names = set(re.findall(r'"(\w+/\w+)"', code()))
    names |= {f"{layer}/{key}" for layer in ("conv1", "conv2") for key in re.findall(r"\{name\}/(\w+)", code())}
    assert names == set(PRESETS["small"].graph.parameters)


def test_pytorch_predicts_the_same(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; it is gigabytes, and no dependency of the tests")
    graph = PRESETS["small"].graph
    network = TrainedNetwork(graph, initial_parameters(graph, 0), numbered_names(10), {})
    save_network(tmp_path / "model.safetensors", network)
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), np.uint8)
    scope: dict[str, Any] = {}
    exec(code(), scope)
    theirs = scope["small"](torch.from_numpy(images), str(tmp_path / "model.safetensors"))
    np.testing.assert_allclose(theirs.numpy(), network.predictor(get_ops("cpu"))(images).probabilities, atol=1e-5)
