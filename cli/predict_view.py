"""The view of ``predict`` over many pictures on stderr: a live line on a terminal; nothing elsewhere."""

import time
from contextlib import ExitStack
from types import TracebackType

from rich.text import Text

from numbacnn.quoting import counted

from .console import is_live, stderr
from .layout import GAP
from .live_line import live_line
from .progress import LEAST_BAR, LONGEST_BAR, bar, fitting, time_left


class PicturesView:
    """Shows how far the answers are, and how fast they come.

    Args:
        total: pictures to be answered.
        is_shown: whether there is a live line, where a terminal allows one.
    """

    def __init__(self, total: int, is_shown: bool) -> None:
        self.total, self.done = total, 0
        self._is_shown = is_shown
        self._console = stderr()
        self._began = time.monotonic()
        self._stack = ExitStack()

    def __enter__(self) -> "PicturesView":
        if self._is_shown and is_live():
            self._stack.enter_context(live_line.showing(self._live, self._console))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    @property
    def seconds(self) -> float:
        """Since the first picture could be read."""
        return time.monotonic() - self._began

    @property
    def speed(self) -> float:
        """Pictures a second."""
        return self.done / max(self.seconds, 1e-9)

    def _live(self, width: int) -> Text:
        total = f"{self.total:,}"
        parts = [(0, f"{self.done:>{len(total)},} of {counted(self.total, 'picture')}")]
        if self.done:
            parts += [(1, f"{self.speed:,.0f} pictures/s"), (2, time_left((self.total - self.done) / self.speed))]
        shown = fitting(parts, width)
        room = min(LONGEST_BAR, width - len(GAP.join([*shown, ""])))
        line = Text(shown[0])
        if room >= LEAST_BAR:
            line.append(GAP).append_text(bar(self.done / self.total, room, self._console))
        for part in shown[1:]:
            line.append(GAP + part)
        line.truncate(width)
        return line
