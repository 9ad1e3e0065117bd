"""Launches that take the host a few microseconds: arguments are packed into fixed slots, whose addresses the driver is given.

Numba types each argument of each launch, looks for the kernel compiled for these types, and makes an object of each word: several times
the time that the GPU takes for a small kernel. Here the first launch with arguments of some types is Numba's, which compiles the kernel.
Later ones pack the words of the arguments into memory of that signature, and call the driver.

How Numba passes arguments (``_Kernel._prepare_args``): an array is the words of ``DeviceArray.words``, each of them a parameter; a tuple
is its items, one after the other; a number is one parameter. What is not known here is launched by Numba every time.
"""

import ctypes
import struct
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

NUMBERS: dict[Any, tuple[str, str]] = {
    int: ("int64", "q"),
    bool: ("bool", "?7x"),
    float: ("float64", "d"),
    np.bool_: ("bool", "?7x"),
    np.int8: ("int8", "b7x"),
    np.int16: ("int16", "h6x"),
    np.int32: ("int32", "i4x"),
    np.int64: ("int64", "q"),
    np.uint8: ("uint8", "B7x"),
    np.uint16: ("uint16", "H6x"),
    np.uint32: ("uint32", "I4x"),
    np.uint64: ("uint64", "Q"),
    np.float32: ("float32", "f4x"),
    np.float64: ("float64", "d"),
}
"""Numba's type of a number, and its slot of eight bytes in the words of ``struct``."""

SLOT = 8


class Driver(NamedTuple):
    """What launches need of numba-cuda and the driver.

    Args:
        array: the class of arrays that keep their words.
        type_of: Numba's type of an argument.
        handle_of: the driver's handle of a compiled kernel, or None if Numba does more for its launch than to call the driver.
        launch: ``cuLaunchKernel`` of cuda.bindings.
    """

    array: Any
    type_of: Callable[[Any], Any]
    handle_of: Callable[[Any], Any]
    launch: Callable[..., Any]


class Signature:
    """A kernel compiled for arguments of some types, and the slots of its arguments.

    Args:
        handle: of the kernel.
        layout: of the slots, as ``struct`` has it.
        count: of the slots.
    """

    def __init__(self, handle: Any, layout: str, count: int) -> None:
        self._slots = ctypes.create_string_buffer(max(SLOT * count, 1))
        first = ctypes.addressof(self._slots)
        self._addresses = (ctypes.c_void_p * max(count, 1))(*(first + SLOT * i for i in range(count)))
        # The driver has read the slots when the call returns; until then no other thread may write to them.
        self.lock = threading.Lock()
        self.parts = handle, struct.Struct("<" + layout).pack_into, self._slots, ctypes.addressof(self._addresses), self.lock


class PackedLaunches:
    """The launches of one kernel.

    Args:
        overloads: of Numba's dispatcher: compiled kernels by the types of their arguments.
        driver: see there.
    """

    def __init__(self, overloads: Any, driver: Driver) -> None:
        self._overloads, self._driver = overloads, driver
        self._signatures: dict[tuple[Any, ...], Signature | None] = {}

    def launch(self, blocks: Any, threads: Any, args: tuple[Any, ...]) -> bool:
        """Launch the kernel. False if nothing was launched, and Numba is to do it: it knows all types, finds the device's context, and
        raises its own errors where the driver refuses.
        """
        words: list[Any] = []
        kinds: list[Any] = []
        _flatten(args, self._driver.array, words, kinds)
        signature = self._signatures.get(tuple(kinds))
        if signature is None:
            return False
        handle, pack, slots, addresses, lock = signature.parts
        x, y, z = _three(blocks)
        across, down, deep = _three(threads)
        with lock:
            try:
                pack(slots, 0, *words)
            except struct.error:  # an integer beyond int64, which Numba gives another type
                return False
            (status,) = self._driver.launch(handle, x, y, z, across, down, deep, 0, 0, addresses, 0)
        return not status

    def learn(self, args: tuple[Any, ...]) -> None:
        """Note the kernel that Numba has launched with arguments of these types."""
        words: list[Any] = []
        kinds: list[Any] = []
        _flatten(args, self._driver.array, words, kinds)
        key = tuple(kinds)
        if key not in self._signatures:
            self._signatures[key] = self._signature(args, len(words))

    def _signature(self, args: tuple[Any, ...], count: int) -> Signature | None:
        types = tuple(map(self._driver.type_of, args))
        compiled, layout = self._overloads.get(types), _layout(args, types, self._driver.array)
        handle = None if compiled is None or layout is None else self._driver.handle_of(compiled)
        return None if handle is None or layout is None else Signature(handle, layout, count)


def _flatten(args: tuple[Any, ...], array: Any, words: list[Any], kinds: list[Any]) -> None:
    """The words of arguments, and what decides their types: a number's class, an array's ``kind``, a tuple's class and length."""
    for value in args:
        kind = value.__class__
        if kind is int:
            words.append(value)
            kinds.append(kind)
        elif kind is array:
            words += value.words
            kinds.append(value.kind)
        elif isinstance(value, tuple):
            kinds.append(kind)
            kinds.append(len(value))
            _flatten(value, array, words, kinds)
        else:
            words.append(value)
            kinds.append(kind)


def _layout(value: Any, kind: Any, array: Any) -> str | None:
    """The slots of an argument of Numba's type ``kind``; None if Numba sees another type in it, or this module none."""
    if value.__class__ is array:
        return "4qQ" + "q" * (2 * value.ndim) if str(kind) == value.kind else None
    if isinstance(value, tuple):
        parts = [_layout(each, each_kind, array) for each, each_kind in zip(value, kind, strict=True)]
        return None if None in parts else "".join(map(str, parts))
    name, slot = NUMBERS.get(value.__class__, ("", ""))
    return slot if str(kind) == name else None


def _three(sides: Any) -> Any:
    """The sides of a grid or a block along its three axes."""
    return (*sides, 1, 1)[:3] if isinstance(sides, tuple) else (sides, 1, 1)
