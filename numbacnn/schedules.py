"""Learning-rate schedules: functions of the time trained, in epochs (2.5 is the middle of the third)."""

import math
from collections.abc import Callable

from numbacnn.elementary import cosine_of_turns, power

Schedule = Callable[[float], float]


def constant(learning_rate: float) -> Schedule:
    """The same rate throughout."""
    return lambda time: learning_rate


def exponential(learning_rate: float, decay: float) -> Schedule:
    """``learning_rate * decay ** epoch``, changing with each epoch. Source: the lecture's slide "Some Improvement (5/5)"."""
    return lambda time: learning_rate * power(decay, math.floor(time))


def cosine(learning_rate: float, epochs: float) -> Schedule:
    """Half a cosine from ``learning_rate`` to 0. Source: Loshchilov & Hutter 2017 (arXiv:1608.03983), equation 5."""
    return lambda time: learning_rate * 0.5 * (1 + cosine_of_turns(0.5 * min(time / epochs, 1.0)))


def one_cycle(learning_rate: float, epochs: float, warm_up: float = 0.3, start: float = 0.04, end: float = 1e-4) -> Schedule:
    """Up to ``learning_rate`` and down again, each half a cosine.

    Args:
        learning_rate: the peak.
        epochs: length of the cycle.
        warm_up: share of the cycle that goes up.
        start, end: the first and the last rate, as fractions of the peak.

    Source: Smith & Topin 2018 (arXiv:1708.07120), with cosine ramps.
    """

    def rate(time: float) -> float:
        done = min(time / epochs, 1.0)
        if done < warm_up:
            return learning_rate * _ramp(start, 1.0, done / warm_up)
        return learning_rate * _ramp(1.0, end, (done - warm_up) / (1 - warm_up))

    return rate


def _ramp(first: float, last: float, share: float) -> float:
    return last + (first - last) * 0.5 * (1 + cosine_of_turns(0.5 * share))


SCHEDULES = ("constant", "exponential", "cosine", "one-cycle")


def schedule(name: str, learning_rate: float, decay: float, epochs: int) -> Schedule:
    """A schedule by its name on the command line."""
    makers: dict[str, Callable[[], Schedule]] = {
        "constant": lambda: constant(learning_rate),
        "exponential": lambda: exponential(learning_rate, decay),
        "cosine": lambda: cosine(learning_rate, epochs),
        "one-cycle": lambda: one_cycle(learning_rate, epochs),
    }
    return makers[name]()
