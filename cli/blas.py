"""The threads of NumPy's products of matrices, in a process whose other threads and processes have the processors."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

NAMES = (
    "scipy_openblas_{}_num_threads64_",
    "openblas_{}_num_threads64_",
    "scipy_openblas_{}_num_threads",
    "openblas_{}_num_threads",
)
"""How wheels of NumPy call OpenBLAS's functions, the latest first."""


@contextmanager
def one_thread() -> Iterator[None]:
    """NumPy multiplies on one thread within it, if it has OpenBLAS, as its wheels do. Results stay the same, bit by bit.

    After a product, OpenBLAS's threads poll for the next one for a while. That costs nothing but electricity where processors are idle;
    here it would take them from the processes that read pictures.
    """
    get, set_ = _functions()
    before = get()
    set_(1)
    try:
        yield
    finally:
        set_(before)


def _functions() -> tuple[Callable[[], int], Callable[[int], object]]:
    """How many threads there are, and to change that; where nobody can, functions that do nothing."""
    package = Path(np.__file__).parent
    for folder in (package.with_name("numpy.libs"), package / ".dylibs"):
        for file in folder.glob("*openblas*"):
            try:
                library = ctypes.CDLL(str(file))  # which NumPy has loaded
            except OSError:
                continue
            for name in NAMES:
                if hasattr(library, name.format("set")):
                    return getattr(library, name.format("get")), getattr(library, name.format("set"))
    return lambda: 1, lambda count: None
