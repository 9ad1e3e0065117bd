"""Compiling kernels: announced to the user, and divided among processes, as one process compiles one kernel at a time."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich.text import Text

from numbacnn.backends import compilations, get_ops, has_compiled_kernels, kernel_cache_problem, processor, threads
from numbacnn.datasets import load_dataset
from numbacnn.graph import Graph
from numbacnn.ops import Ops
from numbacnn.training import Settings, WarmupPart, warm_up_part, warmup_batch, warmup_parts

from .console import Printer, can_print, is_live, notice, stderr
from .live_line import Source, live_line

URGENCY = 1
"""What is compiled is shown rather than the epoch that waits for it."""

TURN = 0.1
"""Seconds between two figures of the spinner."""


@contextmanager
def announced_compilations() -> Iterator[Any]:
    """Count the kernels compiled, and tell the user at the first one, on a terminal with a live count; see ``compilations``."""
    with shown_compilations(lambda: notice(f"compiling kernels ({_cache_note()})")) as compiled:
        yield compiled


@contextmanager
def shown_compilations(on_first: Callable[[], None] = lambda: None) -> Iterator[Any]:
    """Count the kernels compiled, on a terminal with a live count while one is being compiled."""
    with ExitStack() as stack:

        def begin() -> None:
            on_first()
            if is_live():
                console = stderr()
                stack.enter_context(live_line.showing(_count_line(lambda: compiled.progress, console), console, URGENCY))

        before = kernel_cache_problem()
        with compilations(begin) as compiled:
            yield compiled
    if (problem := kernel_cache_problem()) != before:  # the disk is full, say
        notice(f"kernels are not kept for later runs: {problem}; see 'numbacnn doctor'")


def _count_line(progress: Callable[[], tuple[int, float] | None], console: Printer) -> Source:
    """The line of the kernels compiled so far.

    Args:
        progress: their count, and the seconds; None while there is nothing to show.
    """
    figures = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if can_print(console, "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏") else "|/-\\"

    def line(width: int) -> Text | None:
        if (now := progress()) is None:
            return None
        count, seconds = now
        shown = Text(f"{figures[int(seconds / TURN) % len(figures)]} kernels compiled: {count}, {seconds:.0f} s")
        shown.truncate(width)
        return shown

    return line


def _cache_note() -> str:
    problem = kernel_cache_problem()
    return f"not kept for later runs: {problem}; see 'numbacnn doctor'" if problem else "once; kept for later runs"


MOST_PROCESSES = 4
"""Few kernels take long to compile, and each process takes a second to start and 300 MB."""


def warm_up_in_processes(ops: Ops, graph: Graph, settings: Settings, *, exact_conv: bool, digits: bool) -> int:
    """Compile a network's kernels in several processes if the cache is empty and there are several processors.

    Args:
        ops: the device; nothing is compiled for one that cannot warm up in parts.
        graph, settings, exact_conv: the network to train, and how.
        digits: whether to compile the kernels that draw digits, too.

    Kernels left out, or all of them if no process can be started, are compiled when training needs them.

    Returns:
        the number of kernels compiled; one that two processes compile at the same time counts twice.

    Raises:
        DeviceMemoryError: there is not enough memory for a step of this network.
    """
    warmup_batch(graph, ops)
    processes = min(threads.available(), MOST_PROCESSES)
    if not ops.can_warm_up_in_parts or processes < 2 or has_compiled_kernels() is not False:
        return 0
    from .workers import work_in_processes  # seldom needed, and slow to import

    notice(f"compiling kernels in {processes} processes ({_cache_note()})")
    counts: dict[int, int] = {}  # kernels compiled by each piece of work so far
    started = time.perf_counter()

    def progress() -> tuple[int, float]:
        return sum(list(counts.values())), time.perf_counter() - started

    work: list[Callable[[], object]] = [partial(_warm_up_part, part, settings, exact_conv) for part in warmup_parts(graph, ops)]
    if digits:
        work.append(draw_digits)
    with ExitStack() as stack:
        if is_live():
            console = stderr()
            stack.enter_context(live_line.showing(_count_line(progress, console), console, URGENCY))
        try:
            return work_in_processes(
                [partial(_compile, each, processor.pinned()) for each in work], processes, counts.__setitem__
            )
        except OSError:
            return 0


def draw_digits() -> None:
    """Draw one digit, to compile the kernels that do it."""
    load_dataset("digits", Path(), train_limit=1, test_limit=1)


def _warm_up_part(part: WarmupPart, settings: Settings, exact_conv: bool) -> None:
    warm_up_part(part, settings, get_ops("cpu", exact_conv=exact_conv))


def _compile(work: Callable[[], object], processor_name: str | None, tell: Callable[[int], None]) -> int:
    processor.pin(processor_name)
    with compilations(on_each=tell) as compiled:
        work()
    return compiled.count
