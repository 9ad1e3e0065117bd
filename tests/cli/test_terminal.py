"""What reaches the terminal: tables at every width, hostile names, colours, readers that leave, full disks, odd encodings."""

import io
import json
import os
import re
import struct
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numbacnn_cli.console import Printer, folded
from numbacnn_cli.layout import Table
from numbacnn_cli.main import COMMANDS
from numbacnn_cli.tables import class_table, confusion_table, shapes_table, table, text
from repository import ROOT
from rich.cells import cell_len
from rich.console import Console
from safetensors import safe_open

from numbacnn.checkpoint import TrainedNetwork, save_network
from numbacnn.metrics import Evaluation, evaluate
from numbacnn.models import PRESETS
from numbacnn.quoting import printable
from numbacnn.summary import summarise

Run = Callable[..., subprocess.CompletedProcess[str]]

PROGRAM = [sys.executable, "-c", "from numbacnn_cli.main import run; run()"]
DIGITS = tuple("0123456789")
TRAINED_ON_DIGITS = {"dataset": "digits"}
FULL = Path("/dev/full")
NAME = "a_layer_whose_name_is_longer_than_any_terminal_is_wide_and_yet_has_to_be_read_from_its_first_letter_to_its_last_one"
HOSTILE = (
    "escape\x1b[31m", "bell\x07", "line\nError: forged", "return\rforged", "c1\x9b31m", "bidi\u202egnp.exe", "half\udc9b", "tab\t",
    "del\x7f", "isolate\u2066x",
)  # fmt: skip

needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is POSIX's")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model.safetensors``, a network of one layer that says it was trained on digits, and ``one.png``."""
    folder = tmp_path_factory.mktemp("terminal")
    write_network(folder / "model.safetensors")
    subprocess.run([*PROGRAM, "samples", "samples"], cwd=folder, check=True, capture_output=True)
    (folder / "samples" / "3-blue-pen.png").rename(folder / "one.png")
    return folder


def write_network(path: Path, class_names: tuple[str, ...] = DIGITS, summary: object = None) -> None:
    graph = PRESETS["softmax"].graph
    zeros = {name: np.zeros(spec.shape, np.float32) for name, spec in graph.parameters.items()}
    save_network(path, TrainedNetwork(graph, zeros, class_names, TRAINED_ON_DIGITS if summary is None else summary))  # type: ignore[arg-type]


def environment(**changed: str) -> dict[str, str]:
    ours = ("NUMBACNN_", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING", "CI")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"PYTHONUTF8": "1", "TERM": "xterm-256color"} | changed


def piped(*args: object, cwd: Path, **changed: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*PROGRAM, *map(str, args)], cwd=cwd, env=environment(**changed), capture_output=True, timeout=600, check=False
    )


def printed(*args: object, cwd: Path, **changed: str) -> str:
    """What a command that must succeed writes to a pipe."""
    done = piped(*args, cwd=cwd, **changed)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def in_terminal(*args: object, width: int, cwd: Path, **changed: str) -> str:
    """What a command that must succeed writes to a terminal of a given width, stdout and stderr."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    process = subprocess.Popen(
        [*PROGRAM, *map(str, args)], cwd=cwd, env=environment(**changed), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    received = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:  # Linux's word for a terminal whose other side has been closed
            break
        if not more:
            break
        received += more
    os.close(ours)
    assert process.wait(timeout=60) == 0, received
    return received.decode(errors="replace").replace("\r\n", "\n")


def without_styles(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


# --- tables at every width ------------------------------------------------------------------------------------------------------

WIDTHS = (60, 80, 120)


def check_lines(shown: str, width: int) -> list[str]:
    lines = shown.splitlines()
    assert "…" not in shown
    assert [line for line in lines if cell_len(line) > width] == []
    return lines


@needs_pty
@pytest.mark.parametrize("width", WIDTHS)
def test_models_prints_every_name_and_number_whole_at_any_width(folder: Path, width: int) -> None:
    lines = check_lines(without_styles(in_terminal("models", width=width, cwd=folder)), width)
    for name, preset in PRESETS.items():
        (row,) = [line for line in lines if line.split()[:1] == [name]]
        assert f"{summarise(preset.graph).parameters:,}" in row.split()


@needs_pty
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("preset", ["cnn", "accurate", "residual"])
def test_shapes_cuts_no_number_at_any_width(folder: Path, width: int, preset: str) -> None:
    lines = check_lines(without_styles(in_terminal("shapes", preset, width=width, cwd=folder)), width)
    summary = summarise(PRESETS[preset].graph)
    titles = re.split(r"\s{2,}", lines[0])
    assert {"layer", "output", "parameters"} <= set(titles)
    for line, row in zip(lines[2:], summary.layers, strict=False):
        cells = re.split(r"\s{2,}", line)
        assert len(cells) == len(titles)
        found = dict(zip(titles, cells, strict=True))
        assert found["layer"] == row.name
        assert found["output"] == " x ".join(map(str, row.output_shape))
        assert found["parameters"] == f"{row.parameters:,}"
        assert found.get("MACs", f"{row.macs:,}") == f"{row.macs:,}"
    missing = {column.title for column in shapes_table(summary).columns} - set(titles)
    note = re.search(r"have no room for: (.*?)\s+MACs are", "\n".join(lines), re.DOTALL)
    assert bool(note) == bool(missing), "what is left out is said"
    assert missing == set(re.split(r",\s+", note[1]) if note else [])


@needs_pty
@pytest.mark.parametrize("width", WIDTHS)
def test_a_long_layer_name_folds_and_is_whole(tmp_path: Path, width: int) -> None:
    (tmp_path / "net.toml").write_text(
        f'input_shape = [28, 28, 1]\n[[layers]]\ntype = "Flatten"\n[[layers]]\ntype = "Dense"\nname = "{NAME}"\nunits = 123456\n'
    )
    for args in (["shapes", "net.toml"], ["shapes", "net.toml", "--plan"]):
        lines = check_lines(without_styles(in_terminal(*args, width=width, cwd=tmp_path)), width)
        words = [line.split()[0] for line in lines if line.strip()]
        assert NAME in "".join(words)
    assert "96,912,960" in printed("shapes", "net.toml", cwd=tmp_path, COLUMNS=str(width))


@pytest.mark.parametrize("args", [("models",), ("shapes", "cnn"), ("shapes", "cnn", "--plan", "--batch-size", "100")])
def test_a_pipe_has_no_width_and_no_trailing_spaces(folder: Path, args: tuple[str, ...]) -> None:
    shown = printed(*args, cwd=folder)
    assert [line for line in shown.splitlines() if line != line.rstrip()] == []
    assert "have no room for" not in shown
    if args == ("models",):
        rows = shown.splitlines()[2:]
        assert len(rows) == len(PRESETS), "nothing is folded"


def test_a_long_name_in_a_pipe_is_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text(
        f'input_shape = [28, 28, 1]\n[[layers]]\ntype = "Flatten"\n[[layers]]\ntype = "Dense"\nname = "{NAME * 9}"\nunits = 10\n'
    )
    assert f"\n{NAME * 9}  Dense" in printed("shapes", "net.toml", cwd=tmp_path)


@needs_pty
@pytest.mark.parametrize("width", WIDTHS)
def test_columns_in_the_environment_are_the_width_in_a_pipe_and_in_a_terminal(folder: Path, width: int) -> None:
    for command in ("models", "shapes"):
        expected = without_styles(in_terminal(command, width=width, cwd=folder))
        assert printed(command, cwd=folder, COLUMNS=str(width)) == expected
        assert without_styles(in_terminal(command, width=33, cwd=folder, COLUMNS=str(width))) == expected


@pytest.mark.parametrize("nonsense", ["0", "-5", "wide", "", "²", "9" * 5000])
def test_columns_that_are_no_number_are_no_width(folder: Path, nonsense: str) -> None:
    assert printed("models", cwd=folder, COLUMNS=nonsense) == printed("models", cwd=folder)


@needs_pty
@pytest.mark.parametrize("width", WIDTHS)
def test_train_evaluate_and_warmup_fit_the_terminal(tmp_path: Path, folder: Path, width: int) -> None:
    digits = ("--dataset", "digits", "--train-limit", 200, "--test-limit", 100)
    tables = {
        ("evaluate", "--model", folder / "model.safetensors", "--test-limit", 100): r"0 +10 +10\.00% +100\.00% +18\.18%",
        (
            "train",
            "--model",
            "softmax",
            *digits,
            "--epochs",
            1,
            "--progress",
            "none",
        ): r"200 training images +\d\.\d{4} +\d+\.\d\d%",
        ("warmup", "softmax"): r"digits +\d+ +\d+\.\d",
    }
    for args, row in tables.items():
        shown = without_styles(in_terminal(*args, width=width, cwd=tmp_path))
        assert "…" not in shown
        lines = shown.splitlines()
        (last,) = [number for number, line in enumerate(lines) if re.fullmatch(row, line)]
        assert all(len(line) <= width for line in lines[: last + 1] if set(line) == {"─"})


def confused(class_names: tuple[str, ...]) -> Evaluation:
    count = len(class_names)
    labels = np.arange(1000 * count) % count
    logits = np.eye(count)[np.roll(labels, 1)]
    return evaluate(SimpleNamespace(logits=logits), labels)  # type: ignore[arg-type]


def drawn(shown: Table, width: int, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Printer(file=file, width=width, highlight=False, markup=False, emoji=False).print(shown)
    file.seek(0)
    return file.read().splitlines()


CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("names", [DIGITS, CLOTHES, tuple(f"letter {k}" for k in range(47))], ids=len)
def test_a_confusion_table_too_wide_is_printed_in_parts_and_loses_no_count(width: int, names: tuple[str, ...]) -> None:
    result = confused(names)
    lines = drawn(confusion_table(result, names), width)
    assert all(cell_len(line) <= width for line in lines)
    shown = {name: [] for name in names}  # type: ignore[var-annotated]
    for line in lines:
        for name in names:
            if line.startswith(f"{name} "):
                shown[name] += re.findall(r"\d+|·", line[len(name) :])
    for name, counts in zip(names, result.confusion, strict=True):
        assert shown[name] == [str(count) if count else "·" for count in counts.tolist()]
    heads = " ".join(" ".join(line.split()) for line in lines if not line.startswith(names))
    assert all(name in heads for name in names)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_long_class_name_folds_beside_whole_numbers(width: int) -> None:
    names = ("short", NAME, "漢字" * 60)
    result = confused(names)
    for shown in (class_table(result.per_class(names)), confusion_table(result, names)):
        lines = drawn(shown, width)
        assert all(cell_len(line) <= width for line in lines)
        starts = "".join(line.split()[0] for line in lines if line.strip())
        assert NAME in starts
        assert names[2] in starts
    counts = re.findall(r"\b1,000\b", "\n".join(drawn(class_table(result.per_class(names)), width)))
    assert len(counts) == 3


def test_a_width_that_is_too_small_for_the_numbers_cuts_none() -> None:
    rows = table("name", text("what"), "count")
    rows.add_row("abc", "some words to be folded", "1,234,567,890")
    for width in (1, 5, 12):
        lines = drawn(rows, width)
        assert "1,234,567,890" in lines[2]
        assert lines[2].startswith("abc ")


def test_headings_fold_before_a_column_is_left_out() -> None:
    rows = table("name", "kernels compiled", "seconds")
    rows.add_row("cnn", "25", "1.0")
    assert drawn(rows, 23) == ["       kernels", "name  compiled  seconds", "─" * 23, "cnn         25      1.0"]


def test_rules_and_dots_are_ascii_where_the_encoding_has_no_others() -> None:
    lines = drawn(class_table(confused(DIGITS).per_class(DIGITS)), 80, encoding="ascii")
    assert set(lines[1]) == {"-"}
    assert set(drawn(confusion_table(confused(DIGITS), DIGITS), 80, encoding="cp1252")[1]) == {"-"}


# --- colours ----------------------------------------------------------------------------------------------------------------------


@needs_pty
def test_no_color_draws_the_digit_with_characters_and_not_as_a_block(folder: Path) -> None:
    args = ("predict", "one.png", "--model", "model.safetensors")
    coloured = in_terminal(*args, width=80, cwd=folder)
    assert "▀" in coloured
    assert "\x1b[38;" in coloured
    plain = in_terminal(*args, width=100, cwd=folder, NO_COLOR="1")
    assert "▀" not in plain
    assert "\x1b[" not in plain
    assert plain == printed(*args, cwd=folder), "as it is piped"
    assert sum(map(plain.count, "▒▓█")) > 30


@needs_pty
@pytest.mark.parametrize("changed", [{"TERM": "dumb"}, {"PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"}], ids=str)
def test_a_terminal_without_greys_or_without_half_blocks_shows_the_digit(folder: Path, changed: dict[str, str]) -> None:
    shown = in_terminal("predict", "one.png", "--model", "model.safetensors", width=80, cwd=folder, **changed)
    assert "▀" not in shown
    assert sum(map(shown.count, "*#▒▓█")) > 30
    assert "?" not in shown


def test_the_second_line_of_an_indented_sentence_is_indented_as_the_first() -> None:
    console = Console(width=20)
    assert folded("     true: 9 rows of 9 pixels", 20, console) == ["     true: 9 rows of", "     9 pixels"]
    assert folded("true: 9 rows of 9 pixels", 20, console) == ["true: 9 rows of 9", "pixels"]
    assert folded(" " * 15 + "deep words", 20, console)[-1].strip() == "words"


@needs_pty
@pytest.mark.parametrize(
    "args",
    [
        ["predict", "one.png"], ["predict", "samples", "one.png"], ["doctor"], ["inspect", "one.png"],
        ["shapes", "model.safetensors", "--image", "one.png"],
        ["evaluate", "--test-limit", "20"], ["lecture", "filter", "one.png"], ["train", "--help"],
    ],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("width", [60, 80])
def test_lines_of_results_are_broken_between_words_and_pictures_fit(folder: Path, args: list[str], width: int) -> None:
    """The terminal broke them within words, and a map of a filter in every line."""
    model = ["--model", "model.safetensors"] if args[0] in ("predict", "inspect", "evaluate") else []
    shown = without_styles(in_terminal(*args, *model, width=width, cwd=folder))
    for line in shown.splitlines():
        is_example = "  numbacnn " in line  # it is there to be copied
        assert cell_len(line) <= width or " " not in line.strip() or is_example, line


def test_a_sentence_in_a_pipe_is_one_line_whatever_columns_say(folder: Path) -> None:
    """Programs read the lines of predict."""
    shown = printed("predict", "samples", "one.png", "--model", "model.safetensors", cwd=folder, COLUMNS="40")
    assert len(shown.splitlines()) == 1 + len(list((folder / "samples").iterdir()))


# --- readers that leave, full disks, closed streams --------------------------------------------------------------------------------

EVERY_COMMAND = [
    ["--help"], ["--version"], ["train", "--help"],
    ["train", "--model", "softmax", "--dataset", "digits", "--train-limit", "100", "--test-limit", "100", "--epochs", "1"],
    ["evaluate", "--model", "model.safetensors", "--test-limit", "20"], ["predict", "one.png", "--model", "model.safetensors"],
    ["shapes", "cnn"], ["shapes", "cnn", "--plan"], ["models"], ["models", "--toml", "cnn"], ["samples", "again"],
    ["warmup", "softmax"], ["bench"], ["doctor"], ["export", "softmax", "softmax.npz", "--force"],
    ["lecture"], ["lecture", "verify", "--section", "filters"], ["lecture", "terms"], ["lecture", "xo"], ["lecture", "backprop"],
    ["lecture", "filter", "one.png"], ["lecture", "worksheet", "--students", "2"],
    ["inspect", "one.png", "--model", "model.safetensors"], ["shapes", "model.safetensors", "--image", "one.png"],
    ["lecture", "figure", "conv", "--output", "again.svg"],
    ["lecture", "ladder", "--models", "softmax", "--dataset", "digits", "--train-limit", "100", "--test-limit", "100", "--epochs", "1"],
    ["sweep", "--model", "softmax", "--dataset", "digits", "--train-limit", "100", "--test-limit", "100", "--epochs", "1",
     "--seeds", "1", "--output", "sweep"],
]  # fmt: skip


def test_every_command_is_tried_with_a_reader_that_leaves() -> None:
    assert {args[0] for args in EVERY_COMMAND} >= COMMANDS.keys() - {"download", "plot", "play", "import"}, (
        "these have tests of their own"
    )


def check_reader_leaves(args: list[str], cwd: Path, **changed: str) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*PROGRAM, *args], cwd=cwd, env=environment(**changed), stdout=write, stderr=subprocess.PIPE, timeout=600
    )
    os.close(write)
    assert done.returncode == 0, done.stderr
    assert b"Error" not in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("args", EVERY_COMMAND, ids=" ".join)
def test_a_reader_that_leaves_early_is_no_error(folder: Path, args: list[str]) -> None:
    check_reader_leaves(args, folder)


@pytest.mark.parametrize(
    "args", [args for args in EVERY_COMMAND if not args[-1].startswith("-") and "--toml" not in args], ids=" ".join
)
def test_a_reader_that_leaves_before_the_json_is_no_error(folder: Path, args: list[str]) -> None:
    check_reader_leaves([*args, "--format", "json"], folder)


def test_a_reader_that_leaves_download_is_no_error(mnist_folder: Path, tmp_path: Path) -> None:
    check_reader_leaves(["download", "--data-dir", str(mnist_folder)], tmp_path)


def test_a_failure_stays_one_though_the_reader_has_left(folder: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    args = ["predict", "none.png", "one.png", "--model", "model.safetensors"]
    done = subprocess.run([*PROGRAM, *args], cwd=folder, env=environment(), stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: none.png")


@needs_full
@pytest.mark.parametrize(
    "args",
    [["models"], ["models", "--format", "json"], ["models", "--toml", "cnn"], ["shapes", "cnn"], ["doctor"], ["--help"]],
    ids=" ".join,
)
def test_a_full_disk_under_stdout_is_one_line_and_exit_1(folder: Path, args: list[str]) -> None:
    with open(FULL, "w") as full:
        done = subprocess.run([*PROGRAM, *args], cwd=folder, env=environment(), stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "Error: stdout: cannot be written to: No space left on device. Make room, or send the output elsewhere"
    ]


@needs_full
@pytest.mark.parametrize(
    ("args", "code"),
    [(["foo"], 2), (["train", "--epochs", "0"], 2), (["shapes", "nonesuch"], 2), (["evaluate"], 1), (["models"], 0)],
)
def test_a_full_disk_under_stderr_changes_no_exit_code(tmp_path: Path, args: list[str], code: int) -> None:
    with open(FULL, "w") as full:
        assert (
            subprocess.run([*PROGRAM, *args], cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=full).returncode
            == code
        )


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&- <&-", 0), ("1</dev/null", 1)])
def test_streams_that_the_shell_closed_give_no_traceback(folder: Path, redirection: str, code: int) -> None:
    for command in ("models", "models --format json"):
        program = f"\"{sys.executable}\" -c 'from numbacnn_cli.main import run; run()' {command} {redirection}"
        done = subprocess.run(["sh", "-c", program], cwd=folder, env=environment(), capture_output=True)
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr


# --- encodings --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "utf-16", "cp037", "shift-jis", "utf-8"])
def test_json_is_ascii_whatever_the_encoding_of_the_stream(tmp_path: Path, folder: Path, encoding: str) -> None:
    names = ("é", "漢字", "\x9b31m", "\udc80", "\u202e", "\x1b[31m", "\x07", "a\nb", "ø", "ß")
    write_network(tmp_path / "m.safetensors", names)
    args = ("predict", folder / "one.png", "--model", "m.safetensors", "--format", "json")
    done = piped(*args, cwd=tmp_path, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    done.stdout.decode("ascii")
    assert json.loads(done.stdout)[0]["label"] in names


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_name_that_the_encoding_lacks_is_not_a_question_mark(tmp_path: Path, folder: Path, encoding: str) -> None:
    write_network(tmp_path / "m.safetensors", ("漢", "字", *DIGITS[2:]))
    done = piped("predict", folder / "one.png", "--model", "m.safetensors", "--top", 10, cwd=tmp_path, PYTHONIOENCODING=encoding)
    shown = done.stdout.decode(encoding)
    assert "\\u6f22" in shown
    assert "\\u5b57" in shown
    assert "?" not in shown


# --- hostile names ----------------------------------------------------------------------------------------------------------------


def check_harmless(shown: bytes) -> None:
    """Nothing that a terminal would obey, line ends apart."""
    for character in shown.decode():
        assert character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"), ascii(character)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_what_a_terminal_would_obey_is_written_as_an_escape(text: str) -> None:
    shown = printable(text)
    check_harmless(shown.encode())
    assert "\n" not in shown
    assert eval(f"'{shown}'") == text


def test_ordinary_names_are_left_as_they_are() -> None:
    for name in ("Ankle boot", "T-shirt/top", "é", "漢字", "ا", "👗", "3\u202fpm", "a\u00a0b", "[red]x[/red]", ":smile:", "~$x"):
        assert printable(name) == name


def test_escape_sequences_in_class_names_do_not_reach_the_terminal(tmp_path: Path, folder: Path) -> None:
    write_network(tmp_path / "m.safetensors", HOSTILE)
    with safe_open(str(tmp_path / "m.safetensors"), "numpy") as file:
        assert json.loads(file.metadata()["numbacnn"])["class_names"] == list(HOSTILE)
    done = piped("predict", folder / "one.png", "--model", "m.safetensors", "--top", 10, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    check_harmless(done.stdout)
    assert len(done.stdout.splitlines()) == 17, "no line is forged"
    for name in HOSTILE:
        assert printable(name).encode() in done.stdout
    for shown in (class_table(confused(HOSTILE).per_class(HOSTILE)), confusion_table(confused(HOSTILE), HOSTILE)):
        lines = drawn(shown, 10_000)
        check_harmless("\n".join(lines).encode())
        assert len(lines) == 12


def test_json_is_exact_where_text_is_escaped(tmp_path: Path, folder: Path) -> None:
    write_network(tmp_path / "m.safetensors", HOSTILE)
    done = piped("predict", folder / "one.png", "--model", "m.safetensors", "--format", "json", cwd=tmp_path)
    assert json.loads(done.stdout)[0]["label"] in HOSTILE
    check_harmless(done.stdout)


@pytest.mark.parametrize("label", ["7" * 5000, "٣", "007", "²"], ids=lambda label: ascii(label[:3]))
def test_a_class_name_that_looks_like_a_number_is_kept_as_it_is(tmp_path: Path, folder: Path, label: str) -> None:
    write_network(tmp_path / "m.safetensors", (label, *"abcdefghi"))
    done = piped("predict", folder / "one.png", "--model", "m.safetensors", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["label"] in (label, *"abcdefghi")


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes are Linux's")
@pytest.mark.parametrize("name", [b"a\x1b[31m\r\x07\nError: forged", b"\xff\xfe", b"\xc2\x9b31m\xe2\x80\xaegnp"])
def test_a_file_name_of_any_bytes_gives_neither_traceback_nor_control_characters(
    tmp_path: Path, folder: Path, name: bytes
) -> None:
    pictures = os.fsencode(tmp_path) + b"/" + name
    os.mkdir(pictures)
    for ending in (b".png", b"bad.png"):
        with open(pictures + b"/" + name + ending, "wb") as file:
            file.write((folder / "one.png").read_bytes() if ending == b".png" else b"no picture")
    model, given = str(folder / "model.safetensors"), os.fsdecode(name)
    digits = ("--dataset", "digits", "--train-limit", 100, "--test-limit", 100, "--epochs", 1)
    commands = [
        (1, 1, "predict", given, "--model", model), (1, 1, "predict", f"{given}none", "--model", model),
        (1, 1, "predict", folder / "one.png", "--model", given), (1, 1, "evaluate", "--model", given),
        (1, 1, "shapes", given), (1, 1, "shapes", f"{given}.toml"), (1, 1, "shapes", f"{given}.safetensors"),
        (1, 1, "train", "--model", f"{given}.toml"), (1, 1, "warmup", given), (0, 0, "samples", f"{given}s"),
        (0, None, "train", "--model", "softmax", *digits, "--output", given, "--data-dir", given),
        (0, None, "evaluate", "--test-limit", 10), (0, None, "train", "--resume", "--output", given, "--epochs", 2),
        (2, 4, "train", f"--{given}"), (2, 4, given), (2, 4, "train", "--device", given), (2, None, "shapes", f"{given}none", "--debug"),
    ]  # fmt: skip
    for code, lines, *args in commands:
        done = piped(*args, cwd=tmp_path)
        assert done.returncode == code, (args, done.stderr)
        check_harmless(done.stdout + done.stderr)
        assert b"Traceback" not in done.stderr or "--debug" in args, done.stderr
        assert b"\nError: forged" not in done.stdout + done.stderr
        assert lines is None or len(done.stderr.splitlines()) == lines, done.stderr
    (config,) = tmp_path.rglob("config.toml")
    config.read_text(encoding="utf-8")


def test_every_command_writes_through_one_place() -> None:
    """So that nothing that is printed has to be made printable where it is printed."""
    for path in (ROOT / "cli").glob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"click\.(echo|secho)|(?<![\w.])(?<!def )print\(", source), path.name
        if path.name not in ("console.py", "streams.py", "main.py"):
            assert not re.search(r"sys\.std(out|err)(?!\.flush\(\))", source), path.name


# --- evaluate takes the data set of the network -------------------------------------------------------------------------------------


def test_evaluate_takes_the_data_set_that_the_network_was_trained_on(folder: Path) -> None:
    done = piped("evaluate", "--model", "model.safetensors", "--test-limit", 20, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert b"20 test images of digits" in done.stdout
    assert done.stderr.decode().splitlines()[0] == "--dataset digits, which model.safetensors was trained on"
    report = json.loads(printed("evaluate", "--model", "model.safetensors", "--test-limit", 20, "--format", "json", cwd=folder))
    assert report["dataset"] == "digits"


def test_evaluate_with_a_data_set_of_its_own_does_not_ask_the_network(tmp_path: Path) -> None:
    write_network(tmp_path / "m.safetensors", summary={})
    done = piped("evaluate", "--model", "m.safetensors", "--dataset", "digits", "--test-limit", 20, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"was trained on" not in done.stderr


@pytest.mark.parametrize(
    ("summary", "found"),
    [
        ({}, "its file does not say on what it was trained"),
        ({"dataset": None}, "its file does not say on what it was trained"),
        ({"dataset": "emnist\x1b[31m"}, r"it was trained on 'emnist\x1b[31m'"),
        ({"dataset": ["digits"]}, "it was trained on ['digits']"),
        ({"dataset": 7}, "it was trained on 7"),
        ({"dataset": "x" * 1_000_000}, "it was trained on 'xxx"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_network_trained_on_an_unknown_data_set_asks_for_dataset(
    tmp_path: Path, summary: dict[str, object], found: str
) -> None:
    write_network(tmp_path / "m.safetensors", summary=summary)
    done = piped("evaluate", "--model", "m.safetensors", cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"Error: m.safetensors: {found}")
    assert line.endswith("emnist-digits. Give --dataset NAME|PATH")
    assert len(line) < 300


# --- small ones ---------------------------------------------------------------------------------------------------------------------


def test_capital_v_is_version(numbacnn: Run) -> None:
    assert numbacnn("-V").stdout == numbacnn("--version").stdout != ""


def test_python_m_numbacnn_is_the_command_line(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "numbacnn", "shapes", "cnn"]
    done = subprocess.run(program, cwd=tmp_path, env=environment(), capture_output=True, check=True)
    assert done.stdout.decode() == printed("shapes", "cnn", cwd=tmp_path)
    done = subprocess.run([*program[:3], "foo"], cwd=tmp_path, env=environment(), capture_output=True)
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--lr", "--learning-rate or --lr-decay"), ("--bs", "--batch-size"), ("--batch", "--batch-size"),
        ("--data", "--dataset or --data-dir"),
        ("--epohcs", "--epochs"), ("--learning_rate", "--learning-rate"),
    ],
)  # fmt: skip
def test_a_short_or_misspelt_option_suggests_what_is_meant_and_not_help(numbacnn: Run, given: str, meant: str) -> None:
    done = numbacnn("train", given, "1")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"Error: No such option '{given}'. Did you mean {meant}?"


def test_an_option_like_no_other_suggests_nothing(numbacnn: Run) -> None:
    done = numbacnn("train", "--xyzzy")
    assert done.returncode == 2
    assert "Did you mean" not in done.stderr
