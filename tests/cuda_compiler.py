"""Kernels compiled to machine code as for a launch, but without a GPU or its driver: NVVM makes LTO-IR, nvJitLink links it."""

import re
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

from numbacnn.backends.cuda._jit import SIMULATED, Kernel, cuda, kernels, missing_package

ARCHITECTURES = ("sm_75", "sm_80", "sm_90a", "sm_100a")
"""Turing, Ampere, Hopper, Blackwell. From Hopper on, Numba compiles for the exact architecture of the GPU, marked by an "a"."""

WITH_TF32 = ARCHITECTURES[1:]

OLDEST = (7, 5)
"""The architecture of the LTO-IR. LTO-IR for each architecture gives the same machine code."""


class MachineCode(NamedTuple):
    """The compiler's report on a kernel.

    Args:
        registers: of each thread.
        shared: bytes of shared memory of each block.
        stack: bytes of local memory of each thread, for arrays that did not fit into registers.
        spilled: bytes written to memory and read again for lack of registers.
        double: its instructions of double precision, as text.
    """

    registers: int
    shared: int
    stack: int
    spilled: int
    double: list[str]


def why_not() -> str | None:
    """The reason why kernels cannot be compiled; None if they can."""
    if SIMULATED:
        return "the simulator compiles nothing"
    if missing := missing_package():
        return str(missing)
    try:
        from cuda.bindings import nvjitlink
        from numba.cuda.cudadrv import nvvm

        nvjitlink.version()
    except Exception as error:
        return f"nvJitLink is missing ({error}): pip install 'numbacnn[cuda]'"
    return None if nvvm.is_available() else "NVVM is missing: pip install 'numbacnn[cuda]'"


def cache_keys() -> list[str]:
    """Each kernel's name, and its key but for types and compiler."""
    import numbacnn.backends.cuda.ops  # noqa: F401  the kernels are known once their modules have been imported

    compiler = SimpleNamespace(magic_tuple=tuple)
    return [f"{kernel.name} {kernel._compiled._cache._index_key((), compiler)}" for kernel in kernels]


def compile_kernel(
    kernel: Kernel, types: tuple[Any, ...], architectures: tuple[str, ...] = ARCHITECTURES
) -> dict[str, MachineCode]:
    """Compile a kernel for the types of its arguments and for some architectures, with the settings that ``Kernel`` gives it."""
    device = SimpleNamespace(compute_capability=OLDEST)
    with mock.patch("numba.cuda.dispatcher.get_current_device", return_value=device):  # for device functions
        code, _ = cuda.compile(kernel.function, types, cc=OLDEST, output="ltoir", device=False, abi="numba")
    with ThreadPoolExecutor() as pool:
        ptx = pool.submit(_link, code, architectures[0], "-ptx")
        linked = {name: pool.submit(_link, code, name) for name in architectures}
    double = re.findall(r"^.*\.f64.*$", ptx.result()[0].decode(), re.MULTILINE)
    return {name: _machine_code(future.result()[1], double) for name, future in linked.items()}


def _machine_code(log: str, double: list[str]) -> MachineCode:
    return MachineCode(
        registers=max(_numbers(r"Used (\d+) registers", log)),
        shared=max(_numbers(r"(\d+) bytes smem", log), default=0),
        stack=sum(_numbers(r"(\d+) bytes stack frame", log)),
        spilled=sum(_numbers(r"(\d+) bytes spill", log)),
        double=double,
    )


def _numbers(pattern: str, text: str) -> list[int]:
    return [int(number) for number in re.findall(pattern, text)]


def _link(code: bytes, architecture: str, *options: str) -> tuple[bytes, str]:
    """Machine code, or PTX with ``-ptx``; and the compiler's log."""
    from cuda.bindings import nvjitlink as linker

    arguments = [f"-arch={architecture}", "-lto", "-verbose", *options]
    handle = linker.create(len(arguments), arguments)
    try:
        try:
            linker.add_data(handle, linker.InputType.LTOIR, code, len(code), "kernel")
            linker.complete(handle)
        except linker.nvJitLinkError as error:
            raise AssertionError(f"{error}: {_text(handle, 'error_log')}") from None
        return _output(handle, "linked_ptx" if "-ptx" in options else "linked_cubin"), _text(handle, "info_log")
    finally:
        linker.destroy(handle)


def _output(handle: Any, name: str) -> bytes:
    from cuda.bindings import nvjitlink as linker

    buffer = bytearray(getattr(linker, f"get_{name}_size")(handle))
    if buffer:
        getattr(linker, f"get_{name}")(handle, buffer)
    return bytes(buffer)


def _text(handle: Any, name: str) -> str:
    return _output(handle, name).decode(errors="replace").strip("\0\n ")
