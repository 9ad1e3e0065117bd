"""The vector registers of this CPU."""

import platform
from typing import Any, NamedTuple

import numba
from numba.core.codegen import get_host_cpu_features


class VectorUnit(NamedTuple):
    """The vector registers of a CPU.

    Args:
        name: the instruction set, for people.
        lanes: float32 values in one vector register.
        registers: the number of vector registers.
    """

    name: str
    lanes: int
    registers: int

    @property
    def fuses(self) -> bool:
        """Whether it multiplies and adds with a single rounding: the condition for equal bits on unlike CPUs."""
        return self.name != "SSE"


def vector_unit(features: str, machine: str) -> VectorUnit:
    """Recognise the vector registers of a CPU.

    Args:
        features: LLVM's list, as in ``"+avx2,+fma,-avx512f"``.
        machine: ``platform.machine()``.
    """
    has = set(features.split(","))
    if "+avx512f" in has:
        return VectorUnit("AVX-512", 16, 32)
    if {"+avx2", "+fma"} <= has:
        return VectorUnit("AVX2", 8, 16)
    if machine in ("aarch64", "arm64"):
        return VectorUnit("NEON", 4, 32)
    return VectorUnit("SSE", 4, 16)


_config: Any = numba.config  # type checkers do not see its members
_features = get_host_cpu_features() if _config.CPU_FEATURES is None else _config.CPU_FEATURES
VECTOR_UNIT = vector_unit(_features, platform.machine())
LANES = VECTOR_UNIT.lanes
