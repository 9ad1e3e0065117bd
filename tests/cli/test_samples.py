"""``numbacnn samples``: it draws what is missing, and costs nobody a file."""

import json
from pathlib import Path

import pytest
from command_line import run_here
from PIL import Image


def drawn(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_samples_do_not_overwrite_a_file_of_the_users_own(tmp_path: Path) -> None:
    own = tmp_path / "5-chalk.png"
    own.write_bytes(b"mine")
    done = run_here("samples", tmp_path)
    assert done.code == 1
    assert done.err.startswith(f"Error: {own}: expected no file or the picture to be drawn, got another file. ")
    assert "--force" in done.err
    assert drawn(tmp_path) == {own.name: b"mine"}, "and nothing was drawn beside it"


def test_samples_of_another_seed_do_not_replace_those_that_are_there(tmp_path: Path) -> None:
    assert run_here("samples", tmp_path).code == 0
    before = drawn(tmp_path)
    done = run_here("samples", tmp_path, "--seed", 1)
    assert done.code == 1
    assert "(and so for " in done.err
    assert drawn(tmp_path) == before
    assert run_here("samples", tmp_path, "--seed", 1, "--force").code == 0
    assert drawn(tmp_path).keys() == before.keys()
    assert drawn(tmp_path) != before


def test_pictures_that_are_there_already_stay_and_are_not_said_to_be_written(tmp_path: Path) -> None:
    assert "wrote 10 pictures" in run_here("samples", tmp_path).out
    one, other = tmp_path / "3-blue-pen.png", tmp_path / "8-palette.png"
    one.unlink()
    with Image.open(other) as picture:
        picture.load()
    picture.save(other, compress_level=0)  # as another version of Pillow might pack it
    kept = other.read_bytes()
    assert f"wrote 1 picture to {tmp_path}; 9 were there already" in run_here("samples", tmp_path).out
    assert one.exists()
    assert other.read_bytes() == kept
    assert json.loads(run_here("samples", tmp_path, "--format", "json").out)["wrote"] == []


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_folder_of_a_samples_name_is_refused_in_one_line(tmp_path: Path, force: list[str]) -> None:
    (tmp_path / "0-as-in-mnist.png").mkdir()
    done = run_here("samples", tmp_path, *force)
    assert done.code == 1
    assert done.err.startswith(f"Error: {tmp_path / '0-as-in-mnist.png'}: ")
    assert done.err.count("\n") == 1
    assert done.out == ""
