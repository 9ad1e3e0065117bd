"""Threads keep a processor each: two that waited for each other on one took seventy times as long."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import json, os, subprocess, sys, threading
import numpy as np
from numbacnn.backends import get_ops
ops = get_ops("cpu", {threads})
import numba
from numbacnn.backends.places import Places
from numbacnn.backends.threading_layer import is_gnu_openmp, start
start()
places = Places({threads})
before = set(os.listdir("/proc/self/task"))
x = np.ones((64, 64), np.float32)
ops.relu(x)
def allowed():
    return sorted(sorted(os.sched_getaffinity(int(task))) for task in os.listdir("/proc/self/task"))
free = allowed()
calls, set_affinity = [], os.sched_setaffinity
def recorded(task, processors):
    if threading.current_thread() is threading.main_thread():
        calls.append(sorted(processors))
    set_affinity(task, processors)
os.sched_setaffinity = recorded
places.take({threads})
ops.relu(x)
child = json.loads(subprocess.check_output([sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"]))
during, main = allowed(), sorted(os.sched_getaffinity(0))
places.leave({threads})
after = sorted(os.sched_getaffinity(0))
places.take(1)
threads_of_one, main_of_one = numba.get_num_threads(), sorted(os.sched_getaffinity(0))
places.leave(1)
print(json.dumps(dict(calls=calls, child=child,
                      gnu=is_gnu_openmp(), can_bind=places.can_bind, free=free, during=during, main=main, after=after,
                      threads_of_one=threads_of_one, main_of_one=main_of_one, threads=numba.get_num_threads())))
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors can be chosen on Linux only")


def look(threads: int) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(threads=threads)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    if not found["gnu"]:
        pytest.skip("another OpenMP than GNU's")
    return found


@(
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor")
    if hasattr(os, "sched_getaffinity")
    else pytest.mark.skip
)
def test_each_other_thread_has_a_processor_and_the_caller_is_moved_to_the_one_that_is_left() -> None:
    processors = sorted(os.sched_getaffinity(0))
    found = look(len(processors))
    assert found["can_bind"]
    assert all(each == processors for each in found["free"])
    for processor in processors[1:]:
        assert [processor] in found["during"]
    assert found["calls"][:2] == [processors[:1], processors], "moved there, and free to go"
    for name in ("main", "child", "after", "main_of_one"):
        assert found[name] == processors, "the caller's processes must have all processors"
    assert found["threads_of_one"] == 1
    assert found["threads"] == len(processors)


def test_of_another_number_of_threads_than_processors_none_is_bound() -> None:
    processors = sorted(os.sched_getaffinity(0))
    found = look(len(processors) + 1)
    assert not found["can_bind"]
    assert all(each == processors for each in found["during"])
