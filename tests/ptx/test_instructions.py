"""Each instruction of the PTX device, on numbers whose result is known; launched in every way that the driver offers."""

import ctypes
import math
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from ptx.stand_in import PtxDevice


class Case(NamedTuple):
    """One instruction, of ``%a``, ``%b`` and ``%c``, that sets ``%z``.

    Args:
        text: the instruction.
        type: of the register %z.
        expected: its value.
        given: the values of %a, %b and %c.
        types: their types; that of %z for all by default.
    """

    text: str
    type: str
    expected: float
    given: tuple[float, ...] = ()
    types: tuple[str, ...] = ()


NAN, INF = math.nan, math.inf
MOST, LEAST = 2**31 - 1, -(2**31)
CASES = (
    Case("add.s32 %z, %a, %b;", "s32", LEAST, (MOST, 1)),
    Case("sub.s64 %z, %a, %b;", "s64", -3, (4, 7)),
    Case("mul.lo.s32 %z, %a, %b;", "s32", -6, (2, -3)),
    Case("mul.hi.u32 %z, %a, %b;", "u32", 1, (2**31, 2)),
    Case("mul.hi.s64 %z, %a, %b;", "s64", -1, (2**62, -2)),
    Case("mul.hi.u64 %z, %a, %b;", "u64", 2**62, (2**63, 2**63)),
    Case("mul.wide.s32 %z, %a, %b;", "s64", -(2**40), (2**20, -(2**20)), ("s32", "s32")),
    Case("mul.wide.u16 %z, %a, %b;", "u32", 65535**2, (65535, 65535), ("u16", "u16")),
    Case("mad.lo.s32 %z, %a, %b, %c;", "s32", 2 * -3 + 10, (2, -3, 10)),
    Case("mad.wide.s32 %z, %a, %b, %c;", "s64", 2**40 + 1, (2**20, 2**20, 1), ("s32", "s32", "s64")),
    Case("div.s32 %z, %a, %b;", "s32", -2, (-7, 3)),
    Case("rem.s32 %z, %a, %b;", "s32", -1, (-7, 3)),
    Case("div.u64 %z, %a, %b;", "u64", (2**64 - 1) // 3, (2**64 - 1, 3)),
    Case("div.s32 %z, %a, %b;", "s32", LEAST, (LEAST, -1)),
    Case("min.s32 %z, %a, %b;", "s32", -1, (-1, 1)),
    Case("max.u32 %z, %a, %b;", "u32", 2**32 - 1, (2**32 - 1, 1)),
    Case("abs.s32 %z, %a;", "s32", 5, (-5,)),
    Case("neg.s64 %z, %a;", "s64", -5, (5,)),
    Case("and.b32 %z, %a, 12;", "u32", 8, (10,)),
    Case("xor.b32 %z, %a, %b;", "u32", 6, (10, 12)),
    Case("not.b32 %z, %a;", "s32", -1, (0,)),
    Case("shl.b32 %z, %a, %b;", "u32", 0, (1, 32)),
    Case("shr.s32 %z, %a, %b;", "s32", -1, (-5, 40)),
    Case("shr.u32 %z, %a, %b;", "u32", 2**31 - 1, (2**32 - 1, 1)),
    Case("shr.s64 %z, %a, %b;", "s64", -3, (-5, 1), ("s64", "u32")),
    Case("shf.l.wrap.b32 %z, %a, %b, %c;", "u32", 0x3456789A, (0x9ABCDEF0, 0x12345678, 8)),
    Case("shf.r.wrap.b32 %z, %a, %b, %c;", "u32", 0x789ABCDE, (0x9ABCDEF0, 0x12345678, 8)),
    Case("lop3.b32 %z, %a, %b, %c, 0x96;", "u32", 0b1100 ^ 0b1010 ^ 0b1001, (0b1100, 0b1010, 0b1001)),
    Case("prmt.b32 %z, %a, %b, 0x7531;", "u32", 0x77553311, (0x33221100, 0x77665544)),
    Case("bfe.u32 %z, %a, 4, 8;", "u32", 0xAB, (0xCAB5,)),
    Case("bfe.s32 %z, %a, 4, 4;", "s32", -5, (0xCAB5,)),
    Case("bfi.b32 %z, %a, %b, 8, 8;", "u32", 0x1134FF78, (0xFF, 0x11345678)),
    Case("bfe.s32 %z, %a, 28, 8;", "s32", -2, (-(2**29),)),
    Case("bfe.u64 %z, %a, 40, 16;", "u64", 0xABC, (0xABC << 40,)),
    Case("bfi.b64 %z, %a, %b, 32, 32;", "u64", 5 * 2**32 + 7, (5, 9 * 2**32 + 7)),
    Case("popc.b32 %z, %a;", "u32", 17, (0x1FFFF,)),
    Case("clz.b32 %z, %a;", "u32", 15, (0x1FFFF,)),
    Case("brev.b32 %z, %a;", "u32", 0x80000000, (1,)),
    Case("add.f32 %z, %a, %b;", "f32", float(np.float32(0.1) + np.float32(0.2)), (0.1, 0.2)),
    Case("add.ftz.f32 %z, %a, %b;", "f32", 0, (1e-39, 1e-39)),
    Case("add.f32 %z, %a, %b;", "f32", float(np.float32(1e-39) * 2), (1e-39, 1e-39)),
    Case("fma.rn.f32 %z, %a, %b, %c;", "f32", 2.0**-24, (1 + 2.0**-12, 1 + 2.0**-12, -(1 + 2.0**-11))),
    Case("fma.rm.f32 %z, %a, %b, %c;", "f32", 12582912.0, (1, 0.75, 12582912.0)),
    Case("fma.rp.f32 %z, %a, %b, %c;", "f32", 12582913.0, (1, 0.25, 12582912.0)),
    Case("div.rn.f32 %z, %a, %b;", "f32", float(np.float32(1) / np.float32(3)), (1, 3)),
    Case("rcp.rn.f32 %z, %a;", "f32", 0.25, (4,)),
    Case("sqrt.rn.f32 %z, %a;", "f32", 3, (9,)),
    Case("rsqrt.approx.f32 %z, %a;", "f32", 0.5, (4,)),
    Case("ex2.approx.f32 %z, %a;", "f32", 8, (3,)),
    Case("lg2.approx.f32 %z, %a;", "f32", 3, (8,)),
    Case("min.f32 %z, %a, %b;", "f32", 1, (NAN, 1)),
    Case("max.f32 %z, %a, %b;", "f32", 2, (2, NAN)),
    Case("abs.f32 %z, %a;", "f32", 2, (-2,)),
    Case("neg.f32 %z, %a;", "f32", -2, (2,)),
    Case("copysign.f32 %z, %a, %b;", "f32", -3, (-1, 3)),
    Case("cvt.rni.s32.f32 %z, %a;", "s32", 2, (2.5,), ("f32",)),
    Case("cvt.rzi.s32.f32 %z, %a;", "s32", -2, (-2.9,), ("f32",)),
    Case("cvt.rzi.s32.f32 %z, %a;", "s32", MOST, (1e20,), ("f32",)),
    Case("cvt.rzi.s32.f32 %z, %a;", "s32", 0, (NAN,), ("f32",)),
    Case("cvt.rzi.u32.f32 %z, %a;", "u32", 0, (-3,), ("f32",)),
    Case("cvt.rmi.f32.f32 %z, %a;", "f32", -3, (-2.5,)),
    Case("cvt.rn.f32.s32 %z, %a;", "f32", 16777216, (16777217,), ("s32",)),
    Case("cvt.rn.f32.u64 %z, %a;", "f32", 2.0**64, (2**64 - 1,), ("u64",)),
    Case("cvt.sat.f32.f32 %z, %a;", "f32", 1, (7,)),
    Case("cvt.rna.tf32.f32 %z, %a;", "u32", 0x3F802000, (1 + 2.0**-11,), ("f32",)),
    Case("cvt.rna.tf32.f32 %z, %a;", "u32", 0xBF800000, (-1 - 2.0**-12,), ("f32",)),
    Case("cvt.rna.tf32.f32 %z, %a;", "u32", 0x7F800000, (INF,), ("f32",)),
    Case("cvt.s64.s32 %z, %a;", "s64", -1, (-1,), ("s32",)),
    Case("cvt.u64.u32 %z, %a;", "u64", 2**32 - 1, (-1,), ("s32",)),
    Case("cvt.u32.u64 %z, %a;", "u32", 5, (2**40 + 5,), ("u64",)),
    Case("cvt.s32.s8 %z, %a;", "s32", -1, (255,), ("u16",)),
    Case(".reg .pred %p; setp.lt.s32 %p, %a, %b; selp.s32 %z, 1, 2, %p;", "s32", 1, (-1, 1)),
    Case(".reg .pred %p; setp.lt.u32 %p, %a, %b; selp.s32 %z, 1, 2, %p;", "s32", 2, (-1, 1)),
    Case(".reg .pred %p; setp.lt.f32 %p, %a, %b; selp.s32 %z, 1, 2, %p;", "s32", 2, (NAN, 1), ("f32", "f32")),
    Case(".reg .pred %p; setp.ltu.f32 %p, %a, %b; selp.s32 %z, 1, 2, %p;", "s32", 1, (NAN, 1), ("f32", "f32")),
    Case(".reg .pred %p; setp.neu.f32 %p, %a, %b; selp.s32 %z, 1, 2, %p;", "s32", 1, (NAN, NAN), ("f32", "f32")),
    Case(".reg .pred %p, %q; setp.gt.s32 %p|%q, %a, %b; selp.s32 %z, 1, 2, %q;", "s32", 1, (1, 1)),
    Case(".reg .pred %p; setp.gt.s32 %p, %a, 0; setp.gt.and.s32 %p, %b, 0, !%p; selp.s32 %z, 1, 2, %p;", "s32", 2, (1, 1)),
    Case(".reg .pred %p; testp.finite.f32 %p, %a; selp.s32 %z, 1, 2, %p;", "s32", 2, (INF,), ("f32",)),
    Case(".reg .pred %p; setp.eq.s32 %p, %a, 0; mov.b32 %z, 3; @%p mov.b32 %z, 4; @!%p mov.b32 %z, 5;", "s32", 5, (1,)),
    Case("mov.b64 %z, {%a, %b};", "u64", 2**33 + 1, (1, 2), ("u32", "u32")),
    Case(".reg .b32 %x; mov.b64 {%x, %z}, %a;", "u32", 2, (2**33 + 1,), ("u64",)),
    Case("mov.f32 %z, 0f3FC00000;", "f32", 1.5),
    Case("mov.u32 %z, %ntid.x;", "u32", 1),
)  # fmt: skip
PACKED = {"s32": "i4x", "u32": "I4x", "s64": "q", "u64": "Q", "f32": "f4x", "u16": "H6x"}
"""A value of each type, in eight bytes."""


def kernel_of(cases: tuple[Case, ...]) -> str:
    """A module of one thread that computes all cases. Case k reads words 3 k to 3 k + 2 of ``given``, and writes word k of ``found``."""
    body = []
    for k, case in enumerate(cases):
        types = (case.types or (case.type,) * len(case.given)) + ("b32",) * (3 - len(case.given))
        registers = " ".join(f".reg .{type_} %{name};" for name, type_ in zip("abc", types, strict=True))
        loads = " ".join(
            f"ld.global.{type_} %{name}, [%given+{8 * (3 * k + n)}];"
            for n, (name, type_) in enumerate(zip("abc", types, strict=True))
        )
        body.append(f"{{ {registers} .reg .{case.type} %z;\n{loads}\n{case.text}\nst.global.{case.type} [%found+{8 * k}], %z; }}")
    lines = "\n".join(body)
    return f"""
.version 9.0
.target sm_90
.address_size 64
.visible .entry cases(.param .u64 given, .param .u64 found)
{{
.reg .b64 %given, %found;
ld.param.u64 %given, [given];
ld.param.u64 %found, [found];
{lines}
ret;
}}
"""


def by_parameters(driver: Any, function: Any, addresses: tuple[int, int]) -> Any:
    """As from a list of pointers to the arguments."""
    slots = (ctypes.c_uint64 * 2)(*addresses)
    pointers = (ctypes.c_void_p * 2)(*(ctypes.addressof(slots) + 8 * k for k in range(2)))
    return driver.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, 0, ctypes.addressof(pointers), 0)


def by_buffer(driver: Any, function: Any, addresses: tuple[int, int]) -> Any:
    """As from a buffer with the arguments one behind the other."""
    slots, size = (ctypes.c_uint64 * 2)(*addresses), ctypes.c_size_t(16)
    extra = (ctypes.c_void_p * 5)(1, ctypes.addressof(slots), 2, ctypes.addressof(size), 0)
    return driver.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, 0, 0, ctypes.addressof(extra))


@pytest.mark.parametrize("launch", [by_parameters, by_buffer])
def test_instructions_give_the_results_of_their_definition(ptx_device: PtxDevice, launch: Callable[..., Any]) -> None:
    from cuda.bindings import driver
    from numba import cuda

    given = bytearray(24 * len(CASES))
    for k, case in enumerate(CASES):
        for n, (value, type_) in enumerate(zip(case.given, case.types or (case.type,) * len(case.given), strict=True)):
            given[24 * k + 8 * n : 24 * k + 8 * (n + 1)] = struct.pack(f"<{PACKED[type_]}", value)
    x, y = cuda.to_device(np.frombuffer(given, np.uint8)), cuda.to_device(np.zeros(8 * len(CASES), np.uint8))
    error, library = driver.cuLibraryLoadData(kernel_of(CASES).encode(), [], [], 0, [], [], 0)
    assert error == 0
    error, kernel = driver.cuLibraryGetKernel(library, b"cases")
    assert error == 0
    error, function = driver.cuKernelGetFunction(kernel)
    assert error == 0
    (error,) = launch(driver, function, (x.device_ctypes_pointer.value, y.device_ctypes_pointer.value))
    assert error == 0
    found = y.copy_to_host().tobytes()
    for k, case in enumerate(CASES):
        (value,) = struct.unpack_from(f"<{PACKED[case.type]}", found, 8 * k)
        assert value == (float(np.float32(case.expected)) if case.type == "f32" else case.expected), case
    assert ptx_device.findings() == []
