"""How many threads to use: what the machine really grants, which is not always what it shows. Imports neither numba nor numpy."""

import math
import os
from pathlib import Path

WAITING = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
"""Variables by which a user says how threads of GNU's OpenMP are to wait."""

CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
CGROUP_V1 = (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"))


def available() -> int:
    """The processors this process may use, no more than a container's quota (which Numba does not look at) or NUMBA_NUM_THREADS allow."""
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
    """The processors a container was given, as a fraction, or None where there is no limit."""
    try:
        if CGROUP_V2.exists():
            quota, period = CGROUP_V2.read_text().split()[:2]
        else:
            quota, period = (path.read_text().strip() for path in CGROUP_V1)
        return None if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def wait_briefly() -> None:
    """Let threads that have nothing to do sleep soon, unless the environment says otherwise; before Numba starts them.

    GNU's OpenMP lets a thread that waits for another look for milliseconds whether it is done. Where another program wants the
    processor too, those who wait hold it, and the one they wait for does not get it: of two trainings side by side on two cores, each
    took nine times as long as alone. This many looks take a tenth of a millisecond, and leave it at three times.
    """
    if not WAITING.intersection(os.environ):
        os.environ["GOMP_SPINCOUNT"] = "20000"
