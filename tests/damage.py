"""Damage to files, for tests: bytes changed at random, values changed in place, and what a hostile hand would write."""

import copy
import json
import math
import struct
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np

HUGE_TEXT = "x" * 1_000_000
ESCAPES = "\x1b[31m\x07\nError: forged\x9b\u202e"

HOSTILE_VALUES: dict[str, Any] = {
    "null": None,
    "zero": 0,
    "minus one": -1,
    "a float": 3.0,
    "true": True,
    "2^63": 2**63,
    "10^400": 10**400,
    "10^12": 10**12,
    "nan": math.nan,
    "infinity": math.inf,
    "a huge text": HUGE_TEXT,
    "an empty text": "",
    "escapes": ESCAPES,
    "a path": "../../x",
    "digits": "7" * 5000,
    "an empty list": [],
    "a list": [1],
    "a long list": [3] * 100_000,
    "an object": {"a": 1},
    "a deep list": json.loads("[" * 150 + "]" * 150),
    "a module": "os.system",
    "half a character": "\udc9b",
}
"""Values that no reader expects, by name."""


def is_harmless(text: str) -> bool:
    """Whether a text is one line without anything that a terminal obeys."""
    return all(unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for character in text)


def read_parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and arrays of a safetensors file."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def from_parts(header: Any, body: bytes, length: int | None = None) -> bytes:
    """A safetensors file of any header: bytes, text or a JSON value; ``length`` may lie."""
    if not isinstance(header, bytes):
        header = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + body


def with_description(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """A safetensors file of ours whose description was changed: in place, or into the JSON text that ``change`` returns."""
    header, body = read_parts(data)
    about = json.loads(header["__metadata__"]["numbacnn"])
    changed = change(about)
    header["__metadata__"]["numbacnn"] = changed if isinstance(changed, str) else json.dumps(about)
    return from_parts(header, body)


def setting(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change that sets the value at a path such as ``graph.layers.0.units``."""

    def change(values: dict[str, Any]) -> None:
        *before, last = path.split(".")
        target: Any = values
        for key in before:
            target = target[int(key) if isinstance(target, list) else key]
        target[int(last) if isinstance(target, list) else last] = value

    return change


def damage_bytes(data: bytes, random: np.random.Generator, first: int = 0) -> bytes:
    """Bytes changed, removed, repeated or inserted, at one to three places from ``first`` on."""
    changed = bytearray(data)
    for _ in range(random.integers(1, 4)):
        place = int(random.integers(min(first, len(changed)), len(changed) + 1))
        length = int(random.choice([1, 1, 1, 2, 8, 60]))
        kind = random.integers(6)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << int(random.integers(8))
        elif kind == 1:
            changed[place : place + length] = random.bytes(len(changed[place : place + length]))
        elif kind == 2:
            del changed[place : place + length]
        elif kind == 3:
            changed[place:place] = changed[place : place + length]
        elif kind == 4:
            changed[place:place] = random.choice(
                np.frombuffer(b'{}[]",:.0123456789-eE\\\x00\x1b\n\xff', np.uint8), length
            ).tobytes()
        else:
            del changed[place + (length if random.integers(4) else 0) :]
    return bytes(changed)


def damage_value(value: Any, random: np.random.Generator) -> Any:
    """A copy of plain values in which one to three were replaced, removed, repeated, renamed or exchanged."""
    changed = copy.deepcopy(value)
    names = list(HOSTILE_VALUES)
    for _ in range(random.integers(1, 4)):
        spots = list(_spots(changed))
        if not spots:
            return changed
        holder, key = spots[random.integers(len(spots))]
        kind = random.integers(6)
        if kind <= 1:
            holder[key] = copy.deepcopy(HOSTILE_VALUES[names[random.integers(len(names))]])
        elif kind == 2:
            del holder[key]
        elif kind == 3 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif kind == 3:
            holder[f"{key}_"[: random.integers(1, 40)]] = holder.pop(key)
        elif kind == 4:
            other, at = spots[random.integers(len(spots))]
            holder[key], other[at] = copy.deepcopy(other[at]), copy.deepcopy(holder[key])
        elif isinstance(holder[key], (int, float)):
            holder[key] = type(holder[key])(random.choice([0, 1, 2, 3, 5, 28, 1000, 10**7, 2**31, 2**53]))
    return changed


def _spots(value: Any) -> Any:
    """(holder, key) of every value within."""
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        items = holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
        for key, inner in list(items)[:1000]:
            yield holder, key
            waiting.append(inner)


def with_a_repeated_key(text: str, random: np.random.Generator) -> str:
    """JSON in which one object has a key twice."""
    places = [place for place, character in enumerate(text) if character == "{" and text[place + 1] == '"']
    place = places[random.integers(len(places))] + 1
    key = text[place : text.index(":", place)]
    return f"{text[:place]}{key}:{random.integers(3)},{text[place:]}"
