"""Weights that no longer change: the forms that kernels read (panels, spectra) are computed once, not in each call."""

from collections.abc import Callable, Hashable
from typing import Any

from numbacnn.backends.cpu.arena import arena
from numbacnn.values import Array


class PreparedWeights:
    """An array of weights, with the forms computed from it so far.

    Args:
        array: the weights, which must not change.
    """

    __slots__ = ("_forms", "array", "dtype", "shape")

    def __init__(self, array: Array) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self._forms: dict[Hashable, Any] = {}

    def form(self, key: Hashable, compute: Callable[[Array], Any]) -> Any:
        """``compute(array)``, called for the first time only; ``key`` names the form and whatever it depends on."""
        if key not in self._forms:
            with arena.set_aside():
                self._forms[key] = compute(self.array)
        return self._forms[key]


def form_of(weights: Array | PreparedWeights, key: Hashable, compute: Callable[[Array], Any]) -> Any:
    """A form of weights: computed anew for an array, looked up for ``PreparedWeights``; see ``PreparedWeights.form``."""
    return weights.form(key, compute) if isinstance(weights, PreparedWeights) else compute(weights)
