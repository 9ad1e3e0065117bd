"""How much faster this processor computes by vectors of 16 values than by vectors of 8: measured once, and remembered.

    repeat: sums[r] = sums[r] * factor + term        for r < SUMS, all of them vectors in registers

Some processors execute a vector of 16 in two halves, or have one unit for it where they have two for vectors of 8. The loop is
compiled by LLVM alone, as the answer decides what Numba is to compile for.
"""

import contextlib
import ctypes
import json
import time
from pathlib import Path

from numbacnn.backends.kernel_cache import cache_root, make_private
from numbacnn.files import write_whole

SUMS = 12
"""Enough to keep two units busy that start a multiply-add each cycle, and take four or five for it."""

STEPS, LOOKS = 4000, 40
"""A look takes a twentieth of a millisecond. The best of them counts: the processor may be busy elsewhere, or not awake yet."""

FILE = "vector-gain.json"


def vector_gain() -> float:
    """The ratio of the two rates, 1.0 for equal ones."""
    path, name = cache_root() / FILE, _processor_name()
    known = _read(path)
    if name not in known:
        known[name] = round(measure(), 2)
        with contextlib.suppress(OSError):
            make_private(path.parent)
            write_whole(path, json.dumps(known, indent=1).encode())
    return known[name]


def _read(path: Path) -> dict[str, float]:
    try:
        known = json.loads(path.read_text())
        return {name: float(gain) for name, gain in known.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _processor_name() -> str:
    """LLVM's name and the system's: processors of one generation differ in the width of their units."""
    from llvmlite import binding

    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{binding.get_host_cpu_name()}, {line.partition(':')[2].strip()}"
    return str(binding.get_host_cpu_name())


def measure() -> float:
    """Compile both loops, and time them in turns."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3
    )
    module = binding.parse_assembly(_loop(8) + _loop(16))
    with binding.create_mcjit_compiler(module, machine) as engine:
        engine.finalize_object()
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)
        loops = {lanes: prototype(engine.get_function_address(f"loop{lanes}")) for lanes in (8, 16)}
        sums = (ctypes.c_float * (SUMS * 16))()
        seconds = dict.fromkeys(loops, float("inf"))
        for _ in range(LOOKS):
            for lanes, loop in loops.items():
                start = time.perf_counter()
                loop(STEPS, sums)
                seconds[lanes] = min(seconds[lanes], time.perf_counter() - start)
    return 2 * seconds[8] / seconds[16]


def _loop(lanes: int) -> str:
    """A function of LLVM that repeats SUMS multiply-adds of vectors as often as it is told, and stores the sums."""
    vector = f"<{lanes} x float>"
    fma = f"@llvm.fma.v{lanes}f32"
    start = [f"<{', '.join(f'float {r}.0' for _ in range(lanes))}>" for r in range(SUMS)]  # equal sums would be computed once
    half = f"<{', '.join('float 0.5' for _ in range(lanes))}>"
    return "\n".join([
        f"declare {vector} {fma}({vector}, {vector}, {vector})",
        f"define void @loop{lanes}(i64 %count, ptr %out) {{", "entry:", "  br label %loop", "loop:",
        "  %i = phi i64 [ 0, %entry ], [ %next, %loop ]",
        *(f"  %s{r} = phi {vector} [ {start[r]}, %entry ], [ %n{r}, %loop ]" for r in range(SUMS)),
        *(f"  %n{r} = call {vector} {fma}({vector} %s{r}, {vector} {half}, {vector} {half})" for r in range(SUMS)),
        "  %next = add i64 %i, 1", "  %more = icmp ult i64 %next, %count", "  br i1 %more, label %loop, label %done", "done:",
        *(f"  %p{r} = getelementptr {vector}, ptr %out, i64 {r}\n  store {vector} %n{r}, ptr %p{r}, align 4" for r in range(SUMS)),
        "  ret void", "}", "",
    ])  # fmt: skip
