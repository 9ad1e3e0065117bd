"""Trainings killed at random instants and at every kind of change of their folder: --resume ends with the bits of one never stopped.

A case is a network with its options, what the folder holds before, whether it has hard links, and when the kills come: up to three
in a row, the later ones while the run is being resumed.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from battery_cases import Battery, Case
from killable_commands import Commands, Ended, Kill, commands

from numbacnn.checkpoint import load_checkpoint
from numbacnn.training.run_folder import CURVES_FILE

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the commands to kill are forks")

NETS = {
    "flat.toml": 'layers = [{ type = "Flatten" }, { type = "Dense", units = 10, activation = "softmax" }]',
    "conv.toml": """layers = [
    { type = "Conv2D", filters = 2, kernel_size = 5, strides = 3 }, { type = "BatchNorm" }, { type = "Activation", activation = "relu" },
    { type = "Flatten" }, { type = "Dropout", rate = 0.3 }, { type = "Dense", units = 10, activation = "softmax" }]""",
}
DATA = ("--dataset", "digits", "--train-limit", 60, "--test-limit", 20, "--batch-size", 12)

RUNS: list[tuple[object, ...]] = [
    ("--model", "flat.toml", "--epochs", 3),
    ("--model", "conv.toml", "--epochs", 3, "--validation", 0.3),
    ("--model", "flat.toml", "--epochs", 3, "--schedule", "one-cycle", "--optimizer", "momentum", "--augment"),
    ("--model", "flat.toml", "--epochs", 9, "--learning-rate", 1, "--early-stop", 2, "--validation", 0.3),
    ("--model", "conv.toml", "--epochs", 3, "--augment", "--schedule", "one-cycle", "--early-stop", 3),
]
"""The runs to be killed: early stopping, validation, augmentation, one-cycle, dropout, batch normalisation."""

SEED = 11
FIRST = ("train", "--model", "flat.toml", *DATA, "--epochs", 2, "--seed", 1, "--output", "out", "--threads", 1)
SECOND = ("train", "--model", "conv.toml", *DATA, "--epochs", 2, "--seed", 2, "--output", "out", "--threads", 1)
EVERY_STEP = ("--checkpoint-every", 1e-6)
FILES = ("model.safetensors", "checkpoint.safetensors", "history.jsonl", "history.csv", "config.toml", "features.safetensors")
OWN = {"notes.txt": b"mine", ".model": b"mine, too", "previous-2": b"a file"}
"""Files of the user's own in the folder."""


@dataclass(frozen=True)
class Before:
    """What a folder holds before a run: `earlier` are the files of each earlier run, as they are to be kept."""

    folder: Path
    earlier: tuple[dict[str, bytes], ...]


@dataclass(frozen=True)
class Whole:
    """A run that nothing stopped, in an empty folder."""

    sha256: str
    model: bytes
    history: list[dict[str, object]]


@dataclass(frozen=True)
class World:
    """The commands, what folders may hold before, and the runs as they ought to end."""

    command: Commands
    befores: tuple[Before, ...]
    whole: Callable[[int], Whole]
    probe: Callable[[int, int, float], Ended]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with commands() as command:

        def folder(before: Before | None = None) -> Path:
            return new_folder(tmp_path_factory.mktemp("run"), before)

        @functools.cache
        def whole(run: int) -> Whole:
            return ended(command, folder(), *new(run, 1000))

        @functools.cache
        def probe(run: int, before: int, every: float) -> Ended:
            """The run in that folder, not killed: how long it takes and how often it changes the disk."""
            done = command(folder(befores[before]), *new(run, every))
            assert done.code == 0, done.stderr
            return done

        befores = tuple(make_befores(command, folder))
        yield World(command, befores, whole, probe)


def new_folder(path: Path, before: Before | None) -> Path:
    for name, layers in NETS.items():
        (path / name).write_text(f"input_shape = [28, 28, 1]\n{layers}")
    if before is not None and before.earlier:
        shutil.copytree(before.folder, path / "out")
        for name, content in OWN.items():
            (path / "out" / name).write_bytes(content)
    return path


def make_befores(command: Commands, folder: Callable[[], Path]) -> Iterator[Before]:
    """Nothing; a finished run; one stopped in its first epoch; one stopped in its second; a finished and an unfinished one."""
    yield Before(Path(), ())
    finished = folder()
    ended(command, finished, *FIRST)
    yield Before(finished / "out", (files(finished / "out"),))
    for epoch in (0, 1):
        path = folder()
        kill_in_epoch(command, path, SECOND, epoch)
        yield Before(path / "out", (files(path / "out"),))
    both = folder()
    ended(command, both, *FIRST)
    first = files(both / "out")
    kill_in_epoch(command, both, SECOND, 0)
    second = (both / "out" / "unfinished.safetensors").read_bytes()
    yield Before(both / "out", (first, {"checkpoint.safetensors": second}))


def kill_in_epoch(command: Commands, path: Path, args: tuple[object, ...], epoch: int) -> None:
    """Kill a run that writes a checkpoint after each step, at the change after which it has trained in this epoch."""
    template = path / "template"
    if (path / "out").exists():
        shutil.copytree(path / "out", template)
    for change in range(33, 200, 5):
        done = command(path, *args, *EVERY_STEP, kill=Kill(change=change, after=True))
        assert done.killed
        for name in ("unfinished.safetensors", "checkpoint.safetensors"):
            if (path / "out" / name).exists():
                counters = load_checkpoint(path / "out" / name).state["counters"]
                if (counters["epoch"], counters["batch"] > 1) == (epoch, True):
                    for half_written in (path / "out").glob(".*-*"):
                        half_written.unlink()
                    return
                break
        shutil.rmtree(path / "out", ignore_errors=True)
        if template.exists():
            shutil.copytree(template, path / "out")
    raise AssertionError("no kill came in that epoch")


def new(run: int, every: float) -> tuple[object, ...]:
    """The command line of a new run."""
    return (
        "train", *RUNS[run], *DATA, "--seed", SEED, "--output", "out", "--threads", 1, "--format", "json", "--checkpoint-every", every,
    )  # fmt: skip


def files(folder: Path) -> dict[str, bytes]:
    """The files of a run."""
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).exists()}


def ended(command: Commands, path: Path, *args: object) -> Whole:
    done = command(path, *args, "--format", "json")
    assert done.code == 0, done.stderr
    return result(path, done.stdout)


def result(path: Path, report: str) -> Whole:
    history = [json.loads(line) for line in (path / "out" / "history.jsonl").read_text().splitlines()]
    for record in history:
        del record["seconds"], record["images_per_second"]
    return Whole(json.loads(report)["weights_sha256"], (path / "out" / "model.safetensors").read_bytes(), history)


def resume_in_its_own_process(path: Path, *args: object) -> Ended:
    """The real command line."""
    done = subprocess.run(
        [sys.executable, "-c", "from numbacnn_cli.main import run; run()", *map(str, args)],
        cwd=path,
        capture_output=True,
        text=True,
    )
    return Ended(False, done.returncode, 0, done.stdout, done.stderr, False, 0)


def check_case(world: World, path: Path, case: Case, kills: Callable[[np.random.Generator, Ended], Kill]) -> None:
    """Kill a run, resume it with more kills, let it end, and look at all that is there."""
    draw = case.random
    run, before = case.index % len(RUNS), (case.index // len(RUNS) + case.index) % len(world.befores)
    links = bool(draw.integers(4))
    every = (1e-6, 0.03, 1000)[draw.integers(3)]
    probe = world.probe(run, before, every)
    new_folder(path, world.befores[before])
    done = world.command(path, *new(run, every), kill=kills(draw, probe), links=links)
    begun = done.begun
    for _ in range(draw.integers(3)):
        if begun and done.killed:
            done = world.command(path, *resume(draw, every), kill=kills(draw, probe), links=links)
    if done.killed and begun and case.index % 10 == 0:
        done = resume_in_its_own_process(path, *resume(draw, every))
    elif done.killed and begun:
        done = world.command(path, *resume(draw, every), links=links)
    elif done.killed:  # nothing was said to have begun: the earlier runs are all there, and the run can be started once more
        done = world.command(path, *new(run, every), links=links)
    assert done.code == 0, (done.code, done.stderr)
    assert json.loads(done.stdout)["seed"] == SEED, "another run was resumed"
    assert result(path, done.stdout) == world.whole(run)
    check_folder(path / "out", world.befores[before])


def resume(draw: np.random.Generator, every: float) -> tuple[object, ...]:
    """The command line that resumes, with or without the folder's name."""
    output = ("--output", "out") if draw.integers(2) else ()
    return ("train", "--resume", *output, "--threads", 1, "--format", "json", "--checkpoint-every", every)


def check_folder(out: Path, before: Before) -> None:
    """Each earlier run is whole in a folder of its own, the user's files are as they were, and nothing else is left."""
    kept = [files(folder) for folder in out.glob("previous*") if folder.is_dir()]
    for folder in out.glob("previous*"):
        assert folder.is_file() or {file.name for file in folder.iterdir()} <= {*FILES, CURVES_FILE}
    for run in before.earlier:
        assert run in kept, "an earlier run is lost"
    for run in kept:
        assert run in before.earlier, "a mixture of runs"
    own = OWN if before.earlier else {}
    assert {name: (out / name).read_bytes() for name in own} == own
    left = {file.name for file in out.iterdir() if not file.is_dir()} - {*FILES, CURVES_FILE} - set(own)
    assert left == {".lock"}, left


def test_a_run_killed_at_any_instant_resumes_and_ends_with_the_bits_of_one_never_stopped(
    world: World, battery: Battery, tmp_path: Path
) -> None:
    def kill(draw: np.random.Generator, probe: Ended) -> Kill:
        return Kill(seconds=float(draw.uniform(0, probe.seconds)))

    for case in battery("runs killed at random instants", smoke=3, whole=60):
        with case:
            path = tmp_path / str(case.index)
            path.mkdir()
            check_case(world, path, case, kill)


def test_a_run_killed_at_any_change_of_its_folder_resumes_and_ends_with_the_bits_of_one_never_stopped(
    world: World, battery: Battery, tmp_path: Path
) -> None:
    def kill(draw: np.random.Generator, probe: Ended) -> Kill:
        return Kill(change=int(draw.integers(1, probe.changes + 1)), after=bool(draw.integers(2)))

    for case in battery("runs killed at a change of their folder", smoke=6, whole=120):
        with case:
            path = tmp_path / str(case.index)
            path.mkdir()
            check_case(world, path, case, kill)
