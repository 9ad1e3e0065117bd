"""From samples to medians, ratios and a verdict, and from those to tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rounds import Entry
from works import (
    FAST_ACCURACY,
    FAST_SECONDS,
    MEMORY_TARGET,
    OURS,
    PEERS,
    RATIO_TARGETS,
    SCALING_TARGET,
    WARM,
    WORKS,
    Work,
)

LEFT_OUT = "left out"
"""The reason for what was not asked for."""


@dataclass(frozen=True)
class Spread:
    """A median, and the least and greatest of what it is the median of."""

    median: float
    min: float
    max: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one number."""
    return Spread(median(values), min(values), max(values))


def by_round(entry: Entry) -> list[float]:
    """The median of each round, in seconds."""
    return [median(seconds) for seconds in entry.rounds]


def ratios(ours: Entry, theirs: Entry) -> Spread:
    """Our time in theirs, round by round: the machine drifts less within a round than over a run."""
    return spread([a / b for a, b in zip(by_round(ours), by_round(theirs), strict=True)])


@dataclass
class Result:
    """A piece of work, measured.

    Args:
        entries: one per framework and variant.
        failed: (peer, variant, reason) of those that could not do it.
        skipped: why nothing was measured; None where something was.
    """

    work: Work
    entries: list[Entry]
    failed: list[tuple[str, str, str]]
    skipped: str | None = None

    def fastest(self, peer: str) -> Entry | None:
        """The fastest way of one framework."""
        own = [entry for entry in self.entries if entry.peer == peer]
        return min(own, key=lambda entry: median(by_round(entry)), default=None)

    def named(self, variant: str) -> Entry | None:
        """numbacnn's entry of a variant."""
        return next((entry for entry in self.entries if (entry.peer, entry.variant) == (OURS, variant)), None)


@dataclass(frozen=True)
class Verdict:
    """One line of the table of targets.

    Args:
        name: what it is about.
        ours, best_peer, ratio: as text, empty where there is none.
        target: what was aimed at.
        met: None where it was not measured.
        reason: why it was not measured.
    """

    name: str
    ours: str
    best_peer: str
    ratio: str
    target: str
    met: bool | None
    reason: str = ""


def verdicts(results: dict[str, Result], full_data: bool) -> list[Verdict]:
    """Every target, those that were not measured included."""
    found = [_ratio_verdict(results, target.work, target.peer, target.limit) for target in RATIO_TARGETS]
    return [*found, _scaling_verdict(results), *_memory_verdicts(results, full_data), _fast_verdict(results, full_data)]


def _ratio_verdict(results: dict[str, Result], name: str, peer: str, limit: float) -> Verdict:
    title = next(work.title for work in WORKS if work.name == name)
    goal = f"at most {limit:.2f} x {PEERS[peer].title}"
    result = results.get(name)
    ours, theirs = (result.fastest(OURS), result.fastest(peer)) if result else (None, None)
    if result is None or ours is None or theirs is None:
        return _unmeasured(title, goal, result, f"{PEERS[peer].title} was not measured" if ours else "")
    ratio = ratios(ours, theirs)
    return Verdict(
        title, duration(median(by_round(ours))), f"{duration(median(by_round(theirs)))} {label(theirs)}",
        f"{ratio.median:.2f} ({ratio.min:.2f} .. {ratio.max:.2f})", goal, ratio.median <= limit,
    )  # fmt: skip


def _scaling_verdict(results: dict[str, Result]) -> Verdict:
    name, goal = "cnn step, one thread to two", f"at least {SCALING_TARGET:.1f} times as fast"
    result = results.get("cnn-scaling")
    one, two = (result.named("1 thread"), result.named("2 threads")) if result else (None, None)
    if one is None or two is None:
        return _unmeasured(name, goal, result)
    gain = ratios(one, two)
    times = f"{duration(median(by_round(one)))} to {duration(median(by_round(two)))}"
    return Verdict(name, times, "", f"{gain.median:.2f} ({gain.min:.2f} .. {gain.max:.2f})", goal, gain.median >= SCALING_TARGET)


def _memory_verdicts(results: dict[str, Result], full_data: bool) -> list[Verdict]:
    """The most that any of our runs took, cold or warm, against the least that any run of a peer took."""
    names = ("peak memory of train cnn", "peak memory of train cnn, peers")
    goals = (f"at most {MEMORY_TARGET / 1e6:.0f} MB", "less than any peer")
    result = results.get("cnn-train")
    ours = [peak for entry in result.entries if entry.peer == OURS for peak in entry.peak_bytes] if result else []
    if not ours or not full_data:
        reason = "not all of MNIST was used" if ours else ""
        return [_unmeasured(name, goal, result, reason) for name, goal in zip(names, goals, strict=True)]
    assert result is not None
    most = max(ours)
    each = ", ".join(
        f"{memory(max(entry.peak_bytes))} {entry.variant.split()[0]}" for entry in result.entries if entry.peer == OURS
    )
    first = Verdict(names[0], each, "", "", goals[0], most <= MEMORY_TARGET)
    theirs = [(min(entry.peak_bytes), label(entry)) for entry in result.entries if entry.peer != OURS and entry.peak_bytes]
    if not theirs:
        return [first, _unmeasured(names[1], goals[1], result, "no peer was measured")]
    least, who = min(theirs)
    return [first, Verdict(names[1], each, f"{memory(least)} {who}", f"{most / least:.2f}", goals[1], most < least)]


def _fast_verdict(results: dict[str, Result], full_data: bool) -> Verdict:
    name = "train fast from process start, warm"
    goal = f"{FAST_ACCURACY:.1%} within {FAST_SECONDS:.0f} s"
    result = results.get("fast-train")
    entry = result.named(WARM) if result else None
    if entry is None or not full_data:
        return _unmeasured(name, goal, result, "not all of MNIST was used" if entry else "")
    seconds, accuracy = median(by_round(entry)), min(entry.test_accuracy)
    met = seconds <= FAST_SECONDS and accuracy >= FAST_ACCURACY
    return Verdict(name, f"{accuracy:.2%} in {duration(seconds)}", "", "", goal, met)


def _unmeasured(name: str, goal: str, result: Result | None, reason: str = "") -> Verdict:
    if not reason:
        reason = LEFT_OUT if result is None else result.skipped or "; ".join(why for *_, why in result.failed) or "not measured"
    return Verdict(name, "", "", "", goal, None, reason)


def as_dict(result: Result) -> dict[str, Any]:
    """A result as plain values, raw samples and what follows from them."""
    ours = result.fastest(OURS)
    entries = []
    for entry in result.entries:
        values = vars(entry) | {"seconds": vars(spread(by_round(entry))), "ratio": None}
        if ours is not None and ours is not entry:
            values["ratio"] = vars(ratios(ours, entry))
        entries.append(values)
    failed = [{"peer": peer, "variant": variant, "reason": reason} for peer, variant, reason in result.failed]
    return vars(result.work) | {"entries": entries, "failed": failed, "skipped": result.skipped}


def print_result(console: Console, result: Result) -> None:
    """A table of who took how long."""
    if result.skipped:
        console.print(f"\n[bold]{result.work.title}[/]: not measured: {result.skipped}")
        return
    whole = result.work.kind == "train"
    last = ("memory", "accuracy") if whole else ("logits differ by",)
    rows = table(result.work.title, "", "median", "min .. max", "numbacnn's ratio", *last)
    ours = result.fastest(OURS)
    for entry in result.entries:
        time = spread(by_round(entry))
        ratio = ratios(ours, entry) if ours is not None and entry is not ours else None
        if whole:
            cells = [memory(max(entry.peak_bytes)) if entry.peak_bytes else "-"]
            cells.append(f"{median(entry.test_accuracy):.2%}" if entry.test_accuracy else "-")
        else:
            cells = ["-" if entry.difference is None else f"{entry.difference:.0e}"]
        rows.add_row(
            label(entry), duration(time.median), f"{duration(time.min)} .. {duration(time.max)}",
            f"{ratio.median:.2f} ({ratio.min:.2f} .. {ratio.max:.2f})" if ratio else "", *cells,
        )  # fmt: skip
    console.print()
    console.print(rows)
    for peer, variant, reason in result.failed:
        console.print(f"  {PEERS[peer].title} {variant}: {reason}", markup=False, highlight=False)


def print_verdicts(console: Console, lines: list[Verdict]) -> None:
    """The table of targets."""
    rows = table("targets", "", "numbacnn", "best of the peer", "ratio", "target", "")
    for line in lines:
        state = (
            line.reason if line.reason == LEFT_OUT else "not measured" if line.met is None else "met" if line.met else "NOT met"
        )
        rows.add_row(line.name, line.ours, line.best_peer, line.ratio, line.target, state)
    console.print()
    console.print(rows)
    for line in lines:
        if line.met is None and line.reason != LEFT_OUT:
            console.print(f"  {line.name}: {line.reason}", markup=False, highlight=False)


def table(title: str, *columns: str) -> Table:
    """A table whose first column is left, and the others right."""
    rows = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, name in enumerate(columns):
        rows.add_column(name, justify="right" if place else "left", no_wrap=True)
    return rows


def label(entry: Entry) -> str:
    """Who, and how."""
    return f"{PEERS[entry.peer].title}{f', {entry.variant}' if entry.variant else ''}"


def duration(seconds: float) -> str:
    """Three digits, in the unit that fits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        value = seconds * factor
        if value >= 1 or unit == "µs":
            return f"{value:.{max(0, 2 - len(str(int(value))) + 1)}f} {unit}"
    raise AssertionError


def memory(count: float) -> str:
    """Millions of bytes."""
    return f"{count / 1e6:,.0f} MB"
