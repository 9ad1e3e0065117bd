"""Which parameters ranks of a host share, and which rows of them each updates: with a stand-in for MPI's window, without processes."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from numbacnn.engines import shared
from numbacnn.engines.shared import LEAST, SharedParameters

LARGE = (LEAST // 4 // 1000 + 1, 1000)


class Window:
    """Memory of one process."""

    def __init__(self, size: int) -> None:
        self._memory = bytearray(size)

    def Shared_query(self, rank: int) -> tuple[bytearray, int]:
        return self._memory, 1

    def Lock_all(self) -> None: ...

    def Sync(self) -> None: ...


def parameters(rank: int = 0, size: int = 3) -> SharedParameters:
    host: Any = SimpleNamespace(rank=rank, size=size, bcast=lambda value: value)
    window = SimpleNamespace(Allocate_shared=lambda count, unit, comm: Window(int(np.prod(LARGE)) * 4))
    return SharedParameters(SimpleNamespace(Win=window), host, lambda: None)


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "free_bytes", lambda: 2**30)


def test_each_row_of_a_large_kernel_is_updated_by_one_rank() -> None:
    covered = []
    for rank in range(3):
        ranks = parameters(rank)
        kernel = ranks.place(np.ones(LARGE, np.float32))
        assert kernel.flags.carray
        covered += list(range(*ranks.rows(kernel).indices(LARGE[0])))
    assert covered == list(range(LARGE[0]))


def test_the_first_rank_gives_the_values() -> None:
    values = np.random.default_rng(0).standard_normal(LARGE).astype(np.float32)
    kernel = parameters().place(values)
    assert kernel is not values
    assert np.array_equal(kernel, values)


@pytest.mark.parametrize(
    ("array", "size"),
    [(np.ones((100, 100), np.float32), 3), (np.ones(LEAST, np.float32), 3), (np.ones(LARGE, np.float32), 1)],
    ids=["small", "not a matrix", "one rank"],
)
def test_other_parameters_stay_with_each_rank_which_updates_all_of_them(array: np.ndarray, size: int) -> None:
    ranks = parameters(size=size)
    assert ranks.place(array) is array
    assert ranks.rows(array) == slice(None)


def test_a_host_without_room_shares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "free_bytes", lambda: LEAST)
    ranks, array = parameters(), np.ones(LARGE, np.float32)
    assert ranks.place(array) is array
    assert ranks.rows(array) == slice(None)
