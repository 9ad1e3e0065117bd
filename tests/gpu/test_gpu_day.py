"""benchmarks/gpu_day.sh, with an interpreter that only notes what it is asked for: every step is taken, and its outcome is told."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from repository import ROOT

SCRIPT = ROOT / "benchmarks" / "gpu_day.sh"
BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(BASH is None or os.name == "nt", reason="needs bash")

STEPS = {
    "doctor": "-m numbacnn doctor",
    "preflight": "self_check.check",
    "tests": "-m pytest",
    "training": "-m numbacnn train",
    "figures": "benchmarks/gpu.py",
}
"""What each step asks of the interpreter."""


def gpu_day(folder: Path, *arguments: str, fails: str = "nothing") -> tuple[int, dict[str, str], str]:
    """Run the script: its exit status, the outcome of each step by its summary, and all that was asked of the interpreter."""
    python = folder / "python"
    python.write_text(
        f'#!/bin/sh\necho "$@" >>"{folder}/asked"\necho "simulated: $NUMBA_ENABLE_CUDASIM" >>"{folder}/asked"\n'
        f'case "$*" in *"{fails}"*) echo broken; exit 3 ;; esac\necho done\n'
    )
    python.chmod(0o700)
    (folder / "bin").mkdir()
    for tool in ("nvidia-smi", "compute-sanitizer"):
        (folder / "bin" / tool).symlink_to(python)
    assert BASH is not None
    done = subprocess.run(
        [BASH, str(SCRIPT), *arguments, str(folder / "results")],
        env={"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHON": str(python)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    summary = (folder / "results" / "summary.txt").read_text()
    assert done.stdout == summary
    outcomes = dict(re.findall(r"^(\w+) .*?(passed|failed with 3|left out)", summary, re.MULTILINE))
    return done.returncode, outcomes, (folder / "asked").read_text()


def test_all_steps_are_taken_and_each_leaves_what_it_printed(tmp_path: Path) -> None:
    code, outcomes, asked = gpu_day(tmp_path)
    assert code == 0
    steps = ["device", "doctor", "preflight", "tests", "memcheck", "racecheck", "training", "figures"]
    assert outcomes == dict.fromkeys(steps, "passed")
    assert all((tmp_path / "results" / f"{step}.txt").read_text() == "done\n" for step in steps)
    assert all(call in asked for call in STEPS.values())
    assert "-W default -rs -m gpu" in asked
    assert "--tool racecheck --error-exitcode 1" in asked
    assert "simulated: 1" not in asked


@pytest.mark.parametrize("step", ["doctor", "tests", "training", "figures"])
def test_a_step_that_fails_is_told_and_the_others_are_taken(tmp_path: Path, step: str) -> None:
    code, outcomes, _ = gpu_day(tmp_path, fails=STEPS[step])
    assert code == 1
    assert outcomes.pop(step) == "failed with 3"
    assert set(outcomes.values()) == {"passed"}
    assert (tmp_path / "results" / f"{step}.txt").read_text() == "broken\n"


def test_a_gpu_that_computes_wrong_numbers_is_not_measured(tmp_path: Path) -> None:
    code, outcomes, asked = gpu_day(tmp_path, fails=STEPS["preflight"])
    assert code == 1
    assert outcomes == {"device": "passed", "doctor": "passed", "preflight": "failed with 3", "tests": "left out"}
    assert STEPS["figures"] not in asked


def test_a_dry_run_takes_the_simulator_and_the_options_are_those_of_the_programs(tmp_path: Path) -> None:
    code, _, asked = gpu_day(tmp_path, "--dry")
    assert code == 0
    assert "simulated: \n" not in asked
    assert "benchmarks/gpu.py --dry" in asked


def test_an_unknown_option_is_a_usage_error_and_makes_no_folder(tmp_path: Path) -> None:
    assert BASH is not None
    done = subprocess.run([BASH, str(SCRIPT), "--nonesuch"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("benchmarks/gpu_day.sh [--dry] [FOLDER]")
    assert not list(tmp_path.iterdir())
