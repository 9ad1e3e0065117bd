"""The lecture, alive: its numbers recomputed, its faults, its terms, and its two examples on inputs of one's own.

The lecture is Amir H. Payberah's "Convolutional Neural Networks" (KTH, 2021-11-25). Everything is computed by the ``ops`` that a caller
hands in, and only ``cli/`` prints. Importing this package, its sections, terms and faults loads no numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from numbacnn.lecture.faults import FAULTS, Fault

if TYPE_CHECKING:
    from numbacnn.lecture.check import Check
    from numbacnn.lecture.verification import verify

_LATE = {"Check": "numbacnn.lecture.check", "verify": "numbacnn.lecture.verification"}
"""Names whose modules need numpy, imported at their first use."""


def __getattr__(name: str) -> Any:
    if name in _LATE:
        globals()[name] = value = getattr(import_module(_LATE[name]), name)
        return value
    raise AttributeError(f"module 'numbacnn.lecture' has no attribute {name!r}")


__all__ = ["FAULTS", "Check", "Fault", "verify"]
