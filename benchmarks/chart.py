"""README's chart and table of speed, from what ``peers.py --json`` wrote.

    python benchmarks/peers.py --data-dir data --json peers.json
    python benchmarks/chart.py peers.json --figures docs/speed.json --chart docs/speed.svg

Takes the fastest way of each framework. ``--figures`` keeps what is drawn, a few kB; it can be given back instead of ``peers.json``.
Prints a Markdown table of the same figures.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from report import duration
from works import COLD, OURS, PEERS

from numbacnn.files import write_atomically
from numbacnn.lecture.drawing import BLUE, GREY, INK, PALE, Drawing

TITLES = {
    "cnn-step-100": "the lecture's CNN, a training step of 100 images",
    "dense128-epoch": "`dense128`, an epoch of 60,000 images",
    "softmax-epoch": "`softmax`, an epoch of 60,000 images",
    "cnn-inference-100": "the CNN, prediction of 100 images",
    "cnn-inference-1": "the CNN, prediction of one image",
    "cnn-train": "the CNN, `train` for an epoch of MNIST, from process start to exit",
}
"""The work that is shown."""

_WIDTH, _LEFT, _RIGHT, _BAR, _TITLE, _FOOT = 720, 160, 130, 18, 34, 30


def figures(report: dict[str, Any]) -> dict[str, Any]:
    """What is shown of a report: for each work the seconds of each framework, and numbacnn's ratio to it (median, min, max)."""
    if "works" not in report or isinstance(report["works"], dict):
        return report
    works = {work["name"]: _fastest(work["entries"]) for work in report["works"] if work["name"] in TITLES}
    machine = {key: report["machine"].get(key) for key in ("processor", "processors", "vectors")}
    about = {"machine": machine, "threads": report["settings"]["threads"], "rounds": report["settings"]["rounds"]}
    return about | {"versions": report["versions"], "works": {name: work for name, work in works.items() if len(work) > 1}}


def _fastest(entries: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in sorted(entries, key=lambda entry: entry["seconds"]["median"], reverse=True):
        if entry["variant"] != COLD:
            found[entry["peer"]] = {"seconds": entry["seconds"]["median"], "ratio": entry["ratio"]}
    others = sorted((peer for peer in found if peer != OURS), key=lambda peer: found[peer]["seconds"])
    return {peer: found[peer] for peer in [OURS, *others] if peer in found}


def chart(shown: dict[str, Any]) -> Drawing:
    """Bars of time, one group for each work, the slowest framework's as long as the paper allows."""
    bars = sum(len(work) for work in shown["works"].values())
    drawing = Drawing(_WIDTH, len(shown["works"]) * _TITLE + bars * _BAR + _FOOT)
    y, room = 0.0, _WIDTH - _LEFT - _RIGHT
    for name, work in shown["works"].items():
        drawing.text(12, y + _TITLE - 10, TITLES[name].replace("`", ""), 13, bold=True)
        y += _TITLE
        longest = max(bar["seconds"] for bar in work.values())
        for peer, bar in work.items():
            length = max(1.0, room * bar["seconds"] / longest)
            drawing.rectangle(_LEFT, y + 2, length, _BAR - 4, BLUE if peer == OURS else PALE, BLUE if peer == OURS else GREY)
            drawing.text(_LEFT - 8, y + _BAR - 5, PEERS[peer].title, 12, "end", INK)
            more = "" if bar["ratio"] is None else f"  ({1 / bar['ratio']['median']:.1f} x)"
            drawing.text(_LEFT + length + 6, y + _BAR - 5, duration(bar["seconds"]) + more, 12, fill=INK)
            y += _BAR
    drawing.text(12, y + _FOOT - 12, _conditions(shown), 11, fill=GREY)
    return drawing


def _conditions(shown: dict[str, Any]) -> str:
    machine = shown["machine"]
    conditions = f"{machine['processor']}, {machine['vectors']}, {shown['threads']} threads, float32"
    return f"{conditions}; shorter is faster; in brackets: how many times numbacnn's."


def table(shown: dict[str, Any]) -> list[str]:
    """The same as lines of Markdown: times, and numbacnn's over the other's."""
    lines = ["| work | numbacnn | the other | ratio | min ... max |", "|---|---|---|---|---|"]
    for name, work in shown["works"].items():
        title, ours = TITLES[name], duration(work[OURS]["seconds"])
        for peer, bar in work.items():
            if peer != OURS:
                ratio = bar["ratio"]
                spread = f"{ratio['median']:.2f} | {ratio['min']:.2f} ... {ratio['max']:.2f} |"
                lines.append(f"| {title} | {ours} | {duration(bar['seconds'])} {PEERS[peer].title} | {spread}")
                title = ours = ""
    return [line.replace("|  |", "| |").replace("|  |", "| |") for line in lines]


def svg(shown: dict[str, Any]) -> str:
    """The chart as a file; what it shows is in its description, too."""
    return chart(shown).svg("Time of numbacnn and of other frameworks", "\n".join(table(shown)[2:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="what peers.py --json wrote, or the file of --figures")
    parser.add_argument("--figures", type=Path, metavar="FILE", help="keep the figures there, as JSON")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw them there, as SVG")
    options = parser.parse_args()
    shown = figures(json.loads(options.report.read_text(encoding="utf-8")))
    if options.figures:
        write_atomically(options.figures, (json.dumps(shown, indent=1) + "\n").encode())
    if options.chart:
        write_atomically(options.chart, svg(shown).encode())
    print(*table(shown), sep="\n")


if __name__ == "__main__":
    main()
