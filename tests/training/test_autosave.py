"""Checkpoints within an epoch: soon after the start, then every so often, and never for more than their share of the time."""

import pytest

from numbacnn.training.autosave import Autosave


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("every", "first"), [(30.0, 10.0), (3.0, 3.0), (3600.0, 10.0)])
def test_the_first_checkpoint_comes_soon_and_the_next_after_the_time_asked_for(every: float, first: float) -> None:
    time = Time()
    autosave = Autosave(every, time)
    time.now += first - 0.1
    assert not autosave.is_due()
    time.now += 0.2
    assert autosave.is_due()
    with autosave.saving():
        pass
    time.now += every - 0.1
    assert not autosave.is_due()
    time.now += 0.2
    assert autosave.is_due()


def test_a_slow_disk_gets_fewer_checkpoints() -> None:
    time = Time()
    autosave = Autosave(30.0, time)
    spent, trained = 0.0, 0.0
    while trained < 10_000:
        time.now += 1
        trained += 1
        if autosave.is_due():
            with autosave.saving():
                time.now += 4
                spent += 4
    assert 0.015 < spent / trained <= 0.02 + 4 / 10_000


def test_a_checkpoint_that_fails_is_not_tried_again_at_every_step() -> None:
    time = Time()
    autosave = Autosave(30.0, time)
    time.now += 11
    with pytest.raises(OSError, match="full"), autosave.saving():
        raise OSError("full")
    assert not autosave.is_due()
    time.now += 31
    assert autosave.is_due()
