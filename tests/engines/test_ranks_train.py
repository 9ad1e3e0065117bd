"""``mpiexec -n P numbacnn train``: the bits of one process, one message for each error, and no process left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import run_here
from numbacnn_cli.train_ranks import Facts, device_of_all, unlike
from ranked import COMMAND, needs_mpi, on_ranks, train_on_ranks

pytestmark = needs_mpi

TINY = ("--model", "small", "--dataset", "digits", "--train-limit", 100, "--test-limit", 25, "--epochs", 3, "--batch-size", 30,
        "--augment", "--validation", 0.1, "--checkpoint-every", 0.001)  # fmt: skip
MODEL = "model.safetensors"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training in one process; nothing may change it."""
    folder = tmp_path_factory.mktemp("alone") / "out"
    assert run_here("train", *TINY, "--threads", 1, "--output", folder).code == 0
    return folder


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_ranks_exchange_what_each_has_and_add_as_one_process(ranks: int, tmp_path: Path) -> None:
    found = on_ranks(ranks, sys.executable, Path(__file__).with_name("exchanges.py"), folder=tmp_path)
    assert (found.returncode, found.stdout.count("equal")) == (0, ranks), found.stderr


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_any_number_of_ranks_ends_with_the_bits_of_one_process(ranks: int, alone: Path, tmp_path: Path) -> None:
    found = train_on_ranks(ranks, *TINY, "--output", "out", "--format", "json", folder=tmp_path)
    assert found.returncode == 0, found.stderr
    report = json.loads(found.stdout)
    assert (report["ranks"], report["threads"]) == (ranks, 1)
    assert found.stderr.count(f"cpu with {ranks} ranks x 1 thread") == 1
    assert found.stderr.count("epoch 3/3") == 1
    assert (tmp_path / "out" / MODEL).read_bytes() == (alone / MODEL).read_bytes()


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_a_large_kernel_that_ranks_share_is_saved_and_resumed_by_any_number_of_ranks(optimizer: str, tmp_path: Path) -> None:
    """A dense kernel of 3,136 x 1,024: each rank updates some of its rows, in memory that all ranks of the host see."""
    large = ("--model", "cnn", "--dataset", "digits", "--train-limit", 40, "--test-limit", 10, "--batch-size", 16,
             "--optimizer", optimizer, "--output", "out")  # fmt: skip
    for name, ranks in (("one", 1), ("several", 3)):
        folder = tmp_path / name
        folder.mkdir()
        begun = train_on_ranks(ranks, *large, "--epochs", 1, folder=folder)
        assert begun.returncode == 0, begun.stderr
        resumed = train_on_ranks(4 - ranks, "--resume", "--output", "out", "--epochs", 2, folder=folder)
        assert resumed.returncode == 0, resumed.stderr
    files = [(tmp_path / name / "out" / MODEL).read_bytes() for name in ("one", "several")]
    assert files[0] == files[1]


def test_a_rank_that_is_killed_ends_all_and_another_number_of_ranks_goes_on(alone: Path, tmp_path: Path) -> None:
    found = train_on_ranks(3, *TINY, "--output", "out", folder=tmp_path, fault="kill")
    assert found.returncode != 0
    assert_nobody_left(tmp_path)
    resumed = train_on_ranks(2, "--resume", "--output", "out", folder=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming out after epoch 1" in resumed.stderr
    assert (tmp_path / "out" / MODEL).read_bytes() == (alone / MODEL).read_bytes()


def test_a_signal_to_one_rank_stops_all_after_the_same_step_and_one_process_goes_on(alone: Path, tmp_path: Path) -> None:
    found = train_on_ranks(3, *TINY, "--output", "out", folder=tmp_path, fault="terminate")
    assert found.returncode == 128 + signal.SIGTERM
    assert found.stderr.count("stopped in epoch 2 after step") == 1
    assert "  mpiexec -n 3 numbacnn train --resume --output out" in found.stderr
    assert "Stopped" not in found.stderr
    assert_nobody_left(tmp_path)
    assert run_here("train", "--resume", "--output", tmp_path / "out", "--threads", 1).code == 0
    assert (tmp_path / "out" / MODEL).read_bytes() == (alone / MODEL).read_bytes()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.usefixtures("heeded_signals")
def test_a_signal_to_the_launcher_stops_all_ranks_and_saves(name: str, tmp_path: Path) -> None:
    from ranked import MPIEXEC

    command = [
        str(MPIEXEC),
        "-n",
        "2",
        *COMMAND,
        "train",
        *map(str, TINY),
        "--epochs",
        "100000",
        "--threads",
        "1",
        "--output",
        "out",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    assert any("epoch 1/" in line for line in process.stderr)
    process.send_signal(signal.Signals[name])
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.Signals[name]
    assert said.count("nothing is lost. Go on with:") == 1
    assert_nobody_left(tmp_path)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("memory", r"Error: rank 1 of 3 on \S+: out of memory: Unable to allocate 3 GiB\."),
        ("every-memory", r"Error: rank 0 of 3 on \S+: out of memory: rank 0 has none left\."),
        ("weights", r"Error: epoch 2: expected equal weights on all ranks, got others on rank 1 of 3 on "),
        ("hang", r"Error: rank 1 of 3 on \S+: expected an answer in 1 s, got none\."),
        ("full-disk", r"Error: rank 0 of 3 on \S+: checkpoint.safetensors: No space left on device"),
    ],
)
def test_a_rank_that_fails_is_named_once_and_ends_all(fault: str, message: str, tmp_path: Path) -> None:
    found = train_on_ranks(3, *TINY, "--output", "out", folder=tmp_path, fault=fault)
    assert found.returncode == 1 or fault == "hang"  # a rank that hangs is killed, and mpiexec tells of that
    assert re.search(message, found.stderr)
    assert found.stderr.count("Error: ") == 1
    assert "Traceback" not in found.stderr
    assert_nobody_left(tmp_path)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--epochs", 0], 2, "expected a whole number of at least 1, got '0'"),
        (["--dataset", "nowhere.npz"], 1, "nowhere.npz: cannot be read"),
        (["--batch-size", 4], 1, "expected at most 1 rank for a batch of 4 images, got 2"),
        (["--optimizer", "sgd", "--learning-rate", 1e38], 1, "not a finite number"),
    ],
)
def test_an_error_of_all_is_one_message(args: list[object], code: int, message: str, tmp_path: Path) -> None:
    found = train_on_ranks(2, *TINY, "--no-augment", "--output", "out", *args, folder=tmp_path)
    assert (found.returncode, found.stdout) == (code, "")
    assert message in found.stderr
    assert found.stderr.count("Error: ") == 1


def test_too_many_ranks_are_told_the_largest_number(tmp_path: Path) -> None:
    from unittest import mock

    from numbacnn_cli.train_ranks import _Led

    from numbacnn.errors import TrainingError

    for ranks, images, most in ((9, 100, "8 ranks"), (17, 200, "16 ranks"), (9, 8, "8 ranks"), (2, 7, "1 rank")):
        with pytest.raises(TrainingError, match=f"expected at most {most} for a batch of {images} images, got {ranks}"):
            _Led(mock.Mock(size=ranks)).check_batch(images)
    for ranks, images in ((8, 100), (16, 200), (8, 8)):
        _Led(mock.Mock(size=ranks)).check_batch(images)


def test_without_mpi4py_one_rank_says_how_to_install_it(tmp_path: Path) -> None:
    program = "import sys; sys.modules['mpi4py'] = None; from numbacnn_cli.entry import run; run()"
    found = on_ranks(3, sys.executable, "-c", program, "train", *TINY, "--output", "out", folder=tmp_path)
    assert found.returncode == 1
    assert found.stderr.count("Error: ") == 1
    assert "pip install 'numbacnn[mpi]'" in found.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_the_launcher_of_another_mpi_is_an_error_and_not_many_trainings_in_one_folder(rank: int, tmp_path: Path) -> None:
    environ = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": str(rank)}
    command = [*COMMAND, "train", *map(str, TINY), "--output", "out"]
    found = subprocess.run(command, cwd=tmp_path, env=os.environ | environ, capture_output=True, text=True)
    assert found.returncode == 1
    assert not (tmp_path / "out").exists()
    if rank:
        assert found.stderr == ""
    else:
        assert re.fullmatch(r"Error: OMPI_COMM_WORLD_SIZE=4: expected processes that .* has started, .*\n", found.stderr)


def test_ranks_that_would_compute_other_bits_are_named() -> None:
    good = Facts("node1", "", "numbacnn 1", True)
    assert unlike([good, good._replace(host="node2")]) == ""
    assert unlike([good, good, good._replace(host="node7", versions="numbacnn 2")]) == (
        "mpiexec: expected the same program on all ranks, got numbacnn 1 on rank 0 on node1, and numbacnn 2 on rank 2 of 3 on node7. "
        "Install the same on every host"
    )
    assert "one with it for rank 0 on node1, and one without for rank 1 of 2 on node7" in unlike(
        [good, good._replace(host="node7", fuses=False)]
    )
    assert unlike([good, good._replace(host="node7", problem="no memory")]) == "rank 1 of 2 on node7: no memory"
    assert unlike([good._replace(problem="no GPU")] * 2) == "no GPU"


def test_auto_takes_gpus_if_each_rank_has_one() -> None:
    cpu, gpu = (Facts("node1", "", device=name) for name in ("cpu", "cuda"))
    assert [device_of_all(asked, [gpu, cpu]) for asked in ("auto", "cpu", "cuda")] == ["cpu", "cpu", "cuda"]
    assert device_of_all("auto", [gpu, gpu]) == "cuda"


def assert_nobody_left(folder: Path) -> None:
    """No process works in the folder: those that were killed may take a moment to be gone."""
    if not Path("/proc/self/cwd").exists():
        return
    end = time.monotonic() + 10
    while left := [pid for pid in os.listdir("/proc") if pid.isdecimal() and _works_in(pid, folder)]:
        assert time.monotonic() < end, left
        time.sleep(0.05)


def _works_in(pid: str, folder: Path) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd") == str(folder.resolve())
    except OSError:
        return False
