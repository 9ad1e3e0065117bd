"""The number of threads is adapted to what is measured: soon where it matters, and at little cost where it does not."""

from collections.abc import Callable
from typing import cast

import pytest

from numbacnn.backends.pace import MeasuredPace, Times, ways
from numbacnn.backends.places import Places

Speed = Callable[[int, float], float]
"""Seconds of a step on a number of threads at a time."""


class Recorder:
    """In place of ``Places``."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.left: list[int] = []

    def take(self, number: int) -> None:
        self.taken.append(number)

    def leave(self, number: int) -> None:
        self.left.append(number)


class World:
    """A clock that only steps move."""

    def __init__(self, threads: int, speed: Speed, images: int = 100, numbers: list[int] | None = None) -> None:
        self.now, self.speed, self.images = 0.0, speed, images
        self.places, self.times = Recorder(), Times()
        self.pace = MeasuredPace(
            ways(threads) if numbers is None else numbers, cast(Places, self.places), self.times, clock=lambda: self.now
        )

    def run(self, seconds: float) -> dict[int, float]:
        """The shares of the time on each number of threads, from now on."""
        before, until = dict(self.times.seconds), self.now + seconds
        while self.now < until:
            with self.pace.step(self.images):
                self.now += self.speed(self.places.taken[-1], self.now)
        spent = {number: self.times.seconds[number] - before.get(number, 0.0) for number in self.times.seconds}
        return {number: each / sum(spent.values()) for number, each in spent.items()}


def test_numbers_of_threads_are_halves() -> None:
    assert ways(12) == [12, 6, 3, 1]
    assert ways(1) == [1]


@pytest.mark.parametrize("step", [0.0001, 0.004, 0.013])
def test_on_a_quiet_machine_trials_cost_a_hundredth(step: float) -> None:
    quiet = World(2, lambda threads, now: step * (1.9 if threads == 1 else 1))
    shares = quiet.run(20)
    assert shares[2] > 0.98
    images = 20 / step
    assert quiet.now < 21
    assert len(quiet.places.taken) > 0.99 * images


def test_where_all_threads_are_slower_one_takes_over_within_a_second() -> None:
    busy = World(2, lambda threads, now: 0.001 if threads == 1 else 0.02)
    busy.run(1)
    assert busy.run(10)[1] > 0.9


def test_when_the_load_goes_all_threads_come_back() -> None:
    world = World(
        2, lambda threads, now: {1: 0.001, 2: 0.02 if now < 5 else 0.0005}[threads] * (2 if now < 5 and threads == 1 else 1)
    )
    assert world.run(5)[1] > 0.8
    world.run(1)
    assert world.run(5)[2] > 0.9


def test_when_a_load_comes_fewer_threads_are_tried_at_once() -> None:
    world = World(4, lambda threads, now: 0.004 / threads if now < 10 else {4: 0.2, 2: 0.004, 1: 0.004}[threads])
    assert world.run(10)[4] > 0.95
    world.run(3)
    assert world.run(5).get(4, 0) < 0.25


def test_a_small_network_on_many_processors_finds_the_number_that_is_fastest() -> None:
    world = World(64, lambda threads, now: 0.001 / threads + 0.00002 * threads)  # fastest with 8
    world.run(3)
    shares = world.run(10)
    assert shares[8] > 0.9


def test_batches_of_other_sizes_do_not_look_like_another_load() -> None:
    world = World(2, lambda threads, now: 0.0)
    world.speed = lambda threads, now: world.images * (1e-5 if threads == 2 else 2e-5)
    for _ in range(100):
        world.images = 130 - world.images
        world.run(0.2)
    assert world.times.shares()[2] > 0.97


def test_a_pinned_number_is_never_left() -> None:
    world = World(2, lambda threads, now: 0.02, numbers=[2])
    assert world.run(5) == {2: 1.0}


def test_an_error_in_a_step_leaves_all_threads_to_the_caller() -> None:
    world = World(2, lambda threads, now: 0.001 if threads == 1 else 0.02)
    world.run(2)
    with pytest.raises(ZeroDivisionError), world.pace.step(1):
        raise ZeroDivisionError
    assert world.places.left[-1] == world.places.taken[-1]
    with world.pace.step(1):
        pass


def test_of_two_python_threads_in_one_predictor_one_is_measured() -> None:
    world = World(2, lambda threads, now: 0.001)
    with world.pace.step(1):
        with world.pace.step(1):
            assert len(world.places.taken) == 1
        assert not world.places.left
    assert len(world.places.left) == 1


def test_a_new_pace_begins_where_the_latest_has_come_to() -> None:
    world = World(2, lambda threads, now: 0.001 if threads == 1 else 0.02)
    world.run(2)
    again = MeasuredPace(ways(2), cast(Places, world.places), world.times, clock=lambda: world.now)
    with again.step(1):
        assert world.places.taken[-1] == 1
