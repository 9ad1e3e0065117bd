"""A device under test: its ops, its memory between guard bytes, and calls that check what every op owes its caller."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numba
import numpy as np

GUARD = 256  # bytes on each side: a multiple of every alignment
CANARY = 0xFF  # makes NaN of floats and -1 of integers: a value that was read but never written shows


class Device:
    """One way to compute: ``plain`` (readable CPU kernels), ``fast`` (the CPU's own, convolutions summed directly) or ``cuda``.

    Args:
        name: which one. Nothing of a GPU is imported for the others.
    """

    def __init__(self, name: str) -> None:
        folder = "cuda" if name == "cuda" else "cpu"
        module = import_module(f"numbacnn.backends.{'cuda.memory' if name == 'cuda' else 'cpu.arena'}")
        self.name, self.arena = name, module.arena
        self._allocate = self.arena._allocate
        self._cages: list[tuple[Any, int]] = []
        if name == "plain":
            self.ops = import_module("numbacnn.backends.cpu.plain.ops").PlainOps()
        elif name == "fast":
            self.ops = import_module("numbacnn.backends.cpu.ops").CpuOps(exact_conv=True)
        else:
            self.ops = import_module(f"numbacnn.backends.{folder}.ops").CudaOps()

    def allocate(self, size: int) -> Any:
        """Memory for the arena: ``size`` bytes in the middle of a longer array, all canaries."""
        cage = self._allocate(size + 2 * GUARD)
        self._copy(np.full(size + 2 * GUARD, CANARY, np.uint8), cage)
        self._cages.append((cage, size))
        return cage[GUARD : GUARD + size]

    @property
    def allocations(self) -> int:
        """How many times memory was asked for."""
        return len(self._cages)

    def check(self) -> None:
        """Nothing was written outside of an array."""
        for cage, size in self._cages:
            written = np.flatnonzero(np.delete(self.ops.to_host(cage), np.s_[GUARD : GUARD + size]) != CANARY)
            assert not written.size, f"bytes outside of an array of {size} were written, the first at {written[0] - GUARD}"

    def put(self, host: Any) -> Any:
        """A guarded copy of a NumPy array on the device."""
        host = np.ascontiguousarray(host)
        x = self.arena.empty(host.shape, host.dtype)
        if host.size:
            self._copy(host, x)
        return x

    def get(self, x: Any) -> Any:
        """A copy of a device array on the host; None as None."""
        return None if x is None else np.array(self.ops.to_host(x))

    def run(self, op: str | Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """The results of an op on the host. It must leave its arguments as they are, stay within its arrays, and repeat itself.

        Args:
            op: the name of an op, or a function of device arrays that returns one, or a tuple or list of them.
            arguments: NumPy arrays, or lists of them, are brought to the device; all else is passed on.
            options: passed on.
        """
        function = getattr(self.ops, op) if isinstance(op, str) else op
        given = [self._brought(argument) for argument in arguments]
        first, second = ([self.get(result) for result in _as_list(function(*given, **options))] for _ in range(2))
        self.check()
        for before, after in zip(arguments, given, strict=True):
            for one, other in zip(_as_list(before), _as_list(after), strict=True):
                if isinstance(one, np.ndarray):
                    np.testing.assert_array_equal(self.get(other), one, err_msg="an argument was changed")
        for one, other in zip(first, second, strict=True):
            if one is not None:
                assert one.tobytes() == other.tobytes(), "the second call gave other bits"
        return first[0] if len(first) == 1 else first

    def _brought(self, argument: Any) -> Any:
        if isinstance(argument, list):
            return [self._brought(each) for each in argument]
        return self.put(argument) if isinstance(argument, np.ndarray) else argument

    def _copy(self, host: Any, x: Any) -> None:
        if self.name == "cuda":
            x.copy_to_device(host)
        else:
            x[...] = host


@contextmanager
def one_thread() -> Iterator[None]:
    """Many calls on a handful of cells: waking a second thread for each would cost more than the work."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


@contextmanager
def guarded(name: str) -> Iterator[Device]:
    """The device, whose arrays lie between guard bytes; they are looked at after each ``run``, and in the end."""
    device = Device(name)
    device.arena._allocate = device.allocate
    try:
        yield device
    finally:
        device.arena._allocate = device._allocate
    device.check()


@contextmanager
def small(name: str) -> Iterator[Device]:
    """The device for an example of many: on one thread."""
    with one_thread(), guarded(name) as device:
        yield device


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def normal(seed: int, dtype: Any, *shapes: tuple[int, ...]) -> list[Any]:
    """Standard normal numbers, an array for each shape."""
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape).astype(dtype) for shape in shapes]
