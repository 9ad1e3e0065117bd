"""How many threads to use: what the machine really grants, which is not always what it shows. Imports neither numba nor numpy."""

import math
import os
from pathlib import Path

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
