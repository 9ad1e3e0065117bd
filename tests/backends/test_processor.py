"""What kernels are compiled for: a level of x86-64 that the processor has, chosen by a measurement, and never a different network."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from numbacnn.backends import kernel_cache, processor, vector_gain
from numbacnn.errors import DeviceError

V3, V4 = processor.FEATURES["x86-64-v3"], processor.FEATURES["x86-64-v4"]


@pytest.fixture
def unpinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor._Pinned, "name", None)


@pytest.mark.parametrize(
    ("present", "gain", "expected"),
    [
        (V4, 2.0, "x86-64-v4"),
        (V4, 1.02, "x86-64-v3"),  # vectors of 16 are executed in two halves
        (V3, None, "x86-64-v3"),
        (V3 - {"fma"}, None, "native"),
        (set(), None, "native"),  # arm64
    ],
)
def test_the_level_follows_instructions_and_the_measured_gain(
    present: set[str], gain: float | None, expected: str, unpinned: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "_present", lambda: set(present))
    monkeypatch.setattr(vector_gain, "vector_gain", lambda: gain)
    assert processor._choose().name == expected


def test_a_level_that_the_processor_lacks_is_an_error_that_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor._Pinned, "name", "x86-64-v4")
    monkeypatch.setattr(processor, "_present", lambda: set(V3))
    with pytest.raises(
        DeviceError, match=r"--processor x86-64-v4: expected a processor that has avx512bw.*Use --processor native"
    ):
        processor.check()
    monkeypatch.setattr(processor._Pinned, "name", "x86-64-v3")
    processor.check()


@pytest.mark.skipif(not processor._present() >= V4, reason="no AVX-512")
def test_the_gain_is_measured_once_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0.8 < vector_gain.measure() < 2.5
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(vector_gain, "measure", lambda: 1.25)
    assert vector_gain.vector_gain() == 1.25
    monkeypatch.setattr(vector_gain, "measure", lambda: pytest.fail("measured again"))
    assert vector_gain.vector_gain() == 1.25


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": "y"}', "\xff"])
def test_a_damaged_memory_of_the_gain_is_measured_anew(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (tmp_path / vector_gain.FILE).write_bytes(content.encode("latin-1"))
    monkeypatch.setattr(vector_gain, "measure", lambda: 1.5)
    assert vector_gain.vector_gain() == 1.5
    assert 1.5 in json.loads((tmp_path / vector_gain.FILE).read_text()).values()


def settled(program: str = "", **variables: str) -> list[Any]:
    """The name and reason in a process of its own, and what Numba compiles for."""
    program += "\nimport json; from numbacnn.backends import cpu, processor; import numba"
    program += "\nprint(json.dumps([*processor.settle(), numba.config.CPU_NAME, numba.config.CPU_FEATURES]))"
    done = subprocess.run([sys.executable, "-c", program], env={"PATH": "", **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(not processor._present() >= V3, reason="no AVX2")
def test_numba_is_told_before_the_first_kernel() -> None:
    name, _, cpu, features = settled("from numbacnn.backends import processor; processor.pin('x86-64-v3')")
    assert (name, cpu) == ("x86-64-v3", "x86-64-v3")
    assert "+avx2" in features.split(",")
    assert "-avx512f" in features.split(",")


def test_functions_that_were_compiled_before_keep_their_processor() -> None:
    name, reason, cpu, _ = settled("import numba\nassert numba.njit(lambda x: x + 1)(1) == 2")
    assert (name, cpu) == ("native", None)
    assert "compiled other functions" in reason


def test_the_environment_wins() -> None:
    name, reason, cpu, _ = settled(NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert (name, reason, cpu) == ("native", "as the environment says", "generic")


def test_kernels_of_one_level_have_one_folder_on_all_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba
    from llvmlite import binding

    monkeypatch.setattr(numba.config, "CPU_NAME", "sapphirerapids")
    monkeypatch.setattr(numba.config, "CPU_FEATURES", "+avx512f")
    here = kernel_cache.compiler()
    monkeypatch.setattr(binding, "get_host_cpu_name", lambda: "another")
    assert kernel_cache.compiler() == here
    monkeypatch.setattr(numba.config, "CPU_NAME", None)
    assert kernel_cache.compiler() != here
