"""Atomic instructions on the PTX device: each thread's takes effect, in whatever order."""

from functools import reduce
from typing import Any

import numpy as np
import pytest
from ptx.stand_in import PtxDevice

VALUES = np.random.default_rng(0).integers(0, 2**20, 64).astype(np.uint32)
START = 12345

EXPECTED = {
    "add": START + int(VALUES.sum()),
    "max": max(START, int(VALUES.max())),
    "min": min(START, int(VALUES.min())),
    "and_": reduce(int.__and__, map(int, VALUES), START),
    "or_": reduce(int.__or__, map(int, VALUES), START),
    "xor": reduce(int.__xor__, map(int, VALUES), START),
}


@pytest.fixture
def numba_cuda(ptx_device: PtxDevice) -> Any:
    from numba import cuda

    return cuda


def run(cuda: Any, kernel: Any, start: int = START) -> tuple[int, list[int]]:
    """The last value of the cell, and what each thread has found there."""
    cell, values = cuda.to_device(np.array([start], np.uint32)), cuda.to_device(VALUES)
    found = cuda.to_device(np.zeros(len(VALUES), np.uint32))
    cuda.jit(kernel)[2, len(VALUES) // 2](cell, values, found)
    return int(cell.copy_to_host()[0]), sorted(map(int, found.copy_to_host()))


def test_the_value_of_each_thread_counts(numba_cuda: Any) -> None:
    cuda = numba_cuda

    def kernel(cells: Any, values: Any) -> None:
        value = values[cuda.grid(1)]
        cuda.atomic.add(cells, 0, value)
        cuda.atomic.max(cells, 1, value)
        cuda.atomic.min(cells, 2, value)
        cuda.atomic.and_(cells, 3, value)
        cuda.atomic.or_(cells, 4, value)
        cuda.atomic.xor(cells, 5, value)

    cells = cuda.to_device(np.full(len(EXPECTED), START, np.uint32))
    cuda.jit(kernel)[2, len(VALUES) // 2](cells, cuda.to_device(VALUES))
    assert cells.copy_to_host().tolist() == list(EXPECTED.values())


def test_each_thread_finds_another_count(numba_cuda: Any) -> None:
    cuda = numba_cuda

    def up(cell: Any, values: Any, found: Any) -> None:
        found[cuda.grid(1)] = cuda.atomic.inc(cell, 0, 39)  # 40 follow each other, then from 0 again

    def down(cell: Any, values: Any, found: Any) -> None:
        found[cuda.grid(1)] = cuda.atomic.dec(cell, 0, 39)

    for kernel, last in ((up, 24), (down, 16)):
        count, found = run(cuda, kernel, start=0)
        assert count == last
        assert len(set(found)) == 40


def test_an_exchange_hands_each_value_to_one_thread(numba_cuda: Any) -> None:
    cuda = numba_cuda

    def kernel(cell: Any, values: Any, found: Any) -> None:
        found[cuda.grid(1)] = cuda.atomic.exch(cell, 0, values[cuda.grid(1)])

    last, found = run(cuda, kernel)
    assert sorted([last, *found]) == sorted([START, *map(int, VALUES)])


def test_one_thread_alone_finds_what_it_compares_with(numba_cuda: Any) -> None:
    cuda = numba_cuda

    def kernel(cell: Any, values: Any, found: Any) -> None:
        found[cuda.grid(1)] = cuda.atomic.cas(cell, 0, np.uint32(START), np.uint32(7))

    last, found = run(cuda, kernel)
    assert last == 7
    assert found == [7] * (len(VALUES) - 1) + [START]
