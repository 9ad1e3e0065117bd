"""The view of a training run on stderr: a live line on a terminal, one line per epoch elsewhere."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

from rich.cells import cell_len
from rich.text import Text

from numbacnn.quoting import counted, printable
from numbacnn.training import EpochDone, EvaluationStarted, Event, StepDone, StoppedEarly
from numbacnn.training.events import EpochRecord

from .console import Printer, can_print, is_live, notice, stderr, terminal_width
from .layout import GAP
from .live_line import live_line

LEAST_BAR, LONGEST_BAR = 8, 30
"""Columns of the bar; with less room there is none."""


STALLED = 30.0
"""Seconds after which a download that brings nothing is not shown any more."""


class TrainingView:
    """Shows the events of a training run.

    Args:
        epochs: of the run.
        mode: ``auto`` (a live line on a terminal, lines elsewhere), ``bar``, ``plain`` or ``none``.
    """

    def __init__(self, epochs: int, mode: str):
        self._epochs = epochs
        self._lines = mode != "none"
        self._is_live = mode in ("auto", "bar") and is_live()
        self._console = stderr()
        self._step_done: StepDone | None = None
        self._is_measuring = False
        self._stack = ExitStack()

    def __enter__(self) -> "TrainingView":
        if self._is_live:
            self._stack.enter_context(live_line.showing(self._live, self._console))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def say(self, text: str) -> None:
        """Print a sentence, above the live line if there is one."""
        notice(text)

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case StepDone():
                self._step_done, self._is_measuring = event, False
            case EvaluationStarted():
                self._is_measuring = True
            case EpochDone(record=record):
                self._step_done = None
                if self._lines:
                    self.say(epoch_line(record, self._epochs, terminal_width()))
            case StoppedEarly(patience=patience, best_epoch=best):
                self.say(
                    f"stopped early: no better validation loss for {counted(patience, 'epoch')}; the network of epoch {best} is kept"
                )

    def _live(self, width: int) -> Text | None:
        step = self._step_done
        return None if step is None else step_line(step, self._is_measuring, width, self._console)


def step_line(step: StepDone, is_measuring: bool, width: int, console: Printer) -> Text:
    """A step in one line of at most ``width`` columns: the numbers that matter least are left out, then the bar.

    Args:
        is_measuring: whether the epoch's steps are done, and its accuracy is being measured.
    """
    total = f"{step.images_in_epoch:,}"
    left = (step.images_in_epoch - step.images) / step.images_per_second if step.images_per_second else 0
    epoch = f"epoch {step.epoch}/{step.epochs}"
    if is_measuring:
        parts = [(0, epoch), (1, "measuring the accuracy")]
    else:
        parts = [
            (0, epoch),
            (3, f"{step.images:>{len(total)},}/{total}"),
            (1, f"loss {step.loss:.4f}"),
            (0, f"accuracy {step.accuracy:>6.2%}"),
            (4, f"{step.images_per_second:>7,.0f} images/s"),
            (2, time_left(left)),
        ]
    shown = fitting(parts, width)
    for most in () if is_measuring else (3, 2):  # rather a bar than the speed, or even the count, if that makes the room
        fewer = fitting([part for part in parts if part[0] <= most], width)
        if _room(shown, width) < LEAST_BAR <= _room(fewer, width):
            shown = fewer
    room = _room(shown, width)
    line = Text(shown[0])
    if room >= LEAST_BAR:
        line.append(GAP).append_text(bar(step.images / step.images_in_epoch, min(room, LONGEST_BAR), console))
    for part in shown[1:]:
        line.append(GAP + part)
    line.truncate(width)
    return line


def time_left(seconds: float) -> str:
    """Minutes and seconds: ``2:05 left``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02} left"


def _room(shown: list[str], width: int) -> int:
    """The columns that the texts leave for a bar."""
    return width - len(GAP.join([*shown, ""]))


def bar(share: float, width: int, console: Printer) -> Text:
    """A bar whose first ``share`` is full."""
    full = round(share * width)
    done, left = ("━", "─") if can_print(console, "━─") else ("=", "-")
    return Text(done * full, "bar.complete").append(left * (width - full), "bar.back")


def fitting(parts: Sequence[tuple[int, str]], width: int | None) -> list[str]:
    """The texts, each with its rank, that fit a width side by side: those of the highest rank are left out first, never one of rank 0."""
    kept = list(parts)
    while width is not None and len(GAP.join(text for _, text in kept)) > width:
        last = max(rank for rank, _ in kept)
        if not last:
            break
        kept = [(rank, text) for rank, text in kept if rank != last]
    return [text for _, text in kept]


def epoch_line(record: EpochRecord, epochs: int, width: int | None = None) -> str:
    """One epoch in one line; with a width, as many of its numbers as fit."""
    parts = [(0, f"epoch {record.epoch}/{epochs}"), (2, f"loss {record.loss:.4f}"), (3, f"accuracy {record.accuracy:.2%}")]
    if record.test_loss is not None and record.test_accuracy is not None:
        parts += [(5, f"test loss {record.test_loss:.4f}"), (0, f"test accuracy {record.test_accuracy:.2%}")]
    if record.validation_loss is not None and record.validation_accuracy is not None:
        parts.append((4, f"validation loss {record.validation_loss:.4f}, accuracy {record.validation_accuracy:.2%}"))
    parts += [
        (7, f"rate {record.learning_rate:.3g}"),
        (6, f"{record.images_per_second:,.0f} images/s"),
        (1, f"{record.seconds:.1f} s"),
    ]
    return GAP.join(fitting(parts, width))


class DownloadView:
    """A bar for the file that is downloaded, on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self._file: tuple[str, int, int] | None = None
        self._arrived = 0.0
        self._stack = ExitStack()
        self._is_live = False
        self._console = stderr()

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` bytes of the file ``name`` have arrived."""
        if not is_live():
            return
        self._file, self._arrived = (name, done, total), time.monotonic()
        if done >= total:
            self._stack.close()
            self._is_live = False
        elif not self._is_live:
            self._is_live = True
            self._stack.enter_context(live_line.showing(self._live, self._console))

    def _live(self, width: int) -> Text | None:
        if self._file is None or time.monotonic() - self._arrived > STALLED:  # the download may have failed
            return None
        name, done, total = self._file
        share = done / max(total, 1)
        ends = (printable(name), f"{share:.0%}")
        line = Text(ends[0])
        room = width - cell_len(GAP.join(ends)) - len(GAP)
        if room >= LEAST_BAR:
            line.append(GAP).append_text(bar(share, min(room, LONGEST_BAR), self._console))
        line.append(GAP + ends[1])
        line.truncate(width)
        return line
