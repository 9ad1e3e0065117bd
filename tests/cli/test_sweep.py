"""``numbacnn sweep``: many runs, whoever does them, whatever ends them."""

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from command_line import Done, run_here
from numbacnn_cli import sweep_job
from numbacnn_cli.executors import LocalProcesses
from numbacnn_cli.sweep import sweep as sweep_command
from numbacnn_cli.sweep_grid import VARIED
from numbacnn_cli.sweep_job import Job, work
from numbacnn_cli.train import train

from numbacnn.checkpoint import load_checkpoint

TINY = ("--model", "softmax", "--dataset", "digits", "--train-limit", 200, "--test-limit", 100, "--epochs", 1)
GRID = ("--seeds", 3, "--set", "batch-size=50")
NAMES = [f"batch-size-50-seed-{seed}" for seed in range(3)]
COMMAND = [sys.executable, "-c", "from numbacnn_cli.entry import run; run()"]
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep by one worker; nothing may change it."""
    folder = tmp_path_factory.mktemp("sweep") / "one"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        assert sweep(folder, *GRID, "--workers", 1).code == 0
    return folder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def sweep(output: Path, *args: object) -> Done:
    return run_here("sweep", *TINY, "--threads", 1, "--output", output, *args)


def report(folder: Path) -> dict[str, Any]:
    """What ``sweep.json`` says, but for what the clock says."""
    values = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    for each in (*values["rows"], *values["runs"]):
        each.pop("seconds", None)
    return values


def written(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.name not in (".lock", "sweep.json")}


def test_the_report_has_a_row_for_each_setting_and_the_spread_of_its_seeds(done: Path) -> None:
    values = report(done)
    assert [run["name"] for run in values["runs"]] == NAMES
    (row,) = values["rows"]
    assert (row["settings"], row["planned"], row["done"], row["failed"]) == ({"batch-size": 50}, 3, 3, 0)
    accuracies = [run["test_accuracy"] for run in values["runs"]]
    found = row["test_accuracy"]
    assert found["mean"] == pytest.approx(statistics.fmean(accuracies))
    assert found["standard_deviation"] == pytest.approx(statistics.stdev(accuracies))
    assert found["interval_95"][1] - found["mean"] == pytest.approx(4.30265273 * found["standard_deviation"] / 3**0.5)


def test_every_combination_of_the_settings_has_every_seed_in_a_fixed_order(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    values = json.loads(sweep(tmp_path / "out", "--seeds", "7,3-4", "--set", "learning_rate=0.01,1e-3", "--set", "augment=no,yes",
                              "--report-only", "--format", "json").out)  # fmt: skip
    assert [run["name"] for run in values["runs"]] == [
        f"learning-rate-{rate}-augment-{augment}-seed-{seed}"
        for rate in ("0.01", "0.001") for augment in ("false", "true") for seed in (7, 3, 4)
    ]  # fmt: skip


def test_a_run_of_a_sweep_is_the_run_that_train_makes(done: Path, tmp_path: Path) -> None:
    assert run_here("train", *TINY, "--batch-size", 50, "--seed", 2, "--output", tmp_path / "alone").code == 0
    for name in ("model.safetensors", "features.safetensors"):
        assert (tmp_path / "alone" / name).read_bytes() == (done / NAMES[2] / name).read_bytes()


def test_two_workers_and_two_parts_make_the_table_of_one_worker(done: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    for part in ("2/2", "1/2"):
        assert sweep(folder, *GRID, "--workers", 2, "--part", part).code == 0
        assert not (folder / "sweep.json").exists()
    assert sweep(folder, *GRID, "--report-only").code == 0
    assert report(folder) == report(done)


def test_runs_that_are_done_are_not_done_again(done: Path) -> None:
    before = written(done)
    again = sweep(done, *GRID)
    assert (again.code, written(done)) == (0, before)
    assert "3 of 3 runs are done already" in again.err


def test_a_folder_of_another_run_is_an_error_that_names_both(done: Path) -> None:
    before = written(done)
    wrong = sweep(done, *GRID, "--learning-rate", 0.5)
    assert (wrong.code, written(done)) == (1, before)
    assert "expected a run of --learning-rate 0.5, got one of --learning-rate 0.0" in wrong.err


def test_a_report_on_runs_that_are_missing_names_them(done: Path) -> None:
    found = sweep(done, "--seeds", "2-3", "--set", "batch-size=50", "--report-only", "--format", "json")
    assert found.code == 1
    values = json.loads(found.out)
    assert [run["state"] for run in values["runs"]] == ["done", "not begun"]
    assert (values["rows"][0]["done"], values["rows"][0]["planned"]) == (1, 2)
    assert sweep(done, *GRID, "--report-only").code == 0


def test_a_run_that_diverges_is_noted_and_the_others_go_on(tmp_path: Path) -> None:
    found = sweep(tmp_path / "out", "--optimizer", "sgd", "--seeds", 1, "--set", "learning-rate=1e38,0.01", "--workers", 2)
    assert found.code == 1
    assert "Traceback" not in found.err + found.out
    bad, good = report(tmp_path / "out")["runs"]
    assert (bad["state"], good["state"]) == ("failed", "done")
    assert "not a finite number" in bad["reason"]
    assert f"failed: {bad['name']}: {bad['reason']}" in found.out
    later = sweep(tmp_path / "out", "--optimizer", "sgd", "--seeds", 1, "--set", "learning-rate=1e38,0.01", "--report-only")
    assert (later.code, later.out) == (1, found.out)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_sweep_that_is_stopped_leaves_no_process_and_goes_on(name: str, tmp_path: Path) -> None:
    number = signal.Signals[name]
    command = ["sweep", "--model", "softmax", "--dataset", "digits", "--train-limit", 500, "--test-limit", 100, "--epochs", 100_000,
               "--threads", 1, "--seeds", 2, "--workers", 2, "--output", "out"]  # fmt: skip
    process = subprocess.Popen([*COMMAND, *map(str, command)], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    histories = [tmp_path / "out" / f"seed-{seed}" / "history.jsonl" for seed in (0, 1)]
    wait_for(lambda: all(path.exists() for path in histories))
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == (143 if number == signal.SIGTERM else -number)
    wait_for(lambda: not any(is_locked(path.parent) for path in histories))
    if number == signal.SIGTERM:
        assert "stopped: 0 of 2 runs done" in said
    lines = [path.read_text(encoding="utf-8").count("\n") for path in histories]
    found = run_here(*command, "--report-only", "--format", "json")
    assert [run["state"] for run in json.loads(found.out)["runs"]] == ["half done", "half done"]
    more = ["train", "--resume", "--output", "out/seed-0", "--epochs", lines[0] + 1]
    assert f"after epoch {lines[0]}" in run_here(*more).err


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_locked(folder: Path) -> bool:
    """Whether a training lives: it holds the lock of its folder."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True


def test_a_half_done_run_is_resumed_and_ends_with_the_same_bits(done: Path, tmp_path: Path) -> None:
    half = tmp_path / "out" / NAMES[0]
    stopped_after_a_step("train", *TINY, "--batch-size", 50, "--seed", 0, "--output", half)
    assert load_checkpoint(half / "checkpoint.safetensors").state["counters"]["step"] == 1
    resumed = sweep(tmp_path / "out", "--seeds", 1, "--set", "batch-size=50")
    assert (resumed.code, (tmp_path / "out" / "sweep.json").exists()) == (0, True)
    for name in ("model.safetensors", "features.safetensors"):
        assert (half / name).read_bytes() == (done / NAMES[0] / name).read_bytes()


def test_a_run_that_was_stopped_after_its_last_epoch_is_not_taken_for_a_whole_one(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / NAMES[0], tmp_path / "out" / NAMES[0])
    (tmp_path / "out" / NAMES[0] / "features.safetensors").unlink()
    assert sweep(tmp_path / "out", "--seeds", 1, "--set", "batch-size=50").code == 0
    features = [folder / NAMES[0] / "features.safetensors" for folder in (tmp_path / "out", done)]
    assert features[0].read_bytes() == features[1].read_bytes()


def stopped_after_a_step(*args: object) -> None:
    """A command of this process as SIGTERM ends it."""
    with (
        mock.patch("numbacnn_cli.train.noted_signals", return_value=contextlib.nullcontext(lambda: signal.SIGTERM)),
        mock.patch("numbacnn_cli.train.received", return_value=signal.SIGTERM),
        mock.patch("numbacnn_cli.train.is_first_to_say", return_value=False),
    ):
        assert run_here(*args).code == 128 + signal.SIGTERM


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_worker_that_the_system_kills_is_a_failed_run(tmp_path: Path) -> None:
    """As for want of memory: the training kills itself."""
    executor = LocalProcesses(1, 1)
    log = threading.Event()
    command = ("train", *map(str, TINY), "--epochs", "100000", "--output", str(tmp_path / "out"), "--progress", "plain")
    executor.submit(
        [Job("endless", command, (), "out", str(tmp_path))], lambda job, line: log.set() if "epoch 1/" in line else None
    )
    assert log.wait(60)
    for child in children(os.getpid()):
        if b"tethered" in Path(f"/proc/{child}/cmdline").read_bytes():
            os.kill(child, signal.SIGKILL)
    (ended,) = executor.ended()
    executor.cancel()
    assert ended.reason is not None
    assert "killed by signal 9" in ended.reason


def test_an_error_where_a_run_is_started_is_a_failed_run_and_the_sweep_does_not_wait_for_ever(tmp_path: Path) -> None:
    executor = LocalProcesses(2, 1)
    with mock.patch("numbacnn_cli.executors.work", side_effect=[None, RuntimeError("no thread can be started")]):
        executor.submit([Job(name, (), (), name, str(tmp_path)) for name in ("one", "two")], lambda job, line: None)
        reasons = {ended.reason for ended in executor.ended()}
    executor.cancel()
    assert reasons == {None, "RuntimeError: no thread can be started"}


def test_a_machine_without_the_current_folder_says_so(tmp_path: Path) -> None:
    job = Job("one", ("train",), ("train", "--resume"), "out", str(tmp_path / "elsewhere"))
    assert "All workers need the same folders" in (work(job, 1, lambda: True) or "")


def children(parent: int) -> list[int]:
    if not Path("/proc/self/task").exists():
        pytest.skip("the system has no /proc")
    tasks = Path(f"/proc/{parent}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--seeds", "many"], 2, "expected a number of seeds"),
        (["--seeds", "5-3"], 2, "expected a number of seeds"),
        (["--seeds", "0"], 2, "expected a number of seeds"),
        (["--set", "learning-rat=1"], 2, "Did you mean 'learning-rate'?"),
        (["--set", "output=a,b"], 2, "expected one of model"),
        (["--set", "batch-size"], 2, "expected an option of train and its values"),
        (["--set", "batch-size=1,,2"], 2, "expected an option of train and its values"),
        (["--set", "batch-size=0"], 2, "--set batch-size: expected a whole number of at least 1, got '0'"),
        (["--set", "batch-size=5,5"], 2, "got '5' twice"),
        (["--set", "epochs=1,2"], 2, "the option is given twice"),
        (["--set", "learning-rate=1e-3,0.001"], 2, "got '0.001' twice"),
        (["--seeds", "5000", "--set", "batch-size=1,2,3"], 2, "expected at most 10,000 runs, got 15,000"),
        (["--workers", "0"], 2, "expected a whole number from 1 to"),
        (["--part", "3/2"], 2, "expected a share, from 1/N to N/N"),
        (["--part", "1/2", "--report-only"], 2, "give one of them"),
        (["--set", "schedule=cosine", "--lr-decay", "0.5"], 2, "--lr-decay is of --schedule exponential"),
        (["--executor", "dask"], 2, "need each other"),
        (["--scheduler", "tcp://head:8786"], 2, "need each other"),
        (["--executor", "dask", "--scheduler", "head"], 2, "expected an address, such as tcp://head:8786, got 'head'"),
        (["--executor", "mpi", "--workers", "2"], 2, "--workers is of --executor processes"),
        (["--output", "nowhere", "--report-only"], 1, "expected the folder of a sweep, got none"),
        (["--output", "file"], 1, "file: cannot be written to"),
    ],
)
def test_bad_input_is_one_message_before_anything_is_written(args: list[str], code: int, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = sweep(tmp_path / "out", *args)
    assert (found.code, found.out) == (code, "")
    assert message in found.err
    assert found.err.count("Error: ") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("module", "args"),
    [("mpi4py", ["--executor", "mpi"]), ("distributed", ["--executor", "dask", "--scheduler", "tcp://127.0.0.1:1"])],
)
def test_an_executor_whose_package_is_missing_names_the_command_that_installs_it(
    module: str, args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    found = sweep(tmp_path / "out", *args)
    extra = {"mpi4py": "mpi", "distributed": "dask"}[module]
    assert found.code == 1
    assert f"pip install 'numbacnn[{extra}]'" in found.err
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(find_spec("distributed") is None, reason="distributed is not installed")
def test_the_workers_of_dask_make_the_table_of_one_worker(done: Path, tmp_path: Path) -> None:
    program = (
        "import sys, distributed\n"
        "if __name__ == '__main__':\n"
        "    with distributed.LocalCluster(1, threads_per_worker=2, processes=False, protocol='tcp', dashboard_address=None) as one:\n"
        "        print(one.scheduler_address, flush=True)\n"
        "        sys.stdin.read()\n"
    )
    cluster = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert cluster.stdout is not None
    address = cluster.stdout.readline().strip()
    command = ["sweep", *TINY, *GRID, "--output", "out", "--executor", "dask", "--scheduler", address]
    found = subprocess.run([*COMMAND, *map(str, command)], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    cluster.communicate("")
    assert found.returncode == 0, found.stderr
    assert report(tmp_path / "out") == report(done)


@pytest.mark.skipif(find_spec("mpi4py") is None or not MPIEXEC, reason="mpi4py or an MPI is not installed")
def test_the_ranks_of_mpi_make_the_table_of_one_worker(done: Path, tmp_path: Path) -> None:
    command = [str(MPIEXEC), "-n", "3", *COMMAND, "sweep", *map(str, (*TINY, *GRID)), "--output", "out", "--executor", "mpi"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("wrote") == 1
    assert report(tmp_path / "out") == report(done)


@pytest.mark.skipif(find_spec("mpi4py") is None or not MPIEXEC, reason="mpi4py or an MPI is not installed")
def test_ranks_without_their_executor_are_told_once_and_train_nothing(tmp_path: Path) -> None:
    command = [str(MPIEXEC), "-n", "2", *COMMAND, "sweep", *map(str, TINY), "--output", "out"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert found.returncode == 1
    assert found.stderr.count("expected --executor mpi for ranks that share the runs") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(find_spec("mpi4py") is None or not MPIEXEC, reason="mpi4py or an MPI is not installed")
def test_one_rank_alone_has_nobody_to_work_for_it(tmp_path: Path) -> None:
    command = [*COMMAND, "sweep", *map(str, TINY), "--output", "out", "--executor", "mpi"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert found.returncode == 1
    assert "expected at least 2 ranks, got 1" in found.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_of_the_users_own_is_not_replaced_by_the_report(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text('{"mine": 1}')
    found = sweep(tmp_path, "--seeds", 1)
    assert (found.code, found.err.count("expected the report of a sweep, got another file")) == (1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]
    assert (tmp_path / "sweep.json").read_text() == '{"mine": 1}'


def test_numpys_threads_are_those_of_the_training_unless_the_user_has_set_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "5")
    found = sweep_job._environment(2)
    assert (found["OPENBLAS_NUM_THREADS"], found["MKL_NUM_THREADS"]) == ("2", "5")


def test_every_option_of_train_either_varies_is_shared_or_belongs_to_one_run() -> None:
    of_train = {option.opts[0].removeprefix("--") for option in train.params}
    of_sweep = {option.opts[0].removeprefix("--") for option in sweep_command.params}
    of_one_run = {"seed", "resume", "log-dir", "progress"}
    shared = {"config", "data-dir", "input", "device", "threads", "processor", "checkpoint-every", "keep-epochs"}
    assert of_train - of_sweep == of_one_run
    assert set(VARIED) == of_train - of_one_run - shared - {"output", "format", "debug"}


def test_help_imports_neither_numpy_nor_numba() -> None:
    program = (
        "import sys; sys.argv[1:] = ['sweep', '--help']\n"
        "from numbacnn_cli.main import main\n"
        "main(); print(sorted({'numpy', 'numba', 'distributed', 'mpi4py'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout.splitlines()[-1] == "[]"
