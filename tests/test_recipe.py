"""A model file keeps how its network is trained, and what is wrong in it is said before anything is computed."""

import json
import tomllib
from pathlib import Path

import pytest

import numbacnn as nc
from numbacnn.config import read_model_file, write_model_file
from numbacnn.errors import ModelError
from numbacnn.models import PRESETS
from numbacnn.recipe import Recipe

NET = """
name = "net"
input_shape = [28, 28, 1]
{training}
[[layers]]
type = "Flatten"
[[layers]]
type = "Dense"
units = 10
"""


def read(folder: Path, training: str) -> Recipe:
    path = folder / "net.toml"
    path.write_text(NET.format(training=training), encoding="utf-8")
    return read_model_file(path).recipe


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_written_as_a_model_file_keeps_its_recipe(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    path.write_text(write_model_file(PRESETS[name].graph, PRESETS[name].recipe), encoding="utf-8")
    assert read_model_file(path) == (PRESETS[name].graph, PRESETS[name].recipe)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8"])
def test_a_model_file_that_powershell_wrote_was_refused(encoding: str, tmp_path: Path) -> None:
    text = "\ufeff" + write_model_file(PRESETS["small"].graph, PRESETS["small"].recipe).replace("\n", "\r\n")
    (tmp_path / "net.toml").write_bytes(text.encode(encoding))
    assert read_model_file(tmp_path / "net.toml") == (PRESETS["small"].graph, PRESETS["small"].recipe)


def test_a_text_in_another_encoding_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    for data in ('name = "é"'.encode("latin-1"), b"\xff\xfe["):
        (tmp_path / "net.toml").write_bytes(data)
        with pytest.raises(ModelError, match="in UTF-8, got other bytes\\. Save it as UTF-8"):
            read_model_file(tmp_path / "net.toml")


def test_a_preset_written_and_trained_again_gives_the_same_weights(numbacnn, tmp_path) -> None:
    (tmp_path / "softmax.toml").write_text(numbacnn("models", "--toml", "softmax").stdout, encoding="utf-8")
    hashes = []
    for model in ("softmax", "softmax.toml", "runs/softmax-digits/model.safetensors"):
        done = numbacnn(
            "train", "--model", model, "--dataset", "digits", "--train-limit", 300, "--test-limit", 100, "--format", "json"
        )
        assert done.returncode == 0, done.stderr
        hashes.append(json.loads(done.stdout)["weights_sha256"])
        kept = tomllib.loads((tmp_path / "runs/softmax-digits/config.toml").read_text(encoding="utf-8"))["training"]
        assert PRESETS["softmax"].recipe.to_dict().items() >= {key: kept[key] for key in kept if key != "seed"}.items()
    assert hashes[0] == hashes[1]
    assert hashes[2] != hashes[0], "the third goes on from trained weights, by the recipe in their file"


def test_a_recipe_may_be_missing_or_in_part(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Recipe()
    assert read(tmp_path, '[training]\noptimizer = "sgd"\nbatch_size = 32') == Recipe(optimizer="sgd", batch_size=32)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ('[training]\noptimiser = "sgd"', r"net.toml: \[training\]: unknown key 'optimiser'. Did you mean 'optimizer'\?"),
        ('[training]\noptimizer = "sdg"', r"net.toml: \[training\]: optimizer: expected one of adam, momentum, sgd, got 'sdg'"),
        ("[training]\nepochs = 2.5", r"net.toml: \[training\]: epochs: expected a whole number of at least 1, got 2.5"),
        ("[training]\nlearning_rate = nan", r"net.toml: \[training\]: learning_rate: expected a finite number greater than 0, got nan"),
        ("[training]\nearly_stop = 2", r"net.toml: \[training\]: validation: expected a share greater than 0"),
        ("training = 3", r"net.toml: \[training\]: expected a table of settings, got 3"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_followed_is_refused_with_its_file_and_key(tmp_path: Path, training: str, message: str) -> None:
    with pytest.raises(nc.ModelError, match=message):
        read(tmp_path, training)
