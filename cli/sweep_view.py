"""The view of a sweep on stderr: a live line on a terminal, and a line for each run that has ended."""

from contextlib import ExitStack
from types import TracebackType

from rich.text import Text

from numbacnn.quoting import printable

from .console import can_print, is_live, notice, stderr
from .layout import GAP
from .live_line import live_line
from .progress import LEAST_BAR, LONGEST_BAR, bar
from .sweep_job import Job

SHORT_BAR = 12
"""Columns of the bar beside what a training says."""


class SweepView:
    """Shows how far a sweep is.

    Args:
        total: runs of the sweep.
        done: runs that were done before.
    """

    def __init__(self, total: int, done: int):
        self.total, self.done, self.failures = total, done, 0
        self._console = stderr()
        self._latest: dict[str, str] = {}  # what each training under way said last, the one that spoke last at the end
        self._stack = ExitStack()

    def __enter__(self) -> "SweepView":
        if is_live():
            self._stack.enter_context(live_line.showing(self._live, self._console))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def said(self, job: Job, line: str) -> None:
        """A training has written a line to stderr."""
        self._latest.pop(job.name, None)
        self._latest[job.name] = line

    def ended(self, job: Job, result: str, seconds: float) -> None:
        """A run is done."""
        self.done += 1
        self._latest.pop(job.name, None)
        notice(f"{self.done} of {self.total} runs done: {job.name}, {result}{seconds:.1f} s")

    def failed(self, job: Job, reason: str) -> None:
        """A run has failed."""
        self.failures += 1
        self._latest.pop(job.name, None)
        notice(f"failed: {job.name}: {reason}")

    def _live(self, width: int) -> Text:
        line = Text(f"{self.done} of {self.total} runs")
        if self.failures:
            line.append(f", {self.failures} failed")
        latest = list(self._latest.items())
        length = min(SHORT_BAR if latest else LONGEST_BAR, width - len(line.plain) - len(GAP))
        if length >= LEAST_BAR:
            line.append(GAP).append_text(bar((self.done + self.failures) / self.total, length, self._console))
        if latest:
            name, said = latest[-1]
            line.append(GAP + printable(f"{name}: {' '.join(said.split())}"))
        line.truncate(width, overflow="ellipsis" if can_print(self._console, "…") else "crop")
        return line
