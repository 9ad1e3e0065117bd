"""The number of threads that the machine grants this process, often fewer than its processors. Imports neither numba nor numpy."""

import math
import os
from pathlib import Path

MOST_THREADS = 1024

WAITING = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
"""Environment variables that set how threads of GNU's OpenMP wait."""

CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
CGROUP_V1 = (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"))


def available() -> int:
    """The processors this process may use, limited by a container's quota (which Numba ignores) and by NUMBA_NUM_THREADS."""
    try:
        processors = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this platform
        processors = os.cpu_count() or 1
    quota = cgroup_quota()
    if quota is not None:
        processors = min(processors, math.ceil(quota))
    given = os.environ.get("NUMBA_NUM_THREADS", "")
    return max(1, min(processors, int(given)) if given.isdecimal() else processors)


def cgroup_quota() -> float | None:
    """The processors that a container may use, as a fraction; None if there is no limit."""
    try:
        if CGROUP_V2.exists():
            quota, period = CGROUP_V2.read_text().split()[:2]
        else:
            quota, period = (path.read_text().strip() for path in CGROUP_V1)
        return None if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def wait_briefly() -> None:
    """Let idle threads sleep after a tenth of a millisecond, unless the environment says otherwise. Call it before Numba starts them.

    By default a waiting thread of GNU's OpenMP polls for milliseconds. If another program needs the processor, polling threads keep
    it from the thread they wait for: two trainings side by side on two cores each took nine times as long as one alone, and take
    three times as long with this limit.
    """
    if not WAITING.intersection(os.environ):
        os.environ["GOMP_SPINCOUNT"] = "20000"
