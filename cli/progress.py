"""The view of a training run on stderr: a live bar on a terminal, one line per epoch elsewhere."""

from types import TracebackType
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from numbacnn.training import EpochDone, EvaluationStarted, Event, StepDone, StoppedEarly
from numbacnn.training.events import EpochRecord

from .console import is_live, notice, stderr


class TrainingView:
    """Shows the events of a training run.

    Args:
        epochs: of the run.
        mode: ``auto`` (a bar on a terminal, lines elsewhere), ``bar``, ``plain`` or ``none``.
    """

    def __init__(self, epochs: int, mode: str):
        self._epochs = epochs
        self._lines = mode != "none"
        self._bar = _bar() if mode == "bar" or (mode == "auto" and is_live()) else None
        self._task: TaskID | None = None

    def __enter__(self) -> "TrainingView":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._bar:
            self._bar.console.print(text, soft_wrap=True)
        else:
            notice(text)

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case StepDone():
                self._step(event)
            case EvaluationStarted():
                self._describe("measuring the accuracy")
            case EpochDone(record=record):
                self._end_bar()
                if self._lines:
                    self.say(epoch_line(record, self._epochs))
            case StoppedEarly(patience=patience, best_epoch=best):
                self.say(f"stopped early: no better validation loss for {patience} epoch(s); the network of epoch {best} is kept")

    def _step(self, event: StepDone) -> None:
        if self._bar is None:
            return
        if self._task is None:
            self._task = self._bar.add_task(f"epoch {event.epoch}/{event.epochs}", total=event.images_in_epoch, numbers="")
        numbers = f"{event.images_per_second:,.0f} images/s  loss {event.loss:.4f}  accuracy {event.accuracy:.2%}"
        self._bar.update(self._task, completed=event.images, numbers=numbers)

    def _describe(self, numbers: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, numbers=numbers)

    def _end_bar(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None


def epoch_line(record: EpochRecord, epochs: int) -> str:
    """One epoch in one line."""
    parts = [
        f"epoch {record.epoch}/{epochs}",
        f"loss {record.loss:.4f}",
        f"accuracy {record.accuracy:.2%}",
    ]
    if record.test_loss is not None and record.test_accuracy is not None:
        parts += [f"test loss {record.test_loss:.4f}", f"test accuracy {record.test_accuracy:.2%}"]
    if record.validation_loss is not None and record.validation_accuracy is not None:
        parts.append(f"validation loss {record.validation_loss:.4f}, accuracy {record.validation_accuracy:.2%}")
    parts += [f"rate {record.learning_rate:.3g}", f"{record.images_per_second:,.0f} images/s", f"{record.seconds:.1f} s"]
    return "  ".join(parts)


class DownloadView:
    """A bar for each file that is downloaded, on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._name = ""
        self._task: TaskID | None = None

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` bytes of the file ``name`` have arrived."""
        if not is_live():
            return
        if self._bar is None or self._task is None or name != self._name:
            self._begin(name)
        assert self._bar is not None
        assert self._task is not None
        self._bar.update(self._task, completed=done, total=total)
        if done >= total:
            self._bar.stop()
            self._bar = None

    def _begin(self, name: str) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._name = _download_bar(), name
        self._bar.start()
        self._task = self._bar.add_task(name)


def _bar() -> Progress:
    columns: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
    ]
    columns += [TextColumn("{task.fields[numbers]}"), TimeRemainingColumn(compact=True)]
    return Progress(*columns, console=stderr(), transient=True)


def _download_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"), console=stderr(), transient=True
    )
