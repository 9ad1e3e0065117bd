"""The instructions of a training step, by kernel: of PTX, exact, from a run on the PTX device.

    python -m tests.ptx.count cnn --batch-size 100

An instruction of PTX is one or more of the machine: of those counted here, an integer division becomes many. Where both numbers fit into
32 bits, the compiler has a 64-bit division take a branch to one of 32 bits: it counts there. A vector access counts once. Every thread
counts for itself, and an instruction under a condition whether or not it takes effect.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

from .stand_in import Unavailable, put_in_place

COLUMNS = {
    "launches": "launches",
    "all": "",
    "fma": "fma",
    "mma": "matrix product",
    "div.32": "division 32",
    "div.64": "division 64",
    "ld.global": "load global",
    "st.global": "store global",
    "ld.shared": "load shared",
    "st.shared": "store shared",
    "bar": "barrier",
}
"""The count in each column; "all" is the sum of those of instructions."""

Counts = dict[str, Counter[str]]


def counts_of_a_step(preset: str, batch_size: int) -> Counts:
    """The instructions of the second training step, by kernel; the first one has initial work to do."""
    device = put_in_place(checked=False)
    from numbacnn.backends import get_ops

    from .steps import steps_of

    *_, before, after = (device.counts() for _ in steps_of(preset, batch_size, 2, get_ops("cuda")))
    found = {name: counts - before.get(name, Counter()) for name, counts in after.items()}
    return {name: counts for name, counts in found.items() if counts}


def figures(counts: Counter[str]) -> dict[str, int]:
    """A kernel's figures, by column."""
    instructions = counts.total() - counts["launches"]
    return {column: counts[kind] if kind else instructions for column, kind in COLUMNS.items()}


def table(counts: Counts, most: int) -> str:
    """The kernels with the most instructions, the rest as one row, and all together.

    Args:
        counts: by kernel and kind.
        most: how many kernels have a row of their own.
    """
    ordered = sorted(counts, key=lambda name: (-figures(counts[name])["all"], name))
    rows = {name: counts[name] for name in ordered[:most]}
    if rest := ordered[most:]:
        rows[f"{len(rest)} others"] = _sum(counts[name] for name in rest)
    rows["all kernels"] = _sum(counts.values())
    cells = [
        ["kernel", *COLUMNS],
        *([name, *(f"{figure:,}" for figure in figures(each).values())] for name, each in rows.items()),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ([name.ljust(widths[0]), *map(str.rjust, rest, widths[1:])] for name, *rest in cells)
    return "\n".join("  ".join(line) for line in lines)


def _sum(counts: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def main(arguments: Any = None) -> int:
    """Print the table. Returns 1 where the device cannot be put in place."""
    parser = argparse.ArgumentParser(prog="python -m tests.ptx.count", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("preset", help="a network, as 'numbacnn shapes' lists them")
    parser.add_argument("--batch-size", type=int, default=100, metavar="N", help="images of the step (default: %(default)s)")
    parser.add_argument("--kernels", type=int, default=12, metavar="N", help="rows of the table (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print every kernel's figures as JSON")
    given = parser.parse_args(arguments)
    from numbacnn.models import PRESETS

    if given.preset not in PRESETS:
        parser.error(f"preset: expected one of {', '.join(PRESETS)}, got {given.preset!r}")
    try:
        counts = counts_of_a_step(given.preset, given.batch_size)
    except Unavailable as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    if given.json:
        print(json.dumps({name: figures(each) for name, each in sorted(counts.items())}, indent=1))
    else:
        print(f"instructions of PTX in one training step of {given.preset} at batch size {given.batch_size}\n")
        print(table(counts, given.kernels))
    return 0


if __name__ == "__main__":
    sys.exit(main())
