"""Packed launches on a driver that does nothing: the driver is given the words that Numba would give it, whatever the arguments are.

Each case is a process of its own, as a driver once loaded stays.
"""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from cuda_compiler import why_not
from repository import ROOT, TESTS

if reason := why_not():
    pytest.skip(reason, allow_module_level=True)
if shutil.which("gcc") is None:
    pytest.skip("gcc is not installed: it builds the driver", allow_module_level=True)

PREFACE = """
import contextlib, ctypes, json, sys, threading
from collections import namedtuple
from pathlib import Path
import numpy as np
from repository import benchmark
driver = benchmark("gpu_host").load(Path(sys.argv[1]))
from numba.cuda import dispatcher
from numbacnn.backends.cuda import _jit, memory, packed

class Taken(list):
    '''What the driver is given, by either way: the words of each launch, and its grid.'''

    def by_numba(self, stream, config, kernel, *args):
        self.append([bytes(word(each)) for each in args])

    def packed(self, handle, x, y, z, across, down, deep, shared, stream, addresses, extra):
        count = len(self.sizes)
        pointers = (ctypes.c_void_p * count).from_address(addresses)
        self.append([ctypes.string_at(pointer, size) for pointer, size in zip(pointers, self.sizes)])
        self.grids.append((x, y, z, across, down, deep))
        return self.status,

def word(value):
    '''As cuda-core takes what is no object of ctypes.'''
    if isinstance(value, ctypes._SimpleCData):
        return value
    return ctypes.c_bool(value) if isinstance(value, (bool, np.bool_)) else ctypes.c_int64(value)

taken = Taken()
taken.status, taken.grids = 0, []
real = dispatcher.launch

def both(kernel, args, blocks=1, threads=32):
    '''The words of a launch by Numba, then those of a packed one.'''
    taken.clear()
    dispatcher.launch = taken.by_numba
    kernel.launch_by_numba(blocks, threads, *args)
    kernel._packed.learn(args)
    taken.sizes = [len(word) for word in taken[0]]
    kernel._packed._driver = kernel._packed._driver._replace(launch=taken.packed)
    assert kernel._packed.launch(blocks, threads, args), "not packed"
    return taken

@_jit.kernel
def nothing(x):
    pass

@_jit.kernel
def pair(x, y):
    pass
"""


def run(folder: Path, program: str) -> list[object]:
    """What a program prints last, as JSON."""
    file = folder / "program.py"  # Numba's cache asks for the file of a kernel
    file.write_text(PREFACE + textwrap.dedent(program), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(file), str(folder)],
        env={**os.environ, "PYTHONPATH": str(TESTS), "XDG_CACHE_HOME": str(folder)}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def test_the_driver_is_given_what_numba_would_give_it(tmp_path: Path) -> None:
    """Arrays of several types, layouts and axes, of no values, views and slices of them; tuples in tuples; each kind of number."""
    (count,) = run(
        tmp_path,
        """
        Pair = namedtuple("Pair", "left right")
        x = memory.to_device(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
        cases = [
            (x, x.reshape(-1), x.reshape(6, 4), x.reshape((4, 6))),
            (x[1:], x[:1], x[1:2].reshape(-1), x[:0], x[1:][:1], x[0]),
            (memory.to_device(np.zeros((0, 3), np.uint8)), memory.to_device(np.zeros(3, bool))),
            (memory.arena.empty((3, 5), np.int32), memory.arena.empty((2,), np.float64)),
            (1, -5, 2**62, True, False, 1.5, np.float32(0.1), np.float64(0.1), np.float32("inf"), np.float32("nan")),
            (np.int8(-3), np.uint8(200), np.int16(-7), np.uint16(9), np.int32(-9), np.uint32(2**31), np.int64(-1), np.uint64(2**63)),
            (np.bool_(True), np.bool_(False)),
            ((), (1, (2.5, x)), Pair(np.float32(2), (3, True)), ((x,), x.reshape(-1))),
        ]
        for each in cases:
            theirs, ours = both(nothing, (each,))
            assert ours == theirs and len(ours) >= len(each), each
        theirs, ours = both(pair, cases[-1][2:])
        assert ours == theirs
        print(json.dumps([len(nothing._packed._signatures)]))
        """,
    )
    assert count == 8


def test_each_signature_of_a_kernel_has_its_own_code_and_slots(tmp_path: Path) -> None:
    (kinds,) = run(
        tmp_path,
        """
        Left, Right = namedtuple("Left", "a b"), namedtuple("Right", "a b")
        x = memory.to_device(np.zeros((2, 3), np.float32))
        cases = [(x,), (x.reshape(-1),), (memory.to_device(np.zeros((2, 3))),), (1,), (1.0,), (True,), (np.float32(1),), (np.int32(1),),
                 (1, 1), Left(1, 1), Right(1, 1), ((1,), 1), (1, (1,)), ((1, 1), 1), ((), 1)]
        cases = [(each,) for each in cases] + [each for each in cases if len(each) == 1]
        for args in cases:
            theirs, ours = both(nothing, args)
            assert ours == theirs, args
        handles = {int(each.parts[0]) for each in nothing._packed._signatures.values()}
        assert len(handles) == len(cases), "two signatures share compiled code"
        both(nothing, (1,), (2, 3), (4, 5, 6)), both(nothing, (1,), 7, (8,)), both(nothing, (1,), (9,), 10)
        assert taken.grids[-3:] == [(2, 3, 1, 4, 5, 6), (7, 1, 1, 8, 1, 1), (9, 1, 1, 10, 1, 1)]
        print(json.dumps([len(nothing._packed._signatures)]))
        """,
    )
    assert kinds == 23


def test_what_cannot_be_packed_is_launched_by_numba(tmp_path: Path) -> None:
    """An integer that only uint64 holds, after smaller ones and before; an array of the host; and whatever the driver refuses."""
    (cases,) = run(
        tmp_path,
        """
        def launches_of(values, by_numba):
            '''The values that a new kernel is launched with, through Numba or packed, for each of these.'''
            found = []
            dispatcher.launch = lambda stream, config, kernel, *args: found.append([bytes(word(each)) for each in args])

            @_jit.kernel
            def fresh(x):
                pass

            def launch(handle, x, y, z, across, down, deep, shared, stream, addresses, extra):
                (pointer,) = (ctypes.c_void_p * 1).from_address(addresses)
                found.append([ctypes.string_at(pointer, 8)])
                return 0,

            fresh._packed._driver = fresh._packed._driver._replace(launch=launch)
            for value in values:
                (fresh.launch_by_numba if by_numba else fresh.launch)(1, 32, value)
            return found

        whole = [(5, 2**63, 6, -1), (2**63 + 1, 7, 2**64 - 1, 8), (2**63, 2**63, 2**63)]
        for values in whole:
            assert launches_of(values, False) == launches_of(values, True), values
        by_host = [np.zeros(3, np.float32)] * 3
        assert len(launches_of(by_host, False)) == 3

        class Error(Exception):
            pass

        def refuse(*args):
            raise Error("CUDA_ERROR_OUT_OF_MEMORY: no room")

        dispatcher.launch = real
        nothing.launch(1, 32, 5)
        nothing._packed._driver = nothing._packed._driver._replace(launch=lambda *args: (2,))
        dispatcher.launch = refuse
        try:
            nothing.launch(1, 32, 6)
        except Error as error:
            assert memory.is_shortage(error)
        else:
            raise AssertionError("the driver's error is lost")
        print(json.dumps([len(whole)]))
        """,
    )
    assert cases == 3


def test_a_thread_that_has_no_context_yet_gets_one_from_numba(tmp_path: Path) -> None:
    """The driver counts launches; those in a thread without a context fail, and are made again by Numba, which takes the device's."""
    before, after, refused = run(
        tmp_path,
        """
        x = memory.to_device(np.zeros(3, np.float32))
        for _ in range(3):
            nothing.launch(1, 32, x)
        before, statuses, launch = driver.empty_driver_launches(), [], nothing._packed._driver.launch

        def watching(*args):
            (status,) = launch(*args)
            statuses.append(int(status))
            return status,

        nothing._packed._driver = nothing._packed._driver._replace(launch=watching)
        thread = threading.Thread(target=lambda: [nothing.launch(1, 32, x) for _ in range(3)])
        thread.start()
        thread.join()
        print(json.dumps([before, driver.empty_driver_launches(), statuses]))
        """,
    )
    assert before == 3
    assert after == 7, "three launches, and one that was refused"
    assert refused == [201, 0, 0]


def test_threads_do_not_write_into_each_others_slots(tmp_path: Path) -> None:
    """While the driver reads the slots, another thread that launches the same kernel waits."""
    mixed, launches = run(
        tmp_path,
        """
        import time
        pair.launch(1, 32, 0, 0)
        seen = []

        def launch(handle, x, y, z, across, down, deep, shared, stream, addresses, extra):
            pointers = (ctypes.c_void_p * 2).from_address(addresses)
            first = ctypes.c_int64.from_address(pointers[0]).value
            time.sleep(0)
            seen.append((first, ctypes.c_int64.from_address(pointers[1]).value))
            return 0,

        pair._packed._driver = pair._packed._driver._replace(launch=launch)
        sys.setswitchinterval(1e-6)
        threads = [threading.Thread(target=lambda k=k: [pair.launch(1, 32, k, k) for _ in range(300)]) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(json.dumps([sum(a != b for a, b in seen), len(seen)]))
        """,
    )
    assert (mixed, launches) == (0, 1200)


def test_memory_lives_as_long_as_a_view_or_a_slice_of_it(tmp_path: Path) -> None:
    (freed,) = run(
        tmp_path,
        """
        import gc
        gc.disable()
        whole = memory.to_device(np.arange(6, dtype=np.int64))
        owner = whole.gpu_data._mem.own.__self__
        view, part = whole.reshape(2, 3), whole[2:5]
        assert whole.reshape(2, 3) is view
        del whole
        assert part.copy_to_host().tolist() == [2, 3, 4] and part.reshape(3, 1).copy_to_host().tolist() == [[2], [3], [4]]
        part.copy_to_device(np.array([7, 8, 9]))
        assert view.copy_to_host().tolist() == [[0, 1, 7], [8, 9, 5]]
        assert view[1:].copy_to_host().tolist() == [[8, 9, 5]] and view[1].copy_to_host().tolist() == [8, 9, 5]
        assert part[1:][1:].copy_to_host().tolist() == [9] and len(part[3:]) == 0 and part[-1:].copy_to_host().tolist() == [9]
        del view
        assert owner._finalizer.alive
        del part
        print(json.dumps([not owner._finalizer.alive]))
        """,
    )
    assert freed, "an array and its views keep each other: memory would wait for Python's collector"


def test_the_benchmark_of_the_host_prints_each_op(tmp_path: Path) -> None:
    file = tmp_path / "host.json"
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "gpu_host.py"), "--model=softmax", "--batch-size=4", "--steps=3", "--json", str(file)],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, after = json.loads(file.read_text(encoding="utf-8"))["ways"].values()
    assert before["launches"] == after["launches"] > 5
    for way in (before, after):
        assert sum(op["launches"] for op in way["ops"].values()) == way["launches"]
        assert {"gather_images", "dense", "dense_backward", "update_all", "record_step"} <= way["ops"].keys()
    assert "all the rest" in done.stdout
    assert "packed" in done.stdout
