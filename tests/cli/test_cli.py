"""The command line as its users meet it: a process of its own, exit codes, streams, and bad input."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from repository import ROOT
from safetensors import safe_open

from numbacnn.backends.cpu.conv.algorithm import choose_algorithm
from numbacnn.backends.threads import WAITING
from numbacnn.checkpoint import load_checkpoint
from numbacnn.shapes import window2d

Run = Callable[..., subprocess.CompletedProcess[str]]

NET = """
input_shape = [28, 28, 1]

[[layers]]
type = "Conv2D"
filters = 4
kernel_size = 5
strides = 2
activation = "relu"

[[layers]]
type = "MaxPool2D"

[[layers]]
type = "Flatten"

[[layers]]
type = "Dense"
units = 10
activation = "softmax"
"""
SMALL = ("--dataset", "digits", "--train-limit", 1500, "--test-limit", 200)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a small network has been trained on digits: ``out/``, and ``net.toml`` beside it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "net.toml").write_text(NET)
    done = command("train", "--model", "net.toml", *SMALL, "--epochs", 2, "--output", "out", "--learning-rate", 0.01, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def command(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from numbacnn_cli.main import run; run()"]
    return subprocess.run([*program, *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=600)


def as_json(done: subprocess.CompletedProcess[str]) -> object:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_error(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    for part in parts:
        assert part in done.stderr


def draw_one(path: Path) -> None:
    image = Image.new("L", (60, 80), 255)
    ImageDraw.Draw(image).line((32, 10, 28, 70), fill=0, width=7)
    image.save(path)


# --- start-up -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], ["shapes", "cnn"], ["shapes", "cnn", "--format", "json"], ["models"]]
)
def test_what_needs_no_arithmetic_imports_neither_numpy_nor_numba(args: list[str], tmp_path: Path) -> None:
    program = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(sorted({'numpy', 'numba', 'PIL', 'requests'} & set(sys.modules)), file=sys.stderr))\n"
        f"sys.argv[1:] = {args!r}\n"
        "from numbacnn_cli.main import run; run()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr.strip() == "[]"


def test_the_table_of_a_preset_reads_no_toml_and_builds_no_other_network(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.argv[1:] = ['shapes', 'cnn']\n"
        "from numbacnn_cli.main import main\n"
        "assert main() == 0\n"
        "from numbacnn.models import PRESETS\n"
        "built = [name for name, preset in PRESETS.items() if 'graph' in vars(preset)]\n"
        "print(built, sorted({'tomllib', 'tomli_w'} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr.strip() == "['cnn'] []"


def test_a_bare_import_of_the_package_needs_neither() -> None:
    program = "import sys, numbacnn; print({'numpy', 'numba'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "set()"


# --- train ----------------------------------------------------------------------------------------------------------------------


def test_train_writes_a_network_its_history_settings_and_a_checkpoint(trained: Path) -> None:
    out = trained / "out"
    written = {
        "model.safetensors", "checkpoint.safetensors", "history.jsonl", "history.csv", "config.toml", "features.safetensors",
    }  # fmt: skip
    drawn = {"curves.png"} if find_spec("matplotlib") else set()
    assert {p.name for p in out.iterdir()} == written | drawn | {".lock"}
    rows = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    keys = {"epoch", "learning_rate", "loss", "accuracy", "test_loss", "test_accuracy", "seconds", "images_per_second"}
    assert set(rows[0]) == keys
    assert rows[1]["loss"] < rows[0]["loss"]
    assert rows[1]["learning_rate"] == pytest.approx(0.006)
    with safe_open(str(out / "model.safetensors"), "numpy") as file:
        assert {"conv1/kernel", "conv1/bias", "dense1/kernel", "dense1/bias"} == set(file.keys())


def test_train_as_json_is_one_object_and_progress_goes_to_stderr(numbacnn: Run, trained: Path, tmp_path: Path) -> None:
    done = numbacnn("train", "--model", trained / "net.toml", *SMALL, "--epochs", 1, "--format", "json", "--threads", 1)
    report = as_json(done)
    keys = {
        "model", "dataset", "device", "threads", "seed", "epochs", "train_images", "test_images", "loss", "accuracy", "test_loss",
        "test_accuracy", "seconds", "images_per_second", "weights_sha256", "output",
    }  # fmt: skip
    assert keys <= set(report)
    assert (report["model"], report["device"], report["threads"], report["train_images"]) == ("net", "cpu", 1, 1500)
    assert (tmp_path / report["output"]).samefile(tmp_path / "runs" / "net-digits")
    assert "epoch 1/1" in done.stderr
    assert "\x1b" not in done.stderr


def test_train_with_augment_says_so_and_keeps_it_in_the_settings(numbacnn: Run, trained: Path, tmp_path: Path) -> None:
    args = ("train", "--model", trained / "net.toml", *SMALL, "--epochs", 1, "--format", "json")
    shas = []
    for given, kept in ((("--augment",), "true"), (("--no-augment",), "false"), ((), "false")):
        done = numbacnn(*args, *given)
        shas.append(as_json(done)["weights_sha256"])
        assert ("augmented" in done.stderr) == (kept == "true")
        assert f"augment = {kept}" in (tmp_path / "runs" / "net-digits" / "config.toml").read_text()
    assert shas[0] != shas[1] == shas[2]


def test_the_same_seed_gives_the_same_file_with_one_thread_and_with_two(numbacnn: Run, trained: Path, tmp_path: Path) -> None:
    files = []
    for threads in (1, 2):
        output = tmp_path / f"t{threads}"
        args = ("--model", trained / "net.toml", *SMALL, "--epochs", 1, "--threads", threads, "--output", output)
        report = as_json(numbacnn("train", *args, "--format", "json"))
        files.append((report["weights_sha256"], (output / "model.safetensors").read_bytes()))
    assert files[0] == files[1]


def test_a_resumed_run_ends_like_one_that_never_stopped(numbacnn: Run, trained: Path, tmp_path: Path) -> None:
    common = ("train", "--model", trained / "net.toml", *SMALL, "--learning-rate", 0.01, "--format", "json")
    one = as_json(numbacnn(*common, "--epochs", 1, "--output", "a"))
    two = as_json(numbacnn(*common, "--epochs", 2, "--output", "a", "--resume"))
    assert one["weights_sha256"] != two["weights_sha256"]
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (trained / "out" / "model.safetensors").read_bytes()
    assert len((tmp_path / "a" / "history.jsonl").read_text().splitlines()) == 2
    again = as_json(numbacnn(*common, "--output", "a", "--resume"))
    assert again["weights_sha256"] == two["weights_sha256"], "nothing left to do changes nothing"


def test_resuming_says_when_images_are_distorted_again(numbacnn: Run, trained: Path) -> None:
    common = ("train", "--model", trained / "net.toml", *SMALL, "--augment", "--output", "b")
    said = "epoch 2 saw the images as they are; from here on they are distorted"
    assert said not in numbacnn(*common, "--epochs", 2).stderr
    assert said not in numbacnn(*common, "--epochs", 3, "--resume").stderr, "the third is the last"
    assert "epoch 3 saw" in numbacnn(*common, "--epochs", 5, "--resume").stderr


def test_a_second_run_compiles_nothing(numbacnn: Run, trained: Path, tmp_path: Path) -> None:
    args = ("train", "--model", trained / "net.toml", *SMALL, "--epochs", 1, "--format", "json")
    as_json(numbacnn(*args))
    done = numbacnn(*args)
    assert as_json(done)["kernels_compiled"] == 0
    assert "compiling" not in done.stderr


def test_a_home_that_cannot_be_written_to_only_costs_the_cache(numbacnn: Run, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    env = {"NUMBA_CACHE_DIR": str(blocked), "HOME": str(blocked)}
    cache = as_json(numbacnn("doctor", "--format", "json", env=env))["kernel_cache"]
    assert cache["writable"] is False
    assert "NUMBA_CACHE_DIR" in cache["hint"]
    for _ in range(2):
        done = numbacnn("samples", env=env)
        assert done.returncode == 0
        assert "compiling kernels (not kept for later runs: " in done.stderr, "and no promise that it is done once"


def test_after_a_warmup_a_run_compiles_nothing(numbacnn: Run, trained: Path, tmp_path: Path) -> None:
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    first = as_json(numbacnn("warmup", trained / "net.toml", "--format", "json", env=cache))
    assert [row["for"] for row in first] == ["net", "digits"]  # type: ignore[attr-defined,index]
    assert all(row["compiled"] > 0 for row in first)  # type: ignore[attr-defined]
    args = ("train", "--model", trained / "net.toml", *SMALL, "--epochs", 1, "--format", "json")
    report = as_json(numbacnn(*args, "--output", tmp_path / "out", env=cache))
    assert report["kernels_compiled"] == 0  # type: ignore[index]


def test_the_plan_names_what_is_fused_and_how_convolutions_are_done(numbacnn: Run) -> None:
    plan = as_json(numbacnn("shapes", "cnn", "--plan", "--batch-size", 100, "--format", "json"))
    steps = {step["step"]: step for step in plan["steps"]}  # type: ignore[index,call-overload]
    assert steps["pool2"]["computes"] == "Conv2D + relu + MaxPool2D"
    assert steps["pool2"]["algorithm"] == "frequency, 16 x 16"
    assert steps["pool1"]["algorithm"] == "direct"
    assert steps["dense1"]["algorithm"] is None
    assert "frequency, 16 x 16" in numbacnn("shapes", "cnn", "--plan", "--batch-size", 100).stdout


def test_the_plan_names_how_convolutions_with_gaps_and_groups_are_done(numbacnn: Run, tmp_path: Path) -> None:
    layers = [
        '"Conv2D"\nfilters = 8\ndilation_rate = 2',
        '"Conv2D"\nfilters = 8\ngroups = 2',
        '"Conv2D"\nfilters = 8\ngroups = 8',
        '"DepthwiseConv2D"',
    ]
    model = tmp_path / "gaps.toml"
    text = "".join(f"[[layers]]\ntype = {layer}\nkernel_size = 3\n" for layer in layers)
    model.write_text(f'name = "gaps"\ninput_shape = [28, 28, 1]\n{text}')
    plan = as_json(numbacnn("shapes", model, "--plan", "--format", "json"))
    found = [step["algorithm"] for step in plan["steps"]]  # type: ignore[index,call-overload]
    assert found == ["readable", "readable", "depthwise", "depthwise"]


def test_exact_convolutions_stay_exact_when_a_run_is_resumed(numbacnn: Run, tmp_path: Path) -> None:
    second = window2d((12, 12), (3, 3), (1, 1), "valid")
    assert choose_algorithm(100, second, 32, 32).algorithm != "direct"
    net = tmp_path / "net.toml"
    net.write_text(
        NET.replace("filters = 4", "filters = 32").replace('type = "MaxPool2D"', 'type = "Conv2D"\nfilters = 32\nkernel_size = 3')
    )
    args = ("train", "--model", net, *SMALL, "--epochs", 2, "--format", "json")
    exact = as_json(numbacnn(*args, "--exact-conv", "--output", tmp_path / "exact"))
    fast = as_json(numbacnn(*args, "--output", tmp_path / "fast"))
    assert exact["weights_sha256"] != fast["weights_sha256"], "two ways to compute it, or there is nothing to see"  # type: ignore[index]
    part = ("train", "--model", net, *SMALL, "--epochs", 1, "--exact-conv", "--output", tmp_path / "part", "--format", "json")
    as_json(numbacnn(*part))
    resumed = as_json(numbacnn("train", "--resume", "--output", tmp_path / "part", "--epochs", 2, "--format", "json"))
    assert resumed["weights_sha256"] == exact["weights_sha256"]  # type: ignore[index]
    check_error(numbacnn("train", "--resume", "--exact-conv", "--output", tmp_path / "fast"), 1, "--exact-conv", "new run")


@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_training_says_how_to_go_on_and_going_on_ends_the_same(trained: Path, tmp_path: Path, number: int) -> None:
    args = ["train", "--model", str(trained / "net.toml"), *map(str, SMALL), "--learning-rate", "0.01", "--epochs", "60"]
    whole = as_json(command(*args, "--output", "whole", "--format", "json", cwd=tmp_path))
    program = [sys.executable, "-c", "from numbacnn_cli.main import run; run()", *args, "--output", "a b"]
    process = subprocess.Popen(program, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for_line(process, "epoch 2/60")
    process.send_signal(number)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    (line,) = [line for line in error.splitlines() if "--resume" in line]
    resumed = as_json(command(*shlex.split(line)[1:], "--format", "json", cwd=tmp_path))
    assert resumed["weights_sha256"] == whole["weights_sha256"]
    assert (tmp_path / "a b" / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if text in process.stderr.readline():
            return
    raise AssertionError(f"{text!r} never came")


def test_a_new_run_moves_the_earlier_one_aside_once_it_has_an_epoch(numbacnn: Run, trained: Path, tmp_path: Path) -> None:
    args = ("train", "--model", trained / "net.toml", *SMALL, "--epochs", 1, "--output", "o")
    as_json(numbacnn(*args, "--format", "json"))
    first = (tmp_path / "o" / "model.safetensors").read_bytes()
    check_error(numbacnn(*args, "--learning-rate", 1e30, "--optimizer", "sgd"), 1, "the loss is", "Try --learning-rate")
    assert (tmp_path / "o" / "model.safetensors").read_bytes() == first, "a run that diverged has cost nothing"
    as_json(numbacnn(*args, "--seed", 1, "--format", "json"))
    assert (tmp_path / "o" / "previous" / "model.safetensors").read_bytes() == first
    assert (tmp_path / "o" / "model.safetensors").read_bytes() != first


def start(*args: object, cwd: Path) -> "subprocess.Popen[str]":
    program = [sys.executable, "-c", "from numbacnn_cli.main import run; run()", *map(str, args)]
    return subprocess.Popen(program, cwd=cwd, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_run_killed_before_its_first_epoch_is_resumed_and_not_the_finished_one_before_it(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "out", tmp_path / "out")
    args = ("train", "--model", trained / "net.toml", *SMALL, "--epochs", 2, "--seed", 9, "--format", "json")
    process = start(*args, "--output", "out", cwd=tmp_path)
    while not (tmp_path / "out" / "unfinished.safetensors").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (trained / "out" / "model.safetensors").read_bytes()
    done = command("train", "--resume", "--output", "out", "--format", "json", cwd=tmp_path)
    assert "going on with unfinished.safetensors, the run begun last" in done.stderr
    resumed, whole = as_json(done), as_json(command(*args, "--output", "whole", cwd=tmp_path))
    assert resumed["seed"] == 9  # type: ignore[index]
    assert resumed["weights_sha256"] == whole["weights_sha256"]  # type: ignore[index]
    for name in ("model.safetensors", "history.jsonl", "config.toml", "checkpoint.safetensors"):
        assert (tmp_path / "out" / "previous" / name).read_bytes() == (trained / "out" / name).read_bytes()


def test_a_run_killed_in_its_first_epoch_goes_on_from_a_checkpoint_within_it(trained: Path, tmp_path: Path) -> None:
    args = (
        "train",
        "--model",
        trained / "net.toml",
        "--dataset",
        "digits",
        "--test-limit",
        100,
        "--epochs",
        1,
        "--format",
        "json",
    )
    process = start(*args, "--batch-size", 10, "--checkpoint-every", 0.1, "--output", "out", cwd=tmp_path)
    checkpoint, steps = tmp_path / "out" / "checkpoint.safetensors", 0
    while steps == 0:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
        if checkpoint.exists():
            steps = load_checkpoint(checkpoint).state["counters"]["step"]
    process.kill()
    process.communicate()
    done = command("train", "--resume", "--output", "out", "--format", "json", cwd=tmp_path)
    assert "after epoch 0, step 0" not in done.stderr
    resumed, whole = as_json(done), as_json(command(*args, "--batch-size", 10, "--output", "whole", cwd=tmp_path))
    assert resumed["weights_sha256"] == whole["weights_sha256"]  # type: ignore[index]


def test_a_second_training_into_the_same_folder_is_refused_until_the_first_has_ended(trained: Path, tmp_path: Path) -> None:
    args = ("train", "--model", trained / "net.toml", *SMALL, "--output", "out")
    process = start(*args, "--epochs", 5000, cwd=tmp_path)
    wait_for_line(process, "epoch 1/5000")
    check_error(command(*args, "--epochs", 1, cwd=tmp_path), 1, "another training is writing to this folder", "--output")
    check_error(command("train", "--resume", "--output", "out", cwd=tmp_path), 1, "another training is writing to this folder")
    assert process.poll() is None
    process.kill()
    process.communicate()
    assert command(*args, "--epochs", 1, cwd=tmp_path).returncode == 0, "a killed process holds nothing"


def test_resuming_a_finished_run_says_so_and_claims_no_file_that_is_not_there(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "out", tmp_path / "out")
    model = tmp_path / "out" / "model.safetensors"
    before = model.read_bytes()
    model.unlink()
    done = command("train", "--resume", "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "has all of its 2 epochs already. Add --epochs N to train for more" in done.stderr
    assert f"in place: {Path('out', 'model.safetensors')}" in done.stdout
    assert model.read_bytes() == before


def test_a_run_that_fails_before_its_first_step_is_not_what_is_resumed(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "out", tmp_path / "out")
    check_error(command("train", "--model", "xo", *SMALL, "--output", "out", cwd=tmp_path), 1, "takes images of shape")
    assert as_json(command("train", "--resume", "--output", "out", "--format", "json", cwd=tmp_path))["model"] == "net"  # type: ignore[index]


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file sizes are a Unix matter")
def test_a_run_that_met_a_full_disk_in_its_first_epoch_is_the_one_that_is_resumed(trained: Path, tmp_path: Path) -> None:
    import resource

    shutil.copytree(trained / "out", tmp_path / "out")
    args = ("train", "--model", str(trained / "net.toml"), *map(str, SMALL), "--epochs", "2", "--seed", "9", "--output", "out")
    done = subprocess.run(
        [sys.executable, "-c", "from numbacnn_cli.main import run; run()", *args], cwd=tmp_path, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000)),
    )  # fmt: skip
    check_error(done, 1, "cannot be written")
    resumed = as_json(command("train", "--resume", "--output", "out", "--format", "json", cwd=tmp_path))
    assert (resumed["seed"], resumed["epochs"]) == (9, 2)  # type: ignore[index]


@pytest.mark.usefixtures("heeded_signals")
def test_ctrl_c_before_the_first_step_says_how_to_go_on(trained: Path, tmp_path: Path) -> None:
    process = start("train", "--model", trained / "net.toml", *SMALL, "--output", "out", cwd=tmp_path)
    while not (tmp_path / "out" / "checkpoint.safetensors").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "numbacnn train --resume --output out" in error


def test_a_folder_whose_name_ends_in_a_space_is_the_one_trained_last(trained: Path, tmp_path: Path) -> None:
    for seed, output in enumerate(("q", "q ")):
        args = ("train", "--model", trained / "net.toml", *SMALL, "--epochs", 1, "--seed", seed, "--output", output)
        assert command(*args, cwd=tmp_path).returncode == 0
    assert as_json(command("evaluate", "--test-limit", 10, "--format", "json", cwd=tmp_path))["model"].endswith(
        "q /model.safetensors"
    )  # type: ignore[index]


def test_training_goes_on_from_a_trained_network(numbacnn: Run, trained: Path) -> None:
    report = as_json(
        numbacnn("train", "--model", trained / "out" / "model.safetensors", *SMALL, "--epochs", 1, "--format", "json")
    )
    before = json.loads((trained / "out" / "history.jsonl").read_text().splitlines()[0])
    assert report["loss"] < before["loss"]


# --- evaluate and predict ---------------------------------------------------------------------------------------------------------


def test_evaluate_counts_every_test_image(trained: Path) -> None:
    report = as_json(command("evaluate", "--dataset", "digits", "--test-limit", 200, "--format", "json", cwd=trained))
    history = [json.loads(line) for line in (trained / "out" / "history.jsonl").read_text().splitlines()]
    assert sum(map(sum, report["confusion"])) == report["images"] == 200
    assert report["accuracy"] == pytest.approx(history[-1]["test_accuracy"])
    assert report["loss"] == pytest.approx(history[-1]["test_loss"])
    text = command("evaluate", "--dataset", "digits", "--test-limit", 200, cwd=trained).stdout
    assert "precision" in text
    assert "true \\ predicted" in text


def test_predict_shows_label_shares_steps_and_the_picture_it_saw(trained: Path) -> None:
    draw_one(trained / "one.png")
    done = command("predict", "one.png", "--top", 2, cwd=trained)
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"one\.png: \d(  \(unsure: [^)]+\))?", lines[0])
    assert re.fullmatch(r"  \d \d+\.\d\d%, \d \d+\.\d\d%", lines[1])
    assert "inverted" in lines[2]
    picture = lines[3:17]
    assert len(picture) == 14
    assert sum(line.count("█") + line.count("▓") for line in picture) >= 8


def test_predict_on_a_folder_of_ten_printed_171_lines(trained: Path, tmp_path: Path) -> None:
    for name in "abc":
        draw_one(tmp_path / f"{name}.png")
    draw_one(trained / "one.png")
    label = command("predict", "one.png", cwd=trained).stdout.splitlines()[0][9]
    lines = command("predict", tmp_path, "--top", 2, cwd=trained).stdout.splitlines()
    assert len(lines) == 3
    for name, line in zip("abc", lines, strict=True):
        assert re.fullmatch(
            rf"{re.escape(str(tmp_path / name))}\.png: {label} \d+\.\d\d%, \d \d+\.\d\d%(  \(unsure: [^)]+\))?", line
        )
    shown = command("predict", tmp_path, "--show", cwd=trained).stdout
    assert shown.count("inverted") == 3
    assert sum(line.count("█") + line.count("▓") for line in shown.splitlines()) >= 24


def test_predict_as_json_keeps_the_order_and_a_bad_file_does_not_stop_the_others(trained: Path) -> None:
    draw_one(trained / "one.png")
    (trained / "bad.png").write_text("no picture")
    done = command("predict", "bad.png", "one.png", "--format", "json", cwd=trained)
    assert done.returncode == 1
    bad, good = json.loads(done.stdout)
    assert (bad["file"], good["file"]) == ("bad.png", "one.png")
    assert "bad.png" in bad["error"]
    assert len(good["probabilities"]) == 10
    assert sum(good["probabilities"]) == pytest.approx(1)
    assert good["probability"] == max(good["probabilities"]) == good["probabilities"][good["label"]]


def test_predict_reads_folders_and_stdin(trained: Path, tmp_path: Path) -> None:
    draw_one(tmp_path / "b.png")
    draw_one(tmp_path / "a.PNG")
    (tmp_path / "notes.txt").write_text("not a picture")
    rows = as_json(command("predict", tmp_path, "--format", "json", cwd=trained))
    assert [Path(row["file"]).name for row in rows] == ["a.PNG", "b.png"]
    program = [sys.executable, "-c", "from numbacnn_cli.main import run; run()", "predict", "-", "--format", "json"]
    done = subprocess.run(program, cwd=trained, input=(tmp_path / "b.png").read_bytes(), capture_output=True)
    assert json.loads(done.stdout)[0]["label"] == rows[1]["label"]


def test_samples_are_ten_pictures_that_can_be_read(trained: Path, tmp_path: Path) -> None:
    as_json(command("samples", tmp_path / "s", "--format", "json", cwd=trained))
    rows = as_json(command("predict", tmp_path / "s", "--format", "json", cwd=trained))
    assert [Path(row["file"]).name[0] for row in rows] == list("0123456789")


def test_the_samples_in_the_repository_are_those_the_command_draws(trained: Path, tmp_path: Path) -> None:
    as_json(command("samples", tmp_path / "s", "--format", "json", cwd=trained))
    kept = ROOT / "data" / "samples"
    drawn = sorted((tmp_path / "s").iterdir())
    assert [p.name for p in drawn] == sorted(p.name for p in kept.iterdir())
    for path in drawn:
        with Image.open(path) as a, Image.open(kept / path.name) as b:
            assert (a.mode, a.size, a.tobytes()) == (b.mode, b.size, b.tobytes()), path.name


# --- bad input --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        ["train", "--epochs", "0"], ["train", "--learning-rate", "nan"], ["train", "--learning-rate", "-1"],
        ["train", "--learning-rate", "x"],
        ["train", "--learning-rate", "inf"], ["train", "--batch-size", "0"], ["train", "--threads", "0"], ["train", "--dataset", "mnits"],
        ["train", "--device", "tpu"], ["train", "--epohcs", "3"], ["trian"], ["predict"], ["shapes", "cnn", "--batch-size", "0"],
        ["train", "--validation", "1"], ["train", "--seed", "-1"], ["train", "--schedule", "step"], ["evaluate", "--test-limit", "-3"],
    ],
)  # fmt: skip
def test_usage_errors_exit_with_two_and_say_what_is_wrong(numbacnn: Run, args: list[str], tmp_path: Path) -> None:
    done = numbacnn(*args)
    check_error(done, 2, "Error:")
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == [], "nothing was written"


def test_a_mistyped_option_or_command_is_guessed(numbacnn: Run) -> None:
    assert "--epochs" in numbacnn("train", "--epohcs", 3).stderr
    assert "train" in numbacnn("trian").stderr


def test_cuda_without_a_gpu_is_an_error_and_never_a_fall_back(numbacnn: Run) -> None:
    check_error(numbacnn("train", *SMALL, "--device", "cuda"), 1, "--device cuda", "--device cpu")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("filters = 4", "filter = 4", "unknown key 'filter'"),
        ("kernel_size = 5", "kernel_size = 50", "conv1: a window of 50 does not fit 28 cells"),
    ],
)  # fmt: skip
def test_a_wrong_model_file_costs_one_message(numbacnn: Run, tmp_path: Path, old: str, new: str, expected: str) -> None:
    (tmp_path / "net.toml").write_text(NET.replace(old, new, 1))
    for name in ("shapes", "train"):
        args = ["net.toml"] if name == "shapes" else ["--model", "net.toml", *SMALL]
        check_error(numbacnn(name, *args), 1, expected, "net.toml")


def test_no_data_and_no_network_says_what_to_do(numbacnn: Run) -> None:
    done = numbacnn(
        "train", "--data-dir", "nowhere", env={"NUMBACNN_MNIST_MIRRORS": "http://127.0.0.1:9/a/ http://127.0.0.1:9/b/"}
    )
    check_error(done, 1, "http://127.0.0.1:9/a/", "http://127.0.0.1:9/b/", "--data-dir", "--dataset digits")


def test_a_network_for_other_images_is_refused(numbacnn: Run) -> None:
    check_error(numbacnn("train", "--model", "xo", *SMALL), 1, "xo: takes images of shape (9, 9, 1)", "digits are (28, 28, 1)")


def test_a_folder_that_cannot_be_written_to_is_noticed_before_training(numbacnn: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = numbacnn("train", *SMALL, "--output", "file")
    check_error(done, 1, "file: cannot be written to", "--output")
    assert "epoch" not in done.stderr
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_noticed_before_training(numbacnn: Run, tmp_path: Path) -> None:
    (tmp_path / "o").mkdir(mode=0o500)
    check_error(numbacnn("train", *SMALL, "--output", "o"), 1, "cannot be written to")


def test_nothing_trained_yet_says_so(numbacnn: Run, tmp_path: Path) -> None:
    draw_one(tmp_path / "one.png")
    for args in (["evaluate", "--dataset", "digits"], ["predict", "one.png"]):
        check_error(numbacnn(*args), 1, "no network has been trained", "numbacnn train")


def test_resuming_what_was_never_started_says_so(numbacnn: Run) -> None:
    check_error(numbacnn("train", *SMALL, "--resume"), 1, "there is no run to resume")


def test_resuming_with_other_settings_is_refused(numbacnn: Run, trained: Path) -> None:
    done = command("train", "--resume", "--output", "out", "--seed", 7, cwd=trained)
    check_error(done, 1, "started with --seed 0, got 7")
    done = command("train", "--resume", "--output", "out", "--augment", cwd=trained)
    check_error(done, 1, "started with --augment False, got True")
    done = command("train", "--resume", "--output", "out", "--model", "net.toml", "--train-limit", 10, cwd=trained)
    check_error(done, 1, "--train-limit 1500, got 10")


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", bytes(1000)])
def test_a_text_named_png_is_one_line(trained: Path, content: bytes) -> None:
    (trained / "x.png").write_bytes(content)
    done = command("predict", "x.png", cwd=trained)
    check_error(done, 1, "x.png")
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_blank_picture_is_an_error_and_not_a_digit(trained: Path) -> None:
    Image.new("L", (50, 50), 200).save(trained / "blank.png")
    check_error(command("predict", "blank.png", cwd=trained), 1, "blank.png")


def test_an_empty_folder_and_a_missing_file_are_named(trained: Path) -> None:
    (trained / "empty").mkdir(exist_ok=True)
    draw_one(trained / "one.png")
    done = command("predict", "empty", "one.png", cwd=trained)
    check_error(done, 1, "empty: expected a folder of files that end in")
    assert done.stdout.startswith("one.png: ")
    check_error(command("predict", "none.png", cwd=trained), 1, "none.png")


@pytest.mark.parametrize("name", ["net.toml", "none.safetensors", "out/checkpoint.safetensors", "out/history.jsonl"])
def test_what_is_no_trained_network_is_named(trained: Path, name: str) -> None:
    draw_one(trained / "one.png")
    check_error(command("predict", "one.png", "--model", name, cwd=trained), 1, Path(name).name)
    check_error(command("evaluate", "--dataset", "digits", "--model", name, cwd=trained), 1, Path(name).name)


def test_control_characters_in_names_do_not_reach_the_terminal(trained: Path) -> None:
    name = "a\x1b[31m.png"
    (trained / name).write_text("x")
    done = command("predict", name, cwd=trained)
    assert done.returncode == 1
    assert "\x1b" not in done.stderr


def test_debug_shows_the_traceback(numbacnn: Run) -> None:
    assert "Traceback" in numbacnn("train", "--model", "nonesuch.toml", "--debug").stderr
    assert "Traceback" not in numbacnn("train", "--model", "nonesuch.toml").stderr


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    program = f"{sys.executable} -c 'from numbacnn_cli.main import run; run()' models | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {program}"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""


def test_output_survives_a_stream_that_knows_ascii_only(trained: Path) -> None:
    draw_one(trained / "one.png")
    program = [sys.executable, "-c", "from numbacnn_cli.main import run; run()"]
    env = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    for args in (["predict", "one.png"], ["shapes", "cnn"], ["evaluate", "--dataset", "digits", "--test-limit", "50"]):
        done = subprocess.run([*program, *args], cwd=trained, capture_output=True, env=env)
        assert done.returncode == 0, done.stderr
        done.stdout.decode("ascii")


@pytest.mark.parametrize(
    ("given", "found"), [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")], ids=str
)
def test_idle_threads_sleep_soon_unless_the_user_says_otherwise(given: dict[str, str], found: str) -> None:
    program = "import os; from numbacnn.backends import get_ops; get_ops('cpu'); print(os.environ.get('GOMP_SPINCOUNT'))"
    environment = {name: value for name, value in os.environ.items() if name not in WAITING}
    done = subprocess.run([sys.executable, "-c", program], env=environment | given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found
