"""FiniteLossCheck bytes around every device array, and a call that looks after what no op may do."""

from collections.abc import Callable
from typing import Any

import numpy as np

from numbacnn.backends.cuda.memory import arena, to_device, to_host

GUARD = 256  # bytes on each side; as many as keep what lies between aligned
CANARY = 0xFF  # makes NaN of floats, -1 of integers: what is read but was never written shows


class Canaries:
    """Memory for the arena: each array in the middle of a larger one, which is full of canaries, and so is the array itself."""

    def __init__(self) -> None:
        self._cages: list[tuple[Any, int]] = []

    def allocate(self, size: int) -> Any:
        cage = to_device(np.full(size + 2 * GUARD, CANARY, np.uint8))
        self._cages.append((cage, size))
        return cage[GUARD : GUARD + size]

    @property
    def count(self) -> int:
        """How many times memory was asked for."""
        return len(self._cages)

    def check(self) -> None:
        """Nothing was written outside of an array."""
        for cage, size in self._cages:
            bytes_ = to_host(cage)
            written = np.flatnonzero(np.delete(bytes_, np.s_[GUARD : GUARD + size]) != CANARY)
            assert not written.size, f"bytes outside of an array of {size} were written, the first at {written[0] - GUARD}"

    def device(self, host: Any) -> Any:
        """An array on the device, caged, with the values of ``host``."""
        host = np.ascontiguousarray(host)
        x = arena.empty(host.shape, host.dtype)
        if host.size:
            x.copy_to_device(host)
        return x

    def run(self, op: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """The results of an op on the host. It must leave its arguments as they are, stay within its arrays, and repeat itself.

        Args:
            op: takes device arrays, and gives one, or a tuple or list of them.
            arguments: NumPy arrays, or lists of them, are brought to the device; all else is passed on.
            options: passed on.
        """
        given = [self._brought(argument) for argument in arguments]
        first, second = ([_to_host(each) for each in _as_list(op(*given, **options))] for _ in range(2))
        self.check()
        for before, after in zip(arguments, given, strict=True):
            for one, other in zip(_as_list(before), _as_list(after), strict=True):
                if isinstance(one, np.ndarray):
                    np.testing.assert_array_equal(to_host(other), one, err_msg="an argument was changed")
        for one, other in zip(first, second, strict=True):
            if one is not None:
                assert one.tobytes() == other.tobytes(), "the second call gave other bits"
        return first[0] if len(first) == 1 else first

    def _brought(self, argument: Any) -> Any:
        if isinstance(argument, list):
            return [self._brought(each) for each in argument]
        return self.device(argument) if isinstance(argument, np.ndarray) else argument


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _to_host(x: Any) -> Any:
    return None if x is None else to_host(x)
