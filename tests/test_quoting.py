"""Names and values in messages: short, on one line, and cheap to write, whatever they are."""

import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import HOSTILE_VALUES, is_harmless
from numbacnn_cli.main import _guarded

import numbacnn as nc
from numbacnn.quoting import LONGEST, MOST_LISTED, listed, plain, short

VALUES = HOSTILE_VALUES | {
    "a wide object": {f"{i}": [i] * 100 for i in range(10_000)},
    "-10^400": -(10**400),
    "an array": np.zeros((1000, 1000)),
    "bytes": b"\x1b" * 10**6,
    "a set": set(range(10_000)),
    "a list of long texts": ["x" * 10**5] * 100,
}


@pytest.mark.parametrize("name", VALUES)
def test_a_quoted_value_is_short_and_on_one_line(name: str) -> None:
    tracemalloc.start()
    try:
        quoted = [short(VALUES[name]), plain(VALUES[name])]
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    for text in quoted:
        assert len(text) <= LONGEST
        assert is_harmless(text)


def test_short_values_are_written_whole() -> None:
    for value in (None, True, 3, -1, 10**30 - 1, 0.5, "a b", [1, 2], {"a": [1]}, (28, 28, 1), "x" * (LONGEST - 2)):
        assert short(value) == repr(value)
    assert short(10**30) == "a number of 100 bits"
    assert "xxx...xxx" in short("x" * LONGEST)
    assert plain("conv1") == "conv1"
    assert plain("a\x1bb") == "a\\x1bb"


def test_of_many_names_the_first_are_listed() -> None:
    names = [f"n{i}" for i in range(MOST_LISTED)]
    assert listed(names) == ", ".join(names)
    assert listed([*names, "z"]) == ", ".join(names) + ", ..."
    assert listed([]) == ""
    assert len(listed(["x" * 10**6] * 10**6)) < 200


CHANGES: dict[str, Any] = {
    "a name used twice": [nc.Flatten(), ("x" * 10**6, nc.Dense(3)), ("x" * 10**6, nc.Dense(3))],
    "a layer that does not fit": [("x" * 10**6, nc.Dense(3))],
    "a name with escapes": [nc.Flatten(), ("\x1b[31m" * 10**5, nc.Dense(3))],
    "a branch that nobody reads": [nc.Flatten(), ("x" * 10**6, nc.Add())],
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_layer_name_of_a_megabyte_does_not_make_a_message_of_one(what: str) -> None:
    with pytest.raises((nc.ModelError, nc.ShapeError)) as caught:
        nc.sequential(*CHANGES[what], input_shape=(28, 28, 1))
    assert len(str(caught.value)) < 500
    assert is_harmless(str(caught.value))


def test_an_input_shape_that_is_a_number_is_a_model_error() -> None:
    with pytest.raises(nc.ModelError, match=r"input_shape: expected \[height, width, channels\].* got 3"):
        nc.sequential(nc.Flatten(), input_shape=3)  # type: ignore[arg-type]


def test_true_is_no_number_of_padding_cells() -> None:
    with pytest.raises(nc.ShapeError, match="padding: expected"):
        nc.Conv2D(1, 3, padding=((True, False), (0, 0)))


@pytest.mark.parametrize("more", [[], ["--format", "json"]], ids=["text", "json"])
def test_strides_that_multiply_beyond_all_pixels_are_printed(
    more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = "[[layers]]\ntype = 'MaxPool2D'\npool_size = 1000\nstrides = 10000000\npadding = 'same'\n"
    (tmp_path / "net.toml").write_text("input_shape = [1, 1, 1]\n" + 700 * pool)
    monkeypatch.setattr(sys, "argv", ["numbacnn", "shapes", str(tmp_path / "net.toml"), *more])
    assert _guarded() == 0
    assert "1000000000000000" in capsys.readouterr().out.replace(",", "")
