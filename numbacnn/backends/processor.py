"""The processor that kernels are compiled for: a level of x86-64, so that one machine's kernels serve every other of that level.

    x86-64-v4    AVX-512: vectors of 16 values
    x86-64-v3    AVX2 and fused multiply-adds: vectors of 8
    native       this very processor: what other kinds of processors take

Networks are equal to the bit (docs/exactness.md), so the clock may choose: ``vector_gain`` measures what the longer vectors bring.
A level says which instructions may be used; for their order, LLVM has better models of the processors named below than of a level.
"""

import functools
from typing import NamedTuple

from numbacnn.backends.environment import import_numba, silence_small_grids
from numbacnn.errors import DeviceError

NATIVE = "native"

_V3 = frozenset({
    "64bit", "avx", "avx2", "bmi", "bmi2", "cmov", "crc32", "cx16", "cx8", "f16c", "fma", "fxsr", "lzcnt", "mmx", "movbe", "popcnt",
    "sahf", "sse", "sse2", "sse3", "sse4.1", "sse4.2", "ssse3", "xsave",
})  # fmt: skip
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}

FEATURES = {"x86-64-v3": _V3, "x86-64-v4": _V4}
"""The instructions of each level, by LLVM's names. Source: x86-64 psABI, table 3.1."""

MODELS = {"x86-64-v3": "x86-64-v3", "x86-64-v4": "sapphirerapids"}
"""The processor of LLVM by whose times instructions are put in order. That of x86-64-v4 itself makes transforms a quarter slower."""

PROCESSORS = (*FEATURES, NATIVE)

LEAST_GAIN = 1.2
"""Of arithmetic by vectors of 16. Some processors execute them in two halves, and are faster with vectors of 8."""


class Processor(NamedTuple):
    """What kernels are compiled for, and why.

    Args:
        name: one of PROCESSORS.
        reason: a clause, for people.
    """

    name: str
    reason: str


class _Pinned:
    name: str | None = None


def pin(name: str | None) -> None:
    """Compile for one of PROCESSORS from now on; None to choose. No effect on kernels that this process has compiled."""
    _Pinned.name = name


def pinned() -> str | None:
    """What ``pin`` was told."""
    return _Pinned.name


def check() -> None:
    """Raise DeviceError if kernels are pinned to a level whose instructions this processor lacks."""
    if _Pinned.name is not None and (lacking := missing(_Pinned.name)):
        raise DeviceError(
            f"--processor {_Pinned.name}: expected a processor that has {', '.join(lacking)}, got one without. "
            f"Use --processor {NATIVE}, or leave it out"
        )


def missing(name: str) -> list[str]:
    """The instructions of one of PROCESSORS that this processor lacks."""
    return sorted(FEATURES.get(name, frozenset()) - _present())


def target(name: str) -> tuple[str, str]:
    """The processor and its instructions that kernels for one of PROCESSORS are compiled for, as LLVM names them."""
    from llvmlite import binding

    if name not in FEATURES:
        return str(binding.get_host_cpu_name()), str(binding.get_host_cpu_features().flatten())
    return MODELS[name], ",".join(f"{'+' if feature in FEATURES[name] else '-'}{feature}" for feature in sorted(_known()))


@functools.cache
def settle() -> Processor:
    """Tell Numba what to compile for, before it compiles for the first time in this process."""
    import_numba()
    from numba import config
    from numba.core.registry import cpu_target

    # When a variable has changed, the next compilation reads them all again, and forgets what is told here: none is to change later.
    silence_small_grids()
    config.reload_config()
    settings: dict[str, object] = vars(config)
    if settings["CPU_NAME"] is not None or settings["CPU_FEATURES"] is not None:
        return Processor(NATIVE, "as the environment says")
    if "_toplevel_target_context" in vars(cpu_target):
        return Processor(NATIVE, "as this process had compiled other functions by Numba before")
    chosen = _choose()
    if chosen.name in FEATURES:
        settings["CPU_NAME"], settings["CPU_FEATURES"] = target(chosen.name)
    return chosen


def _choose() -> Processor:
    if _Pinned.name is not None:
        return Processor(_Pinned.name, "as --processor says")
    present = _present()
    if FEATURES["x86-64-v4"] <= present:
        from numbacnn.backends.vector_gain import vector_gain  # late: it compiles

        gain = vector_gain()
        figure = f"vectors of 16 values compute {gain:.2f} times as fast as vectors of 8"
        return Processor("x86-64-v4" if gain >= LEAST_GAIN else "x86-64-v3", figure)
    if FEATURES["x86-64-v3"] <= present:
        return Processor("x86-64-v3", "AVX2, without AVX-512")
    return Processor(NATIVE, "of none of the levels")


def _known() -> dict[str, bool]:
    from llvmlite import binding

    return dict(binding.get_host_cpu_features())


def _present() -> set[str]:
    return {feature for feature, is_there in _known().items() if is_there}
