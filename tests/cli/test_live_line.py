"""The live line of a terminal: what it shows at each width, that other lines go above it, and that logs have none of it."""

import io
import os
import re
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from numbacnn_cli.compiling import _count_line
from numbacnn_cli.console import Printer, wrapped
from numbacnn_cli.live_line import ERASE, LiveLine
from numbacnn_cli.progress import LEAST_BAR, epoch_line, step_line
from rich.cells import cell_len
from rich.text import Text

from numbacnn.training import StepDone
from numbacnn.training.events import EpochRecord

STEP = StepDone(
    epoch=12, epochs=30, images=12_300, images_in_epoch=60_000, loss=0.1234, accuracy=0.9876, images_per_second=23_456.7
)
RECORD = EpochRecord(12, 0.001, 0.1234, 0.9876, 0.0712, 0.9811, 3.21, 23_456.7)
WIDTHS = (40, 60, 76, 80, 90, 100, 112, 120, 200)

needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is POSIX's")


def printer(encoding: str = "utf-8") -> Printer:
    return Printer(file=io.TextIOWrapper(io.BytesIO(), encoding=encoding), highlight=False, markup=False, emoji=False)


def shown(width: int, is_measuring: bool = False, encoding: str = "utf-8", step: StepDone = STEP) -> str:
    return step_line(step, is_measuring, width, printer(encoding)).plain


@pytest.mark.parametrize("width", WIDTHS)
def test_a_step_is_one_line_that_loses_the_least_numbers_first(width: int) -> None:
    line = shown(width)
    assert cell_len(line) <= width
    assert line.startswith("epoch 12/30")
    assert "accuracy 98.76%" in line
    there = {word: word in line for word in ("loss 0.1234", "0:02 left", "12,300/60,000", "23,457 images/s")}
    assert list(there.values()) == sorted(there.values(), reverse=True), "in the order of their worth"
    assert there["23,457 images/s"] == (width >= 98)
    assert there["12,300/60,000"] == (width >= 80)
    bars = re.findall("[━─]+", line)
    assert all(len(bar) >= LEAST_BAR for bar in bars)
    assert bool(bars) == (width >= 76 or width == 40)


def test_a_line_keeps_its_form_within_an_epoch() -> None:
    """Numbers that grow moved those beside them."""
    for width in WIDTHS:
        lines = [shown(width, step=StepDone(1, 9, images, 60_000, 0.5, 0.9, 5_000.0)) for images in (100, 1_000, 59_000)]
        assert len({line.index("accuracy") for line in lines}) == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_while_the_accuracy_is_measured_the_line_says_so(width: int) -> None:
    line = shown(width, is_measuring=True)
    assert cell_len(line) <= width
    assert line.startswith("epoch 12/30")
    assert line.endswith("measuring the accuracy")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_bar_and_a_spinner_are_ascii_where_the_encoding_has_no_others(encoding: str) -> None:
    assert re.search("=+-{8,}", shown(80, encoding=encoding))
    line = _count_line(lambda: (7, 12.34), printer(encoding))(80)
    assert line is not None
    assert re.fullmatch(r"[-|/\\] kernels compiled: 7, 12 s", line.plain)


def test_the_spinner_turns_and_the_count_is_not_shown_between_kernels() -> None:
    seconds = [0.0]
    source = _count_line(lambda: (7, seconds[0]) if seconds else None, printer())
    frames = set()
    for seconds[0] in (0.0, 0.1, 0.2):
        line = source(80)
        assert line is not None
        frames.add(line.plain[0])
    assert len(frames) == 3
    assert source(12).plain == line.plain[:12]  # type: ignore[union-attr]
    seconds.clear()
    assert source(80) is None


@pytest.mark.parametrize("width", WIDTHS)
def test_an_epoch_is_one_line_on_a_terminal_and_whole_in_a_log(width: int) -> None:
    line = epoch_line(RECORD, 30, width)
    assert cell_len(line) <= max(width, 36)
    assert "epoch 12/30" in line
    assert "test accuracy 98.11%" in line
    whole = epoch_line(RECORD, 30)
    assert whole == (
        "epoch 12/30  loss 0.1234  accuracy 98.76%  test loss 0.0712  test accuracy 98.11%  rate 0.001  23,457 images/s  3.2 s"
    )
    assert set(line.split("  ")) <= set(whole.split("  "))


# --- sentences --------------------------------------------------------------------------------------------------------------------


def test_sentences_are_broken_between_words_and_longer_words_are_whole() -> None:
    path = "/a/path/that/is/much/longer/than/the/terminal.safetensors"
    assert wrapped(f"{path}: expected a file, got none. Give another one", 30) == [
        f"{path}:", "  expected a file, got none.", "  Give another one",
    ]  # fmt: skip
    assert wrapped("  a list: of mirrors that failed", 20) == ["  a list: of mirrors", "    that failed"]
    assert wrapped("short", 20) == ["short"]
    assert wrapped("漢字 漢字 漢字", 10) == ["漢字 漢字", "  漢字"]


# --- one line, whatever happens ---------------------------------------------------------------------------------------------------


class Screen:
    """A terminal of one line."""

    width = 40

    def __init__(self) -> None:
        self.file = io.StringIO()

    def draw(self, text: Text) -> None:
        self.file.write(text.plain)

    @property
    def lines(self) -> list[str]:
        """What is on the screen, after every erasure."""
        return [line.split(ERASE)[-1] for line in self.file.getvalue().split("\n")]

    def wait_for(self, text: str) -> None:
        until = time.monotonic() + 10
        while text not in self.file.getvalue():
            assert time.monotonic() < until
            time.sleep(0.01)


def test_what_is_printed_goes_above_the_line_and_the_line_is_gone_at_the_end() -> None:
    line, screen = LiveLine(), Screen()
    with line.showing(lambda width: Text(f"at most {width} columns"), screen):
        screen.wait_for("at most 39 columns")
        with line.out_of_the_way():
            screen.file.write("a notice\n")
    assert screen.lines == ["a notice", ""]


def test_the_more_urgent_line_is_shown_while_there_is_something_to_show() -> None:
    line, screen, state = LiveLine(), Screen(), SimpleNamespace(compiling=True)
    with (
        line.showing(lambda width: Text("epoch"), screen),
        line.showing(lambda width: Text("kernels") if state.compiling else None, screen, urgency=1),
    ):
        screen.wait_for("kernels")
        assert "epoch" not in screen.file.getvalue().split("kernels", 1)[1]
        state.compiling = False
        screen.wait_for("epoch")


def test_a_process_that_is_ended_by_force_erases_the_line_for_good() -> None:
    line, screen = LiveLine(), Screen()
    with line.showing(lambda width: Text("here"), screen):
        screen.wait_for("here")
        line._leave()
        end = len(screen.file.getvalue())
        time.sleep(0.3)
        assert screen.file.getvalue()[end:] == ""
        assert screen.lines == [""]


COMPILE = """
import sys, time
import numba
from numbacnn_cli.compiling import announced_compilations
from numbacnn_cli.console import notice
with announced_compilations():
    for k in range(2):
        numba.njit("float64(float64, float64)")(lambda x, y: (x + y) * 3.0 - x ** y)
    notice("and then")
notice("the end")
"""


def compiled(width: int, **changed: str) -> str:
    """What a program that compiles two functions in this process writes to a terminal."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", COMPILE], stdin=theirs, stdout=theirs, stderr=theirs, env=kept | {"TERM": "xterm"} | changed
    )
    os.close(theirs)
    received = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:
            break
        if not more:
            break
        received += more
    os.close(ours)
    assert process.wait(60) == 0, received
    return received.decode().replace("\r\n", "\n")


@needs_pty
def test_kernels_that_this_process_compiles_are_counted_live_and_leave_whole_lines() -> None:
    """A static line stood for a minute."""
    text = compiled(30)
    frames = re.findall(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏|/\\-] kernels compiled: \d+, \d+ s", text)
    assert frames
    lines = [line.split(ERASE)[-1] for line in text.split("\n")]
    assert lines == ["compiling kernels (once; kept", "  for later runs)", "and then", "the end", ""]


@needs_pty
def test_a_dumb_terminal_has_no_live_line() -> None:
    assert compiled(80, TERM="dumb") == "compiling kernels (once; kept for later runs)\nand then\nthe end\n"


def test_a_log_has_no_live_line(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stderr == "compiling kernels (once; kept for later runs)\nand then\nthe end\n"
