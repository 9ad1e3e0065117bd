"""From the PTX of a kernel to a C file: a function that a thread runs, and what a launch must know of it. ``runtime.h`` has the rest."""

import json
import re
from collections import Counter
from typing import NamedTuple

from . import instructions
from .instructions import C_TYPES, Names, c_name, space_of
from .parsing import BITS, Brace, Instruction, Kernel, Label, PtxError, Registers, Variable

MEMORY = ("ld", "ldu", "st")
COMPUTING = ("global", "shared", "local", "generic")
"""Spaces whose accesses are checked; the others cannot be written to."""

STRIDED = re.compile(r"5ArrayI\w*?E1A7")
"""In the mangled name of a kernel: an array that need not be contiguous."""


class Translation(NamedTuple):
    """A kernel in C.

    Args:
        name: as ``Kernel.name``.
        code: the C file.
        blocks: of each basic block, how many instructions of each kind it holds. The C code counts how often each is entered.
    """

    name: str
    code: str
    blocks: list[Counter[str]]


def kind_of(i: Instruction) -> str:
    """What an instruction counts as."""
    name, type_ = i.parts[0], i.parts[-1]
    if name in MEMORY:
        return f"{'store' if name == 'st' else 'load'} {space_of(i)}"
    if name in ("atom", "red"):
        return f"atomic {space_of(i)}"
    if type_ in ("f32", "f64") and name in ("fma", "mad"):
        return "fma"
    if name in ("div", "rem") and type_[0] in "us":
        return f"division {BITS[type_]}"
    if name in ("bar", "barrier", "mma"):
        return {"mma": "matrix product"}.get(name, "barrier")
    return "other"


def translate(kernel: Kernel) -> Translation:
    """The C code of a kernel.

    Raises:
        PtxError: an instruction or a variable that the device does not know.
    """
    names, sizes = _laid_out(kernel)
    body, blocks = _body(kernel, names)
    sources = {each.line: each.source for each in kernel.statements if isinstance(each, Instruction) and each.source}
    lines = ", ".join(f"{{{line}, {json.dumps(source.file)}, {source.line}}}" for line, source in sources.items())
    parameters = ", ".join(f"{{{names.offsets[each.name]}, {each.size}}}" for each in kernel.parameters)
    code = f"""#include "runtime.h"
{_constants(kernel)}
static u64 visits[{len(blocks)}];
static void run(Thread *t) {{
{body}
}}
static const Line lines[] = {{{lines or "{0}"}}};
static const Parameter parameters[] = {{{parameters or "{0}"}}};
Kernel ptx_kernel = {{
  .entry = {json.dumps(kernel.entry)}, .name = {json.dumps(kernel.name)}, .run = run,
  .parameters = parameters, .parameter_count = {len(kernel.parameters)}, .parameter_bytes = {sizes["param"]},
  .shared_bytes = {sizes["shared"]}, .local_bytes = {sizes["local"]}, .strided = {int(bool(STRIDED.search(kernel.entry)))},
  .lines = lines, .line_count = {len(sources)}, .visits = visits, .visit_count = {len(blocks)},
}};
"""
    return Translation(kernel.name, code, blocks)


def _laid_out(kernel: Kernel) -> tuple[Names, dict[str, int]]:
    """Where each variable begins in its space, and the bytes of each space."""
    sizes = dict.fromkeys(("param", "shared", "local", "const", "global"), 0)
    offsets: dict[str, int] = {}
    variables = [*kernel.parameters, *kernel.variables]
    for each in sorted(variables, key=lambda variable: variable.dynamic):  # what the launch adds to shared memory comes last
        begin = -(-sizes[each.space] // each.alignment) * each.alignment
        offsets[each.name], sizes[each.space] = begin, begin + each.size
    registers = (name for each in kernel.statements if isinstance(each, Registers) for name in each.names)
    return Names({each.name: each for each in variables}, offsets, frozenset(registers)), sizes


def _constants(kernel: Kernel) -> str:
    return "\n".join(_constant(each) for each in kernel.variables if each.space == "const")


def _constant(variable: Variable) -> str:
    size = BITS[variable.type] // 8
    values = ", ".join(variable.initial) or "0"
    if re.search(r"[A-Za-z_$]", values.replace("0x", "").replace("0X", "")) and not re.fullmatch(r"[\s0-9a-fA-FxX,-]+", values):
        raise PtxError(f"the PTX device does not know the constant {variable.name} = {values}")
    count = variable.size // size
    return (
        f"static const {C_TYPES[variable.type]} v_{c_name(variable.name)}[{count}] __attribute__((aligned(16))) = {{{values}}};"
    )


def _body(kernel: Kernel, names: Names) -> tuple[str, list[Counter[str]]]:
    """The statements, and the basic blocks: one begins at each label, and behind each branch."""
    out: list[str] = []
    blocks: list[Counter[str]] = []
    begins = True
    for each in kernel.statements:
        if isinstance(each, Registers):
            out.append(f"{C_TYPES[each.type]} {', '.join(map(c_name, each.names))};")
        elif isinstance(each, Brace):
            out.append(each.text)
        elif isinstance(each, Label):
            out.append(f"{c_name(each.name)}: ;")
            begins = True
        else:
            if begins:
                out.append(f"visits[{len(blocks)}]++;")
                blocks.append(Counter())
            blocks[-1][kind_of(each)] += 1
            out.append(instructions.statement(each, names, kernel.name))
            begins = each.parts[0] in ("bra", "ret", "exit")
    return "\n".join(out), blocks
