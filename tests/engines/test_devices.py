"""Each process of a host takes a GPU of its own."""

import os

import pytest

from numbacnn.engines.devices import VISIBLE, take_gpu


@pytest.mark.parametrize(
    ("given", "local_rank", "taken"),
    [
        (None, 0, "0"),
        (None, 3, "3"),
        ("4,5,6", 1, "5"),
        (" 4 , 5", 0, "4"),
        ("GPU-ab,GPU-cd", 1, "GPU-cd"),
        ("7", 0, "7"),
        ("7", 2, "7"),  # srun --gpus-per-task=1 gives each its own
        ("4,5", 2, ""),
        ("", 1, ""),
    ],
)
def test_a_process_takes_the_gpu_of_its_number(
    monkeypatch: pytest.MonkeyPatch, given: str | None, local_rank: int, taken: str
) -> None:
    monkeypatch.setenv(VISIBLE, "")  # restored at the end
    if given is None:
        del os.environ[VISIBLE]
    else:
        os.environ[VISIBLE] = given
    take_gpu(local_rank)
    assert os.environ[VISIBLE] == taken
