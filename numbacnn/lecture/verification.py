"""Every number of the slides, recomputed by a device's own kernels."""

from collections.abc import Callable, Iterator

from numbacnn.lecture.arithmetic import Arithmetic
from numbacnn.lecture.check import Check
from numbacnn.lecture.checks_dense import challenge_checks, dense_checks
from numbacnn.lecture.checks_layers import filter_checks, layer_checks
from numbacnn.lecture.checks_networks import network_checks
from numbacnn.lecture.checks_training import training_checks
from numbacnn.lecture.checks_xo import xo_checks
from numbacnn.ops import Ops

__all__ = ["CHECKED", "Check", "verify"]

CHECKED: dict[str, Callable[[Arithmetic], Iterator[Check]]] = {
    "dense": dense_checks,
    "challenges": challenge_checks,
    "filters": filter_checks,
    "layers": layer_checks,
    "xo": xo_checks,
    "tensorflow": network_checks,
    "training": training_checks,
}
"""The checks of each section that has numbers, in the lecture's order."""


def verify(ops: Ops, section: str | None = None) -> list[Check]:
    """Recompute the lecture's numbers in float64.

    Args:
        ops: the device that computes them.
        section: a key of ``CHECKED``; None for all.

    Returns:
        the checks, in the lecture's order. Those of a wrong device have ``passed=False``; nothing is raised.
    """
    arithmetic = Arithmetic(ops)
    sections = CHECKED if section is None else {section: CHECKED[section]}
    return [each for checks in sections.values() for each in checks(arithmetic)]
