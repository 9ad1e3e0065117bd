"""One function for each instruction: from PTX to a statement in C.

An instruction that is not here is an error that names it. To add one, write a function with ``@instruction("its name")``; its semantics
are in the PTX ISA, chapter "Instruction Set". Registers are C variables that hold bits: ``u32`` for f32 too.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from .parsing import BITS, Instruction, PtxError, Variable

C_TYPES = {type_: f"{'s' if type_[0] == 's' else 'u'}{bits}" for type_, bits in BITS.items() if bits > 1} | {"pred": "u8"}
"""The C type of the bits of each PTX type."""

SPECIAL = {f"%{register}.{axis}": f"t->{name}[{k}]" for register, name in (("tid", "thread"), ) for k, axis in enumerate("xyz")} | {
    f"%{register}.{axis}": f"t->block->{name}[{k}]"
    for register, name in (("ntid", "threads"), ("ctaid", "index"), ("nctaid", "blocks"))
    for k, axis in enumerate("xyz")
}  # fmt: skip
"""Registers that the device sets."""

COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
ROUNDINGS = {"rni": "nearbyint", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}
RANGES = {
    f"{kind}{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if kind == "s" else (0, 2**bits - 1)
    for kind in "su"
    for bits in (8, 16, 32, 64)
}
SPACES = ("param", "global", "shared", "local", "const")


class Names(NamedTuple):
    """What operands may name: the variables of a kernel, where each begins in its space, and registers."""

    variables: dict[str, Variable]
    offsets: dict[str, int]
    registers: frozenset[str]


class Unknown(Exception):
    """An instruction, or a form of one, that has no function here."""


Function = Callable[[Instruction, Names], str]
FUNCTIONS: dict[str, Function] = {}


def instruction(*opcodes: str) -> Callable[[Function], Function]:
    """Register the function of these instructions, by the first part of their opcode."""

    def register(function: Function) -> Function:
        FUNCTIONS.update(dict.fromkeys(opcodes, function))
        return function

    return register


def statement(i: Instruction, names: Names, kernel: str) -> str:
    """An instruction as C.

    Raises:
        PtxError: the device does not know it.
    """
    try:
        if i.parts[0] not in FUNCTIONS:
            raise Unknown(i.opcode)
        code = FUNCTIONS[i.parts[0]](i, names)
    except (Unknown, LookupError, ValueError) as error:
        what = error if isinstance(error, Unknown) else i.opcode  # another number of operands, or a type of no size
        raise PtxError(
            f"{kernel}: the PTX device does not know {what} (line {i.line}: {i.opcode} {', '.join(i.operands)}). "
            "Add a function to tests/ptx/instructions.py"
        ) from None
    return f"if ({'!' if i.guard[0] == '!' else ''}{c_name(i.guard.lstrip('!'))}) {{{code}}}" if i.guard else code


# --- operands --------------------------------------------------------------------------------------------------------------------------


def c_name(name: str) -> str:
    """A register's or label's name in C."""
    return "r_" + re.sub(r"\W", "_", name.replace("$", "S"))


def bits(operand: str, names: Names) -> str:
    """An operand's bits."""
    if operand in SPECIAL:
        return SPECIAL[operand]
    if operand == "%laneid":
        return "lane_of(t)"
    if operand.startswith("%"):
        if operand not in names.registers:
            raise Unknown(f"the register {operand}")
        return c_name(operand)
    if re.fullmatch(r"0[fF][0-9a-fA-F]{8}", operand):
        return f"0x{operand[2:]}u"
    if re.fullmatch(r"0[dD][0-9a-fA-F]{16}", operand):
        return f"0x{operand[2:]}ull"
    if re.fullmatch(r"-?(\d+|0[xX][0-9a-fA-F]+)U?", operand):
        number = int(operand.rstrip("U"), 0)
        return f"({number}ll)" if -(2**63) < number < 2**63 else f"({number % 2**64}ull)"
    if operand == "WARP_SZ":
        return "32"
    if operand in names.variables:
        space = names.variables[operand].space
        if space in ("shared", "local"):
            return f"({names.offsets[operand]}ull)"
        if space in ("const", "global"):
            return f"((u64)v_{c_name(operand)})"
    raise Unknown(f"the operand {operand}")


def value(operand: str, type_: str, names: Names) -> str:
    """An operand as a value of a type."""
    if type_ in ("f32", "f64"):
        return f"{'F' if type_ == 'f32' else 'D'}({bits(operand, names)})"
    return f"(({C_TYPES[type_]})({bits(operand, names)}))"


def assign(target: str, type_: str, expression: str) -> str:
    """Put a value of a type into a register."""
    if target == "_":
        return f"(void)({expression});"
    if type_ in ("f32", "f64"):
        return f"{c_name(target)} = {'U' if type_ == 'f32' else 'UD'}({expression});"
    return f"{c_name(target)} = ({C_TYPES[type_]})({expression});"


def vector(operand: str) -> list[str]:
    """The parts of a vector; a scalar is a vector of one."""
    return [part.strip() for part in operand.strip("{} ").split(",")]


def address(operand: str, names: Names) -> str:
    """The address in brackets."""
    found = re.fullmatch(r"\[\s*([^\]+\s]+)\s*(?:\+\s*(-?\w+))?\s*\]", operand)
    if not found:
        raise Unknown(f"the address {operand}")
    return f"((u64)({bits(found[1], names)}) + (u64)({found[2] or 0}ll))"


def _unsigned(type_: str) -> str:
    return f"u{BITS[type_]}"


def _flushed(i: Instruction, expression: str) -> str:
    return f"flushed({expression})" if "ftz" in i.parts and i.parts[-1] == "f32" else expression


def _refuse(i: Instruction, *modifiers: str) -> None:
    if found := set(modifiers) & set(i.parts):
        raise Unknown(f"the modifier .{min(found)} of {i.opcode}")


# --- memory ----------------------------------------------------------------------------------------------------------------------------


def space_of(i: Instruction) -> str:
    """The state space that a load or store names; "generic" if none."""
    return next((part for part in i.parts[1:] if part in SPACES), "generic")


@instruction("ld", "ldu")
def load(i: Instruction, names: Names) -> str:
    space, type_, targets = space_of(i), i.parts[-1], vector(i.operands[0])
    _refuse(i, "relaxed", "acquire", "mmio")
    c, size = C_TYPES[type_], BITS[type_] // 8
    if space == "param":
        found = re.fullmatch(r"\[\s*([\w$]+)\s*(?:\+\s*(\d+))?\s*\]", i.operands[1])
        if not found or found[1] not in names.offsets:
            raise Unknown(f"the parameter {i.operands[1]}")
        at = names.offsets[found[1]] + int(found[2] or 0)
        return "".join(
            assign(each, _unsigned(type_), f"*({c} *)(t->parameters + {at + k * size})") for k, each in enumerate(targets)
        )
    if space == "const":
        where = "const u8 *q = (const u8 *)a;"
    else:
        where = f"const u8 *q = checked_{space}(t, a, {size * len(targets)}, 0, {i.line});"
    loads = "".join(f"{c_name(each)} = *(const {c} *)(q + {k * size});" for k, each in enumerate(targets) if each != "_")
    return f"{{ u64 a = {address(i.operands[1], names)}; {where} {loads} }}"


@instruction("st")
def store(i: Instruction, names: Names) -> str:
    space, type_, values = space_of(i), i.parts[-1], vector(i.operands[1])
    _refuse(i, "relaxed", "release", "mmio")
    c, size = C_TYPES[type_], BITS[type_] // 8
    stores = "".join(f"*({c} *)(q + {k * size}) = ({c})({bits(each, names)});" for k, each in enumerate(values))
    where = f"u8 *q = checked_{space}(t, a, {size * len(values)}, 1, {i.line});"
    return f"{{ u64 a = {address(i.operands[0], names)}; {where} {stores} }}"


ATOMICS = {
    "add": "old + b",
    "and": "old & b",
    "or": "old | b",
    "xor": "old ^ b",
    "exch": "b",
    "min": "b < old ? b : old",
    "max": "b > old ? b : old",
    "inc": "old >= b ? 0 : old + 1",
    "dec": "old == 0 || old > b ? b : old - 1",
    "cas": "old == b ? c : old",
}
"""What an atomic instruction stores, from the value that it finds and its operands."""


@instruction("atom", "red")
def atomic(i: Instruction, names: Names) -> str:
    """``red`` has no result."""
    name, type_, space = i.parts[-2], i.parts[-1], space_of(i)
    if name not in ATOMICS or type_ not in C_TYPES or space not in ("global", "shared", "generic"):
        raise Unknown(i.opcode)
    target, place, *given = i.operands if i.parts[0] == "atom" else ("_", *i.operands)
    kind = {"f32": "float", "f64": "double"}.get(type_, C_TYPES[type_])
    values = "".join(f"{kind} {letter} = {value(each, type_, names)};" for letter, each in zip("bc", given, strict=False))
    found = f"{kind} *q = ({kind} *)atomic_{space}(t, a, {BITS[type_] // 8}, {i.line}); {kind} old = *q;"
    kept = "" if target == "_" else assign(target, type_, "old")
    return f"{{ u64 a = {address(place, names)}; {values} {found} *q = {ATOMICS[name]}; {kept} }}"


@instruction("cvta")
def convert_address(i: Instruction, names: Names) -> str:
    space = next((part for part in i.parts if part in SPACES), "generic")
    base = {"shared": "(u64)t->block->shared", "local": "(u64)t->local"}.get(space)
    operand = bits(i.operands[1], names)
    if base is None:
        return f"{c_name(i.operands[0])} = {operand};"
    return f"{c_name(i.operands[0])} = (u64)({operand}) {'-' if 'to' in i.parts else '+'} {base};"


# --- control ---------------------------------------------------------------------------------------------------------------------------


@instruction("bra")
def branch(i: Instruction, names: Names) -> str:
    return f"goto {c_name(i.operands[0])};"


@instruction("ret", "exit")
def leave(i: Instruction, names: Names) -> str:
    return "return;"


@instruction("bar", "barrier")
def barrier(i: Instruction, names: Names) -> str:
    if i.opcode == "bar.warp.sync":
        return f"ptx_warp(t, {bits(i.operands[0], names)}, {i.line});"
    if "sync" not in i.parts or len(i.operands) != 1:
        raise Unknown(f"{i.opcode} of {len(i.operands)} operands")
    if i.operands[0] != "0":
        raise Unknown(f"the barrier {i.operands[0]}")
    return f"ptx_barrier(t, {i.line});"


@instruction("trap", "brkpt")
def trap(i: Instruction, names: Names) -> str:
    return f"ptx_trap(t, {i.line});"


@instruction("membar", "fence")
def fence(i: Instruction, names: Names) -> str:
    """Accesses of fibres are in order anyway. Followed by an atomic access, it hands on what the block has written before."""
    return "t->fenced = 1;"


# --- warps -----------------------------------------------------------------------------------------------------------------------------


@instruction("shfl")
def shuffle(i: Instruction, names: Names) -> str:
    modes = {"up": "u", "down": "d", "bfly": "b", "idx": "i"}
    if i.parts[1] != "sync" or i.parts[-1] != "b32" or i.parts[2] not in modes:
        raise Unknown(i.opcode)
    target, _, predicate = i.operands[0].partition("|")
    given = ", ".join(bits(each, names) for each in i.operands[1:])
    kept = f"{c_name(predicate.strip())} = q;" if predicate else ""
    return f"{{ u8 q; {c_name(target.strip())} = shuffled(t, '{modes[i.parts[2]]}', {given}, &q, {i.line}); {kept} }}"


@instruction("vote")
def vote(i: Instruction, names: Names) -> str:
    if i.parts[1] != "sync" or i.parts[2] not in ("ballot", "any", "all"):
        raise Unknown(i.opcode)
    target, own, mask = i.operands
    condition = f"!{c_name(own[1:])}" if own[0] == "!" else bits(own, names)
    votes = f"ballot(t, {condition}, {bits(mask, names)}, {i.line})"
    compared = {"ballot": "", "any": " != 0", "all": f" == ({bits(mask, names)} & (u32)((1ull << t->lanes) - 1))"}[i.parts[2]]
    return f"{c_name(target)} = {votes}{compared};"


@instruction("mma")
def multiply_matrices(i: Instruction, names: Names) -> str:
    if i.opcode != "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32":
        raise Unknown(i.opcode)
    d, a, b, c = (vector(operand) for operand in i.operands)
    given = ", ".join(
        f"({kind}[]){{{', '.join(value(each, type_, names) for each in parts)}}}"
        for parts, type_, kind in ((a, "b32", "u32"), (b, "b32", "u32"), (c, "f32", "float"))
    )
    results = "".join(f"{c_name(each)} = d[{k}];" for k, each in enumerate(d))
    return f"{{ u32 d[4]; multiply_m16n8k8(t, d, {given}, {i.line}); {results} }}"


# --- moves -----------------------------------------------------------------------------------------------------------------------------


@instruction("mov")
def move(i: Instruction, names: Names) -> str:
    to, origin = i.operands
    type_ = i.parts[-1]
    if to.startswith("{"):
        parts = vector(to)
        width = BITS[type_] // len(parts)
        moves = (f"{c_name(each)} = (u{width})(q >> {k * width});" for k, each in enumerate(parts) if each != "_")
        return f"{{ u64 q = {bits(origin, names)}; {''.join(moves)} }}"
    if origin.startswith("{"):
        parts = vector(origin)
        width = BITS[type_] // len(parts)
        joined = " | ".join(f"(u64)(u{width})({bits(each, names)}) << {k * width}" for k, each in enumerate(parts))
        return f"{c_name(to)} = {joined};"
    return f"{c_name(to)} = ({C_TYPES[type_]})({bits(origin, names)});"


@instruction("selp")
def select(i: Instruction, names: Names) -> str:
    to, yes, no, condition = i.operands
    c = C_TYPES[i.parts[-1]]
    return f"{c_name(to)} = {bits(condition, names)} ? ({c})({bits(yes, names)}) : ({c})({bits(no, names)});"


@instruction("cvt")
def convert(i: Instruction, names: Names) -> str:
    to, origin = i.parts[-2:]
    if i.opcode == "cvt.rna.tf32.f32":
        return f"{c_name(i.operands[0])} = to_tf32({bits(i.operands[1], names)});"
    if to not in C_TYPES or origin not in C_TYPES:
        raise Unknown(i.opcode)
    x, rounding = value(i.operands[1], origin, names), next((part for part in i.parts if part in ROUNDINGS), None)
    floats = ("f32", "f64")
    if to in floats and origin in floats:
        rounded = f"{ROUNDINGS[rounding]}{'f' if origin == 'f32' else ''}({x})" if rounding else x
        if "sat" in i.parts:
            rounded = f"isnan({x}) ? 0 : fmin(fmax({rounded}, 0), 1)"
        return assign(i.operands[0], to, rounded)
    if to in floats:
        return assign(i.operands[0], to, f"({'float' if to == 'f32' else 'double'}){x}")
    if origin in floats:
        if not rounding:
            raise Unknown(i.opcode)
        low, high = RANGES[to]
        limits = f"{low + 1}ll - 1, {high}ull" if to == "s64" else f"{low}, {high}ull"
        return f"{c_name(i.operands[0])} = ({C_TYPES[to]})to_integer({ROUNDINGS[rounding]}((double){x}), {limits});"
    _refuse(i, "sat")
    return f"{c_name(i.operands[0])} = ({C_TYPES[to]}){x};"


# --- arithmetic ------------------------------------------------------------------------------------------------------------------------


@instruction("add", "sub")
def add(i: Instruction, names: Names) -> str:
    _refuse(i, "sat", "cc", "rm", "rp", "rz")
    type_, sign = i.parts[-1], "+" if i.parts[0] == "add" else "-"
    if type_ not in ("f32", "f64"):
        type_ = _unsigned(type_)
    a, b = (value(each, type_, names) for each in i.operands[1:])
    return assign(i.operands[0], type_, _flushed(i, f"{a} {sign} {b}"))


@instruction("mul", "mad", "fma")
def multiply(i: Instruction, names: Names) -> str:
    _refuse(i, "sat", "cc", "relu")
    name, type_ = i.parts[0], i.parts[-1]
    if mode := next((part for part in i.parts if part in ("rm", "rp", "rz")), None):
        if (name, type_) != ("fma", "f32"):
            raise Unknown(i.opcode)
        given = ", ".join(value(each, type_, names) for each in i.operands[1:])
        return assign(i.operands[0], type_, _flushed(i, f"fma_{mode}({given})"))
    if type_ in ("f32", "f64"):
        given = [value(each, type_, names) for each in i.operands[1:]]
        product = " * ".join(given) if name == "mul" else f"fma{'f' if type_ == 'f32' else ''}({', '.join(given)})"
        return assign(i.operands[0], type_, _flushed(i, product))
    size, unsigned = BITS[type_], _unsigned(type_)
    a, b = i.operands[1:3]
    if "wide" in i.parts:
        wide, result = f"{type_[0]}{2 * size}", f"u{2 * size}"
        product = f"(u{2 * size})(({wide}){value(a, type_, names)} * ({wide}){value(b, type_, names)})"
    elif "hi" in i.parts:
        wide, result = {32: f"{type_[0]}64", 64: f"{'unsigned ' if type_[0] == 'u' else ''}__int128"}[size], unsigned
        product = f"({unsigned})((({wide}){value(a, type_, names)} * ({wide}){value(b, type_, names)}) >> {size})"
    else:
        result = unsigned
        product = f"({unsigned})((u64){value(a, unsigned, names)} * {value(b, unsigned, names)})"
    if name == "mad":
        product = f"{product} + {value(i.operands[3], result, names)}"
    return assign(i.operands[0], result, product)


@instruction("div", "rem")
def divide(i: Instruction, names: Names) -> str:
    name, type_ = i.parts[0], i.parts[-1]
    if type_ in ("f32", "f64"):
        return assign(
            i.operands[0], type_, _flushed(i, f"{value(i.operands[1], type_, names)} / {value(i.operands[2], type_, names)}")
        )
    a, b = (value(each, type_, names) for each in i.operands[1:])
    return f"{c_name(i.operands[0])} = ({C_TYPES[type_]}){name}_{type_[0]}({a}, {b});"


@instruction("min", "max")
def extreme(i: Instruction, names: Names) -> str:
    _refuse(i, "NaN", "xorsign", "relu")
    name, type_ = i.parts[0], i.parts[-1]
    a, b = (value(each, type_, names) for each in i.operands[1:3])
    if type_ in ("f32", "f64"):
        return assign(i.operands[0], type_, f"f{name}({a}, {b})")
    return assign(i.operands[0], type_, f"{a} {'<' if name == 'min' else '>'} {b} ? {a} : {b}")


@instruction("abs")
def absolute(i: Instruction, names: Names) -> str:
    type_ = i.parts[-1]
    x = value(i.operands[1], type_, names)
    return assign(i.operands[0], type_, f"fabs({x})" if type_[0] == "f" else f"{x} < 0 ? -{x} : {x}")


@instruction("neg")
def negate(i: Instruction, names: Names) -> str:
    type_ = i.parts[-1]
    if type_[0] == "f":
        return f"{c_name(i.operands[0])} = {bits(i.operands[1], names)} ^ (1ull << {BITS[type_] - 1});"
    return assign(i.operands[0], _unsigned(type_), f"0 - {value(i.operands[1], _unsigned(type_), names)}")


@instruction("sqrt", "rsqrt", "rcp", "ex2", "lg2", "tanh")
def function(i: Instruction, names: Names) -> str:
    """Those that a GPU approximates are as near to the true value as C's."""
    type_ = i.parts[-1]
    if type_ != "f32":
        raise Unknown(i.opcode)
    x = value(i.operands[1], type_, names)
    computed = {
        "sqrt": f"sqrtf({x})",
        "rsqrt": f"1.0f / sqrtf({x})",
        "rcp": f"1.0f / {x}",
        "ex2": f"exp2f({x})",
        "lg2": f"log2f({x})",
        "tanh": f"tanhf({x})",
    }
    return assign(i.operands[0], type_, _flushed(i, computed[i.parts[0]]))


@instruction("copysign")
def copy_sign(i: Instruction, names: Names) -> str:
    type_ = i.parts[-1]
    return assign(i.operands[0], type_, f"copysign({value(i.operands[2], type_, names)}, {value(i.operands[1], type_, names)})")


@instruction("testp")
def test_property(i: Instruction, names: Names) -> str:
    tests = {"finite": "isfinite", "infinite": "isinf", "number": "!isnan", "notanumber": "isnan"}
    if i.parts[1] not in tests:
        raise Unknown(i.opcode)
    return f"{c_name(i.operands[0])} = {tests[i.parts[1]]}({value(i.operands[1], i.parts[-1], names)}) != 0;"


# --- comparison ------------------------------------------------------------------------------------------------------------------------


@instruction("setp")
def set_predicate(i: Instruction, names: Names) -> str:
    type_, comparison = i.parts[-1], i.parts[1]
    joined = next((part for part in i.parts[2:-1] if part in ("and", "or", "xor")), None)
    a, b = (value(each, type_, names) for each in i.operands[1:3])
    result = _compared_floats(comparison, a, b) if type_[0] == "f" else None
    if result is None:
        if comparison not in COMPARISONS:
            raise Unknown(i.opcode)
        result = f"({a} {COMPARISONS[comparison]} {b})"
    with_it = ""
    if joined:
        other = i.operands[3]
        with_it = f" {dict(zip(('and', 'or', 'xor'), '&|^', strict=True))[joined]} "
        with_it += f"!{c_name(other[1:])}" if other[0] == "!" else bits(other, names)
    first, _, second = i.operands[0].partition("|")
    sets = [(first, "q"), *([(second, "!q")] if second else [])]
    assigned = "".join(f"{c_name(name.strip())} = {each}{with_it};" for name, each in sets if name.strip() != "_")
    return f"{{ u8 q = {result}; {assigned} }}"


def _compared_floats(comparison: str, a: str, b: str) -> str | None:
    """Ordered comparisons are false of NaN, unordered ones (with a "u") true."""
    nan = f"(isnan({a}) || isnan({b}))"
    if comparison in ("num", "nan"):
        return f"{'!' if comparison == 'num' else ''}{nan}"
    if comparison in COMPARISONS:
        return f"(!{nan} && {a} {COMPARISONS[comparison]} {b})"
    if comparison[-1] == "u" and comparison[:-1] in COMPARISONS:
        return f"({nan} || {a} {COMPARISONS[comparison[:-1]]} {b})"
    return None


# --- bits ------------------------------------------------------------------------------------------------------------------------------


@instruction("and", "or", "xor")
def combine(i: Instruction, names: Names) -> str:
    sign = {"and": "&", "or": "|", "xor": "^"}[i.parts[0]]
    a, b = (value(each, i.parts[-1], names) for each in i.operands[1:])
    return assign(i.operands[0], i.parts[-1], f"{a} {sign} {b}")


@instruction("not")
def complement(i: Instruction, names: Names) -> str:
    x = value(i.operands[1], i.parts[-1], names)
    return assign(i.operands[0], i.parts[-1], f"{'!' if i.parts[-1] == 'pred' else '~'}{x}")


@instruction("shl", "shr")
def shift(i: Instruction, names: Names) -> str:
    """By as many bits as there are, or more, all are shifted out."""
    type_ = i.parts[-1]
    name = "left" if i.parts[0] == "shl" else f"right_{'s' if type_[0] == 's' else 'u'}"
    x, count = value(i.operands[1], type_, names), value(i.operands[2], "u32", names)
    return assign(i.operands[0], type_, f"shifted_{name}({x}, {count}, {BITS[type_]})")


@instruction("shf")
def funnel_shift(i: Instruction, names: Names) -> str:
    if "wrap" not in i.parts:
        raise Unknown(i.opcode)
    given = ", ".join(bits(each, names) for each in i.operands[1:])
    return f"{c_name(i.operands[0])} = funnel_{i.parts[1]}({given});"


@instruction("bfe")
def extract_bits(i: Instruction, names: Names) -> str:
    type_ = i.parts[-1]
    a, at, count = value(i.operands[1], type_, names), bits(i.operands[2], names), bits(i.operands[3], names)
    return assign(i.operands[0], type_, f"extracted_{type_[0]}({a}, {at}, {count})")


@instruction("bfi")
def insert_bits(i: Instruction, names: Names) -> str:
    type_ = i.parts[-1]
    a, b = (value(each, type_, names) for each in i.operands[1:3])
    at, count = (bits(each, names) for each in i.operands[3:])
    return assign(i.operands[0], type_, f"inserted({a}, {b}, {at}, {count})")


@instruction("lop3", "prmt", "popc", "clz", "brev")
def bit_function(i: Instruction, names: Names) -> str:
    name = i.parts[0]
    if i.parts[1:] != ["b32"]:
        raise Unknown(i.opcode)
    return f"{c_name(i.operands[0])} = {name}({', '.join(bits(each, names) for each in i.operands[1:])});"
