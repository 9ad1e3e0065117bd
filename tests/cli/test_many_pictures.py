"""``predict`` over many pictures: processes that read them, the order of the answers, and the file that keeps them."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Done, run_here
from numbacnn_cli import blas
from numbacnn_cli.answering import DEFAULT_WORKERS, MANY, PIECE, Answering
from numbacnn_cli.in_order import AHEAD, WINDOW, LostError, in_order
from numbacnn_cli.workers import ENVIRONMENT
from PIL import Image, ImageDraw
from repository import benchmark

from numbacnn.checkpoint import TrainedNetwork, save_network
from numbacnn.initializers import initial_parameters
from numbacnn.models import PRESETS

COMMAND = [sys.executable, "-c", "from numbacnn_cli.entry import run; run()"]
COUNT = 2 * PIECE + 5
posix = pytest.mark.skipif(os.name != "posix" or not Path("/proc/self/task").exists(), reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two networks, ``one`` and ``two``, and pictures, one of them no picture."""
    folder = tmp_path_factory.mktemp("many")
    graph = PRESETS["small"].graph
    for seed, name in enumerate(("one", "two")):
        network = TrainedNetwork(graph, initial_parameters(graph, seed), tuple("0123456789"), {})
        (folder / name).mkdir()
        save_network(folder / name / "model.safetensors", network)
    (folder / "pictures").mkdir()
    for index in range(COUNT):
        draw(folder / "pictures" / f"{index}.png", index)
    (folder / "pictures" / "7.png").write_text("no picture")
    return folder


@pytest.fixture(autouse=True)
def _in_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    yield
    for file in folder.glob("*.jsonl"):
        file.unlink()


def draw(path: Path, index: int) -> None:
    image = Image.new("L", (90, 90), 255)
    angle = index * 0.1
    ImageDraw.Draw(image).line(
        (45 - 30 * math.sin(angle), 45 - 30 * math.cos(angle), 45 + 30 * math.sin(angle), 45 + 30 * math.cos(angle)), 0, 7
    )
    image.save(path)


def predict(*args: object, model: str = "one") -> Done:
    return run_here("predict", *args, "--model", model, "--threads", 1)


def lines(file: str = "out.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(file).read_text(encoding="ascii").splitlines()]


def test_the_number_of_processes_changes_no_answer_and_a_bad_picture_stays_in_its_place() -> None:
    alone, others = (predict("pictures", "--workers", count, "--format", "json") for count in (1, 3))
    assert (others.code, others.out) == (alone.code, alone.out)
    rows = json.loads(alone.out)
    assert [row["file"] for row in rows] == [str(Path("pictures") / f"{index}.png") for index in range(COUNT)]
    assert [index for index, row in enumerate(rows) if "error" in row] == [7]
    assert alone.code == 1
    single = json.loads(predict(rows[-1]["file"], "--format", "json").out)
    assert single == rows[-1:]
    text = predict("pictures", "--workers", 2)
    assert len(text.out.splitlines()) == COUNT - 1
    assert text.err == f"Error: {rows[7]['error']}\n"


def test_lines_of_json_are_those_of_the_file_and_say_what_they_depend_on() -> None:
    printed = predict("pictures", "--format", "jsonl", "--workers", 2)
    assert printed.code == 1
    assert predict("pictures", "--output", "out.jsonl").code == 1
    assert Path("out.jsonl").read_text(encoding="ascii") == printed.out
    about = {"weights_sha256", "pictures", "invert"}
    whole = [{name: value for name, value in row.items() if name not in about} for row in lines()]
    assert whole == json.loads(predict("pictures", "--format", "json").out)
    assert all(about <= row.keys() and row["pictures"] == "digits" and row["invert"] == "auto" for row in lines())


def test_pictures_that_the_file_has_are_left_out_and_a_half_written_line_is_cut_off() -> None:
    predict("pictures", "--output", "whole.jsonl")
    whole = Path("whole.jsonl").read_bytes().splitlines(keepends=True)
    good = b"".join(line for line in whole if b'"error"' not in line)
    some = b"".join(whole[:5])
    for half in (b"", whole[5][:200], whole[5][:-1], whole[5][:3]):
        Path("out.jsonl").write_bytes(some + half)
        done = predict("pictures", "--output", "out.jsonl", "--format", "json")
        found = json.loads(done.out)
        assert (done.code, found["written"], found["errors"], found["there"]) == (1, COUNT - 5, 1, 5)
        assert Path("out.jsonl").read_bytes() == b"".join(whole)
    names = [row["file"] for row in lines() if "error" not in row]
    Path("out.jsonl").write_bytes(good)
    again = predict(*names, names[0], "--output", "out.jsonl")
    assert (again.code, again.out) == (0, f"wrote 0 answers to out.jsonl; {COUNT - 1} were there already\n")
    assert Path("out.jsonl").read_bytes() == good


def test_an_error_is_tried_again_and_no_other_line_changes() -> None:
    paths = [Path("later.png"), Path("never.png"), Path("pictures") / "3.png"]
    first = predict(*paths, "--output", "out.jsonl")
    assert first.code == 1
    assert first.err.count("got a name that does not exist") == 2
    draw(paths[0], 3)
    second = predict(*paths[::2], "--output", "out.jsonl")
    paths[0].unlink()
    assert second.code == 0, second.err
    assert [(row["file"], "error" in row) for row in lines()] == [
        ("never.png", True), (str(paths[2]), False), ("later.png", False)
    ]  # fmt: skip
    assert lines()[1]["probabilities"] == lines()[2]["probabilities"]


def test_a_file_of_another_network_of_other_options_or_of_the_users_own_is_refused_and_stays() -> None:
    predict("pictures/0.png", "--output", "out.jsonl")
    before = Path("out.jsonl").read_bytes()
    for args, model, message in (
        ((), "two", "line 1: expected answers with weights_sha256"),
        (("--invert", "yes"), "one", "line 1: expected answers with invert 'yes', got one with 'auto'"),
        (("--pictures", "photographs"), "one", "line 1: expected answers with pictures 'photographs'"),
    ):
        refused = predict("pictures", "--output", "out.jsonl", *args, model=model)
        assert refused.code == 1
        assert message in refused.err
        assert "Give another file with --output" in refused.err
        assert Path("out.jsonl").read_bytes() == before
    for own in (b"mine", b"mine\n", b'{"file": 3}\n', before + b"mine", before + b"{}\n", b"\n"):
        Path("own.jsonl").write_bytes(own)
        refused = predict("pictures", "--output", "own.jsonl")
        assert refused.code == 1
        assert "expected an answer of 'numbacnn predict --output'" in refused.err
        assert Path("own.jsonl").read_bytes() == own


def test_nothing_is_written_where_the_command_cannot_begin(folder: Path) -> None:
    assert predict("pictures", "--output", "none/out.jsonl").code == 1
    assert predict("pictures", "--output", "out.json").code == 2
    assert predict("pictures", "--output", "out.jsonl", "--top", 2).code == 2
    assert predict("pictures", "--output", "out.jsonl", "--format", "jsonl").code == 2
    assert predict("-", "--output", "out.jsonl").code == 2
    assert predict("pictures", "--output", "out.jsonl", "--workers", 0).code == 2
    if not (Path("/dev/nvidia0").exists()):
        assert predict("pictures", "--output", "out.jsonl", "--device", "cuda").code == 1
    assert not Path("out.jsonl").exists()


def test_a_network_without_an_answer_names_the_picture(folder: Path) -> None:
    graph = PRESETS["small"].graph
    large = {name: np.full_like(value, 1e30) for name, value in initial_parameters(graph, 0).items()}
    (folder / "large").mkdir()
    save_network(folder / "large" / "model.safetensors", TrainedNetwork(graph, large, tuple("0123456789"), {}))
    failed = predict("pictures/7.png", "pictures/3.png", "--format", "json", model="large")
    assert (failed.code, failed.out) == (1, "")
    assert f"Error: {Path('pictures/3.png')}: small: expected finite logits" in failed.err


@posix
def test_a_second_command_does_not_write_to_the_same_file() -> None:
    from numbacnn_cli.answers_file import AnswersFile

    with AnswersFile(Path("out.jsonl"), {}):
        refused = predict("pictures", "--output", "out.jsonl")
    assert refused.code == 1
    assert "another process writes to it" in refused.err


@posix
@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL", "SIGKILL of a worker"])
def test_a_command_that_is_stopped_leaves_no_process_and_the_same_command_goes_on(name: str, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    draw(tmp_path / "one.png", 0)
    for index in range(3000):
        os.link(tmp_path / "one.png", tmp_path / "pictures" / f"{index}.png")
    file, model = tmp_path / "out.jsonl", Path("one").absolute()
    args = ["predict", "pictures", "--model", model, "--workers", "2", "--threads", "1", "--output", "out.jsonl"]
    process = subprocess.Popen(
        [*COMMAND, *map(str, args)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: file.exists() and file.stat().st_size > 0)
    workers = children(process.pid)
    assert len(workers) >= 2
    if name == "SIGINT":
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    elif name == "SIGKILL of a worker":
        os.kill(next(pid for pid in workers if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()), signal.SIGKILL)
    else:
        process.send_signal(signal.Signals[name])
    out, said = process.communicate(timeout=60)
    assert out == ""
    if name == "SIGKILL of a worker":
        assert process.returncode == 1
        assert said.count("Error: ") == 1
        assert "the process that read them was killed" in said
    elif name == "SIGKILL":
        assert (process.returncode, said) == (-9, "")
    else:
        assert process.returncode == 128 + signal.Signals[name]
        answered = file.read_text(encoding="ascii").count("\n")
        assert said == f"stopped: {answered:,} of 3,000 pictures answered; nothing is lost. The same command goes on\n"
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    written = file.read_bytes()
    count = written.count(b"\n")
    assert 0 < count < 3000
    more = [f"pictures/{index}.png" for index in range(count + 3)]
    done = subprocess.run([*COMMAND, *args[:1], *more, *map(str, args[2:])], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["file"] for line in file.read_bytes().splitlines()] == more
    assert file.read_bytes().startswith(written[: written.rindex(b"\n") + 1])


def children(pid: int) -> list[int]:
    return [int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_few_pictures_are_read_by_this_process_and_many_by_one_a_thread() -> None:
    def processes(pictures: int, **choices: Any) -> int:
        given = {"path": None, "network": None, "reading": None, "device": "cpu", "exact_conv": False, "precision": "float32"}
        return Answering(**given | {"threads": None, "workers": None} | choices)._processes(pictures)  # type: ignore[arg-type]

    assert processes(MANY - 1, threads=4) == 1
    assert processes(MANY, threads=3) == 3
    assert processes(10_000, threads=64) == DEFAULT_WORKERS
    assert processes(10_000, threads=1) == 1
    assert processes(PIECE + 1, workers=9) == 2
    assert processes(1, workers=2) == 1


def test_results_come_in_the_order_of_the_pieces_and_few_are_taken_before_they_are_asked_for() -> None:
    taken = []

    def pieces() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield 3000 if number % 7 == 0 else number

    with in_order(math.factorial, pieces(), 2) as results:
        assert next(results) == math.factorial(3000)
        time.sleep(0.3)
        assert len(taken) <= 2 * WINDOW + 1
        assert list(results) == [math.factorial(3000 if number % 7 == 0 else number) for number in range(1, 100)]
    assert AHEAD < WINDOW
    with in_order(abs, [], 2) as results:
        assert list(results) == []


def test_what_a_function_raises_is_raised_in_its_results_place() -> None:
    with in_order(math.sqrt, [4, 9, -1, 16], 2) as results:
        assert [next(results), next(results)] == [2, 3]
        with pytest.raises(ValueError, match="domain"):
            next(results)
    with in_order(os._exit, [3], 2) as results, pytest.raises(LostError) as lost:
        next(results)
    assert lost.value.piece == 3


def test_processes_have_an_environment_of_their_own_which_the_user_may_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "123")
    names = [*ENVIRONMENT, "PATH"]
    with in_order(os.getenv, names, 2) as results:
        found = dict(zip(names, results, strict=True))
    assert found == {**ENVIRONMENT, "MALLOC_TRIM_THRESHOLD_": "123", "PATH": os.environ["PATH"]}
    assert not (ENVIRONMENT.keys() - {"MALLOC_TRIM_THRESHOLD_"}) & os.environ.keys()


def test_products_take_one_thread_for_a_while_and_as_many_as_before_afterwards() -> None:
    get, _ = blas._functions()
    before = get()
    with blas.one_thread():
        assert get() == 1
        assert np.array_equal(np.ones((300, 300)) @ np.ones((300, 300)), np.full((300, 300), 300))
    assert get() == before


@posix
def test_the_benchmark_draws_pictures_and_takes_the_time_of_a_command(tmp_path: Path) -> None:
    many = benchmark("many_pictures")
    many.draw(tmp_path, 20)
    turn = many.predict(Path("one").absolute(), tmp_path, 2)
    assert min(turn.seconds, turn.memory) > 0
    assert [json.loads(line)["label"] in range(10) for line in turn.answers.splitlines()] == [True] * 20
