"""Weights that will not change: what kernels want made of them (panels, spectra) is made once, not in each call."""

from collections.abc import Callable, Hashable
from typing import Any

from numbacnn.backends.cpu.arena import arena
from numbacnn.values import Array


class PreparedWeights:
    """An array of weights, and what has been made of it so far.

    Args:
        array: the weights, which must stay as they are.
    """

    __slots__ = ("_made", "array", "dtype", "shape")

    def __init__(self, array: Array) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self._made: dict[Hashable, Any] = {}

    def made(self, what: Hashable, make: Callable[[Array], Any]) -> Any:
        """The result of ``make``, which is called for ``what`` once."""
        if what not in self._made:
            with arena.set_aside():
                self._made[what] = make(self.array)
        return self._made[what]


def prepared(weights: Array | PreparedWeights, what: Hashable, make: Callable[[Array], Any]) -> Any:
    """What ``make`` makes of weights: anew, unless they are frozen.

    Args:
        what: a name for it, with all that it depends on besides the weights.
    """
    return weights.made(what, make) if isinstance(weights, PreparedWeights) else make(weights)
