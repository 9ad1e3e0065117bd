"""PTX text as data: one kernel, its parameters, its memory and its statements, each with its line.

The grammar is that of the PTX ISA, chapters "Syntax" and "State spaces, types, and variables", as far as NVVM writes it for a kernel into
which every device function is inlined.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

BITS = {"pred": 1} | {f"{kind}{bits}": bits for kind in "usb" for bits in (8, 16, 32, 64)} | {"f32": 32, "f64": 64}
"""The bits of a value of each type."""


class PtxError(Exception):
    """PTX that the device does not know. The message names the construct, the kernel and the line."""


class Source(NamedTuple):
    """A line of the program that PTX was compiled from."""

    file: str
    line: int


class Variable(NamedTuple):
    """A declared name: a parameter, or an array in shared, local, global or constant memory. Sizes are bytes.

    Args:
        initial: its words, for a constant.
        dynamic: whether the launch says its size.
    """

    name: str
    space: str
    type: str
    size: int
    alignment: int
    initial: tuple[str, ...] = ()
    dynamic: bool = False


class Registers(NamedTuple):
    """A declaration of registers of one type."""

    type: str
    names: tuple[str, ...]


class Label(NamedTuple):
    """A place to branch to."""

    name: str


class Brace(NamedTuple):
    """The begin or end of a scope."""

    text: str


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Args:
        opcode: whole, as "ld.global.v4.f32".
        operands: as written; a vector keeps its braces, an address its brackets.
        guard: the predicate that it depends on, with "!" if it must be false; empty if there is none.
        line: of the PTX text, from 1.
        source: where it comes from, if the PTX says so.
    """

    opcode: str
    operands: tuple[str, ...]
    guard: str
    line: int
    source: Source | None

    @property
    def parts(self) -> list[str]:
        """The opcode's parts: its name first, its type last."""
        return self.opcode.split(".")


Statement = Registers | Label | Brace | Instruction


@dataclass
class Kernel:
    """An entry and all that it refers to."""

    entry: str
    parameters: list[Variable]
    variables: list[Variable] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)

    @property
    def name(self) -> str:
        return demangled(self.entry)


_DECLARATION = re.compile(
    r"(?:\.(?:visible|extern|weak|common)\s+)*\.(?P<space>param|shared|local|global|const)\s+(?:\.align\s+(?P<align>\d+)\s+)?"
    r"\.(?P<type>\w+)\s+(?P<name>[\w$%]+)\s*(?:\[(?P<count>\d*)\])?\s*(?:=\s*(?:\{(?P<list>[^}]*)\}|(?P<one>[^\s{]+)))?\s*$",
    re.DOTALL,
)
_ENTRY = re.compile(r"\.entry\s+([\w$]+)\s*\(([^)]*)\)[^{]*\{")
_LOC = re.compile(r"\.loc\s+(\d+)\s+(\d+)")
_LABEL = re.compile(r"([\w$%]+):(?!:)\s*")
_GUARD = re.compile(r"@(!?%[\w$]+)\s+(.*)", re.DOTALL)
_IGNORED = (".pragma", ".file", ".section", ".minnctapersm", ".maxntid")


def parse(text: str) -> Kernel:
    """The kernel of a module, which must hold exactly one.

    Raises:
        PtxError: there is none, or something that is no part of an inlined kernel.
    """
    text = _without_comments(text)
    entries = list(_ENTRY.finditer(text))
    if len(entries) != 1:
        raise PtxError(f"PTX: expected one .entry, got {len(entries)}")
    entry = entries[0]
    kernel = Kernel(entry[1], [declaration(each.strip(), entry[1]) for each in entry[2].split(",") if each.strip()])
    for head in re.split(r"[;\n]\s*(?=\.)", text[: entry.start()]):
        head = head.strip().rstrip(";").strip()
        if re.match(r"\.func\b|(\.visible|\.extern|\.weak)\s+\.func\b", head):
            raise PtxError(f"{kernel.name}: expected every function to be inlined, got {head.split('(')[0]}")
        if _DECLARATION.match(head):
            kernel.variables.append(declaration(head, kernel.entry))
    files = {int(number): path for number, path in re.findall(r'\.file\s+(\d+)\s+"([^"]*)"', text)}
    _parse_body(kernel, text, entry.end(), files)
    return kernel


def _without_comments(text: str) -> str:
    """The text with its lines where they were."""
    text = re.sub(r"/\*.*?\*/", lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL)
    return re.sub(r"//[^\n]*", "", text)


def declaration(text: str, kernel: str) -> Variable:
    """A variable from its declaration, without the semicolon."""
    found = _DECLARATION.match(text)
    if not found:
        raise PtxError(f"{demangled(kernel)}: unknown declaration {text!r}")
    size = BITS[found["type"]] // 8
    count = 1 if found["count"] is None else int(found["count"] or 0)
    listed = found["list"] or found["one"] or ""
    initial = tuple(each.strip() for each in listed.split(",") if each.strip())
    alignment = int(found["align"] or size)
    return Variable(found["name"], found["space"], found["type"], size * count, alignment, initial, found["count"] == "")


def _parse_body(kernel: Kernel, text: str, start: int, files: dict[int, str]) -> None:
    depth, source, pending, begun = 1, None, "", 0
    line = text.count("\n", 0, start) + 1
    for number, raw in enumerate(text[start:].split("\n"), line):
        if location := _LOC.match(raw.strip()):
            source = Source(files.get(int(location[1]), "?"), int(location[2]))
            continue
        rest = raw.strip()
        while rest:
            if not pending:
                begun = number
                if label := _LABEL.match(rest):
                    kernel.statements.append(Label(label[1]))
                    rest = rest[label.end() :]
                    continue
                if rest[0] in "{}":
                    depth += 1 if rest[0] == "{" else -1
                    if not depth:
                        return
                    kernel.statements.append(Brace(rest[0]))
                    rest = rest[1:].strip()
                    continue
            part, semicolon, rest = rest.partition(";")
            pending, rest = f"{pending} {part}".strip(), rest.strip()
            if semicolon:
                if pending:
                    _add(kernel, pending, begun, source)
                pending = ""
    raise PtxError(f"{kernel.name}: the kernel has no end")


def _add(kernel: Kernel, text: str, line: int, source: Source | None) -> None:
    if text.startswith(".reg"):
        kernel.statements.append(_registers(text))
    elif text.startswith((".shared", ".local", ".const", ".global")):
        kernel.variables.append(declaration(text, kernel.entry))
    elif not text.startswith(_IGNORED):
        guard = ""
        if found := _GUARD.match(text):
            guard, text = found.groups()
        opcode, _, rest = " ".join(text.split()).partition(" ")
        kernel.statements.append(Instruction(opcode, tuple(operands(rest)), guard, line, source))


def _registers(text: str) -> Registers:
    type_, names = re.findall(r"\.reg\s+\.(\w+)\s+(.*)", text, re.DOTALL)[0]
    found: list[str] = []
    for each in names.split(","):
        if numbered := re.match(r"(%[\w$]+)<(\d+)>", each.strip()):
            found += [f"{numbered[1]}{k}" for k in range(int(numbered[2]))]
        else:
            found.append(each.strip())
    return Registers(type_, tuple(found))


def operands(text: str) -> list[str]:
    """Split at commas outside of braces and brackets."""
    found, depth, current = [], 0, ""
    for character in text:
        depth += (character in "{[(") - (character in "}])")
        if character == "," and depth == 0:
            found.append(current.strip())
            current = ""
        else:
            current += character
    return [*found, current.strip()] if current.strip() else found


def demangled(entry: str) -> str:
    """A kernel's name as ``Kernel.name`` has it: the last two of its modules and the function; anything else as it is."""
    parts, rest = [], entry.removeprefix("_ZN")
    while rest != entry and (size := re.match(r"\d+", rest)):
        end = size.end() + int(size[0])
        parts.append(re.sub(r"_([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), _escaped(rest[size.end() : end])))
        rest = rest[end:]
    if not parts:
        return entry
    while "<locals>" in parts:
        at = parts.index("<locals>")
        del parts[max(at - 1, 0) : at + 1]  # a factory's name
    return ".".join(parts[-3:])


def _escaped(part: str) -> str:
    """Only what Numba escapes: "<" and ">". An underscore before two letters that are hex digits stays."""
    return re.sub(r"_(?!3c|3e)(?=[0-9a-f]{2})", "_5f", part)
