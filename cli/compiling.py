"""Compiling kernels: said when it happens, and done in several processes where a network needs many, as one compiles one at a time."""

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from numbacnn.backends import compilations, get_ops, has_compiled_kernels, kernel_cache_problem, threads
from numbacnn.datasets import load_dataset
from numbacnn.graph import Graph
from numbacnn.ops import Ops
from numbacnn.training import Settings, WarmupPart, warm_up_part, warmup_parts

from .console import notice


def announced_compilations() -> AbstractContextManager[Any]:
    """Listen to the kernels being compiled, and tell the user when the first one is; see ``compilations``."""
    return compilations(lambda: notice(f"compiling kernels ({_for_how_long()})"))


def _for_how_long() -> str:
    problem = kernel_cache_problem()
    return f"not kept for later runs: {problem}; see 'numbacnn doctor'" if problem else "once; kept for later runs"


MOST_PROCESSES = 4
"""There are few kernels that take long, and each process takes a second to start and 300 MB."""


def warm_up_in_processes(ops: Ops, graph: Graph, settings: Settings, *, exact_conv: bool, digits: bool) -> int:
    """Compile the kernels that a network needs, if there are none at all in the cache yet, and several processors.

    Args:
        ops: the device; nothing is done for one that cannot warm up in parts.
        graph, settings, exact_conv: what is to be trained, and how.
        digits: whether digits are to be drawn too.

    What it leaves out, or cannot do because processes cannot be started, is compiled when it is needed.

    Returns:
        the number of kernels compiled; one that two processes needed at the same time counts twice.
    """
    processes = min(threads.available(), MOST_PROCESSES)
    if not ops.can_warm_up_in_parts or processes < 2 or has_compiled_kernels() is not False:
        return 0
    from concurrent.futures import ProcessPoolExecutor  # seldom needed, and slow to import
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    notice(f"compiling kernels in {processes} processes ({_for_how_long()})")
    work: list[Callable[[], object]] = [partial(_warm_up_part, part, settings, exact_conv) for part in warmup_parts(graph, ops)]
    if digits:
        work.append(draw_digits)
    try:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_die_quietly) as pool:
            return sum(pool.map(_compile, work))
    except (BrokenProcessPool, OSError):
        return 0


def _die_quietly() -> None:
    """Ctrl-C reaches every process of the terminal; the first one says so for all."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def draw_digits() -> None:
    """Draw one, for the sake of its kernels."""
    load_dataset("digits", Path(), train_limit=1, test_limit=1)


def _warm_up_part(part: WarmupPart, settings: Settings, exact_conv: bool) -> None:
    warm_up_part(part, settings, get_ops("cpu", exact_conv=exact_conv))


def _compile(work: Callable[[], object]) -> int:
    with compilations() as compiled:
        work()
    return compiled.count
